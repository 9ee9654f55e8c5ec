package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Sides are both servers, opened for one pass.
type Sides struct {
	Origin, Target engine.Writer
	Close          func() error
}

// Options say what is moved, and how.
type Options struct {
	Account string // named in events
	Open    func(context.Context) (Sides, error)
	Index   engine.Index // of this pair alone
	// Keeper keeps a second copy of what an interrupted run had sent, before it
	// is removed; nil has it stay.
	Keeper engine.Keeper
	Memory Memory
	Router Router
	Bound  string // names both servers and users; see engine.Options
	// Select tells which messages are to be moved; nil is all. What was moved
	// once is kept in step whatever it is like later.
	Select func(mail.Item) bool
	// DeltaFlags carries over what changes of flags after a message was copied.
	DeltaFlags bool
	// Subscriptions carries over which mailboxes are subscribed to.
	Subscriptions bool
	DryRun        bool
	// MaxErrors is after how many errors a pass is given up; 0 never.
	MaxErrors int
	Clock     plan.Clock
	Observer  engine.Observer
	// Wait waits before a pass is tried again; nil is for as long as it says.
	Wait func(context.Context, time.Duration) error
}

const (
	// mostPasses is how often what came meanwhile is looked for.
	mostPasses = 4
	// mostIdle is how many passes in succession may end in trouble that passes
	// by itself, without having moved anything.
	mostIdle = 3
	// longestWait is for how long a server is waited for that asks for it.
	longestWait = 15 * time.Minute
)

// ErrTooManyErrors ends a migration after Options.MaxErrors.
var ErrTooManyErrors = errors.New("too many errors")

// Run moves what is not moved yet. A pass that changed something is followed by
// another, which finds what it left and sees that all is there; so is one that
// was cut short by what passes by itself. The result is whole also beside an
// error.
func Run(ctx context.Context, o Options) (*Result, error) {
	res := &Result{Began: o.Clock(), DryRun: o.DryRun, tally: newTally()}
	err := o.passes(ctx, res)
	if e := res.complete(context.WithoutCancel(ctx), o.Index); err == nil {
		err = e
	}
	res.Ended = o.Clock()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return res, err
}

func (o *Options) passes(ctx context.Context, res *Result) error {
	calm, idle := 0, 0 // passes that ended well, and those that moved nothing
	for {
		report, err := o.pass(ctx, res)
		trouble := passing(report, err)
		switch {
		case ctx.Err() != nil || o.DryRun || res.last == nil: // a server that never answered is not waited for
			return err
		case err != nil && trouble == nil, errors.Is(err, ErrTooManyErrors):
			return err
		case res.again && calm < mostPasses: // with other names
			calm++
			continue
		case !report.Changed() && trouble == nil, calm == mostPasses:
			return err
		case trouble == nil:
			calm, idle = calm+1, 0
			continue
		case report.Changed():
			idle = 0
		}
		if idle++; idle > mostIdle {
			return err
		}
		pause := max(waitOf(trouble), time.Second<<(idle-1))
		if pause > longestWait {
			return err
		}
		if e := o.wait(ctx, pause); e != nil {
			return e
		}
	}
}

func (o *Options) wait(ctx context.Context, d time.Duration) error {
	if o.Wait != nil {
		return o.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing gives an error of a pass that is likely to pass by itself, nil if
// there is none.
func passing(r *engine.Report, err error) error {
	for _, f := range append([]error{err}, r.Faults...) {
		if f == nil {
			continue
		}
		switch mail.ClassOf(f) {
		case mail.ClassNetwork, mail.ClassThrottle:
			return f
		}
	}
	return nil
}

// waitOf is how long a server asks to be waited for.
func waitOf(err error) time.Duration {
	var w interface{ Wait() time.Duration }
	if errors.As(err, &w) {
		return w.Wait()
	}
	return 0
}

// pass is one run of the engine between the servers.
func (o *Options) pass(ctx context.Context, res *Result) (*engine.Report, error) {
	none := &engine.Report{}
	records, err := o.Index.Boxes(ctx)
	if err != nil {
		return none, err
	}
	sides, err := o.Open(ctx)
	if err != nil {
		return none, err
	}
	p, err := newPair(*o, sides, records, res.refused, o.DryRun)
	if err != nil {
		return none, errors.Join(err, sides.Close())
	}
	defer p.origin.discard()
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	res.tally.begin()
	report, err := engine.Run(running, o.engine(p, func(e engine.Event) {
		res.tally.take(e)
		if o.MaxErrors > 0 && res.tally.errors == o.MaxErrors {
			stop(ErrTooManyErrors)
		}
		if o.Observer != nil && tells(e) {
			o.Observer(e)
		}
	}))
	if cause := context.Cause(running); err != nil && ctx.Err() == nil && errors.Is(cause, ErrTooManyErrors) {
		err = fmt.Errorf("%w: given up after %d", cause, o.MaxErrors)
	}
	if err == nil && o.Subscriptions && !o.DryRun {
		if e := p.subscribe(ctx); e != nil {
			res.tally.note("subscriptions were not carried over: " + e.Error())
		}
	}
	res.take(p, report)
	return report, errors.Join(err, sides.Close())
}

// engine puts together what the engine is told.
func (o *Options) engine(p *pair, observe engine.Observer) engine.Options {
	var policy plan.Policy
	policy.Create[plan.Remote], policy.Gain[plan.Remote], policy.Flag[plan.Remote] = true, true, o.DeltaFlags
	policy.Prefer = plan.Local
	return engine.Options{
		Account: o.Account, Job: Job, Places: [2]string{plan.Local: "the origin", plan.Remote: "the target"}, Local: p.origin, Remote: p.target, Index: o.Index, Mode: "migrate", Policy: policy,
		Bound: o.Bound, OwnDoubles: o.Keeper != nil, Keeper: o.Keeper, Scope: p.inScope, DryRun: o.DryRun, Clock: o.Clock, Observer: observe,
	}
}

// Job is what a migration is called in events.
const Job = "migrate"

// tells tells whether an event says something to a person: that the target has
// more than the origin, or other flags, is as it should be.
func tells(e engine.Event) bool {
	return e.Kind != engine.Noted || e.Reason != plan.ReasonMode
}
