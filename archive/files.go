package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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

// syncDir makes the names in a directory durable.
func (f *files) syncDir(path string) error {
	if !f.sync {
		return nil
	}
	return f.seam.run("sync directory", path, func() error {
		d, err := os.Open(path)
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	})
}

// writeWhole writes a small file, durably, so that it is there whole or not.
func (f *files) writeWhole(path string, data []byte) error {
	tmp := filepath.Join(f.dir, tmpDir, filepath.Base(path))
	if err := f.writeTmp(tmp, data); err != nil {
		return errors.Join(err, f.remove(tmp))
	}
	if err := f.seam.run("rename", path, func() error { return os.Rename(tmp, path) }); err != nil {
		return errors.Join(err, f.remove(tmp))
	}
	return f.syncDir(filepath.Dir(path))
}

// writeTmp writes a new file, durably but for its name.
func (f *files) writeTmp(path string, data []byte) error {
	var file *os.File
	err := f.seam.run("create", path, func() (err error) {
		file, err = os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o400)
		return err
	})
	if err != nil {
		return err
	}
	err = f.seam.run("write", path, func() error {
		_, err := file.Write(data)
		return err
	})
	if err == nil && f.sync {
		err = f.seam.run("sync", path, file.Sync)
	}
	return errors.Join(err, file.Close())
}

// remove takes away a file that may be there.
func (f *files) remove(path string) error {
	err := f.seam.run("remove", path, func() error { return os.Remove(path) })
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
