package imap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

// maxHeld is up to which size, in bytes, a message is read into memory before
// it is handed over, so that a cut inside it can be mended unseen. Larger ones
// stream.
const maxHeld = 1 << 20

// Fetch implements engine.Side.
func (a *Account) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	wire, uids, err := a.locate(box, refs)
	if err != nil || len(uids) == 0 {
		return err
	}
	f := a.awaited(wire, uids)
	f.pull = true
	f.body = func(at int, _ uint32, item mail.Item, body io.Reader) error { return each(refs[at], item, body) }
	return f.run(ctx)
}

// A fetching gets bodies: together first; what that left out again, in small
// numbers; then one by one; and what breaks the connection last.
type fetching struct {
	a    *Account
	wire string
	// body takes one message, the at-th that was asked for; its error ends
	// everything, unless the reader failed first.
	body func(at int, uid uint32, item mail.Item, r io.Reader) error
	// each, if not nil, is told of each message that could not be had.
	each func(uid uint32, err error) error

	pull   bool     // other connections may take part
	uids   []uint32 // as they were asked for
	msgs   []wanted // in the order of their UIDs
	open   int      // how many of msgs are open
	seek   int      // where the next arrival is expected in msgs
	faults []error
	flags  flagMemory
	stream
}

// A wanted is a message that is asked for.
type wanted struct {
	uid   uint32
	at    uint32 // its place in the caller's list
	state progress
}

// A progress says how far a message is.
type progress uint8

const (
	isOpen    progress = iota // not handed over, nor given up
	isSuspect                 // as isOpen, but the connection broke while it was being answered
	isSettled
)

func (a *Account) fetching(wire string, uids []uint32, body func(int, uint32, mail.Item, io.Reader) error) *fetching {
	f := &fetching{a: a, wire: wire, body: body, uids: uids, msgs: make([]wanted, len(uids))}
	for i, uid := range uids {
		f.msgs[i] = wanted{uid: uid, at: uint32(i)}
	}
	byUID := func(x, y wanted) int { return cmp.Compare(x.uid, y.uid) }
	if !slices.IsSortedFunc(f.msgs, byUID) {
		slices.SortStableFunc(f.msgs, byUID)
	}
	f.msgs = slices.CompactFunc(f.msgs, func(x, y wanted) bool { return x.uid == y.uid })
	f.open = len(f.msgs)
	return f
}

// find is the place of a message that is wanted still.
func (f *fetching) find(uid uint32) (i int, ok bool) {
	if i = f.seek; i >= len(f.msgs) || f.msgs[i].uid != uid {
		i, ok = slices.BinarySearchFunc(f.msgs, uid, func(w wanted, uid uint32) int { return cmp.Compare(w.uid, uid) })
		if !ok {
			return 0, false
		}
	}
	f.seek = i + 1
	return i, f.msgs[i].state != isSettled
}

// settle marks a message as handed over or given up.
func (f *fetching) settle(i int) {
	if f.msgs[i].state != isSettled {
		f.msgs[i].state = isSettled
		f.open--
	}
}

// in lists the UIDs of the messages in one state.
func (f *fetching) in(state progress) []uint32 {
	var uids []uint32
	for i := range f.msgs {
		if f.msgs[i].state == state {
			uids = append(uids, f.msgs[i].uid)
		}
	}
	return uids
}

// run gets everything. Its error is of GradeMessage if some messages could
// not be had and the others were.
func (f *fetching) run(ctx context.Context) error {
	if err := f.together(ctx); err != nil {
		return f.end(err)
	}
	busy := 0
	for _, state := range []progress{isOpen, isSuspect} {
		for i := 0; i < len(f.msgs) && f.open > 0; i++ {
			if f.msgs[i].state != state {
				continue
			}
			if err := f.alone(ctx, i); err != nil {
				return f.end(err)
			}
			if mail.ClassOf(refusal(mail.GradeMessage, f.refused)) != mail.ClassThrottle {
				busy = 0
			} else if busy++; busy == maxBusy {
				return f.end(fmt.Errorf("fetching messages in %q: %w", f.wire, f.refused))
			}
		}
	}
	if len(f.faults) > 0 {
		return mail.NewFault(mail.GradeMessage, mail.ClassOf(f.faults[0]), errors.Join(f.faults...), "")
	}
	return nil
}

// maxBusy is how many messages in a row a server may be too busy for before
// it is left alone.
const maxBusy = 10

// passes are how many messages one command names at most when all are asked
// for together, and when those are that were left out: a command may be
// refused because of one of them.
var passes = [...]int{1000, 50}

// together asks for all, twice, and forgets what is gone.
func (f *fetching) together(ctx context.Context) error {
	refused := 0
	for pass := 0; pass < len(passes); {
		if !slices.ContainsFunc(f.msgs, func(w wanted) bool { return w.state == isOpen }) {
			return nil
		}
		if pass > 0 {
			if err := f.remaining(ctx, f.in(isOpen)); err != nil && !refusedByServer(err) {
				return err
			}
		}
		err := f.round(ctx, 0, len(f.msgs), passes[pass])
		switch {
		case err == nil:
			pass++
		case mail.GradeOf(err, 0) == mail.GradeAccount:
			return err
		case refusedByServer(err): // the mailbox, perhaps for this once
			if refused++; refused == len(passes) {
				return err
			}
		case !f.blame(err):
			return err
		}
	}
	return nil
}

