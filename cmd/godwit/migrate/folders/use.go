package folders

import (
	"fmt"

	"github.com/godwit-mail/godwit/mail"
)

// mappedUses are the uses that mailboxes are matched by. \Flagged and
// \Important are views that nothing can be put into.
var mappedUses = []mail.Role{mail.RoleArchive, mail.RoleDrafts, mail.RoleJunk, mail.RoleSent, mail.RoleTrash}

// uses finds out what the mailboxes of both sides are for: by attribute where
// the server gives any for a use, else by a well-known name that only one has.
func (m *mapper) uses() {
	if m.in.Options.NoAutomap {
		return
	}
	for _, use := range mappedUses {
		m.originUse(use)
		m.targetUse(use)
	}
	if all := m.withRole(m.in.Target, mail.RoleAll); m.rules.Server == Gmail && len(all) == 1 {
		m.targets[mail.RoleAll] = all[0]
		for i := range m.nodes {
			if n := &m.nodes[i]; n.Origin.Role == mail.RoleAll {
				n.use, n.sure = mail.RoleAll, true
			}
		}
	}
}

func (m *mapper) originUse(use mail.Role) {
	found := m.withRole(m.in.Origin, use)
	sure := len(found) > 0
	if !sure {
		found = m.withName(m.in.Origin, use)
	}
	if !sure && len(found) > 1 {
		if len(m.withRole(m.in.Target, use))+len(m.withName(m.in.Target, use)) > 0 {
			m.ambiguous(TwoAtOrigin, use, found, "each keeps its name: choose one with --map OLD=NEW")
		}
		return
	}
	for _, b := range found {
		n := m.byOld[b.Name]
		n.use, n.sure = use, sure
	}
}

func (m *mapper) targetUse(use mail.Role) {
	found := m.withRole(m.in.Target, use)
	if len(found) == 0 {
		found = m.withName(m.in.Target, use)
	}
	if len(found) == 1 {
		m.targets[use] = found[0]
		return
	}
	for i := range m.nodes {
		n := &m.nodes[i]
		if n.use == use && len(found) > 1 && m.there[m.rules.key(n.Origin.Name)] == nil {
			m.ambiguous(TwoAtTarget, use, found, fmt.Sprintf("%q keeps its name: choose one with --map OLD=NEW", n.Origin.Name))
		}
	}
}

func (m *mapper) ambiguous(kind NoteKind, use mail.Role, boxes []*Box, then string) {
	note := Note{Kind: kind, Role: use}
	for _, b := range boxes {
		note.Boxes = append(note.Boxes, b.Name)
	}
	note.Text = fmt.Sprintf("%s may be for %s: %s", quoted(note.Boxes), use, then)
	m.notes = append(m.notes, note)
}

func (m *mapper) withRole(boxes []Box, use mail.Role) (found []*Box) {
	for i := range boxes {
		if b := &boxes[i]; b.Role == use && !b.Container && b.Name != mail.Inbox {
			found = append(found, b)
		}
	}
	return found
}

func (m *mapper) withName(boxes []Box, use mail.Role) (found []*Box) {
	for i := range boxes {
		if b := &boxes[i]; b.Role == mail.RoleNone && !b.Container && known(m.known, b.Name) == use {
			found = append(found, b)
		}
	}
	return found
}

// byUse gives the mailbox of the target that is for the same; nil if there is
// none, or if the name is better evidence: a mailbox of the same name, where
// one of the two uses is told by a name only.
func (m *mapper) byUse(n *node) (*Box, Why) {
	box := m.targets[n.use]
	if n.use == mail.RoleNone || box == nil {
		return nil, ""
	}
	same := m.there[m.rules.key(n.Origin.Name)]
	why := ByUse
	if !n.sure || box.Role != n.use {
		why = ByKnownName
	}
	if same == box {
		return box, ByName
	}
	if same != nil && (why == ByKnownName || same.Role == n.use) {
		return nil, ""
	}
	return box, why
}
