package sidetest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Settle writes a settlement as a whole or not at all, in the order of its
// fields. Rows may exchange places, and mailboxes names, within one
// settlement. What is both held and released stays held. Where something is
// pending in the end the cursor becomes "", whatever Boxes said. It refuses
// what CheckConsistency would find, but for the epochs of places.
func (ix *MemoryIndex) Settle(ctx context.Context, s *plan.Settlement) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ctx.Err(); err != nil || s.Empty() {
		return err
	}
	next := ix.tables.clone()
	boxes, rows, err := next.settle(s)
	if err == nil {
		err = next.check()
	}
	if err != nil {
		return fmt.Errorf("settle: %w", err)
	}
	copy(s.Begin, next.intents[len(next.intents)-len(s.Begin):])
	ix.tables = next
	ix.writes++
	for i, id := range boxes {
		s.Boxes[i].ID = id
	}
	for i, id := range rows {
		s.Put[i].ID = id
	}
	return nil
}

// settle applies s and gives the IDs of what it put.
func (t *tables) settle(s *plan.Settlement) (boxes []mail.BoxID, rows []int64, err error) {
	for _, id := range s.Drop {
		t.dropRow(id)
	}
	if boxes, err = t.putBoxes(s.Boxes); err != nil {
		return nil, nil, err
	}
	if rows, err = t.putRows(s.Put); err != nil {
		return nil, nil, err
	}
	if err := t.putFlags(s.Flags); err != nil {
		return nil, nil, err
	}
	for _, id := range s.Forget {
		t.forget(id)
	}
	t.intents = slices.DeleteFunc(t.intents, func(in plan.Intent) bool { return slices.Contains(s.Done, in.ID) })
	for _, in := range s.Begin {
		t.lastIntent++
		in.ID = t.lastIntent
		t.intents = append(t.intents, in)
	}
	t.settlePending(s)
	t.settleDeclines(s)
	t.losses = append(t.losses, s.Losses...)
	slices.SortStableFunc(t.losses, func(a, b plan.LossRecord) int { return a.At.Compare(b.At) })
	t.settleHeld(s)
	t.events = append(t.events, s.Events...)
	maps.Copy(t.meta, s.Meta)
	if s.Run != nil {
		t.endRun(*s.Run)
	}
	return boxes, rows, nil
}

func (t *tables) rowAt(id int64) (int, bool) {
	return slices.BinarySearchFunc(t.rows, id, func(r plan.Row, id int64) int { return cmp.Compare(r.ID, id) })
}

func (t *tables) boxAt(id mail.BoxID) (int, bool) {
	return slices.BinarySearchFunc(t.boxes, id, func(b plan.BoxRecord, id mail.BoxID) int { return cmp.Compare(b.ID, id) })
}

// dropRow takes a row away, and what is held of it.
func (t *tables) dropRow(id int64) {
	if i, ok := t.rowAt(id); ok {
		t.rows = slices.Delete(t.rows, i, i+1)
	}
	t.held = slices.DeleteFunc(t.held, func(h plan.Held) bool { return h.Row == id })
}

// putRows inserts or replaces rows; one that is there twice gets one number.
func (t *tables) putRows(list []*plan.Row) ([]int64, error) {
	given := map[*plan.Row]int64{}
	var ids []int64
	for _, r := range list {
		id := cmp.Or(r.ID, given[r])
		if id == 0 {
			t.lastRow++
			id = t.lastRow
			given[r] = id
			t.rows = append(t.rows, plan.Row{ID: id})
		}
		i, ok := t.rowAt(id)
		if !ok {
			return nil, fmt.Errorf("row %d does not exist", id)
		}
		t.rows[i] = stored(*r, id)
		ids = append(ids, id)
	}
	return ids, nil
}

// putFlags replaces flags and marks.
func (t *tables) putFlags(list []*plan.Row) error {
	for _, r := range list {
		i, ok := t.rowAt(r.ID)
		if !ok {
			return fmt.Errorf("row %d does not exist", r.ID)
		}
		t.rows[i].Flags, t.rows[i].Stat = r.Flags, r.Stat
	}
	return nil
}

// stored is r as it is remembered: without what is never stored.
func stored(r plan.Row, id int64) plan.Row {
	r.ID, r.NoBase = id, false
	for _, side := range plan.Sides {
		if r.At[side].IsZero() {
			r.At[side], r.Epoch[side] = plan.Place{}, ""
		}
	}
	return r
}

