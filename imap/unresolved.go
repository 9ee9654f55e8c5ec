package imap

import (
	"context"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A resolving is what is known while Resolves follow each other: each mailbox
// is looked at once for all of them. It is forgotten when this side is asked
// for anything that could change what is there, or shows it anew, and with
// the connection.
type resolving struct {
	unresolved []plan.Intent       // see ExpectResolves; not asked for yet
	came       *newcomers          // of the mailbox that was asked about last
	origins    map[string]*origins // by the server's name
}

// ExpectResolves implements engine.Expecter.
func (a *Account) ExpectResolves(next []plan.Intent) {
	a.resolving = resolving{unresolved: slices.Clone(next)}
}

// asked forgets an intent that was announced: should its mailbox be looked at
// anew for others, it claims none of the messages that are equal to its own.
func (r *resolving) asked(in plan.Intent) {
	i := slices.IndexFunc(r.unresolved, func(other plan.Intent) bool { return other.ID == in.ID })
	switch {
	case i == 0: // they are asked for in the order in which they were announced
		r.unresolved = r.unresolved[1:]
	case i > 0:
		r.unresolved = slices.Delete(r.unresolved, i, i+1)
	}
}

// forget lets go of what was seen, but not of what will be asked.
func (r *resolving) forget() { r.came, r.origins = nil, nil }

// newcomersFor gives the messages among which that of an intent may be, and
// those of the intents that follow.
func (a *Account) newcomersFor(ctx context.Context, wire string, in plan.Intent) (*newcomers, error) {
	if n := a.came; n != nil && n.wire == wire && n.next <= in.Next {
		return n, nil
	}
	next := in.Next
	for i := range a.unresolved {
		if other := &a.unresolved[i]; other.To == in.To && other.Epoch == in.Epoch {
			next = min(next, other.Next)
		}
	}
	n, err := a.newcomers(ctx, wire, next)
	if err == nil {
		a.came = n
	}
	return n, err
}

// origins tell which messages that were to be moved lie in a mailbox still.
type origins struct {
	validity uint32
	moves    bool            // the server moves at once (RFC 6851)
	there    map[uint32]bool // those that were looked for
}

func (o *origins) knows(uid uint32) bool {
	_, known := o.there[uid]
	return known
}

// An origin says where a message that was to be moved lies still.
type origin uint8

const (
	originGone   origin = iota // not where it was, or never there
	originMoves                // where it was, on a server that moves at once (RFC 6851)
	originCopied               // where it was; perhaps copied
)

// originOf looks for the message that an intent moves where it was.
func (a *Account) originOf(ctx context.Context, in plan.Intent) (origin, error) {
	from, err := a.wireName(in.From.Box)
	uid, err2 := parseUID(in.From.Ref)
	if in.Kind != plan.IntentMove || err != nil || err2 != nil {
		return originGone, nil
	}
	o := a.origins[from]
	if o == nil || !o.knows(uid) {
		if o, err = a.lookAtOrigins(ctx, from, in); err != nil {
			return originGone, err
		}
	}
	switch {
	case !o.there[uid] || epochOf(o.validity) != in.FromEpoch:
		return originGone, nil
	case o.moves:
		return originMoves, nil
	}
	return originCopied, nil
}

// lookAtOrigins looks which messages lie where an intent, and those that
// follow, move them from. There is none in a mailbox that the server refuses
// to open.
func (a *Account) lookAtOrigins(ctx context.Context, from string, in plan.Intent) (o *origins, err error) {
	uids := movedFrom(append(slices.Clone(a.unresolved), in), in.From.Box)
	err = a.retry(ctx, func(s *session) error {
		o = &origins{moves: s.has(goimap.CapMove), there: make(map[uint32]bool, len(uids))}
		for _, uid := range uids {
			o.there[uid] = false
		}
		at, err := s.open(from, false)
		if err != nil {
			return err
		}
		o.validity = at.validity
		there, err := s.present(uids)
		for _, uid := range there {
			o.there[uid] = true
		}
		return err
	})
	if refusedByServer(err) && o.validity == 0 {
		return &origins{}, nil // it may be for this once
	}
	if err != nil {
		return nil, err
	}
	if a.origins == nil {
		a.origins = map[string]*origins{}
	}
	a.origins[from] = o
	return o, nil
}

// movedFrom lists the messages that intents move out of a mailbox.
func movedFrom(list []plan.Intent, box mail.BoxID) (uids []uint32) {
	for i := range list {
		if uid, err := parseUID(list[i].From.Ref); err == nil && list[i].Kind == plan.IntentMove && list[i].From.Box == box {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return slices.Compact(uids)
}
