package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"strings"
	"time"
)

// QuickCheck reads every page of the database once and tells whether the
// pages make sense (PRAGMA quick_check); it does not compare indexes with
// their tables. The error wraps ErrDamaged.
func (db *DB) QuickCheck(ctx context.Context) error {
	return db.check(ctx, "PRAGMA quick_check(20)")
}

// Integrity checks everything that SQLite can check of itself: pages,
// indexes against tables, constraints (PRAGMA integrity_check) and foreign
// keys. The error wraps ErrDamaged.
func (db *DB) Integrity(ctx context.Context) error {
	if err := db.check(ctx, "PRAGMA integrity_check(20)"); err != nil {
		return err
	}
	return db.Each(ctx, "PRAGMA foreign_key_check", nil, func(rows *sql.Rows) error {
		var table, parent string
		var rowid, key sql.NullInt64
		if err := rows.Scan(&table, &rowid, &parent, &key); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s: row %d of table %s refers to a row of %s that does not exist",
			ErrDamaged, db.path, rowid.Int64, table, parent)
	})
}

func (db *DB) check(ctx context.Context, pragma string) error {
	var found []string
	err := db.Each(ctx, pragma, nil, func(rows *sql.Rows) error {
		var line string
		err := rows.Scan(&line)
		found = append(found, line)
		return err
	})
	if err != nil {
		return err
	}
	if len(found) == 1 && found[0] == "ok" {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrDamaged, db.path, strings.Join(found, "; "))
}

// SetAside moves a damaged database, which must be closed, out of the way and
// returns its new path: the old one with ".damaged-" and the time. Nothing is
// deleted.
func SetAside(path string, now time.Time) (string, error) {
	base := path + ".damaged-" + now.UTC().Format("20060102T150405Z")
	to := base
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); os.IsNotExist(err) {
			break
		}
		to = fmt.Sprintf("%s-%d", base, i)
	}
	// The file goes first: SQLite throws away a -wal file without a database,
	// whereas a database without its -wal file would pass for a sound, old one.
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Rename(path+suffix, to+suffix); err != nil && !(suffix != "" && os.IsNotExist(err)) {
			return "", err
		}
	}
	return to, nil
}
