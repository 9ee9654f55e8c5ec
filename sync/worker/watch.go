package worker

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Watch tells of changes on one side of an account.
type Watch struct {
	Name string
	Why  Trigger // of the runs it makes
	// Run watches until ctx ends, or an error says why it cannot go on; then
	// it is begun again after a pause. It must notice by itself when what it
	// listens to has died.
	Run func(ctx context.Context, w Watching) error
}

// A Watching is what a watch tells, and is told. Its functions never block.
type Watching struct {
	// Up says that from now on all changes are told. A run follows, for what
	// came before. note is for people; see WatchStatus.
	Up func(note string)
	// Changed says that something changed.
	Changed func()
	// Doubt tells that what the watch listens to may have died without a word:
	// a watch of the server finds out at once, and ends with an error if so.
	Doubt <-chan struct{}
}

// A watcher keeps a watch going.
type watcher struct {
	w       *Worker
	watch   Watch
	backoff Backoff
	first   sync.Once     // see settled
	doubt   chan struct{} // see Watching.Doubt

	mu      sync.Mutex
	cancel  context.CancelCauseFunc // of the watch, or the pause, that is going on
	due     bool                    // renew was called, and nothing has begun since
	pausing bool                    // it is a pause
	up      bool                    // changes are told
	err     error                   // why it ended, during a pause
	doubted time.Time               // when doubt was told last
}

// proven is how long a watch must have been up for what went before to be
// forgotten: one that comes up and fails at once, over and over, is begun anew
// more and more seldom.
const proven = time.Minute

// doubtful is how long after a doubt the end of a watch is taken for what was
// in doubt.
const doubtful = 30 * time.Second

func newWatcher(w *Worker, watch Watch) *watcher {
	w.status.Watches = append(w.status.Watches, WatchStatus{Name: watch.Name})
	return &watcher{
		w: w, watch: watch, backoff: Backoff{Jitter: w.opt.Jitter}, doubt: make(chan struct{}, 1),
	}
}

// run watches until ctx ends.
func (x *watcher) run(ctx context.Context) {
	defer x.settled()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		err, renewed := x.once(ctx)
		if renewed {
			x.down(nil)
		}
		if ctx.Err() != nil || renewed {
			continue
		}
		if err == nil {
			err = errors.New("the watch ended")
		}
		x.down(err)
		x.settled()
		again, stop := x.renewable(ctx, true)
		pause.Reset(x.backoff.Next(err))
		select {
		case <-again.Done():
		case <-pause.C:
			if x.watch.Why == ByRemote && x.w.barred() {
				<-again.Done() // the password is tried by runs alone; see conclude
			}
		}
		stop()
	}
}

// once watches once. renewed: it was told to begin anew.
func (x *watcher) once(ctx context.Context) (err error, renewed bool) {
	own, stop := x.renewable(ctx, false)
	defer stop()
	var up time.Time
	err = x.watch.Run(own, Watching{
		Up: func(note string) {
			if up.IsZero() {
				up = time.Now()
			}
			x.isUp(note)
		},
		Changed: func() { x.w.Trigger(x.watch.Why) },
		Doubt:   x.doubt,
	})
	if !up.IsZero() && time.Since(up) >= proven {
		x.backoff.Reset()
	}
	return err, errors.Is(context.Cause(own), errWoke)
}

// isUp notes that changes are told, and has a run made for those that came
// before. A server that can be watched can be used as well: a pause because it
// could not be reached is over.
func (x *watcher) isUp(note string) {
	x.mu.Lock()
	x.up = true
	x.mu.Unlock()
	x.tell(func(s *WatchStatus) {
		if !s.Up {
			s.Since = x.w.opt.Clock()
		}
		s.Up, s.Err, s.Note = true, nil, note
	})
	if x.watch.Why == ByRemote {
		x.w.reachable()
	}
	x.w.Trigger(x.watch.Why)
	x.settled()
}

// down notes that no changes are told. Where the connection was in doubt, and
// is dead, so is that of a run under way.
func (x *watcher) down(err error) {
	x.mu.Lock()
	dead := x.up && ofNetwork(err) && time.Since(x.doubted) < doubtful
	x.up, x.err = false, err
	x.mu.Unlock()
	if dead {
		x.w.restart()
	}
	x.tell(func(s *WatchStatus) {
		if s.Up || s.Since.IsZero() {
			s.Since = x.w.opt.Clock()
		}
		s.Up, s.Err, s.Note = false, err, ""
	})
}

// settled tells that it is known for the first time how the watch stands.
func (x *watcher) settled() { x.first.Do(func() { x.w.settled() }) }

// endPause makes a watch that waits to be begun anew begin now.
func (x *watcher) endPause() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pausing {
		x.cancel(errWoke)
	}
}

// renewable gives a context that renew ends. A pause is ended by a renew that
// came before it, too.
func (x *watcher) renewable(ctx context.Context, pause bool) (context.Context, func()) {
	own, cancel := context.WithCancelCause(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	if pause && x.due {
		cancel(errWoke)
	}
	x.cancel, x.due, x.pausing = cancel, false, pause
	if !pause {
		x.up, x.err = false, nil
		select {
		case <-x.doubt: // that was of another connection
		default:
		}
	}
	return own, func() { cancel(nil) }
}

// renew makes the watch begin anew, unless it waits for another password: that
// is tried by runs alone.
func (x *watcher) renew() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil && mail.ClassOf(x.err) == mail.ClassAuth {
		return
	}
	x.due = true
	if x.cancel != nil {
		x.cancel(errWoke)
	}
}

// ofNetwork tells whether an error may be over when the network is another:
// also one of TLS, which is how a portal that wants a password first looks.
func ofNetwork(err error) bool {
	if err == nil {
		return false
	}
	c := mail.ClassOf(err)
	return c == mail.ClassNetwork || c == mail.ClassTLS
}

// suspect has a watch that is up find out whether it is alive.
func (x *watcher) suspect() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.up && x.watch.Why == ByRemote {
		x.doubted = time.Now()
		select {
		case x.doubt <- struct{}{}:
		default: // it has been told, and has not got to it
		}
	}
}

// reconnect is suspect where the network has changed: a watch that is not up
// because of the network that was, or is just coming up over it, begins anew.
// It is false where such a watch is not up.
func (x *watcher) reconnect() bool {
	x.suspect()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.watch.Why == ByRemote && !x.up && x.cancel != nil && (x.err == nil || ofNetwork(x.err)) {
		x.due = true
		x.cancel(errWoke)
	}
	return x.up || x.watch.Why != ByRemote
}

func (x *watcher) tell(change func(*WatchStatus)) {
	x.w.set(func(s *Status) {
		for i := range s.Watches {
			if s.Watches[i].Name == x.watch.Name {
				change(&s.Watches[i])
			}
		}
	})
}
