package engine_test

import (
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// variants are the servers that every scenario must hold against.
var variants = map[string]func(*world){
	"full":       func(*world) {},
	"bare":       func(w *world) { w.remote.Traits = sidetest.BareServer() },
	"globalids":  func(w *world) { w.remote.Traits.GlobalIDs = true },
	"noqresync":  func(w *world) { w.remote.Traits.QResync = false },
	"sharedvals": func(w *world) { w.remote.Traits.SharedEpoch = true },
}

func each(t *testing.T, test func(t *testing.T, w *world)) {
	for name, vary := range variants {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			vary(w)
			test(t, w)
		})
	}
}

func TestFirstPullAndPush(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 30 {
			w.remote.Deliver("INBOX", letter(i), mail.NewFlagSet(mail.Seen), day)
			w.local.Deliver("Work/Deep", letter(100+i), mail.NewFlagSet("$Label1"), day)
		}
		w.remote.CreateBox("Empty")
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		need(t, rep.Copied == [2]int{30, 30}, "copied %v", rep.Copied)
		w.agree(t)
	})
}

func TestFlagsMergeOneByOne(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 2)
		w.local.SetFlags("INBOX", find(w.local, "INBOX", 0), mail.NewFlagSet(mail.Seen, "$Todo"))
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 0), mail.NewFlagSet(mail.Flagged))
		w.run(t)
		need(t, flags(w.local, "INBOX", 0) == `\Seen \Flagged $Todo`, "local has %s", flags(w.local, "INBOX", 0))
		w.agree(t)
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 0), mail.NewFlagSet(mail.Flagged))
		w.local.SetFlags("INBOX", find(w.local, "INBOX", 0), mail.NewFlagSet(mail.Seen, "$Todo", mail.Answered))
		w.run(t)
		need(t, flags(w.local, "INBOX", 0) == `\Answered`, "local has %s", flags(w.local, "INBOX", 0))
		w.agree(t)
	})
}

func TestMovesCarryNoBody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 12)
		w.local.CreateBox("Work")
		w.run(t)
		w.local.Move("INBOX", find(w.local, "INBOX", 0), "Work", true)
		w.local.Move("INBOX", find(w.local, "INBOX", 1), "Work", false)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 2), "Work", false)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 3), "Fresh", false)
		w.remote.ResetCounts()
		rep := w.run(t)
		need(t, rep.Moved == [2]int{2, 2}, "moved %v: %v", rep.Moved, w.actions())
		need(t, w.remote.Bodies() == 0, "%d bodies travelled", w.remote.Bodies())
		need(t, find(w.remote, "Work", 1) != "" && find(w.local, "Fresh", 3) != "", "not where they belong")
		w.agree(t)
	})
}

func TestBothSidesMoveTheSameMessage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		for _, b := range []mail.MailboxName{"A", "B"} {
			w.remote.CreateBox(b)
		}
		w.run(t)
		// 0: to one place on both; 1: to two places; 2: moved here, deleted there;
		// 3: moved there, deleted here; 4: moved here, flagged there.
		w.local.Move("INBOX", find(w.local, "INBOX", 0), "A", false)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 0), "A", false)
		w.local.Move("INBOX", find(w.local, "INBOX", 1), "A", true)
		w.remote.Move("INBOX", find(w.remote, "INBOX", 1), "B", false)
		w.local.Move("INBOX", find(w.local, "INBOX", 2), "A", true)
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 2))
		w.remote.Move("INBOX", find(w.remote, "INBOX", 3), "B", false)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 3))
		w.local.Move("INBOX", find(w.local, "INBOX", 4), "B", true)
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 4), mail.NewFlagSet(mail.Flagged))
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v", rep.Exit(), rep.Faults)
		for n, box := range map[int]mail.MailboxName{0: "A", 1: "B", 2: "A", 3: "B", 4: "B"} {
			need(t, find(w.local, box, n) != "", "letter %d is not in local %s: %v", n, box, w.actions())
		}
		need(t, flags(w.local, "B", 4) == `\Flagged`, "letter 4 has %s", flags(w.local, "B", 4))
		w.agree(t)
	})
}

