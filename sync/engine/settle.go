package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// hold keeps a change that is seen and not carried over.
func (r *run) hold(h plan.Hold) {
	r.unsettled[plan.SideBox{Side: h.Ref.Side, Box: h.Ref.At.Box}] = true
	// A held deletion is that of the side it happened on, whatever the other
	// side did to the message.
	if h.Why == plan.ReasonGuard && h.Ref.Kind == plan.KindGone || h.Why == plan.ReasonFlagGuard {
		if _, ok := r.holding[h.Row]; !ok {
			since := r.Clock()
			if was, ok := r.held[h.Row]; ok {
				since = was.Since
			}
			r.holding[h.Row] = plan.Held{Row: h.Row, Box: h.Ref.At.Box, Side: h.Ref.Side, Since: since}
		}
	}
	if h.Why == plan.ReasonVanished {
		return // the mailbox itself is told of
	}
	r.pend(plan.Pending{Side: h.Ref.Side, At: h.Ref.At, Kind: h.Ref.Kind, Row: max(h.Row, 0), Why: h.Why, Text: h.Text})
}

// pend remembers, for people, that something waits.
func (r *run) pend(p plan.Pending) {
	p.Row = max(p.Row, 0)
	now := r.Clock()
	p.Since, p.Tries, p.Next = now, 1, now
	if was, ok := r.was[pendingKey{p.Side, p.At, p.Kind}]; ok {
		p.Since, p.Tries = was.Since, was.Tries+1
	}
	if key := (pendingKey{p.Side, p.At, p.Kind}); !r.pended[key] {
		r.pended[key] = true
		r.pending = append(r.pending, p)
	}
}

// noteOf tells once of a decision that is settled but unusual.
func (r *run) noteOf(n plan.Note) {
	switch n.Why {
	case plan.ReasonMode, plan.ReasonRights:
		key := declineKey{n.Side, n.At.Box, string(n.Why)}
		if r.decline[key] {
			return
		}
		r.decline[key] = true
		r.noted = append(r.noted, plan.Decline{Side: n.Side, Box: n.At.Box, What: string(n.Why), Text: n.Text, At: r.Clock()})
	}
	e := Event{Side: n.Side, Mailbox: r.name(n.Side, n.At.Box), Row: n.Row, Reason: n.Why, Text: n.Text}
	if row := r.rows[n.Row]; row != nil {
		e.Digest = bodyOf(row)
	}
	r.note(e)
}

// settleRun writes what is left at the end: cursors of mailboxes in which
// everything is settled, what is pending and held. It is written with the
// record of the run; nothing is, if nothing differs from what the index has.
func (r *run) settleRun(whole bool) {
	r.keepWords()
	st := plan.Settlement{Declines: r.noted, Meta: r.learned}
	r.heldHints()
	pendingBoxes := r.takePending(&st)
	r.takeHeld(&st)
	st.Events = r.takeEvents()
	for i := range r.records {
		rec := r.toStore(r.records[i])
		if rec.ID <= 0 || rec.Dormant && sameRecord(rec, r.stored[rec.ID]) || r.there[rec.ID] == [2]bool{} && !rec.Dormant {
			continue
		}
		for _, s := range plan.Sides {
			r.advance(&rec.Side[s], plan.SideBox{Side: s, Box: rec.ID}, pendingBoxes, whole)
		}
		if !sameRecord(rec, r.stored[rec.ID]) {
			st.Boxes = append(st.Boxes, &rec)
		}
	}
	if r.adopt && whole && r.adopted() {
		st.Meta[metaAdopting] = ""
	}
	r.sum()
	r.dueAlso(&st)
}

// advance moves the cursor of one side's mailbox, or clears it.
func (r *run) advance(h *plan.BoxSide, key plan.SideBox, pending map[plan.SideBox]bool, whole bool) {
	sc, scanned := r.scanned[key]
	switch {
	case r.unsettled[key] || pending[key]:
		h.Cursor = ""
	case !scanned || !whole:
	default:
		if h.Cursor != sc.Cursor {
			h.Cursor = sc.Cursor
			h.FullRuns++
		}
		if r.full[key] && (h.FullAt.IsZero() || fullDue(*h, r.Clock())) {
			h.FullAt, h.FullRuns = r.Clock(), 0
		}
	}
}

