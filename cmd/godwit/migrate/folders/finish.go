package folders

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// plan puts together what was decided.
func (m *mapper) plan() Plan {
	byTarget := map[mail.MailboxName][]*node{}
	for i := range m.nodes {
		if n := &m.nodes[i]; n.Target != "" {
			byTarget[n.Target] = append(byTarget[n.Target], n)
		}
	}
	p := Plan{Folders: make([]Folder, 0, len(m.nodes))}
	given := map[mail.Role]bool{}
	for i := range m.nodes {
		n := &m.nodes[i]
		for _, other := range byTarget[n.Target] {
			if other != n {
				n.Merges = append(n.Merges, other.Origin.Name)
			}
		}
		slices.Sort(n.Merges)
		m.special(n, given)
		p.Folders = append(p.Folders, n.Folder)
	}
	slices.SortStableFunc(p.Folders, func(a, b Folder) int {
		return cmp.Or(cmp.Compare(turn(a), turn(b)), cmp.Compare(a.Origin.Name, b.Origin.Name))
	})
	p.Notes = append(m.notes, m.unused()...)
	return p
}

// turn is when a mailbox is carried: INBOX first, what shows the mail of others
// last.
func turn(f Folder) int {
	switch {
	case f.Origin.Name == mail.Inbox:
		return 0
	case f.Virtual:
		return 2
	}
	return 1
}

// special notes which use a mailbox is to be created with: the first for a use
// that the target has no mailbox for.
func (m *mapper) special(n *node, given map[mail.Role]bool) {
	if !n.Create || n.use == mail.RoleNone || !slices.Contains(mappedUses, n.use) || given[n.use] || len(m.withRole(m.in.Target, n.use)) > 0 {
		return
	}
	n.Use, given[n.use] = n.use, true
}

// unused notes the options that fitted no mailbox, and what an attribute
// decided against a name.
func (m *mapper) unused() (notes []Note) {
	for i := range m.nodes {
		n := &m.nodes[i]
		if same := m.there[m.rules.key(n.Origin.Name)]; n.Why == ByUse && same != nil && same.Name != n.Target {
			notes = append(notes, Note{Kind: SameNameToo, Role: n.use, Boxes: []mail.MailboxName{n.Origin.Name}, Text: fmt.Sprintf(
				"%q goes to %q, which is for the same, though the target has %q too: choose that with --map", n.Origin.Name, n.Target, same.Name)})
		}
	}
	for i, r := range m.in.Options.Maps {
		if !m.mapHit[i] {
			notes = append(notes, Note{Kind: UnusedMap, Text: fmt.Sprintf("--map %s=%s fits no mailbox of the origin", r.From, r.To)})
		}
	}
	for i, e := range m.in.Options.Exprs {
		if !m.exprHit[i] {
			notes = append(notes, Note{Kind: UnusedExpr, Text: fmt.Sprintf("--map-regex %s fits no mailbox of the origin", e.text)})
		}
	}
	return notes
}
