package backup

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// reconcile finds out whether the archive has what the server has, mailbox by
// mailbox, and after an adoption, or where the numbers differ, closes what
// the server has no longer.
func (b *run) reconcile(ctx context.Context, report *engine.Report) error {
	boxes, err := b.Index.Boxes(ctx)
	if err != nil {
		return err
	}
	boxes = slices.DeleteFunc(boxes, func(rec plan.BoxRecord) bool { return rec.Dormant })
	pending, err := b.Index.Pending(ctx)
	if err != nil {
		return err
	}
	b.quarantine(boxes, pending)
	if b.unsteady, err = b.source.arrived(ctx, since(boxes), b.Scope); err != nil {
		return err
	}
	if b.unsteady != "" {
		b.result.Complete, b.result.Why = false, fmt.Sprintf("%s: mail came or moved while the mailboxes were looked at", b.unsteady)
		return nil
	}
	anew := report.Anew || report.Adopted > 0
	if b.result.Why, err = b.lacks(ctx, report, boxes, pending); err != nil {
		return err
	}
	if anew || b.result.Why != "" {
		if err := b.close(ctx, boxes, pending); err != nil {
			return err
		}
		if boxes, err = b.removeLost(ctx, boxes); err != nil {
			return err
		}
		if anew {
			if err := b.flags(ctx, boxes); err != nil {
				return err
			}
		}
		if b.result.Why, err = b.lacks(ctx, report, boxes, pending); err != nil {
			return err
		}
	}
	b.result.Complete = b.result.Why == ""
	return nil
}

// since is what the server is told of the mailboxes that are known.
func since(boxes []plan.BoxRecord) map[mail.MailboxName]plan.Since {
	out := make(map[mail.MailboxName]plan.Since, len(boxes))
	for _, rec := range boxes {
		if h := rec.Side[plan.Remote]; h.Name != "" {
			out[h.Name] = plan.Since{Cursor: h.Cursor, Epoch: h.Epoch, Known: h.Known}
		}
	}
	return out
}

// quarantined tells whether what waits is a message that the server would not
// give.
func quarantined(p plan.Pending) bool {
	return p.Side == plan.Remote && p.Kind == plan.KindNew && p.Why == plan.ReasonError && p.At.Ref != ""
}

// quarantine lists what the server would not give.
func (b *run) quarantine(boxes []plan.BoxRecord, pending []plan.Pending) {
	b.result.Quarantined = nil
	for _, p := range pending {
		i := slices.IndexFunc(boxes, func(rec plan.BoxRecord) bool { return rec.ID == p.At.Box })
		if i < 0 || !quarantined(p) {
			continue
		}
		b.result.Quarantined = append(b.result.Quarantined, archive.Quarantined{
			Mailbox: boxes[i].Side[plan.Remote].Name, UIDValidity: boxes[i].Side[plan.Remote].Epoch, UID: string(p.At.Ref), Why: p.Text,
		})
	}
	slices.SortFunc(b.result.Quarantined, func(x, y archive.Quarantined) int {
		return cmp.Or(cmp.Compare(x.Mailbox, y.Mailbox), cmp.Compare(len(x.UID), len(y.UID)), cmp.Compare(x.UID, y.UID))
	})
}

// lacks says what keeps the generation from being complete, "" if nothing.
func (b *run) lacks(ctx context.Context, report *engine.Report, boxes []plan.BoxRecord, pending []plan.Pending) (string, error) {
	counts, err := b.Archive.Counts(ctx)
	if err != nil {
		return "", err
	}
	apart := map[mail.BoxID]int{}
	for _, p := range pending {
		if !quarantined(p) {
			return fmt.Sprintf("%s: %s", nameOf(boxes, p.At.Box), cmp.Or(p.Text, string(p.Why))), nil
		}
		apart[p.At.Box]++
	}
	for _, f := range report.Faults {
		if mail.GradeOf(f, mail.GradeMailbox) > mail.GradeMessage || mail.ClassOf(f) == mail.ClassLocal {
			return f.Error(), nil
		}
	}
	for _, rec := range boxes {
		name := rec.Side[plan.Remote].Name
		saw, listed := b.source.saw[name]
		there, here := saw.count, counts[rec.Side[plan.Local].Name]
		switch {
		case !listed:
			return fmt.Sprintf("%s: the server does not list it", nameOf(boxes, rec.ID)), nil
		case !saw.whole:
			return fmt.Sprintf("%s: %v", name, saw.why), nil
		case there < 0:
			return fmt.Sprintf("%s: the server does not tell how many messages it holds", name), nil
		case here+apart[rec.ID] != there:
			return fmt.Sprintf("%s: the server has %s, the archive %d, and %d could not be had", name, number(there, "message"), here, apart[rec.ID]), nil
		}
	}
	return "", nil
}

func nameOf(boxes []plan.BoxRecord, id mail.BoxID) mail.MailboxName {
	for _, rec := range boxes {
		if rec.ID == id {
			return cmp.Or(rec.Side[plan.Remote].Name, rec.Side[plan.Local].Name)
		}
	}
	return "a mailbox"
}

