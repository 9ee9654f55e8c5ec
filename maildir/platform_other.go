//go:build unix && !linux

package maildir

import (
	"errors"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// entries lists the directory. A file that is renamed meanwhile may be
// missed; list looks twice.
func (d *dir) entries(*[]byte) ([]dirent, error) {
	again, err := d.again()
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(again.fd), d.path)
	defer f.Close()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var list []fs.DirEntry
	err = d.seam.run("list", d.path, func() (err error) {
		list, err = f.ReadDir(-1)
		return err
	})
	out := make([]dirent, 0, len(list))
	for _, e := range list {
		out = append(out, dirent{name: e.Name(), kind: modeKind(e.Type())})
	}
	return out, err
}

// names gives each name of the directory.
func (d *dir) names(scratch *[]byte, each func(name []byte, k kind)) error {
	list, err := d.entries(scratch)
	for _, e := range list {
		each([]byte(e.name), e.kind)
	}
	return err
}

func modeKind(m fs.FileMode) kind {
	switch {
	case m.IsRegular():
		return kindFile
	case m.IsDir():
		return kindDir
	}
	return kindOther
}

// renameNew renames and fails when the target exists.
func renameNew(fromFD int, from string, toFD int, to string) error {
	return linkNew(fromFD, from, toFD, to)
}

// syncData makes the bytes of a file durable: as the os package does it, which
// knows of systems where fsync alone leaves them in the disk's own memory.
func syncData(fd int) error {
	again, err := unix.Dup(fd)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(again), "")
	defer f.Close()
	return f.Sync()
}

// local tells whether d lies on a file system whose times can be trusted.
// None is known here, so every mailbox is listed every time.
func (d *dir) local() bool { return false }

// bootID is not known here: what a crash takes after runs without fsync is
// not noticed by it.
func bootID() string { return "" }

func syncFileSystem(int) error { return errors.ErrUnsupported }

func syncfsTells() bool { return false }

// There are no files without a name here.
func openUnnamed(int) (int, error) { return -1, errors.ErrUnsupported }

func linkUnnamed(int, linking, int, string) error { return errors.ErrUnsupported }

func setUnnamedTime(int, unix.Timespec) error { return errors.ErrUnsupported }

func keepsUnnamed(*dir) bool { return false }
