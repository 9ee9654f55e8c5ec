package restore

import (
	"fmt"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// filled is a world with six messages of the past, of which the target has
// one with other flags, and one of its own.
func filled(on plan.Side) *world {
	w := newWorld(on)
	for n := range 4 {
		w.past.Deliver("INBOX", letter(n), mail.NewFlagSet(mail.Seen, "$Todo"), day.AddDate(0, 0, n))
	}
	w.past.Deliver("Work/Deep", letter(4), mail.NewFlagSet(mail.Flagged, mail.Deleted), day)
	w.past.Deliver("Work/Deep", letter(4), mail.NewFlagSet(mail.Flagged), day) // twice
	w.past.CreateBox("Empty")
	w.target.Deliver("INBOX", letter(1), mail.NewFlagSet(mail.Answered), day.AddDate(0, 0, 1))
	w.target.Deliver("INBOX", letter(9), mail.FlagSet{}, day)
	return w
}

// wanted is what the target of filled must hold in the end.
func wanted() sidetest.Snapshot {
	flags := mail.NewFlagSet(mail.Seen, "$Todo")
	msg := func(n int, flags mail.FlagSet, day0 int) sidetest.Message {
		return sidetest.Message{Body: []byte(letter(n)), Flags: flags, Date: day.AddDate(0, 0, day0)}
	}
	twice := msg(4, mail.NewFlagSet(mail.Flagged), 0)
	return sidetest.Snapshot{
		"INBOX":     {msg(0, flags, 0), msg(1, mail.NewFlagSet(mail.Answered), 1), msg(2, flags, 2), msg(3, flags, 3), msg(9, mail.FlagSet{}, 0)},
		"Work/Deep": {twice, twice}, "Empty": {},
	}
}

func bothSides(t *testing.T, test func(t *testing.T, on plan.Side)) {
	for _, on := range plan.Sides {
		t.Run([2]string{"maildir", "server"}[on], func(t *testing.T) { test(t, on) })
	}
}

func TestAdd(t *testing.T) {
	bothSides(t, func(t *testing.T, on plan.Side) {
		w := filled(on)
		sum := w.mustAdd(t, w.all())
		if sum.Chosen != 6 || sum.Written != 5 || sum.There() != 1 || sum.Failed != 0 || sum.Made != 2 {
			t.Errorf("%+v", sum)
		}
		w.want(t, wanted())

		// Again, with what the first left and without: nothing is doubled.
		for range 2 {
			if sum := w.mustAdd(t, w.all()); sum.Written != 0 || sum.There() != 6 || sum.Made != 0 {
				t.Errorf("again: %+v", sum)
			}
			w.want(t, wanted())
			w.index = sidetest.NewMemoryIndex()
		}

		// What was deleted since comes back, whether the index remembers it or not.
		for range 2 {
			w.mustAdd(t, w.all())
			for _, m := range w.target.Snapshot()["INBOX"] {
				if string(sidetest.Canonical(m.Body)) == letter(0) {
					w.target.Expunge("INBOX", m.Ref)
				}
			}
			if sum := w.mustAdd(t, w.all()); sum.Written != 1 {
				t.Errorf("after a deletion: %+v", sum)
			}
			w.want(t, wanted())
			w.index = sidetest.NewMemoryIndex()
		}
	})
}

func TestAddDryRun(t *testing.T) {
	bothSides(t, func(t *testing.T, on plan.Side) {
		w := filled(on)
		before := w.target.Snapshot()
		target := w.target.Open()
		o := w.options()
		o.DryRun = true
		sum, err := Add(t.Context(), Select(w.all(), false), Target{Side: target, On: on, Index: w.index, Bound: "target"}, o)
		if err != nil || sum.Chosen != 6 || sum.Written != 5 || sum.There() != 1 || sum.Made != 2 || sum.Exit != 0 {
			t.Errorf("%+v, %v", sum, err)
		}
		w.want(t, before)
		if w.target.Effects() != 0 || w.index.Writes() != 0 {
			t.Errorf("%d effects, %d writes to the index", w.target.Effects(), w.index.Writes())
		}
	})
}

// Every step of a restore fails, or is the last before the process dies; the
// next one ends it. Where the server tells what it took, nothing is doubled.
func TestAddInterrupted(t *testing.T) {
	bothSides(t, func(t *testing.T, on plan.Side) {
		for _, traits := range []func() sidetest.Traits{sidetest.FullServer, sidetest.BareServer}[:1+int(on)] {
			start := filled(on)
			if on == plan.Remote {
				start.target.Traits = traits()
			}
			count := &sidetest.Faults{}
			if _, err := start.clone().add(start.all(), count); err != nil {
				t.Fatal(err)
			}
			for _, mode := range sidetest.Modes {
				for n := 1; n <= count.Steps(); n++ {
					w, f := start.clone(), &sidetest.Faults{}
					f.FailAt(n, mode)
					_, _ = w.add(w.all(), f)
					if on == plan.Local { // a Maildir needs no memory
						w.index = sidetest.NewMemoryIndex()
					}
					what := fmt.Sprintf("%s at step %d (%s)", mode, n, f.Hit())
					for range 3 {
						if sum, err := w.add(w.all(), &sidetest.Faults{}); err == nil && sum.Exit == 0 {
							break
						}
					}
					if d := sidetest.Compare(wanted(), w.target.Snapshot()); d != "" {
						t.Fatalf("%s: first what is wanted, second the target:\n%s", what, d)
					}
				}
			}
		}
	})
}
