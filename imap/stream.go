package imap

import (
	"context"
	"io"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

const (
	// maxAsked is how many bytes of bodies, by what came so far, are asked for
	// at once: more than a link with a round-trip time holds. Two commands are
	// always under way, so that the server never waits for the next.
	maxAsked = 12 << 20
	// maxCommand is how many bytes, by what came so far, one command asks for.
	maxCommand = 4 << 20
	// maxSent is how many bytes of sets are under way: a server that is busy
	// sending may not take more.
	maxSent = 24 << 10
	// guess is the size of a message before any was seen.
	guess = 4 << 10
)

// A stream is what of a fetching is under way on one connection: an EXAMINE,
// perhaps, and UID FETCHes of ranges, in the order of their UIDs. It is a
// errand: it may have been sent before it was asked for.
type stream struct {
	lane
	on      *session // where it was sent
	opening *opening // whose answer was not awaited yet
	next    int      // the first of msgs that was not asked for
	hi      int      // where to stop asking
	most    int      // how many messages one command names
	refused error    // what the server said to a FETCH, the last time
	// came and bytes are what arrived so far, to learn sizes from.
	came, bytes int64
}

// A lane is what of a stream is under way on one connection.
type lane struct {
	via     *session
	asks    []*asked // unanswered
	waiting int      // how many messages were asked for and have not come
	sent    int      // bytes of the sets of asks
	// Of an extra connection, see crew:
	leaving bool        // it is asked for nothing more
	stop    func() bool // keeps the context's end from ending it
}

// round asks for the messages from lo to hi that are open, once, at most so
// many in one command. An error is not of a FETCH that was refused: that is
// told by refused.
func (f *fetching) round(ctx context.Context, lo, hi, most int) error {
	f.refused = nil
	return f.a.useFor(ctx, f, func(s *session) error {
		if f.on != s {
			f.launch(s, lo, hi, most)
		}
		f.on = nil
		if err := f.opened(s); err != nil {
			return err
		}
		if f.crewed() {
			return f.a.crew.round(ctx, f)
		}
		for len(f.asks) > 0 {
			if err := f.step(s); err != nil {
				return err
			}
		}
		return nil
	})
}

// launch sends the EXAMINE, where it is needed, and the first FETCHes behind
// it, without waiting.
func (f *fetching) launch(s *session, lo, hi, most int) {
	f.stream = stream{lane: lane{via: s}, on: s, next: lo, hi: hi, most: most, came: f.came, bytes: f.bytes}
	s.wire.Cork()
	if s.at == nil || s.at.name != f.wire {
		f.opening = s.sendOpen(f.wire, false)
	}
	f.ask(&f.lane)
	_ = s.wire.Uncork() // an error is told by the commands
}

// opened waits until the mailbox is known to be the right one. What was asked
// for behind an EXAMINE that failed is dropped: it may be of another mailbox.
func (f *fetching) opened(s *session) error {
	at, err := s.at, error(nil)
	if f.opening != nil {
		at, err = f.opening.wait()
		f.opening = nil
	}
	if refusedByServer(err) {
		if lost := f.discard(s); lost != nil {
			return lost
		}
	}
	if err != nil {
		return err
	}
	if err := f.a.known(at, false); err != nil {
		s.kill() // the answers could be long
		return err
	}
	return nil
}

// ask sends FETCHes until enough is under way. What may be under way is shared
// by the connections that take part.
func (f *fetching) ask(l *lane) {
	ahead := f.ahead() // beyond two commands
	for f.next < f.hi && (len(l.asks) < 2 || int64(l.waiting)*f.size() < ahead && l.sent < maxSent) {
		a := &asked{in: l.via.inbox, lane: l, spool: f.a.opt.Spool}
		set := f.choose(a, f.portion())
		if a.left == 0 {
			return
		}
		l.via.wire.Divert(a)
		a.cmd = l.via.client.Fetch(set, bodyItems())
		l.asks = append(l.asks, a)
		l.waiting += a.left
		l.sent += a.text
	}
}

// size is that of a message, by what came so far.
func (f *fetching) size() int64 { return (f.bytes+guess)/(f.came+1) + 1 }

// choose gives the messages to ask for next, as a set that is short enough
// for a command of not many more than so many bytes.
func (f *fetching) choose(a *asked, bytes int64) (set goimap.UIDSet) {
	most := min(f.most/int(f.sharers()), max(4, int(bytes/f.size())))
	a.lo = f.next
	for ; f.next < f.hi && a.left < most; f.next++ {
		w := &f.msgs[f.next]
		if w.state != isOpen {
			continue
		}
		uid := goimap.UID(w.uid)
		if last := len(set) - 1; last >= 0 && set[last].Stop+1 == uid {
			set[last].Stop = uid
		} else if text := 2 * (digitsOf(w.uid) + 1); a.text+text > maxSet {
			break
		} else {
			set = append(set, goimap.UIDRange{Start: uid, Stop: uid})
			a.text += text
		}
		a.left++
	}
	a.hi = f.next
	return set
}

// digitsOf is how long a number is when it is written.
func digitsOf(n uint32) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}

