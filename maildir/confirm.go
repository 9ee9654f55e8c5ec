package maildir

import (
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// tuidSlack is how much longer than its canonical size a file may be: an
// X-TUID line counts for nothing in an identity.
const tuidSlack = 256

// A second look at messages that are gone.
type confirmer struct {
	m   *Maildir
	ctx context.Context
	// sure is false for a message that may still be there, somewhere.
	sure    []bool
	outside []bool
	gone    []plan.Gone
	byKey   map[string][]int
	// since is a moment at which all of them were still in their places, by
	// the clock of the file system; zero if there is none to rely on.
	since time.Time
}

// clockDoubt is how far a clock may have been set back and put right again
// without a file from in between being overlooked.
const clockDoubt = 25 * time.Hour

// Confirm lists every mailbox of the tree again. A message whose key, or
// whose bytes, lie in any of them is not gone.
func (m *Maildir) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	if len(gone) == 0 {
		return nil, nil, nil
	}
	c := &confirmer{
		m: m, ctx: ctx, gone: gone, byKey: map[string][]int{},
		sure: make([]bool, len(gone)), outside: make([]bool, len(gone)),
	}
	for i, g := range gone {
		c.sure[i] = true
		c.byKey[string(g.At.Ref)] = append(c.byKey[string(g.At.Ref)], i)
	}
	c.since = m.allThere(gone)
	if err := c.look(); err != nil {
		return nil, nil, err
	}
	for i, g := range gone {
		switch {
		case c.outside[i]:
			outside = append(outside, g.At)
		case c.sure[i]:
			sure = append(sure, g.At)
		}
	}
	return sure, outside, nil
}

