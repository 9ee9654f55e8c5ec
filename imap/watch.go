package imap

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

const (
	// probeEvery is how often a connection that only listens is spoken on: well
	// within the 29 minutes of RFC 2177, and before NAT forgets it. It also is
	// how long the death of a connection may go unnoticed.
	probeEvery = time.Minute
	// probeTime is how long the answer may take, doubtTime where there is reason
	// to think that none will come.
	probeTime = 15 * time.Second
	doubtTime = 10 * time.Second
	// askAfter is how long after the last news the server is asked whether there
	// is more: Dovecot 2.3 now and then forgets a change that comes while it
	// tells of another, until a command makes it look, or half a minute is over.
	askAfter = time.Second
)

// A News says what a watch heard.
type News struct {
	Mailbox string // as the server spells it; "" if it did not say
}

// A Watching is what a Watch tells, and is told.
type Watching struct {
	// Up is called once all is watched, with a note for people where that is
	// not everything that was asked for; Changed for each change, perhaps by
	// several goroutines. Neither may block.
	Up      func(note string)
	Changed func(News)
	// Doubt, if not nil, tells that the connections may have died without a
	// word: each is asked at once, and one that does not answer within seconds ends
	// the Watch.
	Doubt <-chan struct{}
}

// Watch tells of changes on the server until ctx ends or an error ends it. With NOTIFY (RFC 5465) one connection watches all
// mailboxes; else IDLE (RFC 2177) watches those in boxes, each on a connection
// of its own, at most Options.Connections of them. A server that has
// neither is not watched: the note says so, and Watch waits for ctx to end. The
// error is never nil.
func Watch(ctx context.Context, opt Options, boxes []mail.MailboxName, tell Watching) error {
	w := &watch{opt: opt, tell: tell, every: probeEvery, patience: probeTime, haste: doubtTime, askAfter: askAfter}
	return w.run(ctx, boxes)
}

// run is Watch.
func (w *watch) run(ctx context.Context, boxes []mail.MailboxName) error {
	ctx, cancel := context.WithCancel(ctx)
	var pass sync.WaitGroup
	defer pass.Wait()
	defer cancel()
	pass.Go(func() { w.passDoubt(ctx) })
	up := w.tell.Up
	first, err := w.open(ctx)
	if err != nil {
		return err
	}
	defer first.Close()
	watched, err := w.notify(ctx, first)
	switch {
	case err != nil:
		return err
	case watched:
		up("")
		return w.listen(ctx, first)
	case !first.session.has(goimap.CapIdle):
		first.Close()
		up("the server has neither NOTIFY nor IDLE: what changes there is seen by schedule")
		<-ctx.Done()
		return context.Cause(ctx)
	}
	return w.idleAll(ctx, first, boxes)
}

// A watch is one Watch under way.
type watch struct {
	opt      Options
	tell     Watching
	every    time.Duration // see probeEvery
	patience time.Duration // see probeTime
	haste    time.Duration // see doubtTime
	askAfter time.Duration

	mu        sync.Mutex
	listeners []*listener // all that are open
}

// passDoubt passes doubts on to all connections until ctx ends.
func (w *watch) passDoubt(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.tell.Doubt:
		}
		w.mu.Lock()
		for _, l := range w.listeners {
			select {
			case l.doubt <- struct{}{}:
			default:
			}
		}
		w.mu.Unlock()
	}
}

// A listener is an Account that is listened on.
type listener struct {
	*Account
	armed atomic.Bool   // what is heard from now on is news
	heard chan struct{} // that there was some
	doubt chan struct{} // whether it is alive
}

// open logs in on a connection that is listened on.
func (w *watch) open(ctx context.Context) (*listener, error) {
	l := &listener{heard: make(chan struct{}, 1), doubt: make(chan struct{}, 1)}
	opt := w.opt
	opt.Pool = nil // these listen as long as they live
	opt.Trace = func(dir, line string) {
		if w.opt.Trace != nil {
			w.opt.Trace(dir, line)
		}
		if dir == "S" && l.armed.Load() {
			if n, ok := newsOf(line); ok {
				w.tell.Changed(n)
				select {
				case l.heard <- struct{}{}:
				default:
				}
			}
		}
	}
	var err error
	if l.Account, err = Open(ctx, opt); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners = append(w.listeners, l)
	return l, nil
}

// newsOf reads an untagged response that says that something changed: in the
// selected mailbox, or, by NOTIFY, in any.
func newsOf(line string) (News, bool) {
	rest, ok := strings.CutPrefix(line, "* ")
	if !ok {
		return News{}, false
	}
	word, rest, _ := strings.Cut(rest, " ")
	switch strings.ToUpper(word) {
	case "VANISHED":
		return News{}, true
	case "STATUS":
		return News{Mailbox: mailboxOf(rest)}, true
	case "LIST", "LSUB":
		return News{}, true
	case "OK":
		// What is too much to tell is not told (RFC 5465, section 5.8).
		return News{}, strings.HasPrefix(strings.ToUpper(rest), "[NOTIFICATIONOVERFLOW")
	}
	kind, _, _ := strings.Cut(rest, " ")
	switch strings.ToUpper(kind) {
	case "EXISTS", "EXPUNGE", "FETCH":
		return News{}, true
	}
	return News{}, false
}

// mailboxOf reads the name that a STATUS response begins with, for people.
func mailboxOf(rest string) string {
	if !strings.HasPrefix(rest, `"`) {
		name, _, _ := strings.Cut(rest, " ")
		return name
	}
	name, _, _ := strings.Cut(rest[1:], `"`)
	return name
}

