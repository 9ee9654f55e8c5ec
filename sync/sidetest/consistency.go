package sidetest

import (
	"errors"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// CheckConsistency tells which of these invariants the index breaks:
//
//   - A row is Paired exactly if it has a place on both sides; in every other
//     state it has a place on exactly one.
//   - Every place is in a mailbox that the index knows, and no two rows have
//     one (side, mailbox, epoch, Ref).
//   - The epoch of a place is that of its mailbox on that side, which has a
//     name there.
//   - A mailbox has a name on at least one side, and no two have one name on
//     one side.
//   - A side's mailbox with anything pending has no cursor.
//   - What is held is a row that exists, once.
//   - Pending, declines and intents name mailboxes that exist.
//
// Settle and Begin refuse what would break one, but for the epochs.
func (ix *MemoryIndex) CheckConsistency() error {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return errors.Join(ix.tables.check(), ix.tables.checkEpochs())
}

// checkEpochs is apart from check: a settlement may write rows and mailboxes
// of a new epoch one after the other.
func (t *tables) checkEpochs() error {
	var wrong []error
	for i := range t.rows {
		for _, side := range plan.Sides {
			j, ok := t.boxAt(t.rows[i].At[side].Box)
			if !ok {
				continue
			}
			box, epoch := t.boxes[j].Side[side], t.rows[i].Epoch[side]
			if box.Epoch != epoch || box.Name == "" {
				wrong = append(wrong, fmt.Errorf("row %d lies in epoch %q of mailbox %d (%q) on the %s side, which has %q",
					t.rows[i].ID, epoch, t.boxes[j].ID, box.Name, side, box.Epoch))
			}
		}
	}
	return errors.Join(wrong...)
}

func (t *tables) check() error {
	return errors.Join(t.checkRows(), t.checkBoxes(), t.checkPending(), t.checkHeld(), t.checkIntents())
}

func (t *tables) checkRows() error {
	type place struct {
		side  plan.Side
		at    plan.Place
		epoch string
	}
	bound := make(map[place]int64, 2*len(t.rows))
	for i := range t.rows {
		r := &t.rows[i]
		places := 0
		for _, side := range plan.Sides {
			at := r.At[side]
			if at.IsZero() {
				continue
			}
			places++
			if _, ok := t.boxAt(at.Box); !ok {
				return fmt.Errorf("row %d lies in mailbox %d on the %s side, which does not exist", r.ID, at.Box, side)
			}
			p := place{side, at, r.Epoch[side]}
			if bound[p] != 0 {
				return fmt.Errorf("rows %d and %d are both bound at %s %v", bound[p], r.ID, side, at)
			}
			bound[p] = r.ID
		}
		if paired := r.State == plan.Paired; paired != (places == 2) || places == 0 {
			return fmt.Errorf("row %d is %s and has %d places", r.ID, r.State, places)
		}
	}
	return nil
}

func (t *tables) checkBoxes() error {
	type name struct {
		side plan.Side
		name mail.MailboxName
	}
	seen := make(map[name]mail.BoxID, 2*len(t.boxes))
	for i := range t.boxes {
		b := &t.boxes[i]
		if b.Side[plan.Local].Name == "" && b.Side[plan.Remote].Name == "" {
			return fmt.Errorf("mailbox %d has no name", b.ID)
		}
		for _, side := range plan.Sides {
			n := name{side, b.Side[side].Name}
			if n.name != "" && seen[n] != 0 {
				return fmt.Errorf("mailboxes %d and %d are both %s %s", seen[n], b.ID, side, n.name)
			}
			seen[n] = b.ID
		}
	}
	return nil
}

func (t *tables) checkPending() error {
	for _, p := range t.pending {
		i, ok := t.boxAt(p.At.Box)
		if p.At.Box == 0 {
			continue
		}
		if !ok {
			return fmt.Errorf("pending %s %s: mailbox %d does not exist", p.Side, p.Kind, p.At.Box)
		}
		if c := t.boxes[i].Side[p.Side].Cursor; c != "" {
			return fmt.Errorf("mailbox %d has the cursor %q on the %s side, where something is pending", p.At.Box, c, p.Side)
		}
	}
	for _, d := range t.declines {
		if _, ok := t.boxAt(d.Box); !ok && d.Box != 0 {
			return fmt.Errorf("declined %s %s: mailbox %d does not exist", d.Side, d.What, d.Box)
		}
	}
	return nil
}

func (t *tables) checkHeld() error {
	seen := make(map[int64]bool, len(t.held))
	for _, h := range t.held {
		if _, ok := t.rowAt(h.Row); !ok {
			return fmt.Errorf("held: row %d does not exist", h.Row)
		}
		if seen[h.Row] {
			return fmt.Errorf("held: row %d is held twice", h.Row)
		}
		seen[h.Row] = true
	}
	return nil
}

func (t *tables) checkIntents() error {
	for _, in := range t.intents {
		if _, ok := t.boxAt(in.To); !ok && in.To != 0 {
			return fmt.Errorf("intent %d: mailbox %d does not exist", in.ID, in.To)
		}
	}
	return nil
}