// allThere is a moment at which every one of the messages was in its place: the
// last change of its mailbox that the listing before this run knew of. What
// came elsewhere before that moment is no other half of a move.
func (m *Maildir) allThere(gone []plan.Gone) time.Time {
	var first time.Time
	for _, g := range gone {
		at := m.listed[m.bound[g.At.Box]]
		if at.IsZero() || at.After(m.opt.Clock()) {
			return time.Time{} // not known, or by a clock that was wrong
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first.Add(-clockDoubt)
}

// unmoved tells whether nothing came to a mailbox that takes no part since all
// the messages were in their places.
func (c *confirmer) unmoved(k marks) bool {
	return !c.since.IsZero() && k.local && k.cur.before(c.since) && k.new.before(c.since)
}

// look walks the tree anew, since mailboxes may have come and gone.
func (c *confirmer) look() error {
	if err := c.m.look(c.ctx); err != nil {
		return err
	}
	w, err := c.m.walk(c.ctx, slices.Sorted(maps.Keys(c.m.tree)))
	if err != nil {
		return err
	}
	bound := map[mail.MailboxName]bool{}
	for _, name := range c.m.bound {
		bound[name] = true
	}
	for name, was := range c.m.tree {
		now := w.found[name]
		if now != nil && now.fault != nil {
			return now.fault
		}
		if bound[name] && !was.container && (now == nil || now.container || now.marks.inode != was.marks.inode) {
			c.doubt() // removed, renamed or replaced meanwhile
			return nil
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.found)) {
		b := w.found[name]
		if b.container {
			continue
		}
		if err := c.mailbox(b, bound[name]); err != nil {
			return err
		}
	}
	return nil
}

// doubt makes nothing sure.
func (c *confirmer) doubt() { clear(c.sure) }

// hidden is what an error of a directory or file means: nothing is sure. An
// error of the disk is told; what was renamed or removed in this moment, or
// changed while it was read, needs no telling.
func (c *confirmer) hidden(err error) error {
	c.doubt()
	if errno := unix.Errno(0); c.ctx.Err() == nil && errors.As(err, &errno) && !vanished(err) {
		return localFault(mail.GradeMailbox, err)
	}
	return c.ctx.Err()
}

// mailbox looks for the gone messages in one mailbox, as it is now.
func (c *confirmer) mailbox(b *mailbox, bound bool) error {
	was := c.m.tree[b.name] // nil for one that has just come
	if bound && was != nil && was.untouched(b.marks) || !bound && c.unmoved(b.marks) {
		return nil
	}
	f, err := c.m.open(b)
	if err != nil {
		return c.hidden(err)
	}
	defer f.close()
	l, err := f.relist(c.ctx)
	if err != nil {
		return c.hidden(err)
	}
	if !l.complete {
		c.doubt()
	}
	surveyed := was != nil && c.m.surveyed[b.name]
	id := c.number(b.name)
	for _, e := range l.entries {
		for _, i := range c.byKey[e.key()] {
			if !bound || c.gone[i].Elsewhere(plan.Place{Box: id, Ref: mail.Ref(e.key())}) {
				c.found(i, surveyed && !bound)
			}
		}
		if !bound || was == nil || !was.knew(e.key(), l) {
			if err := c.compare(f, e, surveyed && !bound); err != nil {
				return err
			}
		}
	}
	return nil
}

// number is what the engine calls a mailbox, 0 if it has no name for it.
func (c *confirmer) number(name mail.MailboxName) mail.BoxID {
	for id, n := range c.m.bound {
		if n == name {
			return id
		}
	}
	return 0
}

// found notes that a message is still there.
func (c *confirmer) found(i int, outside bool) {
	c.sure[i] = false
	c.outside[i] = c.outside[i] || outside
}

// untouched tells whether nothing at all happened to a mailbox since a survey
// that showed it as it was when all its messages were known.
func (b *mailbox) untouched(now marks) bool {
	return b.state == plan.Same && b.marks.cur == now.cur && b.marks.new == now.new
}

// knew tells whether a message was known to be there when the mailbox was
// scanned, or was put there by this run.
func (b *mailbox) knew(key string, now *listing) bool {
	if b.own.came.has(key) {
		return true
	}
	if b.scan != nil {
		return b.scan.has(key)
	}
	// Not scanned, as it had not changed: then it has now as many messages as
	// it had, but for ours.
	return b.state == plan.Same && b.count >= 0 && len(now.entries) == b.count+b.own.net
}

// compare finds out whether a file that was not known can be one of the
// messages that are gone.
func (c *confirmer) compare(f *folder, e entry, outside bool) error {
	if look, err := f.part(e.inNew).stat(e.name); err != nil {
		return c.hidden(err)
	} else if !c.candidate(look, outside) {
		return nil // most are told apart without being opened
	}
	file, st, err := f.part(e.inNew).read(e.name)
	if err != nil {
		return c.hidden(err) // it may be any of them
	}
	defer file.Close()
	var full mail.Identity
	var light mail.Digest
	for i, g := range c.gone {
		if c.outside[i] || !c.sure[i] && !outside || !fits(st.size, g.Ident.Size) {
			continue
		}
		if !g.Ident.Light.IsZero() {
			if light.IsZero() {
				light = lightOf(file)
			}
			if light != g.Ident.Light {
				continue
			}
		}
		if !g.Ident.Body.IsZero() && full.Body.IsZero() {
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			if full, err = c.m.identify(c.ctx, file, st); err != nil {
				return c.hidden(err)
			}
		}
		switch {
		case g.Ident.Body.IsZero():
			c.sure[i] = false // it may be; no more is known
		case g.Ident.Body == full.Body:
			c.found(i, outside)
		}
	}
	return nil
}

// candidate tells whether a file can be one of the messages, by its size and,
// in a mailbox that takes no part, by when it came there.
func (c *confirmer) candidate(st stat, outside bool) bool {
	if outside && !c.since.IsZero() && st.ctime.Before(c.since) && c.m.locals[st.dev] {
		return false
	}
	for i, g := range c.gone {
		if !c.outside[i] && (c.sure[i] || outside) && fits(st.size, g.Ident.Size) {
			return true
		}
	}
	return false
}

// fits tells whether a file of this size can hold a message of that canonical
// size: with LF line ends it is shorter by one byte a line, so at most by half.
func fits(file, canonical int64) bool {
	return canonical <= 0 || file <= canonical+tuidSlack && file >= canonical/2
}

// lightOf reads the header of a message; the zero digest if that fails.
func lightOf(file io.ReadSeeker) mail.Digest {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return mail.Digest{}
	}
	id, _, err := mail.IdentifyHeader(&headerReader{r: file})
	if err != nil {
		return mail.Digest{}
	}
	return id.Light
}
