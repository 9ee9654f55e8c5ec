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

	mu     sync.Mutex
	cancel context.CancelCauseFunc // of the watch that is going on
}

func newWatcher(w *Worker, watch Watch) *watcher {
	w.status.Watches = append(w.status.Watches, WatchStatus{Name: watch.Name})
	return &watcher{w: w, watch: watch, backoff: Backoff{Jitter: w.opt.Jitter}}
}

// run watches until ctx ends.
func (x *watcher) run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for ctx.Err() == nil {
		err, renewed := x.once(ctx)
		if ctx.Err() != nil || renewed {
			continue
		}
		if err == nil {
			err = errors.New("the watch ended")
		}
		x.tell(func(s *WatchStatus) { s.Up, s.Err, s.Since, s.Note = false, err, x.w.opt.Clock(), "" })
		again, stop := x.renewable(ctx)
		pause.Reset(x.backoff.Next(err))
		select {
		case <-again.Done():
		case <-pause.C:
		}
		stop()
	}
}

// once watches once. renewed: it was told to begin anew.
func (x *watcher) once(ctx context.Context) (err error, renewed bool) {
	own, stop := x.renewable(ctx)
	defer stop()
	x.tell(func(s *WatchStatus) { s.Up, s.Since = false, x.w.opt.Clock() })
	err = x.watch.Run(own, Watching{
		Up: func(note string) {
			x.backoff.Reset()
			x.tell(func(s *WatchStatus) { s.Up, s.Err, s.Since, s.Note = true, nil, x.w.opt.Clock(), note })
			x.w.Trigger(x.watch.Why)
		},
		Changed: func() { x.w.Trigger(x.watch.Why) },
	})
	return err, context.Cause(own) == errWoke
}

// renewable gives a context that renew ends.
func (x *watcher) renewable(ctx context.Context) (context.Context, func()) {
	own, cancel := context.WithCancelCause(ctx)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancel = cancel
	return own, func() { cancel(nil) }
}

// renew makes the watch begin anew.
func (x *watcher) renew() {
	x.mu.Lock()
	defer x.mu.Unlock()
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
