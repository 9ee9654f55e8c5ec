package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// TestMoveBesideMarked moves a letter out of a mailbox in which another one,
// deleted here, is marked there already, as a run leaves it that dies before
// it expunges. A server that expunges only all that is marked refuses the move
// until the other one is gone; it must be done in the same run.
func TestMoveBesideMarked(t *testing.T) {
	w := newWorld()
	w.remote.Traits = sidetest.BareServer()
	w.fill(t, "Work", 0, 4)
	w.fill(t, "Other", 10, 1)
	w.local.Expunge("Work", find(w.local, "Work", 0))
	w.remote.SetFlags("Work", find(w.remote, "Work", 0), mail.NewFlagSet(mail.Deleted))
	w.local.Move("Work", find(w.local, "Work", 1), "Other", false)
	rep := w.run(t)
	need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
	need(t, find(w.remote, "Work", 0) == "" && find(w.remote, "Other", 1) != "", "not done: %v", w.actions())
	w.agree(t)
}
