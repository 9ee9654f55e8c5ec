package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

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
			if err == nil && x.to.server.Synced() {
				x.placed, err = placedRows(ctx, index, s)
			}
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

// placedRows are the messages of a selection that are on the server, as the
// index of the restore has them.
func placedRows(ctx context.Context, index *store.Store, s *restore.Selection) (map[mail.MailboxName][]plan.Row, error) {
	records, err := index.Boxes(ctx)
	if err != nil {
		return nil, err
	}
	placed := map[mail.MailboxName][]plan.Row{}
	for _, r := range records {
		name := r.Side[plan.Remote].Name
		if !s.Has(name) {
			continue
		}
		rows, err := index.RowsIn(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if row.State == plan.Paired {
				placed[name] = append(placed[name], row)
			}
		}
	}
	return placed, nil
}

// followUp makes the restored mail known to a target that is synchronised.
func (x *restoring) followUp(ctx context.Context, s *restore.Selection) error {
	acc := x.to.server
	if !acc.Synced() {
		return nil
	}
	if _, err := os.Stat(acc.IndexFile()); errors.Is(err, fs.ErrNotExist) {
		x.app.out.info("%s: not synchronised yet; the first sync brings the mail into its Maildir", acc.Name)
		return nil
	}
	index, err := store.Open(ctx, acc.State)
	if errors.Is(err, store.ErrDamaged) {
		x.app.complain(acc.Name, "the index is damaged, so the Maildir was left alone: run sync, which brings the mail there")
		return nil
	}
	if err != nil {
		return err
	}
	here, err := x.here(ctx, index, s)
	if err = errors.Join(err, index.Close()); err != nil {
		return err
	}
	if err := x.intoMaildir(ctx, here); err != nil {
		x.app.fail(acc.Name, fmt.Errorf("the Maildir: %w", err)) // the sync brings it there all the same
	}
	if err := errors.Join(ctx.Err(), x.closeArchive()); err != nil {
		return err
	}
	sync := syncOptions{locked: true}
	x.app.endRun(acc, runAccount(ctx, acc, sync, x.app.now, x.app.event), sync)
	return ctx.Err()
}

// here is what of a selection goes into the Maildir. What the server has and
// the mode keeps there stays there alone; what was left there for another
// reason, as when it was deleted here and could not be there, is looked for
// here again.
func (x *restoring) here(ctx context.Context, index *store.Store, s *restore.Selection) (*restore.Selection, error) {
	records, err := index.Boxes(ctx)
	if err != nil {
		return nil, err
	}
	gains := policy(x.to.server).Gain[plan.Local]
	st := plan.Settlement{Events: x.written}
	wanted := map[mail.MailboxName]func(mail.Identity) bool{}
	for _, r := range records {
		name := r.Side[plan.Remote].Name
		alone, err := keptThere(ctx, index, r, x.placed[name])
		if err != nil {
			return nil, err
		}
		left := map[mail.Digest]bool{}
		for _, row := range alone {
			left[row.Ident[plan.Remote].Body] = true
			if row.State = plan.Unbound; gains {
				st.Put = append(st.Put, &row)
			}
		}
		if !gains && len(left) > 0 {
			wanted[name] = func(id mail.Identity) bool { return !left[id.Body] }
		}
	}
	if !st.Empty() {
		err = index.Settle(ctx, &st)
	}
	return s.Renamed(localNames(x.to.server, records), wanted), err
}

// keptThere are the rows of messages that the server has, of those that were
// placed, and that are settled to be there alone, with what is known of them.
func keptThere(ctx context.Context, index *store.Store, r plan.BoxRecord, placed []plan.Row) ([]plan.Row, error) {
	known := map[mail.Ref]mail.Identity{}
	var refs []mail.Ref
	for _, row := range placed {
		if row.Epoch[plan.Remote] == r.Side[plan.Remote].Epoch {
			refs = append(refs, row.At[plan.Remote].Ref)
			known[row.At[plan.Remote].Ref] = row.Ident[plan.Local]
		}
	}
	if len(refs) == 0 {
		return nil, nil
	}
	var ids []int64
	_, err := index.KnownAt(ctx, plan.Remote, r.ID, refs, func(k plan.Known) error {
		ids = append(ids, k.Row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	rows, err := index.Rows(ctx, ids)
	alone := rows[:0]
	for _, row := range rows {
		if row.State != plan.Kept || !row.At[plan.Local].IsZero() {
			continue
		}
		id := known[row.At[plan.Remote].Ref]
		id.GlobalID, id.Wire = row.Ident[plan.Remote].GlobalID, mail.Digest{}
		row.Ident[plan.Remote] = id
		alone = append(alone, row)
	}
	return alone, err
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
