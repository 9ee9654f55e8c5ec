package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// What the guard holds is held, wherever the run dies: mail that it brought
// before it died does not make the share of what was deleted smaller.
func TestGuardHoldsThoughTheRunDies(t *testing.T) {
	for _, mode := range []sidetest.Mode{sidetest.DieBefore, sidetest.DieAfter} {
		for n := 1; ; n++ {
			w := newWorld()
			w.fill(t, "INBOX", 0, 5)
			w.fill(t, "Work", 100, 30)
			for n := range 5 {
				w.local.Expunge("INBOX", find(w.local, "INBOX", n))
			}
			w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
			w.remote.Deliver("INBOX", letter(51), mail.FlagSet{}, day)
			var f sidetest.Faults
			f.FailAt(n, mode)
			w.try(func(o *engine.Options) {
				o.Local = sidetest.Faulty(o.Local, &f, "local")
				o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
				o.Index = sidetest.FaultyIndex(o.Index, &f)
			})
			rep := w.run(t)
			need(t, rep.Exit() == 3 && rep.Held == 5, "%s: exit %d, %d held: %v", f.Hit(), rep.Exit(), rep.Held, w.actions())
			for n := range 5 {
				need(t, count(w.remote, n) == 1, "%s: letter %d is gone", f.Hit(), n)
			}
			if f.Hit() == "" {
				break
			}
		}
	}
}
