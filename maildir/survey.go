package maildir

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Survey lists all mailboxes by reading the directories above them and the
// times of their own, not their messages.
func (m *Maildir) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	known := make([]mail.MailboxName, 0, len(since))
	for name := range since {
		known = append(known, name)
	}
	slices.Sort(known)
	w, err := m.walk(ctx, known)
	if err != nil {
		return nil, err
	}
	m.tree, m.strange = w.found, w.strange
	m.surveyed, m.listed = map[mail.MailboxName]bool{}, map[mail.MailboxName]time.Time{}
	for name, s := range since {
		if at, ok := lastChange(s.Cursor); ok {
			m.listed[name] = at
		}
	}
	boxes := make([]plan.Box, 0, len(m.tree))
	for name, b := range m.tree {
		m.surveyed[name] = true
		b.state, b.count = plan.Unknown, -1
		if s, ok := since[name]; ok && b.fault == nil && (s.Epoch == "" || s.Epoch == epoch) {
			b.state, b.count = b.marks.since(s.Cursor)
		}
		boxes = append(boxes, b.box())
	}
	slices.SortFunc(boxes, func(a, b plan.Box) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return boxes, nil
}

// box is the mailbox as the engine sees it.
func (b *mailbox) box() plan.Box {
	box := plan.Box{
		Name: b.name, Epoch: epoch, Container: b.container,
		State: b.state, Count: b.count,
	}
	if b.marks.inode != 0 {
		box.ID = strconv.FormatUint(b.marks.inode, 10)
	}
	if !b.container && b.fault == nil {
		box.Cursor = b.marks.cursor(max(b.count, 0), b.state == plan.Same)
	}
	return box
}
