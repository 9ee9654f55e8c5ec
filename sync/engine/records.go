package engine

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// folders gives every mailbox in scope its number, and tells the sides.
func (r *run) folders(ctx context.Context) error {
	if err := r.saveRecords(ctx); err != nil {
		return err
	}
	for _, s := range plan.Sides {
		names := map[mail.BoxID]mail.MailboxName{}
		for _, rec := range r.records {
			if !rec.Dormant && r.there[rec.ID][s] && rec.Side[s].Name != "" {
				names[rec.ID] = rec.Side[s].Name
			}
		}
		r.side[s].Bind(names)
	}
	return r.epochs(ctx)
}

// saveRecords writes the pairs that are new or changed.
func (r *run) saveRecords(ctx context.Context) error {
	if r.DryRun {
		return nil
	}
	boxes, at := r.changedRecords()
	if len(boxes) == 0 {
		return nil
	}
	if err := r.settle(ctx, &plan.Settlement{Boxes: boxes, Events: r.takeEvents()}); err != nil {
		return err
	}
	for k, i := range at {
		was := r.records[i].ID
		r.there[boxes[k].ID] = r.there[was]
		r.stored[boxes[k].ID] = *boxes[k]
		r.records[i].ID = boxes[k].ID
	}
	return nil
}

// changedRecords are the pairs that are new or changed, as the index is to
// have them, and where they stand among the records.
func (r *run) changedRecords() (boxes []*plan.BoxRecord, at []int) {
	for i := range r.records {
		rec := r.toStore(r.records[i])
		if rec.ID > 0 && sameRecord(rec, r.stored[rec.ID]) {
			continue
		}
		rec.ID = max(rec.ID, 0)
		boxes, at = append(boxes, &rec), append(at, i)
	}
	return boxes, at
}

// dueEpochs sees to it that what a first scan learned of mailboxes is written
// before a row is bound there, or with it: a Ref without its epoch would be believed after
// the next reset.
func (r *run) dueEpochs() {
	known := true
	for i := range r.records {
		rec := &r.records[i]
		for _, s := range plan.Sides {
			known = known && rec.Side[s].Epoch == r.stored[rec.ID].Side[s].Epoch
		}
	}
	if known {
		return
	}
	boxes, _ := r.changedRecords() // all have their numbers by now
	r.dueAlso(&plan.Settlement{Boxes: boxes, Events: r.takeEvents()})
	for _, b := range boxes {
		r.stored[b.ID] = *b
	}
}

// toStore is a record as the index is to have it.
func (r *run) toStore(rec plan.BoxRecord) plan.BoxRecord {
	if s, failed := r.notFollowed[rec.ID]; failed {
		rec.Side[s].Name = r.stored[rec.ID].Side[s].Name
	}
	for _, s := range plan.Sides {
		if was := r.rights[rec.ID][s]; !r.reopened && moreRights(was, rec.Side[s].Rights) {
			rec.Side[s].Rights = was
		}
	}
	if was := r.known[rec.ID]; was != "" && r.stored[rec.ID].Side[plan.Remote].Epoch != "" && !r.reset[plan.SideBox{Side: plan.Remote, Box: rec.ID}] {
		rec.Side[plan.Remote].ID = was // until its messages are matched again
	}
	return rec
}

// sameRecord compares what is stored; Known is counted, not stored.
func sameRecord(a, b plan.BoxRecord) bool {
	for _, s := range plan.Sides {
		a.Side[s].Known, b.Side[s].Known = 0, 0
		if !a.Side[s].FullAt.Equal(b.Side[s].FullAt) {
			return false
		}
		a.Side[s].FullAt = b.Side[s].FullAt
	}
	return a == b
}

// epochs unbinds what a changed UIDVALIDITY, or a UIDNEXT that went back, has
// made meaningless.
func (r *run) epochs(ctx context.Context) error {
	for i := range r.records {
		rec := &r.records[i]
		for _, s := range plan.Sides {
			if rec.Dormant || !r.there[rec.ID][s] {
				continue
			}
			box, h := r.survey[s][rec.Side[s].Name], &rec.Side[s]
			other := box.Epoch != "" && h.Epoch != "" && box.Epoch != h.Epoch || r.replaced(rec, s, box)
			back := box.Next != 0 && box.Next < h.Next
			if other || back || r.rebind && s == plan.Remote && h.Epoch != "" {
				if err := r.resetBox(ctx, rec, s, box.Epoch); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// replaced tells whether another mailbox has the name of one that the index
// knows, by its MAILBOXID (RFC 8474, section 4.1): mailboxes may share a
// UIDVALIDITY, and then their UIDs say nothing.
func (r *run) replaced(rec *plan.BoxRecord, s plan.Side, box plan.Box) bool {
	was := r.stored[rec.ID].Side[s]
	return s == plan.Remote && r.known[rec.ID] != "" && box.ID != "" && r.known[rec.ID] != box.ID && was.Epoch != ""
}

// resetBox takes every Ref of a side's mailbox out of the index; the flags
// stay as the base for when the messages are found again.
func (r *run) resetBox(ctx context.Context, rec *plan.BoxRecord, s plan.Side, epoch string) error {
	r.note(Event{Side: s, Mailbox: rec.Side[s].Name, Text: "the server numbers its messages anew (UIDVALIDITY): they are matched again, nothing is deleted"})
	if err := r.unbindBox(ctx, rec, s); err != nil {
		return err
	}
	h := &rec.Side[s]
	h.Epoch, h.Cursor, h.Next, h.Known = epoch, "", 0, 0
	r.reset[plan.SideBox{Side: s, Box: rec.ID}] = true
	return r.saveRecords(ctx)
}

// unbindBox makes the rows that are bound in a side's mailbox wait to be found
// there again, or else copied there.
func (r *run) unbindBox(ctx context.Context, rec *plan.BoxRecord, s plan.Side) error {
	if rec.ID < 0 {
		return nil
	}
	rows, err := r.Index.RowsIn(ctx, rec.ID)
	if err != nil {
		return indexFault(err)
	}
	st := plan.Settlement{Put: make([]*plan.Row, 0, len(rows))}
	r.unbind = slices.Grow(r.unbind, len(rows))
	for i := range rows {
		row := &rows[i]
		if row.At[s].Box != rec.ID || row.At[s].IsZero() {
			continue
		}
		row.At[s], row.Epoch[s], row.State = plan.Place{}, "", plan.Unbound
		if row.At[s.Other()].IsZero() {
			st.Drop = append(st.Drop, row.ID)
			continue
		}
		st.Put = append(st.Put, row)
		r.unbind = append(r.unbind, *row)
	}
	if r.DryRun || len(st.Put)+len(st.Drop) == 0 {
		return nil
	}
	// The mailbox keeps its epoch until the last row is out: a run that dies
	// before is followed by one that begins again.
	for ; len(st.Put) > 2*chunkMessages; st.Put = st.Put[2*chunkMessages:] {
		if err := r.settle(ctx, &plan.Settlement{Put: st.Put[:2*chunkMessages]}); err != nil {
			return err
		}
	}
	h := r.toStore(*rec)
	h.Side[s].Cursor, h.Side[s].Epoch, h.Side[s].Next = "", "", 0
	st.Boxes = []*plan.BoxRecord{&h}
	if err := r.settle(ctx, &st); err != nil {
		return err
	}
	rec.Side[s].Cursor, rec.Side[s].Epoch, rec.Side[s].Next = "", "", 0
	r.stored[rec.ID] = h
	return nil
}
