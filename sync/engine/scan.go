package engine

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// sideScan is what the scan of one side gave; the two sides are scanned at
// once, so each has its own.
type sideScan struct {
	changes  []plan.Change
	view     map[mail.BoxID]plan.View
	scanned  map[mail.BoxID]plan.Scanned
	full     map[mail.BoxID]bool
	unbound  []int64 // rows that an adoption does not take for deleted
	suspects []suspect
	resets   []mail.BoxID // mailboxes whose epoch changed under the survey
	faults   []boxFault
}

// suspect is a bound file whose mark changed: touched, restored or edited.
type suspect struct {
	row  int64
	at   plan.Place
	item mail.Item
}

type boxFault struct {
	box mail.MailboxName
	err error
}

// scanBoth scans what changed, on both sides at once, and turns it into changes.
func (r *run) scanBoth(ctx context.Context) error {
	var scans [2]sideScan
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range plan.Sides {
		g.Go(func() error { return r.scanSide(gctx, s, &scans[s]) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range plan.Sides {
		if err := r.takeScan(ctx, s, &scans[s]); err != nil {
			return err
		}
	}
	r.vanishedRows(ctx)
	return r.findDoubles(ctx)
}

func (r *run) scanSide(ctx context.Context, s plan.Side, out *sideScan) error {
	out.view = map[mail.BoxID]plan.View{}
	out.scanned = map[mail.BoxID]plan.Scanned{}
	out.full = map[mail.BoxID]bool{}
	todo, records := r.toScan(s, out)
	if side, is := r.side[s].(Expecter); is && len(todo) > 0 {
		side.ExpectScans(todo)
	}
	for i, rec := range records {
		err := r.scanBox(ctx, s, rec, todo[i].Since, out)
		if err == nil {
			continue
		}
		if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
			return err
		}
		name := rec.Side[s].Name
		out.faults = append(out.faults, boxFault{name, fmt.Errorf("mailbox %s: %w", name, err)})
	}
	return nil
}

// toScan lists the mailboxes of a side that the survey does not show to be as
// they were, each with its record.
func (r *run) toScan(s plan.Side, out *sideScan) (todo []plan.Expected, records []*plan.BoxRecord) {
	for i := range r.records {
		rec := &r.records[i]
		if rec.Dormant || !r.there[rec.ID][s] {
			continue
		}
		h := &rec.Side[s]
		if h.Name == "" { // a dry run would create it: it is empty
			out.view[rec.ID] = plan.Complete
			continue
		}
		since := plan.Since{Cursor: h.Cursor, Epoch: h.Epoch, Known: h.Known}
		if r.adopt || r.reset[plan.SideBox{Side: s, Box: rec.ID}] {
			since.Cursor = ""
		}
		since.Compare = since.Cursor != "" && fullDue(*h, r.Clock())
		if r.survey[s][h.Name].State == plan.Same && since.Cursor != "" && !since.Compare {
			out.view[rec.ID] = plan.Complete
			continue
		}
		todo, records = append(todo, plan.Expected{Box: rec.ID, Since: since}), append(records, rec)
	}
	return todo, records
}

// scanBox scans one mailbox.
func (r *run) scanBox(ctx context.Context, s plan.Side, rec *plan.BoxRecord, since plan.Since, out *sideScan) error {
	h, key := &rec.Side[s], plan.SideBox{Side: s, Box: rec.ID}
	d, sc, err := r.diff(ctx, s, rec.ID, since)
	if err == nil && !d.addsUp(sc) {
		// Messages came and went since the cursor, by our own hand among others:
		// the delta cannot tell which. Compare everything.
		since.Compare = true
		d, sc, err = r.diff(ctx, s, rec.ID, since)
	}
	if err == nil && d.strange {
		since.Cursor, since.Compare = "", false
		d, sc, err = r.diff(ctx, s, rec.ID, since)
	}
	if err != nil {
		return err
	}
	if h.Epoch != "" && sc.Epoch != h.Epoch && !r.reset[key] {
		// The epoch changed between survey and scan: what was compared means
		// nothing. The next run matches it anew.
		out.resets = append(out.resets, rec.ID)
		return nil
	}
	d.end(sc, out)
	out.scanned[rec.ID] = sc
	out.full[rec.ID] = sc.Full
	return nil
}

// takeScan adds one side's scan to the run.
func (r *run) takeScan(ctx context.Context, s plan.Side, sc *sideScan) error {
	for box, v := range sc.view {
		r.view[plan.SideBox{Side: s, Box: box}] = v
	}
	for box, scanned := range sc.scanned {
		key := plan.SideBox{Side: s, Box: box}
		r.scanned[key], r.full[key] = scanned, sc.full[box]
		r.learn(s, box, scanned)
		if !scanned.Complete {
			r.unsettled[key] = true
			r.pend(plan.Pending{Side: s, At: plan.Place{Box: box}, Why: plan.ReasonIncomplete, Text: "the mailbox never stood still while it was listed"})
		}
	}
	for _, f := range sc.faults {
		r.fault(s, f.box, f.err, false)
	}
	for _, box := range sc.resets {
		r.unsettled[plan.SideBox{Side: s, Box: box}] = true
		r.pend(plan.Pending{Side: s, At: plan.Place{Box: box}, Why: plan.ReasonIncomplete, Text: "its UIDVALIDITY changed while it was looked at"})
	}
	r.changes = joined(r.changes, sc.changes)
	sc.changes = nil
	if err := r.unbindRows(ctx, s, sc.unbound); err != nil {
		return err
	}
	return r.examineSuspects(ctx, s, sc.suspects)
}

// learn takes over what only a scan could tell of a mailbox.
func (r *run) learn(s plan.Side, box mail.BoxID, sc plan.Scanned) {
	rec := r.record(box)
	h := &rec.Side[s]
	h.Epoch, h.Rights = sc.Epoch, sc.Rights
	h.Next = max(h.Next, sc.Next)
}

// unbindRows loads rows whose message an adoption does not find, and makes
// them wait for it instead of taking it for deleted.
func (r *run) unbindRows(ctx context.Context, s plan.Side, ids []int64) error {
	slices.Sort(ids)
	rows, err := r.Index.Rows(ctx, ids)
	if err != nil {
		return indexFault(err)
	}
	lost := make(map[int64]*plan.Row, len(r.unbind)) // that lost their other place
	for i := range r.unbind {
		lost[r.unbind[i].ID] = &r.unbind[i]
	}
	for _, row := range rows {
		if u := lost[row.ID]; u != nil {
			row = *u
		}
		row.At[s], row.Epoch[s], row.State = plan.Place{}, "", plan.Unbound
		r.unbind = append(r.unbind, row)
	}
	return nil
}

// examineSuspects reads the files whose mark changed. The same message: only
// the mark is to be remembered. Another: the old one is gone and a new one
// has come.
func (r *run) examineSuspects(ctx context.Context, s plan.Side, list []suspect) error {
	if len(list) == 0 {
		return nil
	}
	ids := make([]int64, len(list))
	for i := range list {
		ids[i] = list[i].row
	}
	slices.Sort(ids)
	rows, err := r.Index.Rows(ctx, ids)
	if err != nil {
		return indexFault(err)
	}
	want := map[int64]mail.Identity{}
	for _, row := range rows {
		want[row.ID] = row.Ident[s]
	}
	byBox := map[mail.BoxID][]suspect{}
	for _, x := range list {
		byBox[x.at.Box] = append(byBox[x.at.Box], x)
	}
	for box, xs := range byBox {
		if err := r.examineBox(ctx, s, box, xs, want); err != nil {
			return err
		}
	}
	return nil
}

// sameMessage tells whether nothing that the index knows of a file speaks
// against what it holds now.
func sameMessage(known, now mail.Identity) bool {
	differ := func(a, b mail.Digest) bool { return !a.IsZero() && !b.IsZero() && a != b }
	sized := known.Level() >= mail.LevelLight && known.Size > 0 && now.Size > 0
	return !differ(known.Body, now.Body) && !differ(known.Header, now.Header) && !differ(known.Light, now.Light) &&
		(!sized || known.Size == now.Size)
}

func (r *run) examineBox(ctx context.Context, s plan.Side, box mail.BoxID, xs []suspect, want map[int64]mail.Identity) error {
	refs := make([]mail.Ref, len(xs))
	byRef := map[mail.Ref]suspect{}
	for i, x := range xs {
		refs[i] = x.at.Ref
		byRef[x.at.Ref] = x
	}
	key := plan.SideBox{Side: s, Box: box}
	var edited []int64
	err := r.side[s].Identify(ctx, box, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		x := byRef[ref]
		delete(byRef, ref)
		if err != nil {
			r.unsettled[key] = true
			r.fault(s, r.name(s, box), err, false)
			return nil
		}
		item := x.item
		item.Ident = id
		epoch := r.scanned[key].Epoch
		if sameMessage(want[x.row], id) {
			r.changes = append(r.changes, plan.Change{Side: s, Kind: plan.KindFlags, At: x.at, Row: x.row, Epoch: epoch}.Of(item))
			return nil
		}
		r.changes = append(r.changes,
			plan.Change{Side: s, Kind: plan.KindNew, At: x.at, Epoch: epoch}.Of(item))
		if r.adopt {
			edited = append(edited, x.row)
			return nil
		}
		r.changes = append(r.changes,
			plan.Change{Side: s, Kind: plan.KindGone, At: x.at, Row: x.row, Epoch: epoch})
		return nil
	})
	if e := r.unbindRows(ctx, s, edited); e != nil {
		return e
	}
	if len(byRef) > 0 { // gone or unreadable meanwhile: the next run sees
		r.unsettled[key] = true
	}
	if err != nil && ctx.Err() == nil && mail.GradeOf(err, mail.GradeMailbox) < mail.GradeAccount {
		r.unsettled[key] = true
		r.fault(s, r.name(s, box), err, false)
		return nil
	}
	return err
}

// vanishedRows takes the messages of a mailbox whose removal is to be carried
// over for gone, one by one, as if they had been deleted.
func (r *run) vanishedRows(ctx context.Context) {
	for _, op := range r.removes {
		rec := &r.records[op.Record]
		s := op.Side.Other()
		rows, err := r.Index.RowsIn(ctx, rec.ID)
		if err != nil {
			r.fault(s, op.Name, indexFault(err), false)
			continue
		}
		r.view[plan.SideBox{Side: s, Box: rec.ID}] = plan.Complete
		for _, row := range rows {
			if row.At[s].Box != rec.ID || row.At[s].IsZero() {
				continue
			}
			r.changes = append(r.changes, plan.Change{Side: s, Kind: plan.KindGone, At: row.At[s], Row: row.ID, Epoch: row.Epoch[s]})
			if r.Accept {
				if _, ok := r.held[row.ID]; !ok {
					r.held[row.ID] = plan.Held{Row: row.ID, Box: rec.ID, Side: s}
				}
			}
		}
	}
}
