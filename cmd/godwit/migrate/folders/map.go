package folders

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
)

// Map decides where each mailbox of the origin goes.
func Map(in Input) Plan {
	m := newMapper(in)
	m.uses()
	for i := range m.nodes {
		m.leave(&m.nodes[i])
	}
	// The surer a choice, the earlier it takes its name; of equals, parents
	// first, then by name.
	order := make([]*node, 0, len(m.nodes))
	for i := range m.nodes {
		if n := &m.nodes[i]; n.Left == "" {
			n.class = m.classify(n)
			order = append(order, n)
		}
	}
	slices.SortStableFunc(order, func(a, b *node) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.Origin.Name, b.Origin.Name))
	})
	for _, n := range order {
		m.place(n)
	}
	return m.plan()
}

// class says how sure the choice of a name is.
type class int

const (
	remembered class = iota
	mapped
	inbox
	special
	asked
	own     // its own name, as it is
	adapted // its own name, changed
)

// A node is a mailbox of the origin on its way to a Folder.
type node struct {
	Folder
	class class
	want  mail.MailboxName // what class says; "" for own and adapted
	use   mail.Role        // what it is for, by attribute or name
	sure  bool             // use is by attribute
	byMap bool             // --map names it
}

// A holder is who has a name at the target.
type holder struct {
	nodes []*node
	kept  bool // the target shows other mail there
}

type mapper struct {
	in    Input
	rules Rules
	nodes []node
	byOld map[mail.MailboxName]*node
	// there are the mailboxes of the target, by key; spelled is how it, or an
	// earlier choice, spells a name or a part of one.
	there   map[string]*Box
	spelled map[string]mail.MailboxName
	held    map[string]*holder
	wanted  map[string]bool // keys of all names at the origin
	refused map[string]bool
	known   map[string]mail.Role
	gmail   bool // the origin is Gmail
	notes   []Note
	mapHit  []bool
	exprHit []bool
	targets map[mail.Role]*Box // the one mailbox for each use
}

func newMapper(in Input) *mapper {
	in.Origin, in.Target = sorted(in.Origin), sorted(append(slices.Clone(in.Target), Box{Name: mail.Inbox}))
	m := &mapper{
		in: in, rules: in.Rules.settled(in.Target), byOld: map[mail.MailboxName]*node{}, there: map[string]*Box{},
		spelled: map[string]mail.MailboxName{}, held: map[string]*holder{}, wanted: map[string]bool{}, refused: map[string]bool{},
		known: words(), gmail: in.OriginServer == Gmail, targets: map[mail.Role]*Box{},
		mapHit: make([]bool, len(in.Options.Maps)), exprHit: make([]bool, len(in.Options.Exprs)),
	}
	for i := range in.Target {
		b := &in.Target[i]
		key := m.rules.key(b.Name)
		m.spell(b.Name)
		m.spelled[key] = b.Name
		if b.Container && b.Name != mail.Inbox {
			continue
		}
		m.there[key] = b
		if m.virtual(b.Role, m.rules.Server) {
			m.held[key] = &holder{kept: true}
		}
	}
	for _, name := range in.Refused {
		m.refused[m.rules.key(name)] = true
	}
	m.nodes = make([]node, len(in.Origin))
	for i, b := range in.Origin {
		n := &m.nodes[i]
		n.Origin = b
		if _, ok := m.byOld[b.Name]; !ok {
			m.byOld[b.Name] = n
		}
		m.wanted[m.rules.key(b.Name)] = true
		m.gmail = m.gmail || b.Role != mail.RoleNone && hasFold(gmailTrees, string(b.Name.Parent()))
	}
	return m
}

// sorted makes the order in which a server lists its mailboxes not matter.
func sorted(boxes []Box) []Box {
	return slices.SortedStableFunc(slices.Values(boxes), func(a, b Box) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Role, b.Role))
	})
}

