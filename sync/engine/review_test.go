package engine_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

func accept(o *engine.Options) { o.Accept = true }
func reject(o *engine.Options) { o.Reject = true }

// count is how many copies of letter n a side has.
func count(m *sidetest.Memory, n int) (c int) {
	for _, list := range m.Snapshot() {
		for _, msg := range list {
			if string(sidetest.Canonical(msg.Body)) == letter(n) {
				c++
			}
		}
	}
	return c
}

func (w *world) mode(name string, p plan.Policy) { w.opts.Mode, w.opts.Policy = name, p }

// What a one-way mode left on either side alone is one message if it is one,
// when the account becomes a mirror.
func TestDeletedAndPutBackUnderPullIsOneMessage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mode("pull", plan.Pull())
		w.fill(t, "INBOX", 0, 5)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 2))
		w.run(t)
		w.local.Deliver("INBOX", letter(2), mail.FlagSet{}, day)
		w.run(t)
		w.mode("mirror", plan.Mirror())
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		need(t, count(w.local, 2) == 1 && count(w.remote, 2) == 1, "%d here, %d there: %v", count(w.local, 2), count(w.remote, 2), w.actions())
	})
}

// Moves that a one-way mode did not carry over are carried over by the mirror.
func TestMovedUnderPullThenMirror(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.CreateBox("Work")
		w.mode("pull", plan.Pull())
		w.fill(t, "INBOX", 0, 5)
		w.local.Move("INBOX", find(w.local, "INBOX", 2), "Work", true)
		rep := w.run(t)
		need(t, rep.Exit() == 0 && find(w.remote, "INBOX", 2) != "", "exit %d", rep.Exit())
		w.quiet(t)
		w.mode("mirror", plan.Mirror())
		rep = w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		w.agree(t)
	})
}

// A held deletion is the same one when the other side flagged the message.
func TestRejectReachesFlaggedMessages(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 40)
		for i := range 40 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
		}
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 7), mail.NewFlagSet(mail.Seen))
		need(t, w.run(t).Held == 40, "not held")
		rep := w.run(t, reject)
		need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		need(t, count(w.remote, 7) == 1 && count(w.local, 7) == 1, "a rejected deletion was carried out: %v", w.actions())
		w.agree(t)
	})
}

// What is rejected stays rejected though it cannot be copied back at once.
func TestRejectSurvivesFailedCopies(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 40)
		for i := range 40 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
		}
		need(t, w.run(t).Held == 40, "not held")
		for i := range 8 {
			w.remote.Break("INBOX", find(w.remote, "INBOX", i), sidetest.ErrBroken)
		}
		rep := w.run(t, reject)
		need(t, rep.Exit() == 1 && rep.Copied[plan.Local] == 32, "exit %d, copied %v", rep.Exit(), rep.Copied)
		for i := range 8 {
			w.remote.Break("INBOX", find(w.remote, "INBOX", i), nil)
		}
		rep = w.run(t)
		need(t, w.remote.Snapshot().Messages() == 40, "rejected deletions were carried out: %v", w.actions())
		need(t, rep.Exit() == 0, "exit %d", rep.Exit())
		w.agree(t)
	})
}

// Who accepts lost flags has not accepted deletions.
func TestAcceptedFlagsAreNotAcceptedDeletions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 150 {
			w.remote.Deliver("INBOX", letter(i), mail.NewFlagSet(mail.Seen), day)
		}
		w.run(t)
		for i := range 150 {
			w.local.SetFlags("INBOX", find(w.local, "INBOX", i), mail.FlagSet{})
		}
		need(t, w.run(t).Held == 150, "not held")
		for i := range 150 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
		}
		rep := w.run(t, accept)
		need(t, rep.Deleted == [2]int{} && rep.Held == 150, "deleted %v, held %d", rep.Deleted, rep.Held)
		rep = w.run(t, accept)
		need(t, rep.Deleted[plan.Remote] == 150 && rep.Exit() == 0, "deleted %v, exit %d", rep.Deleted, rep.Exit())
	})
}

