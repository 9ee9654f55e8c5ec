package sidetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A batch collects messages for one mailbox.
type batch struct {
	s      *session
	box    mail.BoxID
	placed []plan.Placed
	staged []*message        // what Commit will store, by the index of placed; nil for none
	echoes map[*message]bool // to be read back
	over   bool
}

func (s *session) Put(ctx context.Context, id mail.BoxID) (engine.Batch, error) {
	if err := s.enter(ctx, "put"); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	b, err := s.box(id)
	if err != nil {
		return nil, err
	}
	if b.rights.NoInsert {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("%s does not take messages", b.name), "")
	}
	return &batch{s: s, box: id, echoes: map[*message]bool{}}, nil
}

func (b *batch) Add(ctx context.Context, in plan.Incoming) error {
	if err := b.s.enter(ctx, "add"); err != nil {
		return err
	}
	if b.over {
		return errors.New("the batch is over")
	}
	raw, err := readIncoming(in)
	if err != nil {
		b.note(plan.Placed{Tag: in.Tag, Err: err}, nil)
		return ctx.Err()
	}
	b.s.m.mu.Lock()
	defer b.s.m.mu.Unlock()
	if limit := b.s.m.Traits.Limit; limit > 0 && int64(len(raw)) > limit {
		b.note(plan.Placed{Tag: in.Tag, Err: &mail.TooLarge{Size: int64(len(raw)), Limit: limit}}, nil)
		return nil
	}
	if refuse := b.s.m.Traits.Refuse; refuse != nil {
		if err := refuse(in.Item, raw); err != nil {
			b.note(plan.Placed{Tag: in.Tag, Err: mail.NewFault(mail.GradeMessage, mail.ClassServer, err, "")}, nil)
			return nil
		}
	}
	echo := in.Echo != nil && in.Echo()
	msg, placed := b.prepare(in, raw)
	if echo && b.s.m.kind == Server && b.s.m.Traits.UIDPlus { // others leave it to Identify
		b.echoes[msg] = true
	}
	b.note(placed, msg)
	if b.s.m.kind == Server && b.s.m.Traits.SendsAtOnce {
		b.store(len(b.placed) - 1)
	}
	return nil
}

func (b *batch) note(p plan.Placed, msg *message) {
	b.placed, b.staged = append(b.placed, p), append(b.staged, msg)
}

// readIncoming reads a body to its end and holds it against its size, where
// the size comes with a digest and so is known for sure.
func readIncoming(in plan.Incoming) ([]byte, error) {
	r, err := in.Open()
	if err != nil {
		return nil, fmt.Errorf("open the message to copy: %w", err)
	}
	raw, err := io.ReadAll(r)
	if e := r.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("read the message to copy: %w", err)
	}
	if want := in.Item.Ident; !want.Body.IsZero() && newText(raw).ident.Body != want.Body {
		return nil, fmt.Errorf("the message to copy is not the one expected: %w", mail.ErrShort)
	}
	return raw, nil
}

// prepare makes the message that will be stored, and what is told of it.
func (b *batch) prepare(in plan.Incoming, raw []byte) (*message, plan.Placed) {
	m := b.s.m
	t := m.storedAs(raw)
	told := t.ident
	if m.Traits.Rewrite != nil {
		t = newText(m.Traits.Rewrite(t.raw))
	}
	msg := m.newMessage(t, m.permitted(in.Item.Flags), in.Item.Date)
	if m.kind == Maildir && in.Item.Token != "" {
		msg.ref, msg.token = mail.Ref("g"+in.Item.Token), in.Item.Token
	}
	return msg, plan.Placed{Tag: in.Tag, Flags: msg.flags, Ident: told}
}

func (m *Memory) storedAs(raw []byte) *text {
	switch {
	case m.Traits.CRLF:
		return newText(Canonical(raw))
	case m.Traits.LF:
		return newText(toLF(raw))
	}
	return newText(raw)
}

// store makes one staged message durable.
func (b *batch) store(i int) {
	m, msg, placed := b.s.m, b.staged[i], &b.placed[i]
	b.staged[i] = nil
	box, err := b.s.box(b.box)
	if err != nil {
		placed.Err = err
		return
	}
	m.effects++
	echo := b.echoes[msg]
	if old := m.double(box, msg); old != nil {
		msg = old
	} else {
		m.add(box, msg)
		b.s.own[msg.arrived] = true
	}
	placed.Epoch = box.epoch
	placed.Flags = msg.flags
	placed.Stat = m.item(msg).Stat
	if echo {
		placed.Stored = msg.text.ident
		m.bodies++
	}
	if m.kind == Maildir || m.Traits.UIDPlus || m.Traits.Looks {
		placed.Ref = msg.ref
	} else {
		placed.Unknown = true
	}
}

// double is a message that stands for msg already: one that bears its token
// and its bytes, or any with its bytes on a server that stores no doubles.
func (m *Memory) double(b *box, msg *message) *message {
	if !m.Traits.Dedup && (m.kind == Server || msg.token == "") {
		return nil
	}
	same := func(old *message) bool { return old.text.ident.Body == msg.text.ident.Body }
	if !m.Traits.Dedup { // the key of a file that bears a token is made of it
		if old := b.find(msg.ref); old != nil && old.token == msg.token && same(old) {
			return old
		}
		return nil
	}
	if i := slices.IndexFunc(b.msgs, same); i >= 0 {
		return b.msgs[i]
	}
	return nil
}

func (b *batch) Commit(ctx context.Context) ([]plan.Placed, error) {
	if b.over {
		return nil, errors.New("the batch is over")
	}
	b.over = true
	err := b.s.enter(ctx, "commit")
	b.s.m.mu.Lock()
	defer b.s.m.mu.Unlock()
	for i, msg := range b.staged {
		switch {
		case msg == nil:
		case err != nil:
			b.placed[i] = plan.Placed{Tag: b.placed[i].Tag, Err: err}
		default:
			b.store(i)
		}
	}
	return b.placed, err
}

func (b *batch) Abort() { b.over = true }
