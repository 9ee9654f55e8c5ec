package restore

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var day = time.Date(2026, 11, 1, 8, 0, 0, 0, time.FixedZone("", 3600))

// letter is a message; the letters with one number are the same.
func letter(n int) string {
	return fmt.Sprintf("From: a@example.com\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@example.com>\r\nSubject: letter %d\r\n\r\nHello %d\r\n", n, n, n)
}

func wire(t *testing.T, n int) mail.Digest {
	t.Helper()
	return wireOf(t, letter(n))
}

// A world is mail of the past, a target, and what remembers the pair.
type world struct {
	past, target *sidetest.Memory
	on           plan.Side
	index        *sidetest.MemoryIndex
	now          time.Time
}

func newWorld(on plan.Side) *world {
	w := &world{past: sidetest.NewMemory(sidetest.Server), on: on, index: sidetest.NewMemoryIndex(), now: day.AddDate(0, 0, 19)}
	w.target = sidetest.NewMemory([2]sidetest.Kind{sidetest.Maildir, sidetest.Server}[on])
	w.past.Traits = sidetest.FullServer()
	clock := func() time.Time { return w.now }
	w.past.Clock, w.target.Clock = clock, clock
	return w
}

// clone is the world with an index of its own.
func (w *world) clone() *world {
	c := *w
	c.past, c.target, c.index = w.past.Clone(), w.target.Clone(), w.index.Clone()
	clock := func() time.Time { return c.now }
	c.past.Clock, c.target.Clock = clock, clock
	return &c
}

func (w *world) options() Options {
	return Options{Account: "test", Clock: func() time.Time { return w.now }}
}

// all are parts that bring everything back to where it was.
func (w *world) all() []Part {
	var parts []Part
	side := w.past.Open()
	for name := range w.past.Snapshot() {
		parts = append(parts, Part{From: side, Mailbox: name, To: name})
	}
	return parts
}

// add restores parts through f.
func (w *world) add(parts []Part, f *sidetest.Faults) (Sum, error) {
	w.now = w.now.Add(3 * time.Hour)
	target := w.target.Open()
	defer target.Close()
	t := Target{Side: sidetest.Faulty(target, f, "target"), On: w.on, Index: sidetest.FaultyIndex(w.index, f), Bound: "target"}
	return Add(context.Background(), Select(parts, false), t, w.options())
}

func (w *world) mustAdd(t *testing.T, parts []Part) Sum {
	t.Helper()
	sum, err := w.add(parts, &sidetest.Faults{})
	if err != nil || sum.Exit != 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	return sum
}

// want fails unless the target holds just that.
func (w *world) want(t *testing.T, want sidetest.Snapshot) {
	t.Helper()
	if d := sidetest.Compare(want, w.target.Snapshot()); d != "" {
		t.Fatalf("first what is wanted, second the target:\n%s", d)
	}
}
