package imap

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Options say which account is opened and how.
type Options struct {
	Endpoint Endpoint
	Username string
	// Password is asked for before each login, also when a lost connection is
	// replaced.
	Password func(context.Context) (string, error)
	// Connections is how many connections a Watch, or an Account, may have open
	// at once, at least 1. An Account uses more than one in pulls only, where
	// that was measured to help, at most eight, and none with a Meter.
	Connections int
	// Shared brings the mailboxes of other users and shared ones into scope
	// (RFC 2342); otherwise they are not even listed.
	Shared bool
	// Compress asks for COMPRESS=DEFLATE (RFC 4978) after each login. Where the
	// server has it not, or declines, the connection does without: see
	// Account.Compression.
	Compress bool
	// Meter, if not nil, limits how many bytes a second pass over the
	// connections of all that share it.
	Meter *wire.Meter
	// Pool, if not nil, keeps the connection when the Account is closed, and
	// gives it to the next one that is opened.
	Pool *Pool
	// Clock tells how long a connection was idle; nil is the system's.
	Clock plan.Clock
	// Spool is the directory for temporary files of large messages; "" is the
	// system's.
	Spool string
	// IdleTimeout is how long the server may be silent while an answer is due;
	// 0 is wire.DefaultIdleTimeout.
	IdleTimeout time.Duration
	// Trace, if not nil, is told every line of the protocol, without secrets
	// and bodies; see wire.Options.
	Trace func(dir, line string)
}

// idleCheck is how long a connection may be idle before it is tried with a
// NOOP: what is sent into a dead one might or might not have arrived.
const idleCheck = time.Minute

// maxLosses is how many connections an Account may lose before it gives up.
const maxLosses = 12

// An Account is the mail of one user on a server, opened for one run. It
// fulfils engine.Writer.
type Account struct {
	opt     Options
	session *session
	losses  int
	// unwelcome is set once the server wants the account to come back later:
	// nothing is sent any more.
	unwelcome error
	// announced are the Fetches that were announced, in this order.
	announced []*fetching
	stats     Stats // of connections that are gone
	crew      *crew // other connections, for pulls; nil if there may be none

	// batches is held by a batch while it does anything: one may be filled
	// while the one before it is committed.
	batches sync.Mutex
	spare   [][]byte // buffers of APPENDs that were answered; see parcels

	names *names
	// surveyed: names is what the server told, not a guess.
	surveyed bool
	boxes    map[mail.BoxID]mail.MailboxName
	views    map[string]*view // by the server's name
	refused  []Refused
	met      meeting // see Server
	// uncompressed tells why compression was asked for in vain, the last time.
	uncompressed string
	surveying    bool // see first

	expected []plan.Expected // see ExpectScans
	resolving
}

// Stats counts what an Account cost.
type Stats struct {
	// Read and Written are bytes inside TLS, as they travel; PlainRead and
	// PlainWritten are what they were without compression.
	Read, Written, PlainRead, PlainWritten int64

	Commands    map[string]int // by name
	Connections int            // logins
	RoundTrips  int            // see wire.Stats; without those of TCP and TLS
}

// A Refused is a mailbox that the server lists and that takes no part,
// because its name cannot be translated there and back.
type Refused struct {
	Name   string // as the server spells it
	Reason string
}

// A view is what this run knows of one mailbox.
type view struct {
	validity uint32
	// next is a bound: every message with a lower UID has been seen by the
	// survey or the last scan. 0 if not known.
	next uint32
	// count is the number of messages in the survey, if counted; a scan or a
	// change makes it worthless.
	count   uint32
	counted bool
	// mine are the UIDs from next on that this run has made.
	mine map[uint32]bool
	top  uint32 // the highest of mine
	// seen is the modseq as of which the flags were last seen, 0 if not known;
	// changed are the messages whose flags this run has changed since.
	seen      uint64
	changed   map[uint32]bool
	container bool
	role      mail.Role
	rights    plan.Rights
	limit     uint32 // see mark
	// perm are the flags that can be stored, known after a SELECT.
	perm *permanent
	// empty: the survey saw no message in it, at this mark, and nothing was
	// done to it since.
	empty mark
}