func TestDeletions(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 20)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 0))
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 1))
		w.local.Expunge("INBOX", find(w.local, "INBOX", 2))
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 2))
		// Deletion beats a flag.
		w.local.Expunge("INBOX", find(w.local, "INBOX", 3))
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 3), mail.NewFlagSet(mail.Seen))
		rep := w.run(t)
		need(t, rep.Deleted == [2]int{1, 2}, "deleted %v: %v", rep.Deleted, w.actions())
		need(t, len(w.kept.bodies) == 3, "kept %d", len(w.kept.bodies))
		need(t, w.local.Snapshot().Messages() == 16, "%d messages are left", w.local.Snapshot().Messages())
		w.agree(t)
	})
}

func TestGuardHoldsAndIsAnswered(t *testing.T) {
	empty := func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 40)
		w.fill(t, "Work", 100, 200)
		for i := range 40 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
		}
		w.local.Expunge("Work", find(w.local, "Work", 100))
		rep := w.run(t)
		need(t, rep.Exit() == 3 && rep.Held == 40, "exit %d, held %d, faults %v pending %d", rep.Exit(), rep.Held, rep.Faults, rep.Pending)
		need(t, rep.Deleted == [2]int{0, 1}, "deleted %v", rep.Deleted)
		rep = w.run(t)
		need(t, rep.Exit() == 3 && rep.Held == 40, "the next run: exit %d, held %d", rep.Exit(), rep.Held)
	}
	t.Run("mail comes", func(t *testing.T) {
		w := newWorld()
		w.fill(t, "INBOX", 0, 4)
		w.fill(t, "Work", 100, 200)
		for i := range 4 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
		}
		need(t, w.run(t).Held == 4, "the emptied mailbox is not held")
		for i := range 2 {
			w.remote.Deliver("INBOX", letter(900+i), mail.FlagSet{}, day)
			rep := w.run(t)
			need(t, rep.Exit() == 3 && rep.Held == 4 && rep.Deleted == [2]int{}, "with new mail: exit %d, held %d, deleted %v", rep.Exit(), rep.Held, rep.Deleted)
		}
	})
	t.Run("accept", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			empty(t, w)
			w.local.Expunge("Work", find(w.local, "Work", 101))
			rep := w.run(t, func(o *engine.Options) { o.Accept = true })
			need(t, rep.Exit() == 0 && rep.Deleted[plan.Remote] == 41, "exit %d, deleted %v", rep.Exit(), rep.Deleted)
			w.agree(t)
		})
	})
	t.Run("reject", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			empty(t, w)
			rep := w.run(t, func(o *engine.Options) { o.Reject = true })
			need(t, rep.Exit() == 0 && rep.Copied[plan.Local] == 40, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, w.actions())
			w.agree(t)
		})
	})
	t.Run("came back", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			w.fill(t, "INBOX", 0, 40)
			before := w.local.Clone()
			for i := range 40 {
				w.local.Expunge("INBOX", find(w.local, "INBOX", i))
			}
			need(t, w.run(t).Held == 40, "not held")
			for _, m := range before.Snapshot()["INBOX"] {
				w.local.Deliver("INBOX", string(m.Body), m.Flags, m.Date)
			}
			rep := w.run(t)
			need(t, rep.Exit() == 0 && rep.Held == 0 && rep.Copied == [2]int{}, "exit %d, held %d, copied %v", rep.Exit(), rep.Held, rep.Copied)
			w.agree(t)
		})
	})
}

func TestDripIsHeldToo(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 40)
		for i := range 40 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
			w.run(t)
		}
		n := w.remote.Snapshot().Messages()
		need(t, n >= 29, "only %d of 40 are left after a drip of single deletions", n)
	})
}

