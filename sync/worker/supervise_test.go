package worker

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

var errBarred = mail.NewFault(mail.GradeAccount, mail.ClassAuth, errors.New("wrong password"), "")

// watches gives a worker watches made of functions.
func watches(run ...func(ctx context.Context, w Watching) error) func(*stage, *Options) {
	return func(_ *stage, o *Options) {
		names := []Watch{{Name: "server", Why: ByRemote}, {Name: "maildir", Why: ByLocal}}
		for i, r := range run {
			names[i].Run = r
			o.Watches = append(o.Watches, names[i])
		}
	}
}

// comesUp is a watch that is up after a while, and stays so.
func comesUp(after time.Duration) func(ctx context.Context, w Watching) error {
	return func(ctx context.Context, w Watching) error {
		<-time.After(after)
		w.Up("")
		<-ctx.Done()
		return ctx.Err()
	}
}

// The first run waits for the watches: it covers what was before they were up.
// It does not wait for ever.
func TestOneRunAtTheStart(t *testing.T) {
	perform(t, watches(comesUp(time.Second), comesUp(10*time.Millisecond)), func(s *stage) {
		want(t, s.after(time.Minute), "start@1")
	})
	perform(t, watches(comesUp(time.Minute), comesUp(0)), func(s *stage) {
		want(t, s.after(time.Hour), "start@2", "server@60.04")
	})
}

// A watch that comes up and fails at once is begun anew more and more seldom,
// and so are the runs that it makes.
func TestWatchThatFlaps(t *testing.T) {
	begun := 0
	perform(t, watches(func(ctx context.Context, w Watching) error {
		begun++
		w.Up("")
		return errDown
	}), func(s *stage) {
		runs := s.after(24 * time.Hour)
		if begun > 24*12+10 || len(runs) > begun {
			t.Errorf("%d times in a day, and %d runs", begun, len(runs))
		}
	})
}

// A server that can be watched again can be used again: the pause is over.
func TestWatchThatComesUpEndsThePause(t *testing.T) {
	var up atomic.Bool
	perform(t, watches(func(ctx context.Context, w Watching) error {
		if !up.Load() {
			return errDown
		}
		w.Up("")
		<-ctx.Done()
		return ctx.Err()
	}), func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result {
			if !up.Load() {
				return Result{Err: errDown}
			}
			return Result{}
		})
		s.after(time.Hour + time.Minute)
		up.Store(true)
		s.after(5*time.Minute + 10*time.Second)
		st := s.Status()
		if st.State != Idle || !st.Watches[0].Up || st.LastOK.Sub(st.Watches[0].Since).Abs() > time.Second {
			t.Errorf("status %+v", st)
		}
	})
}

// A wrong password is tried once by the watch and then by runs alone; when it
// is right, both go on at once.
func TestWatchDoesNotHammerAPassword(t *testing.T) {
	logins, right := 0, false
	perform(t, watches(func(ctx context.Context, w Watching) error {
		if logins++; !right {
			return errBarred
		}
		w.Up("")
		<-ctx.Done()
		return ctx.Err()
	}), func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result {
			if logins++; !right {
				return Result{Err: errBarred}
			}
			return Result{}
		})
		s.after(24 * time.Hour)
		if logins > 11 {
			t.Errorf("%d logins in a day", logins)
		}
		right = true
		s.Do(context.Background(), func(context.Context) Result { return Result{} })
		synctest.Wait()
		if st := s.Status(); !st.Watches[0].Up || st.Err != nil {
			t.Errorf("status %+v", st)
		}
	})
}

// That the network fails in between makes no password be tried more often.
func TestPausesGrowByClass(t *testing.T) {
	logins := 0
	perform(t, nil, func(s *stage) {
		s.runsDo(func(_ context.Context, n int, _ Trigger) Result {
			if n%2 == 0 {
				return Result{Err: errDown}
			}
			logins++
			return Result{Err: errBarred}
		})
		if s.after(24 * time.Hour); logins > 10 {
			t.Errorf("%d logins in a day", logins)
		}
	})
}

// A run that says it was broken off, and was not, is a failure like others.
func TestBrokenOffByNobody(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result { return Result{Err: context.Canceled} })
		if runs := s.after(time.Hour); len(runs) > 12 {
			t.Errorf("%d runs in an hour", len(runs))
		}
	})
}

// However much there is to do, a person who asks has the next run.
func TestRequestAmongManyChanges(t *testing.T) {
	perform(t, nil, func(s *stage) {
		s.runsDo(func(context.Context, int, Trigger) Result {
			s.Trigger(ByLocal) // it never ends
			<-time.After(2 * time.Second)
			return Result{}
		})
		s.after(10 * time.Second)
		asked := time.Now()
		s.Do(context.Background(), func(context.Context) Result { return Result{} })
		if d := time.Since(asked); d > 3*time.Second {
			t.Errorf("it waited for %v", d)
		}
	})
}

// The schedule is shown again as soon as a pause is over.
func TestNextRunIsShown(t *testing.T) {
	perform(t, func(s *stage, o *Options) {
		var err error
		if o.Schedule, err = ParseSchedule("@hourly"); err != nil {
			t.Fatal(err)
		}
	}, func(s *stage) {
		s.runsDo(func(_ context.Context, n int, _ Trigger) Result {
			if n == 1 {
				return Result{Err: errDown}
			}
			return Result{}
		})
		s.after(time.Second)
		if next := s.Status().Next.Sub(s.t0); next > 3*time.Second {
			t.Errorf("during the pause: next after %v", next)
		}
		s.after(1100 * time.Millisecond) // the retry is at 2.04 s, the next look at 5 s
		if next := s.Status().Next.Sub(s.t0); next != time.Hour {
			t.Errorf("after the pause: next after %v", next)
		}
	})
}

// A process that was stopped looks at the clock much later than it wanted to,
// though the clocks agree.
func TestStallIsNoticed(t *testing.T) {
	t0 := time.Now()
	c := newCalendar(nil, t0, 0)
	for _, step := range []struct {
		at     time.Duration
		jumped bool
	}{{5 * time.Second, false}, {20 * time.Second, false}, {3 * time.Minute, true}, {3*time.Minute + 5*time.Second, false}} {
		if _, jumped := c.look(t0.Add(step.at), step.at); jumped != step.jumped {
			t.Errorf("at %v: jumped %v", step.at, jumped)
		}
	}
}
