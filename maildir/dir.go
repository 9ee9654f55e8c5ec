package maildir

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A dir is an open directory. All access to files goes through one, a single
// level at a time and never through a symbolic link, so that nothing outside
// the root can be reached, whatever a mailbox is called and whatever is moved
// about meanwhile.
type dir struct {
	fd   int
	path string // for messages only
	seam seam
	size int64 // as self told it last, 0 before
}

// An entry kind, as the directory tells it.
type kind uint8

const (
	kindUnknown kind = iota
	kindFile
	kindDir
	kindOther // symbolic links, sockets and the like
)

// A dirent is one entry of a directory.
type dirent struct {
	name string
	kind kind
}

func (d *dir) close() {
	if d != nil {
		_ = unix.Close(d.fd) // opened for reading: nothing can be lost
	}
}

// at makes a system call on the entry name.
func (d *dir) at(op, name string, call func() error) error { return d.toward(op, name, "", call) }

// toward is at for a call that has a target, too, which only the seam is told.
func (d *dir) toward(op, name, target string, call func() error) error {
	if err := d.entry(op, name); err != nil {
		return err
	}
	path := ""
	if d.seam != nil {
		path = d.path + "/" + name + target
	}
	if err := d.seam.run(op, path, call); err != nil {
		return &os.PathError{Op: op, Path: d.path + "/" + name, Err: err}
	}
	return nil
}

// entry refuses what is not the name of an entry.
func (d *dir) entry(op, name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return &os.PathError{Op: op, Path: d.path, Err: fmt.Errorf("%q is not the name of an entry", name)}
	}
	return nil
}

// sub opens a directory in d.
func (d *dir) sub(name string) (*dir, error) {
	s := &dir{path: d.path + "/" + name, seam: d.seam}
	err := d.at("open", name, func() (err error) {
		s.fd, err = unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// walk opens the directory at path below d.
func (d *dir) walk(path []string) (*dir, error) {
	at := d
	for _, name := range path {
		next, err := at.sub(name)
		if at != d {
			at.close()
		}
		if err != nil {
			return nil, err
		}
		at = next
	}
	if at == d {
		return d.again()
	}
	return at, nil
}

// again opens d a second time.
func (d *dir) again() (*dir, error) {
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: d.path, Err: err}
	}
	return &dir{fd: fd, path: d.path, seam: d.seam}, nil
}

// openFile opens an entry; a symbolic link is refused.
func (d *dir) openFile(name string, flags int, mode uint32) (*handle, error) {
	var fd int
	call := "open"
	if flags&unix.O_CREAT != 0 {
		call = "create"
	}
	err := d.at(call, name, func() (err error) {
		fd, err = unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, mode)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &handle{fd: fd, path: d.path + "/" + name, seam: d.seam}, nil
}

// errNotRegular is the error of a directory, a pipe or the like that lies
// where a file should.
var errNotRegular = errors.New("not a regular file")

// read opens a regular file for reading. It does not wait for the other end
// of a pipe that somebody put there.
func (d *dir) read(name string) (*handle, stat, error) {
	f, err := d.openFile(name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, stat{}, err
	}
	st, err := f.stat()
	if err == nil && !st.regular() {
		err = &os.PathError{Op: "open", Path: f.Name(), Err: errNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, stat{}, err
	}
	return f, st, nil
}

// create makes a new file that nobody else can read.
func (d *dir) create(name string) (*handle, error) {
	return d.openFile(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
}

func (d *dir) mkdir(name string) error {
	return d.at("mkdir", name, func() error { return unix.Mkdirat(d.fd, name, 0o700) })
}

func (d *dir) unlink(name string) error {
	return d.at("remove", name, func() error { return unix.Unlinkat(d.fd, name, 0) })
}

func (d *dir) rmdir(name string) error {
	return d.at("remove", name, func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) })
}

// sync makes the entries of d durable.
func (d *dir) sync() error {
	if err := d.seam.run("sync directory", d.path, func() error { return unix.Fsync(d.fd) }); err != nil {
		return &os.PathError{Op: "sync", Path: d.path, Err: err}
	}
	return nil
}

// setTime sets the time of modification of an entry.
func (d *dir) setTime(name string, t time.Time) error {
	ts, err := unix.TimeToTimespec(t)
	if err != nil {
		return err
	}
	return d.at("set the time of", name, func() error {
		return unix.UtimesNanoAt(d.fd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// rename renames an entry of d to an entry of to that must not exist yet.
func (d *dir) rename(name string, to *dir, target string) error {
	err := to.entry("rename to", target)
	if err == nil {
		err = d.toward("rename", name, arrow+to.path+"/"+target, func() error { return renameNew(d.fd, name, to.fd, target) })
	}
	if inner := (*os.PathError)(nil); errors.As(err, &inner) {
		return &os.LinkError{Op: "rename", Old: d.path + "/" + name, New: to.path + "/" + target, Err: inner.Err}
	}
	return err
}

// linkNew renames by making a second link, which fails when the target
// exists, and removing the first. Where the file system has no links it looks
// before it renames.
func linkNew(fromFD int, from string, toFD int, to string) error {
	err := unix.Linkat(fromFD, from, toFD, to, 0)
	switch {
	case err == nil:
		return unix.Unlinkat(fromFD, from, 0)
	case !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOSYS):
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(toFD, to, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return unix.EEXIST
	} else if !errors.Is(err, unix.ENOENT) {
		return err
	}
	return unix.Renameat(fromFD, from, toFD, to)
}

// A stat is what the file system says of an entry.
type stat struct {
	ino          uint64
	dev          uint64
	mode         uint32
	size         int64
	mtime, ctime time.Time
}

func newStat(st *unix.Stat_t) stat {
	return stat{
		ino: uint64(st.Ino), dev: uint64(st.Dev), mode: uint32(st.Mode), size: st.Size,
		mtime: time.Unix(st.Mtim.Unix()), ctime: time.Unix(st.Ctim.Unix()),
	}
}

func (s stat) regular() bool { return s.mode&unix.S_IFMT == unix.S_IFREG }
func (s stat) dir() bool     { return s.mode&unix.S_IFMT == unix.S_IFDIR }

// mark is mail.Item.Stat: it changes when the bytes may have changed.
func (s stat) mark() string {
	var text [64]byte // more than the three can have
	b := append(strconv.AppendUint(text[:0], s.ino, 10), '-')
	b = append(strconv.AppendInt(b, s.size, 10), '-')
	return string(strconv.AppendInt(b, s.mtime.UnixNano(), 10))
}

// stat looks at an entry, not through it if it is a symbolic link.
func (d *dir) stat(name string) (stat, error) {
	var st unix.Stat_t
	err := d.at("stat", name, func() error { return unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return stat{}, err
	}
	return newStat(&st), nil
}

// self looks at the directory itself.
func (d *dir) self() (stat, error) {
	st, err := statFD(d.seam, d.fd, d.path)
	if err == nil {
		d.size = st.size
	}
	return st, err
}

func statFD(s seam, fd int, path string) (stat, error) {
	var st unix.Stat_t
	if err := s.run("stat", path, func() error { return unix.Fstat(fd, &st) }); err != nil {
		return stat{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return newStat(&st), nil
}

// gone tells whether err says that an entry is not there (any more).
func gone(err error) bool { return errors.Is(err, unix.ENOENT) }
