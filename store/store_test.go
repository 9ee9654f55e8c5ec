package store

import (
	"context"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// open opens the index in dir and, when the test is over, checks every
// invariant of it.
func open(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(context.Background(), dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.CheckConsistency(context.Background()); err != nil {
			tb.Error(err)
		}
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
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
