package backup

import (
	"context"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// errOnlyRead is what a source answers to whoever wants to change it.
var errOnlyRead = errors.New("a backup only reads the server")

// A source is the server's side of a backup. It remembers what the run has
// seen of each mailbox, and takes bodies from the Maildir where it can.
type source struct {
	engine.Writer
	bodies *Bodies // nil: all bodies come from the server

	names map[mail.BoxID]mail.MailboxName
	saw   map[mail.MailboxName]sight
	// still: the survey alone showed every mailbox that is known to be as it was.
	still bool
	// listed is what the last survey showed; looked says that since then
	// mailboxes were looked at, one after the other.
	listed map[mail.MailboxName]plan.Box
	looked bool
}

// A sight is what was last seen of a mailbox.
type sight struct {
	epoch string
	count int // messages, -1 if not known
	whole bool
	why   error // why it is not whole
}

// newSource wraps the server.
func newSource(server engine.Writer, bodies *Bodies) *source {
	return &source{
		Writer: server, bodies: bodies,
		names: map[mail.BoxID]mail.MailboxName{}, saw: map[mail.MailboxName]sight{},
	}
}

// Survey implements engine.Side.
func (s *source) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	boxes, err := s.Writer.Survey(ctx, since)
	if err != nil {
		return nil, err
	}
	clear(s.saw)
	s.listed, s.looked = make(map[mail.MailboxName]plan.Box, len(boxes)), false
	same := 0
	for _, b := range boxes {
		s.listed[b.Name] = b
		if !b.Container {
			s.saw[b.Name] = sight{epoch: b.Epoch, count: b.Count, whole: true}
		}
		if _, known := since[b.Name]; known && b.State == plan.Same {
			same++
		}
	}
	s.still = same == len(since) && same > 0
	return boxes, nil
}

// Bind implements engine.Side.
func (s *source) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		s.names[id] = name
	}
	s.Writer.Bind(boxes)
}

// Scan implements engine.Side.
func (s *source) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	s.looked = true
	sc, err := s.Writer.Scan(ctx, box, since, yield)
	name := s.names[box]
	switch {
	case err != nil:
		s.saw[name] = sight{epoch: s.saw[name].epoch, count: -1, why: err}
	default:
		s.saw[name] = sight{epoch: sc.Epoch, count: sc.Count, whole: sc.Complete, why: errUnsteady}
	}
	return sc, err
}

// arrived lists the mailboxes again, and names one that mail may have come to
// since the survey; "" if there is none. What moves from a mailbox that was not
// looked at yet to one that was is seen in neither.
func (s *source) arrived(ctx context.Context, since map[mail.MailboxName]plan.Since, scope func(mail.MailboxName, mail.Role) bool) (mail.MailboxName, error) {
	if !s.looked {
		return "", nil
	}
	boxes, err := s.Writer.Survey(ctx, since)
	if err != nil {
		return "", err
	}
	for _, b := range boxes {
		was, there := s.listed[b.Name]
		grown := b.Next > was.Next || b.Epoch != was.Epoch
		if b.Next == 0 {
			grown = b.Count > was.Count
		}
		if !b.Container && scope(b.Name, b.Role) && (!there || was.Container || grown) {
			return b.Name, nil
		}
	}
	return "", nil
}

// errChanged: a file was changed after its digest was taken.
var errChanged = errors.New("it changed while it was read")

// errUnsteady: a mailbox changed for as long as it was looked at.
var errUnsteady = errors.New("it never stood still while it was listed")

// Identify implements engine.Side: what the index of the account knows of a
// message's bytes need not be asked for.
func (s *source) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	known, err := s.bodies.identities(ctx, s.names[box], s.saw[s.names[box]].epoch, refs, level)
	if err != nil {
		return err
	}
	var ask []mail.Ref
	for _, ref := range refs {
		id, ok := known[ref]
		if !ok {
			ask = append(ask, ref)
			continue
		}
		if err := yield(ref, id, nil); err != nil {
			return err
		}
	}
	if len(ask) == 0 {
		return nil
	}
	return s.Writer.Identify(ctx, box, ask, level, yield)
}

// Fetch implements engine.Side: from the Maildir what lies there, byte for
// byte, and the rest from the server.
func (s *source) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	name := s.names[box]
	rest, err := s.bodies.fetch(ctx, name, s.saw[name].epoch, refs, each)
	if err != nil || len(rest) == 0 {
		return err
	}
	return s.Writer.Fetch(ctx, box, rest, each)
}

// ExpectScans implements engine.Expecter.
func (s *source) ExpectScans(next []plan.Expected) {
	if ahead, ok := s.Writer.(engine.Expecter); ok {
		ahead.ExpectScans(next)
	}
}

// ExpectFetch implements engine.Expecter. Of a mailbox whose messages lie in
// the Maildir nothing is asked for ahead.
func (s *source) ExpectFetch(box mail.BoxID, refs []mail.Ref) {
	name := s.names[box]
	if ahead, ok := s.Writer.(engine.Expecter); ok && !s.bodies.has(name, s.saw[name].epoch) {
		ahead.ExpectFetch(box, refs)
	}
}

// ExpectResolves implements engine.Expecter: nothing is ever begun on the
// server, so there is nothing to look for.
func (s *source) ExpectResolves([]plan.Intent) {}

// Recall implements engine.Remembering.
func (s *source) Recall(words map[string]string) {
	if side, ok := s.Writer.(engine.Remembering); ok {
		side.Recall(words)
	}
}

// Learned implements engine.Remembering.
func (s *source) Learned() map[string]string {
	if side, ok := s.Writer.(engine.Remembering); ok {
		return side.Learned()
	}
	return nil
}

// refuse is the answer to whatever would change the server.
func refuse() error {
	return mail.NewFault(mail.GradeAccount, mail.ClassLocal, errOnlyRead, "")
}

// Create implements engine.Writer.
func (s *source) Create(context.Context, mail.MailboxName) (plan.Box, error) {
	return plan.Box{}, refuse()
}

// Rename implements engine.Writer.
func (s *source) Rename(context.Context, mail.MailboxName, mail.MailboxName) error { return refuse() }

// Remove implements engine.Writer.
func (s *source) Remove(context.Context, mail.MailboxName) error { return refuse() }

// Put implements engine.Writer.
func (s *source) Put(context.Context, mail.BoxID) (engine.Batch, error) { return nil, refuse() }

// Do implements engine.Writer.
func (s *source) Do(_ context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	all := make([]plan.Outcome, len(ops))
	for i, op := range ops {
		all[i] = plan.Outcome{Tag: op.Tag, Result: plan.Declined, Err: refuse()}
	}
	if err := done(all); err != nil {
		return err
	}
	return refuse()
}

// Resolve implements engine.Writer.
func (s *source) Resolve(context.Context, plan.Intent, func(mail.Ref) bool) (plan.Found, error) {
	return plan.Found{}, refuse()
}
