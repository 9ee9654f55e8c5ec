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

// Settle works on a copy, which takes the place of the tables only if every
// step was possible and the result is consistent.
func (ix *MemoryIndex) Settle(ctx context.Context, s *plan.Settlement) error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	if err := ctx.Err(); err != nil {
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

// settle applies s in the order of its fields and gives the IDs of what it put.
func (t *tables) settle(s *plan.Settlement) (boxes []mail.BoxID, rows []int64, err error) {
	for _, id := range s.Drop {
		t.dropRow(id)
	}
	for _, b := range s.Boxes {
		id, err := t.putBox(*b)
		if err != nil {
			return nil, nil, err
		}
		boxes = append(boxes, id)
	}
	for _, r := range s.Put {
		id, err := t.putRow(*r)
		if err != nil {
			return nil, nil, err
		}
		rows = append(rows, id)
	}
	for _, id := range s.Forget {
		t.forget(id)
	}
	t.intents = slices.DeleteFunc(t.intents, func(in plan.Intent) bool { return slices.Contains(s.Done, in.ID) })
	t.pending = slices.DeleteFunc(t.pending, func(p plan.Pending) bool {
		return slices.Contains(s.ClearPending, plan.SideBox{Side: p.Side, Box: p.At.Box})
	})
	t.pending = append(t.pending, s.Pending...)
	t.declines = slices.DeleteFunc(t.declines, func(d plan.Decline) bool {
		return slices.Contains(s.ClearDeclines, plan.SideBox{Side: d.Side, Box: d.Box})
	})
	for _, d := range s.Declines {
		t.putDecline(d)
	}
	t.losses = append(t.losses, s.Losses...)
	t.held = slices.DeleteFunc(t.held, func(h plan.Held) bool { return slices.Contains(s.Release, h.Row) })
	for _, h := range s.Hold {
		t.putHeld(h)
	}
	t.events = append(t.events, s.Events...)
	maps.Copy(t.meta, s.Meta)
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

// putRow inserts or replaces a row. As in a database, a place that another
// row still has at this moment is refused.
func (t *tables) putRow(r plan.Row) (int64, error) {
	r.NoBase = false
	for _, side := range plan.Sides {
		if other := t.boundAt(r, side); other != 0 && other != r.ID {
			return 0, fmt.Errorf("row %d: %s %v is bound by row %d already", r.ID, side, r.At[side], other)
		}
	}
	if r.ID == 0 {
		t.lastRow++
		r.ID = t.lastRow
		t.rows = append(t.rows, r)
		return r.ID, nil
	}
	i, ok := t.rowAt(r.ID)
	if !ok {
		return 0, fmt.Errorf("row %d does not exist", r.ID)
	}
	t.rows[i] = r
	return r.ID, nil
}

// boundAt gives the row that has the place of r on side, 0 if none has.
func (t *tables) boundAt(r plan.Row, side plan.Side) int64 {
	if r.At[side].IsZero() {
		return 0
	}
	for i := range t.rows {
		if t.rows[i].At[side] == r.At[side] && t.rows[i].Epoch[side] == r.Epoch[side] {
			return t.rows[i].ID
		}
	}
	return 0
}

func (t *tables) putBox(b plan.BoxRecord) (mail.BoxID, error) {
	for _, side := range plan.Sides {
		b.Side[side].Known = 0
		if b.Side[side].Name == "" {
			continue
		}
		for i := range t.boxes {
			if t.boxes[i].ID != b.ID && t.boxes[i].Side[side].Name == b.Side[side].Name {
				return 0, fmt.Errorf("mailbox %d: %s %s is mailbox %d already", b.ID, side, b.Side[side].Name, t.boxes[i].ID)
			}
		}
	}
	if b.ID == 0 {
		t.lastBox++
		b.ID = t.lastBox
		t.boxes = append(t.boxes, b)
		return b.ID, nil
	}
	i, ok := t.boxAt(b.ID)
	if !ok {
		return 0, fmt.Errorf("mailbox %d does not exist", b.ID)
	}
	t.boxes[i] = b
	return b.ID, nil
}

// forget removes a mailbox pair with all that lies in it. Its losses stay:
// they count for the account.
func (t *tables) forget(id mail.BoxID) {
	if i, ok := t.boxAt(id); ok {
		t.boxes = slices.Delete(t.boxes, i, i+1)
	}
	var gone []int64
	for i := range t.rows {
		if inBox(&t.rows[i], id) {
			gone = append(gone, t.rows[i].ID)
		}
	}
	for _, row := range gone {
		t.dropRow(row)
	}
	t.pending = slices.DeleteFunc(t.pending, func(p plan.Pending) bool { return p.At.Box == id })
	t.held = slices.DeleteFunc(t.held, func(h plan.Held) bool { return h.Box == id })
	t.declines = slices.DeleteFunc(t.declines, func(d plan.Decline) bool { return d.Box == id })
}

func (t *tables) putDecline(d plan.Decline) {
	for _, o := range t.declines {
		if o.Side == d.Side && o.Box == d.Box && o.What == d.What {
			return
		}
	}
	t.declines = append(t.declines, d)
}

func (t *tables) putHeld(h plan.Held) {
	for i, o := range t.held {
		if o.Row == h.Row {
			h.Since = o.Since
			t.held[i] = h
			return
		}
	}
	t.held = append(t.held, h)
}
