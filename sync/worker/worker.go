package worker

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// Options is all that a worker is made of.
type Options struct {
	Account string
	// Run runs the account once. It ends soon when ctx does.
	Run func(ctx context.Context, why Trigger) Result
	// Watches tell of changes while the worker lives.
	Watches []Watch
	// Schedule, if not nil, makes runs by the wall clock.
	Schedule Schedule
	// Backstop is after how long without any run one is made all the same;
	// 0 for never.
	Backstop time.Duration
	// LastOK is when the account was last in step before; zero if it is not known.
	LastOK time.Time
	// Clock is the wall clock; nil is the system's.
	Clock func() time.Time
	// Jitter gives numbers in [0, 1); nil is a random source.
	Jitter func() float64
	// Changed, if not nil, is called after each change of Status, from one
	// goroutine at a time. It must not block.
	Changed func(Status)
}

// A Result is how a run ended.
type Result struct {
	// Err is what went wrong, nil if nothing did. Its class sets the pause
	// (see Backoff).
	Err error
	// Partial: the account works, and something in it did not. It is tried
	// again after the pause, but whatever triggers a run meanwhile is heard.
	Partial bool
}

// startPatience is how long the first run waits for the watches to be up, which
// otherwise would make another one.
const startPatience = 2 * time.Second

// errWoke ends a run whose connections may not have lived through a sleep.
var errWoke = errors.New("the machine slept")

// ErrEnded is what Do returns of a worker that has ended.
var ErrEnded = errors.New("the account's worker has ended")

// A Worker keeps one account in step.
type Worker struct {
	opt   Options
	began time.Time // for the monotonic clock

	// alarm wakes the loop; what for stands below.
	alarm    chan struct{}
	requests chan *request
	ended    chan struct{} // closed when no request is heard any more

	mu        sync.Mutex
	status    Status
	gather    gathering
	backoff   Backoff
	retryAt   time.Time // zero if no retry is due
	blocked   bool      // until retryAt only requests are heard
	lastRun   time.Time // when a run last ended, monotonic
	endRun    context.CancelCauseFunc
	finished  bool      // see Finish
	planned   time.Time // when the schedule is due next, zero for never
	watchers  []*watcher
	turned    time.Time // when keepTime last did
	unsettled int       // watchers of which it is not known yet how they stand
}

// A request is a run that a person asked for.
type request struct {
	run  func(context.Context) Result
	done chan Result
}

// New makes a worker that does nothing yet.
func New(opt Options) *Worker {
	if opt.Clock == nil {
		opt.Clock = time.Now
	}
	if opt.Jitter == nil {
		opt.Jitter = rand.Float64
	}
	w := &Worker{opt: opt, began: time.Now(), alarm: make(chan struct{}, 1), requests: make(chan *request), ended: make(chan struct{})}
	w.backoff.Jitter = opt.Jitter
	w.status = Status{Account: opt.Account, State: Stopped, LastOK: opt.LastOK}
	for i := range opt.Watches {
		w.watchers = append(w.watchers, newWatcher(w, opt.Watches[i]))
	}
	return w
}

// Run keeps the account in step until ctx ends, which ends a run under way as
// well, or Finish is called. It waits for all that it began to end. A worker
// runs once.
func (w *Worker) Run(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var all sync.WaitGroup
	w.set(func(s *Status) {
		s.State = Idle
		if w.unsettled = len(w.watchers); w.unsettled > 0 {
			w.gather.notYet = time.Now().Add(startPatience)
		}
	})
	w.Trigger(AtStart)
	for _, x := range w.watchers {
		all.Go(func() { x.run(ctx) })
	}
	all.Go(func() { w.keepTime(ctx) })
	w.loop(ctx)
	close(w.ended)
	end()
	all.Wait()
	w.set(func(s *Status) { s.State, s.Next = Stopped, time.Time{} })
}

// Status tells how the worker stands.
func (w *Worker) Status() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.snapshot()
}

func (w *Worker) snapshot() Status {
	s := w.status
	s.Watches = slices.Clone(s.Watches)
	return s
}

// set changes the status and tells of it.
func (w *Worker) set(change func(*Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change(&w.status)
	if w.opt.Changed != nil {
		w.opt.Changed(w.snapshot())
	}
}

// Trigger asks for a run soon. It never blocks.
func (w *Worker) Trigger(why Trigger) {
	w.mu.Lock()
	w.gather.add(why, time.Now())
	w.mu.Unlock()
	w.ring()
}

// settled notes that it is known how one more watch stands.
func (w *Worker) settled() {
	w.mu.Lock()
	if w.unsettled--; w.unsettled == 0 {
		w.gather.notYet = time.Time{}
	}
	w.mu.Unlock()
	w.ring()
}

// Finish makes Run return once the run under way, if any, has come to its end.
func (w *Worker) Finish() {
	w.mu.Lock()
	w.finished = true
	w.mu.Unlock()
	w.ring()
}

func (w *Worker) isFinished() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.finished
}

func (w *Worker) ring() {
	select {
	case w.alarm <- struct{}{}:
	default:
	}
}

