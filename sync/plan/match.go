package plan

import (
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
)

// A candidate is a message that may turn out to be the same as another one.
type candidate struct {
	at    Place
	side  Side
	ident mail.Identity
	flags mail.FlagSet
	// draft: programs save drafts again and again under one Message-ID, Date
	// and Subject, so only the body tells them apart.
	draft bool
	// fixed: the identity is what the index remembers; it cannot be asked for.
	fixed bool
	index int // the caller's own
}

// A matcher pairs candidates of one group with candidates of another, and
// collects what must be known before it can.
type matcher struct {
	asks map[Ask]struct{}
}

// pair finds which of as is which of bs. Nothing is paired on less than: an
// equal GlobalID; equal body digests; or, for no draft, an equal, telling
// header that is unique among both, with agreeing sizes, where white space in
// the header does not count. Of n and m exact duplicates it pairs min(n, m).
// The pairs hold indexes into as and bs. While asks are open, the pairs are
// not final.
func (m *matcher) pair(as, bs []candidate) [][2]int {
	var pairs [][2]int
	a, b := pickAll(as), pickAll(bs)
	take := func(i, j int) { pairs = append(pairs, [2]int{i, j}) }

	a, b = pairByGlobalID(as, bs, a, b, take)
	if len(a) == 0 || len(b) == 0 {
		return pairs
	}
	if !m.raiseBoth(as, bs, group{a: a, b: b}, mail.LevelLight) {
		return pairs
	}
	for _, g := range groups(as, bs, a, b, func(c *candidate) mail.Digest { return c.ident.Light }) {
		m.pairLight(as, bs, g, take)
	}
	return pairs
}

// pairLight decides a group of candidates whose light header fields are equal.
func (m *matcher) pairLight(as, bs []candidate, g group, take func(i, j int)) {
	if bodiesKnown(as, g.a) && bodiesKnown(bs, g.b) {
		m.pairBody(as, bs, g, take)
		return
	}
	telling := g.light != mail.NoLightFields
	if telling && len(g.a) == 1 && len(g.b) == 1 {
		m.pairOne(as, bs, g, take)
		return
	}
	if !m.raiseBoth(as, bs, g, mail.LevelHeader) {
		return
	}
	if telling {
		g = takeAlike(as, bs, g, take)
	}
	for _, h := range groups(as, bs, g.a, g.b, func(c *candidate) mail.Digest { return c.ident.Header }) {
		switch {
		case bodiesKnown(as, h.a) && bodiesKnown(bs, h.b):
			m.pairBody(as, bs, h, take)
		case telling && len(h.a) == 1 && len(h.b) == 1:
			m.pairOne(as, bs, h, take)
		default:
			m.compareBodies(as, bs, h, take)
		}
	}
}

// pairOne decides a group of one and one.
func (m *matcher) pairOne(as, bs []candidate, g group, take func(i, j int)) {
	x, y := &as[g.a[0]], &bs[g.b[0]]
	if !x.draft && !y.draft {
		if x.ident.Size == y.ident.Size && x.ident.Size > 0 {
			take(g.a[0], g.b[0])
			return
		}
		if !m.raiseBoth(as, bs, g, mail.LevelHeader) {
			return
		}
		if alike(x, y) {
			take(g.a[0], g.b[0])
			return
		}
	}
	m.compareBodies(as, bs, g, take)
}

// alike tells whether two headers differ in white space only and the bodies
// behind them have one size: what a program makes that parses a message and
// writes it again (OfflineIMAP turns "Message-ID:" before a fold into
// "Message-ID: ").
func alike(x, y *candidate) bool {
	a, b := &x.ident, &y.ident
	return !a.Folded.IsZero() && a.Folded == b.Folded && a.Size-a.HeaderSize == b.Size-b.HeaderSize
}

// takeAlike pairs, of messages with equal light fields, those whose headers
// have no equal on the other side but are alike with one there, and returns
// what remains.
func takeAlike(as, bs []candidate, g group, take func(i, j int)) group {
	foldedA, foldedB := byFolded(as, g.a), byFolded(bs, g.b)
	rest, used := group{light: g.light}, map[int]bool{}
	for _, i := range g.a {
		x := &as[i]
		if there := foldedB[x.ident.Folded]; len(foldedA[x.ident.Folded]) == 1 && len(there) == 1 {
			y := &bs[there[0]]
			if !x.draft && !y.draft && alike(x, y) && x.ident.Header != y.ident.Header {
				take(i, there[0])
				used[there[0]] = true
				continue
			}
		}
		rest.a = append(rest.a, i)
	}
	rest.b = slices.DeleteFunc(slices.Clone(g.b), func(j int) bool { return used[j] })
	return rest
}

// byFolded sorts candidates by their headers without white space.
func byFolded(cs []candidate, idx []int) map[mail.Digest][]int {
	m := make(map[mail.Digest][]int, len(idx))
	for _, i := range idx {
		m[cs[i].ident.Folded] = append(m[cs[i].ident.Folded], i)
	}
	return m
}

func (m *matcher) compareBodies(as, bs []candidate, g group, take func(i, j int)) {
	if m.raiseBoth(as, bs, g, mail.LevelBody) {
		m.pairBody(as, bs, g, take)
	}
}

