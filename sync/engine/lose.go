package engine

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// guardWindow is how far back the guard counts deletions.
const guardWindow = 24 * time.Hour

// lose removes what the other side removed: after a second look, and after
// its bytes are safe.
func (r *run) lose(ctx context.Context, p *plan.Plan) error {
	sure, err := r.confirm(ctx, p.Losses)
	if err != nil {
		for _, l := range p.Losses {
			r.unsettle(l.Settle)
		}
		if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
			return err
		}
		r.fault(plan.Remote, "", fmt.Errorf("deletions wait, a second look failed: %w", err), false)
		return nil
	}
	for i, chunk := range chunkLosses(sure) {
		if err := r.loseChunk(ctx, chunk); err != nil {
			for _, rest := range chunkLosses(sure)[i:] {
				for _, l := range rest {
					r.unsettle(l.Settle)
				}
			}
			return err
		}
	}
	return nil
}

// chunkLosses groups by side and mailbox, in chunks.
func chunkLosses(losses []plan.Loss) [][]plan.Loss {
	sorted := slices.Clone(losses)
	slices.SortStableFunc(sorted, func(a, b plan.Loss) int {
		if a.Side != b.Side {
			return int(a.Side) - int(b.Side)
		}
		return int(a.At.Box - b.At.Box)
	})
	var out [][]plan.Loss
	for i, l := range sorted {
		if i > 0 {
			last := out[len(out)-1]
			if last[0].Side == l.Side && last[0].At.Box == l.At.Box && len(last) < chunkMessages {
				out[len(out)-1] = append(last, l)
				continue
			}
		}
		out = append(out, []plan.Loss{l})
	}
	return out
}

// confirm looks a second time, on the side where the messages are gone, and
// keeps those losses that are beyond doubt.
func (r *run) confirm(ctx context.Context, losses []plan.Loss) ([]plan.Loss, error) {
	var out []plan.Loss
	for _, s := range plan.Sides { // the side where they are gone
		var gone []plan.Gone
		bound := r.boundOn(ctx, s)
		byPlace := map[plan.Place]plan.Loss{}
		for _, l := range losses {
			row := r.rows[l.Row]
			if l.Side.Other() != s || row == nil {
				continue
			}
			if r.halfMoved(row.Ident[s]) {
				r.holdLoss(l, plan.ReasonGainFailed, "")
				continue
			}
			rec := r.record(row.At[s].Box)
			if row.At[s].IsDisplaced() || rec != nil && !r.there[rec.ID][s] {
				// Another message has its name now, or its whole mailbox is gone.
				out = append(out, l)
				continue
			}
			gone = append(gone, plan.Gone{At: row.At[s], Ident: row.Ident[s], Bound: bound})
			byPlace[row.At[s]] = l
		}
		if len(gone) == 0 {
			continue
		}
		sure, outside, err := r.side[s].Confirm(ctx, gone)
		if err != nil {
			return nil, err
		}
		for _, at := range sure {
			if l, ok := byPlace[at]; ok {
				out = append(out, l)
				delete(byPlace, at)
			}
		}
		for _, at := range outside {
			if l, ok := byPlace[at]; ok {
				delete(byPlace, at)
				if err := r.leftScope(ctx, l, s); err != nil {
					return nil, err
				}
			}
		}
		for _, l := range byPlace {
			r.holdLoss(l, plan.ReasonUnconfirmed, "something moved while it was looked at")
		}
	}
	return out, nil
}

// gainSure copies what is to be copied, and is beyond doubt.
func (r *run) gainSure(ctx context.Context, p *plan.Plan) error {
	if err := r.confirmRegains(ctx, p); err != nil {
		return err
	}
	return r.gain(ctx, p)
}

