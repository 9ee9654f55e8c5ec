package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Every invariant can be found broken.
func TestCheckConsistencyFinds(t *testing.T) {
	for name, c := range map[string]struct{ spoil, finds string }{
		"a ref bound twice":       {"UPDATE message SET local_ref = 'a'", "UNIQUE"},
		"paired with one place":   {"UPDATE message SET remote_box = NULL, remote_epoch = NULL, remote_ref = NULL", "a message is paired if"},
		"no place at all":         {"UPDATE message SET state = 1, local_box = NULL, local_epoch = NULL, local_ref = NULL, remote_box = NULL, remote_epoch = NULL, remote_ref = NULL", "at least one side"},
		"half a place":            {"UPDATE message SET state = 1, remote_box = NULL", "is whole: mailbox"},
		"another epoch":           {"UPDATE mailbox_side SET epoch = 'new' WHERE side = 1", "epoch"},
		"a mailbox without name":  {"UPDATE mailbox_side SET name = '' WHERE side = 0", "never had"},
		"a mailbox with no names": {"UPDATE mailbox_side SET name = '' WHERE mailbox = 2", "a name on at least one side"},
		"half a mailbox":          {"DELETE FROM mailbox_side WHERE mailbox = 2 AND side = 1", "both its halves"},
		"a mailbox that is gone":  {"DELETE FROM mailbox", "refers to a row of mailbox that does not exist"},
		"a short digest":          {"UPDATE message SET local_body = X'00'", "32 bytes"},
		"a needless difference":   {"UPDATE message SET remote_size = local_size", "only where it differs"},
		"a cursor over something pending": {`INSERT INTO pending VALUES (1, 1, '9', 1, 0, '', '', 0, 0, 0, '', 0, NULL, NULL, NULL, NULL)`,
			"has no cursor"},
		"pending nowhere":      {`INSERT INTO pending VALUES (1, 7, '9', 1, 0, '', '', 0, 0, 0, '', 0, NULL, NULL, NULL, NULL)`, "mailboxes that exist"},
		"held nothing":         {"INSERT INTO held VALUES (9, 1, 0, 0)", "a held deletion is of a message"},
		"flags of nothing":     {"INSERT INTO changed VALUES (9, '', '', '')", "a message that exists"},
		"a number given twice": {"UPDATE sequence SET next = 1 WHERE name = 'message'", "given once"},
		"no numbers":           {"DELETE FROM sequence WHERE name = 'run'", "four sequences"},
	} {
		t.Run(name, func(t *testing.T) {
			s := must[*Store](t)(Open(context.Background(), t.TempDir()))
			settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{pair("INBOX"), pair("Other")}})
			settle(t, s, &plan.Settlement{Put: []*plan.Row{paired(1, "a", "1"), paired(1, "b", "2")}})
			if err := s.CheckConsistency(context.Background()); err != nil {
				t.Fatal(err)
			}
			refused := spoil(t, s, c.spoil)
			err := errors.Join(refused, s.CheckConsistency(context.Background()))
			if err == nil || !strings.Contains(err.Error(), c.finds) {
				t.Errorf("found %v, want %s", err, c.finds)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// spoil writes to the database behind the store's back, with all that can be switched
// off switched off, and returns the error with which SQLite refuses it even so.
func spoil(t *testing.T, s *Store, statements string) error {
	t.Helper()
	raw := must[*sql.DB](t)(sql.Open("sqlite3", s.db.Path()))
	_, err := raw.Exec("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; " + statements)
	if e := raw.Close(); e != nil {
		t.Error(e)
	}
	return err
}

func TestOpenRefuses(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if _, err := OpenReadOnly(ctx, dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no index: %v", err)
	}
	if left := must[[]fs.DirEntry](t)(os.ReadDir(dir)); len(left) > 0 {
		t.Errorf("looking left %v", left)
	}
	s := must[*Store](t)(Open(ctx, dir))
	finish(t, s)
	for _, c := range []struct {
		spoil string
		want  error
	}{
		{"PRAGMA user_version = 99", sqlite.ErrNewer},
		{"PRAGMA application_id = 1", sqlite.ErrForeign},
	} {
		if err := spoil(t, s, c.spoil); err != nil {
			t.Fatal(err)
		}
		for name, open := range map[string]func(context.Context, string) (*Store, error){"Open": Open, "OpenReadOnly": OpenReadOnly} {
			if _, err := open(ctx, dir); !errors.Is(err, c.want) || mail.GradeOf(err, 0) != mail.GradeAccount {
				t.Errorf("%s after %s: %v", name, c.spoil, err)
			}
		}
	}
}

// Opening, reading and settling nothing leave every file as it was, but
// for SQLite's shared memory.
func TestNothingToDoWritesNothing(t *testing.T) {
	ctx := context.Background()
	dir, _ := withOneRow(t)
	lasting := func() []string {
		return slices.DeleteFunc(files(t, dir), func(f string) bool { return strings.HasPrefix(f, IndexFile+"-shm") })
	}
	before := lasting()
	s := must[*Store](t)(Open(ctx, dir))
	if rows := allRows(t, s); len(rows) != 1 {
		t.Errorf("%d rows", len(rows))
	}
	if err := errors.Join(s.Settle(ctx, &plan.Settlement{}), s.Settle(ctx, &plan.Settlement{Meta: map[string]string{}}), s.Begin(ctx, nil)); err != nil {
		t.Error(err)
	}
	finish(t, s)
	if after := lasting(); !slices.Equal(before, after) {
		t.Errorf("the files changed:\n%v\n%v", before, after)
	}
	if b := must[[]byte](t)(os.ReadFile(filepath.Join(dir, IndexFile))); !strings.HasPrefix(string(b), "SQLite format 3") {
		t.Errorf("%.20q", b)
	}
}
