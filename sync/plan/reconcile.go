package plan

import (
	"cmp"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// Reconcile decides what must be done so that both sides agree. It looks at
// the rows that something happened to, each side's changes since the base, and
// the policy. The steps: known refs are bound by the caller; each side's moves
// are matched; what is new on both sides is joined; what remains is copied.
//
// If the plan has Asks it has nothing else: identities must be learned first.
func Reconcile(in Input) Plan {
	r := newReconciler(in)
	r.matchMoves()
	r.joinNew()
	if len(r.matcher.asks) > 0 {
		return Plan{Asks: r.sortedAsks()}
	}
	for _, id := range r.rowIDs {
		r.decideRow(r.rows[id])
	}
	left := 0
	for i := range r.news {
		if !r.news[i].taken {
			left++
		}
	}
	r.plan.Gains = slices.Grow(r.plan.Gains, left) // a first sync has little else
	for i := range r.news {
		r.decideNew(&r.news[i])
	}
	return r.plan
}

// presence says what one side has of a row.
type presence uint8

const (
	here    presence = iota // it lies at place
	gone                    // it was there, and a scan showed that it is not
	lacking                 // the side has no place for it, and nothing follows from that
	blocked                 // its mailbox is missing or was not seen: nothing can be said
)

// half is one side's view of a row.
type half struct {
	presence presence
	place    Place
	epoch    string
	stat     string
	ident    mail.Identity
	flags    mail.FlagSet // now
	changed  bool         // flags were seen in this run
	moved    bool         // it lies in another mailbox than before
	bound    bool         // the place is not the one that the row remembers
	why      Reason       // why it is held, if presence is blocked
	outside  bool
	rejected bool
	// unseen: its mailbox was not completely seen, so it may lie elsewhere.
	unseen bool
	settle []Ref
}

// state is a row and what both sides have of it.
type state struct {
	row  Row
	half [2]half
}

// newMessage is a New change that no row has claimed.
type newMessage struct {
	*Change
	taken bool
}

type reconciler struct {
	in       Input
	boxes    map[mail.BoxID]*BoxPair
	rows     map[int64]*state
	rowIDs   []int64
	news     []newMessage      // by side, mailbox and ref
	newIn    map[SideBox][]int // where in news, by ref
	sighted  [2]bool           // every mailbox in scope was completely seen
	blind    map[SideBox]bool  // a new message there could not be read
	unread   [2][]int64        // sizes of new messages there that could not be read
	unreadIn map[SideBox]bool  // mailboxes that have such a message
	matcher  matcher
	plan     Plan
	nextID   int64
}

func newReconciler(in Input) *reconciler {
	r := &reconciler{
		in:       in,
		boxes:    make(map[mail.BoxID]*BoxPair, len(in.Boxes)),
		rows:     make(map[int64]*state, len(in.Rows)),
		matcher:  matcher{asks: map[Ask]struct{}{}},
		sighted:  [2]bool{true, true},
		newIn:    map[SideBox][]int{},
		blind:    map[SideBox]bool{},
		unreadIn: map[SideBox]bool{},
	}
	for i := range in.Boxes {
		b := &in.Boxes[i]
		r.boxes[b.ID] = b
		for _, s := range Sides {
			if b.There[s] && b.View[s] < Complete {
				r.sighted[s] = false
			}
		}
	}
	for _, row := range in.Rows {
		st := &state{row: row}
		for _, s := range Sides {
			st.half[s] = r.remembered(row, s)
		}
		r.rows[row.ID] = st
		r.rowIDs = append(r.rowIDs, row.ID)
	}
	slices.Sort(r.rowIDs)
	r.news = make([]newMessage, 0, len(in.Changes))
	for _, i := range sortedChanges(in.Changes) {
		r.note(&in.Changes[i])
	}
	for _, s := range Sides {
		slices.Sort(r.unread[s])
	}
	return r
}

// remembered is the half of a row that no change speaks of.
func (r *reconciler) remembered(row Row, s Side) half {
	h := half{place: row.At[s], epoch: row.Epoch[s], flags: row.Flags[s], ident: row.Ident[s]}
	if s == Local {
		h.stat = row.Stat
	}
	unknown, is := r.in.Unknown[row.ID]
	switch b := r.boxes[row.At[s].Box]; {
	case is && unknown == s:
		h.presence, h.why = blocked, ReasonUnknown
	case row.At[s].IsZero():
		h.presence = lacking
	case b == nil:
		h.presence, h.why = blocked, ReasonOutside
	case !b.There[s]:
		h.presence, h.why = blocked, ReasonVanished
	case b.View[s] < Complete:
		h.unseen = true
	}
	return h
}

// note puts a change where it belongs.
func (r *reconciler) note(c *Change) {
	ref := Ref{Side: c.Side, Kind: c.Kind, At: c.At}
	if c.Kind == KindNew {
		key := SideBox{Side: c.Side, Box: c.At.Box}
		r.newIn[key] = append(r.newIn[key], len(r.news))
		r.news = append(r.news, newMessage{Change: c})
		if c.Unreadable {
			r.unreadIn[key] = true
			r.unread[c.Side] = append(r.unread[c.Side], c.Ident().Size)
			r.blind[key] = true
		}
		return
	}
	st := r.rows[c.Row]
	if st == nil || st.row.At[c.Side] != c.At {
		return // the caller's rows and changes do not belong together: do nothing
	}
	h := &st.half[c.Side]
	if h.presence == blocked && h.why == ReasonUnknown {
		return // what it shows may be the effect, half done
	}
	h.settle = append(h.settle, ref)
	h.unseen = false
	switch c.Kind {
	case KindFlags:
		h.flags, h.changed, h.rejected = c.Flags, true, c.Rejected
		if stat := c.Stat(); stat != "" {
			h.stat = stat
		}
	case KindGone:
		h.outside, h.rejected = c.Outside, c.Rejected
		h.presence = gone
	}
}

// reused tells whether a new message is at a place.
func (r *reconciler) reused(s Side, at Place) bool {
	_, is := slices.BinarySearchFunc(r.newIn[SideBox{Side: s, Box: at.Box}], at.Ref, func(i int, ref mail.Ref) int {
		return compareRefs(r.news[i].At.Ref, ref)
	})
	return is
}

// matchMoves finds, on each side, which of the new messages are rows that
// have left their place or never had one there.
func (r *reconciler) matchMoves() {
	for _, s := range Sides {
		r.matchByRef(s)
		var wants []candidate
		for i, id := range r.rowIDs {
			if c, ok := r.wanting(id, s); ok {
				c.index = i
				wants = append(wants, c)
			}
		}
		if len(wants) == 0 {
			continue
		}
		news := r.allCandidates(s)
		for _, p := range r.matcher.pair(news, wants) {
			st, n := r.rows[r.rowIDs[wants[p[1]].index]], &r.news[news[p[0]].index]
			if st.half[s].unseen {
				// It may be a copy, or the message itself that has moved: to be
				// decided when its mailbox can be seen.
				n.taken = true
				r.hold(Ref{Side: s, Kind: KindNew, At: n.At}, 0, ReasonIncomplete, "")
				continue
			}
			r.claim(st, n)
		}
	}
}

// matchByRef matches the messages of a side that keeps refs over moves.
func (r *reconciler) matchByRef(s Side) {
	if !r.in.KeepsRef[s] {
		return
	}
	byRef := map[mail.Ref]*state{}
	for _, id := range r.rowIDs {
		if st := r.rows[id]; st.half[s].presence == gone {
			byRef[st.row.At[s].Ref] = st
		}
	}
	for i := range r.news {
		n := &r.news[i]
		if n.Side != s || n.taken {
			continue
		}
		st := byRef[n.At.Ref]
		// The same name in the same place is no move but another content.
		if st == nil || st.half[s].presence != gone || st.row.At[s] == n.At {
			continue
		}
		if n.Stat() != "" && n.Stat() == st.row.Stat {
			r.claim(st, n)
		}
	}
}

// wanting makes a candidate of a row that has no place on a side.
func (r *reconciler) wanting(id int64, s Side) (candidate, bool) {
	st := r.rows[id]
	h := &st.half[s]
	if h.presence != gone && h.presence != lacking && !h.unseen {
		return candidate{}, false
	}
	at := st.row.At[s]
	if at.IsZero() {
		at = Place{Box: st.row.At[s.Other()].Box}
	}
	ident := st.row.Ident[s]
	if ident.Level() == mail.LevelNone {
		ident = st.row.Ident[s.Other()]
	}
	return candidate{at: at, side: s, ident: ident, flags: st.row.Flags[s], draft: r.draft(at.Box, st.row.Flags[s]), fixed: true}, true
}

// candidates lists the new messages of a side in one mailbox.
func (r *reconciler) candidates(s Side, box mail.BoxID) []candidate {
	list := r.newIn[SideBox{Side: s, Box: box}]
	cs := make([]candidate, 0, len(list))
	for _, i := range list {
		if n := &r.news[i]; !n.taken && !n.Unreadable {
			cs = append(cs, r.candidate(i))
		}
	}
	return cs
}

// allCandidates lists the new messages of a side in all mailboxes.
func (r *reconciler) allCandidates(s Side) []candidate {
	fits := func(i int) bool { n := &r.news[i]; return n.Side == s && !n.taken && !n.Unreadable }
	count := 0
	for i := range r.news {
		if fits(i) {
			count++
		}
	}
	cs := make([]candidate, 0, count) // they are large
	for i := range r.news {
		if fits(i) {
			cs = append(cs, r.candidate(i))
		}
	}
	return cs
}

func (r *reconciler) candidate(i int) candidate {
	n := &r.news[i]
	return candidate{
		at: n.At, side: n.Side, ident: n.Ident(), flags: n.Flags,
		draft: r.draft(n.At.Box, n.Flags), index: i,
	}
}

func (r *reconciler) draft(box mail.BoxID, flags mail.FlagSet) bool {
	b := r.boxes[box]
	return flags.Has(mail.Draft) || b != nil && b.Role == mail.RoleDrafts
}

// claim gives a new message to the row that it is.
func (r *reconciler) claim(st *state, n *newMessage) {
	n.taken = true
	h := &st.half[n.Side]
	last := st.row.At[n.Side].Box
	if last == 0 {
		last = st.row.At[n.Side.Other()].Box
	}
	h.presence, h.bound, h.rejected = here, true, false
	h.moved = last != n.At.Box
	h.place, h.epoch, h.stat = n.At, n.Epoch, n.Stat()
	h.flags, h.changed = n.Flags, true
	if seen := n.Ident(); seen.Level() > mail.LevelNone {
		h.ident = mergeIdentity(st.row.Ident[n.Side], seen)
	} else if seen.GlobalID != "" {
		h.ident.GlobalID = seen.GlobalID
	}
	h.settle = append(h.settle, Ref{Side: n.Side, Kind: KindNew, At: n.At})
}

// mergeIdentity keeps what the index knew where the scan learned less, as far
// as both can be about the same bytes.
func mergeIdentity(old, seen mail.Identity) mail.Identity {
	if seen.Level() == mail.LevelBody || old.Light != seen.Light && old.Level() > mail.LevelNone {
		if seen.GlobalID == "" {
			seen.GlobalID = old.GlobalID
		}
		return seen
	}
	if seen.GlobalID != "" {
		old.GlobalID = seen.GlobalID
	}
	if old.Level() == mail.LevelNone {
		return seen
	}
	return old
}

func (r *reconciler) sortedAsks() []Ask {
	asks := make([]Ask, 0, len(r.matcher.asks))
	for a := range r.matcher.asks {
		asks = append(asks, a)
	}
	slices.SortFunc(asks, func(a, b Ask) int {
		if c := cmp.Compare(a.Side, b.Side); c != 0 {
			return c
		}
		if c := comparePlaces(a.At, b.At); c != 0 {
			return c
		}
		return cmp.Compare(b.Level, a.Level)
	})
	// One ask a message: the highest level includes the others.
	return slices.CompactFunc(asks, func(a, b Ask) bool { return a.Side == b.Side && a.At == b.At })
}

func (r *reconciler) hold(ref Ref, row int64, why Reason, text string) {
	r.plan.Holds = append(r.plan.Holds, Hold{Ref: ref, Row: row, Why: why, Text: text})
}

func (r *reconciler) holdAll(refs []Ref, row int64, why Reason, text string) {
	for _, ref := range refs {
		r.hold(ref, row, why, text)
	}
}

func (r *reconciler) remark(s Side, at Place, row int64, why Reason, text string) {
	r.plan.Notes = append(r.plan.Notes, Note{Side: s, At: at, Row: row, Why: why, Text: text})
}

// newID gives a negative ID to a row that the index does not know yet.
func (r *reconciler) newID() int64 {
	r.nextID--
	return r.nextID
}