// notify asks to be told of all mailboxes. It is false where the server does
// not do that. Flags are asked for as well, which a server may not tell (RFC
// 5465, section 5.5); then it is asked for the rest.
func (w *watch) notify(ctx context.Context, l *listener) (watched bool, err error) {
	s := l.session
	if !s.has("NOTIFY") {
		return false, nil
	}
	for _, events := range []string{"MessageNew MessageExpunge FlagChange MailboxName", "MessageNew MessageExpunge MailboxName"} {
		l.armed.Store(true)
		err := w.within(ctx, s, w.patience, func() error {
			call := &wire.Call{Command: "NOTIFY SET (personal (" + events + "))"}
			if err := s.wire.Send(false, call); err != nil {
				return err
			}
			_, err := s.wire.Wait(call)
			return err
		})
		var refused *wire.Refused
		if !errors.As(err, &refused) {
			return err == nil, err
		}
		l.armed.Store(false)
	}
	return false, nil
}

// listen waits for news on a connection that tells them by itself, and speaks
// on it now and then, and after news.
func (w *watch) listen(ctx context.Context, l *listener) error {
	s := l.session
	timer := time.NewTimer(w.every)
	defer timer.Stop()
	for {
		patience := w.patience
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.client.Closed():
			return s.explainLoss(w.opt.Endpoint.Host, s.wire.Err())
		case <-l.heard:
			timer.Reset(w.askAfter)
			continue
		case <-timer.C:
		case <-l.doubt:
			patience = w.haste
		}
		timer.Reset(w.every)
		if err := w.within(ctx, s, patience, func() error { return s.client.Noop().Wait() }); err != nil {
			return err
		}
	}
}

// within does what has to be answered soon; else the connection is dead.
func (w *watch) within(ctx context.Context, s *session, patience time.Duration, do func() error) error {
	late := make(chan struct{})
	timer := time.AfterFunc(patience, func() {
		close(late)
		s.wire.Kill()
	})
	defer timer.Stop()
	err := s.await(ctx, do)
	select {
	case <-late:
		return accountFault(mail.ClassNetwork, fmt.Errorf("%s did not answer for %v", w.opt.Endpoint.Host, patience), "")
	default:
	}
	var refused *wire.Refused
	if err == nil || ctx.Err() != nil || errors.As(err, &refused) || !isLoss(err) {
		return refusal(mail.GradeMailbox, err)
	}
	return s.explainLoss(w.opt.Endpoint.Host, err)
}

// idleAll watches some mailboxes, each on a connection of its own.
func (w *watch) idleAll(ctx context.Context, first *listener, boxes []mail.MailboxName) error {
	if len(boxes) == 0 {
		boxes = []mail.MailboxName{mail.Inbox}
	}
	most := max(1, w.opt.Connections)
	g, gctx := errgroup.WithContext(ctx)
	var ready sync.WaitGroup
	ready.Add(min(len(boxes), most))
	for i, box := range boxes[:min(len(boxes), most)] {
		g.Go(func() error {
			l := first
			if i > 0 {
				var err error
				if l, err = w.open(gctx); err != nil {
					ready.Done()
					return err
				}
				defer l.Close()
			}
			return w.idle(gctx, l, box, sync.OnceFunc(ready.Done))
		})
	}
	g.Go(func() error {
		ready.Wait()
		if gctx.Err() == nil {
			w.tell.Up(unwatched(boxes[min(len(boxes), most):]))
		}
		return nil
	})
	return g.Wait()
}

// unwatched tells of mailboxes for which there are no connections.
func unwatched(boxes []mail.MailboxName) string {
	if len(boxes) == 0 {
		return ""
	}
	names := make([]string, len(boxes))
	for i, b := range boxes {
		names[i] = string(b)
	}
	return fmt.Sprintf("%s not watched: raise connections; what changes there is seen by schedule", strings.Join(names, ", "))
}

// idle watches one mailbox.
func (w *watch) idle(ctx context.Context, l *listener, box mail.MailboxName, ready func()) error {
	defer ready()
	if _, err := l.Survey(ctx, nil); err != nil { // teaches how names are spelt
		return err
	}
	name, err := l.names.wire(box)
	if err != nil {
		return err
	}
	s := l.session
	if s == nil {
		return accountFault(mail.ClassNetwork, errors.New("the connection was lost"), "")
	}
	if err := w.within(ctx, s, w.patience, func() error { _, err := s.open(name, false); return err }); err != nil {
		return refusal(mail.GradeMailbox, err)
	}
	l.armed.Store(true)
	for {
		if err := w.idleOnce(ctx, l, ready); err != nil {
			return err
		}
	}
}

// idleOnce idles until it is time to begin anew.
func (w *watch) idleOnce(ctx context.Context, l *listener, ready func()) error {
	s := l.session
	var end func() error
	err := w.within(ctx, s, w.patience, func() error {
		cmd, err := s.client.Idle()
		if err == nil {
			end = func() error { return errors.Join(cmd.Close(), cmd.Wait()) }
		}
		return err
	})
	if err != nil {
		return err
	}
	ready()
	timer := time.NewTimer(w.every)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			s.wire.Kill()
			_ = end()
			return context.Cause(ctx)
		case <-s.client.Closed():
			_ = end()
			return s.explainLoss(w.opt.Endpoint.Host, s.wire.Err())
		case <-l.heard:
			timer.Reset(w.askAfter)
		case <-timer.C:
			return w.within(ctx, s, w.patience, end)
		case <-l.doubt:
			return w.within(ctx, s, w.haste, end)
		}
	}
}