// remaining forgets those of uids that are gone: the caller counts.
func (f *fetching) remaining(ctx context.Context, uids []uint32) error {
	var there []uint32
	err := f.a.retry(ctx, func(s *session) error {
		if _, err := f.a.enterKnown(s, f.wire, false); err != nil {
			return err
		}
		var err error
		there, err = s.present(uids)
		return err
	})
	if err != nil {
		return err
	}
	for _, uid := range uids { // both in rising order
		if len(there) > 0 && there[0] == uid {
			there = there[1:]
		} else if i, ok := f.find(uid); ok {
			f.settle(i)
		}
	}
	return nil
}

func (f *fetching) end(err error) error {
	return uncalled(refusal(mail.GradeMailbox, err))
}

// blame puts aside the message at which the connection broke: servers answer
// in order, so it is the first without an answer of those under way; if all
// had theirs, it was none. It tells whether to go on.
func (f *fetching) blame(err error) bool {
	if !isLost(err) || f.a.losses > maxLosses {
		return false
	}
	from := 0
	for _, a := range f.asks { // what other connections were asked for lies between
		if f.suspect(a.lo, a.hi) {
			return true
		}
		from = a.hi
	}
	f.suspect(from, len(f.msgs))
	return true
}

// suspect puts aside the first open message from lo to hi, if there is one.
func (f *fetching) suspect(lo, hi int) bool {
	for i := lo; i < hi; i++ {
		if f.msgs[i].state == isOpen {
			f.msgs[i].state = isSuspect
			return true
		}
	}
	return false
}

func bodyItems() *goimap.FetchOptions {
	opt := metaItems(haveAll)
	opt.BodySection = []*goimap.FetchItemBodySection{{Peek: true}}
	return opt
}

// alone asks for one message, and finds out what is wrong if it does not come.
func (f *fetching) alone(ctx context.Context, i int) error {
	uid := f.msgs[i].uid
	f.msgs[i].state = isOpen
	err := f.round(ctx, i, i+1, 1)
	if f.msgs[i].state == isSettled && (err == nil || isLost(err)) {
		return nil
	}
	if err == nil {
		err = f.refused
	}
	switch {
	case mail.GradeOf(err, 0) == mail.GradeAccount:
		return err
	case isLost(err) && f.a.losses <= maxLosses:
		return f.give(i, messageFault(mail.ClassServer, fmt.Errorf("message %d in %q breaks the connection: %w", uid, f.wire, err), ""))
	case refusedByServer(err):
		return f.give(i, refusal(mail.GradeMessage, fmt.Errorf("fetching message %d in %q: %w", uid, f.wire, err)))
	case err != nil:
		return err
	}
	why := "it gives none"
	if f.a.session != nil {
		if told := f.a.session.wire.TakeNoBody()[uid]; told != "" {
			why = told
		}
	}
	if err := f.remaining(ctx, []uint32{uid}); err != nil || f.msgs[i].state == isSettled {
		return err
	}
	return f.give(i, messageFault(mail.ClassServer,
		fmt.Errorf("the server does not give the body of message %d in %q: %s", uid, f.wire, printable(why)), "look at it with another mail program"))
}

// give gives up a message.
func (f *fetching) give(i int, err error) error {
	f.settle(i)
	f.faults = append(f.faults, err)
	if f.each != nil {
		if err := f.each(f.msgs[i].uid, err); err != nil {
			return &callerError{err}
		}
	}
	return nil
}

// hand gives the caller a message that has arrived.
func (f *fetching) hand(s *session, a *arrival) error {
	defer s.inbox.done(a)
	i, ok := f.find(a.msg.UID)
	if !ok {
		return nil
	}
	body, err := a.body()
	if err != nil {
		return err
	}
	live := a.live != nil
	size := a.size
	if a.sp != nil {
		size = a.sp.size
	}
	item := mail.Item{Flags: f.flags.parse(a.msg.Flags), Date: a.msg.Date, Ident: mail.Identity{GlobalID: a.msg.GlobalID, Size: size}}
	f.settle(i)
	if live {
		return f.handLive(i, item, &exact{r: body, left: size})
	}
	if err := f.body(int(f.msgs[i].at), a.msg.UID, item, body); err != nil {
		return &callerError{err}
	}
	return nil
}

// handLive gives the caller a message while it arrives. One that is cut then
// is not asked for again: the caller has seen a part of it.
func (f *fetching) handLive(i int, item mail.Item, body *exact) error {
	uid := f.msgs[i].uid
	err := f.body(int(f.msgs[i].at), uid, item, body)
	if body.err == nil && err == nil {
		_, _ = io.Copy(io.Discard, body)
	}
	if body.err != nil {
		if err := f.give(i, messageFault(mail.ClassNetwork, fmt.Errorf("message %d in %q: %w", uid, f.wire, body.err), "the next run tries again")); err != nil {
			return err
		}
		return body.err
	}
	if err != nil {
		return &callerError{err}
	}
	return nil
}
