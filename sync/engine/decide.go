package engine

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// decide loads the rows that something happened to and asks plan, answering
// its questions about identities until it has no more.
func (r *run) decide(ctx context.Context) (plan.Plan, error) {
	if err := r.reopen(ctx); err != nil {
		return plan.Plan{}, err
	}
	if err := r.rejoin(ctx); err != nil {
		return plan.Plan{}, err
	}
	rows, err := r.touched(ctx)
	if err != nil {
		return plan.Plan{}, err
	}
	r.setTokens()
	r.reject()
	in := plan.Input{Rows: rows, Boxes: r.pairs(), Policy: r.Policy, KeepsRef: r.KeepsRef, Unknown: r.intended}
	for {
		in.Changes = r.changes
		p := plan.Reconcile(in)
		if len(p.Asks) == 0 {
			r.guard(&p)
			r.restrict(&p)
			return p, nil
		}
		if err := r.answer(ctx, p.Asks); err != nil {
			return p, err
		}
	}
}

// touched loads the rows that the changes name, and those that wait.
func (r *run) touched(ctx context.Context) ([]plan.Row, error) {
	var ids []int64
	for i := range r.changes {
		if id := r.changes[i].Row; id != 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	rows, err := r.Index.Rows(ctx, slices.Compact(ids))
	if err != nil {
		return nil, indexFault(err)
	}
	byID := make(map[int64]*plan.Row, len(rows)) // of the lists: rows are large
	for i := range rows {
		byID[rows[i].ID] = &rows[i]
	}
	states := []plan.RowState{plan.Unbound, plan.Outside}
	if r.adopt {
		states = append(states, plan.Kept)
	}
	waiting, err := r.Index.RowsByState(ctx, states...)
	if err != nil {
		return nil, indexFault(err)
	}
	for _, list := range [][]plan.Row{waiting, r.unbind} {
		for i := range list {
			row := &list[i]
			if r.adopt && row.State != plan.Paired {
				if row.State == plan.Kept {
					r.kept[row.ID] = true
				}
				row.State = plan.Unbound
			}
			byID[row.ID] = row
		}
	}
	r.unbind = nil
	if err := r.unseenRows(ctx, byID); err != nil {
		return nil, err
	}
	r.forgetKept(byID)
	out := make([]plan.Row, 0, len(byID)) // never moved: r.rows points into it
	for _, row := range byID {
		if r.asleep(row) {
			continue
		}
		out = append(out, *row)
		row = &out[len(out)-1]
		row.NoBase = r.adopt
		r.rows[row.ID] = row
	}
	r.changes = slices.DeleteFunc(r.changes, func(c plan.Change) bool {
		return c.Row != 0 && r.rows[c.Row] == nil
	})
	return out, nil
}

// reopen lets rows go that were kept for want of rights which a mailbox now
// gives, or for a limit of size that it has no more: what one side lacks is copied to it.
func (r *run) reopen(ctx context.Context) error {
	var st plan.Settlement
	for i := range r.records {
		rec := &r.records[i]
		was := r.rights[rec.ID]
		if rec.Dormant || !r.limitMoved(rec, &st) && !moreRights(was[plan.Local], rec.Side[plan.Local].Rights) && !moreRights(was[plan.Remote], rec.Side[plan.Remote].Rights) {
			continue
		}
		rows, err := r.Index.RowsIn(ctx, rec.ID)
		if err != nil {
			return indexFault(err)
		}
		for _, row := range rows {
			if row.State == plan.Kept {
				row.State = plan.Unbound
				st.Put = append(st.Put, &row)
				r.unbind = append(r.unbind, row)
			}
		}
	}
	if !st.Empty() && !r.DryRun {
		if err := r.settle(ctx, &st); err != nil {
			return err
		}
	}
	r.reopened = !r.DryRun
	return nil
}

// moreRights tells whether now allows what was denied.
func moreRights(was, now plan.Rights) bool {
	return was.NoInsert && !now.NoInsert || was.NoDelete && !now.NoDelete
}

// unseenRows adds the rows of mailboxes that could not be scanned.
func (r *run) unseenRows(ctx context.Context, byID map[int64]*plan.Row) error {
	for i := range r.records {
		rec := &r.records[i]
		for _, s := range plan.Sides {
			if rec.ID <= 0 || rec.Dormant || !r.there[rec.ID][s] || r.view[plan.SideBox{Side: s, Box: rec.ID}] == plan.Complete {
				continue
			}
			rows, err := r.Index.RowsIn(ctx, rec.ID)
			if err != nil {
				return indexFault(err)
			}
			for i := range rows {
				if row := &rows[i]; byID[row.ID] == nil {
					byID[row.ID] = row
				}
			}
		}
	}
	return nil
}

// forgetKept makes new messages of those that an adoption finds where they
// were kept on one side alone: what each side kept may be one message.
func (r *run) forgetKept(byID map[int64]*plan.Row) {
	if !r.adopt {
		return
	}
	for i := range r.changes {
		c := &r.changes[i]
		row, ok := byID[c.Row]
		if !ok || c.Row == 0 || c.Kind != plan.KindFlags || !r.kept[row.ID] || row.At[c.Side] != c.At {
			continue
		}
		c.Kind, c.Row = plan.KindNew, 0
		if seen := c.Ident(); seen.Level() == mail.LevelNone {
			known := row.Ident[c.Side]
			known.GlobalID = orElse(seen.GlobalID, known.GlobalID)
			if known.Level() > mail.LevelNone {
				c.Learn(known)
			}
		}
		if c.Date.IsZero() {
			c.Date = row.Date
		}
		r.forgotten = append(r.forgotten, row.ID)
		delete(byID, row.ID)
	}
}

// asleep tells whether a row lies in a mailbox that is out of scope.
func (r *run) asleep(row *plan.Row) bool {
	for _, s := range plan.Sides {
		if row.At[s].IsZero() {
			continue
		}
		if rec := r.record(row.At[s].Box); rec == nil || rec.Dormant {
			return true
		}
	}
	return false
}

// setTokens gives the server's new messages the names that files placed for
// them bear, where there are such files to be recognised.
func (r *run) setTokens() {
	need := slices.ContainsFunc(r.changes, func(c plan.Change) bool {
		return c.Side == plan.Local && c.Kind == plan.KindNew && c.Token() != ""
	})
	for i := range r.changes {
		if c := &r.changes[i]; need && c.Side == plan.Remote && c.Kind == plan.KindNew {
			c.NameFor(r.token(c.At, c.Epoch))
		}
	}
}

func (r *run) token(at plan.Place, epoch string) string {
	return mail.Token(r.meta[metaInstance], r.name(plan.Remote, at.Box), epoch, at.Ref)
}

// reject marks the changes that were held and that the user rejects.
func (r *run) reject() {
	if !r.Reject {
		return
	}
	for i := range r.changes {
		if h, ok := r.held[r.changes[i].Row]; ok && h.Side == r.changes[i].Side {
			r.changes[i].Rejected = true
		}
	}
}

// pairs are the mailboxes in scope as the plan needs them.
func (r *run) pairs() []plan.BoxPair {
	var out []plan.BoxPair
	for i := range r.records {
		rec := &r.records[i]
		if rec.Dormant {
			continue
		}
		p := plan.BoxPair{ID: rec.ID, Role: rec.Role, There: r.there[rec.ID]}
		for _, s := range plan.Sides {
			p.Name[s] = rec.Side[s].Name
			p.Rights[s] = rec.Side[s].Rights
			p.View[s] = r.view[plan.SideBox{Side: s, Box: rec.ID}]
		}
		out = append(out, p)
	}
	return out
}

// answer learns the identities that the plan asks for.
func (r *run) answer(ctx context.Context, asks []plan.Ask) error {
	at := map[plan.SideBox]map[mail.Ref]*plan.Change{}
	for i := range r.changes {
		c := &r.changes[i]
		if c.Kind != plan.KindNew {
			continue
		}
		key := plan.SideBox{Side: c.Side, Box: c.At.Box}
		if at[key] == nil {
			at[key] = map[mail.Ref]*plan.Change{}
		}
		at[key][c.At.Ref] = c
	}
	type request struct {
		key   plan.SideBox
		level mail.Level
	}
	refs := map[request][]mail.Ref{}
	var order []request
	for _, a := range asks {
		q := request{plan.SideBox{Side: a.Side, Box: a.At.Box}, a.Level}
		if refs[q] == nil {
			order = append(order, q)
		}
		refs[q] = append(refs[q], a.At.Ref)
	}
	for _, q := range order {
		if err := r.identify(ctx, q.key, refs[q], q.level, at[q.key]); err != nil {
			return err
		}
	}
	return nil
}

// identify asks one side about messages of one mailbox. What cannot be had
// makes the message unreadable for this run, so that the asking ends.
func (r *run) identify(ctx context.Context, key plan.SideBox, refs []mail.Ref, level mail.Level, at map[mail.Ref]*plan.Change) error {
	err := r.side[key.Side].Identify(ctx, key.Box, refs, level, func(ref mail.Ref, id mail.Identity, err error) error {
		c := at[ref]
		if c == nil || err != nil {
			if err != nil && ctx.Err() == nil {
				r.fault(key.Side, r.name(key.Side, key.Box), err, false)
			}
			return nil
		}
		if id.GlobalID == "" {
			id.GlobalID = c.Ident().GlobalID
		}
		c.Learn(id)
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		if mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
			return err
		}
		r.fault(key.Side, r.name(key.Side, key.Box), err, false)
	}
	for _, ref := range refs {
		if c := at[ref]; c != nil {
			known := c.Ident()
			c.Unreadable = c.Unreadable || known.Level() < level
		}
	}
	return nil
}

// guard holds what looks like a catastrophe.
func (r *run) guard(p *plan.Plan) {
	in := plan.GuardInput{
		Percent: r.GuardPercent, Counts: r.counts,
		Recent: map[mail.BoxID]int{}, Roles: map[mail.BoxID]mail.Role{}, Passed: map[int64]bool{}, PassedFlags: map[int64]bool{}, Held: map[int64]bool{},
	}
	day := r.Clock().Add(-guardWindow)
	for _, l := range r.losses {
		// One from the future was made by a clock that was wrong.
		if !l.Accepted && l.At.After(day) && l.At.Before(r.Clock().Add(guardWindow)) {
			in.Recent[l.Box] += l.Count
		}
	}
	for i := range r.records {
		in.Roles[r.records[i].ID] = r.records[i].Role
	}
	flags := r.heldFlags()
	for row := range r.held {
		in.Held[row] = !flags[row]
		if r.Accept {
			in.Passed[row], in.PassedFlags[row] = !flags[row], flags[row]
		}
	}
	if r.Accept {
		r.passed = in.Passed
	}
	plan.Guard(p, in)
}

// heldFlags are the held rows that lost flags, not their message: who accepts
// the one has not accepted the other.
func (r *run) heldFlags() map[int64]bool {
	out := map[int64]bool{}
	for _, p := range r.was {
		if p.Why == plan.ReasonFlagGuard {
			out[p.Row] = true
		}
	}
	return out
}

// restrict leaves out of the plan what concerns mailboxes that this run is
// not about. All mailboxes were scanned: a message that moved between them
// must not look deleted.
func (r *run) restrict(p *plan.Plan) {
	if r.Only == nil {
		return
	}
	in := func(box mail.BoxID, settle []plan.Ref) bool {
		if r.Only(r.name(plan.Remote, box)) {
			return true
		}
		for _, ref := range settle {
			r.unsettled[plan.SideBox{Side: ref.Side, Box: ref.At.Box}] = true
		}
		return false
	}
	p.Gains = slices.DeleteFunc(p.Gains, func(g plan.Gain) bool { return !in(g.Box, g.Settle()) })
	p.Flags = slices.DeleteFunc(p.Flags, func(o plan.FlagOp) bool { return !in(o.At.Box, o.Settle) })
	p.Moves = slices.DeleteFunc(p.Moves, func(m plan.Move) bool { return !in(m.From.Box, m.Settle) && !in(m.To, m.Settle) })
	p.Losses = slices.DeleteFunc(p.Losses, func(l plan.Loss) bool { return !in(l.At.Box, l.Settle) })
	p.Holds = slices.DeleteFunc(p.Holds, func(h plan.Hold) bool {
		// What the guard holds stays held, whatever this run is about.
		return h.Why != plan.ReasonGuard && h.Why != plan.ReasonFlagGuard && !in(h.Ref.At.Box, []plan.Ref{h.Ref})
	})
}
