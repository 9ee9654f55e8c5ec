package sidetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Deliver adds a message, in a mailbox that is made if it is not there.
func (m *Memory) Deliver(name mail.MailboxName, body string, flags mail.FlagSet, date time.Time) mail.Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	msg := m.newMessage(newText(m.arriving([]byte(body))), flags, date)
	m.add(m.makeBox(name), msg)
	m.root.Exists = m.kind == Maildir
	return msg.ref
}

// arriving is what a message that comes from the outside is stored as.
func (m *Memory) arriving(raw []byte) []byte {
	if m.Traits.CRLF {
		return Canonical(raw)
	}
	return raw
}

// locate finds a message; both results are nil if it is not there.
func (m *Memory) locate(name mail.MailboxName, ref mail.Ref) (*box, *message) {
	if b := m.find(name); b != nil {
		if msg := b.find(ref); msg != nil {
			return b, msg
		}
	}
	return nil, nil
}

// SetFlags gives a message exactly these flags, and tells whether it was there.
func (m *Memory) SetFlags(name mail.MailboxName, ref mail.Ref, flags mail.FlagSet) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, msg := m.locate(name, ref)
	if msg == nil {
		return false
	}
	m.setFlags(b, msg, flags)
	return true
}

// Move moves a message to a mailbox, which is made if needed, and gives its
// new Ref: on a Maildir the old one if keep is set and it is free there. ""
// says that there was no such message.
func (m *Memory) Move(from mail.MailboxName, ref mail.Ref, to mail.MailboxName, keep bool) mail.Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, msg := m.locate(from, ref)
	if msg == nil {
		return ""
	}
	return m.move(b, msg, m.makeBox(to), keep).ref
}

// Copy copies a message to a mailbox, which is made if needed, and gives the
// copy's Ref, "" if there was no such message.
func (m *Memory) Copy(from mail.MailboxName, ref mail.Ref, to mail.MailboxName) mail.Ref {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, msg := m.locate(from, ref)
	if msg == nil {
		return ""
	}
	copied := *msg
	m.serial++
	copied.ref, copied.token, copied.inode = "", "", m.serial
	m.add(m.makeBox(to), &copied)
	return copied.ref
}

// Expunge removes a message for good, and tells whether it was there.
func (m *Memory) Expunge(name mail.MailboxName, ref mail.Ref) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, msg := m.locate(name, ref)
	if msg == nil {
		return false
	}
	m.take(b, msg)
	return true
}

// Edit gives a message other bytes under the same Ref. A Maildir's file gets
// another Stat and the time of the Clock.
func (m *Memory) Edit(name mail.MailboxName, ref mail.Ref, body string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, msg := m.locate(name, ref)
	if msg == nil {
		return false
	}
	b.modseq++
	m.serial++
	msg.text, msg.modseq, msg.stamp = newText(m.arriving([]byte(body))), b.modseq, m.serial
	if m.kind == Maildir {
		msg.date = m.Clock().Truncate(time.Second).UTC()
	}
	return true
}

// Rot gives a message other bytes of the same length, as a failing disk does:
// nothing but the bytes tells of it. It tells whether that was possible.
func (m *Memory) Rot(name mail.MailboxName, ref mail.Ref, body string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, msg := m.locate(name, ref)
	if msg == nil || len(body) != len(msg.text.raw) {
		return false
	}
	msg.text = newText([]byte(body))
	return true
}

// Touch gives a file another Stat and leaves its bytes and time, as copying a
// Maildir with all its times does.
func (m *Memory) Touch(name mail.MailboxName, ref mail.Ref) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, msg := m.locate(name, ref)
	if msg == nil {
		return false
	}
	b.modseq++
	m.serial++
	msg.inode = m.serial
	return true
}

// Rekey gives a file a new key, as mail programs do when they write it anew.
func (m *Memory) Rekey(name mail.MailboxName, ref mail.Ref) mail.Ref {
	return m.Move(name, ref, name, false)
}

// Break makes a message unreadable; a nil err mends it.
func (m *Memory) Break(name mail.MailboxName, ref mail.Ref, err error) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, msg := m.locate(name, ref)
	if msg == nil {
		return false
	}
	msg.broken = err
	return true
}