// adopted tells whether everything has been looked at and nothing waits.
func (r *run) adopted() bool {
	for i := range r.records {
		rec := &r.records[i]
		for _, s := range plan.Sides {
			key := plan.SideBox{Side: s, Box: rec.ID}
			if !rec.Dormant && r.there[rec.ID][s] && (r.view[key] < plan.Complete || r.unsettled[key]) {
				return false
			}
		}
	}
	return true
}

// takePending replaces what was pending in the mailboxes looked at.
func (r *run) takePending(st *plan.Settlement) map[plan.SideBox]bool {
	boxes := map[plan.SideBox]bool{}
	for _, p := range r.pending {
		if p.At.Box > 0 {
			boxes[plan.SideBox{Side: p.Side, Box: p.At.Box}] = true
			st.Pending = append(st.Pending, p)
			r.logWaiting(p)
		}
	}
	clear := maps.Clone(boxes)
	for key := range r.was {
		k := plan.SideBox{Side: key.side, Box: key.at.Box}
		if _, seen := r.view[k]; seen || boxes[k] {
			clear[k] = true
		}
	}
	for k := range clear {
		st.ClearPending = append(st.ClearPending, k)
	}
	slices.SortFunc(st.ClearPending, func(a, b plan.SideBox) int {
		if a.Side != b.Side {
			return int(a.Side) - int(b.Side)
		}
		return int(a.Box - b.Box)
	})
	return boxes
}

// logWaiting puts into the durable log what waits since this run; what is
// held is told there as such.
func (r *run) logWaiting(p plan.Pending) {
	if _, before := r.was[pendingKey{p.Side, p.At, p.Kind}]; before {
		return
	}
	switch p.Why {
	case plan.ReasonGuard, plan.ReasonFlagGuard, plan.ReasonVanished:
		return
	}
	text := string(p.Why)
	if p.Text != "" {
		text += ": " + p.Text
	}
	r.log(logPending, Event{Side: p.Side, Mailbox: r.name(p.Side, p.At.Box), Row: p.Row, Digest: p.Ident.Body, Text: text})
}

// dueHeld sees to it that what the guard holds is recorded before mail comes
// that would make its share smaller: the next run judges by what it finds.
func (r *run) dueHeld() {
	if len(r.holding) == 0 {
		return
	}
	var st plan.Settlement
	r.holdNew(&st)
	st.Events = r.takeEvents()
	r.dueAlso(&st)
}

// holdNew records what is held and was not before.
func (r *run) holdNew(st *plan.Settlement) {
	for _, id := range slices.Sorted(maps.Keys(r.holding)) {
		h := r.holding[id]
		if was, ok := r.held[id]; !ok || was.Side != h.Side || was.Box != h.Box {
			st.Hold = append(st.Hold, h)
			r.held[id] = h
			r.log(logHeld, Event{Side: h.Side, Mailbox: r.name(h.Side, h.Box), Row: id,
				Text: fmt.Sprintf("deleted, or its flags lost, %s: more at once than the guard lets pass", where(h.Side))})
		}
	}
}

// takeHeld records exactly what is held now.
func (r *run) takeHeld(st *plan.Settlement) {
	r.holdNew(st)
	for _, id := range slices.Sorted(maps.Keys(r.held)) {
		if _, still := r.holding[id]; !still && r.lookedAt(r.held[id]) {
			st.Release = append(st.Release, id)
		}
	}
}

// lookedAt tells whether this run saw the mailbox of a held deletion.
func (r *run) lookedAt(h plan.Held) bool {
	in := r.Only == nil || r.Only(r.name(plan.Remote, h.Box))
	return in && r.view[plan.SideBox{Side: h.Side, Box: h.Box}] == plan.Complete || r.dropped[h.Row]
}

