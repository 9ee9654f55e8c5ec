package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-mail/godwit/cmd/godwit/restore"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

// deleteHere removes from the Maildir of the account the files of messages
// that were deleted from its server and kept. A file that is no longer what
// the index knows stays, and the sync that follows decides.
func (x *restoring) deleteHere(ctx context.Context, index *store.Store, list []restore.Surplus) error {
	rows, names, err := boundRows(ctx, index, list)
	if err != nil || len(rows) == 0 {
		return err
	}
	m, err := maildir.Open(ctx, maildirOptions(x.to.server))
	if err != nil {
		return err
	}
	defer m.Close()
	if _, err := m.Survey(ctx, nil); err != nil {
		return err
	}
	m.Bind(names)
	ops := make([]plan.Op, len(rows))
	for i, row := range rows {
		ops[i] = plan.Op{
			Tag: i, Kind: plan.OpDelete, From: row.At[plan.Local], Expect: row.Ident[plan.Local], Stat: row.Stat, Has: row.Flags[plan.Local],
		}
	}
	var faults []error
	err = m.Do(ctx, ops, func(out []plan.Outcome) error {
		for _, o := range out {
			if o.Result == plan.Failed || o.Result == plan.Uncertain {
				faults = append(faults, fmt.Errorf("a file of %s: %w", names[rows[o.Tag].At[plan.Local].Box], o.Err))
			}
		}
		return nil
	})
	return errors.Join(append(faults, err)...)
}

// boundRows are the rows of messages on the server that have a file, and what
// the mailboxes of these are called in the Maildir.
func boundRows(ctx context.Context, index *store.Store, list []restore.Surplus) ([]plan.Row, map[mail.BoxID]mail.MailboxName, error) {
	records, err := index.Boxes(ctx)
	if err != nil {
		return nil, nil, err
	}
	names, boxes := map[mail.BoxID]mail.MailboxName{}, map[mail.MailboxName]plan.BoxRecord{}
	for _, r := range records {
		if r.Side[plan.Local].Name != "" {
			names[r.ID] = r.Side[plan.Local].Name
		}
		boxes[r.Side[plan.Remote].Name] = r
	}
	refs := map[mail.BoxID][]mail.Ref{}
	for _, m := range list {
		if r, ok := boxes[m.Mailbox]; ok && r.Side[plan.Remote].Epoch == m.Epoch {
			refs[r.ID] = append(refs[r.ID], m.Ref)
		}
	}
	var ids []int64
	for box, some := range refs {
		_, err := index.KnownAt(ctx, plan.Remote, box, some, func(k plan.Known) error {
			ids = append(ids, k.Row)
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	rows, err := index.Rows(ctx, ids)
	kept := rows[:0]
	for _, row := range rows {
		if names[row.At[plan.Local].Box] != "" && !row.At[plan.Local].IsZero() {
			kept = append(kept, row)
		}
	}
	return kept, names, err
}
