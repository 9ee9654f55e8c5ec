package imap

import (
	"context"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Resolve implements engine.Writer. A message is looked for among those of the
// target from the recorded UIDNEXT on that no row knows, by light fields and
// size, and by body where that is not enough. If UIDVALIDITY changed since, it
// cannot be told: FoundUnknown; so too if of its identity no more than the
// size is known, and a newcomer has that.
//
// A move that is half done, because the server has no MOVE and the copy was
// made, is carried to its end: the copy that was found stays, its origin goes.
func (a *Account) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	wire, err := a.wireName(in.To)
	if err != nil {
		return plan.Found{}, err
	}
	switch in.Kind {
	case plan.IntentPut, plan.IntentMove:
		return a.resolveMessage(ctx, wire, in, known)
	}
	return a.resolveBox(ctx, wire, in)
}

func (a *Account) resolveMessage(ctx context.Context, wire string, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	origin, err := a.originOf(ctx, in)
	if err != nil {
		return plan.Found{}, refusal(mail.GradeMailbox, err)
	}
	if origin == originMoves {
		return plan.Found{State: plan.FoundAbsent, Epoch: in.Epoch}, nil
	}
	n, err := a.newcomersFor(ctx, wire, in)
	if err != nil {
		return plan.Found{}, refusal(mail.GradeMailbox, err)
	}
	if in.Epoch != "" && in.Epoch != epochOf(n.validity) {
		return plan.Found{State: plan.FoundUnknown, Epoch: epochOf(n.validity)}, nil
	}
	uid, unsure, err := a.newcomer(ctx, n, in, known)
	a.asked(in)
	switch {
	case err != nil:
		return plan.Found{}, refusal(mail.GradeMailbox, err)
	case unsure:
		return plan.Found{State: plan.FoundUnknown, Epoch: epochOf(n.validity)}, nil
	case uid == 0:
		return plan.Found{State: plan.FoundAbsent, Epoch: epochOf(n.validity)}, nil
	}
	if origin == originCopied {
		if err := a.removeOrigin(ctx, in); err != nil {
			return plan.Found{State: plan.FoundUnknown, Epoch: epochOf(n.validity)}, refusal(mail.GradeMailbox, err)
		}
	}
	return plan.Found{
		State: plan.FoundThere, At: plan.Place{Box: in.To, Ref: refOf(uid)},
		Epoch: epochOf(n.validity), Flags: n.find(uid).flags,
	}, nil
}

// newcomer looks for the message of an intent among the newcomers that no row
// knows; 0 if it is not there, unsure if there is no telling.
func (a *Account) newcomer(ctx context.Context, n *newcomers, in plan.Intent, known func(mail.Ref) bool) (uid uint32, unsure bool, err error) {
	mine := a.view(n.wire).mine
	free := func(uid uint32) bool {
		return uid >= in.Next && (known == nil || !known(refOf(uid))) && !mine[uid]
	}
	m := n.matching(free, in.Item.Ident)
	if want := &in.Item.Ident; tellsNothing(want) && slices.ContainsFunc(m.open, func(i int) bool { return alike(&n.rows[i], want) }) {
		return 0, true, nil
	}
	if err := a.findTogether(ctx, n, in, free); err != nil {
		return 0, false, err
	}
	if uid, looked := n.found[in.ID]; looked && (uid == 0 || free(uid)) {
		return uid, false, nil
	}
	if err := a.readBodies(ctx, n, m.doubtful()); err != nil {
		return 0, false, err
	}
	return m.matched()[0], false, nil
}

// findTogether looks for the messages of all intents that were announced, not
// yet asked for, and are like this one: what several of them could be is
// none's before its body is known.
func (a *Account) findTogether(ctx context.Context, n *newcomers, in plan.Intent, free func(uint32) bool) error {
	if _, looked := n.found[in.ID]; looked {
		return nil
	}
	var ids []int64
	var wants []mail.Identity
	for i := range a.unresolved {
		if other := &a.unresolved[i]; other.To == in.To && other.Epoch == in.Epoch && other.Next == in.Next {
			ids, wants = append(ids, other.ID), append(wants, other.Item.Ident)
		}
	}
	if !slices.Contains(ids, in.ID) {
		return nil
	}
	got, err := a.match(ctx, n, free, wants)
	for i := range got {
		n.found[ids[i]] = got[i]
	}
	return err
}

// removeOrigin expunges the message that an intent moved by copying it.
func (a *Account) removeOrigin(ctx context.Context, in plan.Intent) error {
	from, err := a.wireName(in.From.Box)
	if err != nil {
		return err
	}
	uid, err := parseUID(in.From.Ref)
	if err != nil {
		return err
	}
	return a.retry(ctx, func(s *session) error {
		at, err := a.enterKnown(s, from, true)
		if err != nil {
			return err
		}
		if epochOf(at.validity) != in.FromEpoch {
			return epochFault(from)
		}
		left, err := s.expunge([]uint32{uid})
		if err == nil && len(left) > 0 {
			err = mail.NewFault(mail.GradeMailbox, mail.ClassServer,
				fmt.Errorf("message %d in %q was copied and could not be expunged", uid, from), "")
		}
		if o := a.origins[from]; o != nil && err == nil {
			o.there[uid] = false
		}
		return err
	})
}

// tellsNothing: the identity is of any message of its size.
func tellsNothing(id *mail.Identity) bool {
	return id.GlobalID == "" && id.Body.IsZero() && (id.Light.IsZero() || id.Light == mail.NoLightFields)
}

// resolveBox looks whether a mailbox is listed: there after IntentCreate and
// IntentRename, and still there (so nothing happened) after IntentRemove.
func (a *Account) resolveBox(ctx context.Context, wire string, in plan.Intent) (plan.Found, error) {
	var found *listing
	err := a.retry(ctx, func(s *session) error {
		refused := a.refused
		listed, err := a.list(s, nil)
		a.refused = refused
		found = nil
		for i := range listed {
			if listed[i].wire == wire && !listed[i].container {
				found = &listed[i]
			}
		}
		return err
	})
	if err != nil {
		return plan.Found{}, refusal(mail.GradeAccount, err)
	}
	there := found != nil
	if in.Kind == plan.IntentRemove {
		there = !there
	}
	out := plan.Found{State: plan.FoundAbsent}
	if there {
		out.State, out.At = plan.FoundThere, plan.Place{Box: in.To}
	}
	if found != nil {
		out.Epoch = epochOf(found.mark.validity)
	}
	return out, nil
}