// A one-way mode does not write to its origin, whatever is rejected.
func TestRejectedFlagsUnderPull(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.mode("pull", plan.Pull())
		for i := range 150 {
			w.remote.Deliver("INBOX", letter(i), mail.NewFlagSet(mail.Seen), day)
		}
		w.run(t)
		for i := range 150 {
			w.remote.SetFlags("INBOX", find(w.remote, "INBOX", i), mail.FlagSet{})
		}
		need(t, w.run(t).Held == 150, "not held")
		w.remote.ResetCounts()
		rep := w.run(t, reject)
		need(t, rep.Exit() == 0 && w.remote.Effects() == 0, "exit %d, %d effects on the server", rep.Exit(), w.remote.Effects())
		need(t, flags(w.local, "INBOX", 3) == `\Seen`, "flags %s", flags(w.local, "INBOX", 3))
		w.quiet(t)
	})
}

// A run about one mailbox leaves what is held in the others.
func TestOnlyLeavesWhatIsHeldElsewhere(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 100)
		w.fill(t, "Work", 100, 40)
		for i := range 40 {
			w.local.Expunge("Work", find(w.local, "Work", 100+i))
		}
		need(t, w.run(t).Held == 40, "not held")
		only := func(o *engine.Options) { o.Only = func(n mail.MailboxName) bool { return n == "INBOX" } }
		w.run(t, only)
		rep := w.run(t, accept, only)
		need(t, rep.Deleted == [2]int{}, "deleted %v", rep.Deleted)
		rep = w.run(t, accept)
		need(t, rep.Exit() == 0 && rep.Deleted[plan.Remote] == 40, "exit %d, deleted %v", rep.Exit(), rep.Deleted)
		w.agree(t)
	})
}

// A name that both sides give to different mailboxes doubles nothing, and
// does not stop the account for ever.
func TestRenamedToANameThatTheOtherSideMade(t *testing.T) {
	for _, side := range plan.Sides {
		t.Run(side.String(), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.fill(t, "Work", 0, 10)
				m := [2]*sidetest.Memory{w.local, w.remote}
				need(t, m[side].RenameBox("Work", "Job"), "rename")
				m[side.Other()].Deliver("Job", letter(50), mail.FlagSet{}, day)
				rep := w.run(t)
				need(t, rep.Exit() == 3 || rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
				w.run(t, accept)
				rep = w.run(t, accept)
				need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				for n := range 10 {
					need(t, count(w.local, n) == 1 && count(w.remote, n) == 1, "letter %d: %d here, %d there: %v", n, count(w.local, n), count(w.remote, n), w.local.Snapshot())
				}
				need(t, count(w.local, 50) == 1 && count(w.remote, 50) == 1, "letter 50")
				w.agree(t)
			})
		})
	}
}

func TestRenamedDifferentlyOnBothSides(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "Work", 0, 10)
		w.local.RenameBox("Work", "Here")
		w.remote.RenameBox("Work", "There")
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		w.agree(t)
		w.local.Deliver("Here", letter(30), mail.FlagSet{}, day)
		w.run(t)
		w.agree(t)
	})
}

func TestSwappedNames(t *testing.T) {
	for _, side := range plan.Sides {
		t.Run(side.String(), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.remote.Traits.BoxIDs = w.remote.Traits.BoxIDs || w.remote.Traits.SharedEpoch
				w.fill(t, "A", 0, 5)
				w.fill(t, "B", 50, 5)
				m := [2]*sidetest.Memory{w.local, w.remote}[side]
				m.RenameBox("A", "C")
				m.RenameBox("B", "A")
				m.RenameBox("C", "B")
				rep := w.run(t)
				need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				need(t, find(w.local, "B", 0) != "" && find(w.remote, "A", 50) != "", "not swapped: %v", w.actions())
				w.agree(t)
			})
		})
	}
}

