package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// askedIndex counts what a run asks of an index about messages.
type askedIndex struct {
	*sidetest.MemoryIndex
	all, at, rows int // mailboxes read whole, refs and rows asked for
}

func (x *askedIndex) Known(ctx context.Context, s plan.Side, box mail.BoxID, yield func(plan.Known) error) error {
	x.all++
	return x.MemoryIndex.Known(ctx, s, box, yield)
}

func (x *askedIndex) KnownAt(ctx context.Context, s plan.Side, box mail.BoxID, refs []mail.Ref, yield func(plan.Known) error) (int, error) {
	x.at += len(refs)
	return x.MemoryIndex.KnownAt(ctx, s, box, refs, yield)
}

func (x *askedIndex) RowsIn(ctx context.Context, box mail.BoxID) ([]plan.Row, error) {
	x.all++
	return x.MemoryIndex.RowsIn(ctx, box)
}

func (x *askedIndex) Rows(ctx context.Context, ids []int64) ([]plan.Row, error) {
	x.rows += len(ids)
	return x.MemoryIndex.Rows(ctx, ids)
}

// ask runs once and tells what was asked.
func (w *world) ask(t *testing.T) *askedIndex {
	t.Helper()
	x := &askedIndex{MemoryIndex: w.index}
	w.run(t, func(o *engine.Options) { o.Index = x })
	return x
}

// TestADeltaAsksForWhatItShows: what changed is looked up in the index, the
// rest of the mailbox is not read.
func TestADeltaAsksForWhatItShows(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 30)
	w.agree(t)
	if x := w.ask(t); x.all+x.at+x.rows != 0 {
		t.Errorf("with nothing changed, %d mailboxes were read, %d refs and %d rows asked for", x.all, x.at, x.rows)
	}
	w.remote.Deliver("INBOX", letter(77), mail.FlagSet{}, day)
	w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 3), mail.NewFlagSet(mail.Seen))
	w.remote.Expunge("INBOX", find(w.remote, "INBOX", 4))
	x := w.ask(t)
	if x.all != 0 || x.at != 3 {
		t.Errorf("for three changes, %d mailboxes were read whole and %d refs asked for", x.all, x.at)
	}
	w.agree(t)
}

// TestAGreatDeltaIsWhole: when more comes than is put aside, the mailbox is
// loaded in the middle of the scan and nothing is missed.
func TestAGreatDeltaIsWhole(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 20)
	w.agree(t)
	w.remote.Expunge("INBOX", find(w.remote, "INBOX", 4))
	w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 5), mail.NewFlagSet(mail.Seen))
	for n := range 2100 {
		w.remote.Deliver("INBOX", letter(1000+n), mail.FlagSet{}, day)
	}
	if x := w.ask(t); x.all != 1 || x.at != 0 {
		t.Errorf("%d mailboxes were read whole, %d refs asked for", x.all, x.at)
	}
	w.agree(t)
}

// expecting is a side that notes which scans are announced and asked for.
type expecting struct {
	engine.Writer
	announced []plan.Expected
	asked     []plan.Expected
}

func (e *expecting) ExpectScans(next []plan.Expected) { e.announced = append(e.announced, next...) }

func (e *expecting) ExpectFetch(mail.BoxID, []mail.Ref) {}

func (e *expecting) ExpectResolves([]plan.Intent) {}

func (e *expecting) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	e.asked = append(e.asked, plan.Expected{Box: box, Since: since})
	return e.Writer.Scan(ctx, box, since, yield)
}

func TestScansAreAnnounced(t *testing.T) {
	w := newWorld()
	w.remote.CreateBox("Work")
	w.fill(t, "INBOX", 0, 3)
	w.agree(t)
	w.remote.Deliver("INBOX", letter(7), mail.FlagSet{}, day)
	w.remote.Deliver("Work", letter(8), mail.FlagSet{}, day)
	side := &expecting{Writer: w.remote.Open()}
	w.run(t, func(o *engine.Options) { o.Remote = side })
	if len(side.asked) != 2 || !slices.Equal(side.announced, side.asked) {
		t.Errorf("announced %v, asked for %v", side.announced, side.asked)
	}
	w.agree(t)
}

