package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// eachSide runs a test with a world whose mailboxes Work and Work/Deep hold two
// letters each, for a rename on either side.
func eachSide(t *testing.T, test func(t *testing.T, w *world, here, there *sidetest.Memory)) {
	for _, side := range plan.Sides {
		t.Run(side.String(), func(t *testing.T) {
			w := newWorld()
			w.opts.Policy.RemoveBoxes = [2]bool{true, true}
			w.fill(t, "Work", 0, 2)
			w.fill(t, "Work/Deep", 2, 2)
			m := [2]*sidetest.Memory{w.local, w.remote}
			test(t, w, m[side], m[side.Other()])
		})
	}
}

// TestRenameOfChildAndParent renames a mailbox away from a parent that is
// renamed too, and lets a grandchild go with it.
func TestRenameOfChildAndParent(t *testing.T) {
	eachSide(t, func(t *testing.T, w *world, here, there *sidetest.Memory) {
		w.fill(t, "Work/Deep/Deeper", 4, 2)
		need(t, here.RenameBox("Work/Deep", "Other") && here.RenameBox("Work", "Job"), "rename")
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{} && rep.Moved == [2]int{}, "exit %d: %v", rep.Exit(), w.actions())
		for n, box := range []mail.MailboxName{"Job", "Job", "Other", "Other", "Other/Deeper", "Other/Deeper"} {
			need(t, find(there, box, n) != "", "letter %d is not in %s", n, box)
		}
		w.agree(t)
	})
}

// TestRenameAmidChanges renames a small mailbox from which a letter was taken
// and to which others came on both sides: it is a rename still, and what came
// under the old name is in it.
func TestRenameAmidChanges(t *testing.T) {
	eachSide(t, func(t *testing.T, w *world, here, there *sidetest.Memory) {
		here.Expunge("Work", find(here, "Work", 0))
		here.Deliver("Work", letter(8), mail.FlagSet{}, day)
		here.Deliver("Work", letter(9), mail.FlagSet{}, day)
		there.Deliver("Work", letter(10), mail.FlagSet{}, day)
		need(t, here.RenameBox("Work", "Job"), "rename")
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Moved == [2]int{} && rep.Removed == [2]int{}, "exit %d: %v", rep.Exit(), w.actions())
		for n, want := range map[int]bool{0: false, 1: true, 8: true, 9: true, 10: true} {
			need(t, find(there, "Job", n) != "" == want, "letter %d is in Job: %v", n, !want)
		}
		w.agree(t)
	})
}

// TestDirectoryReused makes a mailbox in the directory that another had,
// as the file system's numbers tell: it is no rename if it holds other letters.
func TestDirectoryReused(t *testing.T) {
	w := newWorld()
	w.opts.Policy.RemoveBoxes = [2]bool{true, true}
	w.fill(t, "Work", 0, 2)
	for n := range 2 {
		w.local.Expunge("Work", find(w.local, "Work", n))
	}
	w.local.Deliver("Work", letter(5), mail.FlagSet{}, day)
	need(t, w.local.RenameBox("Work", "Other"), "rename")
	rep := w.run(t)
	need(t, rep.Exit() == 0 && rep.Renamed == [2]int{} && rep.Deleted == [2]int{0, 2}, "exit %d, deleted %v: %v", rep.Exit(), rep.Deleted, w.actions())
	w.agree(t)
}

// TestRenameOfParent renames a mailbox whose children are told apart by
// nothing: an empty one that has mail now, one that was removed at once.
func TestRenameOfParent(t *testing.T) {
	eachSide(t, func(t *testing.T, w *world, here, there *sidetest.Memory) {
		here.CreateBox("Work/Empty")
		w.run(t)
		here.Deliver("Work/Empty", letter(7), mail.FlagSet{}, day)
		here.DeleteBox("Work/Deep")
		need(t, here.RenameBox("Work", "Job"), "rename")
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Removed[0]+rep.Removed[1] == 1 && rep.Created == [2]int{}, "exit %d: %v", rep.Exit(), w.actions())
		need(t, find(there, "Job", 1) != "" && find(there, "Job/Empty", 7) != "", "not there: %v", w.actions())
		w.agree(t)
	})
}

// TestRenameIntoRenamed renames a mailbox, and another one into it.
func TestRenameIntoRenamed(t *testing.T) {
	eachSide(t, func(t *testing.T, w *world, here, there *sidetest.Memory) {
		w.fill(t, "Alone", 6, 2)
		need(t, here.RenameBox("Work", "Job") && here.RenameBox("Alone", "Job/Alone"), "rename")
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{} && rep.Moved == [2]int{}, "exit %d: %v", rep.Exit(), w.actions())
		for n, box := range []mail.MailboxName{"Job", "Job", "Job/Deep", "Job/Deep", "", "", "Job/Alone", "Job/Alone"} {
			need(t, box == "" || find(there, box, n) != "", "letter %d is not in %s", n, box)
		}
		w.agree(t)
	})
}
