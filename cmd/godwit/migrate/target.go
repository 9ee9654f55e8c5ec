package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// errOnlyAdds is what a target answers to whoever wants to take something away.
var errOnlyAdds = errors.New("a migration takes nothing away from the account that it copies to")

// A Special is a side that can be told what a mailbox is for when it is made
// (RFC 6154, section 3).
type Special interface {
	CreateAs(ctx context.Context, name mail.MailboxName, use mail.Role) (plan.Box, error)
}

// A target is the server that mail goes to. It can be added to.
type target struct {
	engine.Writer
	pair *pair
	made map[mail.MailboxName]bool

	counts map[mail.MailboxName]int
	names  map[mail.BoxID]mail.MailboxName
	// refused counts the messages in succession for which there was no room.
	refused int
	full    error
	// refusedNames are those that it would not make.
	refusedNames []mail.MailboxName
}

var (
	_ engine.Writer      = (*target)(nil)
	_ engine.Expecter    = (*target)(nil)
	_ engine.Remembering = (*target)(nil)
)

// mostRefused is after how many messages in succession for which a server has
// no room no more are sent: smaller ones may yet find some.
const mostRefused = 20

// Survey implements engine.Side.
func (t *target) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	boxes, err := t.Writer.Survey(ctx, since)
	if err != nil {
		return nil, err
	}
	t.counts, t.names = map[mail.MailboxName]int{}, map[mail.BoxID]mail.MailboxName{}
	for _, b := range boxes {
		t.counts[b.Name] = b.Count
	}
	t.pair.list(boxes)
	return boxes, nil
}

// Bind implements engine.Side.
func (t *target) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		t.names[id] = name
	}
	t.Writer.Bind(boxes)
}

// Scan implements engine.Side.
func (t *target) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	sc, err := t.Writer.Scan(ctx, box, since, yield)
	if err == nil {
		t.counts[t.names[box]] = sc.Count
	}
	return sc, err
}

// Create implements engine.Writer.
func (t *target) Create(ctx context.Context, name mail.MailboxName) (box plan.Box, err error) {
	use := mail.RoleNone
	for _, r := range t.pair.routes {
		if r.To == name && use == mail.RoleNone {
			use = r.Use
		}
	}
	if s, is := t.Writer.(Special); is && use != mail.RoleNone {
		box, err = s.CreateAs(ctx, name, use)
	} else {
		box, err = t.Writer.Create(ctx, name)
	}
	switch {
	case err == nil:
		t.made[name] = true
	case mail.ClassOf(err) == mail.ClassServer && mail.GradeOf(err, mail.GradeMailbox) < mail.GradeAccount:
		t.refusedNames = append(t.refusedNames, name)
	}
	return box, err
}

// Rename implements engine.Writer.
func (t *target) Rename(context.Context, mail.MailboxName, mail.MailboxName) error {
	return errOnlyAdds
}

// Remove implements engine.Writer.
func (t *target) Remove(context.Context, mail.MailboxName) error { return errOnlyAdds }

// Do implements engine.Writer. What is deleted is one by one the second copy
// of a message that was sent twice; see engine.Options.OwnDoubles.
func (t *target) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	for _, op := range ops {
		if op.Kind != plan.OpFlags && (op.Kind != plan.OpDelete || len(ops) > 1) {
			return mail.NewFault(mail.GradeAccount, mail.ClassLocal, errOnlyAdds, "")
		}
	}
	return t.Writer.Do(ctx, ops, done)
}

// Put implements engine.Writer. Once there was no room for many messages in
// succession, the run ends.
func (t *target) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	if t.full != nil {
		return nil, t.full
	}
	b, err := t.Writer.Put(ctx, box)
	if err != nil {
		return nil, err
	}
	return &counted{Batch: b, target: t}, nil
}

// A counted batch notices that there is no room.
type counted struct {
	engine.Batch
	target *target
}

// Commit implements engine.Batch.
func (c *counted) Commit(ctx context.Context) ([]plan.Placed, error) {
	placed, err := c.Batch.Commit(ctx)
	t := c.target
	for _, p := range placed {
		switch {
		case p.Err == nil:
			t.refused = 0
		case errors.Is(p.Err, mail.ErrFull):
			t.refused++
			if t.refused >= mostRefused && t.full == nil {
				t.full = mail.NewFault(mail.GradeAccount, mail.ClassQuota,
					fmt.Errorf("the target took none of %d messages in succession: %w", t.refused, p.Err), "make room there, and run it again")
			}
		}
	}
	if t.full != nil && err == nil {
		err = t.full
	}
	return placed, err
}

// ExpectScans implements engine.Expecter.
func (t *target) ExpectScans(next []plan.Expected) {
	if e, is := t.Writer.(engine.Expecter); is {
		e.ExpectScans(next)
	}
}

// ExpectFetch implements engine.Expecter.
func (t *target) ExpectFetch(box mail.BoxID, refs []mail.Ref) {
	if e, is := t.Writer.(engine.Expecter); is {
		e.ExpectFetch(box, refs)
	}
}

// ExpectResolves implements engine.Expecter.
func (t *target) ExpectResolves(next []plan.Intent) {
	if e, is := t.Writer.(engine.Expecter); is {
		e.ExpectResolves(next)
	}
}

// Recall implements engine.Remembering.
func (t *target) Recall(words map[string]string) { recall(t.Writer, words) }

// Learned implements engine.Remembering.
func (t *target) Learned() map[string]string { return learned(t.Writer) }
