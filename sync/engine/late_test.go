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

// Where a run may not delete on the server, a late copy is mail like any other.
func TestLateCopyIsLeftWhereNothingMayBeDeleted(t *testing.T) {
	for name, restrict := range map[string]func(*world, *engine.Options){
		"pull": func(_ *world, o *engine.Options) { o.Mode, o.Policy = "pull", plan.Pull() },
		"adoption": func(w *world, _ *engine.Options) {
			w.local.SetRoot(engine.Root{Exists: true, Marked: true, Instance: "another", Runs: 1})
		},
		"elsewhere": func(_ *world, o *engine.Options) {
			o.Only = func(box mail.MailboxName) bool { return box != "INBOX" }
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := lateWorld(t)
			w.remote.ResetCounts()
			rep := w.run(t, func(o *engine.Options) { restrict(w, o) })
			need(t, rep.Deleted == [2]int{} && w.remote.Snapshot().Messages() == 7, "deleted %v, %d messages on the server: %v", rep.Deleted, w.remote.Snapshot().Messages(), w.actions())
		})
	}
}

// lateWorld is a world in which a copy that was given up has turned up.
func lateWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld()
	w.fill(t, "INBOX", 0, 5)
	w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
	var f sidetest.Faults
	f.FailNamed("remote add", 1, sidetest.DieBefore)
	_, err := w.try(faulty(&f))
	need(t, err != nil && f.Hit() != "", "the run did not die: %v", err)
	w.run(t)
	w.remote.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
	return w
}

// The removal of a double is interrupted at every step, in every way: one copy
// stays on each side, whatever happens.
func TestInterruptedWhileADoubleIsRemoved(t *testing.T) {
	var whole sidetest.Faults
	w := lateWorld(t)
	rep := w.run(t, faulty(&whole))
	need(t, rep.Deleted == [2]int{0, 1}, "deleted %v", rep.Deleted)
	for n, mode := range sidetest.Points(whole.Steps()) {
		w := lateWorld(t)
		var f sidetest.Faults
		f.FailAt(n, mode)
		_, _ = w.try(faulty(&f))
		for _, m := range []*sidetest.Memory{w.local, w.remote} {
			need(t, find(m, "INBOX", 50) != "", "%s: the message is lost", f.Hit())
		}
		rep := w.run(t)
		need(t, rep.Exit() == 0 && w.remote.Snapshot().Messages() == 6, "%s: exit %d, %d messages on the server: %v", f.Hit(), rep.Exit(), w.remote.Snapshot().Messages(), w.actions())
		w.agree(t)
	}
	t.Logf("%d steps in four ways", whole.Steps())
}

// faulty puts faults between the engine and all that it works with.
func faulty(f *sidetest.Faults) func(*engine.Options) {
	return func(o *engine.Options) {
		o.Local, o.Remote = sidetest.Faulty(o.Local, f, "local"), sidetest.Faulty(o.Remote, f, "remote")
		o.Index, o.Keeper = sidetest.FaultyIndex(o.Index, f), sidetest.FaultyKeeper(o.Keeper, f)
	}
}
