package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A server that carries out an APPEND after the connection broke, and after
// the next run has looked for it and sent the message again.
func TestAppendThatTurnsUpLate(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		var f sidetest.Faults
		f.FailNamed("remote add", 1, sidetest.DieBefore)
		_, err := w.try(func(o *engine.Options) {
			o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
			o.Index = sidetest.FaultyIndex(o.Index, &f)
		})
		need(t, err != nil && f.Hit() != "", "the run did not die: %v", err)
		rep := w.run(t)
		need(t, rep.Copied[plan.Remote] == 1, "not sent again: %v", w.actions())
		w.remote.Deliver("INBOX", letter(50), mail.FlagSet{}, day) // here it is
		kept := len(w.kept.bodies)
		rep = w.run(t)
		need(t, rep.Deleted == [2]int{0, 1} && rep.Copied == [2]int{} && len(w.kept.bodies) == kept+1, "deleted %v, copied %v: %v", rep.Deleted, rep.Copied, w.actions())
		w.agree(t)
		// Once only: what somebody else copies there is mail.
		w.remote.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		rep = w.run(t)
		need(t, rep.Copied == [2]int{1, 0} && rep.Deleted == [2]int{}, "copied %v, deleted %v", rep.Copied, rep.Deleted)
		w.agree(t)
	})
}
