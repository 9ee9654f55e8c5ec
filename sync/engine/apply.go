package engine

import (
	"context"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// How much goes into one transaction, so that a run that dies has lost little
// work and memory stays bounded.
const (
	chunkMessages = 1000
	chunkBytes    = 32 << 20
)

// chunk is how many messages go together.
func (r *run) chunk() int {
	if r.ChunkMessages > 0 {
		return r.ChunkMessages
	}
	return chunkMessages
}

// apply carries out the plan, gains before losses. An error ends the run; what
// was done until then is settled.
func (r *run) apply(ctx context.Context, p *plan.Plan) error {
	for _, h := range p.Holds {
		r.hold(h)
	}
	for _, n := range p.Notes {
		r.noteOf(n)
	}
	work := len(p.Binds)+len(p.Drops)+len(p.Gains)+len(p.Flags)+len(p.Moves)+len(p.Losses)+len(r.removes)+len(r.doubles) > 0
	if work || r.adopt || r.meta[metaMode] != r.Mode || r.meta[metaBound] != r.Bound || r.root != nil && !r.root.Marked {
		if err := r.stampRoot(ctx); err != nil {
			return err
		}
	}
	if work {
		r.dueEpochs()
		r.dueHeld()
	}
	steps := []func(context.Context, *plan.Plan) error{r.bind, r.gainSure, r.flag, r.move, r.lose, r.moveRest, r.dropDoubles, r.removeBoxes}
	for i, step := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := step(ctx, p); err != nil {
			r.leaveRest(p, i)
			return err
		}
	}
	return nil
}

// leaveRest marks what was not begun as unsettled.
func (r *run) leaveRest(p *plan.Plan, from int) {
	if from <= 1 {
		for i := range p.Gains {
			r.unsettle(p.Gains[i].Settle())
		}
	}
	if from <= 2 {
		for _, o := range p.Flags {
			r.unsettle(o.Settle)
		}
	}
	if from <= 3 {
		for _, m := range p.Moves {
			r.unsettle(m.Settle)
		}
	}
	for _, l := range p.Losses {
		r.unsettle(l.Settle)
	}
	for _, b := range p.Binds {
		r.unsettle(b.Settle)
	}
}

func (r *run) unsettle(refs []plan.Ref) {
	for _, ref := range refs {
		r.unsettled[plan.SideBox{Side: ref.Side, Box: ref.At.Box}] = true
	}
}

// bind records what is so already on both sides.
func (r *run) bind(ctx context.Context, p *plan.Plan) error {
	if err := r.drop(ctx, append(slices.Clone(p.Drops), r.forgotten...)); err != nil {
		return err
	}
	if err := r.makeWay(ctx, p.Binds); err != nil {
		return err
	}
	for chunk := range slices.Chunk(p.Binds, 2*chunkMessages) {
		rows := make([]*plan.Row, len(chunk))
		ids := make([]int64, len(chunk))
		for i := range chunk {
			row := chunk[i].Row
			ids[i] = row.ID
			row.ID = max(row.ID, 0)
			rows[i] = &row
		}
		if err := r.settle(ctx, &plan.Settlement{Put: rows}); err != nil {
			return err
		}
		for i, row := range rows {
			r.rows[ids[i]] = row
			if chunk[i].Why == "adopted" {
				r.report.Adopted++
				r.did(Event{Verb: VerbAdopted, Side: plan.Local, Mailbox: r.name(plan.Local, row.At[plan.Local].Box), Row: row.ID, Digest: bodyOf(row)})
			}
		}
	}
	return nil
}

// makeWay takes rows out of places that other rows take, where the binds are
// too many for one transaction: within one, rows may exchange places.
func (r *run) makeWay(ctx context.Context, binds []plan.Bind) error {
	if len(binds) <= 2*chunkMessages {
		return nil
	}
	var taken [2]map[plan.Place]int64
	for _, s := range plan.Sides {
		taken[s] = make(map[plan.Place]int64, len(binds))
		for i := range binds {
			taken[s][binds[i].Row.At[s]] = binds[i].Row.ID
		}
	}
	var leaving []*plan.Row
	for i := range binds {
		old := r.rows[binds[i].Row.ID]
		if old == nil || old.ID <= 0 {
			continue
		}
		row, leaves := *old, false
		for _, s := range plan.Sides {
			if by, ok := taken[s][row.At[s]]; ok && by != row.ID && !row.At[s].IsZero() {
				row.At[s], leaves = row.At[s].Displaced(row.ID), true
			}
		}
		if leaves {
			leaving = append(leaving, &row)
		}
	}
	for chunk := range slices.Chunk(leaving, 2*chunkMessages) {
		if err := r.settle(ctx, &plan.Settlement{Put: chunk}); err != nil {
			return err
		}
	}
	return nil
}

