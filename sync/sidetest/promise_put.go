package sidetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing/iotest"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

var errBody = errors.New("the other side broke off")

var putPromises = []promise{
	{"odd messages are kept byte for byte, or refused by name", func(b *bench) {
		for _, odd := range OddMessages() {
			b.keepsOdd(odd)
		}
	}},
	{"system flags are kept", func(b *bench) {
		var letters []letter
		for i, f := range []mail.Flag{mail.Seen, mail.Answered, mail.Flagged, mail.Deleted, mail.Draft} {
			letters = append(letters, flagged(plain(i), f))
		}
		letters = append(letters, flagged(plain(9), mail.Seen, mail.Answered, mail.Flagged, mail.Draft), plain(10))
		b.put(mail.Inbox, letters...)
		b.reopen()
		b.holds(mail.Inbox, letters...)
	}},
	{"keywords are kept, as far as the side tells", func(b *bench) {
		for _, n := range []int{1, 5, 40} {
			b.keepsKeywords(n)
		}
	}},
	{"dates are kept to the second", func(b *bench) {
		var letters []letter
		for i, d := range []time.Time{
			time.Date(1999, time.December, 31, 23, 59, 59, 0, time.UTC),
			time.Date(2024, time.February, 29, 12, 0, 1, 0, time.FixedZone("", 5*3600+1800)),
			time.Date(2026, time.October, 25, 1, 30, 0, 0, time.FixedZone("", -8*3600)),
		} {
			l := plain(i)
			l.date = d
			letters = append(letters, l)
		}
		b.put(mail.Inbox, letters...)
		b.reopen()
		b.holds(mail.Inbox, letters...)
	}},
	{"a message without a date is stored", func(b *bench) {
		l := plain(1)
		l.date = time.Time{}
		ref := b.put(mail.Inbox, l)[0]
		if got := b.fetch(mail.Inbox, ref)[ref]; got.body == nil {
			b.Error("it is not there")
		}
	}},
	{"what is told of a message is what a scan shows", func(b *bench) {
		placed := b.tryPut(mail.Inbox, flagged(plain(1), mail.Seen), plain(2))
		b.reopen()
		seen, pos := b.everything(mail.Inbox)
		for i, p := range placed {
			if p.Ref == "" && b.h.Claims.Forgets {
				continue
			}
			s, there := seen[p.Ref]
			if !there || p.Epoch != pos.Epoch || p.Stat != s.Item.Stat || !p.Flags.Equal(s.Item.Flags) {
				b.Errorf("message %d: told %q %q %q %q, seen %v in %q", i, p.Ref, p.Epoch, p.Stat, p.Flags, s, pos.Epoch)
			}
			if id := newText(plain(i + 1).body).ident; p.Ident.Body != id.Body || p.Ident.Size != id.Size {
				b.Errorf("message %d: told the identity of other bytes", i)
			}
		}
	}},
	{"a copy that is asked for is told as it is there", func(b *bench) {
		b.echoes(plain(1), plain(2), plain(3))
	}},
	{"a token comes back in scans", func(b *bench) {
		l := plain(1)
		l.token = mail.Token("instance", mail.Inbox, "7", "42")
		ref := b.put(mail.Inbox, l)[0]
		b.reopen()
		seen, _ := b.everything(mail.Inbox)
		if got := seen[ref].Item.Token; got != l.token && (got != "" || b.h.Claims.Tokens) {
			b.Errorf("the token is %q", got)
		}
	}},
	{"equal messages are stored as often as they are put", func(b *bench) {
		b.need("Work")
		placed := b.tryPut("Work", plain(1), plain(1), plain(1))
		b.holds("Work", plain(1), plain(1), plain(1))
		if !b.h.Claims.Forgets && (placed[0].Ref == placed[1].Ref || placed[1].Ref == placed[2].Ref) {
			b.Errorf("they were told as %q, %q and %q", placed[0].Ref, placed[1].Ref, placed[2].Ref)
		}
	}},
	{"an empty batch does nothing", func(b *bench) {
		if placed := b.tryPut(mail.Inbox); len(placed) != 0 {
			b.Errorf("%d messages were told", len(placed))
		}
		b.holds(mail.Inbox)
	}},
	{"an aborted batch leaves nothing, unless the side shows at once", func(b *bench) {
		batch := b.begin()
		for i := range 3 {
			if err := batch.Add(b.ctx, plain(i).incoming(i)); err != nil {
				b.Fatalf("add: %v", err)
			}
		}
		batch.Abort()
		b.reopen()
		if seen, _ := b.everything(mail.Inbox); len(seen) != 0 && !b.h.Claims.ShowsAtOnce {
			b.Errorf("%d messages are there", len(seen))
		}
	}},
	{"nothing is seen before Commit, unless the side shows at once", func(b *bench) {
		batch := b.begin()
		if err := batch.Add(b.ctx, plain(1).incoming(0)); err != nil {
			b.Fatalf("add: %v", err)
		}
		b.behind(func(o *bench) {
			if seen, _ := o.everything(mail.Inbox); len(seen) != 0 && !b.h.Claims.ShowsAtOnce {
				b.Errorf("%d messages are there", len(seen))
			}
		})
		if _, err := batch.Commit(b.ctx); err != nil {
			b.Fatalf("commit: %v", err)
		}
		b.holds(mail.Inbox, plain(1))
	}},
	{"Abort after Commit does nothing", func(b *bench) {
		batch := b.begin()
		if err := batch.Add(b.ctx, plain(1).incoming(0)); err != nil {
			b.Fatalf("add: %v", err)
		}
		if _, err := batch.Commit(b.ctx); err != nil {
			b.Fatalf("commit: %v", err)
		}
		batch.Abort()
		b.reopen()
		b.holds(mail.Inbox, plain(1))
	}},
	{"a body that cannot be read spoils no other", func(b *bench) {
		b.spoilsNoOther(io.MultiReader(bytes.NewReader(plain(7).body), iotest.ErrReader(errBody)), errBody)
	}},
	{"a body that ends too early spoils no other", func(b *bench) {
		short := fmt.Errorf("after 9 bytes: %w", mail.ErrShort)
		b.spoilsNoOther(io.MultiReader(bytes.NewReader(plain(7).body[:9]), iotest.ErrReader(short)), mail.ErrShort)
	}},
	{"a body that cannot be opened spoils no other", func(b *bench) { b.spoilsNoOther(nil, errBody) }},
	{"a body that trickles arrives whole", func(b *bench) {
		in, batch := plain(1).incoming(0), b.begin()
		in.Open = once(iotest.OneByteReader(bytes.NewReader(plain(1).body)))
		if err := batch.Add(b.ctx, in); err != nil {
			b.Fatalf("add: %v", err)
		}
		if placed, err := batch.Commit(b.ctx); err != nil || placed[0].Err != nil {
			b.Fatalf("commit: %v, %v", err, placed)
		}
		b.holds(mail.Inbox, plain(1))
	}},
	{"a size that was told wrongly does no harm", func(b *bench) {
		for i, size := range []int64{0, 1, 1 << 20} {
			in, batch := plain(i).incoming(0), b.begin()
			in.Item.Ident = mail.Identity{Size: size}
			if err := batch.Add(b.ctx, in); err != nil {
				b.Fatalf("add: %v", err)
			}
			if placed, err := batch.Commit(b.ctx); err != nil || placed[0].Err != nil {
				b.Fatalf("size %d: %v, %v", size, err, placed)
			}
		}
		b.holds(mail.Inbox, plain(0), plain(1), plain(2))
	}},
}