func (m *matcher) pairBody(as, bs []candidate, g group, take func(i, j int)) {
	for _, h := range groups(as, bs, g.a, g.b, func(c *candidate) mail.Digest { return c.ident.Body }) {
		pairDuplicates(as, bs, h, take)
	}
}

// pairDuplicates pairs exact duplicates: those in the same mailbox with equal
// flags first, then by order.
func pairDuplicates(as, bs []candidate, g group, take func(i, j int)) {
	if len(g.a) == 1 && len(g.b) == 1 {
		take(g.a[0], g.b[0])
		return
	}
	// Who has the same likeness fits; likenesses tell ever less.
	type likeness struct {
		box   mail.BoxID
		flags string
	}
	flags := func(c *candidate) string { return strings.ToLower(c.flags.String()) }
	for _, of := range []func(*candidate) likeness{
		func(c *candidate) likeness { return likeness{c.at.Box, flags(c)} },
		func(c *candidate) likeness { return likeness{box: c.at.Box} },
		func(c *candidate) likeness { return likeness{flags: flags(c)} },
		func(*candidate) likeness { return likeness{} },
	} {
		there := map[likeness][]int{} // in the order of g.b
		for _, j := range g.b {
			l := of(&bs[j])
			there[l] = append(there[l], j)
		}
		used := map[int]bool{}
		g.a = slices.DeleteFunc(g.a, func(i int) bool {
			l := of(&as[i])
			fits := there[l]
			if len(fits) == 0 {
				return false
			}
			there[l] = fits[1:]
			used[fits[0]] = true
			take(i, fits[0])
			return true
		})
		g.b = slices.DeleteFunc(g.b, func(j int) bool { return used[j] })
	}
}

// raiseBoth asks for both halves of a group at once, so that they are answered
// in one round.
func (m *matcher) raiseBoth(as, bs []candidate, g group, level mail.Level) bool {
	a, b := m.raise(as, g.a, level), m.raise(bs, g.b, level)
	return a && b
}

// raise asks for what is not known up to level, and tells whether all is known
// that can be. A candidate that cannot be asked keeps its zero digest, which
// is in no group.
func (m *matcher) raise(cs []candidate, idx []int, level mail.Level) bool {
	ok := true
	for _, i := range idx {
		if c := &cs[i]; c.ident.Level() < level && !c.fixed {
			m.asks[Ask{Side: c.side, At: c.at, Level: level}] = struct{}{}
			ok = false
		}
	}
	return ok
}

func bodiesKnown(cs []candidate, idx []int) bool {
	return !slices.ContainsFunc(idx, func(i int) bool { return cs[i].ident.Body.IsZero() })
}

func pickAll(cs []candidate) []int {
	idx := make([]int, len(cs))
	for i := range cs {
		idx[i] = i
	}
	return idx
}

// pairByGlobalID pairs what the server itself calls one message, and returns
// what remains. A server may show one message in several mailboxes (labels);
// then the order decides.
func pairByGlobalID(as, bs []candidate, a, b []int, take func(i, j int)) (restA, restB []int) {
	byID := map[string]group{}
	for _, i := range a {
		if id := as[i].ident.GlobalID; id != "" {
			g := byID[id]
			g.a = append(g.a, i)
			byID[id] = g
		}
	}
	if len(byID) == 0 {
		return a, b
	}
	for _, j := range b {
		if g, ok := byID[bs[j].ident.GlobalID]; ok {
			g.b = append(g.b, j)
			byID[bs[j].ident.GlobalID] = g
		}
	}
	usedA, usedB := map[int]bool{}, map[int]bool{}
	for _, i := range a {
		g, ok := byID[as[i].ident.GlobalID]
		if !ok || len(g.b) == 0 || len(g.a) == 0 {
			continue
		}
		delete(byID, as[i].ident.GlobalID)
		pairDuplicates(as, bs, g, func(i, j int) {
			usedA[i], usedB[j] = true, true
			take(i, j)
		})
	}
	restA = slices.DeleteFunc(a, func(i int) bool { return usedA[i] })
	restB = slices.DeleteFunc(b, func(j int) bool { return usedB[j] })
	return restA, restB
}

// A group holds the indexes of candidates with one digest in common.
type group struct {
	light mail.Digest
	a, b  []int
}

// groups sorts candidates by a digest, leaves out those that do not know it
// and groups that have nobody on one side, and keeps the order of as.
func groups(as, bs []candidate, a, b []int, digest func(*candidate) mail.Digest) []group {
	at := map[mail.Digest]int{}
	var gs []group
	for _, i := range a {
		d := digest(&as[i])
		if d.IsZero() {
			continue
		}
		k, ok := at[d]
		if !ok {
			k = len(gs)
			at[d] = k
			gs = append(gs, group{light: as[i].ident.Light})
		}
		gs[k].a = append(gs[k].a, i)
	}
	for _, j := range b {
		if k, ok := at[digest(&bs[j])]; ok {
			gs[k].b = append(gs[k].b, j)
		}
	}
	return slices.DeleteFunc(gs, func(g group) bool { return len(g.b) == 0 })
}
