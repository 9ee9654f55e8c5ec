package imap

import (
	"context"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
)

// newcomers are the messages of a mailbox from UID next on, in one look:
// flags, light identity, and the bodies that were asked for since.
type newcomers struct {
	table
	wire           string
	validity, next uint32
	read           map[uint32]bool  // whose bodies were asked for
	found          map[int64]uint32 // by intent, see findTogether
	nearness       *nearness        // of all, once it is needed
}

// newcomers looks at the messages of a mailbox from UID next on.
func (a *Account) newcomers(ctx context.Context, wire string, next uint32) (n *newcomers, err error) {
	err = a.retry(ctx, func(s *session) error {
		at, err := s.open(wire, false)
		if err != nil {
			return err
		}
		n = &newcomers{wire: wire, validity: at.validity, next: next, read: map[uint32]bool{}, found: map[int64]uint32{}}
		if at.exists == 0 {
			return nil
		}
		opt := headerItems(mail.LevelLight)
		opt.Flags = true
		s.wire.TakeGlobalIDs()
		if err := s.fetch(uidRange(max(next, 1), 0), opt, n.collect); err != nil {
			return err
		}
		// n:* names the last message even if its UID is lower (RFC 3501,
		// section 6.4.8).
		n.drop(func(r *row) bool { return r.uid < next })
		n.sort()
		n.global(s.wire.TakeGlobalIDs())
		return nil
	})
	return n, err
}

// readBodies learns the bodies of some newcomers, of each once: what cannot
// be had stays unknown.
func (a *Account) readBodies(ctx context.Context, n *newcomers, uids []uint32) error {
	uids = n.unread(uids)
	if len(uids) == 0 {
		return nil
	}
	err := a.identifyBodies(ctx, n.wire, uids, func(ref mail.Ref, id mail.Identity, err error) error {
		if uid, e := parseUID(ref); e == nil && err == nil {
			n.find(uid).ident.Body = id.Body
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("looking for messages in mailbox %q: %w", n.wire, err)
	}
	for _, uid := range uids {
		n.read[uid] = true
	}
	return nil
}

// unread are those of uids whose bodies were not asked for.
func (n *newcomers) unread(uids []uint32) (out []uint32) {
	for _, uid := range uids {
		if !n.read[uid] {
			out = append(out, uid)
		}
	}
	return out
}

// matching is newMatching for one want, without a look at each message.
func (n *newcomers) matching(free func(uint32) bool, want mail.Identity) *matching {
	if n.nearness == nil {
		open := make([]int, len(n.rows))
		for i := range open {
			open[i] = i
		}
		near := newNearness(&n.table, open)
		n.nearness = &near
	}
	var open []int
	for _, i := range n.nearness.near(&want) {
		if free(n.rows[i].uid) {
			open = append(open, i)
		}
	}
	return matchingOf(&n.table, open, []mail.Identity{want})
}
