package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// takeFolders takes over the folder plan: the records, and what is held.
func (r *run) takeFolders(ctx context.Context, fp *plan.FolderPlan) error {
	r.records = fp.Records
	var provisional mail.BoxID
	for i := range r.records {
		if r.records[i].ID == 0 {
			provisional--
			r.records[i].ID = provisional
		}
	}
	for _, v := range fp.Vanished {
		rec := &r.records[v.Record]
		r.report.HeldBoxes++
		e := Event{Kind: Held, Side: v.Side, Mailbox: rec.Side[v.Side].Name, Reason: plan.ReasonVanished,
			Count: rec.Side[v.Side].Known,
			Text:  fmt.Sprintf("the mailbox is gone %s; it is left as it is %s", r.where(v.Side), r.where(v.Side.Other()))}
		r.emit(e)
		if !r.stored[rec.ID].Side[v.Side].Missing {
			r.log(logHeld, e)
		}
		r.report.Hints = appendOnce(r.report.Hints, "a mailbox vanished on one side: sync --accept-deletes removes it on the other, --reject-deletes makes it again")
	}
	for _, rec := range r.records {
		if !rec.Dormant {
			r.report.Mailboxes++
		}
	}
	for i, there := range fp.There {
		r.there[r.records[i].ID] = there
	}
	return r.doFolders(ctx, fp)
}

func appendOnce(list []string, s string) []string {
	for _, x := range list {
		if x == s {
			return list
		}
	}
	return append(list, s)
}

// doFolders carries out the folder plan, except for removals, which come
// last of all.
func (r *run) doFolders(ctx context.Context, fp *plan.FolderPlan) error {
	for _, op := range fp.Ops {
		rec := &r.records[op.Record]
		var err error
		switch op.Kind {
		case plan.FolderCreate:
			if h := rec.Side[op.Side]; !r.DryRun && h.Name == "" && rec.Side[op.Side.Other()].Name != op.Name {
				continue // the mailbox above its other half could not be renamed: next time
			}
			err = r.createBox(ctx, rec, op)
		case plan.FolderRename:
			if r.parentFailed(op) {
				r.notFollowed[rec.ID] = op.Side.Other() // with its parent, next time
				continue
			}
			if err = r.renameBox(ctx, rec, op); err != nil {
				// The index keeps the old name, so that the rename is seen again.
				r.notFollowed[rec.ID] = op.Side.Other()
			}
		case plan.FolderRemove:
			r.removes = append(r.removes, op)
		}
		if err != nil {
			if mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount || ctx.Err() != nil {
				return err
			}
			r.fault(op.Side, op.Name, fmt.Errorf("mailbox %s: %w", op.Name, err), false)
		}
	}
	if !r.DryRun && len(fp.Forget) > 0 {
		if err := r.forget(ctx, fp.Forget); err != nil {
			return err
		}
	}
	for _, v := range fp.Restored {
		if !r.there[r.records[v.Record].ID][v.Side] {
			continue // it could not be made
		}
		if err := r.unbindBox(ctx, &r.records[v.Record], v.Side); err != nil {
			return err
		}
	}
	return nil
}

// forget takes mailboxes out of the index, and what was begun in them.
func (r *run) forget(ctx context.Context, ids []mail.BoxID) error {
	intents, err := r.Index.Intents(ctx)
	if err != nil {
		return indexFault(err)
	}
	st := plan.Settlement{Forget: ids, Events: r.takeEvents()}
	for _, in := range intents {
		if slices.Contains(ids, in.To) || slices.Contains(ids, in.From.Box) {
			st.Done = append(st.Done, in.ID)
		}
	}
	return r.settle(ctx, &st)
}

// parentFailed tells whether a parent of the mailbox should have been renamed
// first and was not: the mailbox goes with it.
func (r *run) parentFailed(op plan.FolderOp) bool {
	for id, s := range r.notFollowed {
		if rec := r.record(id); s == op.Side.Other() && rec != nil && op.Name.Within(rec.Side[op.Side].Name) {
			return true
		}
	}
	return false
}

func (r *run) createBox(ctx context.Context, rec *plan.BoxRecord, op plan.FolderOp) error {
	if !r.DryRun {
		box, err := r.side[op.Side].Create(ctx, op.Name)
		if err != nil {
			return err
		}
		if box.Name == "" {
			box.Name = op.Name
		}
		if op.Side == plan.Remote {
			delete(r.known, rec.ID) // it is another mailbox, by our own hand
		}
		h := &rec.Side[op.Side]
		*h = plan.BoxSide{Name: op.Name, ID: box.ID, Rights: box.Rights}
		box.State = plan.Unknown
		r.survey[op.Side][op.Name] = box
	}
	there := r.there[rec.ID]
	there[op.Side] = true
	r.there[rec.ID] = there
	r.report.Created[op.Side]++
	r.did(Event{Verb: VerbCreated, Side: op.Side, Mailbox: op.Name})
	return nil
}

func (r *run) renameBox(ctx context.Context, rec *plan.BoxRecord, op plan.FolderOp) error {
	if !r.DryRun {
		// Renaming a parent has renamed its children with it.
		if name := rec.Side[op.Side].Name; name != op.To {
			if err := r.side[op.Side].Rename(ctx, name, op.To); err != nil {
				return err
			}
			r.carryNames(op.Side, name, op.To)
		}
	}
	r.report.Renamed[op.Side]++
	r.did(Event{Verb: VerbRenamed, Side: op.Side, Mailbox: op.Name, To: op.To})
	return nil
}

// carryNames gives a renamed mailbox, and all below it, the names that they
// have now. Those that the other side has removed are among them.
func (r *run) carryNames(s plan.Side, from, to mail.MailboxName) {
	moved := map[mail.MailboxName]plan.Box{}
	for name, b := range r.survey[s] {
		if name == from || name.Within(from) {
			b.Name, b.State = to+name[len(from):], plan.Unknown
			moved[b.Name] = b
			delete(r.survey[s], name)
		}
	}
	maps.Copy(r.survey[s], moved)
	for i := range r.records {
		if h := &r.records[i].Side[s]; h.Name == from || h.Name.Within(from) {
			h.Name, h.Cursor = to+h.Name[len(from):], ""
		}
	}
}