func TestNewMailboxUnderTheOldName(t *testing.T) {
	for _, side := range plan.Sides {
		t.Run(side.String(), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.remote.Traits.BoxIDs = w.remote.Traits.BoxIDs || w.remote.Traits.SharedEpoch
				w.fill(t, "A", 0, 5)
				m := [2]*sidetest.Memory{w.local, w.remote}[side]
				m.RenameBox("A", "B")
				for i := range 6 {
					m.Deliver("A", letter(70+i), mail.FlagSet{}, day)
				}
				rep := w.run(t)
				need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				need(t, rep.Deleted == [2]int{}, "deleted %v", rep.Deleted)
				w.agree(t)
			})
		})
	}
}

// The old version of an edited message is a deletion like any other, also
// when it has to wait.
func TestManyEditedFilesAreHeld(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 40)
		for i := range 20 {
			w.local.Edit("INBOX", find(w.local, "INBOX", i), letter(500+i))
		}
		rep := w.run(t)
		need(t, rep.Held == 20 && rep.Copied[plan.Remote] == 20, "held %d, copied %v: %v", rep.Held, rep.Copied, w.actions())
		rep = w.run(t)
		need(t, rep.Held == 20 && rep.Copied == [2]int{}, "the next run: held %d, copied %v: %v", rep.Held, rep.Copied, w.actions())
		rep = w.run(t, accept)
		need(t, rep.Exit() == 0 && rep.Deleted[plan.Remote] == 20, "exit %d, deleted %v", rep.Exit(), rep.Deleted)
		w.agree(t)
	})
}

// A run that dies over an edited file does not bring the old version back.
func TestEditSurvivesDeath(t *testing.T) {
	for n := 1; n < 80; n++ {
		w := newWorld()
		w.fill(t, "INBOX", 0, 5)
		w.local.Edit("INBOX", find(w.local, "INBOX", 4), letter(44))
		var f sidetest.Faults
		f.FailAt(n, sidetest.DieBefore)
		w.try(func(o *engine.Options) {
			o.Local = sidetest.Faulty(o.Local, &f, "local")
			o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
			o.Index = sidetest.FaultyIndex(o.Index, &f)
		})
		rep := w.run(t)
		need(t, rep.Exit() == 0 && count(w.local, 4) == 0 && count(w.remote, 4) == 0 && count(w.local, 44) == 1 && count(w.remote, 44) == 1,
			"death at %s: exit %d, old %d/%d new %d/%d", f.Hit(), rep.Exit(), count(w.local, 4), count(w.remote, 4), count(w.local, 44), count(w.remote, 44))
		if f.Hit() == "" {
			return
		}
	}
}

// Files exchange names: rows exchange places, also in more than one transaction.
func TestManyFilesExchangeTheirNames(t *testing.T) {
	w := newWorld()
	const n = 1500
	w.fill(t, "INBOX", 0, n)
	snap := w.local.Snapshot()["INBOX"]
	for i, msg := range snap {
		w.local.Edit("INBOX", msg.Ref, string(sidetest.Canonical(snap[(i+n/2)%n].Body)))
	}
	rep := w.run(t)
	need(t, rep.Exit() == 0 && rep.Copied == [2]int{} && rep.Deleted == [2]int{}, "exit %d, copied %v, deleted %v: %v", rep.Exit(), rep.Copied, rep.Deleted, rep.Faults)
	w.quiet(t)
}

// Rights that are given back let go what was kept for want of them.
func TestRightsGivenBack(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		w.fill(t, "Shared", 100, 5)
		w.remote.SetRights("Shared", plan.ReadOnly)
		w.run(t)
		w.local.Deliver("Shared", letter(300), mail.FlagSet{}, day)
		w.local.Expunge("Shared", find(w.local, "Shared", 101))
		w.run(t)
		w.quiet(t)
		w.remote.SetRights("Shared", plan.Rights{})
		w.now = w.now.AddDate(0, 0, 8) // a server tells of rights only when it is looked into
		rep := w.run(t)
		need(t, rep.Exit() == 0 && find(w.remote, "Shared", 300) != "", "exit %d: %v", rep.Exit(), w.actions())
		w.agree(t)
	})
}