// heldHints tells of what is held, by mailbox, and what to do.
func (r *run) heldHints() {
	counts := map[mail.BoxID]int{}
	for _, h := range r.holding {
		counts[h.Box]++
	}
	for _, box := range slices.Sorted(maps.Keys(counts)) {
		r.emit(Event{Kind: Held, Mailbox: r.name(plan.Remote, box), Reason: plan.ReasonGuard, Count: counts[box],
			Text: fmt.Sprintf("%d deletions or lost flags are held: that is more than the guard lets pass", counts[box])})
	}
	if len(counts) > 0 {
		r.report.Hints = append(r.report.Hints, "to carry out exactly what is held, run sync --accept-deletes; to undo it, run sync --reject-deletes")
	}
	r.report.Held = len(r.holding)
}

// sum completes the report.
func (r *run) sum() {
	for _, p := range r.pending {
		switch p.Why {
		case plan.ReasonGuard, plan.ReasonFlagGuard, plan.ReasonVanished:
		default:
			r.report.Pending++
		}
	}
	r.report.Declined = len(r.decline)
	for _, rec := range r.records {
		if !rec.Dormant {
			r.report.Messages += rec.Side[plan.Local].Known
		}
	}
}

// recount counts the messages again after a run that bound some, or let some go.
func (r *run) recount(ctx context.Context) {
	if !r.rebound {
		return
	}
	boxes, err := r.Index.Boxes(ctx)
	if err != nil {
		return // the count of the beginning stands
	}
	r.report.Messages = 0
	for _, b := range boxes {
		if !b.Dormant {
			r.report.Messages += b.Side[plan.Local].Known
		}
	}
}

// show tells what the plan would do, for a dry run.
func (r *run) show(ctx context.Context, p *plan.Plan) error {
	for _, h := range p.Holds {
		r.hold(h)
	}
	for _, n := range p.Notes {
		r.noteOf(n)
	}
	for _, b := range p.Binds {
		if b.Why == "adopted" {
			r.report.Adopted++
			r.did(Event{Verb: VerbAdopted, Side: plan.Local, Mailbox: r.name(plan.Local, b.Row.At[plan.Local].Box), Ref: b.Row.At[plan.Local].Ref})
		}
	}
	for i := range p.Gains {
		g := &p.Gains[i]
		size := g.Ident().Size
		r.report.Copied[g.To]++
		r.report.CopiedBytes[g.To] += size
		r.did(Event{Verb: VerbCopied, Side: g.To, Mailbox: r.name(g.To, g.Box), Ref: g.From.Ref, Digest: g.Ident().Body, Size: size, Reason: g.Why})
	}
	for _, o := range p.Flags {
		r.report.Flagged[o.Side]++
		r.did(Event{Verb: VerbFlagged, Side: o.Side, Mailbox: r.name(o.Side, o.At.Box), Ref: o.At.Ref, Row: o.Row, Added: o.Add, Removed: o.Remove, Text: flagText(o.Add, o.Remove)})
	}
	for _, m := range p.Moves {
		r.report.Moved[m.Side]++
		r.did(Event{Verb: VerbMoved, Side: m.Side, Mailbox: r.name(m.Side, m.From.Box), To: r.name(m.Side, m.To), Ref: m.From.Ref, Row: m.Row, Text: "to " + string(r.name(m.Side, m.To))})
	}
	losses, err := r.confirm(ctx, p.Losses)
	if err != nil {
		return err
	}
	for _, l := range losses {
		r.report.Deleted[l.Side]++
		r.did(Event{Verb: VerbDeleted, Side: l.Side, Mailbox: r.name(l.Side, l.At.Box), Ref: l.At.Ref, Row: l.Row})
	}
	for _, op := range r.removes {
		r.report.Removed[op.Side]++
		r.did(Event{Verb: VerbRemoved, Side: op.Side, Mailbox: op.Name})
	}
	r.heldHints()
	r.report.Pending = 0
	r.sum()
	return nil
}
