package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// What a mode that copies one way has seen on the one side only, since the
// other could not be read, is no second message when it is seen there too.
func TestSeenOnTheOtherSideLater(t *testing.T) {
	for _, mode := range []struct {
		name   string
		policy plan.Policy
		scan   string // what fails at first
	}{
		{"pull", plan.Pull(), "remote scan INBOX"},
		{"push", plan.Push(), "local scan INBOX"},
	} {
		t.Run(mode.name, func(t *testing.T) {
			w := newWorld()
			for i := range 5 {
				w.local.Deliver("INBOX", letter(i), mail.FlagSet{}, day)
				w.remote.Deliver("INBOX", letter(i), mail.FlagSet{}, day)
			}
			w.local.Deliver("INBOX", letter(10), mail.FlagSet{}, day) // here alone
			w.remote.Deliver("INBOX", letter(11), mail.FlagSet{}, day)
			w.opts.Mode, w.opts.Policy = mode.name, mode.policy
			f := &sidetest.Faults{}
			f.FailNamed(mode.scan, 1, sidetest.ErrorBefore)
			rep := w.run(t, func(o *engine.Options) {
				o.Local, o.Remote = sidetest.Faulty(o.Local, f, "local"), sidetest.Faulty(o.Remote, f, "remote")
			})
			need(t, rep.Exit() == 1, "exit %d: the scan did not fail: %v", rep.Exit(), w.actions())
			rep = w.run(t)
			need(t, rep.Exit() == 0 && rep.Copied[plan.Local]+rep.Copied[plan.Remote] == 1,
				"exit %d, copied %v in place of the one that is missing: %v", rep.Exit(), rep.Copied, w.actions())
			rep = w.run(t)
			need(t, rep.Exit() == 0 && !rep.Changed(), "a third run did something: %v", w.actions())
		})
	}
}
