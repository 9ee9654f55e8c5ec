package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// decide loads the rows that something happened to and asks plan, answering
// its questions about identities until it has no more.
func (r *run) decide(ctx context.Context) (plan.Plan, error) {
	rows, err := r.touched(ctx)
	if err != nil {
		return plan.Plan{}, err
	}
	r.setTokens()
	r.reject()
	in := plan.Input{Rows: rows, Boxes: r.pairs(), Policy: r.Policy, KeepsRef: r.KeepsRef}
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
	byID := make(map[int64]plan.Row, len(rows))
	for _, row := range rows {
		byID[row.ID] = row
	}
	states := []plan.RowState{plan.Unbound, plan.Outside}
	if r.adopt {
		states = append(states, plan.Kept)
	}
	waiting, err := r.Index.RowsByState(ctx, states...)
	if err != nil {
		return nil, indexFault(err)
	}
	for _, row := range append(waiting, r.unbind...) {
		if r.adopt && row.State != plan.Paired {
			row.State = plan.Unbound
		}
		byID[row.ID] = row
	}
	if err := r.unseenRows(ctx, byID); err != nil {
		return nil, err
	}
	out := make([]plan.Row, 0, len(byID))
	for _, row := range byID {
		if r.intended[row.ID] || r.asleep(row) {
			continue
		}
		row.NoBase = r.adopt
		out = append(out, row)
		r.rows[row.ID] = &row
	}
	r.changes = slices.DeleteFunc(r.changes, func(c plan.Change) bool {
		return c.Row != 0 && r.rows[c.Row] == nil
	})
	return out, nil
}

// unseenRows adds the rows of mailboxes that could not be scanned.
func (r *run) unseenRows(ctx context.Context, byID map[int64]plan.Row) error {
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
			for _, row := range rows {
				if _, ok := byID[row.ID]; !ok {
					byID[row.ID] = row
				}
			}
		}
	}
	return nil
}

// asleep tells whether a row lies in a mailbox that is out of scope.
func (r *run) asleep(row plan.Row) bool {
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
		return c.Side == plan.Local && c.Kind == plan.KindNew && c.Item.Token != ""
	})
	for i := range r.changes {
		if c := &r.changes[i]; need && c.Side == plan.Remote && c.Kind == plan.KindNew {
			c.Item.Token = r.token(c.At, c.Epoch)
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
			id.GlobalID = c.Item.Ident.GlobalID
		}
		c.Item.Ident = id
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
		if c := at[ref]; c != nil && c.Item.Ident.Level() < level {
			c.Unreadable = true
		}
	}
	return nil
}

// guard holds what looks like a catastrophe.
func (r *run) guard(p *plan.Plan) {
	in := plan.GuardInput{
		Percent: r.GuardPercent, Counts: r.counts,
		Recent: map[mail.BoxID]int{}, Roles: map[mail.BoxID]mail.Role{}, Passed: map[int64]bool{},
	}
	day := r.Clock().Add(-guardWindow)
	for _, l := range r.losses {
		if !l.Accepted && l.At.After(day) {
			in.Recent[l.Box] += l.Count
		}
	}
	for i := range r.records {
		in.Roles[r.records[i].ID] = r.records[i].Role
	}
	if r.Accept {
		for row := range r.held {
			in.Passed[row] = true
		}
	}
	plan.Guard(p, in)
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
	p.Gains = slices.DeleteFunc(p.Gains, func(g plan.Gain) bool { return !in(g.Box, g.Settle) })
	p.Flags = slices.DeleteFunc(p.Flags, func(o plan.FlagOp) bool { return !in(o.At.Box, o.Settle) })
	p.Moves = slices.DeleteFunc(p.Moves, func(m plan.Move) bool { return !in(m.From.Box, m.Settle) && !in(m.To, m.Settle) })
	p.Losses = slices.DeleteFunc(p.Losses, func(l plan.Loss) bool { return !in(l.At.Box, l.Settle) })
	p.Holds = slices.DeleteFunc(p.Holds, func(h plan.Hold) bool { return !in(h.Ref.At.Box, []plan.Ref{h.Ref}) })
}

