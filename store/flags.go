package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// withChanged are the rows of the table message with those of changed beside
// them; latest tells what goes before what.
const withChanged = "message LEFT JOIN changed USING (id)"

// latest gives of each column of the table message what is known of it last.
func latest(column string) string {
	switch column {
	case "local_flags":
		return "coalesce(local_latest, local_flags)"
	case "remote_flags":
		return "coalesce(remote_latest, remote_flags)"
	case "stat":
		return "coalesce(stat_latest, stat)"
	}
	return column
}

// putChanged puts rows of the table changed.
var putChanged = sqlite.Insert{Into: "changed (id, local_latest, remote_latest, stat_latest)",
	Else: "ON CONFLICT (id) DO UPDATE SET local_latest = excluded.local_latest, remote_latest = excluded.remote_latest, stat_latest = excluded.stat_latest"}

// flagsExist refuses a settlement that gives flags to rows which the index has
// not, as of the last commit, or which the settlement drops. It is asked before the
// transaction, since it reads what the run has read just now.
func (s *Store) flagsExist(ctx context.Context, st *plan.Settlement) error {
	if len(st.Flags) == 0 {
		return nil
	}
	ids := make([]int64, len(st.Flags))
	for i, r := range st.Flags {
		ids[i] = r.ID
	}
	return s.db.Each(ctx, missing("message")+" UNION ALL SELECT value FROM json_each(?) WHERE value IN (SELECT value FROM json_each(?)) LIMIT 1",
		[]any{list(ids), list(ids), list(st.Drop)}, refuse("message"))
}

// putFlags writes the flags and marks of rows that are there.
func (w *settling) putFlags() error {
	texts := flagTexts{}
	return w.tx.Insert(putChanged, len(w.st.Flags), func(args []any, i int) []any {
		r := w.st.Flags[i]
		return append(args, r.ID, texts.text(r.Flags[plan.Local]), texts.text(r.Flags[plan.Remote]), r.Stat)
	})
}

// manyChanged is how many rows the table changed may have at the end of a run: reading
// over them costs every run, and to write them where they belong takes some 20 µs
// each.
const manyChanged = 4000

// fold writes what changed where it belongs; a trigger takes it out of the
// table changed.
func fold(tx *sqlite.Tx, most int) error {
	many := false
	err := tx.Each("SELECT 1 FROM changed LIMIT 1 OFFSET ?", []any{int64(most)}, func(*sql.Rows) error {
		many = true
		return nil
	})
	if err != nil || !many {
		return err
	}
	return tx.Exec(`UPDATE message SET (local_flags, remote_flags, stat) =
		(SELECT local_latest, remote_latest, stat_latest FROM changed WHERE changed.id = message.id)
		WHERE id IN (SELECT id FROM changed)`)
}

// missing asks which of some numbers a table has not.
func missing(table string) string {
	return "SELECT value FROM json_each(?) WHERE value NOT IN (SELECT id FROM " + table + ")"
}

// refuse makes an error of a number.
func refuse(table string) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return err
		}
		return fmt.Errorf("%w: %s %d does not exist", sqlite.ErrConstraint, table, id)
	}
}
