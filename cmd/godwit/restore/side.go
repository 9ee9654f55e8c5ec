package restore

import (
	"context"
	"io"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

var _ engine.Writer = (*Selection)(nil)

// Survey implements engine.Side. A mailbox that a Part names and its side
// does not have is passed over.
func (s *Selection) Survey(ctx context.Context, _ map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	roles := map[*source]map[mail.MailboxName]mail.Role{}
	for _, src := range s.sources {
		boxes, err := src.side.Survey(ctx, nil)
		if err != nil {
			return nil, err
		}
		roles[src] = map[mail.MailboxName]mail.Role{}
		for _, b := range boxes {
			if !b.Container {
				roles[src][b.Name] = b.Role
			}
		}
		ids := map[mail.BoxID]mail.MailboxName{}
		for i, name := range src.names {
			if _, there := roles[src][name]; there {
				ids[mail.BoxID(i+1)] = name
			}
		}
		src.side.Bind(ids)
	}
	var list []plan.Box
	for _, name := range s.order {
		there, role := false, mail.RoleNone
		for _, p := range s.boxes[name] {
			var ok bool
			p.role, ok = roles[p.source][p.Mailbox]
			p.gone = !ok
			there = there || ok
			if p.Mailbox == name {
				role = p.role
			}
		}
		if there {
			list = append(list, plan.Box{Name: name, Epoch: epoch, Role: role, Count: -1, Rights: plan.ReadOnly})
		}
	}
	return list, nil
}

// Bind implements engine.Side.
func (s *Selection) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		s.names[id] = name
	}
}

// pieces are those of a mailbox that are there.
func (s *Selection) pieces(box mail.BoxID) []*piece {
	return slices.DeleteFunc(slices.Clone(s.boxes[s.names[box]]), func(p *piece) bool { return p.gone })
}

// Scan implements engine.Side. It always yields everything.
func (s *Selection) Scan(ctx context.Context, box mail.BoxID, _ plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	out := plan.Scanned{Epoch: epoch, Full: true, Complete: true, Rights: plan.ReadOnly}
	pieces, once := s.pieces(box), map[mail.Digest]bool{}
	size := int64(0)
	for _, p := range pieces {
		whole, err := s.scanPiece(ctx, p, len(pieces) > 1, func(m plan.Seen) error {
			if len(pieces) > 1 {
				if once[m.Item.Ident.Body] {
					return nil
				}
				once[m.Item.Ident.Body] = true
			}
			out.Count++
			size += m.Item.Ident.Size
			m.Ref, m.Item = p.ref(m.Ref), s.given(m.Item)
			return yield(m)
		})
		if err != nil {
			return plan.Scanned{}, err
		}
		out.Complete = out.Complete && whole
	}
	s.chosen[s.names[box]], s.bytes[s.names[box]] = out.Count, size
	return out, nil
}

// each scans all mailboxes.
func (s *Selection) each(ctx context.Context, yield func(mail.MailboxName, plan.Seen)) error {
	boxes, err := s.Survey(ctx, nil)
	for i, b := range boxes {
		if err != nil {
			break
		}
		id := mail.BoxID(i + 1)
		s.Bind(map[mail.BoxID]mail.MailboxName{id: b.Name})
		_, err = s.Scan(ctx, id, plan.Since{}, func(m plan.Seen) error {
			yield(b.Name, m)
			return nil
		})
	}
	return err
}

// Filled is the selection without the mailboxes to which no message goes.
func (s *Selection) Filled(ctx context.Context) (*Selection, error) {
	filled := map[mail.MailboxName]bool{}
	err := s.each(ctx, func(name mail.MailboxName, _ plan.Seen) { filled[name] = true })
	if err != nil {
		return nil, err
	}
	return s.Renamed(func(name mail.MailboxName) (mail.MailboxName, bool) { return name, filled[name] }, nil), nil
}

// given is a message as the target is to have it.
func (s *Selection) given(item mail.Item) mail.Item {
	if !s.exact {
		item.Flags = item.Flags.Without(mail.Deleted)
	}
	item.Stat, item.Token, item.HintUID = "", "", 0
	return item
}