// virtual tells whether a mailbox of a server shows mail of others. Gmail's \All
// is where mail lies that has no label.
func (m *mapper) virtual(role mail.Role, server Server) bool {
	switch role {
	case mail.RoleFlagged, mail.RoleImportant:
		return true
	case mail.RoleAll:
		return server != Gmail
	}
	return false
}

// leave notes why a mailbox is left out, if it is.
func (m *mapper) leave(n *node) {
	scope := m.in.Options.Scope
	switch b := &n.Origin; {
	case b.Container:
		n.Left = LeftContainer
	case scope != nil && !scope.Match(b.Name):
		n.Left = LeftScope
	case (b.Role == mail.RoleFlagged || b.Role == mail.RoleImportant) && (scope == nil || !scope.Names(b.Name)):
		n.Left = LeftVirtual
	case b.Role == mail.RoleAll:
		n.Virtual = true
	}
}

// asked applies the user's options to a name; false if they say nothing.
func (m *mapper) asked(name mail.MailboxName) (mail.MailboxName, Why, bool) {
	best := -1
	for i, r := range m.in.Options.Maps {
		if _, ok := r.apply(name); ok && (best < 0 || len(r.From) >= len(m.in.Options.Maps[best].From)) {
			best = i
		}
	}
	if best >= 0 {
		m.mapHit[best] = true
		to, _ := m.in.Options.Maps[best].apply(name)
		return mail.NewMailboxName(to.Levels()...), ByMap, true
	}
	now, why := name, Why("")
	for i, e := range m.in.Options.Exprs {
		if to, ok := e.apply(now); ok {
			m.exprHit[i] = true
			if to != "" && to != now {
				now, why = to, ByExpr
			}
		}
	}
	// INBOX below INBOX is INBOX.
	if sub := canonical(string(m.in.Options.Subfolder)); sub != "" && (sub != mail.Inbox || now != mail.Inbox) {
		now, why = sub+"/"+now, BySubfolder
	}
	return now, why, why != ""
}

// classify says how the name of a mailbox is found.
func (m *mapper) classify(n *node) class {
	name := n.Origin.Name
	to, why, ok := m.asked(name)
	if ok {
		n.Asked, n.want, n.Why, n.byMap = to, to, why, why == ByMap
	}
	if m.recall(n) {
		return remembered
	}
	switch {
	case ok && why == ByMap:
		return mapped
	case ok:
		return asked
	case name == mail.Inbox:
		n.want, n.Why = mail.Inbox, ByName
		return inbox
	}
	if box, why := m.byUse(n); box != nil {
		n.want, n.Why = box.Name, why
		return special
	}
	n.Why = ByName
	if f := (fitter{rules: m.rules, replace: m.in.Options.Replace}); m.there[m.rules.key(name)] == nil && f.path(name) != name {
		return adapted
	}
	return own
}

// recall takes what an earlier run used, while it is there and the user asks
// for the same.
func (m *mapper) recall(n *node) bool {
	used, ok := m.in.Used[n.Origin.Name]
	if !ok {
		return false
	}
	box := m.there[m.rules.key(used.Target)]
	switch {
	case box == nil:
		return false
	case used.Asked != n.Asked:
		n.Was = box.Name
		return false
	case n.Asked == "" && (n.Origin.Name == mail.Inbox) != (box.Name == mail.Inbox):
		return false // INBOX goes to INBOX, and nothing else by itself
	}
	n.want, n.Why = box.Name, ByMemory
	return true
}

// place gives a mailbox its target.
func (m *mapper) place(n *node) {
	f := fitter{rules: m.rules, replace: m.in.Options.Replace}
	var target mail.MailboxName
	switch {
	case n.want == "":
		target = m.ownName(n, &f)
	case n.class == remembered || n.want == mail.Inbox || m.there[m.rules.key(n.want)] != nil:
		target = n.want
	default:
		target = m.fit(&f, n.want)
	}
	n.Changes = f.changes
	if target = m.claim(n, target); n.Was == target {
		n.Was = ""
	}
	n.Target = target
	n.Create = target != mail.Inbox && m.there[m.rules.key(target)] == nil
}

