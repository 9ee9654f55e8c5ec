package imap

import (
	"context"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// newcomers fetches flags and light identity of the messages of a mailbox
// from UID next on, and tells its UIDVALIDITY.
func (a *Account) newcomers(ctx context.Context, wire string, next uint32) (t *table, validity uint32, err error) {
	err = a.retry(ctx, func(s *session) error {
		at, err := s.open(wire, false)
		if err != nil {
			return err
		}
		t, validity = &table{}, at.validity
		if at.exists == 0 {
			return nil
		}
		opt := headerItems(mail.LevelLight)
		opt.Flags = true
		s.wire.TakeGlobalIDs()
		if err := s.fetch(uidRange(max(next, 1), 0), opt, t.collect); err != nil {
			return err
		}
		// n:* names the last message even if its UID is lower (RFC 3501,
		// section 6.4.8).
		t.drop(func(r *row) bool { return r.uid < next })
		t.sort()
		t.global(s.wire.TakeGlobalIDs())
		return nil
	})
	return t, validity, err
}

// match finds for each of wants its message among those of t for which free
// holds; 0 where there is none, or no telling which. Messages of equal
// identity are taken in the order of their UIDs.
func (a *Account) match(ctx context.Context, wire string, t *table, free func(uint32) bool, wants []mail.Identity) ([]uint32, error) {
	m := newMatching(t, free, wants)
	if doubtful := m.doubtful(); len(doubtful) > 0 {
		err := a.identifyBodies(ctx, wire, doubtful, func(ref mail.Ref, id mail.Identity, err error) error {
			if uid, e := parseUID(ref); e == nil && err == nil {
				t.find(uid).ident.Body = id.Body
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("looking for messages in mailbox %q: %w", wire, err)
		}
	}
	m.assign(m.same)
	m.assign(m.rewritten)
	return m.got, nil
}

type matching struct {
	t     *table
	wants []mail.Identity
	got   []uint32
	taken map[uint32]bool
	// The places in t of the messages that are free, in order; all of them,
	// by their light fields, and by their global identifier.
	open     []int
	byLight  map[mail.Digest][]int
	byGlobal map[string][]int
	// wanted are the places in wants, by light fields.
	wanted map[mail.Digest][]int
}

func newMatching(t *table, free func(uint32) bool, wants []mail.Identity) *matching {
	m := &matching{
		t: t, wants: wants, got: make([]uint32, len(wants)), taken: map[uint32]bool{},
		byLight: map[mail.Digest][]int{}, byGlobal: map[string][]int{}, wanted: map[mail.Digest][]int{},
	}
	for i := range t.rows {
		r := &t.rows[i]
		if !free(r.uid) {
			continue
		}
		m.open = append(m.open, i)
		m.byLight[r.ident.Light] = append(m.byLight[r.ident.Light], i)
		if r.gid != "" {
			m.byGlobal[r.gid] = append(m.byGlobal[r.gid], i)
		}
	}
	for i := range wants {
		m.wanted[wants[i].Light] = append(m.wanted[wants[i].Light], i)
	}
	return m
}

// near gives the places of free messages of which some may be alike to a
// want, in order: those that are not among them are not.
func (m *matching) near(w *mail.Identity) []int {
	if w.Light.IsZero() {
		return m.open
	}
	list := m.byLight[w.Light]
	if other := m.byGlobal[w.GlobalID]; w.GlobalID != "" && len(other) > 0 {
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