// Open connects and logs in, unless the Pool has a connection. Its errors are mail.Faults of the account.
func Open(ctx context.Context, opt Options) (*Account, error) {
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	a := &Account{opt: opt, names: newNames(opt.Shared), boxes: map[mail.BoxID]mail.MailboxName{}, views: map[string]*view{}}
	a.crew = newCrew(a)
	if _, err := a.connected(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// Close ends the connections, or has the Pool keep the first. It does not wait
// for the network.
func (a *Account) Close() error {
	a.crew.close()
	s := a.session
	if s == nil {
		return nil
	}
	cost := s.cost()
	if a.heed(s); a.unwelcome != nil || !a.opt.Pool.park(s) {
		// LOGOUT would be polite, and would have to be waited for.
		a.drop()
		return nil
	}
	a.session = nil
	a.stats.add(cost)
	return nil
}

// Bind implements engine.Side.
func (a *Account) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		a.boxes[id] = name
	}
}

// Refused lists the mailboxes that the last Survey had to leave out.
func (a *Account) Refused() []Refused { return a.refused }

// Compression tells whether the connection is compressed, and, where that was
// asked for in vain, why it is not.
func (a *Account) Compression() (on bool, why string) {
	return a.opt.Compress && a.uncompressed == "", a.uncompressed
}

// Stats tells what the account cost so far.
func (a *Account) Stats() Stats {
	sum := a.stats
	sum.Commands = map[string]int{}
	for name, n := range a.stats.Commands {
		sum.Commands[name] += n
	}
	if a.session != nil {
		sum.add(a.session.cost())
	}
	a.crew.cost(&sum)
	return sum
}

func (s *Stats) add(w wire.Stats) {
	s.Read += w.Read
	s.Written += w.Written
	s.PlainRead += w.PlainRead
	s.PlainWritten += w.PlainWritten
	s.RoundTrips += w.RoundTrips
	if s.Commands == nil {
		s.Commands = map[string]int{}
	}
	for name, n := range w.Commands {
		s.Commands[name] += n
	}
}

// drop ends the connection; the next use makes another.
func (a *Account) drop() {
	s := a.session
	a.session = nil
	a.forget() // what was looked at over this connection
	s.close()
	a.stats.add(s.cost())
}

// cost is what a session cost this Account.
func (s *session) cost() wire.Stats {
	c := s.wire.Stats()
	c.Read -= s.base.Read
	c.Written -= s.base.Written
	c.PlainRead -= s.base.PlainRead
	c.PlainWritten -= s.base.PlainWritten
	c.RoundTrips -= s.base.RoundTrips
	for name, n := range s.base.Commands {
		if c.Commands[name] -= n; c.Commands[name] == 0 {
			delete(c.Commands, name)
		}
	}
	return c
}

