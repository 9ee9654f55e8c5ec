package archive

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

const (
	// syncers is how many files are synced at once, so that the file system
	// joins them in one commit of its journal.
	syncers = 16
	// syncWhole is from how many files on the file system as a whole is synced.
	syncWhole = 64
)

// syncDir makes the names in a directory durable.
func (f *files) syncDir(path string) error {
	if !f.sync {
		return nil
	}
	return f.seam.run("sync directory", path, func() error { return syncPath(path) })
}

// syncAll makes files, or the names in directories, durable: each by itself
// if they are few, else together where the system can do that.
func (f *files) syncAll(call string, paths []string) error {
	if !f.sync {
		return nil
	}
	if len(paths) >= syncWhole && canSyncFS {
		return f.seam.run("sync the file system of", f.dir, func() error { return syncFS(filepath.Join(f.dir, tmpDir)) })
	}
	var g errgroup.Group
	g.SetLimit(syncers)
	for _, path := range paths {
		g.Go(func() error {
			return f.seam.run(call, path, func() error { return syncPath(path) })
		})
	}
	return g.Wait()
}

// syncPath opens what was written and syncs it. An error that the file system
// met before is told to a new opener as well (Linux since 4.13).
func syncPath(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
