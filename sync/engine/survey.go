package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// surveyBoth lists the mailboxes of both sides, at once.
func (r *run) surveyBoth(ctx context.Context) error {
	var boxes [2][]plan.Box
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range plan.Sides {
		g.Go(func() (err error) {
			boxes[s], err = r.side[s].Survey(gctx, r.since(s))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range plan.Sides {
		r.surveyed(s, boxes[s])
	}
	return r.renames(ctx, boxes)
}

func (r *run) surveyed(s plan.Side, boxes []plan.Box) {
	r.survey[s] = make(map[mail.MailboxName]plan.Box, len(boxes))
	for _, b := range boxes {
		r.survey[s][b.Name] = b
	}
}

// since is what a side is told of the mailboxes that the index knows.
func (r *run) since(s plan.Side) map[mail.MailboxName]plan.Since {
	m := make(map[mail.MailboxName]plan.Since, len(r.records))
	for _, rec := range r.records {
		if h := rec.Side[s]; h.Name != "" {
			m[h.Name] = plan.Since{Cursor: h.Cursor, Epoch: h.Epoch, Known: h.Known}
		}
	}
	return m
}

// renames plans the folders. Before a mailbox that vanished is removed on the
// other side, its absence is seen in a second listing.
func (r *run) renames(ctx context.Context, boxes [2][]plan.Box) error {
	fp, err := r.planFolders(ctx, boxes, r.Policy)
	if err != nil {
		return err
	}
	policy, again := r.Policy, false
	for _, s := range plan.Sides {
		if !slices.ContainsFunc(fp.Ops, func(o plan.FolderOp) bool { return o.Kind == plan.FolderRemove && o.Side != s }) {
			continue
		}
		listed, err := r.side[s].Survey(ctx, r.since(s))
		if err != nil {
			return err
		}
		if !sameNames(listed, boxes[s]) {
			policy.RemoveBoxes = [2]bool{} // they wait for two listings that agree
		}
		boxes[s], again = listed, true
		r.surveyed(s, listed)
	}
	if again {
		if fp, err = r.planFolders(ctx, boxes, policy); err != nil {
			return err
		}
	}
	return r.takeFolders(ctx, fp)
}

func sameNames(a, b []plan.Box) bool {
	names := map[mail.MailboxName]bool{}
	for _, x := range a {
		names[x.Name] = !x.Container
	}
	return len(a) == len(b) && !slices.ContainsFunc(b, func(x plan.Box) bool {
		mailbox, listed := names[x.Name]
		return !listed || mailbox == x.Container
	})
}

// planFolders proves which mailboxes have another name now, and plans.
func (r *run) planFolders(ctx context.Context, boxes [2][]plan.Box, policy plan.Policy) (*plan.FolderPlan, error) {
	in := plan.FolderInput{
		Boxes: r.records, Seen: boxes, Scope: r.Scope, Policy: policy,
		Accept: r.Accept, Reject: r.Reject, Refill: r.adopt,
	}
	proved := map[plan.Rename]bool{}
	candidates := plan.RenameCandidates(r.records, boxes)
	// Parents first.
	slices.SortStableFunc(candidates, func(a, b plan.Rename) int { return strings.Count(string(a.To), "/") - strings.Count(string(b.To), "/") })
	for _, c := range candidates {
		if r.wentAlong(c, proved) {
			proved[c] = true
			continue
		}
		ok, err := r.sameMailbox(ctx, c)
		switch {
		case err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount):
			return nil, err
		case err != nil:
			r.fault(c.Side, c.To, fmt.Errorf("mailbox %s: %w", c.To, err), false)
			in.Undecided = append(in.Undecided, c)
		case ok:
			proved[c] = true
		}
	}
	in.Undecided = append(in.Undecided, r.withParents(proved, in.Undecided)...)
	for _, s := range plan.Sides {
		in.Renamed[s] = oneToOne(proved, s)
	}
	fp := plan.Folders(in)
	return &fp, nil
}

// wentAlong tells whether a mailbox lies in its renamed parent as it lay before:
// then no more is to be proved, whatever it holds.
func (r *run) wentAlong(c plan.Rename, proved map[plan.Rename]bool) bool {
	name := r.record(c.Box).Side[c.Side].Name
	for p := range proved {
		from := r.record(p.Box).Side[p.Side].Name
		if p.Side == c.Side && name.Within(from) && c.To == p.To+name[len(from):] {
			return true
		}
	}
	return false
}

// withParents takes out of proved, and returns, what lies below a mailbox that
// is undecided: it is renamed with its parent, or not at all.
func (r *run) withParents(proved map[plan.Rename]bool, undecided []plan.Rename) []plan.Rename {
	var out []plan.Rename
	for p := range proved {
		for _, u := range undecided {
			if p.Side == u.Side && r.record(p.Box).Side[p.Side].Name.Within(r.record(u.Box).Side[u.Side].Name) {
				out = append(out, p)
				break
			}
		}
	}
	for _, p := range out {
		delete(proved, p)
	}
	return out
}

// oneToOne leaves out what is proved of two.
func oneToOne(proved map[plan.Rename]bool, s plan.Side) map[mail.BoxID]mail.MailboxName {
	from, to := map[mail.BoxID]int{}, map[mail.MailboxName]int{}
	for p := range proved {
		if p.Side == s {
			from[p.Box]++
			to[p.To]++
		}
	}
	out := map[mail.BoxID]mail.MailboxName{}
	for p := range proved {
		if p.Side == s && from[p.Box] == 1 && to[p.To] == 1 {
			out[p.Box] = p.To
		}
	}
	return out
}

// renameBox is a number for a mailbox that is looked at before it has one.
const renameBox mail.BoxID = -1 << 40

// sameMailbox completes the evidence for a rename: the mailbox under the new
// name holds messages that the old one held, by their Refs (and sizes, where
// both are known). A directory with the old one's inode that holds one of its
// files is it; on a server most of what is older than the last message known
// there must be known, since mailboxes may share a UIDVALIDITY. What is newer
// has come since, whatever UIDNEXT a run that died may have noted.
func (r *run) sameMailbox(ctx context.Context, c plan.Rename) (bool, error) {
	sizes, last := map[mail.Ref]int64{}, uint32(1)
	rows, err := r.Index.RowsIn(ctx, c.Box)
	if err != nil {
		return false, indexFault(err)
	}
	for _, row := range rows {
		if at := row.At[c.Side]; at.Box == c.Box && !at.IsZero() {
			sizes[at.Ref] = row.Ident[c.Side].Size
			if uid, err := strconv.ParseUint(string(at.Ref), 10, 32); err == nil {
				last = max(last, uint32(uid))
			}
		}
	}
	side := r.side[c.Side]
	side.Bind(map[mail.BoxID]mail.MailboxName{renameBox: c.To})
	seen, same, strange := 0, 0, 0
	_, err = side.Scan(ctx, renameBox, plan.Since{}, func(m plan.Seen) error {
		seen++
		size, ok := sizes[m.Ref]
		switch {
		case ok && (c.Side == plan.Local || size == 0 || m.Item.Ident.Size == 0 || size == m.Item.Ident.Size):
			same++
		case c.Side == plan.Remote && olderThan(m.Ref, last):
			strange++
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if min(seen, len(sizes)) == 0 {
		return seen == len(sizes), nil // both empty: nothing can be lost
	}
	return same > strange, nil
}

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
			Text:  fmt.Sprintf("the mailbox is gone %s; it is left as it is %s", where(v.Side), where(v.Side.Other()))}
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
	var s plan.Settlement
	var at []int
	for i := range r.records {
		rec := r.toStore(r.records[i])
		if rec.ID > 0 && sameRecord(rec, r.stored[rec.ID]) {
			continue
		}
		if rec.ID < 0 {
			rec.ID = 0
		}
		s.Boxes = append(s.Boxes, &rec)
		at = append(at, i)
	}
	if len(s.Boxes) == 0 {
		return nil
	}
	s.Events = r.takeEvents()
	if err := r.settle(ctx, &s); err != nil {
		return err
	}
	for k, i := range at {
		was := r.records[i].ID
		r.there[s.Boxes[k].ID] = r.there[was]
		known := [2]int{r.records[i].Side[0].Known, r.records[i].Side[1].Known}
		r.stored[s.Boxes[k].ID] = *s.Boxes[k]
		r.records[i].ID = s.Boxes[k].ID
		for _, side := range plan.Sides {
			r.records[i].Side[side].Known = known[side]
		}
	}
	return nil
}

// saveEpochs writes what a first scan learned of mailboxes before a row is
// bound there: a Ref without its epoch would be believed after the next reset.
func (r *run) saveEpochs(ctx context.Context) error {
	for i := range r.records {
		rec := &r.records[i]
		for _, s := range plan.Sides {
			if rec.Side[s].Epoch != r.stored[rec.ID].Side[s].Epoch {
				return r.saveRecords(ctx)
			}
		}
	}
	return nil
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
	var st plan.Settlement
	for i := range rows {
		row := rows[i]
		if row.At[s].Box != rec.ID || row.At[s].IsZero() {
			continue
		}
		row.At[s], row.Epoch[s], row.State = plan.Place{}, "", plan.Unbound
		if row.At[s.Other()].IsZero() {
			st.Drop = append(st.Drop, row.ID)
			continue
		}
		st.Put = append(st.Put, &row)
		r.unbind = append(r.unbind, row)
	}
	if r.DryRun || len(st.Put)+len(st.Drop) == 0 {
		return nil
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
