package sidetest

import (
	"errors"
	"maps"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var scanPromises = []promise{
	{"what was put is seen, with its flags and date", func(b *bench) {
		letters := []letter{plain(1), flagged(plain(2), mail.Seen, mail.Flagged), flagged(plain(3), mail.Draft)}
		refs := b.put(mail.Inbox, letters...)
		b.reopen()
		seen, _ := b.everything(mail.Inbox)
		if len(seen) != len(letters) {
			b.Errorf("%d messages, %d were put", len(seen), len(letters))
		}
		for i, l := range letters {
			item := seen[refs[i]].Item
			if !item.Flags.Equal(l.flags) {
				b.Errorf("message %d has the flags %q, put with %q", i, item.Flags, l.flags)
			}
			if !item.Date.Equal(l.date) {
				b.Errorf("message %d has the date %v, put with %v", i, item.Date, l.date)
			}
		}
	}},
	{"a scan of nothing new is empty, or the same again", func(b *bench) {
		b.catchesUp(func([]mail.Ref) {})
	}},
	{"a change of flags is seen", func(b *bench) {
		b.catchesUp(func(refs []mail.Ref) { b.reflag(mail.Inbox, refs[0], mail.NewFlagSet(mail.Answered)) })
	}},
	{"flags that were taken away are seen", func(b *bench) {
		b.catchesUp(func(refs []mail.Ref) { b.reflag(mail.Inbox, refs[1], mail.FlagSet{}) })
	}},
	{"a delivery is seen", func(b *bench) {
		b.catchesUp(func([]mail.Ref) { b.deliver(mail.Inbox, plain(9)) })
	}},
	{"an expunged message is seen to be gone", func(b *bench) {
		b.catchesUp(func(refs []mail.Ref) { b.expunge(mail.Inbox, refs[1]) })
	}},
	{"a message moved away is seen to be gone", func(b *bench) {
		b.need("Elsewhere")
		b.catchesUp(func(refs []mail.Ref) { b.carry(mail.Inbox, refs[2], "Elsewhere") })
	}},
	{"a message that comes while another goes hides neither", func(b *bench) {
		b.catchesUp(func(refs []mail.Ref) {
			b.expunge(mail.Inbox, refs[0])
			b.deliver(mail.Inbox, plain(9))
		})
	}},
	{"many changes at once are all seen", func(b *bench) {
		b.need("Elsewhere")
		b.catchesUp(func(refs []mail.Ref) {
			b.reflag(mail.Inbox, refs[0], mail.NewFlagSet(mail.Flagged, mail.Seen))
			b.expunge(mail.Inbox, refs[1])
			b.carry(mail.Inbox, refs[2], "Elsewhere")
			b.deliver(mail.Inbox, plain(9))
			b.deliver(mail.Inbox, flagged(plain(10), mail.Seen))
			b.reflag(mail.Inbox, refs[3], mail.FlagSet{})
		})
	}},
	{"an emptied mailbox is seen to be empty", func(b *bench) {
		b.catchesUp(func(refs []mail.Ref) {
			for _, ref := range refs {
				b.expunge(mail.Inbox, ref)
			}
		})
	}},
	{"what this side changed itself is seen by the next", func(b *bench) {
		b.need("Elsewhere")
		b.catchesUp(func(refs []mail.Ref) {
			b.must(
				plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, refs[0]), Add: mail.NewFlagSet(mail.Flagged)},
				plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, refs[1]), To: b.ids["Elsewhere"]},
				plan.Op{Kind: plan.OpDelete, From: b.at(mail.Inbox, refs[2])},
			)
			b.put(mail.Inbox, plain(9))
		})
	}},
	{"a cursor of another epoch gives everything", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2))
		b.reopen()
		_, pos := b.everything(mail.Inbox)
		pos.Epoch = "another"
		b.full(pos, 2)
	}},
	{"a cursor that cannot be read gives everything", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2))
		b.reopen()
		_, pos := b.everything(mail.Inbox)
		for _, c := range []plan.Cursor{"nonsense", "1:2:3", plan.Cursor("\x00"), pos.Cursor + "x"} {
			pos.Cursor = c
			b.full(pos, 2)
		}
	}},
	{"a comparison shows everything, and all of what is new", func(b *bench) {
		letters := []letter{plain(1), flagged(plain(2), mail.Seen), plain(3)}
		refs := b.put(mail.Inbox, letters...)
		b.age()
		b.reopen()
		first, pos := b.everything(mail.Inbox)
		b.reflag(mail.Inbox, refs[0], mail.NewFlagSet(mail.Flagged))
		b.expunge(mail.Inbox, refs[2])
		b.deliver(mail.Inbox, flagged(plain(9), mail.Seen))
		b.reopen()
		pos.Compare = true
		b.full(pos, 3)
		seen, end := b.scan(mail.Inbox, pos)
		all, _ := b.everything(mail.Inbox)
		for ref, want := range all {
			got, item := seen[ref], want.Item
			if got.Bare {
				if _, known := first[ref]; !known {
					b.Errorf("of %s, which is new, no more than the flags are told", ref)
				}
				item = mail.Item{Flags: item.Flags}
			}
			if !got.Item.Flags.Equal(item.Flags) || !got.Item.Date.Equal(item.Date) || got.Item.Ident != item.Ident {
				b.Errorf("%s is %+v, want %+v", ref, got.Item, item)
			}
		}
		// Nothing has changed since, and everything is shown.
		b.reopen()
		b.full(plan.Since{Cursor: end.Cursor, Epoch: end.Epoch, Known: 3, Compare: true}, 3)
	}},
	{"a comparison under another epoch tells all of everything", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2))
		b.reopen()
		_, pos := b.everything(mail.Inbox)
		pos.Epoch, pos.Compare = "another", true
		b.full(pos, 2)
		seen, _ := b.scan(mail.Inbox, pos)
		for ref, s := range seen {
			if s.Bare || s.Item.Date.IsZero() {
				b.Errorf("%s: %+v", ref, s)
			}
		}
	}},
	{"a scan of an empty mailbox is full and empty", func(b *bench) {
		if seen, _ := b.everything(mail.Inbox); len(seen) != 0 {
			b.Errorf("%d messages", len(seen))
		}
	}},
	{"mailboxes do not mix", func(b *bench) {
		b.need("One", "Two", "One/Below")
		b.put("One", plain(1))
		b.put("Two", plain(2))
		b.put("One/Below", plain(3))
		b.holds("One", plain(1))
		b.holds("Two", plain(2))
		b.holds("One/Below", plain(3))
		b.holds(mail.Inbox)
	}},
	{"an error of yield ends the scan and comes back", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2), plain(3))
		stop, calls := errors.New("enough"), 0
		_, err := b.side.Scan(b.ctx, b.ids[mail.Inbox], plan.Since{}, func(plan.Seen) error {
			calls++
			return stop
		})
		if !errors.Is(err, stop) || calls != 1 {
			b.Errorf("%d calls, error %v", calls, err)
		}
		b.holds(mail.Inbox, plain(1), plain(2), plain(3))
	}},
	{"a thousand messages are all seen", func(b *bench) {
		var letters []letter
		for i := range 1000 {
			letters = append(letters, plain(i))
		}
		b.put(mail.Inbox, letters...)
		b.reopen()
		if seen, _ := b.everything(mail.Inbox); len(seen) != 1000 {
			b.Errorf("%d messages of 1000", len(seen))
		}
	}},
}

