package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/godwit-mail/godwit/mail"
)

// The directories of an archive.
const (
	messagesDir  = "messages"
	manifestsDir = "manifests"
	tmpDir       = "tmp"
)

// files are the files of an archive beside its catalogue.
type files struct {
	dir  string
	sync bool
	seam seam

	serial atomic.Int64 // of names in tmp

	compressing sync.Mutex // held by who uses it
	encoder     *zstd.Encoder
}

// message is where the file of a message lies.
func (f *files) message(d mail.Digest) string {
	name := d.String()
	return filepath.Join(f.dir, messagesDir, name[:2], name+".zst")
}

// tmp is a name for what is being written.
func (f *files) tmp(suffix string) string {
	return filepath.Join(f.dir, tmpDir, strconv.FormatInt(f.serial.Add(1), 10)+suffix)
}

// clear removes what a process that died was writing.
func (f *files) clear() error {
	dir := filepath.Join(f.dir, tmpDir)
	list, err := os.ReadDir(dir)
	for _, e := range list {
		err = errors.Join(err, f.remove(filepath.Join(dir, e.Name())))
	}
	return err
}

// makeDir makes a directory, durably, and those above it that lack.
func (f *files) makeDir(path string) error {
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := f.makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	err := f.seam.run("mkdir", path, func() error { return os.Mkdir(path, 0o700) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return f.syncDir(filepath.Dir(path))
}

// create makes a new file, which nobody will change.
func (f *files) create(path string) (file *os.File, err error) {
	err = f.seam.run("create", path, func() (err error) {
		file, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o400)
		return err
	})
	return file, err
}

// writeWhole writes a small file, durably, so that it is there whole or not.
func (f *files) writeWhole(path string, data []byte) error {
	tmp := f.tmp("")
	file, err := f.create(tmp)
	if err != nil {
		return err
	}
	if _, err := (seamWriter{file, f.seam}).Write(data); err != nil {
		return errors.Join(err, file.Close(), f.remove(tmp))
	}
	return f.finish(file, tmp, path)
}

// finish makes a file that was written durable under its name.
func (f *files) finish(file *os.File, tmp, path string) error {
	var err error
	if f.sync {
		err = f.seam.run("sync", tmp, file.Sync)
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return errors.Join(err, f.remove(tmp))
	}
	if err := f.rename(tmp, path); err != nil {
		return errors.Join(err, f.remove(tmp))
	}
	return f.syncDir(filepath.Dir(path))
}

func (f *files) rename(from, to string) error {
	return f.seam.run("rename", to, func() error { return os.Rename(from, to) })
}

// remove takes away a file that may be there.
func (f *files) remove(path string) error {
	err := f.seam.run("remove", path, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