// resolveIntents asks the sides what became of effects that an earlier run
// began and did not record.
func (r *run) resolveIntents(ctx context.Context) error {
	intents, err := r.Index.Intents(ctx)
	if err != nil {
		return indexFault(err)
	}
	for _, in := range intents {
		if err := r.resolve(ctx, in); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) resolve(ctx context.Context, in plan.Intent) error {
	s := in.Side
	rec := r.record(in.To)
	if r.DryRun {
		return nil
	}
	lost := rec == nil || rec.Dormant || !r.there[rec.ID][s] || r.reset[plan.SideBox{Side: s, Box: in.To}] ||
		in.Epoch != "" && r.survey[s][rec.Side[s].Name].Epoch != "" && r.survey[s][rec.Side[s].Name].Epoch != in.Epoch
	if lost || in.Kind != plan.IntentPut && in.Kind != plan.IntentMove {
		// Whatever was there is matched by identity, as any other message.
		return r.settle(ctx, &plan.Settlement{Done: []int64{in.ID}})
	}
	known, err := r.boundIn(ctx, s, in.To)
	if err != nil {
		return err
	}
	found, err := r.side[s].Resolve(ctx, in, func(ref mail.Ref) bool { return known[ref] })
	if err != nil {
		if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
			return err
		}
		r.fault(s, r.name(s, in.To), err, false)
		found.State = plan.FoundUnknown
	}
	switch found.State {
	case plan.FoundThere:
		return r.bindFound(ctx, in, found)
	case plan.FoundAbsent:
		return r.settle(ctx, &plan.Settlement{Done: []int64{in.ID}})
	}
	r.holdIntent(in)
	return nil
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
		r.intended[in.Row] = true
	}
	r.unsettled[key] = true
	r.pend(plan.Pending{Side: key.Side, At: in.From, Kind: plan.KindNew, Row: in.Row, Why: plan.ReasonUnknown, Text: "sent, but it is not known yet whether it arrived", Ident: in.Item.Ident})
}

// bindFound records an effect that had happened. The flags given with it are
// the base on both sides, so that what was changed since is seen as change.
func (r *run) bindFound(ctx context.Context, in plan.Intent, found plan.Found) error {
	s := in.Side
	row := plan.Row{Date: in.Item.Date}
	if in.Row > 0 {
		rows, err := r.Index.Rows(ctx, []int64{in.Row})
		if err != nil {
			return indexFault(err)
		}
		if len(rows) == 0 {
			return r.settle(ctx, &plan.Settlement{Done: []int64{in.ID}})
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
		if row.At[from].IsZero() {
			row.At[from], row.Epoch[from] = in.From, in.FromEpoch
		}
		row.Ident[plan.Local], row.Ident[plan.Remote] = in.Item.Ident, in.Item.Ident
		row.Flags = [2]mail.FlagSet{in.Item.Flags, in.Item.Flags}
		if from == plan.Local {
			row.Stat = in.Item.Stat
		}
		taken, err := r.taken(ctx, from, row)
		if err != nil || taken {
			return errors.Join(err, r.settle(ctx, &plan.Settlement{Done: []int64{in.ID}}))
		}
	}
	row.At[s], row.Epoch[s] = found.At, found.Epoch
	if s == plan.Local {
		row.Stat = found.Stat
	}
	row.State = plan.Paired
	return r.settle(ctx, &plan.Settlement{
		Put: []*plan.Row{&row}, Done: []int64{in.ID},
		Events: []plan.Event{{Verb: string(VerbCopied), Side: s, Mailbox: r.name(s, in.To), Ident: in.Item.Ident.Body, Text: "found after an interrupted run"}},
	})
}

// taken tells whether another row is bound where a new row would be.
func (r *run) taken(ctx context.Context, s plan.Side, row plan.Row) (bool, error) {
	known, err := r.boundIn(ctx, s, row.At[s].Box)
	return err == nil && row.ID == 0 && known[row.At[s].Ref], err
}