func TestUIDValidityReset(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 30)
		w.fill(t, "Work", 100, 5)
		w.remote.ResetEpoch("INBOX")
		w.local.SetFlags("INBOX", find(w.local, "INBOX", 1), mail.NewFlagSet(mail.Seen))
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 2), mail.NewFlagSet(mail.Flagged))
		w.local.Expunge("INBOX", find(w.local, "INBOX", 3))
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 4))
		w.local.Move("INBOX", find(w.local, "INBOX", 5), "Work", true)
		w.remote.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		w.remote.ResetCounts()
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		need(t, find(w.remote, "INBOX", 3) == "", "a deletion was forgotten")
		need(t, find(w.local, "INBOX", 4) != "", "a message that the reset lost was deleted")
		need(t, find(w.remote, "Work", 5) != "", "a move was forgotten")
		// The new one, the one kept before its deletion, and one that is read back
		// after the first push to see whether the server rewrites.
		need(t, w.remote.Bodies() == 3, "%d bodies travelled", w.remote.Bodies())
		w.agree(t)
	})
}

func TestRootThatIsAnother(t *testing.T) {
	t.Run("removed", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			w.fill(t, "INBOX", 0, 30)
			w.local.RemoveRoot()
			w.remote.ResetCounts()
			rep := w.run(t)
			need(t, rep.Exit() == 3 && rep.EmptyRoot && len(rep.Hints) > 0, "exit %d", rep.Exit())
			need(t, w.remote.Effects() == 0 && !w.exists(), "something was written")
			rep = w.run(t, func(o *engine.Options) { o.Reject = true })
			need(t, rep.Exit() == 0 && rep.Copied[plan.Local] == 30, "exit %d, copied %v: %v %v", rep.Exit(), rep.Copied, rep.Faults, w.actions())
			w.agree(t)
		})
	})
	t.Run("restored from last week", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			w.fill(t, "INBOX", 0, 30)
			w.local.Deliver("INBOX", letter(90), mail.FlagSet{}, day)
			w.run(t)
			old := w.local.Clone()
			w.fill(t, "INBOX", 30, 30)
			w.fill(t, "New", 200, 3)
			w.local.Expunge("INBOX", find(w.local, "INBOX", 90))
			w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 2), mail.NewFlagSet(mail.Seen))
			w.run(t)
			need(t, find(w.remote, "INBOX", 90) == "", "not deleted")
			w.local.Restore(old)
			rep := w.run(t)
			need(t, rep.Exit() == 0 && rep.Deleted == [2]int{}, "exit %d deleted %v: %v", rep.Exit(), rep.Deleted, rep.Faults)
			need(t, rep.Copied[plan.Local] == 33, "copied %v: %v", rep.Copied, w.actions())
			need(t, find(w.remote, "INBOX", 90) != "", "what the restored maildir has is not on the server")
			need(t, flags(w.local, "INBOX", 2) == `\Seen`, "flags %s", flags(w.local, "INBOX", 2))
			w.agree(t)
		})
	})
}

func (w *world) exists() bool { return len(w.local.Snapshot()) > 0 }

func TestIndexLost(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 30)
		w.local.Deliver("Work", letter(60), mail.NewFlagSet(mail.Seen), day)
		w.run(t)
		w.index = sidetest.NewMemoryIndex()
		w.remote.ResetCounts()
		rep := w.run(t)
		need(t, rep.Adopted == 31 && rep.Copied == [2]int{} && w.remote.Bodies() == 0, "adopted %d, copied %v, bodies %d: %v", rep.Adopted, rep.Copied, w.remote.Bodies(), w.actions())
		w.agree(t)
	})
}

func TestServerListsNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 10)
		w.fill(t, "Work", 100, 10)
		gone := w.remote.Clone()
		w.remote.DeleteBox("INBOX")
		w.remote.DeleteBox("Work")
		rep := w.run(t)
		need(t, rep.Exit() == 3 && rep.HeldBoxes == 2 && w.local.Snapshot().Messages() == 20, "exit %d, held %d, left %d", rep.Exit(), rep.HeldBoxes, w.local.Snapshot().Messages())
		w.remote.Restore(gone)
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{}, "exit %d copied %v: %v", rep.Exit(), rep.Copied, w.actions())
		w.agree(t)
	})
}

func TestVanishedMailboxIsAnswered(t *testing.T) {
	vanish := func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 50)
		w.fill(t, "Work", 100, 10)
		w.local.DeleteBox("Work")
		rep := w.run(t)
		need(t, rep.Exit() == 3 && rep.HeldBoxes == 1, "exit %d, held %d: %v %v", rep.Exit(), rep.HeldBoxes, rep.Faults, w.actions())
		need(t, w.remote.Snapshot().Messages() == 60, "something was deleted")
	}
	t.Run("accept", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			vanish(t, w)
			rep := w.run(t, func(o *engine.Options) { o.Accept = true })
			need(t, rep.Exit() == 0 && rep.Deleted[plan.Remote] == 10 && rep.Removed[plan.Remote] == 1 && rep.Mailboxes == len(w.remote.Snapshot()), "exit %d, deleted %v, removed %v: %v %v", rep.Exit(), rep.Deleted, rep.Removed, rep.Faults, w.actions())
			w.agree(t)
		})
	})
	t.Run("reject", func(t *testing.T) {
		each(t, func(t *testing.T, w *world) {
			vanish(t, w)
			rep := w.run(t, func(o *engine.Options) { o.Reject = true })
			need(t, rep.Exit() == 0 && rep.Copied[plan.Local] == 10, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, w.actions())
			w.agree(t)
		})
	})
}

func TestRenamedMailbox(t *testing.T) {
	for _, side := range plan.Sides {
		t.Run(side.String(), func(t *testing.T) {
			each(t, func(t *testing.T, w *world) {
				w.fill(t, "Work", 0, 10)
				w.fill(t, "Work/Deep", 20, 3)
				m := [2]*sidetest.Memory{w.local, w.remote}[side]
				need(t, m.RenameBox("Work", "Job"), "rename")
				w.remote.ResetCounts()
				rep := w.run(t)
				need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
				if !w.remote.Traits.SharedEpoch {
					need(t, rep.Renamed[side.Other()] == 2 && w.remote.Bodies() == 0, "renamed %v, bodies %d: %v", rep.Renamed, w.remote.Bodies(), w.actions())
				}
				w.agree(t)
			})
		})
	}
}

func TestScope(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 30)
		w.fill(t, "Old", 100, 30)
		w.opts.Scope = func(n mail.MailboxName, _ mail.Role) bool { return n != "Old" }
		rep := w.run(t)
		need(t, rep.Exit() == 0 && !rep.Changed(), "exit %d: %v", rep.Exit(), w.actions())
		// A file that goes to an excluded folder is not deleted on the server.
		w.local.Move("INBOX", find(w.local, "INBOX", 0), "Old", true)
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Deleted == [2]int{} && find(w.remote, "INBOX", 0) != "", "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		w.quiet(t)
		w.local.Move("Old", find(w.local, "Old", 0), "INBOX", true)
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{}, "back again: exit %d: %v", rep.Exit(), w.actions())
		w.quiet(t)
		w.opts.Scope = nil
		w.run(t)
		w.agree(t)
	})
}

