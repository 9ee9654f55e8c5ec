package plan

import (
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// decideRow decides what becomes of a row that something happened to.
func (r *reconciler) decideRow(st *state) {
	l, m := st.half[Local].presence, st.half[Remote].presence
	switch {
	case l == here && m == here:
		r.decideBoth(st)
	case l == here:
		r.decideOne(st, Local)
	case m == here:
		r.decideOne(st, Remote)
	default:
		r.decideNone(st)
	}
}

// decideNone decides a row that neither side shows. Only if both sides are
// known to lack it is it forgotten.
func (r *reconciler) decideNone(st *state) {
	settle := concat(st.half[Local].settle, st.half[Remote].settle)
	if st.row.At[Local].IsZero() && st.row.At[Remote].IsZero() {
		// Both places were lost (an adoption found it on neither side). Once
		// both sides were seen whole and have nothing like it, it is gone.
		if !r.unsure(Local, st) && !r.unsure(Remote, st) {
			r.plan.Drops = append(r.plan.Drops, st.row.ID)
		}
		return
	}
	for _, s := range Sides {
		h := st.half[s].presence
		if h == blocked {
			// What the other side did to it waits until this one can be looked at.
			r.holdAll(settle, st.row.ID, st.half[s].why, "")
			return
		}
		if b := r.boxes[st.row.At[s.Other()].Box]; h == lacking && st.row.State == Unbound && (b == nil || b.View[s] < Complete || r.unsure(s, st)) {
			// It may be there, unseen, under a new Ref.
			r.holdAll(settle, st.row.ID, ReasonIncomplete, "")
			return
		}
	}
	if len(settle) == 0 { // both places lost without anything being seen
		return
	}
	for _, s := range Sides {
		if st.half[s].presence == gone && r.unsure(s, st) {
			r.holdAll(settle, st.row.ID, ReasonIncomplete, "")
			return
		}
	}
	r.plan.Drops = append(r.plan.Drops, st.row.ID)
}

// decideOne decides a row that only side s shows.
func (r *reconciler) decideOne(st *state, s Side) {
	t := s.Other()
	if st.half[t].presence == gone && r.reused(t, st.row.At[t]) {
		// Another message has its name there (an edited file): the row gives
		// the name up before the new message takes it.
		st.row.At[t] = st.row.At[t].Displaced(st.row.ID)
		r.bind(st.row, nil, "")
	}
	switch other := &st.half[t]; {
	case other.presence == gone && other.rejected:
		r.regain(st, s, ReasonRejected)
	case other.presence == gone && other.outside:
		r.leaveOutside(st, s)
	case other.presence == gone && r.unsure(t, st):
		// It may lie, moved, in a mailbox that was not seen.
		r.holdAll(concat(st.half[s].settle, other.settle), st.row.ID, ReasonIncomplete, "")
	case other.presence == gone && st.half[s].moved:
		r.remark(t, other.place, st.row.ID, ReasonMoveBeats, "moved on one side and deleted on the other: it is kept, in its new place")
		r.regain(st, s, ReasonMoveBeats)
	case other.presence == gone:
		r.lose(st, s)
	case other.presence == blocked:
		r.decideBlocked(st, s)
	case st.row.State == Unbound || st.row.State == Paired:
		r.regain(st, s, "")
	case st.row.State == Kept && st.half[s].moved && r.refused(st.row.At[s].Box, t):
		r.regain(st, s, "") // the mailbox it was in took no messages, this one may
	default: // Kept, Outside: only what this side did to it is recorded
		r.record(st, s)
	}
}

// refused tells whether a mailbox takes no messages on a side.
func (r *reconciler) refused(box mail.BoxID, s Side) bool {
	b := r.boxes[box]
	return b != nil && b.Rights[s].NoInsert
}

// decideBlocked decides a row whose other side cannot be looked at now.
func (r *reconciler) decideBlocked(st *state, s Side) {
	t := s.Other()
	if st.half[s].moved && st.half[t].why == ReasonVanished {
		r.regain(st, s, ReasonMoveBeats)
		return
	}
	r.holdAll(st.half[s].settle, st.row.ID, st.half[t].why, "")
}

// unsure tells whether a message that is missing on a side may yet be there:
// a mailbox in scope was not completely seen, or a new message there that
// could not be read may be it.
func (r *reconciler) unsure(s Side, st *state) bool {
	if !r.sighted[s] {
		return true
	}
	size := st.row.Ident[s].Size
	if size == 0 {
		size = st.row.Ident[s.Other()].Size
	}
	unread := r.unread[s] // sorted: only the first and the neighbours can be near
	if len(unread) == 0 {
		return false
	}
	k, _ := slices.BinarySearch(unread, size)
	return near(unread[0], size) || near(unread[min(k, len(unread)-1)], size) || near(unread[max(k-1, 0)], size)
}

// near tells whether two sizes can be of one message: some servers estimate.
func near(a, b int64) bool {
	return a == 0 || b == 0 || max(a, b)-min(a, b) <= 1024+max(a, b)/16
}

// record stores a row that one side keeps to itself, as that side has it now.
func (r *reconciler) record(st *state, s Side) {
	if len(st.half[s].settle) == 0 {
		return
	}
	row := r.moved(st, s)
	row.Flags[s] = st.half[s].flags
	r.bind(row, st.half[s].settle, "")
}

// regain copies a message back to the side that lacks it.
func (r *reconciler) regain(st *state, s Side, why Reason) {
	t := s.Other()
	from := &st.half[s]
	settle := concat(from.settle, st.half[t].settle)
	box := r.boxes[from.place.Box]
	switch {
	case box == nil:
		r.holdAll(settle, st.row.ID, ReasonOutside, "")
		return
	case !r.in.Policy.Gain[t]:
		r.keep(st, s, ReasonMode, "the mode does not copy it to this side")
		return
	case !box.There[t]:
		r.holdAll(settle, st.row.ID, box.missing(t), "")
		return
	case box.Rights[t].NoInsert:
		r.keep(st, s, ReasonRights, "the mailbox takes no messages")
		return
	case box.View[t] < Complete || r.unsure(t, st):
		// It may be there already, unseen.
		if len(settle) == 0 {
			settle = []Ref{{Side: s, Kind: KindNew, At: from.place}}
		}
		r.holdAll(settle, st.row.ID, ReasonIncomplete, "")
		return
	}
	if why == ReasonRejected {
		// The user's word outlives a copy that fails: the place is given up first.
		said := st.row
		said.At[t], said.Epoch[t], said.State = Place{}, "", Unbound
		r.bind(said, nil, "")
	}
	row := r.moved(st, s)
	row.At[t], row.Epoch[t] = Place{}, ""
	item := mail.Item{Flags: from.flags, Date: st.row.Date, Ident: from.ident}
	r.plan.Gains = append(r.plan.Gains, Gain{
		To: t, From: from.place, Epoch: from.epoch, Box: from.place.Box, Row: &row, settle: settle, Why: why,
	}.of(item))
}

// lose removes from s what was removed from the other side.
func (r *reconciler) lose(st *state, s Side) {
	t := s.Other()
	settle := concat(st.half[s].settle, st.half[t].settle)
	box := r.boxes[st.half[s].place.Box]
	origin := r.boxes[st.half[t].place.Box]
	switch {
	case origin == nil || origin.View[t] < Complete || r.unsure(t, st):
		r.holdAll(settle, st.row.ID, ReasonIncomplete, "")
	case !r.in.Policy.Lose[s]:
		r.keep(st, s, ReasonMode, "the mode does not carry deletions to this side")
	case box.Rights[s].NoDelete:
		r.keep(st, s, ReasonRights, "the mailbox allows no deletions")
	default:
		r.plan.Losses = append(r.plan.Losses, Loss{Side: s, At: st.half[s].place, Row: st.row.ID, Settle: settle})
	}
}

// keep records that a message stays on side s only, for good.
func (r *reconciler) keep(st *state, s Side, why Reason, text string) {
	t := s.Other()
	row := r.moved(st, s)
	row.At[t], row.Epoch[t] = Place{}, ""
	row.Flags[s] = st.half[s].flags
	row.State = Kept
	r.bind(row, concat(st.half[s].settle, st.half[t].settle), "")
	r.remark(t, Place{Box: row.At[s].Box}, row.ID, why, text)
}

// leaveOutside records that a message now lies in a mailbox of the other side
// that is out of scope.
func (r *reconciler) leaveOutside(st *state, s Side) {
	t := s.Other()
	row := r.moved(st, s)
	row.At[t], row.Epoch[t] = Place{}, ""
	row.Flags[s] = st.half[s].flags
	row.State = Outside
	r.bind(row, concat(st.half[s].settle, st.half[t].settle), "moved out of scope")
	r.remark(t, st.row.At[t], row.ID, ReasonOutside, "moved to a mailbox that is out of scope: left on the other side")
}

// moved is the row with side s as it now is.
func (r *reconciler) moved(st *state, s Side) Row {
	row := st.row
	h := &st.half[s]
	row.At[s], row.Epoch[s] = h.place, h.epoch
	row.Ident[s] = h.ident
	if s == Local {
		row.Stat = h.stat
	}
	return row
}

func (r *reconciler) bind(row Row, settle []Ref, why string) {
	r.plan.Binds = append(r.plan.Binds, Bind{Row: row, Settle: settle, Why: why})
}

// decideNew decides a message that is new on one side and matched nothing.
func (r *reconciler) decideNew(n *newMessage) {
	if n.taken {
		return
	}
	s, t := n.Side, n.Side.Other()
	ref := Ref{Side: s, Kind: KindNew, At: n.At}
	box := r.boxes[n.At.Box]
	var why Reason
	switch {
	case box == nil:
		why = ReasonOutside
	case n.Unreadable:
		why = ReasonError
	case !r.in.Policy.Gain[t] || box.Rights[t].NoInsert:
		r.keepNew(n, box)
		return
	case !box.There[t]:
		why = box.missing(t)
	case box.View[t] < Complete || r.blind[SideBox{Side: t, Box: n.At.Box}]:
		why = ReasonIncomplete
	}
	if why != "" {
		r.hold(ref, 0, why, "")
		return
	}
	r.plan.Gains = append(r.plan.Gains, Gain{
		To: t, From: n.At, Epoch: n.Epoch, Box: n.At.Box, shown: n.shown,
	})
}

// keepNew records a message that stays on its side for good.
func (r *reconciler) keepNew(n *newMessage, box *BoxPair) {
	row := r.newRow(n)
	row.Flags[n.Side] = n.Flags
	row.State = Kept
	r.bind(row, []Ref{{Side: n.Side, Kind: KindNew, At: n.At}}, "")
	why, text := ReasonMode, "the mode does not copy it to this side"
	if r.in.Policy.Gain[n.Side.Other()] {
		why, text = ReasonRights, "the mailbox takes no messages"
	}
	r.remark(n.Side.Other(), Place{Box: n.At.Box}, row.ID, why, text)
}

func (r *reconciler) newRow(n *newMessage) Row {
	row := NewRow(n.Side, n.At, n.Epoch, n.Item())
	row.ID = r.newID()
	return row
}

// NewRow is the row of a message that is on one side only, without an ID.
func NewRow(s Side, at Place, epoch string, item mail.Item) Row {
	row := Row{Date: item.Date}
	row.At[s], row.Epoch[s], row.Ident[s] = at, epoch, item.Ident
	if s == Local {
		row.Stat = item.Stat
	}
	return row
}

func concat(a, b []Ref) []Ref {
	return append(append(make([]Ref, 0, len(a)+len(b)), a...), b...)
}
