package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/godwit-mail/godwit/cmd/godwit/restore"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// toServer puts what is missing onto a server, under the lock of its account.
// Where that is synchronised, the mail goes into its Maildir, too, and a sync
// then finds both and joins them: so the mail is known to the index at once,
// no body comes back over the wire, and a deletion that was not carried over
// yet is overtaken.
func (x *restoring) toServer(ctx context.Context, s *restore.Selection) error {
	lock, err := lockState(x.to.server.State)
	if err != nil {
		return err
	}
	err = x.toServerLocked(ctx, s)
	return errors.Join(err, lock.Unlock())
}

func (x *restoring) toServerLocked(ctx context.Context, s *restore.Selection) error {
	if err := x.addToServer(ctx, s); err != nil || x.dryRun {
		return err
	}
	return x.followUp(ctx, s)
}

// addToServer puts what is missing onto the server.
func (x *restoring) addToServer(ctx context.Context, s *restore.Selection) error {
	var sum restore.Sum
	err := x.onServer(ctx, func(side engine.Writer) error {
		return x.withIndex(ctx, "imap-"+x.to.server.Name, func(index *store.Store) (err error) {
			sum, err = x.add(ctx, s, restore.Target{Side: side, On: plan.Remote, Index: index, Bound: boundTo(x.to.server)})
			return err
		})
	})
	return x.end(ctx, sum, err)
}

// boundTo names the server and user of an account.
func boundTo(acc *config.Account) string { return acc.Username + "@" + acc.Host }

// onServer uses the server that mail is restored to.
func (x *restoring) onServer(ctx context.Context, use func(engine.Writer) error) error {
	options := imapOptions(x.to.server)
	options.Meter = wire.NewMeter(x.to.server.LimitRate)
	side, err := imap.Open(ctx, options)
	if err != nil {
		return err
	}
	err = use(side)
	return errors.Join(err, side.Close())
}

// followUp makes the restored mail known to a target that is synchronised.
func (x *restoring) followUp(ctx context.Context, s *restore.Selection) error {
	acc := x.to.server
	if !acc.Synced() {
		return nil
	}
	index, err := store.OpenReadOnly(ctx, acc.State)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		x.app.out.info("%s: not synchronised yet; the first sync brings the mail into its Maildir", acc.Name)
		return nil
	case errors.Is(err, store.ErrDamaged):
		x.app.complain(acc.Name, "the index is damaged, so the Maildir was left alone: run sync, which brings the mail there")
		return nil
	case err != nil:
		return err
	}
	records, err := index.Boxes(ctx)
	if err = errors.Join(err, index.Close()); err != nil {
		return err
	}
	if err := x.intoMaildir(ctx, s.Renamed(localNames(acc, records))); err != nil {
		x.app.fail(acc.Name, fmt.Errorf("the Maildir: %w", err)) // the sync brings it there all the same
	}
	if err := errors.Join(ctx.Err(), x.closeArchive()); err != nil {
		return err
	}
	sync := syncOptions{locked: true}
	x.app.endRun(acc, runAccount(ctx, acc, sync, x.app.now, x.app.event), sync)
	return ctx.Err()
}

// localNames tells what the mailboxes of a server are called in the Maildir,
// if they are there or can be.
func localNames(acc *config.Account, records []plan.BoxRecord) func(mail.MailboxName) (mail.MailboxName, bool) {
	return func(name mail.MailboxName) (mail.MailboxName, bool) {
		for _, r := range records {
			if r.Side[plan.Remote].Name == name {
				if r.Side[plan.Local].Name == "" {
					return name, !r.Dormant
				}
				return r.Side[plan.Local].Name, !r.Dormant
			}
		}
		return name, acc.Folders.InScope(name, mail.RoleNone)
	}
}

// intoMaildir puts what is missing into the Maildir of the account that mail
// is restored to.
func (x *restoring) intoMaildir(ctx context.Context, s *restore.Selection) error {
	acc := x.to.server
	m, err := maildir.Open(ctx, maildirOptions(acc))
	if err != nil {
		return err
	}
	defer m.Close()
	root, err := m.Root(ctx)
	if err != nil {
		return err
	}
	if !root.Marked && !root.Mail {
		return nil // its disk is not mounted, perhaps: sync says so
	}
	quiet := *x
	quiet.silent = true // of these it was told when they came to the server
	sum, err := quiet.fill(ctx, s, m)
	if err == nil && sum.Exit != 0 {
		err = errors.New("some of the mail could not be put there, and comes by the next sync")
	}
	return err
}