// full checks that a scan from pos gives all n messages of INBOX.
func (b *bench) full(pos plan.Since, n int) {
	b.Helper()
	seen, end := b.scan(mail.Inbox, pos)
	if !end.Full || len(seen) != n {
		b.Errorf("from the cursor %q: full is %v, %d messages of %d", pos.Cursor, end.Full, len(seen), n)
	}
	for ref, s := range seen {
		if s.Gone || s.NoFlags {
			b.Errorf("%s came without its flags, compared with nothing", ref)
		}
	}
}

// catchesUp checks that what was known, brought up to date by a scan since,
// is what a full scan gives, and that a further scan changes nothing.
func (b *bench) catchesUp(change func(refs []mail.Ref)) {
	b.Helper()
	refs := b.put(mail.Inbox, plain(101), flagged(plain(102), mail.Seen, mail.Flagged), plain(103),
		flagged(plain(104), mail.Answered))
	b.age()
	b.reopen()
	first, pos := b.everything(mail.Inbox)
	known := map[mail.Ref]string{}
	for ref, s := range first {
		known[ref] = s.Item.Flags.String()
	}
	change(refs)
	b.reopen()
	want := map[mail.Ref]string{}
	all, _ := b.everything(mail.Inbox)
	for ref, s := range all {
		want[ref] = s.Item.Flags.String()
	}
	for range 2 {
		seen, end := b.scan(mail.Inbox, pos)
		update(known, seen, end)
		if !maps.Equal(known, want) {
			b.Errorf("what was known, brought up to date, is %v; what is there is %v", known, want)
		}
		pos = plan.Since{Cursor: end.Cursor, Epoch: end.Epoch, Known: len(known)}
	}
}

// update brings the flags that are known up to date with a scan.
func update(known map[mail.Ref]string, seen map[mail.Ref]plan.Seen, end plan.Scanned) {
	for ref := range known {
		if _, there := seen[ref]; end.Full && !there {
			delete(known, ref)
		}
	}
	for ref, s := range seen {
		switch {
		case s.Gone:
			delete(known, ref)
		case !s.NoFlags:
			known[ref] = s.Item.Flags.String()
		}
	}
}
