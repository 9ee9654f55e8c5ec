package sidetest

import (
	"context"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (s *session) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	if err := s.enter(ctx, "create"); err != nil {
		return plan.Box{}, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.effects++
	if refuse := s.m.Traits.RefuseName; refuse != nil {
		if err := refuse(name); err != nil {
			return plan.Box{}, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("create %s: %w", name, err), "")
		}
	}
	b := s.m.makeBox(name)
	s.m.root.Exists = s.m.kind == Maildir
	s.seen[name] = view{b.id, b.epoch}
	return s.m.show(b, plan.Since{}), nil
}

func (s *session) Rename(ctx context.Context, from, to mail.MailboxName) error {
	if err := s.enter(ctx, "rename"); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.effects++
	if err := s.m.rename(from, to); err != nil {
		return mail.NewFault(mail.GradeMailbox, mail.ClassServer, err, "")
	}
	for name, v := range s.seen {
		if name == from || name.Within(from) {
			delete(s.seen, name)
			s.seen[to+name[len(from):]] = v
		}
	}
	return nil
}

func (s *session) Remove(ctx context.Context, name mail.MailboxName) error {
	if err := s.enter(ctx, "remove"); err != nil {
		return err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	b := s.m.find(name)
	var err error
	switch {
	case b == nil:
		err = fmt.Errorf("remove %s: no such mailbox", name)
	case name == mail.Inbox:
		err = fmt.Errorf("remove %s: INBOX stays", name)
	case len(b.msgs) > 0:
		err = fmt.Errorf("remove %s: it holds %d messages", name, len(b.msgs))
	case s.m.hasChildren(name):
		err = fmt.Errorf("remove %s: it has children", name)
	}
	s.m.effects++
	if err != nil {
		return mail.NewFault(mail.GradeMailbox, mail.ClassServer, err, "")
	}
	s.m.removeBox(b)
	delete(s.seen, name)
	return nil
}

func (s *session) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	err := s.enter(ctx, "do")
	for i, op := range ops {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return s.giveUp(ops[i:], err, done)
		}
		if s.m.Hook != nil {
			s.m.Hook("op")
		}
		err = done([]plan.Outcome{s.one(op)})
	}
	return err
}

// giveUp gives every op that was not tried its outcome.
func (s *session) giveUp(ops []plan.Op, err error, done func([]plan.Outcome) error) error {
	out := make([]plan.Outcome, len(ops))
	for i, op := range ops {
		out[i] = plan.Outcome{Tag: op.Tag, Result: plan.Failed, Err: err}
	}
	if e := done(out); e != nil {
		return e
	}
	return err
}

// one carries out one op.
func (s *session) one(op plan.Op) plan.Outcome {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	b, err := s.box(op.From.Box)
	if err != nil {
		return plan.Outcome{Tag: op.Tag, Result: plan.Failed, Err: err}
	}
	msg := b.find(op.From.Ref)
	if msg == nil || s.edited(msg, op) {
		if op.Kind == plan.OpDelete && msg == nil {
			return plan.Outcome{Tag: op.Tag, Result: plan.Done, Epoch: b.epoch}
		}
		return plan.Outcome{Tag: op.Tag, Result: plan.Missing, Epoch: b.epoch}
	}
	s.m.effects++
	var out plan.Outcome
	switch op.Kind {
	case plan.OpFlags:
		out = s.flags(b, msg, op)
	case plan.OpMove:
		out = s.move(b, msg, op)
	case plan.OpDelete:
		out = s.expunge(b, msg)
	default:
		out = plan.Outcome{Result: plan.Failed, Err: fmt.Errorf("op of an unknown kind %d", op.Kind)}
	}
	out.Tag = op.Tag
	return out
}

// edited tells whether the file is another message than the op was decided for.
func (s *session) edited(msg *message, op plan.Op) bool {
	return s.m.kind == Maildir && op.Stat != stat(msg) &&
		!op.Expect.Body.IsZero() && op.Expect.Body != msg.text.ident.Body
}

func declined(what string, b *box) plan.Outcome {
	return plan.Outcome{Result: plan.Declined, Epoch: b.epoch, Err: fmt.Errorf("%s does not allow it: %s", b.name, what)}
}

func (s *session) flags(b *box, msg *message, op plan.Op) plan.Outcome {
	if b.rights.NoFlags {
		return declined("flags", b)
	}
	accepted := s.m.permitted(op.Add)
	if !op.Add.Empty() && accepted.Empty() && op.Remove.Empty() {
		return declined("flags "+op.Add.String(), b)
	}
	s.m.setFlags(b, msg, msg.flags.Minus(op.Remove).Union(accepted))
	return plan.Outcome{Result: plan.Done, At: op.From, Epoch: b.epoch, Accepted: accepted, Stat: s.m.item(msg).Stat}
}

func (s *session) move(b *box, msg *message, op plan.Op) plan.Outcome {
	to, err := s.box(op.To)
	switch {
	case err != nil:
		return plan.Outcome{Result: plan.Failed, Err: err}
	case b.rights.NoDelete:
		return declined("moves out of it", b)
	case to.rights.NoInsert:
		return declined("moves into it", to)
	}
	if s.m.kind == Server && !s.m.Traits.UIDPlus { // it copies and expunges
		if err := othersMarked(b, msg); err != nil {
			return plan.Outcome{Result: plan.Failed, Epoch: b.epoch, Err: err}
		}
	}
	moved := s.m.move(b, msg, to, s.m.kind == Maildir)
	s.own[moved.arrived] = true
	at := plan.Place{Box: op.To}
	if s.m.kind == Maildir || s.m.Traits.UIDPlus || s.m.Traits.Looks {
		at.Ref = moved.ref
	}
	return plan.Outcome{Result: plan.Done, At: at, Epoch: to.epoch, Stat: s.m.item(moved).Stat}
}

// expunge removes msg. Without UIDPLUS an EXPUNGE would take along whatever
// else is marked \Deleted: then msg is only marked, and stays.
func (s *session) expunge(b *box, msg *message) plan.Outcome {
	if b.rights.NoDelete {
		return declined("deletions", b)
	}
	if s.m.kind == Server && !s.m.Traits.UIDPlus {
		s.m.setFlags(b, msg, msg.flags.With(mail.Deleted))
		if err := othersMarked(b, msg); err != nil {
			return plan.Outcome{Result: plan.Failed, Epoch: b.epoch, Err: err}
		}
	}
	s.m.take(b, msg)
	return plan.Outcome{Result: plan.Done, Epoch: b.epoch}
}

// othersMarked is the error of a server that expunges only all that is marked.
func othersMarked(b *box, msg *message) error {
	for _, other := range b.msgs {
		if other != msg && other.flags.Has(mail.Deleted) {
			return fmt.Errorf("%s holds other messages marked \\Deleted: expunge them first", b.name)
		}
	}
	return nil
}