// ownName is the name that a mailbox has by itself: below where its parent went.
func (m *mapper) ownName(n *node, f *fitter) mail.MailboxName {
	name := n.Origin.Name
	if m.there[m.rules.key(name)] != nil && !m.treeOf(name) {
		return name
	}
	parent := m.carry(name.Parent(), f, 0)
	switch above := name.Parent(); {
	case m.treeOf(name):
		n.Why = ByGmail
		f.note(Tree, string(name), name.Base())
	case parent != above && above != "":
		n.Why = ByParent
	}
	return m.respell(f.below(parent, name.Base()))
}

// treeOf tells whether a name lies in one of Gmail's trees, which only Gmail
// has and which nothing can be added to.
func (m *mapper) treeOf(name mail.MailboxName) bool {
	return (m.gmail || m.rules.Server == Gmail) && hasFold(gmailTrees, string(name.Parent()))
}

// deepest is how many levels are followed upwards; deeper ones are joined.
const deepest = 500

// carry is where mailboxes below a name of the origin go.
func (m *mapper) carry(name mail.MailboxName, f *fitter, depth int) mail.MailboxName {
	switch {
	case name == "" || depth > deepest || hasFold(gmailTrees, string(name)) && (m.gmail || m.rules.Server == Gmail):
		return ""
	case name == mail.Inbox:
		return name
	}
	if n := m.byOld[name]; n != nil && n.Target != "" && n.Asked == "" {
		return n.Target
	}
	if n := m.byOld[name]; n != nil && n.Left != "" {
		if box, _ := m.byUse(n); box != nil {
			return box.Name
		}
	}
	if box := m.there[m.rules.key(name)]; box != nil {
		return box.Name
	}
	return m.respell(f.below(m.carry(name.Parent(), f, depth+1), name.Base()))
}

// fit adapts a whole name.
func (m *mapper) fit(f *fitter, name mail.MailboxName) mail.MailboxName {
	if m.rules.Server == Gmail && hasFold(gmailTrees, string(name.Levels()[0])) && name.Parent() != "" {
		rest := name[strings.IndexByte(string(name), '/')+1:]
		f.note(Tree, string(name), string(rest))
		name = rest
	}
	return m.respell(f.path(name))
}

// path adapts a whole name, level by level.
func (f *fitter) path(name mail.MailboxName) (out mail.MailboxName) {
	if name == mail.Inbox {
		return name
	}
	for i, level := range name.Levels() {
		if i == 0 && level == string(mail.Inbox) {
			out = mail.Inbox
			continue
		}
		out = f.below(out, level)
	}
	return out
}

// spell remembers how the levels above a name are spelled.
func (m *mapper) spell(name mail.MailboxName) {
	for n := name; n != ""; n = n.Parent() {
		if _, ok := m.spelled[m.rules.key(n)]; ok {
			return
		}
		m.spelled[m.rules.key(n)] = n
	}
}

// respell writes the levels above a name as they are spelled already. That may
// be longer: an accent by itself takes more bytes than in one with its letter.
func (m *mapper) respell(name mail.MailboxName) mail.MailboxName {
	for n := name.Parent(); n != ""; n = n.Parent() {
		as, ok := m.spelled[m.rules.key(n)]
		if !ok || m.rules.key(as+name[len(n):]) != m.rules.key(name) {
			continue
		}
		as += name[len(n):]
		if m.rules.size(as) > m.rules.MaxName {
			f := fitter{rules: m.rules}
			as = join1(as.Parent(), f.shorten(as.Parent(), as.Base(), ""))
		}
		return as
	}
	return name
}

