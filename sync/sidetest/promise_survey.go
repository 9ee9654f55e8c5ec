package sidetest

import (
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var surveyPromises = []promise{
	{"an empty account holds no messages", func(b *bench) {
		for name, box := range b.survey(nil) {
			if box.Count > 0 {
				b.Errorf("%q counts %d messages", name, box.Count)
			}
			if box.Container {
				continue
			}
			if b.ids[name] == 0 {
				b.ids[name] = mail.BoxID(100 + len(b.ids))
				b.bind()
			}
			if seen, _ := b.everything(name); len(seen) > 0 {
				b.Errorf("%q yields %d messages", name, len(seen))
			}
		}
	}},
	{"without a cursor nothing is Same", func(b *bench) {
		b.put(mail.Inbox, plain(1))
		b.reopen()
		if box := b.survey(nil)[mail.Inbox]; box.State == plan.Same {
			b.Error("INBOX is Same, compared with nothing")
		}
	}},
	{"a cursor of another epoch is not Same", func(b *bench) {
		b.put(mail.Inbox, plain(1))
		b.reopen()
		_, pos := b.everything(mail.Inbox)
		pos.Epoch = "another"
		b.age()
		if box := b.survey(since(mail.Inbox, pos))[mail.Inbox]; box.State == plan.Same {
			b.Error("INBOX is Same, compared with a cursor of another epoch")
		}
	}},
	{"counts are right where they are told", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2), plain(3))
		b.reopen()
		if n := b.survey(nil)[mail.Inbox].Count; n != -1 && n != 3 {
			b.Errorf("INBOX counts %d messages, 3 are there", n)
		}
	}},
	{"a mailbox in which nothing changed is Same, if the side can tell", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2))
		b.age()
		b.reopen()
		_, pos := b.everything(mail.Inbox)
		b.reopen()
		box := b.survey(since(mail.Inbox, pos))[mail.Inbox]
		if b.h.Claims.TellsSame && box.State != plan.Same {
			b.Errorf("INBOX has the state %d; cursor %q, survey %q", box.State, pos.Cursor, box.Cursor)
		}
	}},
	{"a delivery is never Same", func(b *bench) {
		b.neverSame(func(ref mail.Ref) { b.deliver(mail.Inbox, plain(9)) })
	}},
	{"a change of flags is never Same", func(b *bench) {
		b.neverSame(func(ref mail.Ref) { b.reflag(mail.Inbox, ref, mail.NewFlagSet(mail.Flagged)) })
	}},
	{"an expunged message is never Same", func(b *bench) {
		b.neverSame(func(ref mail.Ref) { b.expunge(mail.Inbox, ref) })
	}},
	{"a message moved away is never Same", func(b *bench) {
		b.need("Elsewhere")
		b.neverSame(func(ref mail.Ref) { b.carry(mail.Inbox, ref, "Elsewhere") })
	}},
	{"a message that went and one that came are never Same", func(b *bench) {
		b.neverSame(func(ref mail.Ref) {
			b.expunge(mail.Inbox, ref)
			b.deliver(mail.Inbox, plain(9))
		})
	}},
	{"UIDNEXT bounds what comes, where it is told", func(b *bench) {
		b.put(mail.Inbox, plain(1))
		b.reopen()
		next := b.next(mail.Inbox)
		if next == 0 {
			if b.h.Claims.HasNext {
				b.Error("neither survey nor scan tells UIDNEXT")
			}
			return
		}
		ref := b.put(mail.Inbox, plain(2))[0]
		if uid := uidOf(ref); uid < next {
			b.Errorf("the next message has the UID %d, told was %d", uid, next)
		}
	}},
}

// next is UIDNEXT as a survey or else a scan tells it.
func (b *bench) next(box mail.MailboxName) uint32 {
	b.Helper()
	if n := b.survey(nil)[box].Next; n > 0 {
		return n
	}
	_, end := b.scan(box, plan.Since{})
	return end.Next
}

func uidOf(ref mail.Ref) uint32 {
	var n uint32
	for _, c := range string(ref) {
		if c < '0' || c > '9' {
			return 0
		}
		n = n*10 + uint32(c-'0')
	}
	return n
}

// neverSame checks that a survey sees what change does to one of three messages.
func (b *bench) neverSame(change func(ref mail.Ref)) {
	b.Helper()
	ref := b.put(mail.Inbox, plain(1), plain(2), plain(3))[1]
	b.age()
	b.reopen()
	_, pos := b.everything(mail.Inbox)
	change(ref)
	b.reopen()
	if box := b.survey(since(mail.Inbox, pos))[mail.Inbox]; box.State == plan.Same {
		b.Error("the survey says that nothing changed")
	}
}

// oddNames are names that some side or other has trouble with.
var oddNames = []mail.MailboxName{
	"Work", "Work/Deep/Deeper", "INBOX/Below", "Räksmörgås", "日本語/メール", "with space", " leading space",
	"trailing space ", "dot.inside", ".leading dot", "trailing dot.", "cur", "new", "tmp", "Work/cur",
	"amp&ersand", "&-", "&AOk-", "percent%", "star*", `quote"d`, `back\slash`, "brace{5}", "(paren)", "~tilde", "#hash",
	"tab\there", "+plus", "comma,colon:semi;", "_=_", "a\u2215b", "a\u2215\ufe00b", "emoji 🐦", "e\u0301 decomposed", "lower", "LOWER",
	mail.MailboxName(strings.Repeat("long", 40)), mail.MailboxName(strings.Repeat("ü", 80)), ".godwit", "dovecot-keywords", "-dash",
}

