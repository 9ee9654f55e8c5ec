package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Settle writes a settlement in one transaction, durable unless it is Loose, in this order: Drop,
// Put, Flags, Boxes, Forget, Done, Begin, ClearPending, Pending, ClearDeclines, Declines,
// Losses, Hold, Release, Events, Meta, Run. IDs are filled in after it is durable; if it fails,
// neither the index nor the settlement has changed. An empty one writes
// nothing. What is both held and released stays held.
//
// A row that is put may take a place that another row of the same settlement
// gives up. A place that stays bound to another row is an error that
// wraps sqlite.ErrConstraint, as is the mention of a mailbox or row that
// does not exist.
//
// Where something is pending in the end, the cursor becomes "", whatever
// Boxes said, so that the change is seen again. So does that of a mailbox
// from which Forget takes a row, because its other place was in a forgotten one.
func (s *Store) Settle(ctx context.Context, st *plan.Settlement) error {
	if st.Empty() {
		return nil
	}
	if err := s.flagsExist(ctx, st); err != nil {
		return fault(err)
	}
	var w settling
	update := s.db.Update
	if st.Loose {
		update = s.db.UpdateLoose
	}
	err := update(ctx, func(tx *sqlite.Tx) error {
		w = settling{tx: tx, st: st, many: s.manyChanged}
		for _, step := range []func() error{
			w.drop, w.putRows, w.putFlags, w.putBoxes, w.forget, w.done, w.begin, w.pending, w.declines,
			func() error { return putLosses(tx, st.Losses) },
			w.held, w.events, w.meta, w.cursors, w.run,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(err)
	}
	for i, r := range st.Put {
		r.ID = w.rowIDs[i]
	}
	for i, b := range st.Boxes {
		b.ID = w.boxIDs[i]
	}
	for i := range st.Begin {
		st.Begin[i].ID = w.intentIDs[i]
	}
	return nil
}

// settling is a settlement on its way into the database.
type settling struct {
	tx        *sqlite.Tx
	st        *plan.Settlement
	many      int          // see fold
	rowIDs    []int64      // of st.Put
	fresh     []bool       // the first place in st.Put of a row that is new
	boxIDs    []mail.BoxID // of st.Boxes
	intentIDs []int64      // of st.Begin
}

func (w *settling) drop() error {
	if len(w.st.Drop) == 0 {
		return nil
	}
	return w.tx.Exec("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))", list(w.st.Drop))
}

// putRows writes the rows. If a place is taken, it may be by a row that gives
// it up further on: then all rows first exchange their refs for ones that no
// side gives, and it begins again, one by one, so that an error can name the
// row.
func (w *settling) putRows() error {
	if len(w.st.Put) == 0 {
		return nil
	}
	if err := w.numberRows(); err != nil {
		return err
	}
	err := w.writeRows()
	if errors.Is(err, sqlite.ErrConstraint) {
		err = w.exchangeRows()
	}
	if err != nil {
		return err
	}
	return w.countNew()
}

// writeRows writes the rows in their order, those that are new together as far
// as possible: what tells new ones from others costs.
func (w *settling) writeRows() error {
	flags := flagTexts{}
	for from, to := 0, 0; from < len(w.st.Put); from = to {
		in := &putMessages
		if w.fresh[from] {
			in = &addMessages
		}
		for to = from; to < len(w.st.Put) && w.fresh[to] == w.fresh[from]; to++ {
		}
		err := w.tx.Insert(*in, to-from, func(args []any, i int) []any {
			return appendMessage(args, w.rowIDs[from+i], w.st.Put[from+i], flags)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *settling) exchangeRows() error {
	err := w.tx.Exec(`UPDATE message SET
		local_ref = CASE WHEN local_box IS NOT NULL THEN char(1) || id END,
		remote_ref = CASE WHEN remote_box IS NOT NULL THEN char(1) || id END
		WHERE id IN (SELECT value FROM json_each(?))`, list(w.rowIDs))
	if err != nil {
		return err
	}
	flags := flagTexts{}
	for i, r := range w.st.Put {
		err := w.tx.Insert(putMessages, 1, func(args []any, _ int) []any { return appendMessage(args, w.rowIDs[i], r, flags) })
		if err != nil {
			return fmt.Errorf("recording message %d (%s, local %v, remote %v): %w", w.rowIDs[i], r.State, r.At[plan.Local], r.At[plan.Remote], err)
		}
	}
	return nil
}

// countNew counts the places of the rows that are new. Of all others the
// table bound learns by its triggers.
func (w *settling) countNew() error {
	bound := map[plan.SideBox]int64{}
	for i, r := range w.st.Put {
		for _, side := range plan.Sides {
			if w.fresh[i] && !r.At[side].IsZero() {
				bound[plan.SideBox{Side: side, Box: r.At[side].Box}]++
			}
		}
	}
	for at, n := range bound {
		err := w.tx.Exec("INSERT INTO bound VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n", int64(at.Box), int64(at.Side), n)
		if err != nil {
			return err
		}
	}
	return nil
}

// numberRows gives numbers to new rows; a row that is there twice gets one.
func (w *settling) numberRows() error {
	numbers, err := openSequence(w.tx, "message")
	if err != nil {
		return err
	}
	w.rowIDs, w.fresh = make([]int64, len(w.st.Put)), make([]bool, len(w.st.Put))
	given := map[*plan.Row]int64{}
	var old []int64
	for i, r := range w.st.Put {
		id := r.ID
		if id != 0 {
			old = append(old, id)
		} else if id = given[r]; id == 0 {
			id = numbers.take()
			given[r], w.fresh[i] = id, true
		}
		w.rowIDs[i] = id
	}
	if err := numbers.save(); err != nil {
		return err
	}
	return mustExist(w.tx, "message", list(old))
}

// mustExist refuses numbers without a row: the statements that replace would
// bring back to life what was dropped.
func mustExist(tx *sqlite.Tx, table, ids string) error {
	return tx.Each(missing(table)+" LIMIT 1", []any{ids}, refuse(table))
}

func (w *settling) forget() error {
	for _, box := range w.st.Forget {
		if err := forget(w.tx, box); err != nil {
			return err
		}
	}
	return nil
}

func (w *settling) done() error {
	if len(w.st.Done) == 0 {
		return nil
	}
	// As a rule they are all of a chunk, begun together.
	if consecutive(w.st.Done) {
		return w.tx.Exec("DELETE FROM intent WHERE id BETWEEN ? AND ?", w.st.Done[0], w.st.Done[len(w.st.Done)-1])
	}
	return w.tx.Exec("DELETE FROM intent WHERE id IN (SELECT value FROM json_each(?))", list(w.st.Done))
}

// consecutive tells whether each number is one more than that before it.
func consecutive(ids []int64) bool {
	for i, id := range ids {
		if id != ids[0]+int64(i) {
			return false
		}
	}
	return true
}

func (w *settling) pending() error {
	if err := deleteSides(w.tx, "pending", w.st.ClearPending); err != nil {
		return err
	}
	return putPending(w.tx, w.st.Pending)
}

func (w *settling) declines() error {
	if err := deleteSides(w.tx, "decline", w.st.ClearDeclines); err != nil {
		return err
	}
	return putDeclines(w.tx, w.st.Declines)
}

func (w *settling) held() error {
	if err := putHeld(w.tx, w.st.Hold); err != nil || len(w.st.Release) == 0 {
		return err
	}
	hold := make([]int64, len(w.st.Hold))
	for i, h := range w.st.Hold {
		hold[i] = h.Row
	}
	return w.tx.Exec(`DELETE FROM held WHERE row IN (SELECT value FROM json_each(?))
		AND row NOT IN (SELECT value FROM json_each(?))`, list(w.st.Release), list(hold))
}

func (w *settling) events() error {
	return w.tx.Insert(putEvents, len(w.st.Events), func(args []any, i int) []any {
		e := &w.st.Events[i]
		return append(args, moment(e.At), e.Run, e.Verb, int64(e.Side), string(e.Mailbox), string(e.To), e.Row, digestArg(&e.Ident), e.MessageID, e.Text)
	})
}

var putEvents = sqlite.Insert{Into: "event (at, run, verb, side, mailbox, target, row, digest, message_id, text)"}

func (w *settling) meta() error {
	for key, value := range w.st.Meta {
		err := w.tx.Exec("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
		if err != nil {
			return err
		}
	}
	return nil
}

// cursors takes the cursor of every mailbox side with something pending.
func (w *settling) cursors() error {
	if len(w.st.Boxes)+len(w.st.Pending) == 0 {
		return nil
	}
	return w.tx.Exec(`UPDATE mailbox_side SET cursor = '' WHERE cursor <> '' AND EXISTS
		(SELECT 1 FROM pending WHERE pending.side = mailbox_side.side AND pending.box = mailbox_side.mailbox)`)
}
