package archive

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// canSyncFS: a file system can be synced as a whole (syncfs(2)), and tells of
// errors that it met (Linux since 5.8).
const canSyncFS = true

// syncFS syncs the file system that a directory lies on.
func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
