package sidetest_test

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// world is an account with its index at one moment.
type world struct {
	local, remote *sidetest.Memory
	index         *sidetest.MemoryIndex
	now           time.Time
	chunk         int // messages; 0 is more than there are
}

func (w *world) clone() *world {
	return &world{w.local.Clone(), w.remote.Clone(), w.index.Clone(), w.now, w.chunk}
}

// drain is a Keeper that reads what it is given and keeps nothing.
type drain struct{}

func (drain) Keep(_ context.Context, _ engine.Kept, _ mail.Identity, body io.Reader) error {
	_, err := io.Copy(io.Discard, body)
	return err
}

// settle runs without a fault, at most so many times, until a run ends well
// and changes nothing on either side.
func (w *world) settle(runs int) (rep *engine.Report, err error) {
	for range runs {
		w.local.ResetCounts()
		w.remote.ResetCounts()
		rep, err = w.run(&sidetest.Faults{})
		if err == nil && rep.Exit() == 0 && w.local.Effects()+w.remote.Effects() == 0 {
			break
		}
	}
	return rep, err
}

// run is one run whose steps are those of f.
func (w *world) run(f *sidetest.Faults) (*engine.Report, error) {
	w.now = w.now.Add(3 * time.Hour)
	clock := func() time.Time { return w.now }
	w.local.Clock, w.remote.Clock = clock, clock
	local, remote := w.local.Open(), w.remote.Open()
	rep, err := engine.Run(context.Background(), engine.Options{
		Account: "test", Mode: "mirror", Policy: plan.Mirror(), Bound: "me@server", KeepsRef: [2]bool{true, false},
		Local: sidetest.Faulty(local, f, "local"), Remote: sidetest.Faulty(remote, f, "remote"),
		Index: sidetest.FaultyIndex(w.index, f), Keeper: sidetest.FaultyKeeper(drain{}, f),
		Scope: func(mail.MailboxName, mail.Role) bool { return true }, Clock: clock,
		ChunkMessages: w.chunk,
	})
	_, _ = local.Close(), remote.Close()
	return rep, err
}

func text(n int) string {
	return fmt.Sprintf("From: a@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\nHello %d\r\n", n, n, n)
}

// eventful is a world that was in step, and in which every kind of thing then
// happened on both sides.
func eventful(t *testing.T, remote sidetest.Traits) *world {
	t.Helper()
	w := &world{sidetest.NewMemory(sidetest.Maildir), sidetest.NewMemory(sidetest.Server), sidetest.NewMemoryIndex(),
		time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 2}
	w.remote.Traits = remote
	day := time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)
	for _, box := range []mail.MailboxName{"Work", "Lists", "Lists/Old"} {
		w.remote.CreateBox(box)
	}
	for i := range 2 {
		w.remote.Deliver(mail.MailboxName(fmt.Sprintf("Old %d", i)), text(400+i), mail.NewFlagSet(mail.Seen), day)
		w.remote.Deliver(mail.MailboxName(fmt.Sprintf("Old %d/Below", i)), text(500+i), mail.FlagSet{}, day)
	}
	for i := range 12 {
		w.remote.Deliver("INBOX", text(i), mail.NewFlagSet(mail.Seen), day.AddDate(0, 0, i))
	}
	if rep, err := w.settle(4); err != nil || rep.Exit() != 0 {
		t.Fatalf("first run: %v, %v", err, rep.Faults)
	}
	for i, m := range []*sidetest.Memory{w.local, w.remote} {
		refs := map[string]mail.Ref{}
		for _, msg := range m.Snapshot()["INBOX"] {
			refs[string(sidetest.Canonical(msg.Body))] = msg.Ref
		}
		n := 6 * i
		for j := range 3 {
			m.Deliver("Work", text(100+10*i+j), mail.NewFlagSet(mail.Flagged), day.AddDate(0, 1, j))
		}
		m.Deliver("INBOX", text(200), mail.FlagSet{}, day) // the same on both
		m.SetFlags("INBOX", refs[text(n)], mail.NewFlagSet(mail.Answered, "todo"))
		m.Move("INBOX", refs[text(n+1)], "Work", true)
		m.Move("INBOX", refs[text(n+2)], "Lists/Old", false)
		m.Expunge("INBOX", refs[text(n+3)])
		m.SetFlags("INBOX", refs[text(n+4)], mail.FlagSet{})
		m.Move("INBOX", refs[text(n+4)], "Lists", true)
		m.Copy("INBOX", refs[text(n+5)], "Lists")
		box := mail.MailboxName(fmt.Sprintf("New %d", i))
		m.Deliver(box, text(300+i), mail.FlagSet{}, day)
	}
	return w
}