func bodyOf(row *plan.Row) mail.Digest {
	if d := row.Ident[plan.Local].Body; !d.IsZero() {
		return d
	}
	return row.Ident[plan.Remote].Body
}

// drop forgets rows whose message is gone on both sides.
func (r *run) drop(ctx context.Context, ids []int64) error {
	for chunk := range slices.Chunk(ids, 2*chunkMessages) {
		for _, id := range chunk {
			r.dropped[id] = true
			if row := r.rows[id]; row != nil {
				r.log(logGone, Event{Mailbox: r.name(plan.Local, row.At[plan.Local].Box), Row: id, Text: "it is on neither side any more"})
			}
		}
		if err := r.settle(ctx, &plan.Settlement{Drop: chunk, Events: r.takeEvents()}); err != nil {
			return err
		}
	}
	return nil
}

// flag carries flags over. Where they are the last effects of the run, what
// became of them is recorded with its end: whoever sees a flag on both sides
// has nothing to carry over.
func (r *run) flag(ctx context.Context, p *plan.Plan) error {
	r.flagsLast = len(p.Flags) <= 2*chunkMessages && len(p.Moves)+len(p.Losses)+len(r.doubles)+len(r.removes) == 0
	for _, s := range plan.Sides {
		var list []plan.FlagOp
		for _, o := range p.Flags {
			if o.Side == s {
				list = append(list, o)
			}
		}
		ops := make([]plan.Op, len(list))
		for i, o := range list {
			row := r.rows[o.Row]
			ops[i] = plan.Op{Tag: i, Kind: plan.OpFlags, From: o.At, Add: o.Add, Remove: o.Remove, Expect: row.Ident[s], Has: row.Flags[s]}
		}
		err := r.do(ctx, s, ops, func(out []plan.Outcome) error { return r.flagged(ctx, list, out) }, func(i int) []plan.Ref { return list[i].Settle })
		if err != nil {
			return err
		}
	}
	return nil
}

// do hands ops to a side in chunks. An op without an outcome counts as failed.
func (r *run) do(ctx context.Context, s plan.Side, ops []plan.Op, done func([]plan.Outcome) error, settle func(tag int) []plan.Ref) error {
	if len(ops) == 0 {
		return nil
	}
	if !r.flagsLast || !r.mayWait() {
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(ops, 2*chunkMessages) {
		told := map[int]bool{}
		var own error // of done: the index
		err := r.side[s].Do(ctx, chunk, func(out []plan.Outcome) error {
			for _, o := range out {
				told[o.Tag] = true
			}
			own = done(out)
			return own
		})
		for _, op := range chunk {
			if !told[op.Tag] {
				r.unsettle(settle(op.Tag))
			}
		}
		switch {
		case own != nil:
			return own
		case err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount):
			for _, op := range ops {
				if !told[op.Tag] {
					r.unsettle(settle(op.Tag))
				}
			}
			return err
		case err != nil:
			r.fault(s, "", err, false)
		}
	}
	return nil
}

// flagged settles flag ops that have an outcome.
func (r *run) flagged(ctx context.Context, list []plan.FlagOp, out []plan.Outcome) error {
	var st plan.Settlement
	for _, o := range out {
		op := list[o.Tag]
		row := r.rows[op.Row]
		t, s := op.Side, op.Side.Other()
		switch o.Result {
		case plan.Done:
			refused := op.Add.Minus(o.Accepted)
			row.Flags[s] = row.Flags[s].Union(op.CarryAdd).Minus(op.CarryRemove)
			row.Flags[t] = row.Flags[t].Union(op.CarryAdd.Minus(refused)).Minus(op.CarryRemove)
			r.declined(t, op.At.Box, "flags "+refused.String(), !refused.Empty())
		case plan.Declined:
			row.Flags[s] = row.Flags[s].Union(op.CarryAdd).Minus(op.CarryRemove)
			r.declined(t, op.At.Box, "flags", true)
		default:
			r.notDone(t, op.At.Box, op.Settle, o)
			continue
		}
		if t == plan.Local && o.Stat != "" {
			row.Stat = o.Stat
		}
		if row.ID > 0 {
			st.Flags = append(st.Flags, row)
		} else {
			st.Put = append(st.Put, row)
		}
		if o.Result == plan.Done {
			r.report.Flagged[t]++
			r.did(Event{Verb: VerbFlagged, Side: t, Mailbox: r.name(t, op.At.Box), Row: row.ID, Ref: op.At.Ref,
				Added: op.Add.Intersect(o.Accepted), Removed: op.Remove, Digest: bodyOf(row), Text: flagText(op.Add.Intersect(o.Accepted), op.Remove)})
		}
	}
	st.Events = r.takeEvents()
	if r.flagsLast {
		r.dueAlso(&st)
		return nil
	}
	return r.settle(ctx, &st)
}

