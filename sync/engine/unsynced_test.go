package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// boot says what the root of the Maildir tells of itself.
func (w *world) boot(t *testing.T, id string, unsynced bool) {
	t.Helper()
	root := w.root(t)
	root.Boot, root.Unsynced = id, unsynced
	w.local.SetRoot(root)
}

func (w *world) root(t *testing.T) engine.Root {
	t.Helper()
	s := w.local.Open()
	defer s.Close()
	root, err := s.(engine.Rooted).Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// What a crash takes of a Maildir that was written without fsync is not
// deleted on the server, and comes back.
func TestCrashAfterUnsyncedRun(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.boot(t, "monday", true)
		w.fill(t, "INBOX", 0, 5)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 1))
		w.boot(t, "tuesday", true)
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		need(t, count(w.remote, 1) == 1 && count(w.local, 1) == 1, "the message that the crash took: %d there, %d here: %v", count(w.remote, 1), count(w.local, 1), w.actions())
		w.quiet(t)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 2))
		w.run(t)
		need(t, count(w.remote, 2) == 0, "a deletion after that was not carried over")
	})
}

// The same boot, or runs that synced, make nobody adopt.
func TestNoCrashAfterUnsyncedRun(t *testing.T) {
	for name, c := range map[string]struct {
		before, after bool // unsynced
		boot          string
	}{
		"same boot":             {true, true, "monday"},
		"synced":                {false, false, "tuesday"},
		"synced, not any more":  {false, true, "tuesday"},
		"synced since, no boot": {true, false, "monday"},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.boot(t, "monday", c.before)
				w.fill(t, "INBOX", 0, 5)
				w.local.Expunge("INBOX", find(w.local, "INBOX", 1))
				w.boot(t, c.boot, c.after)
				w.run(t)
				need(t, count(w.remote, 1) == 0, "the deletion was not carried over: %v", w.actions())
			})
		})
	}
}

// Runs that sync again do not forget what was written before, until the
// machine has been restarted and all was looked at.
func TestSyncAfterUnsyncedRun(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.boot(t, "monday", true)
		w.fill(t, "INBOX", 0, 5)
		w.boot(t, "monday", false)
		w.remote.Deliver("INBOX", letter(7), mail.FlagSet{}, day)
		w.run(t)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 1))
		w.boot(t, "tuesday", false)
		w.run(t)
		need(t, count(w.remote, 1) == 1 && count(w.local, 1) == 1, "the message that the crash took is gone")
		w.boot(t, "wednesday", false)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 2))
		w.run(t)
		need(t, count(w.remote, 2) == 0, "a deletion after that was not carried over")
	})
}