// One clean run must mend whatever an interrupted one left. A server that
// never tells where it put something needs more: the next run looks for what
// was sent, and may find that something else is to be sent.
func TestInterruptedAtEveryStep(t *testing.T) {
	cond, blind := sidetest.FullServer(), sidetest.BareServer()
	cond.QResync, cond.GlobalIDs = false, true
	blind.Looks, blind.NoNext = false, true
	for _, tc := range []struct {
		name   string
		traits sidetest.Traits
		runs   int
	}{
		{"full", sidetest.FullServer(), 1}, {"CONDSTORE alone", cond, 1}, {"bare", sidetest.BareServer(), 1}, {"blind", blind, 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			interruptAll(t, eventful(t, tc.traits), tc.runs, sidetest.Modes[:]...)
		})
	}
}

// Renamed mailboxes are renamed on the other side, wherever the process dies.
func TestInterruptedWhileMailboxesAreRenamed(t *testing.T) {
	start := eventful(t, sidetest.FullServer())
	for i, m := range []*sidetest.Memory{start.local, start.remote} {
		m.RenameBox(mail.MailboxName(fmt.Sprintf("Old %d", i)), mail.MailboxName(fmt.Sprintf("Renamed/To %d", i)))
	}
	interruptAll(t, start, 1, sidetest.Modes[:]...)
}

// interruptAll interrupts a run from start at every step in these modes.
func interruptAll(t *testing.T, start *world, runs int, modes ...sidetest.Mode) {
	t.Helper()
	want, steps := start.clone(), &sidetest.Faults{}
	if _, err := want.run(steps); err != nil {
		t.Fatalf("uninterrupted: %v", err)
	}
	if rep, err := want.settle(runs); err != nil || rep.Exit() != 0 {
		t.Fatalf("uninterrupted: %v, %v", err, rep.Faults)
	}
	if d := sidetest.Compare(want.local.Snapshot(), want.remote.Snapshot()); d != "" {
		t.Fatalf("uninterrupted, the sides differ:\n%s", d)
	}
	points := 0
	for n, mode := range sidetest.Points(steps.Steps(), modes...) {
		points++
		interrupt(t, start.clone(), want, n, mode, runs)
	}
	t.Logf("%d points", points)
}

// interrupt runs w with a fault, then without, and holds it against want.
func interrupt(t *testing.T, w, want *world, n int, mode sidetest.Mode, runs int) {
	t.Helper()
	f := &sidetest.Faults{}
	f.FailAt(n, mode)
	_, _ = w.run(f)
	mended(t, f, w, want, runs)
}

// mended runs w, after a run in which f struck, and holds it against want.
func mended(t *testing.T, f *sidetest.Faults, w, want *world, runs int) {
	t.Helper()
	rep, err := w.settle(runs)
	if err != nil || rep.Exit() != 0 {
		t.Errorf("%s: the next run ends with %d, %v, %v", f.Hit(), rep.Exit(), err, rep.Faults)
	}
	if err := w.index.CheckConsistency(); err != nil {
		t.Errorf("%s: the index: %v", f.Hit(), err)
	}
	for side, pair := range [][2]*sidetest.Memory{{want.local, w.local}, {want.remote, w.remote}} {
		if d := sidetest.Compare(pair[0].Snapshot(), pair[1].Snapshot()); d != "" {
			t.Errorf("%s: the %s side differs from the uninterrupted:\n%s", f.Hit(), plan.Side(side), d)
		}
	}
	w.local.ResetCounts()
	w.remote.ResetCounts()
	if _, err := w.run(&sidetest.Faults{}); err != nil {
		t.Errorf("%s: a further run: %v", f.Hit(), err)
	}
	if e := w.local.Effects() + w.remote.Effects(); e > 0 {
		t.Errorf("%s: a further run has %d effects", f.Hit(), e)
	}
}