func flagText(add, remove mail.FlagSet) string {
	text := ""
	for _, f := range add.Flags() {
		text += " +" + string(f)
	}
	for _, f := range remove.Flags() {
		text += " -" + string(f)
	}
	if text == "" {
		return ""
	}
	return text[1:]
}

// declined notes, once, what a side will never take.
func (r *run) declined(s plan.Side, box mail.BoxID, what string, is bool) {
	key := declineKey{s, box, what}
	if !is || r.decline[key] {
		return
	}
	r.decline[key] = true
	text := fmt.Sprintf("%s does not store %s: they stay %s only", r.who(s), what, r.where(s.Other()))
	if what == "deletions" {
		text = fmt.Sprintf("%s does not let messages be deleted: they stay there", r.who(s))
	}
	r.noted = append(r.noted, plan.Decline{Side: s, Box: box, What: what, Text: text, At: r.Clock()})
	r.note(Event{Side: s, Mailbox: r.name(s, box), Reason: plan.ReasonDeclined, Text: text})
}

// notDone keeps a change that was not carried over for the next run.
func (r *run) notDone(s plan.Side, box mail.BoxID, settle []plan.Ref, o plan.Outcome) {
	r.unsettle(settle)
	r.unsettled[plan.SideBox{Side: s, Box: box}] = true
	if o.Result == plan.Missing {
		return // changed under our hands: the next run looks again
	}
	err := o.Err
	if err == nil {
		err = fmt.Errorf("the change was not carried out (%s)", o.Result)
	}
	r.fault(s, r.name(s, box), err, false)
	for _, ref := range settle {
		r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Why: plan.ReasonError, Text: err.Error()})
	}
}

// move makes one side follow the other's moves. Those that fail in a mailbox
// from which messages are yet to be deleted are tried again after that: a
// server without UIDPLUS takes none out while others are marked.
func (r *run) move(ctx context.Context, p *plan.Plan) error {
	r.losing = map[plan.SideBox]bool{}
	for _, l := range p.Losses {
		r.losing[plan.SideBox{Side: l.Side, Box: l.At.Box}] = true
	}
	return r.moveAll(ctx, p.Moves)
}

// moveRest tries moves again that failed before the deletions.
func (r *run) moveRest(ctx context.Context, _ *plan.Plan) error {
	rest := r.movesLeft
	r.losing, r.movesLeft = nil, nil
	return r.moveAll(ctx, rest)
}

