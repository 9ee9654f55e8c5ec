package imap

import (
	"context"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

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
	t, validity, err := a.newcomers(ctx, wire, in.Next)
	if err != nil {
		return plan.Found{}, refusal(mail.GradeMailbox, err)
	}
	if in.Epoch != "" && in.Epoch != epochOf(validity) {
		return plan.Found{State: plan.FoundUnknown, Epoch: epochOf(validity)}, nil
	}
	free := func(uid uint32) bool {
		return (known == nil || !known(refOf(uid))) && !a.view(wire).mine[uid]
	}
	want := in.Item.Ident
	if tellsNothing(&want) && slices.ContainsFunc(t.rows, func(r row) bool { return free(r.uid) && alike(&r, &want) }) {
		return plan.Found{State: plan.FoundUnknown, Epoch: epochOf(validity)}, nil
	}
	got, err := a.match(ctx, wire, t, free, []mail.Identity{want})
	if err != nil {
		return plan.Found{}, refusal(mail.GradeMailbox, err)
	}
	if got[0] == 0 {
		return plan.Found{State: plan.FoundAbsent, Epoch: epochOf(validity)}, nil
	}
	if origin == originCopied {
		if err := a.removeOrigin(ctx, in); err != nil {
			return plan.Found{State: plan.FoundUnknown, Epoch: epochOf(validity)}, refusal(mail.GradeMailbox, err)
		}
	}
	return plan.Found{
		State: plan.FoundThere, At: plan.Place{Box: in.To, Ref: refOf(got[0])},
		Epoch: epochOf(validity), Flags: t.find(got[0]).flags,
	}, nil
}

// An origin says where a message that was to be moved lies still.
type origin uint8

const (
	originGone   origin = iota // not where it was, or never there
	originMoves                // where it was, on a server that moves at once (RFC 6851)
	originCopied               // where it was; perhaps copied
)

// originOf looks for the message that an intent moves where it was.
func (a *Account) originOf(ctx context.Context, in plan.Intent) (o origin, err error) {
	from, err := a.wireName(in.From.Box)
	uid, err2 := parseUID(in.From.Ref)
	if in.Kind != plan.IntentMove || err != nil || err2 != nil {
		return originGone, nil
	}
	err = a.retry(ctx, func(s *session) error {
		o = originGone
		at, err := s.open(from, false)
		if refusedByServer(err) || err == nil && epochOf(at.validity) != in.FromEpoch {
			return nil
		}
		if err != nil {
			return err
		}
		there, err := s.present([]uint32{uid})
		switch {
		case err != nil || len(there) == 0:
		case s.has(goimap.CapMove):
			o = originMoves
		default:
			o = originCopied
		}
		return err
	})
	return o, err
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
