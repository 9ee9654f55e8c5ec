package sidetest

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// position is what a server's cursor remembers.
type position struct {
	epoch  string
	next   uint32
	modseq uint64
	count  int
}

// cursor is where b stands, "" for an account that cannot tell.
func (m *Memory) cursor(b *box) plan.Cursor {
	switch {
	case m.kind == Maildir && m.Traits.TellsSame:
		return plan.Cursor(fmt.Sprintf("dir:%d:%d", b.id, b.modseq))
	case m.kind == Server && m.Traits.CondStore:
		return plan.Cursor(fmt.Sprintf("%s:%d:%d:%d", b.epoch, b.next, b.modseq, len(b.msgs)))
	}
	return ""
}

// position reads a server's cursor; ok is false if it is of no use for b.
func (m *Memory) position(b *box, since plan.Since) (p position, ok bool) {
	f := strings.Split(string(since.Cursor), ":")
	if m.kind != Server || !m.Traits.CondStore || len(f) != 4 {
		return p, false
	}
	next, err1 := strconv.ParseUint(f[1], 10, 32)
	modseq, err2 := strconv.ParseUint(f[2], 10, 64)
	count, err3 := strconv.Atoi(f[3])
	p = position{f[0], uint32(next), modseq, count}
	sound := err1 == nil && err2 == nil && err3 == nil && p.next <= b.next && p.modseq <= b.modseq
	return p, sound && p.epoch == b.epoch && since.Epoch == b.epoch
}

func (s *session) Scan(ctx context.Context, id mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	if err := s.enter(ctx, "scan"); err != nil {
		return plan.Scanned{}, err
	}
	seen, end, err := s.scan(id, since)
	if err != nil {
		return plan.Scanned{}, err
	}
	for _, one := range seen {
		if err := ctx.Err(); err != nil {
			return plan.Scanned{}, err
		}
		if err := yield(one); err != nil {
			return plan.Scanned{}, err
		}
	}
	return end, nil
}

func (s *session) scan(id mail.BoxID, since plan.Since) ([]plan.Seen, plan.Scanned, error) {
	m := s.m
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := s.box(id)
	if err != nil {
		return nil, plan.Scanned{}, err
	}
	end := plan.Scanned{
		Epoch: b.epoch, Cursor: m.cursor(b), Complete: true,
		Next: m.next(b), Count: len(b.msgs), Rights: b.rights,
	}
	var seen []plan.Seen
	switch p, ok := m.position(b, since); {
	case ok && since.Compare:
		seen, end.Full = m.compared(b, p), true
	case ok:
		seen, end.Full = m.since(b, p)
	default:
		seen, end.Full = m.everything(b), true
	}
	if m.restless > 0 && len(seen) > 0 {
		m.restless--
		seen, end.Complete = seen[:len(seen)-1], false
	}
	return seen, end, nil
}

func (m *Memory) everything(b *box) []plan.Seen {
	seen := make([]plan.Seen, 0, len(b.msgs))
	for _, msg := range b.msgs {
		seen = append(seen, plan.Seen{Ref: msg.ref, Item: m.item(msg)})
	}
	return seen
}

// compared gives everything, and of what p knows no more than the flags.
func (m *Memory) compared(b *box, p position) []plan.Seen {
	seen := m.everything(b)
	for i, msg := range b.msgs {
		if msg.uid < p.next {
			seen[i].Item, seen[i].Bare = mail.Item{Flags: msg.flags}, true
		}
	}
	return seen
}

// since gives what changed after p. Without VANISHED a number of messages
// that does not add up makes it give all that is there (full), without flags
// for what did not change.
func (m *Memory) since(b *box, p position) (seen []plan.Seen, full bool) {
	expected := p.count
	for _, msg := range b.msgs {
		if msg.uid >= p.next {
			expected++
		}
	}
	full = !m.Traits.QResync && expected != len(b.msgs)
	for _, msg := range b.msgs {
		switch {
		case msg.modseq > p.modseq:
			seen = append(seen, plan.Seen{Ref: msg.ref, Item: m.item(msg)})
		case full:
			one := plan.Seen{Ref: msg.ref, Item: m.item(msg), NoFlags: true}
			one.Item.Flags = mail.FlagSet{}
			seen = append(seen, one)
		}
	}
	if !m.Traits.QResync {
		return seen, full
	}
	for _, v := range b.vanished {
		if v.modseq > p.modseq {
			seen = append(seen, plan.Seen{Ref: v.ref, Gone: true})
		}
	}
	return seen, false
}