// scanPiece yields what of a mailbox is wanted, with identities where these
// tell what is, or identify asks for them.
func (s *Selection) scanPiece(ctx context.Context, p *piece, identify bool, yield func(plan.Seen) error) (whole bool, err error) {
	var list []plan.Seen // that wait for their identities
	at := map[mail.Ref]int{}
	side := p.source.side
	scanned, err := side.Scan(ctx, p.box, plan.Since{}, func(m plan.Seen) error {
		switch {
		case p.Wanted == nil && !identify:
			return yield(m)
		case m.Item.Ident.Level() < mail.LevelBody || m.Item.Ident.Wire.IsZero():
			at[m.Ref] = len(list)
			list = append(list, m)
			return nil
		case p.Wanted == nil || p.Wanted(m.Item.Ident):
			return yield(m)
		}
		return nil
	})
	if err != nil || len(list) == 0 {
		return scanned.Complete, err
	}
	refs := make([]mail.Ref, len(list))
	for i, m := range list {
		refs[i] = m.Ref
	}
	err = side.Identify(ctx, p.box, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		i, ok := at[ref]
		if !ok || err != nil {
			return err
		}
		list[i].Item.Ident = id
		return nil
	})
	for i := 0; err == nil && i < len(list); i++ {
		if id := &list[i].Item.Ident; id.Level() == mail.LevelBody && (p.Wanted == nil || p.Wanted(*id)) {
			err = yield(list[i])
		}
	}
	return scanned.Complete, err
}

// Identify implements engine.Side.
func (s *Selection) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	pieces := s.pieces(box)
	for i, own := range s.split(pieces, refs) {
		if len(own) == 0 {
			continue
		}
		p := pieces[i]
		err := p.source.side.Identify(ctx, p.box, own, level, func(ref mail.Ref, id mail.Identity, err error) error {
			return yield(p.ref(ref), id, err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Fetch implements engine.Side.
func (s *Selection) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	pieces := s.pieces(box)
	var fault error // of single messages: the others go on
	for i, own := range s.split(pieces, refs) {
		if len(own) == 0 {
			continue
		}
		p := pieces[i]
		err := p.source.side.Fetch(ctx, p.box, own, func(ref mail.Ref, item mail.Item, body io.Reader) error {
			return each(p.ref(ref), s.given(item), body)
		})
		switch {
		case err != nil && mail.GradeOf(err, mail.GradeMailbox) != mail.GradeMessage:
			return err
		case fault == nil:
			fault = err
		}
	}
	return fault
}

// Confirm implements engine.Side: nothing was ever removed here.
func (s *Selection) Confirm(context.Context, []plan.Gone) (sure, outside []plan.Place, err error) {
	return nil, nil, nil
}

// Create implements engine.Writer.
func (s *Selection) Create(context.Context, mail.MailboxName) (plan.Box, error) {
	return plan.Box{}, ErrReadOnly
}

// Rename implements engine.Writer.
func (s *Selection) Rename(context.Context, mail.MailboxName, mail.MailboxName) error {
	return ErrReadOnly
}

// Remove implements engine.Writer.
func (s *Selection) Remove(context.Context, mail.MailboxName) error { return ErrReadOnly }

// Put implements engine.Writer.
func (s *Selection) Put(context.Context, mail.BoxID) (engine.Batch, error) { return nil, ErrReadOnly }

// Do implements engine.Writer.
func (s *Selection) Do(_ context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	out := make([]plan.Outcome, len(ops))
	for i, op := range ops {
		out[i] = plan.Outcome{Tag: op.Tag, Result: plan.Declined, Err: ErrReadOnly}
	}
	return done(out)
}

// Resolve implements engine.Writer.
func (s *Selection) Resolve(context.Context, plan.Intent, func(mail.Ref) bool) (plan.Found, error) {
	return plan.Found{}, ErrReadOnly
}

// Close implements engine.Side. The sides that the mail comes from stay open.
func (s *Selection) Close() error { return nil }
