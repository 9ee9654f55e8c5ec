package sidetest

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (s *session) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	if err := s.enter(ctx, "confirm"); err != nil {
		return nil, nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	bound := make(map[mail.MailboxName]bool, len(s.names))
	for _, name := range s.names {
		bound[name] = true
	}
	for _, g := range gone {
		switch {
		case s.present(g) || s.arrivedSince(g):
		case s.outside(g, bound):
			outside = append(outside, g.At)
		default:
			sure = append(sure, g.At)
		}
	}
	return sure, outside, nil
}

// present tells whether the message may still lie in a mailbox that is bound:
// at its place, in its mailbox under another name, or under its key elsewhere.
func (s *session) present(g plan.Gone) bool {
	name, ok := s.names[g.At.Box]
	if !ok {
		return true // nothing is known of it
	}
	was, known := s.seen[name]
	for _, b := range s.m.boxes {
		switch {
		case b.name == name:
			if b.find(g.At.Ref) != nil || known && was.epoch != b.epoch {
				return true
			}
		case known && b.id == was.id:
			return true // renamed meanwhile
		}
	}
	if s.m.kind != Maildir {
		return false
	}
	for id, other := range s.names {
		if b := s.m.find(other); b != nil && b.find(g.At.Ref) != nil && g.Elsewhere(plan.Place{Box: id, Ref: g.At.Ref}) {
			return true
		}
	}
	return false
}

// arrivedSince tells whether anything that could be the message came to any
// mailbox after the survey, not by this session.
func (s *session) arrivedSince(g plan.Gone) bool {
	for _, b := range s.m.boxes {
		for i := len(b.msgs) - 1; i >= 0 && b.msgs[i].arrived > s.arrivals; i-- {
			if msg := b.msgs[i]; !s.own[msg.arrived] && couldBe(msg, g.Ident) {
				return true
			}
		}
	}
	return false
}

// couldBe is true unless something is known that tells the two apart.
func couldBe(msg *message, id mail.Identity) bool {
	has := msg.text.ident
	switch {
	case id.GlobalID != "" && msg.global != "":
		return id.GlobalID == msg.global
	case !id.Body.IsZero():
		return id.Body == has.Body
	case !id.Header.IsZero():
		return id.Header == has.Header
	case !id.Light.IsZero():
		return id.Light == has.Light
	}
	return true
}

func (s *session) outside(g plan.Gone, bound map[mail.MailboxName]bool) bool {
	if !s.m.Traits.FindsOutside {
		return false
	}
	for _, b := range s.m.boxes {
		if bound[b.name] || b.role == mail.RoleAll {
			continue
		}
		if s.m.kind == Maildir && b.find(g.At.Ref) != nil {
			return true
		}
		for _, msg := range b.msgs {
			if s.m.kind == Server && !g.Ident.Body.IsZero() && g.Ident.Body == msg.text.ident.Body {
				return true
			}
		}
	}
	return false
}
