package archive

import (
	"context"
	"errors"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A View is the mail as it was at one generation: an engine.Writer that
// refuses to be changed (ErrReadOnly; the rights of its mailboxes say so, too).
type View struct{ reading }

// View gives the mail as of generation n, whether it is complete or not; of
// one that there never was, as of the one before it. One that is retired
// cannot be read: ErrRetired.
func (a *Archive) View(n int64) *View { return &View{reading{a: a, gen: n}} }

// Survey lists all mailboxes as they were. The cursors name the generation: a
// later survey of the same one says Same.
func (v *View) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) (boxes []plan.Box, err error) {
	err = v.a.view(ctx, func(tx *sqlite.Tx) error {
		boxes, err = v.survey(ctx, tx, since, plan.ReadOnly)
		return err
	})
	return boxes, fault(err)
}

// Confirm: the past does not change, so that what is not in it is certainly not.
func (v *View) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	for _, g := range gone {
		list, err := v.find(ctx, g.At.Box, []mail.Ref{g.At.Ref})
		var f *mail.Fault
		switch {
		case errors.As(err, &f) && f.Grade == mail.GradeMailbox: // there is no such mailbox
		case err != nil:
			return nil, nil, err
		case len(list) > 0:
			continue
		}
		sure = append(sure, g.At)
	}
	return sure, nil, nil
}

// Create refuses.
func (v *View) Create(context.Context, mail.MailboxName) (plan.Box, error) {
	return plan.Box{}, ErrReadOnly
}

// Rename refuses.
func (v *View) Rename(context.Context, mail.MailboxName, mail.MailboxName) error { return ErrReadOnly }

// Remove refuses.
func (v *View) Remove(context.Context, mail.MailboxName) error { return ErrReadOnly }

// Put refuses.
func (v *View) Put(context.Context, mail.BoxID) (putting, error) { return nil, ErrReadOnly }

// Do refuses every op.
func (v *View) Do(_ context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	if len(ops) == 0 {
		return nil
	}
	return giveUp(ops, ErrReadOnly, done)
}

// Resolve: nothing was ever done here.
func (v *View) Resolve(context.Context, plan.Intent, func(mail.Ref) bool) (plan.Found, error) {
	return plan.Found{State: plan.FoundAbsent}, nil
}

// Close ends the use of the side. The archive stays open.
func (v *View) Close() error { return nil }