// A message that a mailbox did not take is new to the one it is moved to.
func TestKeptMessageIsMovedToAWritableMailbox(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		w.fill(t, "Shared", 100, 5)
		w.remote.SetRights("Shared", plan.ReadOnly)
		w.run(t)
		ref := w.local.Deliver("Shared", letter(300), mail.FlagSet{}, day)
		w.run(t)
		w.local.Move("Shared", ref, "INBOX", true)
		rep := w.run(t)
		need(t, rep.Exit() == 0 && find(w.remote, "INBOX", 300) != "", "exit %d: %v", rep.Exit(), w.actions())
		w.agree(t)
	})
}

// An effect of a dead run is not bound to numbers that mean nothing any more.
func TestIntentAfterUIDValidityReset(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		for i := range 5 {
			w.remote.Deliver("INBOX", letter(10+i), mail.FlagSet{}, day)
		}
		var f sidetest.Faults
		f.FailNamed("local commit", 1, sidetest.DieAfter)
		w.try(func(o *engine.Options) {
			o.Local = sidetest.Faulty(o.Local, &f, "local")
			o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
			o.Index = sidetest.FaultyIndex(o.Index, &f)
		})
		need(t, f.Hit() != "", "no fault: %v", f.Names())
		w.remote.ResetEpoch("INBOX")
		rep := w.run(t)
		need(t, rep.Exit() == 0 && w.local.Snapshot().Messages() == 10 && w.remote.Snapshot().Messages() == 10,
			"exit %d, %d here, %d there: %v", rep.Exit(), w.local.Snapshot().Messages(), w.remote.Snapshot().Messages(), rep.Faults)
		w.agree(t)
	})
}

// A keyword that the server refused is not taken for removed, also if the
// answer never came.
func TestRefusedKeywordOfAnUnansweredPut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.Traits.Permits = func(f mail.Flag) bool { return f[0] == '\\' }
		w.fill(t, "INBOX", 0, 5)
		w.local.Deliver("INBOX", letter(10), mail.NewFlagSet(mail.Seen, "$Todo"), day)
		var f sidetest.Faults
		f.FailNamed("remote commit", 1, sidetest.DieAfter)
		w.try(func(o *engine.Options) {
			o.Local = sidetest.Faulty(o.Local, &f, "local")
			o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
			o.Index = sidetest.FaultyIndex(o.Index, &f)
		})
		need(t, f.Hit() != "", "no fault: %v", f.Names())
		w.run(t)
		need(t, flags(w.local, "INBOX", 10) == `\Seen $Todo`, "flags here %s, there %s", flags(w.local, "INBOX", 10), flags(w.remote, "INBOX", 10))
		need(t, count(w.remote, 10) == 1, "%d copies", count(w.remote, 10))
		w.quiet(t)
	})
}

// An edit of a file that was adopted by its header alone is an edit.
func TestEditOfAnAdoptedFile(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		w.index = sidetest.NewMemoryIndex()
		w.run(t)
		w.local.Edit("INBOX", find(w.local, "INBOX", 4), letter(44))
		w.local.Edit("INBOX", find(w.local, "INBOX", 3), strings.Replace(letter(3), "Hello", "Longer hello", 1))
		w.local.Touch("INBOX", find(w.local, "INBOX", 2))
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{0, 2}, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, w.actions())
		w.agree(t)
	})
}

// New mail in a mailbox that vanished on the other side waits with it.
func TestNewMailInAVanishedMailbox(t *testing.T) {
	for _, remove := range []bool{false, true} {
		t.Run(fmt.Sprint(remove), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.opts.Policy.RemoveBoxes = [2]bool{remove, remove}
				w.fill(t, "INBOX", 0, 50)
				w.fill(t, "Work", 100, 2)
				w.local.DeleteBox("Work")
				w.remote.Deliver("Work", letter(200), mail.FlagSet{}, day)
				w.run(t)
				rep := w.run(t)
				need(t, rep.Exit() == 3 && find(w.remote, "Work", 200) != "", "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				rep = w.run(t, reject)
				need(t, rep.Exit() == 0 && find(w.local, "Work", 200) != "", "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				w.agree(t)
			})
		})
	}
}

