package imap

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// match finds for each of wants its message among those newcomers for which
// free holds; 0 where there is none, or no telling which. Messages of equal
// identity are taken in the order of their UIDs.
func (a *Account) match(ctx context.Context, n *newcomers, free func(uint32) bool, wants []mail.Identity) ([]uint32, error) {
	m := newMatching(&n.table, free, wants)
	if err := a.readBodies(ctx, n, m.doubtful()); err != nil {
		return nil, err
	}
	return m.matched(), nil
}

// matched gives what was found for each want.
func (m *matching) matched() []uint32 {
	m.assign(m.same)
	m.assign(m.rewritten)
	return m.got
}

type matching struct {
	t        *table
	wants    []mail.Identity
	got      []uint32
	taken    map[uint32]bool
	nearness // of the messages that are free
	// wanted are the places in wants, by light fields.
	wanted map[mail.Digest][]int
}

func newMatching(t *table, free func(uint32) bool, wants []mail.Identity) *matching {
	var open []int
	for i := range t.rows {
		if free(t.rows[i].uid) {
			open = append(open, i)
		}
	}
	return matchingOf(t, open, wants)
}

// matchingOf is newMatching among the messages at some places of t, in order.
func matchingOf(t *table, open []int, wants []mail.Identity) *matching {
	m := &matching{
		t: t, wants: wants, got: make([]uint32, len(wants)), taken: map[uint32]bool{},
		nearness: newNearness(t, open), wanted: map[mail.Digest][]int{},
	}
	for i := range wants {
		m.wanted[wants[i].Light] = append(m.wanted[wants[i].Light], i)
	}
	return m
}

// A nearness finds messages of a table without a look at each.
type nearness struct {
	// The places in the table of the messages, in order; all of them, by
	// their light fields, and by their global identifier.
	open     []int
	byLight  map[mail.Digest][]int
	byGlobal map[string][]int
}

func newNearness(t *table, open []int) nearness {
	n := nearness{open: open, byLight: map[mail.Digest][]int{}, byGlobal: map[string][]int{}}
	for _, i := range open {
		r := &t.rows[i]
		n.byLight[r.ident.Light] = append(n.byLight[r.ident.Light], i)
		if r.gid != "" {
			n.byGlobal[r.gid] = append(n.byGlobal[r.gid], i)
		}
	}
	return n
}

// near gives the places of messages of which some may be alike to a want, in
// order: those that are not among them are not.
func (n *nearness) near(w *mail.Identity) []int {
	if w.Light.IsZero() {
		return n.open
	}
	list := n.byLight[w.Light]
	if other := n.byGlobal[w.GlobalID]; w.GlobalID != "" && len(other) > 0 {
		list = slices.Concat(list, other)
		slices.Sort(list)
		list = slices.Compact(list)
	}
	return list
}

// alike: light fields and size agree, as far as they are known.
func alike(r *row, w *mail.Identity) bool {
	id := r.identity()
	if w.GlobalID != "" && id.GlobalID == w.GlobalID {
		return true
	}
	if !w.Light.IsZero() && w.Light != id.Light {
		return false
	}
	return w.Size <= 0 || w.Size == id.Size
}

// doubtful lists the messages whose bodies must be compared: they are alike
// to a want, and not the only one on both sides, or nothing but their size is.
func (m *matching) doubtful() []uint32 {
	wants, blind := make([]int, len(m.t.rows)), make([]bool, len(m.t.rows))
	for j := range m.wants {
		w := &m.wants[j]
		if w.Body.IsZero() {
			continue
		}
		near := m.near(w)
		count := 0
		for _, i := range near {
			if alike(&m.t.rows[i], w) {
				count++
				wants[i]++
			}
		}
		if !w.Light.IsZero() && w.Light != mail.NoLightFields && count <= 1 {
			continue
		}
		for _, i := range near {
			blind[i] = blind[i] || alike(&m.t.rows[i], w)
		}
	}
	var uids []uint32
	for _, i := range m.open {
		if wants[i] > 1 || blind[i] {
			uids = append(uids, m.t.rows[i].uid)
		}
	}
	return uids
}

// assign gives each want that has none yet a message that fits.
func (m *matching) assign(fits func(*row, *mail.Identity) bool) {
	for i := range m.wants {
		if m.got[i] != 0 {
			continue
		}
		for _, j := range m.near(&m.wants[i]) {
			r := &m.t.rows[j]
			if !m.taken[r.uid] && fits(r, &m.wants[i]) {
				m.got[i], m.taken[r.uid] = r.uid, true
				break
			}
		}
	}
}

// same: the bodies agree where both are known, otherwise all that is known
// does, and something is.
func (m *matching) same(r *row, w *mail.Identity) bool {
	if !alike(r, w) {
		return false
	}
	if !r.ident.Body.IsZero() && !w.Body.IsZero() {
		return r.ident.Body == w.Body
	}
	return w.GlobalID != "" && w.GlobalID == r.gid || !w.Light.IsZero() && w.Light != mail.NoLightFields
}

// rewritten: a server that rewrites messages changes their size; light fields
// that exactly one newcomer has and one want are proof enough.
func (m *matching) rewritten(r *row, w *mail.Identity) bool {
	if w.Light.IsZero() || w.Light == mail.NoLightFields || r.ident.Light != w.Light {
		return false
	}
	rows, wants := 0, 0
	for _, i := range m.byLight[w.Light] {
		if !m.taken[m.t.rows[i].uid] {
			rows++
		}
	}
	for _, i := range m.wanted[w.Light] {
		if m.got[i] == 0 {
			wants++
		}
	}
	return rows == 1 && wants == 1
}
