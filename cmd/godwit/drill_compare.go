package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A held is a message as a mailbox has it, or should.
type held struct {
	flags mail.FlagSet
	date  int64 // in seconds since 1970, 0 if not known
}

// A lyingAt is bytes in a mailbox.
type lyingAt struct {
	mailbox mail.MailboxName
	digest  mail.Digest
}

// A comparison is of what a generation holds with what was restored of it.
type comparison struct {
	boxes    map[mail.MailboxName]bool // that should be there; false once it was found
	messages int
	bytes    int64
	open     map[lyingAt][]held // that were not found yet
	extra    []string
	// keywords are those of the generation. A Maildir has letters for so many.
	keywords map[mail.Flag]bool
}

// mostKeywords is how many keywords a Maildir can hold, beside $Forwarded.
const mostKeywords = 26

// expect reads what the catalogue says of a generation.
func expect(ctx context.Context, view engine.Side) (*comparison, error) {
	c := &comparison{boxes: map[mail.MailboxName]bool{}, open: map[lyingAt][]held{}, keywords: map[mail.Flag]bool{}}
	err := eachBox(ctx, view, func(id mail.BoxID, name mail.MailboxName, refs []mail.Ref, seen map[mail.Ref]mail.Item) error {
		c.boxes[name] = true
		return view.Identify(ctx, id, refs, mail.LevelBody, func(ref mail.Ref, ident mail.Identity, err error) error {
			at := lyingAt{name, ident.Wire}
			for _, f := range seen[ref].Flags.Keywords() {
				c.keywords[f] = true
			}
			c.open[at] = append(c.open[at], heldOf(seen[ref]))
			return err
		})
	})
	return c, err
}

func heldOf(item mail.Item) held {
	h := held{flags: item.Flags.Without(mail.Deleted)}
	if !item.Date.IsZero() {
		h.date = item.Date.Unix()
	}
	return h
}

// eachBox gives each mailbox of a side with what lies in it.
func eachBox(ctx context.Context, side engine.Side, each func(mail.BoxID, mail.MailboxName, []mail.Ref, map[mail.Ref]mail.Item) error) error {
	boxes, err := side.Survey(ctx, nil)
	if err != nil {
		return err
	}
	for i, b := range boxes {
		if b.Container {
			continue
		}
		id := mail.BoxID(i + 1)
		side.Bind(map[mail.BoxID]mail.MailboxName{id: b.Name})
		var refs []mail.Ref
		seen := map[mail.Ref]mail.Item{}
		if _, err := side.Scan(ctx, id, plan.Since{}, func(s plan.Seen) error {
			refs = append(refs, s.Ref)
			seen[s.Ref] = s.Item
			return nil
		}); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
		if err := each(id, b.Name, refs, seen); err != nil {
			return fmt.Errorf("%s: %w", b.Name, err)
		}
	}
	return nil
}

// read reads what was restored: by itself, without what the restore remembers.
func (c *comparison) read(ctx context.Context, tree engine.Side) error {
	return eachBox(ctx, tree, func(id mail.BoxID, name mail.MailboxName, refs []mail.Ref, seen map[mail.Ref]mail.Item) error {
		if _, ok := c.boxes[name]; !ok && len(refs) > 0 {
			c.extra = append(c.extra, fmt.Sprintf("%s is there, and should not be", name))
		}
		delete(c.boxes, name)
		return tree.Fetch(ctx, id, refs, func(ref mail.Ref, _ mail.Item, body io.Reader) error {
			asIs, canonical := sha256.New(), &lineEnds{to: sha256.New()}
			n, err := io.Copy(io.MultiWriter(asIs, canonical), body)
			if err != nil {
				return err
			}
			c.messages, c.bytes = c.messages+1, c.bytes+n
			c.found(name, heldOf(seen[ref]), mail.Digest(asIs.Sum(nil)), mail.Digest(canonical.to.Sum(nil)))
			return nil
		})
	})
}

// lineEnds digests text with every bare LF as CRLF: a Maildir has LF where
// that loses nothing.
type lineEnds struct {
	to   hash.Hash
	buf  []byte
	last byte
}

func (l *lineEnds) Write(p []byte) (int, error) {
	l.buf = l.buf[:0]
	for _, b := range p {
		if b == '\n' && l.last != '\r' {
			l.buf = append(l.buf, '\r')
		}
		l.buf = append(l.buf, b)
		l.last = b
	}
	l.to.Write(l.buf)
	return len(p), nil
}

// found takes a message that should be there off the list; its bytes have one
// of these digests.
func (c *comparison) found(name mail.MailboxName, is held, digests ...mail.Digest) {
	for _, d := range digests {
		at := lyingAt{name, d}
		list := c.open[at]
		if len(list) == 0 {
			continue
		}
		i := max(0, slices.IndexFunc(list, func(h held) bool { return c.differ(h, is) == "" }))
		if text := c.differ(list[i], is); text != "" {
			c.extra = append(c.extra, fmt.Sprintf("%s: message %s has %s", name, d.String()[:12], text))
		}
		if c.open[at] = slices.Delete(list, i, i+1); len(c.open[at]) == 0 {
			delete(c.open, at)
		}
		return
	}
	c.extra = append(c.extra, fmt.Sprintf("%s: a message is there that should not be, or has other bytes than it should: %s", name, digests[0].String()[:12]))
}

// differ says by what a message differs from what it should be, "" if by
// nothing.
func (c *comparison) differ(should, is held) string {
	var parts []string
	flags := should.flags
	if !flags.Equal(is.flags) && !(len(c.keywords) > mostKeywords && c.onlyKeywords(flags, is.flags)) {
		parts = append(parts, fmt.Sprintf("the flags %q, not %q", is.flags, flags))
	}
	if should.date != 0 && should.date != is.date {
		parts = append(parts, fmt.Sprintf("the date %s, not %s", time.Unix(is.date, 0).UTC().Format(time.RFC3339), time.Unix(should.date, 0).UTC().Format(time.RFC3339)))
	}
	return strings.Join(parts, " and ")
}

// onlyKeywords tells whether nothing but keywords is missing.
func (c *comparison) onlyKeywords(should, is mail.FlagSet) bool {
	missing := should.Minus(is)
	return is.Minus(should).Empty() && missing.Len() == len(missing.Keywords())
}

// differences are all that differ, as text.
func (c *comparison) differences() []string {
	list := c.extra
	for name := range c.boxes {
		list = append(list, fmt.Sprintf("%s is missing", name))
	}
	for at, n := range c.open {
		list = append(list, fmt.Sprintf("%s: message %s is missing (%s)", at.mailbox, at.digest.String()[:12], count(len(n), "time")))
	}
	slices.Sort(list)
	return list
}