// connected gives the session, and makes one if there is none.
func (a *Account) connected(ctx context.Context) (*session, error) {
	a.heed(a.session)
	if a.unwelcome != nil && ctx.Err() == nil {
		return nil, a.unwelcome
	}
	if s := a.session; s != nil && (s.dead || !a.alive(ctx, s)) {
		if s.parked != nil && ctx.Err() == nil {
			a.opt.Pool.died()
		}
		a.drop()
	}
	if a.session != nil {
		return a.session, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if a.losses > maxLosses {
		return nil, accountFault(mail.ClassNetwork,
			fmt.Errorf("%d connections with %s were lost", a.losses, a.opt.Endpoint.Host), "try again later")
	}
	if s := a.unpark(); s != nil {
		a.session, s.used, a.uncompressed = s, a.opt.Clock(), s.uncompressed
		return s, nil
	}
	s, err := a.login(ctx)
	if err != nil {
		a.losses++
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	a.session, s.used, a.uncompressed = s, a.opt.Clock(), s.uncompressed
	a.stats.Connections++
	return s, nil
}

// alive tells whether a connection that was idle is of use still.
func (a *Account) alive(ctx context.Context, s *session) bool {
	if s.parked != nil {
		return a.awaken(ctx, s)
	}
	if len(s.errands) > 0 {
		return true // the answers that come, or do not, will tell
	}
	if a.opt.Clock().Sub(s.used) < idleCheck {
		return true
	}
	return s.await(ctx, func() error { return s.client.Noop().Wait() }) == nil
}

// use calls f with a session on which nothing is under way. See borrow.
func (a *Account) use(ctx context.Context, f func(*session) error) error {
	return a.useFor(ctx, nil, f)
}

// useFor is use by whoever waits for the answers to fl, if that was sent ahead.
func (a *Account) useFor(ctx context.Context, fl errand, f func(*session) error) error {
	a.expected = nil
	return a.borrow(ctx, fl, func(s *session) error {
		if err := s.ground(); err != nil {
			return err
		}
		return f(s)
	})
}

// borrow calls f with a session. It kills the connection when the context ends,
// and lets go of one that an error shows to be lost.
func (a *Account) borrow(ctx context.Context, fl errand, f func(*session) error) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	s, err := a.cleared(ctx, fl)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.wire.Kill() })
	err = f(s)
	s.used = a.opt.Clock()
	ended := !stop()
	if ended || ctx.Err() != nil {
		a.drop()
		return context.Cause(ctx)
	}
	a.heed(s)
	switch {
	case err == nil || !isLoss(err):
		s.answered()
	case a.session == s:
		err = a.lost(s, err)
	}
	return a.heeded(err)
}

// lost lets go of a session that failed with err.
func (a *Account) lost(s *session, err error) error {
	var already *lossError
	if errors.As(err, &already) {
		return err
	}
	why := s.explainLoss(a.opt.Endpoint.Host, err)
	if s.parked != nil {
		a.opt.Pool.died()
	} else {
		a.losses++
	}
	a.heed(s)
	a.drop()
	if a.unwelcome != nil {
		return a.unwelcome
	}
	return &lossError{why}
}

// retry is use for what can be repeated: a connection that is lost is
// replaced and f called again, three times in all.
func (a *Account) retry(ctx context.Context, f func(*session) error) error {
	return repeat(func() error { return a.use(ctx, f) })
}

// again is retry for what knows of what was sent ahead.
func (a *Account) again(ctx context.Context, f func(*session) error) error {
	return repeat(func() error { return a.borrow(ctx, nil, f) })
}

func repeat(f func() error) error {
	for try := 1; ; try++ {
		err := f()
		var loss *lossError
		if err == nil || !errors.As(err, &loss) || try == 3 {
			return err
		}
	}
}

// wireName gives the server's name of a mailbox that was bound.
func (a *Account) wireName(box mail.BoxID) (string, error) {
	name, ok := a.boxes[box]
	if !ok {
		return "", fmt.Errorf("mailbox number %d was never bound", box)
	}
	return a.names.wire(name)
}

func (a *Account) view(wire string) *view {
	v := a.views[wire]
	if v == nil {
		v = &view{}
		a.views[wire] = v
	}
	return v
}

// ended lets go of a session whose connection was found to have ended with err
// outside of use.
func (a *Account) ended(s *session, err error) error {
	if a.session == s {
		return a.lost(s, err)
	}
	var already *lossError
	if errors.As(err, &already) {
		return err
	}
	return &lossError{err}
}

// ownSince counts the messages from UID next on that this run has made.
func (v *view) ownSince(next uint32) (n uint32) {
	for uid := range v.mine {
		if uid >= next {
			n++
		}
	}
	return n
}

// own remembers that this run made a message.
func (v *view) own(uid uint32) {
	v.top = max(v.top, uid)
	if v.mine == nil {
		v.mine = map[uint32]bool{}
	}
	v.mine[uid] = true
	v.counted = false
}
