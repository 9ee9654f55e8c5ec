package engine_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// verify runs a verification and checks the index after it.
func (w *world) verify(t fataler, change ...func(*engine.VerifyOptions)) *engine.VerifyReport {
	t.Helper()
	o := engine.VerifyOptions{
		Account: "test", Local: w.local.Open(), Remote: w.remote.Open(), Index: w.index, Keeper: w.kept, Bound: w.opts.Bound,
		Clock: func() time.Time { return w.now }, Check: func(context.Context) error { return w.index.CheckConsistency() },
	}
	for _, c := range change {
		c(&o)
	}
	rep, err := engine.Verify(context.Background(), o)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if err := w.index.CheckConsistency(); err != nil {
		t.Fatalf("the index is inconsistent: %v", err)
	}
	return rep
}

func readData(o *engine.VerifyOptions) { o.ReadData = true }
func repair(o *engine.VerifyOptions)   { o.ReadData, o.Repair = true, true }

func kinds(rep *engine.VerifyReport) string {
	var out []string
	for _, f := range rep.Findings {
		out = append(out, fmt.Sprintf("%s %s %s", f.Kind, f.Side, f.Mailbox))
	}
	return strings.Join(out, ", ")
}

func boxOf(t *testing.T, rep *engine.VerifyReport, name mail.MailboxName) engine.VerifiedBox {
	t.Helper()
	i := slices.IndexFunc(rep.Boxes, func(b engine.VerifiedBox) bool { return b.Mailbox == name })
	need(t, i >= 0, "mailbox %s was not verified", name)
	return rep.Boxes[i]
}

// stored is a letter as the Maildir of the tests stores it, changed.
func stored(n int, change func(string) string) string {
	return change(strings.ReplaceAll(letter(n), "\r\n", "\n"))
}

func bitFlipped(text string) string { return strings.Replace(text, "Hello", "Hellp", 1) }

func TestVerifyFindsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		harm     func(t *testing.T, w *world)
		without  string // found without reading everything
		with     string // found with ReadData
		repaired int
	}{
		"sound": {harm: func(*testing.T, *world) {}},
		"a bit of a file flipped": {harm: func(t *testing.T, w *world) {
			need(t, w.local.Rot("INBOX", find(w.local, "INBOX", 2), stored(2, bitFlipped)), "no such file")
		}, with: "damaged local INBOX", repaired: 1},
		"a damaged file was copied with its time": {harm: func(t *testing.T, w *world) {
			ref := find(w.local, "INBOX", 2)
			need(t, w.local.Rot("INBOX", ref, stored(2, bitFlipped)) && w.local.Touch("INBOX", ref), "no such file")
		}, without: "damaged local INBOX", with: "damaged local INBOX", repaired: 1},
		"a file was cut": {harm: func(t *testing.T, w *world) {
			need(t, w.local.Edit("INBOX", find(w.local, "INBOX", 3), stored(3, func(s string) string { return s[:len(s)-4] })), "no such file")
		}, without: "truncated local INBOX", with: "truncated local INBOX", repaired: 1},
		"a file was emptied": {harm: func(t *testing.T, w *world) {
			need(t, w.local.Edit("Work", find(w.local, "Work", 20), ""), "no such file")
		}, without: "truncated local Work", with: "truncated local Work", repaired: 1},
		"a file cannot be read": {harm: func(t *testing.T, w *world) {
			need(t, w.local.Break("INBOX", find(w.local, "INBOX", 4), errors.New("input/output error")), "no such file")
		}, with: "unreadable local INBOX"},
		"the server changed a message": {harm: func(t *testing.T, w *world) {
			need(t, w.remote.Rot("INBOX", find(w.remote, "INBOX", 5), bitFlipped(letter(5))), "no such message")
		}, with: "server remote INBOX"},
		"the server does not give a message": {harm: func(t *testing.T, w *world) {
			need(t, w.remote.Break("INBOX", find(w.remote, "INBOX", 5), errors.New("internal error")), "no such message")
		}, with: "unreadable remote INBOX"},
		"a message is nowhere": {harm: func(t *testing.T, w *world) {
			w.local.Expunge("INBOX", find(w.local, "INBOX", 6))
			w.remote.Expunge("INBOX", find(w.remote, "INBOX", 6))
		}, without: "nowhere local INBOX", with: "nowhere local INBOX"},
		"both copies are damaged": {harm: func(t *testing.T, w *world) {
			w.local.Rot("INBOX", find(w.local, "INBOX", 7), stored(7, bitFlipped))
			w.remote.Rot("INBOX", find(w.remote, "INBOX", 7), bitFlipped(letter(7)))
		}, with: "damaged local INBOX, server remote INBOX"},
		"the Maildir is not mounted": {harm: func(_ *testing.T, w *world) { w.local.RemoveRoot() },
			without: "root local ", with: "root local "},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fill(t, "INBOX", 0, 10)
			w.fill(t, "Work", 20, 3)
			c.harm(t, w)
			before, effects := w.index.Writes(), w.local.Effects()+w.remote.Effects()
			rep := w.verify(t)
			need(t, kinds(rep) == c.without, "without reading: %q, want %q (%v)", kinds(rep), c.without, rep.Faults)
			rep = w.verify(t, readData)
			need(t, kinds(rep) == c.with, "reading: %q, want %q (%v)", kinds(rep), c.with, rep.Faults)
			need(t, (rep.Exit() == 1) == (c.with != ""), "exit %d", rep.Exit())
			need(t, w.index.Writes() == before && w.local.Effects()+w.remote.Effects() == effects, "a mere verification wrote")
			rep = w.verify(t, repair)
			need(t, kinds(rep) == c.with && rep.Repaired() == c.repaired, "repaired %d of %q: %v", rep.Repaired(), kinds(rep), rep.Findings)
			need(t, (rep.Exit() == 1) == (c.with != ""), "exit %d after a repair", rep.Exit())
			if c.repaired == 0 {
				need(t, w.local.Effects()+w.remote.Effects() == effects, "something was changed")
				return
			}
			need(t, len(w.kept.bodies) == c.repaired, "%d damaged files were kept", len(w.kept.bodies))
			need(t, kinds(w.verify(t, readData)) == "", "after the repair: %q", kinds(w.verify(t, readData)))
			w.agree(t)
		})
	}
}