// confirmRegains looks a second time before it copies back a message that was
// moved on one side and deleted on the other: if it was moved there, too, into
// a mailbox that was already looked at, the copy would be one too many.
func (r *run) confirmRegains(ctx context.Context, p *plan.Plan) error {
	doubted := map[*plan.Row]bool{}
	for _, s := range plan.Sides {
		var gone []plan.Gone
		at, bound := map[plan.Place]*plan.Row{}, r.boundOn(ctx, s)
		for _, g := range p.Gains {
			if g.To != s || g.Why != plan.ReasonMoveBeats || g.Row == nil {
				continue
			}
			row := r.rows[g.Row.ID]
			if row == nil || row.At[s].IsZero() || row.At[s].IsDisplaced() {
				continue
			}
			if rec := r.record(row.At[s].Box); rec == nil || !r.there[rec.ID][s] {
				continue
			}
			gone = append(gone, plan.Gone{At: row.At[s], Ident: row.Ident[s], Bound: bound})
			at[row.At[s]], doubted[g.Row] = g.Row, true
		}
		if len(gone) == 0 {
			continue
		}
		sure, outside, err := r.side[s].Confirm(ctx, gone)
		if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount) {
			return err
		}
		if err != nil {
			r.fault(s, "", fmt.Errorf("messages that were moved wait, a second look failed: %w", err), false)
			continue
		}
		for _, place := range append(sure, outside...) {
			delete(doubted, at[place])
		}
	}
	p.Gains = slices.DeleteFunc(p.Gains, func(g plan.Gain) bool {
		if g.Row == nil || !doubted[g.Row] {
			return false
		}
		for _, ref := range g.Settle() {
			r.hold(plan.Hold{Ref: ref, Row: g.Row.ID, Why: plan.ReasonUnconfirmed, Text: "something moved while it was looked at"})
		}
		return true
	})
	return nil
}

// holdLoss keeps every change that a loss would settle.
func (r *run) holdLoss(l plan.Loss, why plan.Reason, text string) {
	for _, ref := range l.Settle {
		r.hold(plan.Hold{Ref: ref, Row: l.Row, Why: why, Text: text})
	}
}

// boundOn tells of places of one side whether a row is bound there. What
// cannot be looked up counts as not bound. A few places are looked up one by
// one, of a mailbox that is asked for many the whole is read.
func (r *run) boundOn(ctx context.Context, s plan.Side) func(plan.Place) bool {
	asked, boxes := map[mail.BoxID]int{}, map[mail.BoxID]map[mail.Ref]bool{}
	return func(at plan.Place) bool {
		refs, ok := boxes[at.Box]
		if asked[at.Box]++; !ok && asked[at.Box] > boundMost {
			refs, _ = r.boundIn(ctx, s, at.Box)
			boxes[at.Box], ok = refs, true
		}
		if ok {
			return refs[at.Ref]
		}
		bound := false
		_, err := r.Index.KnownAt(ctx, s, at.Box, []mail.Ref{at.Ref}, func(plan.Known) error {
			bound = true
			return nil
		})
		return bound && err == nil
	}
}

// boundMost is how many places of a mailbox are looked up one by one.
const boundMost = 200

// leftScope records a message that was moved to a mailbox out of scope: it is
// not deleted on the other side.
func (r *run) leftScope(ctx context.Context, l plan.Loss, s plan.Side) error {
	row := r.rows[l.Row]
	r.noteOf(plan.Note{Side: s, At: row.At[s], Row: row.ID, Why: plan.ReasonOutside, Text: "moved to a mailbox that is out of scope: left on the other side"})
	if r.DryRun {
		return nil
	}
	row.At[s], row.Epoch[s], row.State = plan.Place{}, "", plan.Outside
	return r.settle(ctx, &plan.Settlement{Put: []*plan.Row{row}})
}

func (r *run) loseChunk(ctx context.Context, losses []plan.Loss) error {
	s := losses[0].Side
	kept, err := r.keep(ctx, losses)
	if err != nil {
		return err
	}
	ops := make([]plan.Op, len(kept))
	for i, l := range kept {
		row := r.rows[l.Row]
		ops[i] = plan.Op{Tag: i, Kind: plan.OpDelete, From: l.At, Expect: row.Ident[s], Has: row.Flags[s]}
		if s == plan.Local {
			ops[i].Stat = row.Stat
		}
	}
	return r.do(ctx, s, ops, func(out []plan.Outcome) error { return r.lost(ctx, kept, out) },
		func(i int) []plan.Ref { return kept[i].Settle })
}