var mailboxPromises = []promise{
	{"what is created is listed, whatever its name", func(b *bench) {
		names := []mail.MailboxName{}
		for _, name := range oddNames {
			if b.h.Claims.Name == nil || b.h.Claims.Name(name) {
				names = append(names, name)
			}
		}
		b.need(names...)
		b.listed(names)
		b.reopen()
		b.listed(names)
	}},
	{"a mailbox of every name holds mail of its own", func(b *bench) {
		var names []mail.MailboxName
		for i, name := range oddNames {
			if b.h.Claims.Name != nil && !b.h.Claims.Name(name) {
				continue
			}
			names = append(names, name)
			b.need(name)
			b.put(name, plain(i))
		}
		b.reopen()
		for _, name := range names {
			b.holds(name, plain(slices.Index(oddNames, name)))
		}
	}},
	{"a mailbox that exists can be created again, and keeps its mail", func(b *bench) {
		b.need("Work")
		b.put("Work", plain(1))
		box, err := b.side.Create(b.ctx, "Work")
		if err != nil || box.Name != "Work" {
			b.Errorf("create gives %q, %v", box.Name, err)
		}
		b.holds("Work", plain(1))
	}},
	{"parents are made where needed, and can become mailboxes", func(b *bench) {
		b.need("Over/Under")
		b.put("Over/Under", plain(1))
		b.need("Over")
		b.put("Over", plain(2))
		b.reopen()
		b.holds("Over/Under", plain(1))
		b.holds("Over", plain(2))
	}},
	{"a rename takes along messages and children", func(b *bench) {
		b.need("Old", "Old/Child", "Older")
		one, two, three := flagged(plain(1), mail.Seen), flagged(plain(2), mail.Flagged), plain(3)
		b.put("Old", one)
		b.put("Old/Child", two)
		b.put("Older", three)
		if err := b.side.Rename(b.ctx, "Old", "New/Name"); err != nil {
			b.Fatalf("rename: %v", err)
		}
		for _, name := range []mail.MailboxName{"New/Name", "New/Name/Child"} {
			b.ids[name] = mail.BoxID(50 + len(b.ids))
		}
		delete(b.ids, "Old")
		delete(b.ids, "Old/Child")
		b.reopen()
		list := b.survey(nil)
		for _, gone := range []mail.MailboxName{"Old", "Old/Child"} {
			if _, there := list[gone]; there {
				b.Errorf("%q is still listed", gone)
			}
		}
		b.holds("New/Name", one)
		b.holds("New/Name/Child", two)
		b.holds("Older", three)
	}},
	{"the ID of a mailbox outlives its name", func(b *bench) {
		b.need("Old", "Other")
		before := b.survey(nil)
		if err := b.side.Rename(b.ctx, "Old", "New"); err != nil {
			b.Fatalf("rename: %v", err)
		}
		delete(b.ids, "Old")
		b.reopen()
		if after := b.survey(nil); after["New"].ID != before["Old"].ID {
			b.Errorf("the ID was %q and is %q", before["Old"].ID, after["New"].ID)
		}
		if id := before["Old"].ID; id != "" && id == before["Other"].ID {
			b.Errorf("two mailboxes have the ID %q", id)
		}
	}},
	{"a rename onto a mailbox that exists fails and changes nothing", func(b *bench) {
		b.need("One", "Two")
		b.put("One", plain(1))
		b.put("Two", plain(2))
		if err := b.side.Rename(b.ctx, "One", "Two"); err == nil {
			b.Error("it was renamed")
		}
		b.reopen()
		b.holds("One", plain(1))
		b.holds("Two", plain(2))
	}},
	{"a mailbox that holds mail is not removed", func(b *bench) {
		b.need("Full")
		b.put("Full", plain(1))
		if err := b.side.Remove(b.ctx, "Full"); err == nil {
			b.Error("it was removed")
		}
		b.reopen()
		b.holds("Full", plain(1))
	}},
	{"a mailbox that has children is not removed", func(b *bench) {
		b.need("Parent", "Parent/Child")
		b.put("Parent/Child", plain(1))
		if err := b.side.Remove(b.ctx, "Parent"); err == nil {
			b.Error("it was removed")
		}
		b.reopen()
		if box, there := b.survey(nil)["Parent"]; !there || box.Container {
			b.Error("it changed nevertheless")
		}
		b.holds("Parent/Child", plain(1))
	}},
	{"an empty mailbox is removed", func(b *bench) {
		b.need("Empty", "Empty too")
		ref := b.put("Empty", plain(1))[0]
		b.must(plan.Op{Kind: plan.OpDelete, From: b.at("Empty", ref)})
		if err := b.side.Remove(b.ctx, "Empty"); err != nil {
			b.Fatalf("remove: %v", err)
		}
		delete(b.ids, "Empty")
		b.reopen()
		list := b.survey(nil)
		if box, there := list["Empty"]; there && !box.Container {
			b.Error("it is still listed")
		}
		if _, there := list["Empty too"]; !there {
			b.Error("its neighbour is gone")
		}
	}},
}

// listed checks that a survey lists all names as mailboxes, and nothing else
// but their parents and what was there at first.
func (b *bench) listed(names []mail.MailboxName) {
	b.Helper()
	list := b.survey(nil)
	for _, name := range names {
		if box, there := list[name]; !there {
			b.Errorf("%q is not listed", name)
		} else if box.Container {
			b.Errorf("%q cannot hold mail", name)
		}
	}
	for name, box := range list {
		parent := slices.ContainsFunc(names, func(n mail.MailboxName) bool { return n.Within(name) })
		if !slices.Contains(names, name) && name != mail.Inbox && !parent && box.Role == mail.RoleNone {
			b.Errorf("%q is listed and was never created", name)
		}
	}
}

func flagged(l letter, flags ...mail.Flag) letter {
	l.flags = mail.NewFlagSet(flags...)
	return l
}