// TestVerifyCountsWhatASyncCarries changes everything that a sync carries
// over: it is counted and no fault, and a repair leaves it alone.
func TestVerifyCountsWhatASyncCarries(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 10)
	w.local.SetFlags("INBOX", find(w.local, "INBOX", 0), mail.NewFlagSet(mail.Seen))
	w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 1), mail.NewFlagSet(mail.Flagged))
	w.local.Expunge("INBOX", find(w.local, "INBOX", 2))
	w.local.Edit("INBOX", find(w.local, "INBOX", 3), stored(3, func(s string) string { return s + "One more line.\n" }))
	w.local.Touch("INBOX", find(w.local, "INBOX", 4))
	w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
	w.remote.Deliver("INBOX", letter(51), mail.FlagSet{}, day)
	w.remote.Deliver("INBOX", letter(52), mail.FlagSet{}, day)
	w.remote.CreateBox("Later")
	for range 2 {
		rep := w.verify(t, repair)
		need(t, rep.Exit() == 0, "exit %d: %q %v", rep.Exit(), kinds(rep), rep.Faults)
		b := boxOf(t, rep, "INBOX")
		b.Read = [2]int{}
		want := engine.VerifiedBox{
			Mailbox: "INBOX", Rows: [2]int{10, 10}, There: [2]int{10, 12}, New: [2]int{1, 2}, Flags: [2]int{1, 1}, Gone: [2]int{1, 0},
			Touched: 1, Edited: 1,
		}
		need(t, b == want, "counted %+v\nwant    %+v", b, want)
		need(t, rep.NewBoxes == [2]int{0, 1}, "new mailboxes: %v", rep.NewBoxes)
	}
	w.run(t)
	w.agree(t)
	need(t, find(w.remote, "INBOX", 3) == "" && find(w.remote, "INBOX", 2) == "", "the edit or the deletion did not arrive")
}