// begin begins a batch for INBOX.
func (b *bench) begin() engine.Batch {
	b.Helper()
	batch, err := b.side.Put(b.ctx, b.ids[mail.Inbox])
	if err != nil {
		b.Fatalf("put: %v", err)
	}
	b.Cleanup(batch.Abort)
	return batch
}

// echoes puts letters and asks for the copies of all but the first, after
// their bodies were read; what is told is held against what is there.
func (b *bench) echoes(letters ...letter) {
	b.Helper()
	batch, read, asked := b.begin(), make([]bool, len(letters)), make([]int, len(letters))
	for i, l := range letters {
		in := l.incoming(i)
		in.Open = once(io.MultiReader(bytes.NewReader(l.body), ended(&read[i])))
		in.Echo = func() bool {
			if asked[i]++; !read[i] {
				b.Errorf("Echo of message %d was asked before its body was read", i)
			}
			return i > 0
		}
		if err := batch.Add(b.ctx, in); err != nil {
			b.Fatalf("add: %v", err)
		}
	}
	placed, err := batch.Commit(b.ctx)
	if err != nil {
		b.Fatalf("commit: %v", err)
	}
	b.reopen()
	for _, p := range placed {
		if asked[p.Tag] > 1 || p.Tag == 0 && p.Stored.Level() > mail.LevelNone {
			b.Errorf("message %d was asked of %d times, and told as %v", p.Tag, asked[p.Tag], p.Stored)
		}
		if p.Ref == "" || p.Stored.Level() < mail.LevelBody {
			continue
		}
		if id := newText(b.fetch(mail.Inbox, p.Ref)[p.Ref].body).ident; p.Stored.Body != id.Body || p.Stored.Size != id.Size {
			b.Errorf("message %d: its copy was told as another", p.Tag)
		}
	}
}

