package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// a stage is a worker under a clock that the test moves.
type stage struct {
	*Worker
	mu   sync.Mutex
	runs []string // "trigger@seconds since the beginning"
	t0   time.Time
	off  time.Duration // of the wall clock
	do   func(ctx context.Context, n int, why Trigger) Result
	end  context.CancelFunc
	done chan struct{}
}

// perform runs f with a worker in a bubble of time.
func perform(t *testing.T, change func(*stage, *Options), f func(*stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t0: time.Now(), done: make(chan struct{})}
		s.do = func(context.Context, int, Trigger) Result { return Result{} }
		opt := Options{
			Account: "a", Clock: s.wall, Jitter: func() float64 { return 0.5 },
			Run: func(ctx context.Context, why Trigger) Result {
				s.mu.Lock()
				s.runs = append(s.runs, fmt.Sprintf("%s@%g", why, time.Since(s.t0).Seconds()))
				n, do := len(s.runs), s.do
				s.mu.Unlock()
				return do(ctx, n, why)
			},
		}
		if change != nil {
			change(s, &opt)
		}
		s.Worker = New(opt)
		ctx, end := context.WithCancel(t.Context())
		s.end = end
		go func() { defer close(s.done); s.Run(ctx) }()
		f(s)
		end()
		<-s.done
		if got := s.Status().State; got != Stopped {
			t.Errorf("the worker ended %s", got)
		}
	})
}

func (s *stage) wall() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.off)
}

// jump sets the wall clock.
func (s *stage) jump(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off += d
}

// runsDo says what runs do from now on.
func (s *stage) runsDo(do func(ctx context.Context, n int, why Trigger) Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.do = do
}

// after lets time pass in the bubble: it takes none.
func (s *stage) after(d time.Duration) []string {
	<-time.After(d)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

func want(t *testing.T, got []string, runs ...string) {
	t.Helper()
	if !slices.Equal(got, runs) {
		t.Errorf("runs %v, want %v", got, runs)
	}
}

var errDown = mail.NewFault(mail.GradeAccount, mail.ClassNetwork, errors.New("down"), "")

func TestRunsAtStart(t *testing.T) {
	perform(t, nil, func(s *stage) {
		want(t, s.after(24*time.Hour), "start@0.04")
		if st := s.Status(); st.State != Idle || st.Runs != 1 || st.LastOK.IsZero() || !st.Next.IsZero() {
			t.Errorf("status %+v", st)
		}
	})
}

// A thousand changes in two seconds are a few runs, the first of them soon,
// and the last change is followed by a run.
func TestBurstIsAFewRuns(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result { <-time.After(50 * time.Millisecond); return Result{} })
		s.after(time.Minute)
		begin := time.Since(s.t0).Seconds()
		for range 1000 {
			s.Trigger(ByLocal)
			<-time.After(2 * time.Millisecond)
		}
		last := time.Since(s.t0).Seconds()
		runs := s.after(time.Minute)[1:]
		if len(runs) < 2 || len(runs) > 6 {
			t.Fatalf("%d runs: %v", len(runs), runs)
		}
		var first, end float64
		fmt.Sscanf(runs[0], "maildir@%g", &first)
		fmt.Sscanf(runs[len(runs)-1], "maildir@%g", &end)
		if first-begin > 0.25 || end < last-0.05 {
			t.Errorf("burst from %g to %g, runs at %v", begin, last, runs)
		}
	})
}

func TestSingleChangeRunsAtOnce(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.after(10 * time.Second)
		s.Trigger(ByRemote)
		want(t, s.after(time.Second), "start@0.04", "server@10.01")
	})
}

// What a server tells does not make a run begin in the middle of what a mail
// program does.
func TestServerDoesNotInterruptAMailProgram(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.after(10 * time.Second)
		s.Trigger(ByLocal)
		s.after(5 * time.Millisecond)
		s.Trigger(ByRemote)
		want(t, s.after(time.Second), "start@0.04", "maildir@10.04")
	})
}

// A change during a run makes another one after it.
func TestChangeDuringARun(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(_ context.Context, n int, _ Trigger) Result {
			if n == 1 {
				s.Trigger(ByLocal)
				<-time.After(time.Second)
			}
			return Result{}
		})
		want(t, s.after(time.Minute), "start@0.04", "maildir@1.04")
	})
}

