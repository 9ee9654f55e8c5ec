package imap

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// How much of a mailbox a flight asks for.
type extent uint8

const (
	// all: each message; of those that the cursor knows the flags only.
	all extent = iota
	// changed: what CHANGEDSINCE tells (RFC 7162, section 3.1.4).
	changed
	// resynced: what a SELECT with QRESYNC tells (RFC 7162, section 3.2.5).
	resynced
)

// A wish is what a flight is to find out.
type wish struct {
	name    string // of the mailbox, on the server
	was     mark   // the cursor; zero if there is none of use
	indexed int    // messages that the index knows
	extent  extent
	search  bool // list the UIDs as well
	sure    bool // leave nothing out on the ground of what the survey told
}

// A flight is a look at one mailbox that is sent in one piece, and so costs
// one round trip; others may follow before it is answered.
type flight struct {
	wish
	calls                              []*wire.Call
	open, known, fresh, search, rights *wire.Call // nil: not asked for
	rows                               sightings
	weight                             int // messages it is likely to tell of

	landed bool
	err    error
	at     *selection
	opened *wire.Answer
	tally  wire.Tally // when the last of it was answered
	told   string     // rights
}

// wish plans what to ask of a mailbox.
func (a *Account) wish(s *session, name string, since plan.Since) wish {
	w := wish{name: name, indexed: since.Known}
	v := a.view(name)
	was, ok := parseCursor(since.Cursor)
	if !ok || was.next == 0 || since.Epoch != "" && since.Epoch != epochOf(was.validity) ||
		v.validity != 0 && v.validity != was.validity {
		return w
	}
	w.was = was
	switch {
	case since.Compare:
		w.sure = true
	case was.modseq == 0 || was.next == 1 || !s.has(goimap.CapCondStore):
	case s.quick():
		w.extent = resynced
	default:
		w.extent = changed
		// Where the survey shows as many more messages as UIDs were given, none
		// has vanished.
		w.search = !v.counted || v.next < was.next || uint64(was.count)+uint64(v.next-was.next) != uint64(v.count)
	}
	return w
}

// quick tells whether QRESYNC can be used.
func (s *session) quick() bool { return s.wire.Enabled() && !s.doubtQuick }

// weigh estimates of how many messages a flight will tell, -1 if there is no
// telling.
func (w *wish) weigh(v *view) int {
	switch {
	case !v.counted:
		return -1
	case w.extent == all:
		return int(v.count)
	}
	return int(min(v.count, v.next-min(v.next, w.was.next)))
}

const (
	itemsKnown = " (FLAGS)"
	itemsFresh = " (FLAGS INTERNALDATE RFC822.SIZE)"
)

// fly sends what a wish needs, as soon as anything else is sent. What the
// survey showed not to be there is not asked for; land finds out if that has
// changed.
func (s *session) fly(w wish, v *view) (*flight, error) {
	f := &flight{wish: w, weight: max(0, w.weigh(v))}
	f.rows.reserve(f.weight)
	name, was := s.wire.Mailbox(w.name), w.was
	open := "EXAMINE " + name
	switch {
	case w.extent == resynced:
		open += fmt.Sprintf(" (QRESYNC (%d %d 1:%d))", was.validity, was.modseq, was.next-1)
	case s.has(goimap.CapCondStore):
		open += " (CONDSTORE)"
	}
	f.open = f.call(open, w.extent == resynced)
	empty := v.counted && v.count == 0 && !w.sure
	none := empty || v.counted && was.next > 0 && v.next == was.next && !w.sure && !s.hidesNext
	if was.next > 1 && w.extent != resynced && !empty {
		known := fmt.Sprintf("UID FETCH 1:%d", was.next-1) + itemsKnown
		if w.extent == changed {
			known += fmt.Sprintf(" (CHANGEDSINCE %d)", was.modseq)
		}
		f.known = f.call(known, true)
	}
	if !none {
		f.fresh = f.call(fmt.Sprintf("UID FETCH %d:*", max(1, was.next))+itemsFresh, true)
	}
	if w.search || empty && w.indexed > 0 {
		f.search = f.call(s.searchCommand(), false)
	}
	if s.has(goimap.CapACL) {
		f.rights = f.call("MYRIGHTS "+name, false)
		f.rights.In = nil
	}
	s.at, s.last = nil, f
	return f, s.wire.Send(true, f.calls...)
}

func (s *session) searchCommand() string {
	if s.has(goimap.CapESearch) {
		return "UID SEARCH RETURN (ALL) ALL"
	}
	return "UID SEARCH ALL"
}

// call adds a command to the flight; with rows, it tells of messages.
func (f *flight) call(command string, rows bool) *wire.Call {
	c := &wire.Call{Command: command, In: f.open}
	if rows {
		c.Each = f.rows.add
	}
	f.calls = append(f.calls, c)
	return c
}