// A forgetful side leaves a mailbox out of its first listing.
type forgetful struct {
	engine.Writer
	name  mail.MailboxName
	times int
}

func (f *forgetful) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	boxes, err := f.Writer.Survey(ctx, since)
	if f.times++; f.times == 1 {
		boxes = slices.DeleteFunc(boxes, func(b plan.Box) bool { return b.Name == f.name })
	}
	return boxes, err
}

// One LIST that leaves a mailbox out removes nothing, though vanished
// mailboxes are to be removed.
func TestOneListThatLeavesAMailboxOut(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.opts.Policy.RemoveBoxes = [2]bool{true, true}
		w.fill(t, "INBOX", 0, 50)
		w.fill(t, "Work", 100, 2)
		w.run(t, func(o *engine.Options) { o.Remote = &forgetful{Writer: o.Remote, name: "Work"} })
		need(t, find(w.local, "Work", 100) != "", "one look was enough: %v", w.actions())
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d", rep.Exit())
		w.agree(t)
		w.remote.DeleteBox("Work")
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Removed[plan.Local] == 1, "exit %d, removed %v: %v", rep.Exit(), rep.Removed, w.actions())
		w.agree(t)
	})
}

// The first run dies with some rows settled; then the server numbers anew.
func TestUIDValidityResetAfterAFirstRunThatDied(t *testing.T) {
	for _, name := range []string{"index settle", "local commit", "index begin"} {
		for n := 1; n < 8; n++ {
			w := newWorld()
			for i := range 10 {
				w.remote.Deliver("INBOX", letter(i), mail.FlagSet{}, day)
			}
			for i := range 10 {
				w.remote.Deliver("Work", letter(20+i), mail.FlagSet{}, day)
			}
			var f sidetest.Faults
			f.FailNamed(name, n, sidetest.DieAfter)
			w.try(func(o *engine.Options) {
				o.Local = sidetest.Faulty(o.Local, &f, "local")
				o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
				o.Index = sidetest.FaultyIndex(o.Index, &f)
			})
			for _, box := range []mail.MailboxName{"INBOX", "Work"} {
				list := w.remote.Snapshot()[box]
				w.remote.ResetEpoch(box)
				for _, msg := range w.remote.Snapshot()[box] {
					w.remote.Expunge(box, msg.Ref)
				}
				slices.Reverse(list)
				w.remote.ResetEpoch(box)
				for _, msg := range list {
					w.remote.Deliver(box, string(msg.Body), msg.Flags, msg.Date)
				}
			}
			rep, err := w.try()
			need(t, err == nil && rep.Exit() == 0, "%s %d: exit %d, %v", name, n, rep.Exit(), err)
			need(t, w.local.Snapshot().Messages() == 20 && w.remote.Snapshot().Messages() == 20, "%s %d (%s): %d here, %d there", name, n, f.Hit(), w.local.Snapshot().Messages(), w.remote.Snapshot().Messages())
			w.agree(t)
			for _, row := range w.index.AllRows() {
				need(t, bodyAt(w.local, row.At[0].Ref) == bodyAt(w.remote, row.At[1].Ref) || row.At[0].Box != 1, "%s %d: a row binds two messages: %+v", name, n, row)
			}
		}
	}
}

func bodyAt(m *sidetest.Memory, ref mail.Ref) string {
	for _, msg := range m.Snapshot()["INBOX"] {
		if msg.Ref == ref {
			return string(sidetest.Canonical(msg.Body))
		}
	}
	return ""
}