// step waits for one arrival and deals with it.
func (f *fetching) step(s *session) error {
	f.ask(&f.lane)
	if f.most == passes[0] {
		f.sendAnnounced(s)
	}
	a, ok := s.inbox.next(s.client.Closed())
	if !ok {
		return f.broken()
	}
	return f.take(&a)
}

// take deals with an arrival. An error ends its connection.
func (f *fetching) take(a *arrival) error {
	l := a.of.lane
	if a.over {
		err := f.over(a.of)
		if refusedByServer(err) {
			l.via.kill() // what else was asked for is not waited for
		}
		return err
	}
	if a.of.left > 0 {
		a.of.left--
		l.waiting--
	}
	f.came++
	f.bytes += a.size
	if err := f.hand(l.via, a); err != nil {
		l.via.kill()
		return err
	}
	return nil
}

// over takes the end of a FETCH. A refusal is an error only where the server
// wants the whole account to come back later.
func (f *fetching) over(a *asked) error {
	l := a.lane
	l.asks = slices.DeleteFunc(l.asks, func(b *asked) bool { return a == b })
	l.waiting -= a.left
	l.sent -= a.text
	err := a.cmd.Close()
	if refusedByServer(err) && mail.GradeOf(refusal(mail.GradeMessage, err), 0) < mail.GradeAccount {
		f.refused = err // perhaps for one message: the others are asked for again
		return nil
	}
	return err
}

// broken is the error of a connection that ended before all was answered.
func (f *fetching) broken() error {
	if err := f.asks[0].cmd.Close(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}

// discard reads what is still to come, and hands over nothing.
func (f *fetching) discard(s *session) error {
	for len(f.asks) > 0 {
		a, ok := s.inbox.next(s.client.Closed())
		switch {
		case !ok:
			return f.broken()
		case a.over:
			if err := f.over(a.of); err != nil {
				return err
			}
		default:
			s.inbox.done(&a)
		}
	}
	return nil
}

// drop implements errand.
func (f *fetching) drop(s *session) error {
	f.on = nil
	f.a.announced = slices.DeleteFunc(f.a.announced, func(e *fetching) bool { return e == f })
	if f.opening != nil {
		_, err := f.opening.wait()
		f.opening = nil
		if err != nil && isLoss(err) {
			return err
		}
	}
	return f.discard(s)
}

// A flagMemory remembers the last list of flags: most messages have the same.
type flagMemory struct {
	text string
	set  mail.FlagSet
}

func (m *flagMemory) parse(text string) mail.FlagSet {
	if text != m.text {
		m.text, m.set = text, mail.ParseFlagSet(strings.Trim(text, "()"))
	}
	return m.set
}