func TestPullThenMirror(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.opts.Mode, w.opts.Policy = "pull", plan.Pull()
		w.fill(t, "INBOX", 0, 20)
		w.local.Expunge("INBOX", find(w.local, "INBOX", 0))
		w.local.SetFlags("INBOX", find(w.local, "INBOX", 1), mail.NewFlagSet(mail.Seen))
		w.local.Deliver("INBOX", letter(70), mail.FlagSet{}, day)
		w.local.Deliver("Mine", letter(71), mail.FlagSet{}, day)
		w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 1), mail.NewFlagSet(mail.Flagged))
		w.remote.ResetCounts()
		rep := w.run(t)
		need(t, rep.Exit() == 0 && w.remote.Effects() == 0, "exit %d, %d effects on the server: %v %v", rep.Exit(), w.remote.Effects(), rep.Faults, w.actions())
		need(t, flags(w.local, "INBOX", 1) == `\Seen \Flagged`, "flags %s", flags(w.local, "INBOX", 1))
		w.quiet(t)
		w.opts.Mode, w.opts.Policy = "mirror", plan.Mirror()
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Deleted == [2]int{}, "exit %d, deleted %v: %v", rep.Exit(), rep.Deleted, w.actions())
		need(t, find(w.local, "INBOX", 0) != "" && find(w.remote, "INBOX", 70) != "" && find(w.remote, "Mine", 71) != "", "not joined: %v", w.actions())
		w.agree(t)
	})
}

func TestReadOnlyMailboxAndNoKeywords(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.Traits.Permits = func(f mail.Flag) bool { return f[0] == '\\' }
		w.fill(t, "INBOX", 0, 20)
		w.fill(t, "Shared", 100, 20)
		w.remote.SetRights("Shared", plan.ReadOnly)
		w.run(t)
		w.local.SetFlags("INBOX", find(w.local, "INBOX", 0), mail.NewFlagSet("$Todo", mail.Seen))
		w.local.SetFlags("Shared", find(w.local, "Shared", 100), mail.NewFlagSet(mail.Seen))
		w.local.Expunge("Shared", find(w.local, "Shared", 101))
		w.local.Deliver("Shared", letter(300), mail.FlagSet{}, day)
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		need(t, flags(w.remote, "INBOX", 0) == `\Seen` && flags(w.local, "INBOX", 0) == `\Seen $Todo`, "flags %s / %s", flags(w.local, "INBOX", 0), flags(w.remote, "INBOX", 0))
		w.quiet(t)
		for _, e := range w.events {
			need(t, e.Kind != engine.Noted, "noted again: %+v", e)
		}
	})
}

func TestEditedFileIsANewMessage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 20)
		w.local.Edit("INBOX", find(w.local, "INBOX", 4), letter(44))
		w.local.Touch("INBOX", find(w.local, "INBOX", 5))
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{0, 1} && rep.Deleted == [2]int{0, 1}, "exit %d, copied %v, deleted %v: %v %v", rep.Exit(), rep.Copied, rep.Deleted, rep.Faults, w.actions())
		need(t, find(w.remote, "INBOX", 44) != "" && find(w.remote, "INBOX", 4) == "", "not carried over")
		w.agree(t)
	})
}

func TestDryRunChangesNothingAndTellsTheSame(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 30)
		w.remote.Deliver("Fresh", letter(40), mail.FlagSet{}, day)
		w.local.SetFlags("INBOX", find(w.local, "INBOX", 0), mail.NewFlagSet(mail.Seen))
		w.local.Move("INBOX", find(w.local, "INBOX", 1), "Work", true)
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 2))
		w.local.ResetCounts()
		w.remote.ResetCounts()
		writes := w.index.Writes()
		dry := w.run(t, func(o *engine.Options) { o.DryRun = true })
		need(t, w.local.Effects()+w.remote.Effects()+w.index.Writes()-writes == 0, "a dry run wrote")
		real := w.run(t)
		need(t, dry.Copied == real.Copied && dry.Moved == real.Moved && dry.Flagged == real.Flagged && dry.Deleted == real.Deleted && dry.Created == real.Created,
			"the dry run told %+v, the run did %+v", dry, real)
		w.agree(t)
	})
}

