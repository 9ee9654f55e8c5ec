package plan

import (
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// joinNew pairs messages that are new on both sides and the same: the mail of
// another tool's Maildir, or what a run placed just before it died. A file that
// names a message of another mailbox comes last: it may be a copy that took
// its name along, and have a message of its own where it lies.
func (r *reconciler) joinNew() {
	r.joinByToken(func(l, m *newMessage) bool { return l.At.Box == m.At.Box })
	for _, box := range r.boxesWithNew() {
		local := r.candidates(Local, box)
		if len(local) == 0 {
			continue
		}
		remote := r.candidates(Remote, box)
		if len(remote) == 0 {
			continue
		}
		for _, p := range r.matcher.pair(local, remote) {
			r.join(&r.news[local[p[0]].index], &r.news[remote[p[1]].index])
		}
	}
	if len(r.matcher.asks) == 0 {
		r.joinByToken(func(l, m *newMessage) bool { return true })
	}
}

// joinByToken pairs files that name the server's message they were placed
// for, in whichever mailbox a mail program has put them since.
func (r *reconciler) joinByToken(fits func(local, remote *newMessage) bool) {
	byToken := map[string]int{}
	for i := range r.news {
		if n := &r.news[i]; n.Side == Remote && !n.taken && !n.Unreadable && n.Token() != "" {
			byToken[n.Token()] = i
		}
	}
	for i := range r.news {
		n := &r.news[i]
		if n.Side != Local || n.taken || n.Unreadable || n.Token() == "" {
			continue
		}
		k, ok := byToken[n.Token()]
		if !ok || r.news[k].taken || !fits(n, &r.news[k]) {
			continue
		}
		// The name says which message it is; that its bytes are still those
		// is checked as for any other pair.
		for range r.matcher.pair([]candidate{r.candidate(i)}, []candidate{r.candidate(k)}) {
			r.join(n, &r.news[k])
		}
	}
}

func (r *reconciler) boxesWithNew() []mail.BoxID {
	var ids []mail.BoxID
	for key := range r.newIn {
		ids = append(ids, key.Box)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// sameAsFar tells whether nothing that is known of two identities differs.
func sameAsFar(a, b mail.Identity) bool {
	header := a.Header.IsZero() || b.Header.IsZero() || a.Header == b.Header
	return a.Size == b.Size && a.Light == b.Light && header
}

// join makes a row of two new messages that are one.
func (r *reconciler) join(l, m *newMessage) {
	l.taken, m.taken = true, true
	row := r.newRow(l)
	row.At[Remote], row.Epoch[Remote], row.Ident[Remote] = m.At, m.Epoch, m.Ident()
	if here, there := l.Ident(), m.Ident(); there.Level() < mail.LevelBody && here.Level() == mail.LevelBody && sameAsFar(here, there) {
		row.Ident[Remote] = here
		row.Ident[Remote].Wire = mail.Digest{}
		row.Ident[Remote].GlobalID = there.GlobalID
	}
	row.Date = m.Date
	row.NoBase = true
	st := &state{row: row}
	for _, n := range []*newMessage{l, m} {
		st.half[n.Side] = half{
			place: n.At, epoch: n.Epoch, flags: n.Flags, changed: true, bound: true,
			ident: row.Ident[n.Side], stat: n.Stat(),
			settle: []Ref{{Side: n.Side, Kind: KindNew, At: n.At}},
		}
	}
	if l.At.Box != m.At.Box {
		// A file that a mail program moved after it was placed: a move. Until
		// it is carried over the row does not bind the file.
		st.half[Local].moved = true
		st.row.At[Local], st.row.Epoch[Local] = Place{}, ""
	}
	r.rows[row.ID] = st
	r.rowIDs = append(r.rowIDs, row.ID)
}
