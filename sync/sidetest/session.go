package sidetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// errClosed is what a Side says that is used after Close.
var errClosed = errors.New("the side is closed")

// A session is one run's Side over a Memory.
type session struct {
	m      *Memory
	names  map[mail.BoxID]mail.MailboxName
	closed bool

	// What the last survey saw, for Confirm.
	arrivals int64 // message.arrived of the last message that was there
	seen     map[mail.MailboxName]view
	own      map[int64]bool // message.arrived of what this session brought
}

// view is how a mailbox looked in a survey.
type view struct {
	id    int64
	epoch string
}

// A rooted session is one over a Maildir: its root proves itself.
type rooted struct{ *session }

// Open gives a Side for one run, as after a restart: it knows nothing of
// those that were open before. On a Maildir it is an engine.Rooted too.
func (m *Memory) Open() engine.Writer {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &session{m: m, names: map[mail.BoxID]mail.MailboxName{}, own: map[int64]bool{}}
	s.look()
	if m.kind == Maildir {
		return rooted{s}
	}
	return s
}

// enter begins a call: it runs the Hook and refuses what a closed side or an
// ended context cannot do.
func (s *session) enter(ctx context.Context, call string) error {
	if s.m.Hook != nil {
		s.m.Hook(call)
	}
	if s.closed {
		return errClosed
	}
	return ctx.Err()
}

// look begins a new view of the whole side.
func (s *session) look() {
	s.arrivals, s.own = s.m.arrivals, map[int64]bool{}
	s.seen = make(map[mail.MailboxName]view, len(s.m.boxes))
	for _, b := range s.m.boxes {
		s.seen[b.name] = view{b.id, b.epoch}
	}
}

// box gives the mailbox with that number.
func (s *session) box(id mail.BoxID) (*box, error) {
	name, ok := s.names[id]
	if !ok {
		return nil, fmt.Errorf("mailbox number %d was never bound", id)
	}
	b := s.m.find(name)
	if b == nil {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("%s: no such mailbox", name), "")
	}
	if b.container {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("%s: cannot hold mail", name), "")
	}
	return b, nil
}

func (s *session) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	if err := s.enter(ctx, "survey"); err != nil {
		return nil, err
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.look()
	out := make([]plan.Box, 0, len(s.m.boxes))
	for _, b := range s.m.boxes {
		out = append(out, s.m.show(b, since[b.name]))
	}
	return out, nil
}

// show is b as a survey shows it.
func (m *Memory) show(b *box, since plan.Since) plan.Box {
	out := plan.Box{Name: b.name, Epoch: b.epoch, Role: b.role, Container: b.container, Count: -1, Rights: b.rights, Limit: m.Traits.Limit}
	if m.Traits.BoxIDs {
		out.ID = fmt.Sprintf("F%d", b.id)
	}
	if b.container {
		return out
	}
	out.Cursor = m.cursor(b)
	if m.kind == Server {
		out.Count, out.Next = len(b.msgs), m.next(b)
	}
	if out.Cursor != "" && since.Cursor != "" {
		out.State = plan.Changed
		if since.Cursor == out.Cursor && since.Epoch == b.epoch {
			out.State = plan.Same
		}
	}
	return out
}

func (m *Memory) next(b *box) uint32 {
	if m.kind == Maildir || m.Traits.NoNext {
		return 0
	}
	return b.next
}

func (s *session) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		s.names[id] = name
	}
}

func (s *session) Identify(ctx context.Context, id mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	if err := s.enter(ctx, "identify"); err != nil {
		return err
	}
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		msg, err := s.read(id, ref, level == mail.LevelBody)
		if err != nil {
			return err
		}
		if msg == nil {
			continue
		}
		var ident mail.Identity
		if msg.broken == nil {
			ident = s.m.identity(msg, level)
		}
		if err := yield(ref, ident, msg.broken); err != nil {
			return err
		}
	}
	return nil
}

// read gives a copy of a message, nil if it is not there.
func (s *session) read(id mail.BoxID, ref mail.Ref, body bool) (*message, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	b, err := s.box(id)
	if err != nil {
		return nil, err
	}
	msg := b.find(ref)
	if msg == nil {
		return nil, nil
	}
	if body {
		s.m.bodies++
	}
	copied := *msg
	return &copied, nil
}

// identity is what the side knows of a message after asking up to level.
func (m *Memory) identity(msg *message, level mail.Level) mail.Identity {
	id := mail.Identity{GlobalID: msg.global, Size: msg.text.crlf}
	if level >= mail.LevelLight {
		id.Size, id.Light = msg.text.ident.Size, msg.text.ident.Light
	}
	if level >= mail.LevelHeader {
		id.Header = msg.text.ident.Header
	}
	if level >= mail.LevelBody {
		id.Body, id.Wire = msg.text.ident.Body, msg.text.ident.Wire
	}
	return id
}

// item is a message as the side shows it, with the size it tells.
func (m *Memory) item(msg *message) mail.Item {
	it := mail.Item{
		Flags: msg.flags, Date: msg.date, Token: msg.token, HintUID: msg.hintUID,
		Ident: mail.Identity{GlobalID: msg.global},
	}
	if m.kind == Maildir {
		it.Stat = stat(msg)
	}
	if !m.Traits.NoSizes {
		it.Ident.Size = msg.text.crlf + m.Traits.SizeError
	}
	return it
}

func stat(msg *message) string {
	return fmt.Sprintf("%d-%d-%d.%d", msg.inode, len(msg.text.raw), msg.date.Unix(), msg.stamp)
}

func (s *session) Fetch(ctx context.Context, id mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	if err := s.enter(ctx, "fetch"); err != nil {
		return err
	}
	var bad []error
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		msg, err := s.read(id, ref, true)
		switch {
		case err != nil:
			return err
		case msg == nil:
			continue
		case msg.broken != nil:
			bad = append(bad, fmt.Errorf("%s in %s: %w", ref, s.names[id], msg.broken))
			continue
		}
		item := s.m.item(msg)
		item.Ident.Size = msg.text.crlf
		if err := each(ref, item, bytes.NewReader(msg.text.raw)); err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return mail.NewFault(mail.GradeMessage, mail.ClassServer, errors.Join(bad...), "")
	}
	return nil
}

func (s *session) Close() error {
	s.closed = true
	return nil
}

func (r rooted) Root(ctx context.Context) (engine.Root, error) {
	if err := r.enter(ctx, "root"); err != nil {
		return engine.Root{}, err
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	root := r.m.root
	root.Mail = false
	for _, b := range r.m.boxes {
		root.Mail = root.Mail || len(b.msgs) > 0
	}
	return root, nil
}

func (r rooted) Stamp(ctx context.Context, instance string, runs int64) error {
	if err := r.enter(ctx, "stamp"); err != nil {
		return err
	}
	r.m.mu.Lock()
	defer r.m.mu.Unlock()
	r.m.effects++
	r.m.root.Exists, r.m.root.Marked, r.m.root.Instance, r.m.root.Runs = true, true, instance, runs
	return nil
}
