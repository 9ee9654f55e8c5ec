package archive

import (
	"context"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// putting is engine.Batch.
type putting = interface {
	Add(ctx context.Context, in plan.Incoming) error
	Commit(ctx context.Context) ([]plan.Placed, error)
	Abort()
}

// A View is the mail as it was at one generation: an engine.Writer that
// refuses to be changed (ErrReadOnly; the rights of its mailboxes say so, too).
type View struct {
	a *Archive
	n int64
}

// View gives the mail as of generation n; 0 is the newest state there is.
func (a *Archive) View(n int64) *View { return &View{a, n} }

func (v *View) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	return nil, errNotYet
}
func (v *View) Bind(boxes map[mail.BoxID]mail.MailboxName) {}
func (v *View) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	return plan.Scanned{}, errNotYet
}
func (v *View) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	return errNotYet
}
func (v *View) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	return errNotYet
}
func (v *View) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	return nil, nil, nil
}
func (v *View) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	return plan.Box{}, ErrReadOnly
}
func (v *View) Rename(ctx context.Context, from, to mail.MailboxName) error { return ErrReadOnly }
func (v *View) Remove(ctx context.Context, name mail.MailboxName) error     { return ErrReadOnly }
func (v *View) Put(ctx context.Context, box mail.BoxID) (putting, error)    { return nil, ErrReadOnly }
func (v *View) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	return ErrReadOnly
}
func (v *View) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error) {
	return plan.Found{}, ErrReadOnly
}

// Close ends the use of the side. The archive stays open.
func (v *View) Close() error { return nil }