// ended is an empty reader that notes that it was read.
func ended(noted *bool) io.Reader {
	return readerFunc(func([]byte) (int, error) {
		*noted = true
		return 0, io.EOF
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// keepsOdd puts one odd message between two plain ones.
func (b *bench) keepsOdd(odd OddMessage) {
	b.Helper()
	box := mail.MailboxName("Odd " + odd.Name)
	b.need(box)
	letters := []letter{plain(1), {body: odd.Body, date: plain(2).date}, plain(3)}
	placed := b.tryPut(box, letters...)
	if _, ok := b.h.Claims.stored(odd.Body); !ok {
		if placed[1].Err == nil {
			b.Errorf("%s: it was not refused", odd.Name)
		}
		letters = []letter{plain(1), plain(3)}
	}
	for i, p := range placed {
		if p.Err != nil && (i != 1 || len(letters) == 3) {
			b.Errorf("%s: message %d: %v", odd.Name, i, p.Err)
		}
	}
	b.holds(box, letters...)
}

// keepsKeywords puts a message with n keywords and holds what is there
// against what was told and what the harness claims.
func (b *bench) keepsKeywords(n int) {
	b.Helper()
	set := mail.NewFlagSet(mail.Seen, mail.Forwarded)
	for i := range n {
		set = set.With(mail.Flag(fmt.Sprintf("key-%02d", i)))
	}
	box := mail.MailboxName(fmt.Sprintf("Keys %d", n))
	b.need(box)
	l := plain(n)
	l.flags = set
	placed := b.tryPut(box, l)[0]
	if placed.Err != nil {
		b.Fatalf("%d keywords: %v", n, placed.Err)
	}
	seen, _ := b.everything(box)
	for ref, s := range seen {
		if (placed.Ref != "" && ref != placed.Ref) || !s.Item.Flags.Equal(placed.Flags) {
			b.Errorf("%d keywords: told %q, seen %q", n, placed.Flags, s.Item.Flags)
		}
	}
	limit := b.h.Claims.Keywords
	switch kept := placed.Flags.Without(mail.Forwarded); {
	case !set.Minus(placed.Flags).Union(placed.Flags).Equal(set) || !placed.Flags.Has(mail.Seen):
		b.Errorf("%d keywords: kept %q of %q", n, placed.Flags, set)
	case limit == 0 && !placed.Flags.Equal(set):
		b.Errorf("%d keywords: lost %q", n, set.Minus(placed.Flags))
	case limit < 0 && len(placed.Flags.Keywords()) > 0:
		b.Errorf("%d keywords: kept %q, the harness claims none", n, placed.Flags)
	case limit > 0 && (len(kept.Keywords()) < min(n, limit) || !placed.Flags.Has(mail.Forwarded)):
		b.Errorf("%d keywords: kept only %q", n, placed.Flags)
	}
}

// spoilsNoOther puts three messages, of which the second has the body broken
// (nil: it cannot be opened), and checks that the fault is told and that the
// others are there, alone.
func (b *bench) spoilsNoOther(broken io.Reader, want error) {
	b.Helper()
	batch := b.begin()
	for i := range 3 {
		in := plain(i).incoming(i)
		if i == 1 {
			in.Open = once(broken)
		}
		if i == 1 && broken == nil {
			in.Open = func() (io.ReadCloser, error) { return nil, errBody }
		}
		if err := batch.Add(b.ctx, in); err != nil {
			b.Fatalf("add %d: %v", i, err)
		}
	}
	list, err := batch.Commit(b.ctx)
	if err != nil && mail.GradeOf(err, mail.GradeMailbox) != mail.GradeMessage {
		b.Fatalf("commit: %v", err)
	}
	placed := b.byTag(list, 3)
	if !errors.Is(placed[1].Err, want) {
		b.Errorf("the fault was told as %v", placed[1].Err)
	}
	if placed[0].Err != nil || placed[2].Err != nil {
		b.Errorf("the others were told as %v and %v", placed[0].Err, placed[2].Err)
	}
	b.reopen()
	b.holds(mail.Inbox, plain(0), plain(2))
}
