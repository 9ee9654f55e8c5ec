package worker

import (
	"context"
	"errors"
	"sync"
	"time"
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

// A Watching is what a watch tells. Its functions never block.
type Watching struct {
	// Up says that from now on all changes are told. A run follows, for what
	// came before. note is for people; see WatchStatus.
	Up func(note string)
	// Changed says that something changed.
	Changed func()
}

// A watcher keeps a watch going.
type watcher struct {
	w       *Worker
	watch   Watch
	backoff Backoff
	first   sync.Once // see settled

	mu      sync.Mutex
	cancel  context.CancelCauseFunc // of the watch, or the pause, that is going on
	due     bool                    // renew was called, and nothing has begun since
	pausing bool                    // it is a pause
}

// proven is how long a watch must have been up for what went before to be
// forgotten: one that comes up and fails at once, over and over, is begun anew
// more and more seldom.
const proven = time.Minute

func newWatcher(w *Worker, watch Watch) *watcher {
	w.status.Watches = append(w.status.Watches, WatchStatus{Name: watch.Name})
	return &watcher{w: w, watch: watch, backoff: Backoff{Jitter: w.opt.Jitter}}
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
			x.up(note)
		},
		Changed: func() { x.w.Trigger(x.watch.Why) },
	})
	if !up.IsZero() && time.Since(up) >= proven {
		x.backoff.Reset()
	}
	return err, errors.Is(context.Cause(own), errWoke)
}

// up notes that changes are told, and has a run made for those that came
// before. A server that can be watched can be used as well: a pause because it
// could not be reached is over.
func (x *watcher) up(note string) {
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

// down notes that no changes are told.
func (x *watcher) down(err error) {
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
	return own, func() { cancel(nil) }
}

// renew makes the watch begin anew.
func (x *watcher) renew() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.due = true
	if x.cancel != nil {
		x.cancel(errWoke)
	}
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