func (r *run) moveAll(ctx context.Context, moves []plan.Move) error {
	for _, s := range plan.Sides {
		var list []plan.Move
		for _, m := range moves {
			if m.Side == s {
				list = append(list, m)
			}
		}
		for chunk := range slices.Chunk(list, chunkMessages) {
			if err := r.moveChunk(ctx, s, chunk); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *run) moveChunk(ctx context.Context, s plan.Side, list []plan.Move) error {
	ops := make([]plan.Op, len(list))
	intents := make([]plan.Intent, len(list))
	for i, m := range list {
		row := r.rows[m.Row]
		ops[i] = plan.Op{Tag: i, Kind: plan.OpMove, From: m.From, To: m.To, Expect: row.Ident[s], Has: row.Flags[s]}
		if s == plan.Local {
			ops[i].Stat = row.Stat
		}
		intents[i] = plan.Intent{
			Kind: plan.IntentMove, Side: s, To: m.To, From: m.From, FromEpoch: row.Epoch[s], Row: max(row.ID, 0),
			Epoch: r.epoch(s, m.To), Next: r.next(s, m.To), Item: mail.Item{Flags: row.Flags[s], Date: row.Date, Ident: row.Ident[s]}, At: r.Clock(),
		}
	}
	if err := r.begin(ctx, intents); err != nil {
		return err
	}
	return r.do(ctx, s, ops, func(out []plan.Outcome) error { return r.movedOut(ctx, list, intents, out) },
		func(i int) []plan.Ref { return list[i].Settle })
}

// epoch and next are what is known of a mailbox before an effect on it.
func (r *run) epoch(s plan.Side, box mail.BoxID) string {
	if rec := r.record(box); rec != nil {
		if e := r.survey[s][rec.Side[s].Name].Epoch; e != "" {
			return e
		}
		return rec.Side[s].Epoch
	}
	return ""
}

func (r *run) next(s plan.Side, box mail.BoxID) uint32 {
	rec := r.record(box)
	if rec == nil {
		return 0
	}
	return max(rec.Side[s].Next, r.survey[s][rec.Side[s].Name].Next)
}

// movedOut settles moves that have an outcome.
func (r *run) movedOut(ctx context.Context, list []plan.Move, intents []plan.Intent, out []plan.Outcome) error {
	var st plan.Settlement
	for _, o := range out {
		m := list[o.Tag]
		row := r.rows[m.Row]
		t, s := m.Side, m.Side.Other()
		if o.Result != plan.Uncertain {
			st.Done = append(st.Done, intents[o.Tag].ID)
		}
		switch {
		case o.Result == plan.Done && !o.At.IsZero():
			row.At[t], row.Epoch[t] = o.At, orElse(o.Epoch, r.epoch(t, m.To))
			row.At[s], row.Epoch[s], row.Ident[s] = m.At, m.Epoch, m.Ident
			row.State = plan.Paired
			if t == plan.Local {
				row.Stat = o.Stat
			} else {
				row.Stat = m.Stat
			}
			st.Put = append(st.Put, row)
		case o.Result == plan.Done: // moved, but the new name was not told: matched by identity next time
			r.unsettle(m.Settle)
			r.unsettled[plan.SideBox{Side: t, Box: m.From.Box}] = true
			r.unsettled[plan.SideBox{Side: t, Box: m.To}] = true
		case o.Result == plan.Declined:
			row.At[s], row.Epoch[s], row.Ident[s] = m.At, m.Epoch, m.Ident
			if s == plan.Local {
				row.Stat = m.Stat
			}
			st.Put = append(st.Put, row)
			r.declined(t, m.From.Box, "moves", true)
			continue
		case o.Result == plan.Failed && r.losing[plan.SideBox{Side: t, Box: m.From.Box}]:
			r.unsettle(m.Settle)
			r.movesLeft = append(r.movesLeft, m)
			continue
		default:
			r.notDone(t, m.From.Box, m.Settle, o)
			continue
		}
		r.report.Moved[t]++
		r.did(Event{Verb: VerbMoved, Side: t, Mailbox: r.name(t, m.From.Box), To: r.name(t, m.To), Row: row.ID, Digest: bodyOf(row),
			Text: "to " + string(r.name(t, m.To))})
	}
	st.Events = r.takeEvents()
	return r.settle(ctx, &st)
}

func orElse(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// removeBoxes removes mailboxes whose removal on the other side is carried
// over. One that is not empty, or has children, stays and is held again.
func (r *run) removeBoxes(ctx context.Context, _ *plan.Plan) error {
	for _, op := range r.removes {
		rec := &r.records[op.Record]
		counts, err := r.Index.Counts(ctx)
		if err != nil {
			return indexFault(err)
		}
		if err := r.flush(ctx); err != nil {
			return err
		}
		err = fmt.Errorf("it still holds mail")
		if counts[rec.ID] == 0 {
			err = r.side[op.Side].Remove(ctx, rec.Side[op.Side].Name) // its parent may have been renamed
		}
		if err != nil {
			if ctx.Err() != nil {
				return err
			}
			rec.Side[op.Side.Other()].Missing = true
			r.report.HeldBoxes++
			r.emit(Event{Kind: Held, Side: op.Side, Mailbox: op.Name, Reason: plan.ReasonVanished, Text: fmt.Sprintf("the mailbox is left: %v", err)})
			continue
		}
		r.report.Removed[op.Side]++
		r.report.Mailboxes--
		r.did(Event{Verb: VerbRemoved, Side: op.Side, Mailbox: op.Name})
		if err := r.forget(ctx, []mail.BoxID{rec.ID}); err != nil {
			return err
		}
		r.there[rec.ID] = [2]bool{}
	}
	return nil
}
