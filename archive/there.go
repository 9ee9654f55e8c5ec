package archive

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Presence says what of an archive is in a directory.
type Presence struct {
	Dir       bool // the directory itself
	Catalogue bool
	// Manifests: there are some, from which a catalogue could be made.
	Manifests bool
}

// There tells what of an archive is in a directory, without opening it.
func There(dir string) (Presence, error) {
	var p Presence
	if _, err := os.Stat(dir); err != nil {
		return p, unlessAbsent(err)
	}
	p.Dir = true
	_, err := os.Lstat(filepath.Join(dir, CatalogueFile))
	if p.Catalogue = err == nil; unlessAbsent(err) != nil {
		return p, err
	}
	files, err := os.ReadDir(filepath.Join(dir, manifestsDir))
	p.Manifests = len(files) > 0
	return p, unlessAbsent(err)
}

func unlessAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
