package imap

import (
	"context"

	goimap "github.com/emersion/go-imap/v2"
)

// echoAhead asks for the stored copies of messages right behind their APPENDs,
// in the same round trip, under the UIDs that they will have if nobody else
// adds to the mailbox meanwhile. It takes all answers that are due. Whether
// the UIDs were right is known when APPENDUID has told them.
func (b *batch) echoAhead(ctx context.Context) (got identified) {
	s := b.a.session
	if len(b.echoes) == 0 || s == nil || s.dead || !s.has(goimap.CapUIDPlus) {
		return nil
	}
	for _, sh := range b.flight {
		if sh.s != s {
			return nil
		}
	}
	sets := uidSets(b.expected())
	_ = b.a.use(ctx, func(now *session) error { // what fails is asked for again
		// Of two FETCHes a server may mix the answers, see enterToDelete.
		if now != s || len(sets) != 1 {
			return nil
		}
		open := s.sendOpen(b.wire, false)
		fetch := s.client.Fetch(sets[0], wholeItems())
		// What is not taken off the connection blocks all that is behind it:
		// bodies are read before anything is waited for.
		read := identified{}
		refused := s.drain(fetch, read.collect)
		if refused != nil && isLoss(refused) {
			return refused
		}
		at, err := open.wait()
		for _, sh := range b.flight {
			if err := sh.wait(); err != nil && isLoss(err) {
				return err
			}
		}
		if err == nil && refused == nil && at.validity == b.before.validity {
			got = read
		}
		return err
	})
	return got
}

// expected are the UIDs that the messages to be read back have, or will have.
func (b *batch) expected() (uids []uint32) {
	next := max(b.before.next, b.v.top+1)
	will := map[int]uint32{}
	for _, sh := range b.flight {
		for _, p := range sh.parcels {
			will[p.at] = next
			next++
		}
	}
	for _, at := range b.echoes {
		uid, err := parseUID(b.placed[at].Ref)
		if err != nil {
			uid = will[at]
		}
		if uid != 0 {
			uids = append(uids, uid)
		}
	}
	return uids
}

// echo tells what the server has stored in place of the messages that were to
// be read back: got, where that was asked for under the right UIDs. What
// cannot be learned now stays unknown.
func (b *batch) echo(ctx context.Context, got identified) {
	var missing []uint32
	for _, at := range b.echoes {
		uid, err := parseUID(b.placed[at].Ref)
		if _, there := got[uid]; err == nil && !there {
			missing = append(missing, uid)
		}
	}
	if len(missing) > 0 {
		_ = b.a.retry(ctx, func(s *session) error {
			at, err := s.open(b.wire, false)
			if err != nil || at.validity != b.before.validity {
				return err
			}
			read, err := s.identities(missing)
			if err == nil && got == nil {
				got = identified{}
			}
			for uid, id := range read {
				got[uid] = id
			}
			return err
		})
	}
	for _, at := range b.echoes {
		p := &b.placed[at]
		if uid, err := parseUID(p.Ref); err == nil && p.Epoch == epochOf(b.before.validity) {
			p.Stored = got[uid]
		}
	}
}