// Do makes run the account's next run, whatever pause it is in, and returns
// its result, or ctx's error if that ends first. Nothing else runs meanwhile.
func (w *Worker) Do(ctx context.Context, run func(context.Context) Result) Result {
	// The run ends with the one who asked for it, too.
	r := &request{done: make(chan Result, 1)}
	r.run = func(own context.Context) Result {
		both, cancel := context.WithCancelCause(own)
		defer cancel(nil)
		defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
		return run(both)
	}
	select {
	case w.requests <- r:
		return <-r.done
	case <-w.ended:
		return Result{Err: ErrEnded}
	case <-ctx.Done():
		return Result{Err: context.Cause(ctx)}
	}
}

// loop makes the runs.
func (w *Worker) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil && !w.isFinished() {
		select {
		case r := <-w.requests: // however much there is to do
			r.done <- w.once(ctx, ByRequest, r.run)
			continue
		default:
		}
		why, wait := w.next()
		if why != "" {
			w.once(ctx, why, func(ctx context.Context) Result { return w.opt.Run(ctx, why) })
			continue
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
		case <-w.alarm:
		case <-timer.C:
		case r := <-w.requests:
			r.done <- w.once(ctx, ByRequest, r.run)
		}
	}
}

// next says what to run for now, or how long nothing is due.
func (w *Worker) next() (why Trigger, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	wait = time.Hour
	if !w.retryAt.IsZero() {
		left := w.retryAt.Sub(now)
		switch {
		case left <= 0:
			w.gather.take()
			return ByRetry, 0
		case w.blocked:
			return "", left
		}
		wait = left
	}
	if d, ok := w.gather.due(now); ok {
		if d == 0 {
			return w.gather.take(), 0
		}
		return "", min(d, wait)
	}
	return "", wait
}

// once runs, and draws the consequences.
func (w *Worker) once(ctx context.Context, why Trigger, run func(context.Context) Result) Result {
	runCtx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var before Status
	var retryAt time.Time
	w.set(func(s *Status) {
		before, retryAt = *s, w.retryAt
		s.State, s.Why = Running, why
		w.endRun, w.retryAt = end, time.Time{}
	})
	res := run(runCtx)
	w.set(func(s *Status) {
		w.endRun = nil
		if errors.Is(res.Err, context.Canceled) && (why == ByRequest || runCtx.Err() != nil) {
			// Told to end: that says nothing of the account.
			s.State, w.retryAt = before.State, retryAt
			return
		}
		w.conclude(s, res)
	})
	return res
}

// conclude takes over what a run came to. The caller holds the lock.
func (w *Worker) conclude(s *Status, res Result) {
	now := w.opt.Clock()
	w.gather.rested(time.Now())
	w.lastRun = time.Now()
	s.Runs++
	s.Last, s.State, s.Next = now, Idle, w.planned
	if res.Err == nil {
		if s.Failures > 0 {
			for _, x := range w.watchers {
				x.endPause() // what works for a run may work for them
			}
		}
		w.backoff.Reset()
		w.blocked = false
		s.LastOK, s.Err, s.Partial, s.Failures, s.Since = now, nil, false, 0, time.Time{}
		return
	}
	if ofNetwork(res.Err) {
		for _, x := range w.watchers {
			x.suspect() // theirs is the same network
		}
	}
	pause := w.backoff.Next(res.Err)
	w.retryAt, w.blocked = time.Now().Add(pause), !res.Partial
	if s.Failures == 0 {
		s.Since = now
	}
	s.Failures++
	s.Err, s.Partial, s.Next = res.Err, res.Partial, now.Add(pause)
	if w.blocked {
		s.State = Waiting
	}
}

// keepTime looks at the wall clock now and then.
func (w *Worker) keepTime(ctx context.Context) {
	mono := func() time.Duration { return time.Since(w.began) }
	cal := newCalendar(w.opt.Schedule, w.opt.Clock(), mono())
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		w.plan(cal.next)
		// Not later than the schedule's moment, as it looks from here.
		tick.Reset(cal.wait(w.opt.Clock()))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		due, jumped := cal.look(w.opt.Clock(), mono())
		if jumped {
			w.wake()
		}
		if due {
			w.Trigger(BySchedule)
		}
		if w.idleFor() >= w.opt.Backstop && w.opt.Backstop > 0 {
			w.Trigger(ByBackstop)
		}
	}
}

// plan shows when the schedule is due, unless a retry comes first.
func (w *Worker) plan(next time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.turned = time.Now()
	w.planned = next
	if w.retryAt.IsZero() || !w.blocked && !next.IsZero() && next.Before(w.status.Next) {
		w.status.Next = next
	}
}

// Turned is when the worker last showed that it lives: while it runs, it does
// so every few seconds, whatever the account is doing.
func (w *Worker) Turned() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.turned
}

// barred tells whether the server refuses the password.
func (w *Worker) barred() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.blocked && w.status.Class() == mail.ClassAuth
}

// reachable ends a pause that is there because the server could not be used.
func (w *Worker) reachable() {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch w.status.Class() {
	case mail.ClassNetwork, mail.ClassTLS, mail.ClassAuth:
		if !w.retryAt.IsZero() {
			w.retryAt = time.Now()
		}
	}
}

// idleFor is how long no run has ended, 0 while one is under way.
func (w *Worker) idleFor() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endRun != nil || w.lastRun.IsZero() {
		return 0
	}
	return time.Since(w.lastRun)
}
