package store

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Meta returns all values that were set by Settlement.Meta.
func (s *Store) Meta(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := s.db.Each(ctx, "SELECT key, value FROM meta", nil, func(rows *sql.Rows) error {
		var key, value string
		err := rows.Scan(&key, &value)
		out[key] = value
		return err
	})
	return out, fault(err)
}

// knownQueries are, a side, the parts of the rows that Known reads. The inner
// query has an index all of its own; IN sorts what it finds, so that the
// rows are read in the order in which they lie in the file.
var knownQueries = [2]string{
	plan.Local:  selectKnown("local") + " WHERE id IN (SELECT id FROM message WHERE local_box = ?)",
	plan.Remote: selectKnown("remote") + " WHERE id IN (SELECT id FROM message WHERE remote_box = ?)",
}

// selectKnown begins a query of what is known of messages on a side.
func selectKnown(side string) string {
	return "SELECT id, " + side + "_ref, " + latest(side+"_flags") + ", " + latest("stat") + " FROM " + withChanged
}

// Known yields what is bound at side in box, in no particular order. An error
// of yield ends it and is returned as it is.
func (s *Store) Known(ctx context.Context, side plan.Side, box mail.BoxID, yield func(plan.Known) error) error {
	flags := flagSets{}
	var k plan.Known
	var text sql.RawBytes
	dest := []any{&k.Row, (*string)(&k.Ref), &text, &k.Stat}
	var stop error
	err := s.db.Each(ctx, knownQueries[side], []any{int64(box)}, func(rows *sql.Rows) error {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		k.Flags = flags.parse(text)
		stop = yield(k)
		return stop
	})
	if stop != nil {
		return stop
	}
	return fault(err)
}

// knownAt is how many refs one query of KnownAt asks for; those that are
// fewer are repeated, so that one statement serves for all.
const knownAt = 64

// knownAtQueries are, a side, what KnownAt asks. A mailbox has one epoch, as a
// rule; finding the few there are, each by a look at the index, lets the index
// give the refs. They are arguments and not JSON, because the name of a
// file need not be UTF-8.
var knownAtQueries = [2]string{plan.Local: knownAtQuery("local"), plan.Remote: knownAtQuery("remote")}

func knownAtQuery(side string) string {
	query := `WITH RECURSIVE epochs (epoch) AS (
			SELECT min(@_epoch) FROM message WHERE @_box = ?1
			UNION ALL
			SELECT (SELECT min(@_epoch) FROM message WHERE @_box = ?1 AND @_epoch > epochs.epoch) FROM epochs WHERE epochs.epoch IS NOT NULL
		)
		` + selectKnown(side) + `
		WHERE @_box = ?1 AND @_epoch IN (SELECT epoch FROM epochs) AND @_ref IN (?` + strings.Repeat(", ?", knownAt-1) + ")"
	return strings.ReplaceAll(query, "@", side)
}

// KnownAt yields what is bound at side in box at these refs, in no particular
// order, and returns how many messages are bound there altogether. An error of
// yield ends it and is returned as it is.
func (s *Store) KnownAt(ctx context.Context, side plan.Side, box mail.BoxID, refs []mail.Ref, yield func(plan.Known) error) (bound int, err error) {
	flags := flagSets{}
	var k plan.Known
	var text sql.RawBytes
	var stop error
	dest := []any{&k.Row, (*string)(&k.Ref), &text, &k.Stat}
	err = s.db.View(ctx, func(tx *sqlite.Tx) error {
		err := tx.Each("SELECT n FROM bound WHERE box = ? AND side = ?", []any{int64(box), int64(side)}, func(rows *sql.Rows) error {
			return rows.Scan(&bound)
		})
		for some := range slices.Chunk(refs, knownAt) {
			if err != nil {
				break
			}
			err = tx.Each(knownAtQueries[side], knownAtArgs(box, some), func(rows *sql.Rows) error {
				if err := rows.Scan(dest...); err != nil {
					return err
				}
				k.Flags = flags.parse(text)
				stop = yield(k)
				return stop
			})
		}
		return err
	})
	if stop != nil {
		return bound, stop
	}
	return bound, fault(err)
}

func knownAtArgs(box mail.BoxID, refs []mail.Ref) []any {
	args := make([]any, 1+knownAt)
	args[0] = int64(box)
	for i := range knownAt {
		args[1+i] = string(refs[min(i, len(refs)-1)])
	}
	return args
}

