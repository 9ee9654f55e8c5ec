package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// A Schema is what a database must be.
type Schema struct {
	// Name is what the database is called in errors: "index".
	Name string
	// ApplicationID marks the file as ours (PRAGMA application_id); not 0.
	ApplicationID int32
	// Migrations holds files named NNNN_what.sql, numbered from 0001 without
	// a gap. Number n brings a database from version n-1 (PRAGMA
	// user_version) to n; each runs in one transaction. Once released, a file
	// never changes.
	Migrations fs.FS
}

// version is the newest version of the schema: the number of its migrations.
func (s Schema) version() (int, error) {
	names, err := s.files()
	return len(names), err
}

func (s Schema) files() ([]string, error) {
	names, err := fs.Glob(s.Migrations, "*.sql") // sorted
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		n, err := strconv.Atoi(strings.SplitN(name, "_", 2)[0])
		if err != nil || n != i+1 {
			return nil, fmt.Errorf("the %s schema has %s where number %04d belongs", s.Name, name, i+1)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the %s schema has no migrations", s.Name)
	}
	return names, nil
}

// version reads which version of the schema the file has, 0 for an empty
// file, and refuses a file that is not ours.
func (db *DB) version(ctx context.Context, pool *sql.DB) (int, error) {
	var application int32
	var version, objects int
	if err := pool.QueryRowContext(ctx, "PRAGMA application_id").Scan(&application); err != nil {
		return 0, err
	}
	if err := pool.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return 0, err
	}
	if err := pool.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&objects); err != nil {
		return 0, err
	}
	fresh := application == 0 && version == 0 && objects == 0
	if application != db.schema.ApplicationID && !fresh {
		return 0, fmt.Errorf("%w: %s is not godwit's %s (application_id %#x): move it away, or choose another state_dir",
			ErrForeign, db.path, db.schema.Name, uint32(application))
	}
	return version, nil
}

func (db *DB) newer(have, want int) error {
	return fmt.Errorf("%w: %s has version %d of the %s schema, this godwit knows versions up to %d: update godwit",
		ErrNewer, db.path, have, db.schema.Name, want)
}

// migrate runs the migrations from version have to want.
func (db *DB) migrate(ctx context.Context, have, want int) error {
	names, err := db.schema.files()
	if err != nil {
		return err
	}
	for v := have + 1; v <= want; v++ {
		text, err := fs.ReadFile(db.schema.Migrations, names[v-1])
		if err != nil {
			return err
		}
		err = db.Update(ctx, func(tx *Tx) error {
			if err := tx.Exec(string(text)); err != nil {
				return err
			}
			// Both pragmas write to the header of the file, and so take part
			// in the transaction. They take no parameters.
			return tx.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", db.schema.ApplicationID, v))
		})
		if err != nil {
			return fmt.Errorf("migrating %s to version %d of the %s schema (%s): %w", db.path, v, db.schema.Name, names[v-1], err)
		}
	}
	return nil
}
