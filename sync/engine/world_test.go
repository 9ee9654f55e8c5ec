package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// world is an account on both sides with its index.
type world struct {
	local, remote *sidetest.Memory
	index         *sidetest.MemoryIndex
	now           time.Time
	opts          engine.Options // Policy, Mode and the like for the next run
	events        []engine.Event
	kept          *keeper
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

func newWorld() *world {
	w := &world{
		local: sidetest.NewMemory(sidetest.Maildir), remote: sidetest.NewMemory(sidetest.Server),
		index: sidetest.NewMemoryIndex(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		kept: &keeper{},
	}
	clock := func() time.Time { return w.now }
	w.local.Clock, w.remote.Clock = clock, clock
	w.opts = engine.Options{
		Account: "test", Mode: "mirror", Policy: plan.Mirror(), Bound: "me@server",
		GuardPercent: 25, KeepsRef: [2]bool{true, false},
	}
	return w
}

func (w *world) run(t fataler, change ...func(*engine.Options)) *engine.Report {
	t.Helper()
	rep, err := w.try(change...)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	return rep
}

// try runs once, and checks the index after.
func (w *world) try(change ...func(*engine.Options)) (*engine.Report, error) {
	o := w.opts
	o.Local, o.Remote, o.Index, o.Keeper = w.local.Open(), w.remote.Open(), w.index, w.kept
	if o.Scope == nil {
		o.Scope = func(mail.MailboxName, mail.Role) bool { return true }
	}
	w.events = nil
	o.Clock = func() time.Time { return w.now }
	o.Observer = func(e engine.Event) { w.events = append(w.events, e) }
	for _, c := range change {
		c(&o)
	}
	rep, err := engine.Run(context.Background(), o)
	o.Local.Close()
	o.Remote.Close()
	w.now = w.now.Add(time.Minute)
	if e := w.index.CheckConsistency(); e != nil {
		return rep, fmt.Errorf("the index is inconsistent: %w", e)
	}
	return rep, err
}

// agree fails unless both sides hold the same and a further run does nothing.
func (w *world) agree(t fataler) {
	t.Helper()
	if d := sidetest.Compare(w.local.Snapshot(), w.remote.Snapshot()); d != "" {
		t.Fatalf("local and remote differ:\n%s", d)
	}
	w.quiet(t)
}

// quiet fails unless a further run has no effect on either side and reads no body.
func (w *world) quiet(t fataler) {
	t.Helper()
	w.local.ResetCounts()
	w.remote.ResetCounts()
	rep := w.run(t)
	if n, m := w.local.Effects(), w.remote.Effects(); n+m > 0 {
		t.Fatalf("a further run had %d effects on the local and %d on the remote side: %v", n, m, w.actions())
	}
	if n := w.remote.Bodies(); n > 0 {
		t.Fatalf("a further run read %d bodies", n)
	}
	if rep.Exit() != 0 {
		t.Fatalf("a further run ends with %d: %v", rep.Exit(), rep.Faults)
	}
	before := w.index.Writes()
	w.run(t)
	if n := w.index.Writes() - before; n > 0 {
		t.Fatalf("the run after that wrote to the index %d times: %v", n, w.actions())
	}
}

func (w *world) actions() []string {
	var out []string
	for _, e := range w.events {
		if e.Kind == engine.Action || e.Kind == engine.Faulted || e.Kind == engine.Held || e.Kind == engine.Noted {
			out = append(out, fmt.Sprintf("%d %s %s %s %s %s %s", e.Kind, e.Verb, e.Side, e.Mailbox, e.To, letterOf(e.Digest), e.Text))
		}
	}
	return out
}

func letter(n int) string {
	return fmt.Sprintf("From: a@example.org\r\nTo: b@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\nHello %d\r\n", n, n, n)
}

var day = time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)

// fill puts n letters in a mailbox of the server and syncs.
func (w *world) fill(t fataler, box mail.MailboxName, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		w.remote.Deliver(box, letter(i), mail.FlagSet{}, day.Add(time.Duration(i)*time.Minute))
	}
	w.run(t)
}

// find gives the Ref of letter n in a mailbox of a side, "" if it is not there.
func find(m *sidetest.Memory, box mail.MailboxName, n int) mail.Ref {
	for _, msg := range m.Snapshot()[box] {
		if string(sidetest.Canonical(msg.Body)) == letter(n) {
			return msg.Ref
		}
	}
	return ""
}

func flags(m *sidetest.Memory, box mail.MailboxName, n int) string {
	for _, msg := range m.Snapshot()[box] {
		if string(sidetest.Canonical(msg.Body)) == letter(n) {
			return msg.Flags.String()
		}
	}
	return "absent"
}

func need(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Fatalf(format, args...)
	}
}

// letterOf names a letter by its digest, for the reader of a failed test.
func letterOf(d mail.Digest) string {
	for n := range 200 {
		if id, err := mail.Identify(strings.NewReader(letter(n))); err == nil && id.Body == d {
			return fmt.Sprintf("(letter %d)", n)
		}
	}
	return ""
}
