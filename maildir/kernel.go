package maildir

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// A seam stands between this package and the kernel, for tests: it is given
// every system call on the tree, by its name and path, and lets it happen or
// not. Nil, as it always is outside of tests, costs one comparison a call.
//
// The calls: "open", "create", "create unnamed" (its path is the directory),
// "list", "stat", "read", "write", "truncate", "chmod", "sync" (of a file), "sync
// directory", "sync the file system of", "close", "rename" and "link" (of a file
// without a name; the path of both is "FROM -> TO"), "mkdir", "remove", "set the
// time of".
type seam func(call, path string, do func() error) error

// arrow stands between the two paths of a rename or link.
const arrow = " -> "

// run makes a call, again when a signal interrupts it.
func (s seam) run(call, path string, do func() error) error {
	for {
		if err := s.once(call, path, do); err != unix.EINTR && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// once makes a call that an interrupt does not undo, as with close on Linux.
func (s seam) once(call, path string, do func() error) error {
	if s == nil {
		return do()
	}
	return s(call, path, do)
}

// openPath opens a directory by a path that the user gave. A symbolic link is
// followed here and nowhere else.
func (s seam) openPath(path string) (*dir, error) {
	d := &dir{path: path, seam: s}
	err := s.run("open", path, func() (err error) {
		d.fd, err = unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return d, nil
}

// A handle is an open file whose calls pass through the seam. One goroutine
// at a time uses it.
type handle struct {
	fd   int // -1 when closed
	path string
	seam seam
}

func (f *handle) Name() string { return f.path }

// fault names the file in an error that came from the seam, as the os package
// does in its own.
func (f *handle) fault(op string, err error) error {
	if errno := unix.Errno(0); errors.As(err, &errno) && !errors.As(err, new(*os.PathError)) {
		return &os.PathError{Op: op, Path: f.Name(), Err: err}
	}
	return err
}

// do makes a call on the file.
func (f *handle) do(call string, do func() error) error {
	return f.fault(call, f.seam.run(call, f.Name(), do))
}

// transfer reads, or writes, at most len(p) bytes at an offset; -1 is the place
// where the file stands.
func (f *handle) transfer(call string, p []byte, at int64) (n int, err error) {
	if f.seam != nil {
		err = f.do(call, func() (err error) {
			n, err = f.rw(call, p, at)
			return err
		})
		return n, err
	}
	for {
		n, err = f.rw(call, p, at)
		if err == nil {
			return n, nil
		}
		if err != unix.EINTR {
			return n, f.fault(call, err)
		}
	}
}

func (f *handle) rw(call string, p []byte, at int64) (n int, err error) {
	switch {
	case call == "read":
		n, err = unix.Read(f.fd, p)
	case at < 0:
		n, err = unix.Write(f.fd, p)
	default:
		n, err = unix.Pwrite(f.fd, p, at)
	}
	return max(n, 0), err
}

func (f *handle) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	n, err := f.transfer("read", p, -1)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return n, err
}

// Write writes all of p. The kernel may take it in parts.
func (f *handle) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = f.wrote(f.transfer("write", p[n:], -1))
		n += k
	}
	return n, err
}

// writeStart writes at the start of the file.
func (f *handle) writeStart(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = f.wrote(f.transfer("write", p[n:], int64(n)))
		n += k
	}
	return n, err
}

// wrote takes a write that wrote nothing for an error.
func (f *handle) wrote(n int, err error) (int, error) {
	if n == 0 && err == nil {
		err = f.fault("write", unix.EIO)
	}
	return n, err
}

func (f *handle) Seek(offset int64, whence int) (int64, error) {
	n, err := unix.Seek(f.fd, offset, whence)
	return n, f.fault("seek", err)
}

func (f *handle) truncate(size int64) error {
	return f.do("truncate", func() error { return unix.Ftruncate(f.fd, size) })
}

func (f *handle) chmod(mode os.FileMode) error {
	return f.do("chmod", func() error { return unix.Fchmod(f.fd, uint32(mode.Perm())) })
}

// sync makes the bytes of the file durable.
func (f *handle) sync() error { return f.do("sync", func() error { return syncData(f.fd) }) }

// Close closes the file, also when it fails.
func (f *handle) Close() error {
	fd := f.fd
	if fd < 0 {
		return &os.PathError{Op: "close", Path: f.path, Err: os.ErrClosed}
	}
	f.fd = -1 // its number is not ours any more, whatever close says
	closed := false
	err := f.fault("close", f.seam.once("close", f.path, func() error {
		closed = true
		return unix.Close(fd)
	}))
	if !closed {
		_ = unix.Close(fd) // the call was kept from happening
	}
	return err
}

func (f *handle) stat() (stat, error) { return statFD(f.seam, f.fd, f.path) }
