package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A message that is moved on the server, and on the disk while a run is under
// way, to a mailbox that the run has not seen, is not gone there: it must not
// be copied back, or it would be there twice.
func TestMovedOnBothSidesMeanwhile(t *testing.T) {
	w := newWorld()
	w.local.Traits.TellsSame = false // every mailbox is scanned
	w.fill(t, "INBOX", 0, 3)
	w.remote.Move("INBOX", find(w.remote, "INBOX", 1), "Work", false)
	moved := false
	w.local.Hook = func(call string) {
		if call == "scan" && !moved {
			moved = true
			w.local.Move("INBOX", find(w.local, "INBOX", 1), "Aside", true)
		}
	}
	_, err := w.try()
	w.local.Hook = nil
	need(t, err == nil && moved, "%v, moved: %v", err, moved)
	w.run(t)
	w.agree(t)
	count := 0
	for _, list := range w.local.Snapshot() {
		for _, m := range list {
			if m.Ident.Body == bodyOfLetter(1) {
				count++
			}
		}
	}
	need(t, count == 1, "the letter is there %d times: %v", count, w.actions())
}

func bodyOfLetter(n int) mail.Digest {
	h := mail.NewHasher()
	_, _ = h.Write([]byte(letter(n)))
	return h.Sum().Body
}

// What one side removed while the mailbox was away on the other is carried
// over when the mailbox is back.
func TestDeletedWhileTheMailboxIsAway(t *testing.T) {
	for _, away := range plan.Sides {
		w := newWorld()
		w.fill(t, "Work", 0, 20)
		side, other := [2]*sidetest.Memory{w.local, w.remote}[away], [2]*sidetest.Memory{w.local, w.remote}[away.Other()]
		before := side.Clone()
		side.DeleteBox("Work")
		other.Expunge("Work", find(other, "Work", 3))
		for range 2 {
			rep := w.run(t)
			need(t, rep.HeldBoxes == 1, "the mailbox is not held: %v", w.actions())
		}
		if away == plan.Local {
			w.local = before
		} else {
			w.remote = before
		}
		w.run(t)
		w.agree(t)
		need(t, find(w.local, "Work", 3) == "" && find(w.remote, "Work", 3) == "", "away on %v: the letter is there still or again", away)
	}
}
