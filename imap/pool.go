package imap

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
)

const (
	// parkTime is how long a connection waits for the next run: well within
	// the 30 minutes after which servers end one (RFC 9051, section 5.4).
	parkTime = 20 * time.Minute
	// proveTime is how long a connection that was parked has to show that it
	// is alive.
	proveTime = 10 * time.Second
)

// A Pool keeps the connection of an account from one run to the next, so that
// the next need not connect and log in. All that use it must have the same
// Options. A nil Pool keeps nothing.
//
// A connection is kept only if nothing is under way on it, and it leaves the
// mailbox that it has selected. Whoever takes it has it prove that it is alive
// before anything is sent that changes the server; one that is dead is
// replaced, and does not count as lost. While it is kept, a goroutine reads
// what comes; the Pool owns it, and ends the connection after 20 minutes, by
// Drop, or by Close.
type Pool struct {
	// Died, if not nil, is called when a connection that was kept turns out to
	// be dead without a word: others with the same server may be so too. It
	// must not block. It is set before the Pool is used.
	Died func()

	mu     sync.Mutex
	closed bool
	parked *session
	timer  *time.Timer // ends parked
}

// NewPool makes a Pool that keeps nothing yet.
func NewPool() *Pool { return &Pool{} }

// Drop ends the connection that is kept, if any: the machine slept, or the
// network has changed. It does not wait for the network.
func (p *Pool) Drop() {
	if s := p.take(); s != nil {
		s.close()
	}
}

// Close is Drop, and nothing is kept from then on.
func (p *Pool) Close() {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.Drop()
}

// park keeps a session; false if it must be closed.
func (p *Pool) park(s *session) bool {
	if p == nil || !s.atRest() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.parked != nil {
		return false
	}
	p.parked = s
	p.timer = time.AfterFunc(parkTime, func() { p.expire(s) })
	return true
}

// expire ends a session that nobody came for.
func (p *Pool) expire(s *session) {
	p.mu.Lock()
	mine := p.parked == s
	if mine {
		p.parked = nil
	}
	p.mu.Unlock()
	if mine {
		s.close()
	}
}

// take gives the session that is kept, or nil. It may be dead.
func (p *Pool) take() *session {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.parked
	if s != nil {
		p.timer.Stop()
		p.parked = nil
	}
	return s
}

// atRest prepares a session to be kept: false if something is under way, or
// it cannot leave its mailbox. The buffers for bodies are let go.
func (s *session) atRest() bool {
	if s.dead || s.parked != nil || len(s.errands) > 0 || len(s.queue) > 0 {
		return false
	}
	quiet, selected := s.wire.AtRest()
	if !quiet || selected && !s.has("UNSELECT") {
		return false
	}
	s.inbox.close()
	s.inbox.empty()
	*s = session{
		link: s.link, caps: s.caps, ear: s.ear, inbox: newInbox(), uncompressed: s.uncompressed, base: s.base,
		doubtQuick: s.doubtQuick, hidesNext: s.hidesNext, parked: &parking{},
	}
	if selected {
		// Its answer is not waited for before the session is used again.
		s.parked.leaving = s.client.Unselect()
	}
	s.ear.follow(nil)
	return true
}

// A parking is what is to be known of a session that was parked, until it has
// proved to be alive.
type parking struct {
	leaving *imapclient.Command // UNSELECT; nil if nothing was selected
	late    *time.Timer         // ends the session where no answer comes; nil before it was asked
}

// unpark takes over the session that the pool keeps, if it is not known to be
// dead.
func (a *Account) unpark() *session {
	s := a.opt.Pool.take()
	if s == nil {
		return nil
	}
	if s.wire.Err() != nil || s.wire.Bye() != "" {
		s.close()
		return nil
	}
	s.ear.follow(a.opt.Trace)
	s.base = s.wire.Stats()
	s.wire.TakeGlobalIDs()
	s.wire.TakeNoBody()
	s.wire.TakeBadNames()
	s.wire.TakeModified()
	s.wire.TakeMailboxIDs()
	s.ear.takeCopied()
	return s
}

// awaken has a session that was parked prove that it is alive. Ahead of a
// survey the question travels along with it, and the answers tell.
func (a *Account) awaken(ctx context.Context, s *session) bool {
	soon, cancel := context.WithTimeout(ctx, proveTime)
	defer cancel()
	asked := &wire.Call{Command: "NOOP"}
	err := s.await(soon, func() error {
		if leaving := s.parked.leaving; leaving != nil {
			if err := leaving.Wait(); err != nil {
				return err
			}
		}
		if err := s.wire.Send(a.surveying, asked); err != nil || a.surveying {
			return err
		}
		_, err := s.wire.Wait(asked)
		if refused := (*wire.Refused)(nil); errors.As(err, &refused) {
			return nil // that is an answer, too
		}
		return err
	})
	switch {
	case err != nil:
		return false
	case !a.surveying:
		s.parked = nil
		return true
	}
	s.parked.late = time.AfterFunc(proveTime, func() {
		if !asked.Answered() {
			s.wire.Kill()
		}
	})
	return true
}

// died tells that a connection that was kept did not answer.
func (p *Pool) died() {
	if p != nil && p.Died != nil {
		p.Died()
	}
}

// answered notes that a session that was parked has proved to be alive.
func (s *session) answered() {
	if s.parked != nil {
		s.parked.stop()
		s.parked = nil
	}
}

func (p *parking) stop() {
	if p != nil && p.late != nil {
		p.late.Stop()
	}
}

// first is retry for a survey, which changes nothing and so may be the first
// on a connection that was parked. If that is dead, another takes its place.
func (a *Account) first(ctx context.Context, f func(*session) error) error {
	if a.session == nil || a.session.parked == nil {
		return a.retry(ctx, f)
	}
	a.surveying = true
	err := a.use(ctx, f)
	a.surveying = false
	if isLost(err) {
		return a.retry(ctx, f)
	}
	return err
}
