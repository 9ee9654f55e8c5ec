package engine

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// rejoin makes new messages of those that one side keeps to itself, in
// mailboxes where the other side has something new: it may be the same. It is
// for a policy that copies one way only. There a message that is seen on the
// side that is copied to before it is seen on the other, which may not have
// been readable then, would be copied beside itself.
func (r *run) rejoin(ctx context.Context) error {
	if !r.Rejoin || r.adopt {
		return nil
	}
	for _, s := range plan.Sides {
		if r.Policy.Gain[s] {
			continue // what the other side kept has a reason of its own
		}
		done := map[mail.BoxID]bool{}
		for _, c := range r.changes {
			if c.Side != s || c.Kind != plan.KindNew || done[c.At.Box] || c.At.Box <= 0 {
				continue
			}
			done[c.At.Box] = true
			if err := r.rejoinBox(ctx, s.Other(), c.At.Box); err != nil {
				return err
			}
		}
	}
	return nil
}

// rejoinBox makes new messages of those that side s alone has in a mailbox.
// Their rows are forgotten when the plan is carried out.
func (r *run) rejoinBox(ctx context.Context, s plan.Side, box mail.BoxID) error {
	rows, err := r.Index.RowsIn(ctx, box)
	if err != nil {
		return indexFault(err)
	}
	alone := map[int64]*plan.Row{}
	for i := range rows {
		if row := &rows[i]; row.State == plan.Kept && row.At[s].Box == box && !row.At[s].IsZero() && row.At[s.Other()].IsZero() {
			alone[row.ID] = row
		}
	}
	for i := range r.changes {
		c := &r.changes[i]
		row := alone[c.Row]
		if c.Row == 0 || c.Side != s || row == nil {
			continue
		}
		delete(alone, c.Row)
		if c.Kind == plan.KindFlags {
			c.Kind, c.Row = plan.KindNew, 0
			if known := row.Ident[s]; known.Level() > c.Ident().Level() {
				c.Learn(known)
			}
			r.forgotten = append(r.forgotten, row.ID)
		}
	}
	for i := range rows { // in the order of the index
		row := &rows[i]
		if alone[row.ID] == nil {
			continue
		}
		item := mail.Item{Flags: row.Flags[s], Date: row.Date, Ident: row.Ident[s]}
		if s == plan.Local {
			item.Stat = row.Stat
		}
		r.changes = append(r.changes, plan.Change{Side: s, Kind: plan.KindNew, At: row.At[s], Epoch: row.Epoch[s]}.Of(item))
		r.forgotten = append(r.forgotten, row.ID)
	}
	return nil
}