// lost settles deletions that have an outcome.
func (r *run) lost(ctx context.Context, list []plan.Loss, out []plan.Outcome) error {
	var st plan.Settlement
	counts := map[bool]map[mail.BoxID]int{false: {}, true: {}}
	for _, o := range out {
		l := list[o.Tag]
		row := r.rows[l.Row]
		switch o.Result {
		case plan.Done:
		case plan.Declined:
			row.At[l.Side.Other()], row.Epoch[l.Side.Other()], row.State = plan.Place{}, "", plan.Kept
			st.Put = append(st.Put, row)
			r.declined(l.Side, l.At.Box, "deletions", true)
			continue
		default:
			r.notDone(l.Side, l.At.Box, l.Settle, o)
			continue
		}
		st.Drop = append(st.Drop, row.ID)
		st.Release = append(st.Release, row.ID)
		r.dropped[row.ID] = true
		accepted := r.passed[row.ID]
		why := "deleted " + where(l.Side.Other())
		if accepted {
			why += ", held, and accepted"
		}
		counts[accepted][l.At.Box]++
		r.report.Deleted[l.Side]++
		r.did(Event{Verb: VerbDeleted, Side: l.Side, Mailbox: r.name(l.Side, l.At.Box), Ref: l.At.Ref, Row: row.ID, Digest: bodyOf(row), Size: row.Ident[l.Side].Size,
			Text: why})
	}
	for accepted, boxes := range counts {
		for box, n := range boxes {
			st.Losses = append(st.Losses, plan.LossRecord{Box: box, At: r.Clock(), Count: n, Accepted: accepted})
		}
	}
	st.Events = r.takeEvents()
	if len(st.Drop)+len(st.Put) == 0 {
		return nil
	}
	return r.settle(ctx, &st)
}

// keep stores the bytes of what is about to be deleted. A message that cannot
// be kept is not deleted.
func (r *run) keep(ctx context.Context, losses []plan.Loss) ([]plan.Loss, error) {
	s := losses[0].Side
	role := mail.RoleNone
	if rec := r.record(losses[0].At.Box); rec != nil {
		role = rec.Role
	}
	if r.Keeper == nil || s == plan.Remote && (role == mail.RoleTrash || role == mail.RoleJunk) {
		return losses, nil
	}
	byRef := map[mail.Ref]plan.Loss{}
	refs := make([]mail.Ref, len(losses))
	for i, l := range losses {
		refs[i] = l.At.Ref
		byRef[l.At.Ref] = l
	}
	ok := map[mail.Ref]bool{}
	err := r.side[s].Fetch(ctx, losses[0].At.Box, refs, func(ref mail.Ref, item mail.Item, body io.Reader) error {
		l, asked := byRef[ref]
		if !asked {
			return nil
		}
		row := r.rows[l.Row]
		item.Date = row.Date
		what := Kept{Side: s, Mailbox: r.name(s, l.At.Box), Item: item, Why: "deleted " + where(s.Other())}
		want := row.Ident[s]
		if s == plan.Remote {
			want = mail.Identity{} // what the server gives is what it deletes
		}
		if e := r.Keeper.Keep(ctx, what, want, body); e != nil {
			if mail.GradeOf(e, mail.GradeMessage) >= mail.GradeAccount {
				return e
			}
			r.fault(s, what.Mailbox, fmt.Errorf("message %s is not deleted, its copy could not be kept: %w", ref, e), false)
			return nil
		}
		ok[ref] = true
		return nil
	})
	if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount) {
		return nil, err
	}
	if err != nil {
		r.fault(s, r.name(s, losses[0].At.Box), err, false)
	}
	return slices.DeleteFunc(slices.Clone(losses), func(l plan.Loss) bool {
		if ok[l.At.Ref] {
			return false
		}
		r.unsettle(l.Settle)
		r.unsettled[plan.SideBox{Side: s, Box: l.At.Box}] = true
		return true
	}), nil
}