// die lets a run die before, or after, the n-th step of that name.
func (w *world) die(t *testing.T, name string, mode sidetest.Mode) {
	t.Helper()
	var f sidetest.Faults
	f.FailNamed(name, 1, mode)
	w.try(func(o *engine.Options) {
		o.Local = sidetest.Faulty(o.Local, &f, "local")
		o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
		o.Index = sidetest.FaultyIndex(o.Index, &f)
	})
	need(t, f.Hit() != "", "no fault: %v", f.Names())
}

// A message that was sent twice and is then filed anew is no double of itself.
func TestFiledAnewAfterARepeatedCopy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 20)
		w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		w.die(t, "remote put", sidetest.DieBefore)
		w.run(t)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 50), "INBOX", false)
		w.run(t)
		need(t, count(w.local, 50) == 1 && count(w.remote, 50) == 1, "%d here, %d there: %v", count(w.local, 50), count(w.remote, 50), w.actions())
		w.agree(t)
	})
}

// What was begun in a mailbox that is gone from both sides is over.
func TestMailboxThatIsGoneTakesItsIntentsAlong(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 20)
		w.fill(t, "Work", 30, 2)
		w.local.Deliver("Work", letter(50), mail.FlagSet{}, day)
		w.die(t, "remote put", sidetest.DieBefore)
		w.local.DeleteBox("Work")
		w.remote.DeleteBox("Work")
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		w.agree(t)
	})
}

// A mailbox that was made under one that the other side renamed goes with it.
func TestNewChildOfARenamedMailbox(t *testing.T) {
	for _, side := range plan.Sides {
		t.Run(side.String(), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.fill(t, "Work", 0, 10)
				m := [2]*sidetest.Memory{w.local, w.remote}
				need(t, m[side].RenameBox("Work", "Job"), "rename")
				m[side.Other()].Deliver("Work/New", letter(50), mail.FlagSet{}, day)
				rep := w.run(t)
				need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				need(t, find(m[side], "Job/New", 50) != "", "not where it belongs: %v", w.actions())
				w.agree(t)
			})
		})
	}
}

// A child of a renamed mailbox that cannot be proved to be the same goes with
// it all the same: no name stands for two.
func TestRenamedWithAChildThatIsNotProved(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.Traits.BoxIDs = false
		w.fill(t, "Work", 0, 10)
		w.fill(t, "Work/Deep", 20, 5)
		w.fill(t, "INBOX", 40, 20)
		need(t, w.remote.RenameBox("Work", "Job"), "rename")
		w.remote.ResetEpoch("Job/Deep")
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Deleted == [2]int{}, "exit %d, deleted %v: %v %v", rep.Exit(), rep.Deleted, rep.Faults, w.actions())
		need(t, w.local.Snapshot().Messages() == 35 && w.remote.Snapshot().Messages() == 35, "%d here, %d there", w.local.Snapshot().Messages(), w.remote.Snapshot().Messages())
		w.agree(t)
	})
}

// A message that is moved, and moved back while the run that followed it was
// dead, is followed back.
func TestMovedBackAfterAMoveThatWasNotRecorded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.CreateBox("Work")
		w.fill(t, "INBOX", 0, 10)
		w.local.Move("INBOX", find(w.local, "INBOX", 3), "Work", true)
		w.die(t, "remote do move", sidetest.DieAfter)
		need(t, find(w.remote, "Work", 3) != "", "not moved")
		w.local.Move("Work", find(w.local, "Work", 3), "INBOX", true)
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		if !w.remote.Traits.UIDPlus { // the next run knows where it went
			w.run(t)
		}
		w.agree(t)
	})
}

// The same where the server numbers the mailbox anew meanwhile: the message is
// found where it was moved to, and on the server again by what it is.
func TestMoveOutOfARenumberedMailboxThatWasNotRecorded(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.CreateBox("Work")
		w.fill(t, "INBOX", 0, 10)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 3), "Work", false)
		w.remote.ResetEpoch("INBOX")
		w.die(t, "local do move", sidetest.DieAfter)
		need(t, find(w.local, "Work", 3) != "", "not moved")
		for range 2 {
			rep := w.run(t)
			need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		}
		w.agree(t)
	})
}
