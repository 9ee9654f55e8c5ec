package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

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
	return a.fetching(wire, uids, func(uid uint32, item mail.Item, body *exact) error {
		return each(refOf(uid), item, body)
	}).run(ctx)
}

// A fetching gets bodies: together first; what that left out again, one by
// one; and what breaks the connection last.
type fetching struct {
	a    *Account
	wire string
	// body takes one message; its error ends everything, unless the reader
	// failed first.
	body func(uid uint32, item mail.Item, r *exact) error
	// each, if not nil, is told of each message that could not be had.
	each func(uid uint32, err error) error

	want     map[uint32]bool // not yet handed over, nor given up
	order    []uint32
	suspects []uint32 // were being answered when the connection broke
	faults   []error
	held     bytes.Buffer
}

func (a *Account) fetching(wire string, uids []uint32, body func(uint32, mail.Item, *exact) error) *fetching {
	f := &fetching{a: a, wire: wire, body: body, want: make(map[uint32]bool, len(uids)), order: slices.Clone(uids)}
	slices.Sort(f.order)
	f.order = slices.Compact(f.order)
	for _, uid := range f.order {
		f.want[uid] = true
	}
	return f
}

// run gets everything. Its error is of GradeMessage if some messages could
// not be had and the others were.
func (f *fetching) run(ctx context.Context) error {
	if err := f.together(ctx); err != nil {
		return f.end(err)
	}
	for _, last := range []bool{false, true} {
		if last {
			f.order, f.suspects = append(f.order, f.suspects...), nil
		}
		for _, uid := range f.rest() {
			if err := f.alone(ctx, uid); err != nil {
				return f.end(err)
			}
		}
	}
	if len(f.faults) > 0 {
		return mail.NewFault(mail.GradeMessage, mail.ClassOf(f.faults[0]), errors.Join(f.faults...), "")
	}
	return nil
}

// together asks for all, twice, and forgets what is gone.
func (f *fetching) together(ctx context.Context) error {
	for whole := 0; whole < 2; {
		rest := f.rest()
		if len(rest) == 0 {
			return nil
		}
		if whole == 1 {
			var err error
			if rest, err = f.remaining(ctx, rest); err != nil {
				return err
			}
		}
		err := f.round(ctx, rest)
		switch {
		case err == nil:
			whole++
		case refusedByServer(err):
			return nil // perhaps for one of them: they are asked for alone
		case !f.blame(err):
			return err
		}
	}
	return nil
}

// remaining forgets those of uids that are gone: the caller counts.
func (f *fetching) remaining(ctx context.Context, uids []uint32) (there []uint32, err error) {
	err = f.a.retry(ctx, func(s *session) error {
		if _, err := f.a.enterKnown(s, f.wire, false); err != nil {
			return err
		}
		there, err = s.present(uids)
		return err
	})
	for _, uid := range uids {
		if err == nil && !slices.Contains(there, uid) {
			delete(f.want, uid)
		}
	}
	return there, err
}

func (f *fetching) end(err error) error {
	return uncalled(refusal(mail.GradeMailbox, err))
}

// rest lists what is wanted still, but for the suspects.
func (f *fetching) rest() []uint32 {
	f.order = slices.DeleteFunc(f.order, func(uid uint32) bool { return !f.want[uid] || slices.Contains(f.suspects, uid) })
	return slices.Clone(f.order)
}

// blame puts aside the message at which the connection broke: servers answer
// in order, so it is the first without an answer. It tells whether to go on.
func (f *fetching) blame(err error) bool {
	if !isLost(err) || f.a.losses > maxLosses {
		return false
	}
	rest := f.rest()
	if len(rest) == 0 {
		return false
	}
	f.suspects = append(f.suspects, rest[0])
	return true
}

// round asks for messages together, once.
func (f *fetching) round(ctx context.Context, uids []uint32) error {
	return f.a.use(ctx, func(s *session) error {
		if _, err := f.a.enterKnown(s, f.wire, false); err != nil {
			return err
		}
		s.wire.TakeGlobalIDs()
		for _, set := range uidSets(uids) {
			if err := s.fetch(set, bodyItems(), f.take); err != nil {
				return err
			}
		}
		return nil
	})
}

