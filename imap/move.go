package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// move moves messages; no body travels.
func (a *Account) move(ctx context.Context, wire string, g *group) error {
	to, err := a.wireName(g.to)
	if err != nil {
		return err
	}
	return a.moveTo(ctx, wire, to, g)
}

// A moving is a group on its way from one mailbox to another.
type moving struct {
	a        *Account
	from, to string
	g        *group
	// before are the messages as they were, and the bound above which their
	// copies lie: to find them where the server does not tell their UIDs.
	before *table
	bound  mark
	began  bool     // the first command that has an effect was sent
	sent   []uint32 // those for which that command was answered OK
	copied map[uint32]copied
	gone   map[uint32]bool // no longer in from after all was done
}

func (a *Account) moveTo(ctx context.Context, from, to string, g *group) error {
	m := &moving{a: a, from: from, to: to, g: g, copied: map[uint32]copied{}}
	err := a.retry(ctx, m.prepare)
	if err != nil || len(g.open()) == 0 {
		return err
	}
	err = m.carry(ctx)
	m.settle()
	if err != nil && m.began && !refusedByServer(err) {
		g.fail(plan.Uncertain, err)
		return err
	}
	if codeOf(err) == goimap.ResponseCodeNoPerm {
		g.fail(plan.Declined, err)
		return nil
	}
	return err
}

// prepare looks at the messages and the target before anything is changed.
func (m *moving) prepare(s *session) error {
	if s.has(goimap.CapUIDPlus) {
		m.bound = mark{validity: m.a.view(m.to).validity, next: m.a.view(m.to).next}
	}
	if m.bound.next == 0 || m.bound.validity == 0 {
		var err error
		if m.bound, err = s.status(m.to); err != nil {
			return fmt.Errorf("opening mailbox %q: %w", m.to, err)
		}
	}
	at, err := m.a.enterKnown(s, m.from, true)
	if err != nil {
		return err
	}
	moves := s.has(goimap.CapMove)
	if !at.writable || !moves && !at.perm.storable(mail.NewFlagSet(mail.Deleted)).Has(mail.Deleted) {
		m.g.fail(plan.Declined, errReadOnly(m.from))
		return nil
	}
	if s.has(goimap.CapUIDPlus) {
		// Some servers fail in strange ways at messages that are not there.
		there, err := s.present(m.g.open())
		if err == nil {
			m.g.missing(there, plan.Missing)
		}
		return err
	}
	if m.before, err = s.headers(m.g.open(), mail.LevelLight); err != nil {
		return err
	}
	m.g.missing(m.before.uids(), plan.Missing)
	if moves || len(m.g.open()) == 0 {
		return nil
	}
	// A copy whose origin could not be expunged would be a double.
	return s.onlyMarked(m.g.open())
}

// carry moves the messages: by MOVE (RFC 6851), else COPY and expunge. What
// was carried before the server refused to go on is seen to its end. An origin
// is expunged only when its copy has a known place.
func (m *moving) carry(ctx context.Context) error {
	var moves bool
	refused := m.a.use(ctx, func(s *session) error {
		moves = s.has(goimap.CapMove)
		if _, err := m.a.enterKnown(s, m.from, true); err != nil {
			return err
		}
		return m.send(s, m.g.open())
	})
	if refused != nil && !refusedByServer(refused) {
		return refused
	}
	if !moves {
		if err := m.findCopies(ctx, refused); err != nil {
			return unrefused(err)
		}
	}
	if len(m.sent) == 0 {
		return refused
	}
	err := m.a.use(ctx, func(s *session) error {
		if _, err := m.a.enterKnown(s, m.from, true); err != nil {
			return err
		}
		if !moves {
			if err := m.clear(s, m.told(m.sent)); err != nil {
				return err
			}
		}
		there, err := s.present(m.sent)
		m.gone = map[uint32]bool{}
		for _, uid := range minus(m.sent, there) {
			m.gone[uid] = err == nil
		}
		return err
	})
	if err != nil {
		return unrefused(err)
	}
	lost := slices.DeleteFunc(minus(m.sent, m.told(m.sent)), func(uid uint32) bool { return !m.gone[uid] })
	if moves && len(lost) > 0 {
		if err := m.find(ctx, lost); err != nil {
			return unrefused(err)
		}
	}
	if refused == nil && len(m.told(m.sent)) < len(m.sent) && !moves {
		return unrefused(fmt.Errorf("the copies in mailbox %q cannot be found", m.to))
	}
	return refused
}

// findCopies gives copies that were not told their places. Some servers
// refuse a COPY and have made it: what is found counts as sent.
func (m *moving) findCopies(ctx context.Context, refused error) error {
	if refused != nil && m.began {
		rest := minus(m.g.open(), m.sent)
		if err := m.find(ctx, rest); err != nil && !refusedByServer(err) {
			return err
		}
		m.sent = append(m.sent, m.told(rest)...)
	}
	if len(m.told(m.sent)) == len(m.sent) {
		return nil
	}
	return m.find(ctx, m.sent)
}

