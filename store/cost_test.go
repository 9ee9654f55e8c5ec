package store

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// watched runs an account once and gives the different statements of the run,
// and how many transactions wrote.
func (a *inStep) watched() (statements []string) {
	a.tb.Helper()
	var mu sync.Mutex
	seen := map[string]bool{}
	a.store.db.Watch = func(statement string) {
		mu.Lock()
		defer mu.Unlock()
		if !seen[statement] {
			seen[statement] = true
			statements = append(statements, statement)
		}
	}
	a.run()
	a.store.db.Watch = nil
	return statements
}

// parameters is how many a statement has: those without a number count on
// from the highest before (https://www.sqlite.org/lang_expr.html#varparam).
func parameters(statement string) (count int) {
	for _, rest := range strings.Split(statement, "?")[1:] {
		digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
		if number, err := strconv.Atoi(digits); err == nil {
			count = max(count, number)
		} else {
			count++
		}
	}
	return count
}

// queryPlan is what SQLite means to do for a statement.
func queryPlan(t *testing.T, s *Store, statement string) (lines []string) {
	t.Helper()
	args := make([]any, parameters(statement))
	err := s.db.View(t.Context(), func(tx *sqlite.Tx) error {
		return tx.Each("EXPLAIN QUERY PLAN "+statement, args, func(rows *sql.Rows) error {
			var id, parent, unused int
			var line string
			err := rows.Scan(&id, &parent, &unused, &line)
			lines = append(lines, line)
			return err
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return lines
}

// TestARunReadsWhatChanged: no statement of a run without changes, with few
// changes, or of the run that settles after it goes through all messages, all
// lines of the log, or all runs.
func TestARunReadsWhatChanged(t *testing.T) {
	a := newInStep(t, 60)
	large := []string{"message", "event", "run", "kept"}
	check := func(what string, few bool) {
		t.Helper()
		statements := a.watched()
		if len(statements) == 0 {
			t.Errorf("%s: no statement was seen", what)
		}
		for _, statement := range statements {
			for _, line := range queryPlan(t, a.store, statement) {
				word := strings.Fields(line + " . .")
				if word[0] == "SCAN" && slices.Contains(large, word[1]) && !firstRowOnly(statement, word[1]) {
					t.Errorf("%s: %s\nof %s", what, line, statement)
				}
			}
		}
		if few && slices.ContainsFunc(statements, func(s string) bool { return s == knownQueries[0] || s == knownQueries[1] }) {
			t.Errorf("%s: a mailbox was read whole", what)
		}
	}
	check("nothing changed", true)
	a.deliver()
	check("a new message", true)
	check("the run after it", false) // the Maildir is listed: it has no cursor that tells more
	check("and the one after that", true)
	for _, ref := range a.refs[:20] {
		a.remote.SetFlags("INBOX", ref, mail.NewFlagSet(mail.Flagged))
	}
	check("flags", true)
	for _, ref := range a.refs[30:35] {
		a.remote.Expunge("INBOX", ref)
	}
	check("deletions", false)
	check("the run after deletions", false)
}

// firstRowOnly tells of the statements that read a table from its beginning and
// stop at the first row that is not too old, or count nothing but its end.
func firstRowOnly(statement, table string) bool {
	first := "FROM " + table + " WHERE at >= ? ORDER BY id LIMIT 1"
	if table == "run" {
		first = "FROM run WHERE ended >= ? ORDER BY id LIMIT 1"
	}
	return strings.Contains(statement, first)
}

// TestNothingChangedWritesNothing: not one byte of the index, nor the times of
// its files, differ after a run that finds nothing.
func TestNothingChangedWritesNothing(t *testing.T) {
	a := newInStep(t, 30)
	state := func() (out []string) {
		files, err := filepath.Glob(a.store.db.Path() + "*")
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "-shm") {
				continue // shared memory of the readers
			}
			info, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, fmt.Sprint(filepath.Base(name), info.Size(), info.ModTime().UnixNano()))
		}
		return out
	}
	before := state()
	a.run()
	if after := state(); !slices.Equal(before, after) {
		t.Errorf("before %v\nafter %v", before, after)
	}
}

// TestKnownAtTakesAnyName: the name of a file is bytes, whatever they are.
func TestKnownAtTakesAnyName(t *testing.T) {
	s := open(t, t.TempDir())
	box := mailboxOf(t, s, 300)
	odd := generated(box, 1000)
	odd.At[0].Ref = "1763640000.\xff\xfe'\"%;.host"
	settle(t, s, &plan.Settlement{Put: []*plan.Row{odd}})
	refs := []mail.Ref{"not there", odd.At[0].Ref}
	for i := range 200 {
		refs = append(refs, generated(box, i).At[0].Ref)
	}
	got := map[mail.Ref]int64{}
	bound, err := s.KnownAt(context.Background(), 0, box, refs, func(k plan.Known) error { got[k.Ref] = k.Row; return nil })
	if err != nil || bound != 301 || len(got) != 201 || got[odd.At[0].Ref] != odd.ID {
		t.Errorf("%d bound, %d found, %v", bound, len(got), err)
	}
}
