package sqlite

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/mattn/go-sqlite3"
)

// What a caller branches on. The errors that wrap them name the file and say
// what to do next.
var (
	// ErrDamaged: the file is no database any more, or pages of it are not
	// what they should be. SetAside moves it out of the way.
	ErrDamaged = errors.New("the database is damaged")
	// ErrNewer: a newer version of godwit has written the file.
	ErrNewer = errors.New("the database was written by a newer godwit")
	// ErrOlder: the file has to be migrated first, which OpenReadOnly cannot do.
	ErrOlder = errors.New("the database was written by an older godwit")
	// ErrForeign: the file is a sound database of another program.
	ErrForeign = errors.New("the database belongs to another program")
	// ErrConstraint: a statement broke a constraint of the schema. The
	// transaction stands as it was before that statement.
	ErrConstraint = errors.New("the database refuses it")
)

// grade makes the errors of the driver tell what they are. Others pass as
// they are.
func (db *DB) grade(err error) error {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return fmt.Errorf("%w: %s: %w", ErrDamaged, db.path, err)
	case sqlite3.ErrConstraint:
		return fmt.Errorf("%w: %w", ErrConstraint, err)
	case sqlite3.ErrFull:
		return fmt.Errorf("%s: %w: make room on its file system", db.path, err)
	case sqlite3.ErrReadonly:
		return fmt.Errorf("%s: %w: mount its file system for writing, and give godwit's user the right to write there", db.path, err)
	}
	return fmt.Errorf("%s: %w", db.path, err)
}

// Outside tells whether an error comes from the machine or from another
// process, and not from what the file holds.
func Outside(err error) bool {
	var e sqlite3.Error
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case sqlite3.ErrFull, sqlite3.ErrIoErr, sqlite3.ErrBusy, sqlite3.ErrLocked, sqlite3.ErrNomem, sqlite3.ErrInterrupt, sqlite3.ErrPerm:
		return true
	}
	return false
}

// DiskHint says what a person does about an error of the disk on which what,
// a directory, lies; "" for any other error.
func DiskHint(err error, what string) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "make room on the disk that " + what + " lies on, and run again"
	case errors.Is(err, syscall.EROFS):
		return "mount the file system that " + what + " lies on for writing"
	case errors.Is(err, os.ErrPermission):
		return "give godwit's user the right to read and write " + what
	case errors.Is(err, syscall.EIO):
		return "check the disk that " + what + " lies on"
	}
	return ""
}