// close closes the placements that no message of the server is known for. A
// message may lie in any mailbox by now, so all must have been seen whole, with
// nothing left undecided; and in a mailbox with messages that could not be had, it may
// be one of these.
func (b *run) close(ctx context.Context, boxes []plan.BoxRecord, pending []plan.Pending) error {
	if slices.ContainsFunc(pending, func(p plan.Pending) bool { return !quarantined(p) }) {
		return nil
	}
	open := map[mail.BoxID]bool{}
	for _, rec := range boxes {
		saw, listed := b.source.saw[rec.Side[plan.Remote].Name]
		if listed && !saw.whole {
			return nil
		}
		// A server that does not list even INBOX may list nothing.
		open[rec.ID] = (listed || rec.Side[plan.Remote].Name != mail.Inbox) && !slices.ContainsFunc(b.result.Quarantined, func(q archive.Quarantined) bool { return q.Mailbox == rec.Side[plan.Remote].Name })
	}
	rows, err := b.Index.RowsByState(ctx, plan.Kept, plan.Unbound)
	if err != nil {
		return err
	}
	rows = slices.DeleteFunc(rows, func(row plan.Row) bool {
		return row.At[plan.Local].IsZero() || !row.At[plan.Remote].IsZero() || !open[row.At[plan.Local].Box]
	})
	ops := make([]plan.Op, len(rows))
	for i, row := range rows {
		ops[i] = plan.Op{Tag: i, Kind: plan.OpDelete, From: row.At[plan.Local], Expect: row.Ident[plan.Local]}
	}
	return b.do(ctx, ops, func(st *plan.Settlement, o plan.Outcome) {
		row := rows[o.Tag]
		st.Drop = append(st.Drop, row.ID)
		st.ClearDeclines = []plan.SideBox{{Side: plan.Local, Box: row.At[plan.Local].Box}, {Side: plan.Remote, Box: row.At[plan.Local].Box}}
		b.closed = true
		b.result.Report.Deleted[plan.Local]++
		b.told(engine.VerbDeleted, row, nameOf(boxes, row.At[plan.Local].Box))
	})
}

// lost tells whether a mailbox is in the archive, and was not on the server
// when the index began.
func lost(rec plan.BoxRecord) bool { return rec.Side[plan.Remote].Name == "" }

// removeLost removes mailboxes that are not on the server, and returns the
// others. Children go before their parents.
func (b *run) removeLost(ctx context.Context, boxes []plan.BoxRecord) ([]plan.BoxRecord, error) {
	var rest, gone []plan.BoxRecord
	for _, rec := range boxes {
		if lost(rec) {
			gone = append(gone, rec)
		} else {
			rest = append(rest, rec)
		}
	}
	slices.SortFunc(gone, func(x, y plan.BoxRecord) int { return cmp.Compare(y.Side[plan.Local].Name, x.Side[plan.Local].Name) })
	for _, rec := range gone {
		if err := b.Archive.End(ctx, rec.Side[plan.Local].Name); err != nil {
			if mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
				return boxes, err
			}
			rest = append(rest, rec) // something is in it still
			continue
		}
		if err := b.Index.Settle(context.WithoutCancel(ctx), &plan.Settlement{Forget: []mail.BoxID{rec.ID}}); err != nil {
			return boxes, err
		}
		b.result.Report.Removed[plan.Local]++
	}
	return rest, nil
}

// flags gives messages in the archive the flags that they have on the server:
// an adoption merges them by union.
func (b *run) flags(ctx context.Context, boxes []plan.BoxRecord) error {
	for _, rec := range boxes {
		rows, err := b.Index.RowsIn(ctx, rec.ID)
		if err != nil {
			return err
		}
		rows = slices.DeleteFunc(rows, func(row plan.Row) bool {
			return row.State != plan.Paired || row.At[plan.Local].Box != rec.ID || row.Flags[plan.Local].Equal(row.Flags[plan.Remote])
		})
		ops := make([]plan.Op, len(rows))
		for i, row := range rows {
			here, there := row.Flags[plan.Local], row.Flags[plan.Remote]
			ops[i] = plan.Op{Tag: i, Kind: plan.OpFlags, From: row.At[plan.Local], Add: there.Minus(here), Remove: here.Minus(there), Has: here}
		}
		err = b.do(ctx, ops, func(st *plan.Settlement, o plan.Outcome) {
			row := &rows[o.Tag]
			row.Flags[plan.Local] = row.Flags[plan.Remote]
			st.Put = append(st.Put, row)
			b.result.Report.Flagged[plan.Local]++
			b.told(engine.VerbFlagged, *row, rec.Side[plan.Remote].Name)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// do carries out ops on the archive, and records those that were done.
func (b *run) do(ctx context.Context, ops []plan.Op, did func(*plan.Settlement, plan.Outcome)) error {
	if len(ops) == 0 {
		return nil
	}
	return b.Archive.Do(ctx, ops, func(out []plan.Outcome) error {
		var st plan.Settlement
		for _, o := range out {
			switch {
			case o.Result == plan.Done:
				did(&st, o)
			case o.Err != nil:
				return o.Err
			}
		}
		if st.Empty() {
			return nil
		}
		return b.Index.Settle(context.WithoutCancel(ctx), &st)
	})
}

// told tells of an effect.
func (b *run) told(verb engine.Verb, row plan.Row, box mail.MailboxName) {
	if b.Observer == nil {
		return
	}
	b.Observer(engine.Event{
		Kind: engine.Action, Time: b.Clock(), Account: b.Account, Job: Job, Verb: verb, Side: plan.Local, Mailbox: box,
		Ref: row.At[plan.Local].Ref, Row: row.ID, Digest: row.Ident[plan.Local].Body, Text: "as on the server",
	})
}
