package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// openAs opens the index as a godwit did that knew so many migrations.
func openAs(t *testing.T, dir string, version int) (*sqlite.DB, error) {
	t.Helper()
	now := must[sqlite.Schema](t)(schema())
	then, files := fstest.MapFS{}, must[[]string](t)(fs.Glob(now.Migrations, "*.sql"))
	for _, name := range files[:version] {
		then[name] = &fstest.MapFile{Data: must[[]byte](t)(fs.ReadFile(now.Migrations, name))}
	}
	now.Migrations = then
	return sqlite.Open(t.Context(), filepath.Join(dir, IndexFile), now)
}

// writtenAt1 is an index as the first version of the schema left it, with 120
// messages in INBOX and 3 on one side alone. It gives the rows.
func writtenAt1(t *testing.T, dir string) []plan.Row {
	t.Helper()
	db := must[*sqlite.DB](t)(openAs(t, dir, 1))
	s := &Store{db: db}
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{pair("INBOX"), pair("Work")}})
	var rows []plan.Row
	for i := range 123 {
		r := generated(1, i)
		r.ID = int64(i + 1)
		if i >= 120 {
			r.At[plan.Remote], r.Epoch[plan.Remote], r.State = plan.Place{}, "", plan.Kept
		}
		rows = append(rows, *r)
	}
	err := db.Update(t.Context(), func(tx *sqlite.Tx) error {
		flags := flagTexts{}
		return errors.Join(
			tx.Insert(addMessages, len(rows), func(args []any, i int) []any { return appendMessage(args, rows[i].ID, &rows[i], flags) }),
			tx.Exec("UPDATE sequence SET next = 124 WHERE name = 'message'"))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return rows
}

// counted fails unless so many messages are bound in INBOX on each side, by
// the count that is kept and by counting.
func counted(t *testing.T, s *Store, local, remote int) {
	t.Helper()
	inbox := must[[]plan.BoxRecord](t)(s.Boxes(t.Context()))[0]
	if inbox.Side[plan.Local].Known != local || inbox.Side[plan.Remote].Known != remote {
		t.Errorf("%d and %d are bound, not %d and %d", inbox.Side[plan.Local].Known, inbox.Side[plan.Remote].Known, local, remote)
	}
	if err := s.CheckConsistency(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestIndexOfAnOlderGodwit: an index that an older godwit filled is brought up
// to date with all that is in it, also by a process that died between two steps of
// that; until then it is not read, and after that not by the older one.
func TestIndexOfAnOlderGodwit(t *testing.T) {
	for _, died := range []int{0, 1, 2} { // after so many steps
		dir := t.TempDir()
		rows := writtenAt1(t, dir)
		if died > 0 {
			if err := must[*sqlite.DB](t)(openAs(t, dir, died)).Close(); err != nil {
				t.Fatal(err)
			}
		}
		_, err := OpenReadOnly(t.Context(), dir)
		if !errors.Is(err, sqlite.ErrOlder) || !strings.Contains(err.Error(), "run a sync") {
			t.Fatalf("opened for reading: %v", err)
		}
		s := must[*Store](t)(Open(t.Context(), dir))
		same(t, "rows", allRows(t, s), rows)
		counted(t, s, 123, 120)

		more, moved := generated(1, 200), rows[0]
		moved.At[plan.Local].Box, moved.At[plan.Remote].Box = 2, 2
		flagged := rows[1]
		flagged.Flags[plan.Local] = mail.NewFlagSet(mail.Flagged)
		settle(t, s, &plan.Settlement{Drop: []int64{3, 121}, Put: []*plan.Row{more, &moved}, Flags: []*plan.Row{&flagged}})
		counted(t, s, 121, 119)
		same(t, "flags", must[[]plan.Row](t)(s.Rows(t.Context(), []int64{2})), []plan.Row{flagged})
		finish(t, s)
		for version := 1; version < 3; version++ {
			if _, err := openAs(t, dir, version); !errors.Is(err, sqlite.ErrNewer) {
				t.Errorf("version %d opened it: %v", version, err)
			}
		}
	}
}