func bodyItems() *goimap.FetchOptions {
	opt := metaItems(haveAll)
	opt.BodySection = []*goimap.FetchItemBodySection{{Peek: true}}
	return opt
}

// alone asks for one message, and finds out what is wrong if it does not come.
func (f *fetching) alone(ctx context.Context, uid uint32) error {
	err := f.round(ctx, []uint32{uid})
	if !f.want[uid] && (err == nil || isLost(err)) {
		return nil
	}
	switch {
	case isLost(err) && f.a.losses <= maxLosses:
		return f.give(uid, messageFault(mail.ClassServer, fmt.Errorf("message %d in %q breaks the connection: %w", uid, f.wire, err), ""))
	case refusedByServer(err):
		return f.give(uid, refusal(mail.GradeMessage, fmt.Errorf("fetching message %d in %q: %w", uid, f.wire, err)))
	case err != nil:
		return err
	}
	why := "it gives none"
	if f.a.session != nil {
		if told := f.a.session.wire.TakeNoBody()[uid]; told != "" {
			why = told
		}
	}
	there, err := f.remaining(ctx, []uint32{uid})
	if err != nil || len(there) == 0 {
		return err
	}
	return f.give(uid, messageFault(mail.ClassServer,
		fmt.Errorf("the server does not give the body of message %d in %q: %s", uid, f.wire, printable(why)), "look at it with another mail program"))
}

// give gives up a message.
func (f *fetching) give(uid uint32, err error) error {
	delete(f.want, uid)
	f.faults = append(f.faults, err)
	if f.each != nil {
		if err := f.each(uid, err); err != nil {
			return &callerError{err}
		}
	}
	return nil
}

// take hands over one answer. Items come before the body as a rule; where
// they do not, the body waits for them.
func (f *fetching) take(s *session, msg *imapclient.FetchMessageData) error {
	var r row
	var sp *spool
	for item := msg.Next(); item != nil; item = msg.Next() {
		d, isBody := item.(imapclient.FetchItemDataBodySection)
		if !isBody {
			if err := r.take(s, item); err != nil {
				return err
			}
			continue
		}
		if d.Literal == nil || d.Section.Specifier != goimap.PartSpecifierNone || !f.want[r.uid] {
			continue
		}
		size := d.Literal.Size()
		body := s.literal(d.Literal)
		if r.have&haveAll == haveAll && size > maxHeld {
			r.size = size
			return f.stream(s, &r, body)
		}
		var err error
		if sp, err = newSpool(f.a.opt.Spool, body, &f.held); err != nil {
			return err
		}
		defer sp.close()
		r.size = size
	}
	if sp == nil || r.uid == 0 || !f.want[r.uid] {
		return nil
	}
	return f.hand(s, &r, sp)
}

// hand gives the caller a message that was read to its end.
func (f *fetching) hand(s *session, r *row, sp *spool) error {
	body, err := sp.open()
	if err != nil {
		return &callerError{err}
	}
	delete(f.want, r.uid)
	r.size = sp.size
	if err := f.body(r.uid, f.item(s, r), &exact{r: body, left: sp.size}); err != nil {
		return &callerError{err}
	}
	return nil
}

// stream gives the caller a message while it arrives. One that is cut then
// is not asked for again: the caller has seen a part of it.
func (f *fetching) stream(s *session, r *row, body *exact) error {
	delete(f.want, r.uid)
	err := f.body(r.uid, f.item(s, r), body)
	if body.err == nil && err == nil {
		_, _ = io.Copy(io.Discard, body)
	}
	if body.err != nil {
		if err := f.give(r.uid, messageFault(mail.ClassNetwork, fmt.Errorf("message %d in %q: %w", r.uid, f.wire, body.err), "the next run tries again")); err != nil {
			return err
		}
		return body.err
	}
	if err != nil {
		return &callerError{err}
	}
	return nil
}

func (f *fetching) item(s *session, r *row) mail.Item {
	it := r.item()
	it.Ident.GlobalID = s.wire.TakeGlobalID(r.uid)
	return it
}
