package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A copy of the tree that was made behind a run that died is not taken for the
// tree as whatever came after left it: what that brought is not deleted.
func TestCopyMadeBehindARunThatDied(t *testing.T) {
	t.Run("sync", func(t *testing.T) {
		behindDeath(t, func(*world) {}, func(w *world) {
			w.remote.Deliver("INBOX", letter(7), mail.FlagSet{}, day)
			w.run(t)
		})
	})
	t.Run("verify --repair", func(t *testing.T) {
		behindDeath(t, func(w *world) {
			w.local.Rot("INBOX", find(w.local, "INBOX", 2), stored(2, bitFlipped))
		}, func(w *world) {
			need(t, w.verify(t, repair).Repaired() == 1, "nothing was repaired")
		})
	})
}

// behindDeath makes runs die that carry flags over, each at another step, and
// restores copies that were made then.
func behindDeath(t *testing.T, before, after func(*world)) {
	for n := 1; ; n++ {
		w := newWorld()
		w.fill(t, "INBOX", 0, 5)
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 1), mail.NewFlagSet(mail.Seen))
		var f sidetest.Faults
		f.FailAt(n, sidetest.DieBefore)
		w.try(func(o *engine.Options) {
			o.Local = sidetest.Faulty(o.Local, &f, "local")
			o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
			o.Index = sidetest.FaultyIndex(o.Index, &f)
		})
		before(w)
		copied := w.local.Clone()
		after(w)
		there := w.remote.Snapshot().Messages()
		w.local.Restore(copied)
		rep := w.run(t)
		need(t, rep.Deleted[plan.Remote] == 0 && w.remote.Snapshot().Messages() >= there, "death at %s: %d deleted there", f.Hit(), rep.Deleted[plan.Remote])
		if f.Hit() == "" {
			return
		}
	}
}