// TestFewTransactions: each costs a wait for the disk. One with what must be
// known before the effect, one with what became of it, one with the end; the
// last two are one where copies are all there is to do, and where nothing but
// flags is to be changed there is no more than that one.
func TestFewTransactions(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*world)
		writes int
	}{
		{"a new message on the server", func(w *world) {
			w.remote.Deliver("INBOX", letter(77), mail.FlagSet{}, day)
		}, 2},
		{"a new message in the Maildir", func(w *world) {
			w.local.Deliver("INBOX", letter(77), mail.FlagSet{}, day)
		}, 2},
		{"flags of 200 messages", func(w *world) {
			for n := range 200 {
				w.remote.SetFlags("INBOX", find(w.remote, "INBOX", n), mail.NewFlagSet(mail.Flagged))
			}
		}, 1},
		{"a deletion", func(w *world) {
			w.remote.Expunge("INBOX", find(w.remote, "INBOX", 5))
		}, 3},
		{"a flag that both sides set", func(w *world) {
			for _, m := range []*sidetest.Memory{w.local, w.remote} {
				m.SetFlags("INBOX", find(m, "INBOX", 3), mail.NewFlagSet(mail.Flagged))
			}
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld()
			w.fill(t, "INBOX", 0, 220)
			w.agree(t)
			before := w.index.Writes()
			c.change(w)
			w.run(t)
			if n := w.index.Writes() - before; n != c.writes {
				t.Errorf("%d transactions, want %d", n, c.writes)
			}
			before = w.index.Writes()
			w.run(t)
			if n := w.index.Writes() - before; n > 1 {
				t.Errorf("%d transactions in the run that settles", n)
			}
			w.agree(t)
		})
	}
}

// dyingIndex fails from one settlement on.
type dyingIndex struct {
	*sidetest.MemoryIndex
	left int // settlements that succeed
}

func (x *dyingIndex) Settle(ctx context.Context, s *plan.Settlement) error {
	if x.left--; x.left < 0 {
		return errors.New("the disk is full")
	}
	return x.MemoryIndex.Settle(ctx, s)
}

// TestANewEpochIsTakenInSteps: rows are unbound in several transactions, and a
// run that dies between them leaves nothing behind that means something else.
func TestANewEpochIsTakenInSteps(t *testing.T) {
	full := newWorld()
	full.fill(t, "INBOX", 0, 4100)
	full.agree(t)
	for left := range 4 {
		w := &world{local: full.local.Clone(), remote: full.remote.Clone(), index: full.index.Clone(), now: full.now, opts: full.opts, kept: &keeper{}}
		w.remote.ResetEpoch("INBOX")
		_, err := w.try(func(o *engine.Options) { o.Index = &dyingIndex{w.index, left} })
		if err == nil {
			t.Fatalf("the index failed at settlement %d, and the run did not", left)
		}
		w.run(t)
		w.agree(t)
		if n := len(w.index.AllRows()); n != 4100 {
			t.Fatalf("%d rows after a reset that died at settlement %d", n, left)
		}
	}
}

// TestManyIntentsAreResolvedTogether: what a run left behind that died costs
// no wait for the disk a message.
func TestManyIntentsAreResolvedTogether(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 3)
	w.agree(t)
	box, _ := w.index.Boxes(t.Context())
	var intents []plan.Intent
	for n := range 50 {
		id, err := mail.Identify(strings.NewReader(letter(500 + n)))
		if err != nil {
			t.Fatal(err)
		}
		intents = append(intents, plan.Intent{Kind: plan.IntentPut, Side: plan.Remote, To: box[0].ID, Epoch: box[0].Side[plan.Remote].Epoch, Next: 100,
			From: plan.Place{Box: box[0].ID, Ref: mail.Ref(fmt.Sprint("k", 900+n))}, Item: mail.Item{Ident: id}, At: w.now})
	}
	if err := w.index.Begin(t.Context(), intents); err != nil {
		t.Fatal(err)
	}
	before := w.index.Writes()
	w.run(t)
	if n := w.index.Writes() - before; n > 2 {
		t.Errorf("%d transactions for 50 copies that never arrived", n)
	}
	late, _ := w.index.Intents(t.Context())
	if len(late) != 50 || late[0].Kind != plan.IntentLate {
		t.Errorf("%d are remembered: %v", len(late), late)
	}
}
