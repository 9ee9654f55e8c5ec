package store

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Pending returns what was seen and is not carried over yet, by side,
// mailbox and ref.
func (s *Store) Pending(ctx context.Context) ([]plan.Pending, error) {
	var out []plan.Pending
	var id identColumns
	err := s.db.Each(ctx, `SELECT side, box, ref, kind, row, why, text, tries, since, next, global, size, light, header, body, wire
		FROM pending ORDER BY side, box, ref, kind, row`, nil, func(rows *sql.Rows) error {
		var p plan.Pending
		var since, next int64
		dest := []any{(*uint8)(&p.Side), (*int64)(&p.At.Box), (*string)(&p.At.Ref), (*uint8)(&p.Kind), &p.Row,
			(*string)(&p.Why), &p.Text, &p.Tries, &since, &next}
		err := rows.Scan(append(dest, id.dest()...)...)
		if err != nil {
			return err
		}
		p.Since, p.Next = fromMoment(since), fromMoment(next)
		p.Ident, err = id.identity()
		out = append(out, p)
		return err
	})
	return out, fault(err)
}

func putPending(tx *sqlite.Tx, pending []plan.Pending) error {
	for i := range pending {
		p := &pending[i]
		args := []any{int64(p.Side), int64(p.At.Box), string(p.At.Ref), int64(p.Kind), p.Row,
			string(p.Why), p.Text, int64(p.Tries), moment(p.Since), moment(p.Next)}
		err := tx.Exec("INSERT OR REPLACE INTO pending VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
			appendIdent(args, &p.Ident)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// Held returns the deletions that the guard holds, by row.
func (s *Store) Held(ctx context.Context) ([]plan.Held, error) {
	var out []plan.Held
	err := s.db.Each(ctx, "SELECT row, box, side, since FROM held ORDER BY row", nil, func(rows *sql.Rows) error {
		var h plan.Held
		var since int64
		err := rows.Scan(&h.Row, (*int64)(&h.Box), (*uint8)(&h.Side), &since)
		h.Since = fromMoment(since)
		out = append(out, h)
		return err
	})
	return out, fault(err)
}

func putHeld(tx *sqlite.Tx, held []plan.Held) error {
	for _, h := range held {
		err := tx.Exec(`INSERT INTO held (row, box, side, since) VALUES (?, ?, ?, ?)
			ON CONFLICT (row) DO UPDATE SET box = excluded.box, side = excluded.side`,
			h.Row, int64(h.Box), int64(h.Side), moment(h.Since))
		if err != nil {
			return err
		}
	}
	return nil
}

// Declines returns what the sides will not store, by side and mailbox.
func (s *Store) Declines(ctx context.Context) ([]plan.Decline, error) {
	var out []plan.Decline
	err := s.db.Each(ctx, "SELECT side, box, what, text, at FROM decline ORDER BY side, box, what", nil, func(rows *sql.Rows) error {
		var d plan.Decline
		var at int64
		err := rows.Scan((*uint8)(&d.Side), (*int64)(&d.Box), &d.What, &d.Text, &at)
		d.At = fromMoment(at)
		out = append(out, d)
		return err
	})
	return out, fault(err)
}

func putDeclines(tx *sqlite.Tx, declines []plan.Decline) error {
	for _, d := range declines {
		err := tx.Exec("INSERT INTO decline VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
			int64(d.Side), int64(d.Box), d.What, d.Text, moment(d.At))
		if err != nil {
			return err
		}
	}
	return nil
}

// Losses returns the deletions that no Run of a settlement has pruned yet, oldest first,
// accepted ones too: the caller, who has the clock, takes those of its window.
func (s *Store) Losses(ctx context.Context) ([]plan.LossRecord, error) {
	var out []plan.LossRecord
	err := s.db.Each(ctx, "SELECT box, at, count, accepted FROM loss ORDER BY at, id", nil, func(rows *sql.Rows) error {
		var l plan.LossRecord
		var at int64
		err := rows.Scan((*int64)(&l.Box), &at, &l.Count, &l.Accepted)
		l.At = fromMoment(at)
		out = append(out, l)
		return err
	})
	return out, fault(err)
}

func putLosses(tx *sqlite.Tx, losses []plan.LossRecord) error {
	for _, l := range losses {
		err := tx.Exec("INSERT INTO loss (box, at, count, accepted) VALUES (?, ?, ?, ?)",
			int64(l.Box), moment(l.At), int64(l.Count), bit(l.Accepted))
		if err != nil {
			return err
		}
	}
	return nil
}

// deleteSides deletes the rows of a table that belong to these sides of mailboxes.
func deleteSides(tx *sqlite.Tx, table string, sides []plan.SideBox) error {
	for _, sb := range sides {
		if err := tx.Exec("DELETE FROM "+table+" WHERE side = ? AND box = ?", int64(sb.Side), int64(sb.Box)); err != nil {
			return err
		}
	}
	return nil
}

// forget removes a mailbox pair and all that is bound in it.
func forget(tx *sqlite.Tx, box mail.BoxID) error {
	for _, statement := range []string{
		// A message may lie here on one side and in another mailbox on the
		// other. Its row goes, so that other mailbox must be compared in
		// full, or the message would never be seen again.
		`UPDATE mailbox_side SET cursor = '' WHERE side = 1 AND cursor <> '' AND mailbox IN
			(SELECT remote_box FROM message WHERE local_box = ?1 AND remote_box <> ?1)`,
		`UPDATE mailbox_side SET cursor = '' WHERE side = 0 AND cursor <> '' AND mailbox IN
			(SELECT local_box FROM message WHERE remote_box = ?1 AND local_box <> ?1)`,
		"DELETE FROM message WHERE local_box = ?1",
		"DELETE FROM message WHERE remote_box = ?1",
		"DELETE FROM pending WHERE box = ?1",
		"DELETE FROM held WHERE box = ?1",
		"DELETE FROM decline WHERE box = ?1",
		"DELETE FROM mailbox WHERE id = ?1",
	} {
		if err := tx.Exec(statement, int64(box)); err != nil {
			return err
		}
	}
	return nil
}
