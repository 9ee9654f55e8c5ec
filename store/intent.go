package store

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Begin makes intents durable before it returns, and fills in their IDs.
func (s *Store) Begin(ctx context.Context, in []plan.Intent) error {
	return s.Settle(ctx, &plan.Settlement{Begin: in})
}

func (w *settling) begin() error {
	if len(w.st.Begin) == 0 {
		return nil
	}
	numbers, err := openSequence(w.tx, "intent")
	if err != nil {
		return err
	}
	w.intentIDs = make([]int64, len(w.st.Begin))
	flags := flagTexts{}
	err = w.tx.Insert(putIntents, len(w.st.Begin), func(args []any, i int) []any {
		w.intentIDs[i] = numbers.take()
		return appendIntent(args, w.intentIDs[i], &w.st.Begin[i], flags)
	})
	if err != nil {
		return err
	}
	return numbers.save()
}

var putIntents = sqlite.Insert{Into: `intent (id, kind, side, box, from_box, from_ref, from_epoch, row, epoch, next, at,
	flags, date, date_nsec, date_zone, stat, token, hint_uid, global, size, light, header, body, wire)`}

// appendIntent appends the columns of an intent to the arguments of putIntents.
func appendIntent(args []any, id int64, in *plan.Intent, flags flagTexts) []any {
	args = append(args, id, int64(in.Kind), int64(in.Side), int64(in.To), int64(in.From.Box), string(in.From.Ref), in.FromEpoch,
		in.Row, in.Epoch, int64(in.Next), moment(in.At), flags.text(in.Item.Flags))
	args = appendDate(args, in.Item.Date)
	args = append(args, in.Item.Stat, in.Item.Token, int64(in.Item.HintUID))
	return appendIdent(args, &in.Item.Ident)
}

// Intents returns all open intents, oldest first.
func (s *Store) Intents(ctx context.Context) ([]plan.Intent, error) {
	var out []plan.Intent
	var id identColumns
	err := s.db.Each(ctx, `SELECT id, kind, side, box, from_box, from_ref, from_epoch, row, epoch, next, at, flags,
		date, date_nsec, date_zone, stat, token, hint_uid, global, size, light, header, body, wire
		FROM intent ORDER BY id`, nil, func(rows *sql.Rows) error {
		var in plan.Intent
		var at int64
		var flags string
		var date dateColumns
		dest := []any{&in.ID, (*uint8)(&in.Kind), (*uint8)(&in.Side), (*int64)(&in.To), (*int64)(&in.From.Box), (*string)(&in.From.Ref), &in.FromEpoch,
			&in.Row, &in.Epoch, &in.Next, &at, &flags, &date.seconds, &date.nsec, &date.zone,
			&in.Item.Stat, &in.Item.Token, &in.Item.HintUID}
		err := rows.Scan(append(dest, id.dest()...)...)
		if err != nil {
			return err
		}
		in.At, in.Item.Flags, in.Item.Date = fromMoment(at), mail.ParseFlagSet(flags), date.time(nil)
		in.Item.Ident, err = id.identity()
		out = append(out, in)
		return err
	})
	return out, fault(err)
}

// A sequence hands out the numbers of one table within a transaction.
type sequence struct {
	tx          *sqlite.Tx
	name        string
	saved, next int64
}

func openSequence(tx *sqlite.Tx, name string) (*sequence, error) {
	q := &sequence{tx: tx, name: name}
	err := tx.Each("SELECT next FROM sequence WHERE name = ?", []any{name}, func(rows *sql.Rows) error {
		return rows.Scan(&q.saved)
	})
	q.next = q.saved
	return q, err
}

func (q *sequence) take() int64 {
	q.next++
	return q.next - 1
}

// see takes note of a number that did not come from here.
func (q *sequence) see(id int64) { q.next = max(q.next, id+1) }

func (q *sequence) save() error {
	if q.next == q.saved {
		return nil
	}
	return q.tx.Exec("UPDATE sequence SET next = ? WHERE name = ?", q.next, q.name)
}
