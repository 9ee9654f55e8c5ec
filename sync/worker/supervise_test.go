package worker

import (
	"context"
	"errors"
	"fmt"
	"net"
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
		want(t, s.after(time.Hour), "start@2", "server@60.01")
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

// asked is a watch that is up until it is told to doubt its connection, and
// then answers with an error, or none.
func asked(alive func() error, begun, doubts *int) func(ctx context.Context, w Watching) error {
	return func(ctx context.Context, w Watching) error {
		*begun++
		w.Up("")
		for {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-w.Doubt:
				*doubts++
				if err := alive(); err != nil {
					return err
				}
			}
		}
	}
}

// A watch in doubt that is alive goes on, and nothing runs for that; one that
// is dead begins anew, and with it a run that was under way.
func TestDoubt(t *testing.T) {
	var dead error
	begun, doubts, ended := 0, 0, 0
	perform(t, watches(asked(func() error { return dead }, &begun, &doubts)), func(s *stage) {
		s.runsDo(func(ctx context.Context, n int, why Trigger) Result {
			if why != ByLocal {
				return Result{}
			}
			select { // a long run
			case <-ctx.Done():
				ended++
				return Result{Err: ctx.Err()}
			case <-time.After(time.Minute):
				return Result{}
			}
		})
		s.after(time.Minute)
		s.Doubt()
		s.after(time.Minute)
		s.Trigger(ByLocal)
		s.after(time.Second)
		s.Doubt()
		s.NetworkChanged()
		runs := s.after(2 * time.Minute)
		if begun != 1 || doubts < 2 || ended != 0 {
			t.Errorf("alive: begun %d times, in doubt %d times, %d runs ended", begun, doubts, ended)
		}
		want(t, runs, "start@0.04", "maildir@120.04")
		s.Trigger(ByLocal)
		s.after(time.Second)
		dead = errDown
		s.Doubt()
		runs = s.after(5 * time.Second)
		if begun != 2 || ended != 1 || !s.Status().Watches[0].Up || s.Status().Err != nil {
			t.Errorf("dead: begun %d times, %d runs ended, %+v", begun, ended, s.Status())
		}
		want(t, runs[2:], "maildir@241.04", "wake@242.04", "server@244.01")
	})
}

// Where a run fails because of the network, whoever listens looks after its own
// connection; a quarter of an hour later nobody doubts it any more.
func TestDoubtAfterARunThatFails(t *testing.T) {
	begun, doubts := 0, 0
	perform(t, watches(asked(func() error { return nil }, &begun, &doubts)), func(s *stage) {
		s.runsDo(func(_ context.Context, n int, _ Trigger) Result {
			if n == 2 {
				return Result{Err: errDown}
			}
			return Result{}
		})
		s.after(time.Minute)
		s.Trigger(ByLocal)
		want(t, s.after(time.Hour), "start@0.04", "maildir@60.04", "retry@62.04")
		if begun != 1 || doubts != 1 {
			t.Errorf("begun %d times, in doubt %d times", begun, doubts)
		}
	})
}

// When the network changes, what waits because of it does not wait any longer;
// what waits for another password does, also when the machine wakes.
func TestNetworkChanged(t *testing.T) {
	for name, row := range map[string]struct {
		err   error
		tries int // of the watch and of runs, in an hour with a change every minute
	}{
		"network":  {errDown, 120},
		"password": {errBarred, 6},
	} {
		t.Run(name, func(t *testing.T) {
			var tries atomic.Int32
			trouble := row.err
			perform(t, watches(func(ctx context.Context, w Watching) error {
				if tries.Add(1); trouble != nil {
					return trouble
				}
				w.Up("")
				<-ctx.Done()
				return ctx.Err()
			}), func(s *stage) {
				s.runsDo(func(context.Context, int, Trigger) Result { tries.Add(1); return Result{Err: trouble} })
				s.after(30 * time.Minute)
				tries.Store(0)
				for i := range 60 {
					s.NetworkChanged()
					s.after(30 * time.Second)
					if name == "password" && i%10 == 0 {
						s.jump(time.Hour)
					}
					s.after(30 * time.Second)
				}
				if n := int(tries.Load()); n > row.tries*5/4 || name == "network" && n < row.tries {
					t.Errorf("%d tries", n)
				}
				if trouble = nil; name == "network" {
					s.NetworkChanged()
					s.after(time.Second)
					if st := s.Status(); st.Err != nil || !st.Watches[0].Up {
						t.Errorf("status %+v", st)
					}
				}
			})
		})
	}
}

// A run, and a watch that is just coming up, may hang on the network that was:
// both begin anew over the one that is.
func TestNetworkChangedWhileConnecting(t *testing.T) {
	hangs := true
	perform(t, watches(func(ctx context.Context, w Watching) error {
		if !hangs {
			w.Up("")
		}
		<-ctx.Done()
		return ctx.Err()
	}), func(s *stage) {
		s.runsDo(func(ctx context.Context, _ int, _ Trigger) Result {
			if hangs {
				<-ctx.Done()
			}
			return Result{Err: ctx.Err()}
		})
		s.after(10 * time.Second)
		hangs = false
		s.NetworkChanged()
		s.after(time.Second)
		if st := s.Status(); st.State != Idle || st.LastOK.IsZero() || !st.Watches[0].Up {
			t.Errorf("status %+v", st)
		}
	})
}

// Where no connection comes about, it is tried once a minute at the least, and
// one that is lost again and again every five.
func TestPausesOfTheNetwork(t *testing.T) {
	fault := func(err error) error {
		return mail.NewFault(mail.GradeAccount, mail.ClassNetwork, fmt.Errorf("cannot connect: %w", err), "")
	}
	for name, row := range map[string]struct {
		err  error
		last time.Duration
	}{
		"refused": {&net.OpError{Op: "dial", Err: errors.New("connection refused")}, time.Minute},
		"no name": {&net.DNSError{Err: "no such host", IsNotFound: true}, time.Minute},
		"lost":    {&net.OpError{Op: "read", Err: errors.New("connection reset")}, 5 * time.Minute},
		"silent":  {errors.New("did not answer"), 5 * time.Minute},
	} {
		b := Backoff{Jitter: func() float64 { return 0.5 }}
		var pauses []time.Duration
		for range 12 {
			pauses = append(pauses, b.Next(fault(row.err)))
		}
		if pauses[0] != 2*time.Second || pauses[1] != 4*time.Second || pauses[11] != row.last {
			t.Errorf("%s: %v", name, pauses)
		}
	}
}
