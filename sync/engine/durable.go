package engine

import (
	"context"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/sync/plan"
)

// Every transaction of the index waits for the disk once. So what has to be
// remembered, and not at once, is due: it goes into the next transaction, at
// the latest before the next effect on a side.

// dueAlso puts off what must be in the index before the next effect, or at the
// end of the run.
func (r *run) dueAlso(s *plan.Settlement) {
	r.due.Loose = s.Loose && (r.due.Loose || r.due.Empty())
	join(&r.due, s)
}

// mayBeLost tells whether a crash of the machine may take back what is recorded of a
// chunk: it may have taken the files themselves, and the index says so already
// (see crashed), so that the next run joins whatever it finds. A file that
// no row knows names the message that it is of, and one that is not there is
// copied again. A row that was there before tells more, and is kept.
func (r *run) mayBeLost(t *transfer) bool {
	return r.root != nil && r.root.Unsynced && r.root.Boot != "" &&
		!slices.ContainsFunc(t.gains, func(g *plan.Gain) bool { return g.To != plan.Local || g.Row != nil })
}

// join adds to one settlement, that begins nothing, another that comes after
// it. A row that the second drops must not be put by the first.
func join(to, s *plan.Settlement) {
	to.Drop = joined(to.Drop, s.Drop)
	to.Put = joined(to.Put, s.Put)
	to.Flags = joined(to.Flags, s.Flags)
	to.Boxes = joined(to.Boxes, s.Boxes)
	to.Forget = joined(to.Forget, s.Forget)
	to.Done = joined(to.Done, s.Done)
	to.ClearPending = joined(to.ClearPending, s.ClearPending)
	to.Pending = joined(to.Pending, s.Pending)
	to.Declines = joined(to.Declines, s.Declines)
	to.ClearDeclines = joined(to.ClearDeclines, s.ClearDeclines)
	to.Losses = joined(to.Losses, s.Losses)
	to.Hold = joined(to.Hold, s.Hold)
	to.Release = joined(to.Release, s.Release)
	to.Events = joined(to.Events, s.Events)
	if len(s.Meta) > 0 {
		both := map[string]string{}
		maps.Copy(both, to.Meta)
		maps.Copy(both, s.Meta)
		to.Meta = both
	}
	if s.Run != nil {
		to.Run = s.Run
	}
}

// flush writes what is due, before an effect on a side.
func (r *run) flush(ctx context.Context) error { return r.settle(ctx, &plan.Settlement{}) }

// mayWait tells whether what is due may be written after the last flags of the
// run, with what became of them. If the run dies before, the index is one
// behind the root's marker, as it is whenever one dies after the marker was
// written, and of what it did there are flags that both sides have. What tells of
// writes that a crash may take back, of an adoption, of another server or mode,
// must be there before.
func (r *run) mayWait() bool {
	return !r.adopt && r.root != nil && !r.root.Unsynced && r.meta[metaUnsynced] == "" &&
		r.meta[metaBound] == r.Bound && r.meta[metaMode] == r.Mode
}

// begin makes intents durable, and what is due with them, and fills in their IDs.
func (r *run) begin(ctx context.Context, in []plan.Intent) error {
	if r.due.Empty() {
		if err := r.Index.Begin(ctx, in); err != nil {
			return indexFault(err)
		}
		return nil
	}
	return r.settle(ctx, &plan.Settlement{Begin: in})
}

// beginChunk is begin for a chunk that goes to a side which shows nothing of it yet.
func (r *run) beginChunk(ctx context.Context, t *transfer) error {
	in := t.intend(0)
	if r.due.Loose && r.mayBeLost(t) { // what is due is of the chunk before
		return r.settle(ctx, &plan.Settlement{Begin: in, Loose: true})
	}
	return r.begin(ctx, in)
}

// settle writes to the index, what is due first. It returns the error of the
// index, which ends the run; nothing is lost of what was due then.
func (r *run) settle(ctx context.Context, s *plan.Settlement) error {
	if s.Empty() && r.due.Empty() {
		return nil
	}
	had := !r.due.Empty()
	if had {
		all := r.due
		join(&all, s)
		all.Begin, all.Loose = s.Begin, all.Loose && s.Loose
		s = &all
	}
	r.wrote = true
	r.rebound = r.rebound || len(s.Put)+len(s.Drop)+len(s.Forget) > 0
	for i := range s.Events {
		s.Events[i].At = r.Clock()
	}
	if err := r.Index.Settle(context.WithoutCancel(ctx), s); err != nil {
		return indexFault(err)
	}
	if had {
		r.due = plan.Settlement{}
	}
	return nil
}

// endRun writes what is due at the end, with the record of the run, if the run
// changed something or failed.
func (r *run) endRun(ctx context.Context) error {
	if !r.wrote && r.due.Empty() && len(r.report.Faults) == 0 {
		return nil
	}
	rec := plan.RunRecord{Began: r.report.Began, Ended: r.report.Ended, Exit: r.report.Exit()}
	for _, s := range plan.Sides {
		rec.Gains[s], rec.Losses[s] = r.report.Copied[s], r.report.Deleted[s]
		rec.Flags[s], rec.Moves[s] = r.report.Flagged[s], r.report.Moved[s]
	}
	if len(r.report.Faults) > 0 {
		rec.Text = r.report.Faults[0].Error()
	}
	if err := r.settle(ctx, &plan.Settlement{Run: &rec}); err != nil {
		return err
	}
	r.recount(ctx)
	return nil
}
