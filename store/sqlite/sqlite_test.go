package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

const one = "CREATE TABLE number (n INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT; INSERT INTO number VALUES (1, 'one');"

// versions is a schema with these migrations.
func versions(texts ...string) Schema {
	files := fstest.MapFS{}
	for i, text := range texts {
		files[fmt.Sprintf("%04d_step.sql", i+1)] = &fstest.MapFile{Data: []byte(text)}
	}
	return Schema{Name: "test", ApplicationID: 0x74657374, Migrations: files}
}

func mustOpen(t *testing.T, path string, schema Schema) *DB {
	t.Helper()
	db, err := Open(context.Background(), path, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDB(t, db) })
	return db
}

func closeDB(t *testing.T, db *DB) {
	t.Helper()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// answer is the one value that a query gives.
func answer(t *testing.T, db *DB, query string) string {
	t.Helper()
	var out []string
	err := db.Each(context.Background(), query, nil, func(rows *sql.Rows) error {
		var s string
		err := rows.Scan(&s)
		out = append(out, s)
		return err
	})
	if err != nil || len(out) != 1 {
		t.Fatalf("%s: %q, %v", query, out, err)
	}
	return out[0]
}

func TestOpenSetsUp(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "50% off? #1 später")
	path := filepath.Join(dir, "x.db")
	db := mustOpen(t, path, versions(one))
	for name, mode := range map[string]fs.FileMode{path: 0o600, path + "-wal": 0o600, dir: 0o700 | fs.ModeDir, filepath.Dir(dir): 0o700 | fs.ModeDir} {
		info, err := os.Stat(name)
		if err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, mode)
		}
	}
	err := db.Update(context.Background(), func(tx *Tx) error {
		for pragma, want := range map[string]string{
			"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000",
			"application_id": fmt.Sprint(0x74657374), "user_version": "1",
		} {
			err := tx.Each("PRAGMA "+pragma, nil, func(rows *sql.Rows) error {
				var got string
				if err := rows.Scan(&got); err != nil {
					return err
				}
				if got != want {
					t.Errorf("%s is %s, want %s", pragma, got, want)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.read.QueryRow("INSERT INTO number VALUES (2, 'two') RETURNING n").Scan(new(int)); err == nil {
		t.Error("a reading connection wrote")
	}
	if err := errors.Join(db.QuickCheck(context.Background()), db.Integrity(context.Background())); err != nil {
		t.Error(err)
	}
}

func TestMigrate(t *testing.T) {
	const two = "ALTER TABLE number ADD COLUMN roman TEXT; UPDATE number SET roman = 'I';"
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "x.db")
	closeDB(t, mustOpen(t, path, versions(one)))

	// One that fails changes nothing, not even by its first statements.
	if _, err := Open(ctx, path, versions(one, two+"nonsense;")); err == nil || !strings.Contains(err.Error(), "0002_step.sql") {
		t.Errorf("a migration that fails: %v", err)
	}
	if _, err := OpenReadOnly(ctx, path, versions(one, two)); !errors.Is(err, ErrOlder) {
		t.Errorf("reading an older version: %v", err)
	}
	db := mustOpen(t, path, versions(one, two))
	if got := answer(t, db, "SELECT roman || n FROM number"); got != "I1" {
		t.Errorf("after the migration: %s", got)
	}
	closeDB(t, db)

	for name, open := range map[string]func(context.Context, string, Schema) (*DB, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
		_, err := open(ctx, path, versions(one))
		if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), "has version 2") || !strings.Contains(err.Error(), "up to 1") {
			t.Errorf("%s of a newer version: %v", name, err)
		}
	}
	closeDB(t, mustOpen(t, path, versions(one, two))) // refusing changed nothing
}

func TestMigrationsAreNumbered(t *testing.T) {
	for _, names := range [][]string{{}, {"0002_a.sql"}, {"0001_a.sql", "0003_b.sql"}, {"0001_a.sql", "0001_b.sql"}, {"first.sql"}} {
		files := fstest.MapFS{}
		for _, n := range names {
			files[n] = &fstest.MapFile{}
		}
		_, err := Open(context.Background(), filepath.Join(t.TempDir(), "x.db"), Schema{Name: "test", ApplicationID: 1, Migrations: files})
		if err == nil {
			t.Errorf("%v: accepted", names)
		}
	}
}

func TestForeignIsRefusedUnchanged(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "x.db")
	other := versions(one)
	other.ApplicationID = 0x1234
	closeDB(t, mustOpen(t, path, other))
	unmarked := filepath.Join(t.TempDir(), "y.db")
	raw, err := sql.Open("sqlite3", unmarked)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("CREATE TABLE other (a)"); err != nil {
		t.Fatal(err)
	}
	if err := raw.Close(); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, unmarked} {
		before := read(t, p)
		if _, err := Open(ctx, p, versions(one)); !errors.Is(err, ErrForeign) {
			t.Errorf("Open: %v", err)
		}
		if _, err := OpenReadOnly(ctx, p, versions(one)); !errors.Is(err, ErrForeign) {
			t.Errorf("OpenReadOnly: %v", err)
		}
		if !bytes.Equal(before, read(t, p)) {
			t.Error("the foreign file changed")
		}
	}
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDamaged(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	db := mustOpen(t, path, versions(one))
	err := db.Update(ctx, func(tx *Tx) error {
		for i := 2; i < 2000; i++ {
			if err := tx.Exec("INSERT INTO number VALUES (?, ?)", i, strings.Repeat("x", 50)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	closeDB(t, db)
	sound := read(t, path)

	for name, spoil := range map[string]func([]byte) []byte{
		"text":   func([]byte) []byte { return bytes.Repeat([]byte("no database\n"), 100) },
		"header": func(b []byte) []byte { return append([]byte("SQLite format 4\x00"), b[16:]...) },
		"schema": func(b []byte) []byte { copy(b[100:], bytes.Repeat([]byte{0xff}, 3000)); return b },
	} {
		write(t, path, spoil(bytes.Clone(sound)))
		if _, err := Open(ctx, path, versions(one)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := OpenReadOnly(ctx, path, versions(one)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s, reading: %v", name, err)
		}
	}

	// Damage inside is found by a check, and by reading what is damaged.
	b := bytes.Clone(sound)
	for page := 2; page < len(b)/4096; page++ {
		copy(b[page*4096:], bytes.Repeat([]byte{0x5a}, 64))
	}
	write(t, path, b)
	db = mustOpen(t, path, versions(one))
	everything := db.Each(ctx, "SELECT n FROM number", nil, func(*sql.Rows) error { return nil })
	for name, err := range map[string]error{"QuickCheck": db.QuickCheck(ctx), "Integrity": db.Integrity(ctx), "Each": everything} {
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	closeDB(t, db)
	setAside(t, path, b)
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// setAside moves the database away twice and expects an empty one in its place.
func setAside(t *testing.T, path string, content []byte) {
	t.Helper()
	now := time.Date(2026, 11, 20, 1, 2, 3, 0, time.UTC)
	to, err := SetAside(path, now)
	if err != nil || filepath.Base(to) != "x.db.damaged-20261120T010203Z" || !bytes.Equal(read(t, to), content) {
		t.Errorf("set aside: %s, %v", to, err)
	}
	db := mustOpen(t, path, versions(one))
	if got := answer(t, db, "SELECT count(*) FROM number"); got != "1" {
		t.Errorf("the new one has %s rows", got)
	}
	closeDB(t, db)
	again, err := SetAside(path, now)
	if err != nil || again == to {
		t.Errorf("set aside again: %s, %v", again, err)
	}
	if _, err := SetAside(path, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("set aside nothing: %v", err)
	}
}

func TestIntegrityFindsWhatQuickCheckCannot(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one+`
		CREATE TABLE child (n INTEGER REFERENCES number (n)) STRICT;`))
	err := db.Update(ctx, func(tx *Tx) error { return tx.Exec("INSERT INTO child VALUES (9)") })
	if !errors.Is(err, ErrConstraint) {
		t.Errorf("an orphan: %v", err)
	}
	if _, err := db.write.Exec("PRAGMA foreign_keys = OFF; INSERT INTO child VALUES (9)"); err != nil {
		t.Fatal(err)
	}
	if err := db.QuickCheck(ctx); err != nil {
		t.Errorf("QuickCheck: %v", err)
	}
	if err := db.Integrity(ctx); !errors.Is(err, ErrDamaged) {
		t.Errorf("Integrity: %v", err)
	}
}

// What cannot be written to is told with what to do.
func TestReadOnlyDisk(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one))
	err := db.Update(ctx, func(tx *Tx) error {
		if err := tx.Exec("PRAGMA query_only = 1"); err != nil {
			return err
		}
		return tx.Exec("INSERT INTO number VALUES (2, 'two')")
	})
	if err == nil || !strings.Contains(err.Error(), "for writing") {
		t.Errorf("%v", err)
	}
}

// A full disk fails one transaction, and says so; what stood stands.
func TestFull(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one))
	fill := func(tx *Tx) error { return tx.Exec("INSERT INTO number VALUES (2, ?)", strings.Repeat("x", 1<<20)) }
	if err := db.Update(ctx, func(tx *Tx) error { return tx.Exec("PRAGMA max_page_count = 20") }); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(ctx, fill); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Errorf("full: %v", err)
	}
	if got := answer(t, db, "SELECT count(*) FROM number"); got != "1" {
		t.Errorf("%s numbers are there", got)
	}
	if err := db.Update(ctx, func(tx *Tx) error { return tx.Exec("PRAGMA max_page_count = 4000") }); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(ctx, fill); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// Someone deletes the database and overlooks the -wal file of a run that died.
func TestStrayLogIsNotApplied(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	db := mustOpen(t, path, versions(one))
	if err := db.Update(ctx, insert(2)); err != nil {
		t.Fatal(err)
	}
	log := read(t, path+"-wal")
	if len(log) == 0 {
		t.Fatal("the log is empty before the close")
	}
	closeDB(t, db)
	if info, err := os.Stat(path + "-wal"); err != nil || info.Size() != 0 {
		t.Errorf("after the close the log is %v, %v", info, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write(t, path+"-wal", log)
	db = mustOpen(t, path, versions(one))
	if got := answer(t, db, "SELECT count(*) FROM number"); got != "1" {
		t.Errorf("the new database has %s numbers", got)
	}
	if err := db.Integrity(ctx); err != nil {
		t.Error(err)
	}
}
