package engine

import (
	"cmp"
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// resolveIntents asks the sides what became of effects that an earlier run
// began and did not record.
func (r *run) resolveIntents(ctx context.Context) error {
	intents, err := r.Index.Intents(ctx)
	if err != nil {
		return indexFault(err)
	}
	r.announceResolves(intents)
	bound := boundPlaces{}
	var absent []plan.Intent
	for _, in := range intents {
		gone, err := r.resolve(ctx, in, bound)
		if err != nil {
			return err
		}
		if gone {
			absent = append(absent, in)
		}
		if len(r.due.Done) >= chunkMessages {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
	}
	return r.expectLate(ctx, absent)
}

// announceResolves tells the sides what they will be asked.
func (r *run) announceResolves(intents []plan.Intent) {
	for _, s := range plan.Sides {
		side, is := r.side[s].(Expecter)
		if !is {
			continue
		}
		var next []plan.Intent
		for _, in := range intents {
			if in.Side == s && r.asksFor(in) && !r.isLost(in) {
				next = append(next, in)
			}
		}
		if len(next) > 0 {
			side.ExpectResolves(next)
		}
	}
}

// asksFor tells whether a side is asked what became of an intent. Looking for
// a move may finish it.
func (r *run) asksFor(in plan.Intent) bool {
	return !r.DryRun && (in.Kind == plan.IntentPut || in.Kind == plan.IntentMove && r.Policy.Move[in.Side])
}

// isLost tells whether the mailboxes of an intent are not what they were when
// it was written.
func (r *run) isLost(in plan.Intent) bool {
	s, rec := in.Side, r.record(in.To)
	if rec == nil || rec.Dormant || !r.there[rec.ID][s] || r.reset[plan.SideBox{Side: s, Box: in.To}] {
		return true
	}
	now := r.survey[s][rec.Side[s].Name].Epoch
	return in.Epoch != "" && now != "" && now != in.Epoch ||
		in.Kind == plan.IntentPut && r.renumbered(s.Other(), in.From.Box, in.FromEpoch)
}

// boundPlaces are the rows bound in mailboxes that were asked about, each
// mailbox read once for all intents.
type boundPlaces map[plan.SideBox]map[mail.Ref]int64

func (b boundPlaces) in(ctx context.Context, r *run, s plan.Side, box mail.BoxID) (map[mail.Ref]int64, error) {
	key := plan.SideBox{Side: s, Box: box}
	if b[key] != nil {
		return b[key], nil
	}
	known := map[mail.Ref]int64{}
	err := r.Index.Known(ctx, s, box, func(k plan.Known) error {
		known[k.Ref] = k.Row
		return nil
	})
	if err != nil {
		return nil, indexFault(err)
	}
	b[key] = known
	return known, nil
}

// resolve finds out about one intent. What it learns is due; that the effect
// did not happen is for the caller to record.
func (r *run) resolve(ctx context.Context, in plan.Intent, bound boundPlaces) (absent bool, err error) {
	if r.DryRun {
		return false, nil
	}
	s, lost := in.Side, r.isLost(in)
	if in.Kind == plan.IntentLate && !lost && r.Clock().Sub(in.At) < lateWindow {
		r.late = append(r.late, in)
		return false, nil
	}
	if lost || in.Kind != plan.IntentPut && in.Kind != plan.IntentMove {
		// Whatever was there is matched by identity, as any other message.
		r.dueAlso(&plan.Settlement{Done: []int64{in.ID}})
		return false, nil
	}
	known, err := bound.in(ctx, r, s, in.To)
	if err != nil {
		return false, err
	}
	var found plan.Found // nothing known
	if r.asksFor(in) {
		found, err = r.side[s].Resolve(ctx, in, func(ref mail.Ref) bool { return known[ref] != 0 })
	}
	if err != nil {
		if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
			return false, err
		}
		r.fault(s, r.name(s, in.To), err, false)
		found.State = plan.FoundUnknown
	}
	switch found.State {
	case plan.FoundThere:
		return false, r.bindFound(ctx, in, found, bound)
	case plan.FoundAbsent:
		return true, nil
	}
	if r.Clock().Sub(in.At) > lateWindow {
		// Several may be it, and looking longer will not tell. What is there is
		// new mail like any other now, and joined by what it says.
		r.dueAlso(&plan.Settlement{Done: []int64{in.ID}})
		return false, nil
	}
	r.holdIntent(in)
	return false, nil
}

// renumbered tells whether a Ref of that epoch means nothing in a mailbox now.
func (r *run) renumbered(s plan.Side, box mail.BoxID, epoch string) bool {
	now := r.epoch(s, box)
	return r.record(box) == nil || r.reset[plan.SideBox{Side: s, Box: box}] || now != "" && epoch != "" && now != epoch
}

func (r *run) boundIn(ctx context.Context, s plan.Side, box mail.BoxID) (map[mail.Ref]bool, error) {
	known := map[mail.Ref]bool{}
	err := r.Index.Known(ctx, s, box, func(k plan.Known) error {
		known[k.Ref] = true
		return nil
	})
	if err != nil {
		return nil, indexFault(err)
	}
	return known, nil
}

// anyRef stands for every new message of a mailbox in run.unknown.
const anyRef mail.Ref = ""

// holdIntent keeps a message whose copy may exist from being copied again.
func (r *run) holdIntent(in plan.Intent) {
	key := plan.SideBox{Side: in.Side.Other(), Box: in.From.Box}
	if in.Kind == plan.IntentMove {
		key.Side = in.Side
	}
	if r.unknown[key] == nil {
		r.unknown[key] = map[mail.Ref]bool{}
	}
	r.unknown[key][in.From.Ref] = true
	to := plan.SideBox{Side: in.Side, Box: in.To}
	if r.unknown[to] == nil {
		r.unknown[to] = map[mail.Ref]bool{}
	}
	r.unknown[to][anyRef], r.unsettled[to] = true, true
	if in.Row > 0 {
		r.intended[in.Row] = in.Side
	}
	r.unsettled[key] = true
	r.pend(plan.Pending{Side: key.Side, At: in.From, Kind: plan.KindNew, Row: in.Row, Why: plan.ReasonUnknown, Text: "sent, but it is not known yet whether it arrived", Ident: in.Item.Ident})
}

// bindFound records an effect that had happened. The flags given with it are
// the base on both sides, so that what was changed since is seen as change.
func (r *run) bindFound(ctx context.Context, in plan.Intent, found plan.Found, bound boundPlaces) error {
	s := in.Side
	row := plan.Row{Date: in.Item.Date}
	if in.Row > 0 {
		if slices.ContainsFunc(r.due.Put, func(due *plan.Row) bool { return due.ID == in.Row }) {
			if err := r.flush(ctx); err != nil {
				return err
			}
		}
		rows, err := r.Index.Rows(ctx, []int64{in.Row})
		if err != nil {
			return indexFault(err)
		}
		if len(rows) == 0 {
			r.dueAlso(&plan.Settlement{Done: []int64{in.ID}})
			return nil
		}
		row = rows[0]
	}
	if in.Kind == plan.IntentPut {
		from := s.Other()
		if in.Item.Ident.Level() < mail.LevelBody && s == plan.Local {
			if err := r.side[s].Identify(ctx, in.To, []mail.Ref{found.At.Ref}, mail.LevelBody, func(_ mail.Ref, id mail.Identity, err error) error {
				in.Item.Ident = id
				return err
			}); err != nil {
				return err
			}
		}
		// It was copied from there, wherever the row remembers it.
		row.At[from], row.Epoch[from] = in.From, in.FromEpoch
		row.Ident[plan.Local], row.Ident[plan.Remote] = in.Item.Ident, in.Item.Ident
		// A keyword that is not there was perhaps never taken: it is carried
		// over again, since who removes it later is seen to.
		var missing mail.FlagSet
		for _, f := range in.Item.Flags.Minus(found.Flags).Keywords() {
			missing = missing.With(f)
		}
		row.Flags = [2]mail.FlagSet{in.Item.Flags.Minus(missing), in.Item.Flags.Minus(missing)}
		if from == plan.Local {
			row.Stat = in.Item.Stat
		}
		known, err := bound.in(ctx, r, from, in.From.Box)
		if err != nil {
			return err
		}
		if other := known[in.From.Ref]; other != 0 && other != row.ID { // another row is bound there
			r.dueAlso(&plan.Settlement{Done: []int64{in.ID}})
			return nil
		}
	}
	if in.Kind == plan.IntentMove {
		r.followed(&row, s.Other(), in.To)
	}
	row.At[s], row.Epoch[s] = found.At, found.Epoch
	if s == plan.Local {
		row.Stat = found.Stat
	}
	row.State = plan.Paired
	if row.At[s.Other()].IsZero() { // its epoch changed there: it is found again
		row.State = plan.Unbound
	}
	r.dueAlso(&plan.Settlement{
		Put: []*plan.Row{&row}, Done: []int64{in.ID},
		Events: []plan.Event{{Verb: string(VerbCopied), Side: s, Mailbox: r.name(s, in.To), Ident: in.Item.Ident.Body, Text: "found after an interrupted run"}},
	})
	for _, side := range plan.Sides {
		if known := bound[plan.SideBox{Side: side, Box: row.At[side].Box}]; known != nil {
			known[row.At[side].Ref] = cmp.Or(row.ID, -1) // its number comes with the settlement
		}
	}
	return nil
}

// followed makes a row remember that the other side had moved its message, too,
// to the mailbox to which it was found moved here: if it lies elsewhere there
// by now, that is another move, also if it is back where it was.
func (r *run) followed(row *plan.Row, other plan.Side, to mail.BoxID) {
	rec := r.record(to)
	if !r.KeepsRef[other] || row.At[other].IsZero() || row.At[other].Box == to || rec.Side[other].Epoch == "" {
		return
	}
	for _, box := range []mail.BoxID{row.At[other].Box, to} {
		if b := r.record(box); b != nil {
			b.Side[other].Cursor = "" // to be compared in full
		}
	}
	row.At[other] = plan.Place{Box: to, Ref: row.At[other].Ref}.Displaced(row.ID)
	row.Epoch[other] = rec.Side[other].Epoch
}