// claim takes a name for a mailbox: the one it is to have if it is free or may
// be shared, else one with a number.
func (m *mapper) claim(n *node, name mail.MailboxName) mail.MailboxName {
	f := fitter{rules: m.rules}
	first := name
	for i := 0; ; i++ {
		key := m.rules.key(name)
		h := m.held[key]
		refused := m.refused[key] && m.there[key] == nil && name != mail.Inbox
		reserved := i > 0 && m.wanted[key] && n.Origin.Name != name
		switch {
		case refused || reserved:
		case h == nil:
			m.held[key] = &holder{nodes: []*node{n}}
			return m.taken(n, name)
		case m.mayShare(n, h):
			if h.nodes = append(h.nodes, n); len(h.nodes) > 1 {
				return h.nodes[0].Target
			}
			return m.taken(n, name)
		}
		kind := Collision
		if refused {
			kind = Refusal
		}
		name = m.next(&f, first, i, m.refused[m.rules.key(first)])
		if last := len(n.Changes) - 1; i > 0 && last >= 0 && (n.Changes[last].Kind == Collision || n.Changes[last].Kind == Refusal) {
			kind, n.Changes = n.Changes[last].Kind, n.Changes[:last]
		}
		n.Changes = append(n.Changes, Change{Kind: kind, From: string(first), To: string(name)})
	}
}

// taken gives a name that was claimed as it is spelled.
func (m *mapper) taken(n *node, name mail.MailboxName) mail.MailboxName {
	if box := m.there[m.rules.key(name)]; box != nil && box.Name != name {
		n.Changes = append(n.Changes, Change{Kind: Spelling, From: string(name), To: string(box.Name)})
		return box.Name
	}
	m.spell(name)
	return name
}

// next is the name to try after i others: plainer ones if the target refused
// the first, then numbers.
func (m *mapper) next(f *fitter, first mail.MailboxName, i int, refused bool) mail.MailboxName {
	parent, base := first.Parent(), first.Base()
	if refused {
		flat := m.rules.plain(string(first))
		switch i {
		case 0:
			return m.simpler(f, first, m.rules.wide)
		case 1:
			return m.simpler(f, first, m.rules.plain)
		case 2:
			return f.below("", flat)
		}
		// It may have been too long, or have too many levels.
		f.rules.MaxLevel = min(f.rules.MaxLevel, shortest)
		parent, base, i = "", flat, i-3
	}
	ending := fmt.Sprintf(" (%d)", i+2)
	if strings.ContainsFunc(ending, m.rules.refuses) || refused {
		ending = fmt.Sprintf("%s%d", m.rules.safe(), i+2)
	}
	if parent == mail.Inbox && m.rules.belowInbox() {
		parent = ""
	}
	for parent != "" && f.tooFar(parent) {
		parent = parent.Parent()
	}
	return join1(parent, f.shorten(parent, base, ending))
}

// shortest is how long, in bytes, a name is that nothing else helped.
const shortest = 100

// simpler makes those levels of a name simpler that neither the target nor
// another mailbox has.
func (m *mapper) simpler(f *fitter, name mail.MailboxName, simple func(level string) string) mail.MailboxName {
	kept, rest := name.Parent(), []string{name.Base()}
	for ; kept != ""; kept = kept.Parent() {
		if key := m.rules.key(kept); m.there[key] != nil || m.held[key] != nil {
			break
		}
		rest = append(rest, kept.Base())
	}
	slices.Reverse(rest)
	for _, level := range rest {
		kept = f.below(kept, simple(level))
	}
	return kept
}

// mayShare tells whether a mailbox may go where others go already. INBOX, of
// which there is one on either side, always may.
func (m *mapper) mayShare(n *node, h *holder) bool {
	if h.kept {
		return n.byMap || n.class == remembered
	}
	if m.in.Options.Merge || n.byMap || n.class == inbox {
		return true
	}
	for _, other := range h.nodes {
		bothUsed := n.class == remembered && other.class == remembered
		sameUse := n.sure && other.sure && n.use == other.use && n.use != mail.RoleNone
		if other.byMap || bothUsed || sameUse {
			return true
		}
	}
	return false
}