// Failures are followed by pauses that double, up to five minutes, whatever
// else asks for a run; and the number of attempts in a day is small.
func TestPausesAfterFailures(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result { return Result{Err: errDown} })
		runs := s.after(20 * time.Second)
		want(t, runs, "start@0.04", "retry@2.04", "retry@6.04", "retry@14.04")
		st := s.Status()
		if st.State != Waiting || st.Failures != 4 || st.Class() != mail.ClassNetwork || st.Since.Sub(s.t0) != 40*time.Millisecond {
			t.Errorf("status %+v", st)
		}
		for range 100 {
			s.Trigger(ByLocal)
			<-time.After(100 * time.Millisecond)
		}
		if n := len(s.after(24*time.Hour)) - len(runs); n > 24*12+8 || n < 24*12 {
			t.Errorf("%d attempts in a day", n)
		}
		s.runsDo(func(context.Context, int, Trigger) Result { return Result{} })
		s.after(5 * time.Minute)
		if st := s.Status(); st.State != Idle || st.Err != nil || st.Failures != 0 {
			t.Errorf("status after recovery %+v", st)
		}
		n := len(s.runs)
		if got := s.after(time.Hour); len(got) != n {
			t.Errorf("runs after recovery: %v", got[n:])
		}
	})
}

// A wrong password is tried seldom.
func TestWrongPasswordIsNotHammered(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result {
			return Result{Err: mail.NewFault(mail.GradeAccount, mail.ClassAuth, errors.New("no"), "")}
		})
		if n := len(s.after(24 * time.Hour)); n > 10 {
			t.Errorf("%d logins in a day", n)
		}
	})
}

// waitFor is a server that says how long it wants to be left alone.
type waitFor struct {
	error
	wait time.Duration
}

func (w waitFor) Wait() time.Duration { return w.wait }

func TestServerIsLeftAloneAsItAsks(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(_ context.Context, n int, _ Trigger) Result {
			if n == 1 {
				return Result{Err: mail.NewFault(mail.GradeAccount, mail.ClassThrottle, waitFor{errors.New("slow down"), 7 * time.Hour}, "")}
			}
			return Result{}
		})
		want(t, s.after(24*time.Hour), "start@0.04", "retry@25200.04")
	})
}

// Something that fails in one mailbox is tried again, and holds up nothing.
func TestPartialFailureBlocksNothing(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(_ context.Context, n int, _ Trigger) Result {
			return Result{Err: errors.New("one message"), Partial: true}
		})
		s.after(5 * time.Second)
		s.Trigger(ByRemote)
		want(t, s.after(5*time.Second), "start@0.04", "server@5.01")
		if st := s.Status(); st.State != Idle || st.Err == nil {
			t.Errorf("status %+v", st)
		}
	})
}

// A person need not wait for a pause to end.
func TestRequestIsHeardInAPause(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result {
			return Result{Err: mail.NewFault(mail.GradeAccount, mail.ClassAuth, errors.New("no"), "")}
		})
		s.after(time.Minute)
		res := s.Do(context.Background(), func(context.Context) Result { return Result{} })
		if st := s.Status(); res.Err != nil || st.State != Idle || st.Err != nil || st.Why != ByRequest {
			t.Errorf("%v, status %+v", res, st)
		}
		want(t, s.after(24*time.Hour), "start@0.04")
	})
}

// Who asked and goes away ends the run, not the worker.
func TestRequestThatIsWithdrawn(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.after(time.Second)
		ctx, cancel := context.WithCancel(context.Background())
		res := make(chan Result)
		go func() {
			res <- s.Do(ctx, func(ctx context.Context) Result { <-ctx.Done(); return Result{Err: ctx.Err()} })
		}()
		synctest.Wait()
		cancel()
		if r := <-res; !errors.Is(r.Err, context.Canceled) {
			t.Errorf("ended with %v", r.Err)
		}
		if st := s.Status(); st.Err != nil || st.State != Idle {
			t.Errorf("that was taken for a failure: %+v", st)
		}
	})
}

// Cron fires at its minute, across a clock that is set forward and back.
func TestScheduleAcrossJumps(t *testing.T) {
	perform(t, func(s *stage, o *Options) {
		schedule, err := ParseSchedule("*/15 * * * *")
		if err != nil {
			t.Fatal(err)
		}
		o.Schedule = schedule // the bubble begins at midnight UTC
	}, func(s *stage) {
		want(t, s.after(31*time.Minute), "start@0.04", "schedule@900.04", "schedule@1800.04")
		if next := s.Status().Next; next.Sub(s.t0) != 45*time.Minute {
			t.Errorf("next run at %v", next)
		}
		// At 00:31 the clock is set to 03:01: four runs were missed, one is made.
		s.jump(2*time.Hour + 30*time.Minute)
		runs := s.after(10 * time.Second)
		if len(runs) != 4 {
			t.Errorf("after a jump forward: %v", runs)
		}
		// The next quarter is 14 minutes away by the new time.
		runs = s.after(14 * time.Minute)
		if len(runs) != 5 || runs[4] != "schedule@2700.04" {
			t.Errorf("after a jump forward: %v", runs)
		}
		// At 03:15:10 it is set back to 00:15:10.
		s.jump(-3 * time.Hour)
		n := len(s.after(10 * time.Second))
		if runs = s.after(15 * time.Minute); len(runs) != n+1 {
			t.Errorf("after a jump back: %v", runs[n:])
		}
	})
}

