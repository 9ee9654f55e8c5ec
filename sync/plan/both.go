package plan

import (
	"github.com/godwit-mail/godwit/mail"
)

// decideBoth decides a row that both sides show: its place and its flags.
//
// The row is bound as far as things are so already; each op then advances the
// base when it is done. What is still to be carried over is not in it, so that
// a failure leaves the change to be seen again.
func (r *reconciler) decideBoth(st *state) {
	row := st.row
	row.NoBase = false
	if h := &st.half[Local]; !h.moved {
		row.Stat = h.stat
	}
	move := r.mergePlace(st, &row)
	ops := r.mergeFlags(st, &row)
	row.State = Paired
	if row.At[Local].IsZero() || row.At[Remote].IsZero() {
		row.State = Unbound
	}
	if row != st.row {
		var settle []Ref
		if move == nil && len(ops) == 0 {
			settle = concat(st.half[Local].settle, st.half[Remote].settle)
		}
		r.bind(row, settle, r.bindWhy(st))
	}
	r.plan.Flags = append(r.plan.Flags, ops...)
	if move != nil {
		r.plan.Moves = append(r.plan.Moves, *move)
	}
}

func (r *reconciler) bindWhy(st *state) string {
	switch l, m := &st.half[Local], &st.half[Remote]; {
	case l.moved && m.moved:
		return "moved on both sides"
	case st.row.ID < 0:
		return "adopted"
	case st.row.State == Unbound || st.row.State == Outside || st.row.State == Kept:
		return "found again"
	}
	return ""
}

// mergePlace merges where both sides have the message, puts into row what is
// so already, and returns the move that is still to be done, if any.
func (r *reconciler) mergePlace(st *state, row *Row) *Move {
	l, m := &st.half[Local], &st.half[Remote]
	for _, s := range Sides {
		// A side that was not moved, or only found again under another Ref.
		if h := &st.half[s]; h.bound && !h.moved {
			r.rebind(row, s, h)
		}
	}
	switch {
	case !l.moved && !m.moved && st.row.NoBase && l.place.Box != m.place.Box:
		// A move that was not carried over, as the mode then was.
		return r.move(st, row, r.in.Policy.Prefer)
	case !l.moved && !m.moved:
		return nil
	case l.moved && m.moved && l.place.Box == m.place.Box:
		r.rebind(row, Local, l)
		r.rebind(row, Remote, m)
		return nil
	case l.moved && m.moved:
		p := r.in.Policy.Prefer
		r.remark(p.Other(), st.half[p.Other()].place, st.row.ID, ReasonConflict, "moved to different mailboxes on the two sides: it goes where the "+p.String()+" side has it")
		return r.move(st, row, p)
	case l.moved:
		return r.move(st, row, Local)
	default:
		return r.move(st, row, Remote)
	}
}

func (r *reconciler) rebind(row *Row, s Side, h *half) {
	row.At[s], row.Epoch[s], row.Ident[s] = h.place, h.epoch, h.ident
	if s == Local {
		row.Stat = h.stat
	}
}

// move makes the other side follow s to its mailbox.
func (r *reconciler) move(st *state, row *Row, s Side) *Move {
	t := s.Other()
	from, to := r.boxes[st.half[t].place.Box], r.boxes[st.half[s].place.Box]
	settle := concat(st.half[s].settle, nil)
	if st.half[t].moved {
		settle = concat(settle, st.half[t].settle)
	}
	if st.half[t].place.Box == st.half[s].place.Box {
		r.rebind(row, s, &st.half[s])
		return nil
	}
	switch {
	case from == nil || to == nil:
		r.holdAll(settle, st.row.ID, ReasonOutside, "")
		return nil
	case !r.in.Policy.Move[t], from.Rights[t].NoDelete, to.Rights[t].NoInsert:
		why := ReasonRights
		if !r.in.Policy.Move[t] {
			why = ReasonMode
		}
		r.remark(t, st.half[t].place, st.row.ID, why, "the message was moved on one side and stays where it is on the other")
		r.rebind(row, s, &st.half[s])
		r.rebind(row, t, &st.half[t])
		return nil
	case !to.There[t]:
		r.holdAll(settle, st.row.ID, to.missing(t), "")
		return nil
	}
	return &Move{Side: t, From: st.half[t].place, To: to.ID, Row: st.row.ID, At: st.half[s].place, Epoch: st.half[s].epoch, Ident: st.half[s].ident, Stat: st.half[s].stat, Settle: settle}
}

// mergeFlags merges the flags of both sides one by one, puts into row the base
// that already holds, and returns the ops that carry over the rest.
func (r *reconciler) mergeFlags(st *state, row *Row) (ops []FlagOp) {
	var base, now [2]mail.FlagSet
	for _, s := range Sides {
		base[s], now[s] = st.row.Flags[s], st.half[s].flags
	}
	if st.row.NoBase {
		base = noBase(now)
		row.Flags = base
	}
	for _, s := range Sides {
		t := s.Other()
		added := now[s].Minus(base[s])
		removed := base[s].Minus(now[s])
		if st.half[s].rejected && !removed.Empty() {
			if why := r.flagsForbidden(st, s); why != "" {
				row.Flags[s] = row.Flags[s].Minus(removed)
				r.remark(s, st.half[s].place, st.row.ID, why, "flags stay different on the two sides")
			} else {
				ops = append(ops, FlagOp{Side: s, At: st.half[s].place, Row: st.row.ID, Add: removed, Settle: concat(st.half[s].settle, nil)})
			}
			removed = mail.FlagSet{}
		}
		removed = removed.Minus(now[t].Minus(base[t])) // what t added anew stays
		if added.Empty() && removed.Empty() {
			continue
		}
		add, remove := added.Minus(now[t]), removed.Intersect(now[t])
		why := r.flagsForbidden(st, t)
		switch {
		case add.Empty() && remove.Empty(): // t has made the same change
			row.Flags[t] = row.Flags[t].Union(added).Minus(removed)
			row.Flags[s] = row.Flags[s].Union(added).Minus(removed)
		case why != "": // what s has is its own affair from now on
			row.Flags[s] = row.Flags[s].Union(added).Minus(removed)
			r.remark(t, st.half[t].place, st.row.ID, why, "flags stay different on the two sides")
		default:
			ops = append(ops, FlagOp{
				Side: t, At: st.half[t].place, Row: st.row.ID,
				Add: add, Remove: remove, CarryAdd: added, CarryRemove: removed,
				Settle: concat(st.half[s].settle, nil),
			})
		}
	}
	return ops
}

// noBase is the base that makes a merge of now a union, save for \Deleted,
// which stays where it is unless both have it.
func noBase(now [2]mail.FlagSet) [2]mail.FlagSet {
	common := now[Local].Intersect(now[Remote])
	var base [2]mail.FlagSet
	for _, s := range Sides {
		base[s] = common
		if now[s].Has(mail.Deleted) {
			base[s] = base[s].With(mail.Deleted)
		}
	}
	return base
}

func (r *reconciler) flagsForbidden(st *state, t Side) Reason {
	if !r.in.Policy.Flag[t] {
		return ReasonMode
	}
	if b := r.boxes[st.half[t].place.Box]; b == nil || b.Rights[t].NoFlags {
		return ReasonRights
	}
	return ""
}
