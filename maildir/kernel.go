package maildir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// A seam stands between this package and the kernel, for tests: it is given
// every system call on the tree, by its name and path, and lets it happen or
// not. Nil, as it always is outside of tests, costs one comparison a call.
//
// The calls: "open", "create", "list", "stat", "read", "write", "truncate",
// "chmod", "sync" (of a file), "sync directory", "sync the file system of",
// "close", "rename" (its path is "FROM -> TO"), "mkdir", "remove", "set the
// time of".
type seam func(call, path string, do func() error) error

// arrow stands between the two paths of a rename.
const arrow = " -> "

// run makes a call, again when a signal interrupts it.
func (s seam) run(call, path string, do func() error) error {
	for {
		var err error
		if s == nil {
			err = do()
		} else {
			err = s(call, path, do)
		}
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
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

// A handle is an open file whose calls pass through the seam.
type handle struct {
	os   *os.File
	seam seam
}

func (f *handle) Name() string { return f.os.Name() }

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

// transfer reads or writes.
func (f *handle) transfer(call string, p []byte, do func([]byte) (int, error)) (n int, err error) {
	if f.seam == nil {
		return do(p)
	}
	err = f.do(call, func() (err error) {
		n, err = do(p)
		return err
	})
	return n, err
}

func (f *handle) Read(p []byte) (int, error)  { return f.transfer("read", p, f.os.Read) }
func (f *handle) Write(p []byte) (int, error) { return f.transfer("write", p, f.os.Write) }

// writeStart writes at the start of the file.
func (f *handle) writeStart(p []byte) (int, error) {
	return f.transfer("write", p, func(p []byte) (int, error) { return f.os.WriteAt(p, 0) })
}

func (f *handle) Seek(offset int64, whence int) (int64, error) { return f.os.Seek(offset, whence) }

func (f *handle) truncate(size int64) error {
	return f.do("truncate", func() error { return f.os.Truncate(size) })
}

func (f *handle) chmod(mode os.FileMode) error {
	return f.do("chmod", func() error { return f.os.Chmod(mode) })
}

// sync makes the bytes of the file durable.
func (f *handle) sync() error { return f.do("sync", func() error { return syncData(f.os) }) }

// Close closes the file, also when it fails.
func (f *handle) Close() error {
	closed := false
	err := f.do("close", func() error {
		closed = true
		return f.os.Close()
	})
	if !closed {
		_ = f.os.Close() // the call was kept from happening
	}
	return err
}

func (f *handle) stat() (stat, error) { return statFD(f.seam, int(f.os.Fd()), f.Name()) }
