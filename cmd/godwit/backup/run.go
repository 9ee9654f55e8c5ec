package backup

import (
	"context"
	"fmt"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Job is what the events of a backup are told under (engine.Options.Job).
const Job = "backup"

// mode is what the index of a backup remembers as its mode; there is no other.
const mode = "backup"

// A Recorder is the archive as the side of one run. *archive.Recording is one.
type Recorder interface {
	engine.Writer
	engine.Rooted
	// End ends a mailbox that is empty; those below it stay.
	End(ctx context.Context, name mail.MailboxName) error
	// Counts gives the number of messages in each mailbox as of now.
	Counts(ctx context.Context) (map[mail.MailboxName]int, error)
	// Finish ends the generation; nil if nothing changed.
	Finish(ctx context.Context, o archive.Outcome) (*archive.Generation, error)
}

var _ Recorder = (*archive.Recording)(nil)

// A target is the archive as the engine sees it.
type target struct{ Recorder }

// Remove implements engine.Writer: a parent ends though mailboxes below it stay.
func (t target) Remove(ctx context.Context, name mail.MailboxName) error { return t.End(ctx, name) }

// Options are all that a backup is made of. The caller holds the lock of the
// account, and closes what it opened.
type Options struct {
	Account string
	Archive Recorder
	Server  engine.Writer
	Index   engine.Index // of the pair of these two, and no other
	Bodies  *Bodies      // nil: all bodies come from the server
	Bound   string       // server and user, see engine.Options
	Scope   func(mail.MailboxName, mail.Role) bool
	// Chunk is how many messages go together; 0 is the engine's.
	Chunk    int
	Clock    plan.Clock
	Observer engine.Observer
}

// A Result is what a backup came to.
type Result struct {
	// Report is the sum of the engine's runs; Local is the archive.
	Report engine.Report
	// Generation is the one that was made, nil if nothing changed.
	Generation *archive.Generation
	// Complete: the newest generation is, and holds what the server has. Why
	// tells a person why not.
	Complete    bool
	Why         string
	Quarantined []archive.Quarantined
	// Still: nothing has changed, and one look at the server was enough to know.
	Still bool
}

// Exit is the exit code of the backup, as engine.Report.Exit tells it: 1 too
// if the generation is not complete.
func (r *Result) Exit() int {
	exit := r.Report.Exit()
	if exit == 0 && !r.Complete {
		return 1
	}
	return exit
}

// tries is how often the engine runs while mail that comes and goes meanwhile
// keeps the numbers from being equal.
const tries = 5

// Run makes a generation, if anything has changed since the last one. The
// Result is whole also beside an error, which is one of the account or the
// context's. When the context ends nothing is finished: the next run goes on,
// and ends the generation that was begun as an incomplete one.
func Run(ctx context.Context, o Options) (*Result, error) {
	b := &run{Options: o, source: newSource(o.Server, o.Bodies)}
	b.result.Report.Began = o.Clock()
	err := b.pull(ctx)
	b.result.Report.Ended = o.Clock()
	if ctx.Err() != nil {
		b.result.Why = "it was interrupted"
		return &b.result, ctx.Err()
	}
	if b.result.Report.EmptyRoot {
		b.result.Why = "the archive is empty or missing"
		return &b.result, err
	}
	g, finishErr := o.Archive.Finish(ctx, archive.Outcome{
		Complete: b.result.Complete, Why: b.result.Why, Quarantined: b.result.Quarantined,
	})
	b.result.Generation, b.result.Still = g, g == nil && b.source.still && !b.result.Report.Changed()
	if finishErr != nil {
		b.result.Complete, b.result.Why = false, finishErr.Error()
		b.result.Report.Faults = append(b.result.Report.Faults, finishErr)
		if err == nil {
			err = finishErr
		}
	}
	b.result.Report.Ended = o.Clock()
	return &b.result, err
}

// run is the state of one backup.
type run struct {
	Options
	source *source
	result Result
	closed bool // reconcile closed something, which may have held something up
	// unsteady names a mailbox that mail may have come to meanwhile, "" for none.
	unsteady mail.MailboxName
}

// pull brings the archive to what the server has, and finds out whether that
// worked.
func (b *run) pull(ctx context.Context) error {
	for try := 1; ; try++ {
		report, err := engine.Run(ctx, b.engine())
		b.add(report)
		switch {
		case err != nil:
			b.result.Why = err.Error()
			return err
		case report.EmptyRoot:
			return nil
		}
		if err := b.reconcile(ctx, report); err != nil {
			b.result.Complete, b.result.Why = false, err.Error()
			b.result.Report.Faults = append(b.result.Report.Faults, err)
			return err
		}
		if b.result.Complete || report.Exit() != 0 && !b.closed && b.unsteady == "" || try == tries {
			return nil
		}
		b.closed = false
	}
}

func (b *run) engine() engine.Options {
	policy := plan.Pull()
	policy.RemoveBoxes = policy.Lose
	return engine.Options{
		Account: b.Account, Job: Job, Local: target{b.Archive}, Remote: b.source, Index: b.Index,
		Mode: mode, Policy: policy, Bound: b.Bound, Scope: b.Scope, ChunkMessages: b.Chunk, Clock: b.Clock, Observer: b.observe,
	}
}

// observe passes on what the engine tells, but for what is only in the
// archive and not carried to the server: reconcile sees to that.
func (b *run) observe(e engine.Event) {
	if b.Observer != nil && !(e.Kind == engine.Noted && e.Reason == plan.ReasonMode) {
		b.Observer(e)
	}
}

// add sums up what the engine's runs did; how things stand is what the last of
// them told.
func (b *run) add(r *engine.Report) {
	sum := &b.result.Report
	was := *sum
	*sum = *r
	sum.Began = was.Began
	for _, s := range plan.Sides {
		sum.Copied[s] += was.Copied[s]
		sum.CopiedBytes[s] += was.CopiedBytes[s]
		sum.Flagged[s] += was.Flagged[s]
		sum.Moved[s] += was.Moved[s]
		sum.Deleted[s] += was.Deleted[s]
		sum.Created[s] += was.Created[s]
		sum.Renamed[s] += was.Renamed[s]
		sum.Removed[s] += was.Removed[s]
	}
	sum.Adopted += was.Adopted
}

// number is a count for a person.
func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