// TestVerifyTellsAMoveFromALoss moves a message on both sides.
func TestVerifyTellsAMoveFromALoss(t *testing.T) {
	for _, keep := range []bool{true, false} {
		w := newWorld()
		w.fill(t, "INBOX", 0, 5)
		w.local.Move("INBOX", find(w.local, "INBOX", 1), "Done", keep)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 1), "Done", false)
		w.run(t, func(o *engine.Options) { o.DryRun = true })
		w.local.CreateBox("Done")
		rep := w.verify(t)
		// The new mailboxes are not in the index yet: nobody looked there.
		need(t, boxOf(t, rep, "INBOX").Gone == [2]int{1, 1}, "gone: %v", boxOf(t, rep, "INBOX").Gone)
		need(t, kinds(rep) == "", "a move passes for a loss: %q", kinds(rep))
	}
}

func TestVerifyOfHeldAndOthers(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 20)
	for i := range 12 {
		w.local.Expunge("INBOX", find(w.local, "INBOX", i))
	}
	need(t, w.run(t).Exit() == 3, "nothing was held")
	rep := w.verify(t, repair)
	b := boxOf(t, rep, "INBOX")
	need(t, rep.Exit() == 0 && b.Held == 12 && b.Gone[plan.Local] == 12 && b.Pending == 0, "held: %+v, %q", b, kinds(rep))

	w.remote.ResetEpoch("INBOX")
	rep = w.verify(t, repair)
	b = boxOf(t, rep, "INBOX")
	need(t, rep.Exit() == 0 && b.Unmatched[plan.Remote] == 20, "numbered anew: %+v, %q", b, kinds(rep))

	w.local.SetRoot(engine.Root{Exists: true})
	rep = w.verify(t, repair)
	need(t, rep.Exit() == 0 && rep.Adopt != "", "a foreign root: %q, %q", rep.Adopt, kinds(rep))

	w = newWorld()
	w.fill(t, "INBOX", 0, 5)
	w.local.Rot("INBOX", find(w.local, "INBOX", 2), stored(2, bitFlipped))
	rep = w.verify(t, repair, func(o *engine.VerifyOptions) {
		o.Check = func(context.Context) error { return errors.Join(errors.New("one"), errors.New("two")) }
	})
	need(t, kinds(rep) == "index local , index local , damaged local INBOX" && rep.Exit() == 1, "a broken index: %q", kinds(rep))
	need(t, rep.Repaired() == 0 && rep.Findings[2].Why != nil && len(w.kept.bodies) == 0, "a file was mended by a broken index")
}

// TestRepairInterrupted cuts a repair at every call to a side: a sync then
// puts things right, and the message is there on both sides.
func TestRepairInterrupted(t *testing.T) {
	points := 0
	for cut := 1; ; cut++ {
		w := newWorld()
		w.fill(t, "INBOX", 0, 5)
		w.local.Rot("INBOX", find(w.local, "INBOX", 2), stored(2, bitFlipped))
		ctx, cancel := context.WithCancel(context.Background())
		var calls atomic.Int64 // both sides are surveyed at once
		hook := func(string) {
			if calls.Add(1) == int64(cut) {
				cancel()
			}
		}
		w.local.Hook, w.remote.Hook = hook, hook
		o := engine.VerifyOptions{Local: w.local.Open(), Remote: w.remote.Open(), Index: w.index, Keeper: w.kept, Bound: w.opts.Bound,
			Clock: func() time.Time { return w.now }, ReadData: true, Repair: true}
		_, err := engine.Verify(ctx, o)
		cancel()
		w.local.Hook, w.remote.Hook = nil, nil
		if calls.Load() < int64(cut) {
			need(t, err == nil, "uninterrupted: %v", err)
			break
		}
		points++
		need(t, w.index.CheckConsistency() == nil, "cut at call %d: the index is inconsistent", cut)
		w.run(t)
		need(t, find(w.remote, "INBOX", 2) != "", "cut at call %d: the server lost the message", cut)
		if rep := w.verify(t, repair); len(rep.Findings) > 0 { // the cut came before anything was done
			w.run(t)
		}
		need(t, find(w.local, "INBOX", 2) != "" && find(w.remote, "INBOX", 2) != "", "cut at call %d: the message is not on both sides", cut)
		w.agree(t)
		total := 0
		for _, msg := range w.remote.Snapshot()["INBOX"] {
			if string(sidetest.Canonical(msg.Body)) == letter(2) {
				total++
			}
		}
		need(t, total == 1, "cut at call %d: the message is there %d times", cut, total)
	}
	need(t, points >= 8, "only %d points", points)
	t.Logf("a repair was cut at %d points", points)
}
