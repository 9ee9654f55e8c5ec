package store

import (
	"errors"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// putBoxes writes the mailbox pairs. If a name is taken, it may be by a pair
// that gives it up further on (two mailboxes changed names), or that is
// forgotten: then all of them first give up theirs, and it begins again.
func (w *settling) putBoxes() error {
	if len(w.st.Boxes) == 0 {
		return nil
	}
	if err := w.numberBoxes(); err != nil {
		return err
	}
	err := w.writeBoxes()
	if !errors.Is(err, sqlite.ErrConstraint) {
		return err
	}
	err = w.tx.Exec("UPDATE mailbox_side SET name = '' WHERE mailbox IN (SELECT value FROM json_each(?))",
		list(slices.Concat(w.boxIDs, w.st.Forget)))
	if err != nil {
		return err
	}
	return w.writeBoxes()
}

// numberBoxes gives numbers to new pairs; one that is there twice gets one.
func (w *settling) numberBoxes() error {
	numbers, err := openSequence(w.tx, "mailbox")
	if err != nil {
		return err
	}
	w.boxIDs = make([]mail.BoxID, len(w.st.Boxes))
	given := map[*plan.BoxRecord]mail.BoxID{}
	var old []mail.BoxID
	for i, b := range w.st.Boxes {
		id := b.ID
		if id != 0 {
			old = append(old, id)
		} else if id = given[b]; id == 0 {
			id = mail.BoxID(numbers.take())
			given[b] = id
		}
		w.boxIDs[i] = id
	}
	if err := numbers.save(); err != nil {
		return err
	}
	return mustExist(w.tx, "mailbox", list(old))
}

func (w *settling) writeBoxes() error {
	for i, b := range w.st.Boxes {
		if err := writeBox(w.tx, int64(w.boxIDs[i]), b); err != nil {
			return fmt.Errorf("recording mailbox %d (local %q, remote %q): %w",
				w.boxIDs[i], b.Side[plan.Local].Name, b.Side[plan.Remote].Name, err)
		}
	}
	return nil
}

func writeBox(tx *sqlite.Tx, id int64, b *plan.BoxRecord) error {
	err := tx.Exec(`INSERT INTO mailbox (id, role, dormant) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET role = excluded.role, dormant = excluded.dormant`, id, string(b.Role), bit(b.Dormant))
	if err != nil {
		return err
	}
	for _, side := range plan.Sides {
		h := &b.Side[side]
		err := tx.Exec(`INSERT INTO mailbox_side VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (mailbox, side) DO UPDATE SET name = excluded.name, epoch = excluded.epoch, object = excluded.object,
				cursor = excluded.cursor, next = excluded.next, full_at = excluded.full_at, full_runs = excluded.full_runs,
				no_insert = excluded.no_insert, no_flags = excluded.no_flags, no_delete = excluded.no_delete, missing = excluded.missing`,
			id, int64(side), string(h.Name), h.Epoch, h.ID, string(h.Cursor), int64(h.Next), moment(h.FullAt), int64(h.FullRuns),
			bit(h.Rights.NoInsert), bit(h.Rights.NoFlags), bit(h.Rights.NoDelete), bit(h.Missing))
		if err != nil {
			return err
		}
	}
	return nil
}
