package sqlite

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestInsert: whatever rows agree on, and however many there are, what is
// written is what one statement a row writes.
func TestInsert(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one+`
		CREATE TABLE thing (id INTEGER PRIMARY KEY, kind TEXT, size INTEGER, data BLOB, note TEXT) STRICT;`))
	columns := []struct {
		what  string
		value func(i int) any
	}{
		{"all alike", func(int) any { return "x" }},
		{"none", func(int) any { return nil }},
		{"all different", func(i int) any { return fmt.Sprint(i) }},
		{"a few", func(i int) any { return []any{nil, "", "x"}[i%3] }},
		{"the last differs", func(i int) any { return []any{"x", "y"}[(i+1)%100/99] }},
		{"later ones differ", func(i int) any { return []any{"x", nil}[i/120%2] }},
	}
	for _, n := range []int{0, 1, 2, insertRows - 1, insertRows, insertRows + 1, 5*insertRows + 7} {
		for _, c := range columns {
			var want strings.Builder
			err := db.Update(ctx, func(tx *Tx) error {
				return errors.Join(tx.Exec("DELETE FROM thing"), tx.Insert(Insert{Into: "thing (id, kind, size, data, note)"}, n, func(args []any, i int) []any {
					fmt.Fprintf(&want, "%d %v 7 %02X -;", i, c.value(i), i%256)
					return append(args, int64(i), c.value(i), int64(7), []byte{byte(i)}, nil)
				}))
			})
			got := answer(t, db, `SELECT coalesce(group_concat(id || ' ' || coalesce(kind, '<nil>') || ' ' || size || ' ' || hex(data) || ' ' || coalesce(note, '-') || ';', ''), '')
				FROM (SELECT * FROM thing ORDER BY id)`)
			if err != nil || got != want.String() {
				t.Errorf("%d rows, %s: %v\ngot  %s\nwant %s", n, c.what, err, got, want.String())
			}
		}
	}
}

// TestInsertOverWhatIsThere, and what a statement that fails leaves.
func TestInsertOverWhatIsThere(t *testing.T) {
	ctx := context.Background()
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one+"CREATE TABLE thing (id INTEGER PRIMARY KEY, n INTEGER) STRICT;"))
	put := Insert{Into: "thing (id, n)", Else: "ON CONFLICT (id) DO UPDATE SET n = excluded.n"}
	err := db.Update(ctx, func(tx *Tx) error {
		for _, n := range []int64{1, 2} {
			if err := tx.Insert(put, 120, func(args []any, i int) []any { return append(args, int64(i), n) }); err != nil {
				return err
			}
		}
		add := Insert{Into: "thing (id, n)"}
		err := tx.Insert(add, 60, func(args []any, i int) []any { return append(args, int64(1000-15*i), int64(3)) })
		if !errors.Is(err, ErrConstraint) {
			t.Errorf("a row that is there: %v", err)
		}
		if err := tx.Insert(add, 1, func(args []any, i int) []any { return append(args, int64(5000), 4) }); err == nil {
			t.Error("a value of a type that the driver does not take")
		}
		return nil
	})
	view := func(tx *Tx) error {
		return tx.Insert(put, 1, func(args []any, i int) []any { return append(args, int64(1), int64(4)) })
	}
	if db.View(ctx, view) == nil {
		t.Error("a View wrote")
	}
	if got := answer(t, db, "SELECT count(*) || ' ' || sum(n = 2) || ' ' || sum(n = 3) FROM thing"); err != nil || got != "170 120 50" {
		t.Errorf("%v, %s", err, got)
	}
}

// TestInsertBindsOnce what rows agree on, and writes many with a statement.
func TestInsertBindsOnce(t *testing.T) {
	db := mustOpen(t, filepath.Join(t.TempDir(), "x.db"), versions(one+"CREATE TABLE thing (id INTEGER PRIMARY KEY, a TEXT, b TEXT) STRICT;"))
	var statements []string
	db.Watch = func(statement string) { statements = append(statements, statement) }
	err := db.Update(context.Background(), func(tx *Tx) error {
		return tx.Insert(Insert{Into: "thing (id, a, b)"}, 3*insertRows, func(args []any, i int) []any {
			return append(args, int64(i), "x", fmt.Sprint(i/(2*insertRows)*i))
		})
	})
	if err != nil || len(statements) != 3 || statements[0] != statements[1] || statements[2] == statements[0] ||
		!strings.HasPrefix(statements[0], "INSERT INTO thing (id, a, b) VALUES (?3,?1,?2),(?4,?1,?2),") ||
		!strings.HasPrefix(statements[2], "INSERT INTO thing (id, a, b) VALUES (?2,?1,?3),(?4,?1,?5),") {
		t.Error(err, statements)
	}
}
