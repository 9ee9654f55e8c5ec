package export

import (
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
	seen := map[string]bool{}
	return dry(func(m Message) (string, bool, error) {
		where := path.Join(dir, folderPath(m.Mailbox), m.Ident.Body.String()+".eml")
		_, err := os.Lstat(where)
		there := err == nil || seen[where]
		seen[where] = true
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