// unrefused makes of a refusal that came after something was done an error
// that does not read as if nothing had been.
func unrefused(err error) error {
	if !refusedByServer(err) {
		return err
	}
	return mail.NewFault(mail.GradeMailbox, mail.ClassServer, errors.New(err.Error()), "")
}

// send sends MOVE or COPY, and notes for which messages it was answered OK.
func (m *moving) send(s *session, uids []uint32) (err error) {
	s.ear.takeCopied()
	for _, set := range uidSets(slices.Clone(uids)) {
		m.began = true
		if s.has(goimap.CapMove) {
			_, err = s.client.Move(set, m.to).Wait()
		} else {
			_, err = s.client.Copy(set, m.to).Wait()
		}
		for _, c := range s.ear.takeCopied() {
			m.copied[c.from] = c
		}
		if err != nil {
			return err
		}
		for _, uid := range uids {
			if set.Contains(goimap.UID(uid)) {
				m.sent = append(m.sent, uid)
			}
		}
	}
	return nil
}

// told are those of uids whose copies have a known place.
func (m *moving) told(uids []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool { return m.copied[uid].to == 0 })
}

// clear removes the origins of copies. That it fails leaves two of each: the
// outcome is uncertain, and tells where the copy is if that is known.
func (m *moving) clear(s *session, origins []uint32) error {
	left, err := s.expunge(origins)
	if err == nil && len(left) > 0 {
		err = fmt.Errorf("%d messages could not be expunged", len(left))
	} else if err == nil || isLoss(err) {
		return err
	}
	// Not a refusal of the move: its first half was done.
	return mail.NewFault(mail.GradeMailbox, mail.ClassServer,
		fmt.Errorf("messages were copied from mailbox %q to %q and remain in both: %s", m.from, m.to, err.Error()), "")
}

// find looks in the target for those of uids whose copies were not told.
func (m *moving) find(ctx context.Context, uids []uint32) error {
	n, err := m.a.newcomers(ctx, m.to, m.bound.next)
	if err != nil {
		return err
	}
	if n.validity != m.bound.validity {
		return epochFault(m.to)
	}
	var wants []mail.Identity
	var whose []uint32
	expected := m.expected()
	for _, uid := range uids {
		if m.copied[uid].to == 0 {
			wants, whose = append(wants, expected[uid]), append(whose, uid)
		}
	}
	mine := m.a.view(m.to).mine
	taken := map[uint32]bool{}
	for _, c := range m.copied {
		taken[c.to] = true
	}
	got, err := m.a.match(ctx, n, func(uid uint32) bool { return !mine[uid] && !taken[uid] }, wants)
	if err != nil {
		return err
	}
	for i, uid := range got {
		if uid != 0 {
			m.copied[whose[i]] = copied{n.validity, whose[i], uid}
		}
	}
	return nil
}

// expected is what is known of each message's identity: what its header said
// just before, and the body as the caller knows it.
func (m *moving) expected() map[uint32]mail.Identity {
	ids := make(map[uint32]mail.Identity, len(m.g.ops))
	for i, uid := range m.g.uids {
		id := m.g.ops[i].Expect
		if m.before != nil {
			if r := m.before.find(uid); r != nil && r.have&haveHeader != 0 {
				id.Light, id.Size, id.GlobalID = r.ident.Light, r.identity().Size, r.gid
			}
		}
		ids[uid] = id
	}
	return ids
}

// settle fills in the outcomes of what is known.
func (m *moving) settle() {
	v := m.a.view(m.to)
	for i, uid := range m.g.uids {
		o := &m.g.out[i]
		if o.Result != 0 {
			continue
		}
		c, moved := m.copied[uid]
		isGone := m.gone[uid]
		switch {
		case moved && isGone:
			o.Result, o.Epoch = plan.Done, epochOf(c.validity)
			o.At = plan.Place{Box: m.g.to, Ref: refOf(c.to)}
		case moved:
			o.At, o.Epoch = plan.Place{Box: m.g.to, Ref: refOf(c.to)}, epochOf(c.validity)
		case isGone && m.before != nil:
			// It was there before and is not now: it went, somewhere.
			o.Result, o.Epoch = plan.Done, epochOf(m.bound.validity)
			o.At = plan.Place{Box: m.g.to}
		case isGone:
			o.Result = plan.Missing
		}
		if moved && c.validity == v.validity {
			v.own(c.to)
		}
	}
}

// uids lists the messages of a table.
func (t *table) uids() []uint32 {
	list := make([]uint32, len(t.rows))
	for i := range t.rows {
		list[i] = t.rows[i].uid
	}
	return list
}
