package store

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// An inStep is an account in memory that is in step, with a real index.
type inStep struct {
	tb            testing.TB
	store         *Store
	local, remote *sidetest.Memory
	refs          []mail.Ref // of INBOX on the server
	now           time.Time
}

// newInStep fills INBOX of the server with n messages and brings both sides in step.
func newInStep(tb testing.TB, n int) *inStep {
	tb.Helper()
	a := &inStep{tb: tb, store: open(tb, tb.TempDir()), local: sidetest.NewMemory(sidetest.Maildir), remote: sidetest.NewMemory(sidetest.Server), now: time.Unix(1_770_000_000, 0)}
	for range n {
		a.deliver()
	}
	a.run()
	a.run()
	return a
}

func (a *inStep) deliver() {
	n := len(a.refs)
	text := fmt.Sprintf("From: a@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\nHello %d\r\n", n, n, n)
	a.refs = append(a.refs, a.remote.Deliver("INBOX", text, mail.FlagSet{}, a.now))
}

func (a *inStep) run() *engine.Report {
	a.tb.Helper()
	local, remote := a.local.Open(), a.remote.Open()
	a.now = a.now.Add(time.Minute)
	rep, err := engine.Run(context.Background(), engine.Options{
		Account: "test", Mode: "mirror", Policy: plan.Mirror(), Bound: "me@server", KeepsRef: [2]bool{true, false},
		Local: local, Remote: remote, Index: a.store, Clock: func() time.Time { return a.now }, GuardPercent: 25,
		Scope: func(mail.MailboxName, mail.Role) bool { return true },
	})
	if err != nil || rep.Exit() != 0 {
		a.tb.Fatal(err, rep.Faults)
	}
	_, _ = local.Close(), remote.Close()
	return rep
}

// BenchmarkRun tells what a run costs the engine and the index, a message
// where the work grows with the messages.
func BenchmarkRun(b *testing.B) {
	for _, n := range []int{5_000, 20_000, 80_000} {
		for _, c := range []struct {
			name    string
			change  func(a *inStep, i int)
			whole   bool // the work is that of the whole mailbox
			changed int
		}{
			{"nothing", func(*inStep, int) {}, false, 1},
			{"message", func(a *inStep, i int) { a.deliver() }, false, 1},
			{"flags", func(a *inStep, i int) {
				for _, ref := range a.refs[:200] {
					a.remote.SetFlags("INBOX", ref, mail.NewFlagSet(mail.Flag(fmt.Sprint("k", i))))
				}
			}, false, 200},
			{"deletions", func(a *inStep, i int) {
				for _, ref := range a.refs[:1000] {
					a.remote.Expunge("INBOX", ref)
				}
				a.refs = a.refs[1000:]
			}, false, 1000},
			{"reset", func(a *inStep, i int) { a.remote.ResetEpoch("INBOX") }, true, 0},
			{"adoption", func(a *inStep, i int) { a.store = open(a.tb, a.tb.TempDir()) }, true, 0},
			{"pull", func(a *inStep, i int) {
				a.store, a.local = open(a.tb, a.tb.TempDir()), sidetest.NewMemory(sidetest.Maildir)
			}, true, 0},
			{"push", func(a *inStep, i int) {
				a.store, a.remote = open(a.tb, a.tb.TempDir()), sidetest.NewMemory(sidetest.Server)
			}, true, 0},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				a := newInStep(b, n)
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					b.StopTimer()
					if i > 0 {
						a.run() // sees what the last one did
					}
					c.change(a, i)
					b.StartTimer()
					a.run()
				}
				each := float64(c.changed)
				if c.whole {
					each = float64(n)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/each, "µs/message")
			})
		}
	}
}
