package sidetest

import (
	"context"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (s *session) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	if err := s.enter(ctx, "resolve"); err != nil {
		return plan.Found{}, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	name, ok := s.names[in.To]
	if !ok {
		return plan.Found{}, fmt.Errorf("mailbox number %d was never bound", in.To)
	}
	b := s.m.find(name)
	there := b != nil && !b.container
	switch in.Kind {
	case plan.IntentPut, plan.IntentMove:
		if !there {
			return plan.Found{State: plan.FoundAbsent}, nil
		}
		return s.search(b, in, known), nil
	case plan.IntentCreate, plan.IntentRename, plan.IntentRemove:
		if there != (in.Kind == plan.IntentRemove) {
			return plan.Found{State: plan.FoundThere, At: plan.Place{Box: in.To}}, nil
		}
		return plan.Found{State: plan.FoundAbsent}, nil
	}
	return plan.Found{}, fmt.Errorf("intent of an unknown kind %d", in.Kind)
}

// search looks in b for the one message that the intent was about: by the
// key that it must have, by its identity, else for the only one with the same
// light fields (a server may have rewritten the rest).
func (s *session) search(b *box, in plan.Intent, known func(mail.Ref) bool) plan.Found {
	var rewritten []*message
	unsure := false
	for _, msg := range b.msgs {
		if known != nil && known(msg.ref) {
			continue
		}
		if in.Next > 0 && in.Epoch == b.epoch && s.m.kind == Server && msg.uid < in.Next {
			continue
		}
		switch s.matches(msg, in) {
		case matchSure:
			return s.found(b, in, msg)
		case matchLight:
			rewritten = append(rewritten, msg)
		case matchUnknown:
			unsure = true
		}
	}
	switch {
	case len(rewritten) == 1:
		return s.found(b, in, rewritten[0])
	case len(rewritten) > 1 || unsure:
		return plan.Found{State: plan.FoundUnknown}
	}
	return plan.Found{State: plan.FoundAbsent}
}

func (s *session) found(b *box, in plan.Intent, msg *message) plan.Found {
	return plan.Found{State: plan.FoundThere, At: plan.Place{Box: in.To, Ref: msg.ref}, Epoch: b.epoch,
		Flags: msg.flags, Stat: s.m.item(msg).Stat}
}

// match is how sure it is that a message is the one that was put or moved.
type match uint8

const (
	matchNot match = iota
	matchUnknown
	matchLight
	matchSure
)

func (s *session) matches(msg *message, in plan.Intent) match {
	want, has := in.Item.Ident, msg.text.ident
	switch {
	case in.Item.Token != "" && msg.token == in.Item.Token:
		return matchSure
	case in.Item.Token != "" && s.m.kind == Maildir:
		return matchNot // what was placed for it bears its name
	case in.Kind == plan.IntentMove && s.m.kind == Maildir && msg.ref == in.From.Ref:
		return matchSure
	case in.Kind == plan.IntentMove && want.GlobalID != "" && want.GlobalID == msg.global:
		return matchSure
	case !want.Body.IsZero() && want.Body == has.Body:
		return matchSure
	case !want.Light.IsZero() && want.Light != mail.NoLightFields:
		if want.Light == has.Light && (want.Body.IsZero() || s.m.kind == Server) {
			return matchLight
		}
		return matchNot
	case want.Body.IsZero():
		return matchUnknown
	}
	return matchNot
}