// land waits for what a flight was answered, once.
func (s *session) land(f *flight) error {
	if f.landed {
		return f.err
	}
	f.landed = true
	for _, c := range f.calls {
		answer, err := s.wire.Wait(c)
		if err == nil {
			if f.tally = answer.Tally; c == f.rights {
				f.told = answer.Rights
			}
			continue
		}
		err = answered(err)
		switch {
		case f.err != nil || c == f.rights && !isLoss(err): // not to be told is no reason to stop
		case c == f.open:
			f.err = fmt.Errorf("opening mailbox %q: %w", f.name, err)
		default:
			f.err = fmt.Errorf("scanning mailbox %q: %w", f.name, err)
		}
		if isLoss(err) {
			f.err = err
			return err
		}
	}
	if f.err == nil {
		f.opened, _ = s.wire.Wait(f.open)
		f.at, f.err = selectionOf(f.name, f.opened)
	}
	if s.last == f {
		s.at = f.at
	}
	return f.err
}

// answered makes a refusal of a call what the library makes of its own.
func answered(err error) error {
	var r *wire.Refused
	if !errors.As(err, &r) {
		return err
	}
	return &goimap.Error{Type: goimap.StatusResponseType(r.Status), Code: goimap.ResponseCode(strings.ToUpper(r.Code)), Text: r.Text}
}

// selectionOf reads what an EXAMINE told.
func selectionOf(name string, a *wire.Answer) (*selection, error) {
	o := &a.Opened
	if o.Validity == 0 {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer,
			fmt.Errorf("mailbox %q has no UIDVALIDITY", name), "the server cannot be synchronised with")
	}
	at := &selection{name: name, validity: o.Validity, next: o.Next, modseq: o.ModSeq, exists: a.Tally.Exists}
	if o.NoModSeq {
		at.modseq = 0
	}
	at.perm = &permanent{all: !o.PermanentTold, none: o.ReadOnly}
	for _, f := range o.Permanent {
		if f == `\*` {
			at.perm.any = true
		} else {
			at.perm.set = at.perm.set.With(mail.Flag(f))
		}
	}
	return at, nil
}

// alone tells whether a flight that has landed was the last one: its mailbox
// is the selected one.
func (s *session) alone(f *flight) bool { return s.last == f }

// ground ends what was sent ahead: its answers are waited for and forgotten.
func (s *session) ground() error {
	queue := s.queue
	s.queue = nil
	for _, f := range queue {
		if err := s.land(f); err != nil && isLoss(err) {
			return err
		}
	}
	return nil
}

// awaitQueue waits for all that was sent ahead, and keeps it.
func (s *session) awaitQueue() error {
	for _, f := range s.queue {
		if err := s.land(f); err != nil && isLoss(err) {
			return err
		}
	}
	return nil
}

// ahead gives the flight that was sent ahead for a wish, or nil. Those before
// it will not be asked for any more.
func (s *session) ahead(w wish) *flight {
	i := slices.IndexFunc(s.queue, func(f *flight) bool { return f.wish == w })
	if i < 0 {
		return nil
	}
	f := s.queue[i]
	s.queue = slices.Delete(s.queue, 0, i+1)
	return f
}

// What may be sent ahead: so many mailboxes, that will tell of so many
// messages together.
const (
	maxAhead     = 100
	maxAheadRows = 20_000
)

// ExpectScans implements engine.Expecter. What is expected is sent behind the
// next Scan, as far as the bounds go, and then as room is made.
func (a *Account) ExpectScans(next []plan.Expected) { a.expected = slices.Clone(next) }

// reached forgets the expectation that is being fulfilled, and those before it.
func (a *Account) reached(box mail.BoxID) {
	if i := slices.IndexFunc(a.expected, func(e plan.Expected) bool { return e.Box == box }); i >= 0 {
		a.expected = a.expected[i+1:]
	}
}

// sendAhead sends the flights of scans that are expected.
func (a *Account) sendAhead(s *session) error {
	weight := 0
	for _, f := range s.queue {
		weight += f.weight
	}
	for len(a.expected) > 0 && len(s.queue) < maxAhead {
		e := a.expected[0]
		name, err := a.wireName(e.Box)
		if err != nil {
			a.expected = a.expected[1:]
			continue
		}
		v := a.view(name)
		if a.surelyEmpty(v, e.Since) {
			a.expected = a.expected[1:]
			continue
		}
		w := a.wish(s, name, e.Since)
		n := w.weigh(v)
		if n < 0 || weight+n > maxAheadRows {
			return nil // it waits for its turn
		}
		f, err := s.fly(w, v)
		if err != nil {
			return err
		}
		// Nobody takes the answers while others are waited for: what is
		// more than the survey promised is asked for in its turn.
		f.rows.limit = 2*n + 1000
		a.expected = a.expected[1:]
		s.queue = append(s.queue, f)
		weight += n
	}
	return nil
}
