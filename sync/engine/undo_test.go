package engine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestKeptBeforeDeleted deletes on either side, in mailboxes of every role:
// what godwit removes it has kept first, but for the server's Trash and Junk.
func TestKeptBeforeDeleted(t *testing.T) {
	for _, side := range plan.Sides {
		for role, kept := range map[mail.Role]int{
			mail.RoleNone: 1, mail.RoleSent: 1, mail.RoleDrafts: 1, mail.RoleTrash: 0, mail.RoleJunk: 0,
		} {
			if side == plan.Local {
				kept = 1 // a file is always kept
			}
			w := newWorld()
			w.remote.SetRole("Box", role)
			w.fill(t, "Box", 0, 5)
			from := map[plan.Side]interface {
				Expunge(mail.MailboxName, mail.Ref) bool
			}{plan.Local: w.remote, plan.Remote: w.local}[side]
			m := map[plan.Side]mail.Ref{plan.Local: find(w.remote, "Box", 1), plan.Remote: find(w.local, "Box", 1)}[side]
			need(t, from.Expunge("Box", m), "nothing to delete")
			rep := w.run(t)
			need(t, rep.Deleted[side] == 1, "%s, %q: deleted %v", side, role, rep.Deleted)
			need(t, len(w.kept.bodies) == kept, "%s, %q: kept %d, want %d", side, role, len(w.kept.bodies), kept)
			w.agree(t)
		}
	}
}

// fullKeeper has no room.
type fullKeeper struct{}

func (fullKeeper) Keep(context.Context, engine.Kept, mail.Identity, io.Reader) error {
	return errors.New("no space left on device")
}

// TestNotDeletedUnlessKept: what cannot be kept stays, on both sides, until it can.
func TestNotDeletedUnlessKept(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 0, 10)
	w.local.Expunge("INBOX", find(w.local, "INBOX", 1))
	w.remote.Expunge("INBOX", find(w.remote, "INBOX", 2))
	for range 2 {
		rep := w.run(t, func(o *engine.Options) { o.Keeper = fullKeeper{} })
		need(t, rep.Exit() == 1 && rep.Deleted == [2]int{}, "exit %d, deleted %v", rep.Exit(), rep.Deleted)
		need(t, find(w.remote, "INBOX", 1) != "" && find(w.local, "INBOX", 2) != "", "deleted without a copy")
	}
	need(t, w.run(t).Deleted == [2]int{1, 1}, "the deletions did not come when there was room")
	w.agree(t)
}

// TestRewrittenMessageIsDeleted: a server that stores what it is given in
// other bytes is still known by them when the message goes, and verify knows
// them, too.
func TestRewrittenMessageIsDeleted(t *testing.T) {
	w := newWorld()
	w.remote.Traits.Rewrite = func(raw []byte) []byte { return append(bytes.Clone(raw), "-- \r\nscanned\r\n"...) }
	w.run(t)
	ref := w.local.Deliver("INBOX", letter(1), mail.FlagSet{}, day)
	w.local.Deliver("INBOX", letter(2), mail.FlagSet{}, day)
	w.run(t)
	w.quiet(t)
	rep := w.verify(t, readData)
	need(t, kinds(rep) == "", "verify takes it for damage: %q", kinds(rep))
	w.local.Expunge("INBOX", ref)
	run := w.run(t)
	need(t, run.Deleted[plan.Remote] == 1 && len(run.Faults) == 0, "deleted %v, %v", run.Deleted, run.Faults)
	need(t, len(w.kept.bodies) == 1, "kept %d", len(w.kept.bodies))
}