// HintUID writes into a file's name the UID that another tool gave it.
func (m *Memory) HintUID(name mail.MailboxName, ref mail.Ref, uid uint32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, msg := m.locate(name, ref)
	if msg == nil {
		return false
	}
	b.modseq++
	msg.hintUID = uid
	return true
}

// CreateBox makes a mailbox, with its parents as containers.
func (m *Memory) CreateBox(name mail.MailboxName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeBox(name)
	m.root.Exists = m.kind == Maildir
}

// RenameBox renames a mailbox and all below it. It tells whether that was
// possible: to must be free and not below from, and INBOX stays.
func (m *Memory) RenameBox(from, to mail.MailboxName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.rename(from, to) == nil
}

func (m *Memory) rename(from, to mail.MailboxName) error {
	switch {
	case from == mail.Inbox || to == mail.Inbox:
		return fmt.Errorf("rename %q to %q: INBOX stays where it is", from, to)
	case m.find(from) == nil:
		return fmt.Errorf("rename %q: no such mailbox", from)
	case m.find(to) != nil || to.Within(from):
		return fmt.Errorf("rename %q to %q: the name is taken", from, to)
	}
	for _, b := range m.boxes {
		if b.name == from || b.name.Within(from) {
			b.name = to + b.name[len(from):]
		}
	}
	slices.SortFunc(m.boxes, func(a, b *box) int { return strings.Compare(string(a.name), string(b.name)) })
	m.makeParents(to)
	return nil
}

// DeleteBox removes a mailbox with all its messages. One that has children
// stays as a container. It tells whether there was such a mailbox.
func (m *Memory) DeleteBox(name mail.MailboxName) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.find(name)
	if b == nil {
		return false
	}
	m.drop(b)
	return true
}

func (m *Memory) drop(b *box) {
	if !m.hasChildren(b.name) {
		m.removeBox(b)
		return
	}
	m.serial++
	b.container, b.msgs, b.byRef, b.vanished = true, nil, nil, nil
	b.epoch, b.next, b.id = m.newEpoch(), 1, m.serial
	b.modseq++
}

func (m *Memory) hasChildren(name mail.MailboxName) bool {
	return slices.ContainsFunc(m.boxes, func(b *box) bool { return b.name.Within(name) })
}

// ResetEpoch gives a mailbox a new UIDVALIDITY and numbers its messages anew;
// on a Maildir every file gets a new key.
func (m *Memory) ResetEpoch(name mail.MailboxName) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.find(name)
	if b == nil {
		return
	}
	if m.kind == Server {
		m.epochs++
		b.epoch = fmt.Sprint(m.epochs)
		b.modseq = 0
	}
	msgs := b.msgs
	b.msgs, b.byRef, b.vanished, b.next = nil, nil, nil, 1
	b.modseq++
	for _, msg := range msgs {
		msg.ref, msg.token = "", ""
		m.add(b, msg)
	}
}

// SetRights says what may be done to a mailbox.
func (m *Memory) SetRights(name mail.MailboxName, r plan.Rights) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeBox(name).rights = r
}

// SetRole says what a mailbox is for.
func (m *Memory) SetRole(name mail.MailboxName, r mail.Role) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeBox(name).role = r
}

// Restless makes the next n scans of mailboxes with messages miss one of them,
// and say that the view is not complete.
func (m *Memory) Restless(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restless = n
}

// RemoveRoot takes everything away, INBOX and the marker with it: a Maildir
// root that was removed, or a disk that is not mounted.
func (m *Memory) RemoveRoot() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boxes, m.root = nil, engine.Root{}
}

// Restore brings back the mail, the mailboxes and the marker of an earlier
// Clone, as a backup does. Numbers that were given stay given.
func (m *Memory) Restore(from *Memory) {
	from.mu.Lock()
	boxes, root := cloneBoxes(from.boxes), from.root
	from.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.boxes, m.root = boxes, root
	for _, b := range m.boxes {
		m.serial++
		b.id = m.serial
		for _, msg := range b.msgs {
			m.serial++
			msg.inode = m.serial
		}
	}
}

// SetRoot changes what the root says of itself; Mail is always as it is.
func (m *Memory) SetRoot(r engine.Root) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.root = r
}
