package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func insert(n int) func(*Tx) error {
	return func(tx *Tx) error { return tx.Exec("INSERT INTO number VALUES (?, '')", n) }
}

func TestUpdateIsAllOrNothing(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one+`
		CREATE TABLE child (n INTEGER REFERENCES number (n) DEFERRABLE INITIALLY DEFERRED) STRICT;`))
	stop := errors.New("stop")
	err := db.Update(ctx, func(tx *Tx) error { return errors.Join(insert(2)(tx), stop) })
	if !errors.Is(err, stop) {
		t.Errorf("an error of the function: %v", err)
	}
	// A constraint that fails as late as in the commit.
	err = db.Update(ctx, func(tx *Tx) error { return errors.Join(insert(3)(tx), tx.Exec("INSERT INTO child VALUES (9)")) })
	if !errors.Is(err, ErrConstraint) {
		t.Errorf("a commit that fails: %v", err)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.Update(ctx, func(tx *Tx) error { _ = insert(4)(tx); panic("stop") })
	}()
	ended, end := context.WithCancel(ctx)
	end()
	if err := db.Update(ended, insert(5)); !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v", err)
	}
	ending, end := context.WithCancel(ctx)
	defer end()
	if err := db.Update(ending, func(tx *Tx) error { end(); return insert(6)(tx) }); err != nil {
		t.Errorf("a context that ends meanwhile: %v", err)
	}
	if got := answer(t, db, "SELECT group_concat(n) FROM number"); got != "1,6" {
		t.Errorf("what remains: %s", got)
	}
}

func TestReadersSeeOneMoment(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one))
	err := db.View(ctx, func(view *Tx) error {
		for range 2 {
			err := view.Each("SELECT count(*) FROM number", nil, func(rows *sql.Rows) error {
				var n int
				if err := rows.Scan(&n); err != nil || n != 1 {
					t.Errorf("%d numbers, %v", n, err)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if err := db.Update(ctx, func(tx *Tx) error { return tx.Exec("INSERT INTO number (text) VALUES ('')") }); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Writing while rows are being read.
	seen := 0
	err = db.Each(ctx, "SELECT n FROM number", nil, func(*sql.Rows) error {
		seen++
		return db.Update(ctx, insert(100+seen))
	})
	if err != nil || seen != 3 || answer(t, db, "SELECT count(*) FROM number") != "6" {
		t.Errorf("saw %d, %v", seen, err)
	}
	stop := errors.New("stop")
	if err := db.Each(ctx, "SELECT n FROM number", nil, func(*sql.Rows) error { return stop }); err != stop {
		t.Errorf("an error of the function: %v", err)
	}
}

// listing is what OpenReadOnly must not change. The -shm file is memory that
// the connections of one process share; its content is left out.
func listing(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		line := info.Name() + info.Mode().String()
		if !strings.HasSuffix(e.Name(), "-shm") {
			line += fmt.Sprint(info.ModTime(), info.Size())
		}
		out = append(out, line)
	}
	return out
}

func TestReadOnlyLeavesNoTrace(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.db")
	if _, err := OpenReadOnly(ctx, path, versions(one)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	look := func(when, want string) {
		t.Helper()
		before := listing(t, dir)
		db, err := OpenReadOnly(ctx, path, versions(one))
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if got := answer(t, db, "SELECT count(*) FROM number"); got != want {
			t.Errorf("%s: %s numbers, want %s", when, got, want)
		}
		if err := db.Update(ctx, insert(99)); err == nil {
			t.Errorf("%s: it wrote", when)
		}
		closeDB(t, db)
		if after := listing(t, dir); !slices.Equal(before, after) {
			t.Errorf("%s: the directory changed", when)
		}
	}

	db := mustOpen(t, path, versions(one))
	err := db.Update(ctx, func(tx *Tx) error {
		err := insert(2)(tx)
		look("while a transaction is open", "1")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	look("while it is open", "2")
	closeDB(t, db)
	look("when it is closed", "2")
	if err := errors.Join(os.Remove(path+"-wal"), os.Remove(path+"-shm")); err != nil {
		t.Fatal(err)
	}
	look("when it was copied alone", "2")
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	look("in a directory that cannot be written", "2")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

// UpdateLoose asks for no wait for the disk, and every Update after it does,
// however the loose one ended.
func TestUpdateLoose(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one))
	mode := func(tx *Tx) (n int) {
		err := tx.Each("PRAGMA synchronous", nil, func(rows *sql.Rows) error { return rows.Scan(&n) })
		if err != nil {
			t.Error(err)
		}
		return n
	}
	const normal, full = 1, 2
	expect := func(when string, update func(context.Context, func(*Tx) error) error, want, n int, end error) {
		t.Helper()
		err := update(ctx, func(tx *Tx) error {
			if got := mode(tx); got != want {
				t.Errorf("%s: synchronous is %d, not %d", when, got, want)
			}
			return errors.Join(insert(n)(tx), end)
		})
		if !errors.Is(err, end) {
			t.Errorf("%s: %v", when, err)
		}
	}
	stop := errors.New("stop")
	expect("at first", db.Update, full, 2, nil)
	expect("loose", db.UpdateLoose, normal, 3, nil)
	expect("after a loose one", db.Update, full, 4, nil)
	expect("loose, and fails", db.UpdateLoose, normal, 5, stop)
	expect("after one that failed", db.Update, full, 6, nil)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = db.UpdateLoose(ctx, func(*Tx) error { panic("stop") })
	}()
	expect("after one that panicked", db.Update, full, 7, nil)
	if got := answer(t, db, "SELECT group_concat(n) FROM number"); got != "1,2,3,4,6,7" {
		t.Errorf("what remains: %s", got)
	}
}
