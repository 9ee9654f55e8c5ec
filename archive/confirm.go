package archive

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Confirm looks again. A message is certainly gone if its placement does not
// hold, its mailbox is the one that was surveyed, and nothing that could be
// it came to any mailbox since, but by this recording.
func (r *Recording) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	if len(gone) == 0 || ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	err = r.a.view(ctx, func(tx *sqlite.Tx) error {
		came, err := r.strangers(tx)
		if err != nil {
			return err
		}
		for _, g := range gone {
			there, err := r.present(tx, g)
			if err != nil {
				return err
			}
			for _, id := range came {
				there = there || couldBe(id, g.Ident)
			}
			if !there {
				sure = append(sure, g.At)
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, fault(err)
	}
	return sure, nil, nil
}

// present tells whether a message may be where it was.
func (r *Recording) present(tx *sqlite.Tx, g plan.Gone) (there bool, err error) {
	name, ok := r.bound[g.At.Box]
	if !ok {
		return true, nil // nothing is known of it
	}
	id := int64(0)
	if err := r.eachBox(tx, " AND n.name = ?", []any{string(name)}, func(b box) error {
		id = b.id
		return nil
	}); err != nil || id == 0 || id != r.boxes[name] {
		return true, err
	}
	err = tx.Each("SELECT EXISTS (SELECT 1 FROM placement WHERE id = ? AND gen_to IS NULL)", []any{placementOf(g.At.Ref)}, func(rows *sql.Rows) error {
		return rows.Scan(&there)
	})
	return there, err
}

// strangers are the messages that came since the survey, not by this recording.
func (r *Recording) strangers(tx *sqlite.Tx) (out []mail.Identity, err error) {
	query := "SELECT p.id, " + storedColumns + " FROM placement p JOIN message m ON m.id = p.message WHERE p.id >= ? AND p.gen_to IS NULL AND p.id < ?"
	from := r.arrival
	for _, own := range append(r.own, [2]int64{1<<62 - 1, 0}) {
		err := tx.Each(query, []any{from, own[0]}, func(rows *sql.Rows) error {
			var s stored
			var id int64
			if err := rows.Scan(append([]any{&id}, s.dest()...)...); err != nil {
				return err
			}
			ident, err := s.identity()
			out = append(out, ident)
			return err
		})
		if err != nil {
			return nil, err
		}
		from = own[1]
	}
	return out, nil
}

// couldBe is true unless something is known that tells the two apart.
func couldBe(has, id mail.Identity) bool {
	switch {
	case !id.Body.IsZero():
		return id.Body == has.Body
	case !id.Header.IsZero():
		return id.Header == has.Header
	case !id.Light.IsZero():
		return id.Light == has.Light
	}
	return true
}
