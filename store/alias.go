package store

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// An Alias says that a row without a place on Side is stored there at At all
// the same, together with the row that is bound to that place: the server
// would not store the same bytes twice. It means nothing once the row has a
// place of its own.
type Alias struct {
	Row   int64
	Side  plan.Side
	At    plan.Place
	Epoch string
}

// PutAliases records aliases, durably; a row has one a side. They go with
// their row and with their mailbox.
func (s *Store) PutAliases(ctx context.Context, aliases ...Alias) error {
	if len(aliases) == 0 {
		return nil
	}
	return fault(s.db.Update(ctx, func(tx *sqlite.Tx) error {
		for _, a := range aliases {
			err := tx.Exec("INSERT OR REPLACE INTO alias (row, side, box, epoch, ref) VALUES (?, ?, ?, ?, ?)",
				a.Row, int64(a.Side), int64(a.At.Box), a.Epoch, string(a.At.Ref))
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// Aliases returns all aliases, by row and side.
func (s *Store) Aliases(ctx context.Context) ([]Alias, error) {
	var out []Alias
	err := s.db.Each(ctx, "SELECT row, side, box, epoch, ref FROM alias ORDER BY row, side", nil, func(rows *sql.Rows) error {
		var a Alias
		err := rows.Scan(&a.Row, (*uint8)(&a.Side), (*int64)(&a.At.Box), &a.Epoch, (*string)(&a.At.Ref))
		out = append(out, a)
		return err
	})
	return out, fault(err)
}