func (t *tables) putBoxes(list []*plan.BoxRecord) ([]mail.BoxID, error) {
	given := map[*plan.BoxRecord]mail.BoxID{}
	var ids []mail.BoxID
	for _, b := range list {
		id := cmp.Or(b.ID, given[b])
		if id == 0 {
			t.lastBox++
			id = t.lastBox
			given[b] = id
			t.boxes = append(t.boxes, plan.BoxRecord{ID: id})
		}
		i, ok := t.boxAt(id)
		if !ok {
			return nil, fmt.Errorf("mailbox %d does not exist", id)
		}
		t.boxes[i] = *b
		t.boxes[i].ID = id
		for _, side := range plan.Sides {
			t.boxes[i].Side[side].Known = 0
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// forget removes a mailbox pair with all that lies in it. Its losses stay:
// they count for the account. A row that goes though it lies in another
// mailbox on one side takes that mailbox's cursor with it, or the message
// would not be seen again.
func (t *tables) forget(id mail.BoxID) {
	var gone []int64
	for i := range t.rows {
		r := &t.rows[i]
		if !inBox(r, id) {
			continue
		}
		gone = append(gone, r.ID)
		for _, side := range plan.Sides {
			if r.At[side].Box != id {
				t.clearCursor(plan.SideBox{Side: side, Box: r.At[side].Box})
			}
		}
	}
	if i, ok := t.boxAt(id); ok {
		t.boxes = slices.Delete(t.boxes, i, i+1)
	}
	for _, row := range gone {
		t.dropRow(row)
	}
	t.pending = slices.DeleteFunc(t.pending, func(p plan.Pending) bool { return p.At.Box == id })
	t.held = slices.DeleteFunc(t.held, func(h plan.Held) bool { return h.Box == id })
	t.declines = slices.DeleteFunc(t.declines, func(d plan.Decline) bool { return d.Box == id })
}

func (t *tables) clearCursor(at plan.SideBox) {
	if i, ok := t.boxAt(at.Box); ok {
		t.boxes[i].Side[at.Side].Cursor = ""
	}
}

func (t *tables) settlePending(s *plan.Settlement) {
	t.pending = slices.DeleteFunc(t.pending, func(p plan.Pending) bool {
		return slices.Contains(s.ClearPending, plan.SideBox{Side: p.Side, Box: p.At.Box})
	})
	for _, p := range s.Pending {
		t.pending = slices.DeleteFunc(t.pending, func(o plan.Pending) bool { return comparePending(o, p) == 0 })
		t.pending = append(t.pending, p)
	}
	slices.SortFunc(t.pending, comparePending)
	for _, p := range t.pending {
		t.clearCursor(plan.SideBox{Side: p.Side, Box: p.At.Box})
	}
}

func comparePending(a, b plan.Pending) int {
	return cmp.Or(cmp.Compare(a.Side, b.Side), cmp.Compare(a.At.Box, b.At.Box), cmp.Compare(a.At.Ref, b.At.Ref),
		cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Row, b.Row))
}

func (t *tables) settleDeclines(s *plan.Settlement) {
	t.declines = slices.DeleteFunc(t.declines, func(d plan.Decline) bool {
		return slices.Contains(s.ClearDeclines, plan.SideBox{Side: d.Side, Box: d.Box})
	})
	for _, d := range s.Declines {
		if !slices.ContainsFunc(t.declines, func(o plan.Decline) bool { return compareDecline(o, d) == 0 }) {
			t.declines = append(t.declines, d)
		}
	}
	slices.SortFunc(t.declines, compareDecline)
}

func compareDecline(a, b plan.Decline) int {
	return cmp.Or(cmp.Compare(a.Side, b.Side), cmp.Compare(a.Box, b.Box), cmp.Compare(a.What, b.What))
}

func (t *tables) settleHeld(s *plan.Settlement) {
	t.held = slices.DeleteFunc(t.held, func(h plan.Held) bool {
		again := slices.ContainsFunc(s.Hold, func(o plan.Held) bool { return o.Row == h.Row })
		return slices.Contains(s.Release, h.Row) && !again
	})
	for _, h := range s.Hold {
		i := slices.IndexFunc(t.held, func(o plan.Held) bool { return o.Row == h.Row })
		if i < 0 {
			t.held = append(t.held, h)
			continue
		}
		h.Since = t.held[i].Since
		t.held[i] = h
	}
	slices.SortFunc(t.held, func(a, b plan.Held) int { return cmp.Compare(a.Row, b.Row) })
}
