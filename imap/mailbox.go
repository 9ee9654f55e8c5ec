package imap

import (
	"context"
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Create implements engine.Writer. The mailbox is subscribed to as well, so
// that mail programs show it.
func (a *Account) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	return a.CreateAs(ctx, name, mail.RoleNone)
}

// CreateAs is Create with a special use, where the server takes one (RFC 6154,
// section 3); otherwise, and where it refuses, the mailbox is created without.
// The Role of the Box tells.
func (a *Account) CreateAs(ctx context.Context, name mail.MailboxName, use mail.Role) (plan.Box, error) {
	a.forget()
	wire, err := a.names.wire(name)
	if err != nil {
		return plan.Box{}, err
	}
	l := listing{wire: wire, name: name}
	err = a.retry(ctx, func(s *session) error {
		var there bool
		opt := s.createOptions(use)
		if l.mark, there, err = s.createAtOnce(wire, opt, &l.role); err != nil || there {
			return err
		}
		if err := s.create(a.names, wire); err != nil {
			_ = s.client.Unsubscribe(wire).Wait() // no server has to look whether it exists
			return a.names.belowInbox(name, err)
		}
		if err := s.client.Subscribe(wire).Wait(); err != nil && isLoss(err) {
			return err
		}
		l.mark, err = s.status(wire)
		return err
	})
	if err != nil {
		return plan.Box{}, refusal(mail.GradeMailbox, fmt.Errorf("creating mailbox %q: %w", name, err))
	}
	if _, err := a.names.learn(wire); err != nil {
		return plan.Box{}, a.names.unfit(name, "is taken: "+err.Error())
	}
	if _, known := a.views[wire]; !known {
		v := a.view(wire)
		v.validity, v.next, v.limit, v.role = l.mark.validity, l.mark.next, l.mark.limit, l.role
	}
	return l.box(plan.Since{}), nil
}

// createAtOnce makes a mailbox, subscribes to it and looks at it in one round
// trip. Its error is a loss; it is there if STATUS says so, whatever was said
// of CREATE: not every server has the code ALREADYEXISTS (RFC 5530). use is set
// to the special use that the mailbox was given.
func (s *session) createAtOnce(wire string, opt *goimap.CreateOptions, use *mail.Role) (m mark, there bool, err error) {
	*use = mail.RoleNone
	made, subscribed := s.client.Create(wire, opt), s.client.Subscribe(wire)
	status := s.client.Status(wire, s.statusOptions())
	refused := made.Wait()
	for _, err := range []error{refused, subscribed.Wait()} {
		if err != nil && isLoss(err) {
			return m, false, err
		}
	}
	data, err := status.Wait()
	if err != nil {
		return m, false, lossOnly(err)
	}
	if m = markOf(data); opt != nil && refused == nil {
		*use = mail.Role(opt.SpecialUse[0])
	}
	return m, m.validity != 0, nil
}

// createOptions are what to ask for with CREATE; nil for nothing.
func (s *session) createOptions(use mail.Role) *goimap.CreateOptions {
	if use == mail.RoleNone || !s.has(goimap.CapCreateSpecialUse) {
		return nil
	}
	return &goimap.CreateOptions{SpecialUse: []goimap.MailboxAttr{goimap.MailboxAttr(use)}}
}

// create makes a mailbox. Servers make the levels above by themselves (RFC
// 3501, section 6.3.3); where one does not, they are made first.
func (s *session) create(n *names, wire string) error {
	err := s.client.Create(wire, nil).Wait()
	if err == nil || isLoss(err) || s.there(wire) {
		return lossOnly(err)
	}
	if n.sep == "" {
		return err
	}
	made := false
	for i := len(n.prefix); i < len(wire); i++ {
		if i == 0 || !strings.HasPrefix(wire[i:], n.sep) {
			continue
		}
		// That a parent exists already is likely, and no error.
		if e := s.client.Create(wire[:i], nil).Wait(); e == nil {
			made = true
		} else if isLoss(e) {
			return e
		}
	}
	if !made {
		return err
	}
	return s.client.Create(wire, nil).Wait()
}

func lossOnly(err error) error {
	if err != nil && isLoss(err) {
		return err
	}
	return nil
}

