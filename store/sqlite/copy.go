package sqlite

import (
	"context"
	"os"
)

// CopyTo writes a copy of the database, as of one moment, into a file at path,
// which is replaced if it is empty and refused otherwise (VACUUM INTO). The
// copy is whole in that one file; it is not made durable. Writers go on
// meanwhile. The database must have been opened by OpenReadOnly.
func (db *DB) CopyTo(ctx context.Context, path string) error {
	db.watch("VACUUM INTO ?")
	_, err := db.read.ExecContext(ctx, "VACUUM INTO ?", path)
	if err != nil {
		return db.grade(err)
	}
	return os.Chmod(path, 0o600)
}