func TestUnreadableMessageIsNamedAndStopsNobody(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		for i := range 10 {
			w.remote.Deliver("INBOX", letter(i), mail.FlagSet{}, day)
		}
		bad := w.remote.Deliver("INBOX", letter(99)+strings.Repeat("more\r\n", 500), mail.FlagSet{}, day)
		w.remote.Break("INBOX", bad, sidetest.ErrBroken)
		rep := w.run(t)
		need(t, rep.Exit() == 1 && rep.Copied[plan.Local] == 10 && len(rep.Faults) > 0, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, rep.Faults)
		// It holds up no deletion of another message.
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 5))
		rep = w.run(t)
		need(t, rep.Exit() == 1 && rep.Deleted[plan.Local] == 1, "exit %d, deleted %v: %v", rep.Exit(), rep.Deleted, w.actions())
		w.remote.Break("INBOX", bad, nil)
		rep = w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		w.agree(t)
	})
}

func TestOnlyOneFolder(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 20)
		w.fill(t, "Work", 100, 20)
		w.remote.Deliver("Work", letter(50), mail.FlagSet{}, day)
		w.local.Move("INBOX", find(w.local, "INBOX", 0), "Work", true)
		w.remote.Deliver("INBOX", letter(51), mail.FlagSet{}, day)
		rep := w.run(t, func(o *engine.Options) { o.Only = func(n mail.MailboxName) bool { return n == "INBOX" } })
		need(t, rep.Deleted == [2]int{}, "deleted %v", rep.Deleted)
		need(t, find(w.local, "INBOX", 51) != "" && find(w.local, "Work", 50) == "", "the restriction does not hold")
		w.run(t)
		w.agree(t)
	})
}

func TestServerThatKeepsOneCopy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.remote.Traits.Dedup, w.remote.Traits.UIDPlus = true, true
		w.fill(t, "INBOX", 0, 10)
		w.local.Deliver("INBOX", letter(3), mail.FlagSet{}, day)
		w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		rep := w.run(t)
		need(t, rep.Exit() == 0, "exit %d: %v %v", rep.Exit(), rep.Faults, w.actions())
		need(t, w.local.Snapshot().Messages() == 13 && w.remote.Snapshot().Messages() == 11, "%d here, %d there", w.local.Snapshot().Messages(), w.remote.Snapshot().Messages())
		w.quiet(t)
	})
}

func TestServerThatRewrites(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		odd := "From: a@example.org\r\nSubject: gr\xfc\xdfe\r\nMessage-ID: <odd@example.org>\r\n\r\nHello\r\n"
		w.remote.Traits.Rewrite = func(raw []byte) []byte {
			out := []byte(nil)
			for _, c := range raw {
				if c >= 0x80 {
					c = 'X'
				}
				out = append(out, c)
			}
			return out
		}
		w.fill(t, "INBOX", 0, 5)
		w.remote.CreateBox("Work")
		w.local.Deliver("INBOX", odd, mail.FlagSet{}, day)
		w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		w.run(t)
		w.quiet(t)
		// It is recognised when the server numbers anew, when it is moved, and
		// can be deleted.
		w.remote.ResetEpoch("INBOX")
		rep := w.run(t)
		need(t, rep.Copied == [2]int{} && w.remote.Snapshot().Messages() == 7, "copied %v: %v", rep.Copied, w.actions())
		w.remote.Move("INBOX", w.remote.Snapshot()["INBOX"][5].Ref, "Work", false)
		rep = w.run(t)
		need(t, rep.Moved[plan.Local] == 1 && rep.Copied == [2]int{}, "moved %v: %v", rep.Moved, w.actions())
		w.local.Expunge("Work", w.local.Snapshot()["Work"][0].Ref)
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Deleted[plan.Remote] == 1, "exit %d, deleted %v: %v", rep.Exit(), rep.Deleted, rep.Faults)
		w.quiet(t)
	})
}