// there tells whether a mailbox exists and holds mail. Not every server has
// the code ALREADYEXISTS (RFC 5530).
func (s *session) there(wire string) bool {
	m, err := s.status(wire)
	return err == nil && m.validity != 0
}

// Rename implements engine.Writer.
func (a *Account) Rename(ctx context.Context, from, to mail.MailboxName) error {
	a.forget()
	oldWire, err := a.names.wire(from)
	if err != nil {
		return err
	}
	newWire, err := a.names.wire(to)
	if err != nil {
		return err
	}
	if from == mail.Inbox {
		// RENAME of INBOX moves its messages (RFC 3501, section 6.3.5).
		return mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("INBOX cannot be renamed"), "")
	}
	err = a.use(ctx, func(s *session) error {
		if err := s.stepAside(); err != nil {
			return err
		}
		if err := s.client.Rename(oldWire, newWire, nil).Wait(); err != nil {
			return err
		}
		if err := s.client.Unsubscribe(oldWire).Wait(); err != nil && isLoss(err) {
			return err
		}
		return lossOnly(s.client.Subscribe(newWire).Wait())
	})
	if err != nil {
		return refusal(mail.GradeMailbox, fmt.Errorf("renaming mailbox %q to %q: %w", from, to, err))
	}
	a.names.rename(from, to)
	for wire, v := range a.views {
		if wire == oldWire || a.names.sep != "" && strings.HasPrefix(wire, oldWire+a.names.sep) {
			delete(a.views, wire)
			a.views[newWire+wire[len(oldWire):]] = v
		}
	}
	return nil
}

// rename moves what is known of a mailbox and those below it.
func (n *names) rename(from, to mail.MailboxName) {
	var moved []mail.MailboxName
	for name, wire := range n.toWire {
		if name == from || name.Within(from) {
			delete(n.toWire, name)
			delete(n.toName, wire)
			moved = append(moved, to+name[len(from):])
		}
	}
	for _, name := range moved {
		if wire, err := n.wire(name); err == nil {
			n.toWire[name], n.toName[wire] = wire, name
		}
	}
}

// stepAside makes sure that the mailbox is not the selected one: servers end
// the connection whose mailbox is removed.
func (s *session) stepAside() error {
	if s.at == nil {
		return nil
	}
	if s.has(goimap.CapUnselect) {
		return s.leave()
	}
	_, err := s.open(string(mail.Inbox), false)
	return err
}

// Remove implements engine.Writer. Names that hold no mail do not count as
// children: some servers keep those of mailboxes long gone (RFC 9051, section
// 6.3.5, lets a mailbox with children be deleted). The server is asked for children and
// messages just before; a message that arrives between is lost with the
// mailbox, which a server that keeps to RFC 3501 cannot prevent.
func (a *Account) Remove(ctx context.Context, name mail.MailboxName) error {
	a.forget()
	wire, err := a.names.wire(name)
	if err != nil {
		return err
	}
	err = a.use(ctx, func(s *session) error {
		if err := s.stepAside(); err != nil {
			return err
		}
		if a.names.sep != "" {
			children, err := s.client.List("", wire+a.names.sep+"*", nil).Collect()
			if err != nil {
				return err
			}
			for _, c := range children {
				hollow := slices.Contains(c.Attrs, goimap.MailboxAttrNoSelect) || slices.Contains(c.Attrs, goimap.MailboxAttrNonExistent)
				if strings.HasPrefix(c.Mailbox, wire+a.names.sep) && !hollow {
					return mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("it has mailboxes below it"), "")
				}
			}
		}
		m, err := s.status(wire)
		if err != nil {
			return err
		}
		if m.count > 0 {
			return mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("it holds %d messages", m.count), "")
		}
		if err := s.client.Delete(wire).Wait(); err != nil && codeOf(err) != goimap.ResponseCodeNonExistent {
			return err
		}
		return lossOnly(s.client.Unsubscribe(wire).Wait())
	})
	if err != nil {
		return refusal(mail.GradeMailbox, fmt.Errorf("removing mailbox %q: %w", name, err))
	}
	delete(a.views, wire)
	delete(a.names.toName, wire)
	delete(a.names.toWire, name)
	return nil
}
