package engine

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// rejoin makes new messages of those that one side keeps to itself, in
// mailboxes where the other side has something new: it may be the same. It
// matters to a policy that copies one way only. There a message that is seen on
// the side that is copied to before it is seen on the other, which may not have
// been readable then, would be copied beside itself.
func (r *run) rejoin(ctx context.Context) error {
	if r.adopt {
		return nil
	}
	var kept []plan.Row
	for _, s := range plan.Sides {
		if r.Policy.Gain[s] {
			continue // what the other side kept has a reason of its own
		}
		news := map[mail.BoxID][]int64{}
		for i := range r.changes {
			if c := &r.changes[i]; c.Side == s && c.Kind == plan.KindNew && c.At.Box > 0 {
				news[c.At.Box] = append(news[c.At.Box], c.Ident().Size)
			}
		}
		if len(news) == 0 {
			continue
		}
		for _, sizes := range news {
			slices.Sort(sizes)
		}
		if kept == nil {
			var err error
			if kept, err = r.Index.RowsByState(ctx, plan.Kept); err != nil {
				return indexFault(err)
			}
		}
		r.rejoinSide(s.Other(), kept, news)
	}
	return nil
}

// nearSize tells whether one of these sizes, which rise, is about that of a
// message. Servers tell sizes that are a little off; of a message that is far
// from all that is new nothing need be written.
func nearSize(sizes []int64, of int64) bool {
	slack := of/8 + 1024
	i, _ := slices.BinarySearch(sizes, of-slack)
	return of == 0 || len(sizes) > 0 && sizes[0] == 0 || i < len(sizes) && sizes[i] <= of+slack
}

// rejoinSide makes new messages of those that side s alone has in mailboxes
// where the other side has new ones of about their sizes. Their rows are
// forgotten when the plan is carried out.
func (r *run) rejoinSide(s plan.Side, rows []plan.Row, news map[mail.BoxID][]int64) {
	alone := map[int64]*plan.Row{}
	for i := range rows {
		row := &rows[i]
		if !row.At[s].IsZero() && row.At[s.Other()].IsZero() && len(news[row.At[s].Box]) > 0 && nearSize(news[row.At[s].Box], row.Ident[s].Size) {
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
}
