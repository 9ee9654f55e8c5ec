package export

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// dry tells what the writer of another form would do, and writes nothing.
type dry func(Message) (where string, there bool, err error)

// DryMbox tells what Mbox would do.
func DryMbox(path string) (Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w: name another file", path, fs.ErrExist)
	}
	return dry(func(Message) (string, bool, error) { return path, false, nil }), nil
}

// DryEML tells what EML would do.
func DryEML(dir string) (Writer, error) {
	index, err := os.ReadFile(path.Join(dir, indexFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	told, _, err := readCopies(bytes.NewReader(index))
	if err != nil {
		return nil, err
	}
	return dry(func(m Message) (string, bool, error) {
		name := path.Join(folderPath(m.Mailbox), m.Ident.Body.String()+".eml")
		where := path.Join(dir, name)
		_, err := os.Lstat(where)
		there := told.next(name) && err == nil
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return where, there, err
	}), nil
}

func (d dry) Put(m Message) (string, bool, error) {
	where, there, err := d(m)
	return where, !there, err
}

func (d dry) Commit() error { return nil }

func (d dry) Abort() {}
