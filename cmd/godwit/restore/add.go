package restore

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Target is where mail is restored to, and what remembers the pair of it
// and the archive for as long as a restore is unfinished.
type Target struct {
	Side engine.Writer
	On   plan.Side // Local for a Maildir, Remote for a server
	// Index is that of this pair alone.
	Index engine.Index
	Bound string // names the target; see engine.Options
}

// Options say how a restore is run.
type Options struct {
	Account  string
	DryRun   bool
	Clock    plan.Clock
	Observer engine.Observer
}

// A Sum is what a restore came to.
type Sum struct {
	Chosen      int   // messages that were to be there
	Bytes       int64 // their size
	Written     int   // that were not, and are now (or would be)
	WrittenSize int64
	Failed      int // that could not be written; the faults say why
	Made        int // mailboxes
	Exit        int // as engine.Report.Exit
}

// There is how many messages were there already.
func (s Sum) There() int { return max(0, s.Chosen-s.Written-s.Failed) }

// Add brings mail to a target that lacks it. Nothing else is changed there.
func Add(ctx context.Context, s *Selection, t Target, o Options) (Sum, error) {
	side, err := narrow(ctx, s, t)
	if err != nil {
		return Sum{}, err
	}
	t.Side = side
	var policy plan.Policy
	policy.Create[t.On], policy.Gain[t.On] = true, true
	report, err := run(ctx, s, t, o, policy)
	sum := Sum{
		Written: report.Copied[t.On], WrittenSize: report.CopiedBytes[t.On], Failed: report.Pending, Made: report.Created[t.On],
		Exit: report.Exit(),
	}
	for _, name := range s.Mailboxes() {
		n, size := s.Chosen(name)
		sum.Chosen, sum.Bytes = sum.Chosen+n, sum.Bytes+size
	}
	return sum, err
}

// run puts the engine between a selection and a target.
func run(ctx context.Context, s *Selection, t Target, o Options, policy plan.Policy) (*engine.Report, error) {
	policy.Prefer = t.On.Other()
	options := engine.Options{
		Account: o.Account, Local: s, Remote: t.Side, Index: t.Index,
		Mode: "restore", Policy: policy, Bound: t.Bound, Adopt: true, DryRun: o.DryRun, Clock: o.Clock,
		Scope: func(name mail.MailboxName, _ mail.Role) bool { return s.Has(name) },
		Observer: func(e engine.Event) {
			if o.Observer != nil && tells(e) {
				o.Observer(e)
			}
		},
	}
	if t.On == plan.Local {
		options.Local, options.Remote = t.Side, s
	}
	return engine.Run(ctx, options)
}

// tells tells whether an event says something about a restore: that the target
// has more than the archive, or other flags, is as it should be.
func tells(e engine.Event) bool {
	return e.Kind != engine.Noted && e.Kind != engine.PhaseBegun || e.Kind == engine.Noted && e.Reason != plan.ReasonMode
}
