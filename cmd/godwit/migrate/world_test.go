package migrate

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var day = time.Date(2026, 11, 1, 8, 0, 0, 0, time.FixedZone("", 3600))

// letter is a message; the letters with one number are the same.
func letter(n int) string {
	return fmt.Sprintf("From: a@example.com\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%d@example.com>\r\nSubject: letter %d\r\n\r\nHello %d\r\n", n, n, n)
}

// A world is two servers, and what remembers the pair.
type world struct {
	origin, target *sidetest.Memory
	index          *sidetest.MemoryIndex
	used           map[mail.MailboxName]Used
	to             map[mail.MailboxName]mail.MailboxName // where mailboxes go, if elsewhere; "" is left out
	now            time.Time
	waited         int
	selects        func(mail.Item) bool
	keeps          int  // second copies that were kept
	plainer        bool // names that are refused get another
}

func newWorld() *world {
	w := &world{
		origin: sidetest.NewMemory(sidetest.Server), target: sidetest.NewMemory(sidetest.Server),
		index: sidetest.NewMemoryIndex(), now: day.AddDate(0, 0, 19),
	}
	w.clocks()
	return w
}

func (w *world) clocks() {
	clock := func() time.Time { return w.now }
	w.origin.Clock, w.target.Clock = clock, clock
}

func (w *world) clone() *world {
	c := *w
	c.origin, c.target, c.index, c.used = w.origin.Clone(), w.target.Clone(), w.index.Clone(), maps.Clone(w.used)
	c.clocks()
	return &c
}

// A book remembers in memory.
type book struct {
	w     *world
	kept  int
	fails error
}

func (b *book) Used() (map[mail.MailboxName]Used, error) { return maps.Clone(b.w.used), nil }

func (b *book) Keep(used map[mail.MailboxName]Used) error {
	if b.fails != nil {
		return b.fails
	}
	b.w.used = maps.Clone(used)
	b.kept++
	return nil
}

func (w *world) route(q Question) (routes []Route, notes []string) {
	for _, b := range q.Origin {
		if b.Container {
			continue
		}
		r := Route{From: b.Name, To: b.Name, Use: b.Role}
		if to, ok := w.to[b.Name]; ok {
			r.To, r.Asked = to, to
		}
		refused := slices.Contains(q.Refused, r.To)
		if refused && w.plainer {
			r.To += "-2"
		}
		if u, ok := q.Used[b.Name]; ok && u.To != r.To && !refused {
			r.Moved = u.To
		}
		routes = append(routes, r)
	}
	return routes, nil
}

func (w *world) options(f *sidetest.Faults) Options {
	return Options{
		Account: "a -> b", Index: sidetest.FaultyIndex(w.index, f), Memory: &book{w: w}, Keeper: w, Select: w.selects, Router: w.route, Bound: "both",
		DeltaFlags: true, Clock: func() time.Time { return w.now },
		Open: func(context.Context) (Sides, error) {
			from, to := sidetest.Faulty(w.origin.Open(), f, "origin"), sidetest.Faulty(w.target.Open(), f, "target")
			return Sides{Origin: from, Target: to, Close: func() error { from.Close(); return to.Close() }}, nil
		},
		Wait: func(context.Context, time.Duration) error { w.waited++; return nil },
	}
}

// Keep implements engine.Keeper.
func (w *world) Keep(_ context.Context, _ engine.Kept, _ mail.Identity, body io.Reader) error {
	w.keeps++
	_, err := io.Copy(io.Discard, body)
	return err
}

// run moves the mail through f.
func (w *world) run(f *sidetest.Faults) (*Result, error) {
	w.now = w.now.Add(3 * time.Hour)
	return Run(context.Background(), w.options(f))
}

// must moves all mail.
func (w *world) must(t *testing.T) *Result {
	t.Helper()
	r, err := w.run(&sidetest.Faults{})
	if err != nil || !r.Whole() {
		t.Fatalf("%v, %s", err, describe(r))
	}
	return r
}

func describe(r *Result) string {
	text := fmt.Sprintf("passes %d, waiting %d, faults %v, notes %v", r.Passes, r.Waiting, r.Faults, r.Notes)
	for _, f := range r.Folders {
		text += fmt.Sprintf("\n%+v", *f)
	}
	return text
}

// equal fails unless the target holds just that.
func (w *world) equal(t *testing.T, want sidetest.Snapshot) {
	t.Helper()
	if d := sidetest.Compare(want, w.target.Snapshot()); d != "" {
		t.Fatalf("first what is wanted, second the target:\n%s", d)
	}
}

// filled is a world with mail at the origin.
func filled() *world {
	w := newWorld()
	for n := range 4 {
		w.origin.Deliver("INBOX", letter(n), mail.NewFlagSet(mail.Seen, "$Todo"), day.AddDate(0, 0, n))
	}
	w.origin.Deliver("Work/Deep", letter(4), mail.NewFlagSet(mail.Flagged, mail.Deleted), day)
	w.origin.Deliver("Work/Deep", letter(5), mail.NewFlagSet(mail.Flagged), day)
	w.origin.Deliver("Work/Deep", letter(5), mail.NewFlagSet(mail.Flagged), day) // twice
	w.origin.CreateBox("Empty")
	w.origin.ResetCounts()
	return w
}

var _ engine.Index = (*sidetest.MemoryIndex)(nil)