// After a sleep the run under way is ended, watches begin anew, a pause for
// the network is over, and one for a password is not.
func TestWakeAfterSleep(t *testing.T) {
	begun := 0
	perform(t, func(s *stage, o *Options) {
		o.Watches = []Watch{{Name: "server", Why: ByRemote, Run: func(ctx context.Context, w Watching) error {
			begun++
			w.Up("")
			<-ctx.Done()
			return ctx.Err()
		}}}
	}, func(s *stage) {
		s.after(time.Minute)
		s.runsDo(func(ctx context.Context, n int, why Trigger) Result {
			if why == ByLocal {
				<-ctx.Done() // a connection that died in its sleep
				return Result{Err: ctx.Err()}
			}
			return Result{}
		})
		s.Trigger(ByLocal)
		n := len(s.after(time.Minute))
		s.jump(8 * time.Hour)
		runs := s.after(6 * time.Second)
		if begun != 2 || len(runs) <= n || s.Status().Err != nil {
			t.Errorf("watch begun %d times, runs %v, status %+v", begun, runs[n:], s.Status())
		}
		s.runsDo(func(context.Context, int, Trigger) Result { return Result{Err: errDown} })
		s.Trigger(ByLocal)
		n = len(s.after(10 * time.Minute))
		s.runsDo(func(context.Context, int, Trigger) Result { return Result{} })
		s.jump(8 * time.Hour)
		if runs := s.after(6 * time.Second); len(runs) == n || s.Status().State != Idle {
			t.Errorf("no run after waking: %+v", s.Status())
		}
	})
}

// A watch that fails is begun again after a pause, and what changed while it
// was down is looked for when it is up.
func TestWatchThatFails(t *testing.T) {
	begun := 0
	perform(t, func(s *stage, o *Options) {
		o.Watches = []Watch{{Name: "server", Why: ByRemote, Run: func(ctx context.Context, w Watching) error {
			if begun++; begun < 4 {
				return errDown
			}
			w.Up("polls")
			<-ctx.Done()
			return ctx.Err()
		}}}
	}, func(s *stage) {
		s.after(5 * time.Second)
		if x := s.Status().Watches[0]; x.Up || x.Err == nil {
			t.Errorf("watch %+v", x)
		}
		runs := s.after(time.Minute)
		if x := s.Status().Watches[0]; !x.Up || x.Err != nil || x.Note != "polls" || begun != 4 {
			t.Errorf("watch %+v, begun %d times", x, begun)
		}
		want(t, runs, "start@0.04", "server@14.01")
	})
}

func TestBackstop(t *testing.T) {
	perform(t, func(s *stage, o *Options) { o.Backstop = time.Hour }, func(s *stage) {
		if runs := s.after(3*time.Hour + time.Minute); len(runs) != 4 {
			t.Errorf("runs %v", runs)
		}
	})
}

// A worker that is told to end in the middle of a run ends with it.
func TestEndsInTheMiddle(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(ctx context.Context, _ int, _ Trigger) Result { <-ctx.Done(); return Result{Err: ctx.Err()} })
		s.after(time.Second)
		s.end()
		<-s.done
		if st := s.Status(); st.Err != nil || st.Failures != 0 {
			t.Errorf("that was taken for a failure: %+v", st)
		}
	})
}

// A worker that is told to finish lets the run under way come to its end, and
// makes no other.
func TestFinish(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(ctx context.Context, n int, _ Trigger) Result {
			<-time.After(time.Minute)
			if ctx.Err() != nil {
				t.Error("the run was broken off")
			}
			return Result{}
		})
		s.after(time.Second)
		s.Trigger(ByLocal)
		s.Finish()
		<-s.done
		want(t, s.runs, "start@0.04")
		if d := time.Since(s.t0); d < time.Minute || d > 2*time.Minute {
			t.Errorf("it took %v", d)
		}
		if res := s.Do(context.Background(), nil); !errors.Is(res.Err, ErrEnded) {
			t.Errorf("a request after the end: %v", res.Err)
		}
	})
}
