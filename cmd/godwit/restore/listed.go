package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Message is one that is not in an archive, with all that is known of it.
type Message struct {
	Mailbox mail.MailboxName
	Ident   mail.Identity // LevelBody
	Flags   mail.FlagSet
	Date    time.Time
	Open    func() (io.ReadCloser, error)
}

// listed is a side of messages that lie somewhere.
type listed struct {
	engine.Side // nil: what a Selection does not ask for
	list        []Message
	boxes       map[mail.BoxID]mail.MailboxName
}

// Listed makes a side of messages, for a Part to come from.
func Listed(list []Message) engine.Side {
	return &listed{list: list, boxes: map[mail.BoxID]mail.MailboxName{}}
}

func (l *listed) Survey(context.Context, map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	var boxes []plan.Box
	for _, m := range l.list {
		if !slices.ContainsFunc(boxes, func(b plan.Box) bool { return b.Name == m.Mailbox }) {
			boxes = append(boxes, plan.Box{Name: m.Mailbox, Rights: plan.ReadOnly, Count: -1})
		}
	}
	return boxes, nil
}

func (l *listed) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		l.boxes[id] = name
	}
}

func (m *Message) item() mail.Item { return mail.Item{Flags: m.Flags, Date: m.Date, Ident: m.Ident} }

func (l *listed) Scan(_ context.Context, box mail.BoxID, _ plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	for i := range l.list {
		if l.list[i].Mailbox != l.boxes[box] {
			continue
		}
		if err := yield(plan.Seen{Ref: mail.Ref(strconv.Itoa(i)), Item: l.list[i].item()}); err != nil {
			return plan.Scanned{}, err
		}
	}
	return plan.Scanned{Full: true, Complete: true, Count: -1, Rights: plan.ReadOnly}, nil
}

// at is the message of a Ref, nil if there is none.
func (l *listed) at(ref mail.Ref) *Message {
	i, err := strconv.Atoi(string(ref))
	if err != nil || i < 0 || i >= len(l.list) {
		return nil
	}
	return &l.list[i]
}

func (l *listed) Identify(_ context.Context, _ mail.BoxID, refs []mail.Ref, _ mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	for _, ref := range refs {
		if m := l.at(ref); m != nil {
			if err := yield(ref, m.Ident, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *listed) Fetch(ctx context.Context, _ mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	var fault error
	for _, ref := range refs {
		m := l.at(ref)
		if m == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		body, err := m.Open()
		if err == nil {
			err = proved(body, m.Ident, func(r io.Reader) error { return each(ref, m.item(), r) })
		}
		var own *eachError
		switch {
		case errors.As(err, &own):
			return own.error
		case err != nil && fault == nil:
			fault = mail.NewFault(mail.GradeMessage, mail.ClassLocal, err, "")
		}
	}
	return fault
}

// An eachError is what the receiver of a message returned.
type eachError struct{ error }

// proved hands over a message whose bytes are those that they must be.
func proved(body io.ReadCloser, want mail.Identity, each func(io.Reader) error) error {
	defer body.Close()
	h, err := hold(body, want)
	if err != nil {
		return fmt.Errorf("the kept copy: %w", err)
	}
	defer h.Close()
	r, err := h.open()
	if err != nil {
		return err
	}
	if err := each(r); err != nil {
		return &eachError{err}
	}
	return nil
}
