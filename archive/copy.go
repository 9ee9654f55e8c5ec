package archive

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

// CopyFile is the name of the copy of the catalogue that CopyCatalogue makes.
const CopyFile = "catalogue.copy.db"

// CopyCatalogue writes a copy of the catalogue of the archive in a directory,
// as of one moment, beside it, and gives its path: for programs that copy the
// archive elsewhere, since a database that is written to cannot be copied as
// a file. What it names is there. It needs no lock, and disturbs no run.
// Errors are those of OpenReadOnly.
func CopyCatalogue(ctx context.Context, dir string) (path string, err error) {
	a, err := OpenReadOnly(ctx, dir)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, a.Close()) }()
	path = filepath.Join(dir, CopyFile)
	// Two may be at it at once.
	file, err := os.CreateTemp(dir, CopyFile+".*")
	if err != nil {
		return "", fault(err)
	}
	tmp := file.Name()
	if err := errors.Join(file.Close(), a.catalogue.Load().CopyTo(ctx, tmp)); err != nil {
		return "", errors.Join(fault(err), unlessAbsent(os.Remove(tmp)))
	}
	if err := errors.Join(syncPath(tmp), os.Rename(tmp, path), syncPath(dir)); err != nil {
		return "", fault(err)
	}
	return path, nil
}