// Rows returns the rows with these IDs, in the order of their IDs; one that
// does not exist is left out.
func (s *Store) Rows(ctx context.Context, ids []int64) ([]plan.Row, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	return s.messages(ctx, "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", list(ids))
}

// RowsIn returns all rows bound in a mailbox on either side, in the order of
// their IDs.
func (s *Store) RowsIn(ctx context.Context, box mail.BoxID) ([]plan.Row, error) {
	return s.messages(ctx, `WHERE id IN (SELECT id FROM message WHERE local_box = ?1
		UNION ALL SELECT id FROM message WHERE remote_box = ?1) ORDER BY id`, int64(box))
}

// RowsByState returns all rows that are in one of these states, in the order
// of their IDs.
func (s *Store) RowsByState(ctx context.Context, states ...plan.RowState) ([]plan.Row, error) {
	if len(states) == 0 {
		return nil, nil
	}
	where := "WHERE state IN (SELECT value FROM json_each(?)) ORDER BY id"
	if !slices.Contains(states, plan.Paired) {
		where = strings.Replace(where, "WHERE", "WHERE state <> 0 AND", 1) // so that message_waiting serves
	}
	wide := make([]int64, len(states)) // a list of bytes would not become JSON numbers
	for i, st := range states {
		wide[i] = int64(st)
	}
	return s.messages(ctx, where, list(wide))
}

func (s *Store) messages(ctx context.Context, where string, args ...any) ([]plan.Row, error) {
	var out []plan.Row
	scanner := newMessageScanner()
	err := s.db.Each(ctx, selectMessages+where, args, func(rows *sql.Rows) error {
		r, err := scanner.scan(rows)
		out = append(out, r)
		return err
	})
	if err != nil {
		return nil, fault(err)
	}
	return out, nil
}

// Counts returns the number of rows bound in each mailbox, on either side. A
// mailbox without any is left out.
func (s *Store) Counts(ctx context.Context) (map[mail.BoxID]int, error) {
	const query = `SELECT box, count(*) FROM (
		SELECT local_box AS box FROM message WHERE local_box IS NOT NULL
		UNION ALL SELECT remote_box FROM message WHERE remote_box IS NOT NULL AND remote_box IS NOT local_box
	) GROUP BY box`
	out := map[mail.BoxID]int{}
	err := s.db.Each(ctx, query, nil, countInto(out))
	return out, fault(err)
}

func countInto(out map[mail.BoxID]int) func(*sql.Rows) error {
	return func(rows *sql.Rows) error {
		var box int64
		var n int
		err := rows.Scan(&box, &n)
		out[mail.BoxID(box)] = n
		return err
	}
}

// Boxes returns all mailbox pairs, in the order of their IDs, with Known counted.
func (s *Store) Boxes(ctx context.Context) ([]plan.BoxRecord, error) {
	var out []plan.BoxRecord
	err := s.db.View(ctx, func(tx *sqlite.Tx) error {
		var err error
		out, err = readBoxes(tx)
		return err
	})
	if err != nil {
		return nil, fault(err)
	}
	return out, nil
}

const selectBoxes = `SELECT m.id, m.role, m.dormant, s.side, s.name, s.epoch, s.object, s.cursor, s.next,
	s.full_at, s.full_runs, s.no_insert, s.no_flags, s.no_delete, s.missing, coalesce(c.n, 0)
	FROM mailbox AS m JOIN mailbox_side AS s ON s.mailbox = m.id
	LEFT JOIN bound AS c ON c.box = m.id AND c.side = s.side ORDER BY m.id, s.side`

func readBoxes(tx *sqlite.Tx) ([]plan.BoxRecord, error) {
	var out []plan.BoxRecord
	err := tx.Each(selectBoxes, nil, func(rows *sql.Rows) error {
		var b plan.BoxRecord
		var h plan.BoxSide
		var side plan.Side
		var fullAt int64
		err := rows.Scan((*int64)(&b.ID), (*string)(&b.Role), &b.Dormant, (*uint8)(&side), (*string)(&h.Name), &h.Epoch, &h.ID, (*string)(&h.Cursor), &h.Next,
			&fullAt, &h.FullRuns, &h.Rights.NoInsert, &h.Rights.NoFlags, &h.Rights.NoDelete, &h.Missing, &h.Known)
		if err != nil {
			return err
		}
		h.FullAt = fromMoment(fullAt)
		if n := len(out); n == 0 || out[n-1].ID != b.ID {
			out = append(out, b)
		}
		out[len(out)-1].Side[side] = h
		return nil
	})
	return out, err
}
