package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

var _ engine.Index = (*Store)(nil)

// open opens the index in dir and, when the test is over, checks every
// invariant of it.
func open(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { finish(tb, s) })
	return s
}

func finish(tb testing.TB, s *Store) {
	tb.Helper()
	if err := s.CheckConsistency(context.Background()); err != nil {
		tb.Error(err)
	}
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

func settle(tb testing.TB, s *Store, st *plan.Settlement) {
	tb.Helper()
	if err := s.Settle(context.Background(), st); err != nil {
		tb.Fatal(err)
	}
}

// pair is a mailbox pair as it is after its first scan.
func pair(name mail.MailboxName) *plan.BoxRecord {
	return &plan.BoxRecord{Side: [2]plan.BoxSide{
		plan.Local:  {Name: name, Epoch: "1", Cursor: "c"},
		plan.Remote: {Name: name, Epoch: "1763640000", Cursor: "c"},
	}}
}

// withPairs is an index with these mailboxes; their IDs are 1, 2, ….
func withPairs(tb testing.TB, names ...mail.MailboxName) *Store {
	tb.Helper()
	s := open(tb, tb.TempDir())
	var st plan.Settlement
	for _, n := range names {
		st.Boxes = append(st.Boxes, pair(n))
	}
	settle(tb, s, &st)
	return s
}

// paired is a message that lies in box on both sides.
func paired(box mail.BoxID, local, remote mail.Ref) *plan.Row {
	return &plan.Row{
		At:    [2]plan.Place{plan.Local: {Box: box, Ref: local}, plan.Remote: {Box: box, Ref: remote}},
		Epoch: [2]string{"1", "1763640000"},
	}
}

// must makes a test end where something that has to work did not.
func must[T any](tb testing.TB) func(T, error) T {
	return func(v T, err error) T {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
		return v
	}
}

// dump is a readable text of a list, one line an element, for comparisons.
// Times, digests and sets of flags print themselves.
func dump[T any](list []T) string {
	var b strings.Builder
	for _, v := range list {
		fmt.Fprintf(&b, "%+v\n", v)
	}
	return b.String()
}

func same[T any](tb testing.TB, what string, got, want []T) {
	tb.Helper()
	if g, w := dump(got), dump(want); g != w {
		tb.Errorf("%s: got\n%swant\n%s", what, g, w)
	}
}

func known(tb testing.TB, s *Store, side plan.Side, box mail.BoxID) []plan.Known {
	tb.Helper()
	var out []plan.Known
	err := s.Known(context.Background(), side, box, func(k plan.Known) error { out = append(out, k); return nil })
	if err != nil {
		tb.Fatal(err)
	}
	slices.SortFunc(out, func(a, b plan.Known) int { return int(a.Row - b.Row) })
	return out
}

func allRows(tb testing.TB, s *Store) []plan.Row {
	tb.Helper()
	return must[[]plan.Row](tb)(s.RowsByState(context.Background(), plan.Paired, plan.Unbound, plan.Kept, plan.Outside))
}
