package sidetest

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

var identifyPromises = []promise{
	{"every level agrees with the bytes", func(b *bench) {
		for _, odd := range OddMessages() {
			if stored, ok := b.h.Claims.stored(odd.Body); ok {
				box := mail.MailboxName("Odd " + odd.Name)
				b.need(box)
				b.identifies(box, stored, b.put(box, letter{body: odd.Body})[0])
			}
		}
	}},
	{"Wire is the digest of what Fetch gives", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1))[0]
		id := b.identify(mail.Inbox, mail.LevelBody, ref)[ref]
		if got := newText(b.fetch(mail.Inbox, ref)[ref].body).ident; id.Wire != got.Wire {
			b.Errorf("Wire is %v, the bytes have %v", id.Wire, got.Wire)
		}
	}},
	{"a message that is gone is passed over in silence", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2), plain(3))
		b.expunge(mail.Inbox, refs[1])
		for level := mail.LevelLight; level <= mail.LevelBody; level++ {
			if got := b.identify(mail.Inbox, level, refs...); len(got) != 2 {
				b.Errorf("level %d: %d messages of 2", level, len(got))
			}
		}
	}},
	{"messages whose flags changed meanwhile are found", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2))
		b.everything(mail.Inbox)
		b.reflag(mail.Inbox, refs[0], mail.NewFlagSet(mail.Seen, mail.Flagged))
		if got := b.identify(mail.Inbox, mail.LevelBody, refs...); len(got) != 2 {
			b.Errorf("%d messages of 2", len(got))
		}
	}},
	{"an error of yield ends it and comes back", func(b *bench) {
		refs, stop := b.put(mail.Inbox, plain(1), plain(2)), errors.New("enough")
		err := b.side.Identify(b.ctx, b.ids[mail.Inbox], refs, mail.LevelHeader,
			func(mail.Ref, mail.Identity, error) error { return stop })
		if !errors.Is(err, stop) {
			b.Errorf("error %v", err)
		}
		b.holds(mail.Inbox, plain(1), plain(2))
	}},
}

// identify asks for refs of box and checks that the level was reached.
func (b *bench) identify(box mail.MailboxName, level mail.Level, refs ...mail.Ref) map[mail.Ref]mail.Identity {
	b.Helper()
	out := map[mail.Ref]mail.Identity{}
	err := b.side.Identify(b.ctx, b.ids[box], refs, level, func(ref mail.Ref, id mail.Identity, err error) error {
		if err != nil {
			b.Errorf("%s: %v", ref, err)
		}
		if id.Level() < level {
			b.Errorf("%s: level %d, asked for %d", ref, id.Level(), level)
		}
		if _, twice := out[ref]; twice {
			b.Errorf("%s came twice", ref)
		}
		out[ref] = id
		return nil
	})
	if err != nil {
		b.Fatalf("identify: %v", err)
	}
	return out
}

// identifies checks every level of one message against its bytes.
func (b *bench) identifies(box mail.MailboxName, stored []byte, ref mail.Ref) {
	b.Helper()
	want := newText(stored).ident
	for level := mail.LevelLight; level <= mail.LevelBody; level++ {
		id := b.identify(box, level, ref)[ref]
		if id.Light != want.Light {
			b.Errorf("%s: level %d has another Light than the bytes", box, level)
		}
		if level >= mail.LevelHeader && id.Header != want.Header {
			b.Errorf("%s: level %d has another Header than the bytes", box, level)
		}
		if level == mail.LevelBody && (id.Body != want.Body || id.Size != want.Size) {
			b.Errorf("%s: Body %v of %d bytes, the message has %v and %d", box, id.Body, id.Size, want.Body, want.Size)
		}
	}
}

var fetchPromises = []promise{
	{"a message that is gone is passed over in silence", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2), plain(3))
		b.expunge(mail.Inbox, refs[0])
		got := b.fetch(mail.Inbox, refs...)
		if len(got) != 2 || got[refs[1]].body == nil || got[refs[2]].body == nil {
			b.Errorf("%d messages of 2", len(got))
		}
	}},
	{"only messages that are gone give nothing", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2))
		b.expunge(mail.Inbox, refs[0])
		b.expunge(mail.Inbox, refs[1])
		if got := b.fetch(mail.Inbox, refs...); len(got) != 0 {
			b.Errorf("%d messages of none", len(got))
		}
	}},
	{"refs come in any order", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2), plain(3), plain(4))
		slices.Reverse(refs)
		got := b.fetch(mail.Inbox, refs...)
		for i, ref := range refs {
			if want := plain(4 - i).body; !bytes.Equal(Canonical(got[ref].body), want) {
				b.Errorf("%s is %q", ref, got[ref].body)
			}
		}
	}},
	{"only what was asked for comes", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2), plain(3))
		got := b.fetch(mail.Inbox, refs[1])
		if keys := slices.Collect(maps.Keys(got)); len(keys) != 1 || keys[0] != refs[1] {
			b.Errorf("got %v", keys)
		}
	}},
	{"the item has flags, date and size as of now", func(b *bench) {
		l := plain(1)
		ref := b.put(mail.Inbox, l)[0]
		b.everything(mail.Inbox)
		b.reflag(mail.Inbox, ref, mail.NewFlagSet(mail.Seen))
		item := b.fetch(mail.Inbox, ref)[ref].item
		if item.Ident.Size != int64(len(b.want(l.body))) || !item.Date.Equal(l.date) || !item.Flags.Equal(mail.NewFlagSet(mail.Seen)) {
			b.Errorf("size %d of %d, date %v, flags %q", item.Ident.Size, len(l.body), item.Date, item.Flags)
		}
	}},
	{"a body need not be read to its end", func(b *bench) {
		letters := []letter{{body: Large(300_000), date: plain(0).date}, plain(1), {body: Large(400_000), date: plain(0).date}, plain(2)}
		refs := b.put(mail.Inbox, letters...)
		seen := 0
		err := b.side.Fetch(b.ctx, b.ids[mail.Inbox], refs, func(_ mail.Ref, _ mail.Item, r io.Reader) error {
			seen++
			_, err := io.ReadFull(r, make([]byte, 10))
			return err
		})
		if err != nil || seen != len(refs) {
			b.Errorf("%d messages of %d, error %v", seen, len(refs), err)
		}
		b.holds(mail.Inbox, letters...)
	}},
	{"an error of each ends it and comes back", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), letter{body: Large(300_000), date: plain(0).date}, plain(2))
		stop, calls := errors.New("enough"), 0
		err := b.side.Fetch(b.ctx, b.ids[mail.Inbox], refs, func(mail.Ref, mail.Item, io.Reader) error {
			calls++
			return stop
		})
		if !errors.Is(err, stop) || calls != 1 {
			b.Errorf("%d calls, error %v", calls, err)
		}
		if got := b.fetch(mail.Inbox, refs...); len(got) != 3 {
			b.Errorf("after it, %d messages of 3", len(got))
		}
	}},
	{"no refs give nothing", func(b *bench) {
		b.put(mail.Inbox, plain(1))
		if got := b.fetch(mail.Inbox); len(got) != 0 {
			b.Errorf("%d messages", len(got))
		}
	}},
}
