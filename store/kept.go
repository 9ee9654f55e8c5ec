package store

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Kept describes a message that godwit deleted and whose bytes the undo store
// still has.
type Kept struct {
	ID      int64 // given by AddKept
	Side    plan.Side
	Mailbox mail.MailboxName // where it was deleted, as it was called then
	Why     string           // for a person: what it was deleted for
	// File is the name of the bytes in the undo store; several messages may
	// share one.
	File      string
	DeletedAt time.Time
	Until     time.Time // it may be thrown away from then on
	Flags     mail.FlagSet
	Date      time.Time
	Ident     mail.Identity
}

// AddKept records kept messages, durably, and fills in their IDs. It comes
// after the bytes are durable and before the deletion.
func (s *Store) AddKept(ctx context.Context, kept ...*Kept) error {
	if len(kept) == 0 {
		return nil
	}
	ids := make([]int64, len(kept))
	err := s.db.Update(ctx, func(tx *sqlite.Tx) error {
		for i, k := range kept {
			args := []any{int64(k.Side), string(k.Mailbox), k.Why, k.File, moment(k.DeletedAt), moment(k.Until), k.Flags.String()}
			err := tx.Each(`INSERT INTO kept (side, mailbox, why, file, deleted_at, until, flags, date, date_nsec, date_zone,
				global, size, light, header, body, wire) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id`,
				appendIdent(appendDate(args, k.Date), &k.Ident), func(rows *sql.Rows) error { return rows.Scan(&ids[i]) })
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fault(err)
	}
	for i, k := range kept {
		k.ID = ids[i]
	}
	return nil
}

// A KeptFilter chooses kept messages. The zero value chooses all.
type KeptFilter struct {
	// Message is a Body digest in hexadecimal, or the beginning of one.
	Message string
	// Mailbox is where it was deleted.
	Mailbox mail.MailboxName
	// Expired chooses those whose Until is at or before it.
	Expired time.Time
}

// ListKept yields the kept messages that the filter chooses, in the order of
// their deletion. An error of yield ends it and is returned as it is.
func (s *Store) ListKept(ctx context.Context, filter KeptFilter, yield func(Kept) error) error {
	where, args, err := filter.where()
	if err != nil {
		return err
	}
	var id identColumns
	var stop error
	err = s.db.Each(ctx, `SELECT id, side, mailbox, why, file, deleted_at, until, flags, date, date_nsec, date_zone,
		global, size, light, header, body, wire FROM kept `+where+" ORDER BY id", args, func(rows *sql.Rows) error {
		var k Kept
		var deleted, until int64
		var flags string
		var date dateColumns
		dest := []any{&k.ID, (*uint8)(&k.Side), (*string)(&k.Mailbox), &k.Why, &k.File, &deleted, &until, &flags, &date.seconds, &date.nsec, &date.zone}
		err := rows.Scan(append(dest, id.dest()...)...)
		if err == nil {
			k.Ident, err = id.identity()
		}
		if err != nil {
			return err
		}
		k.DeletedAt, k.Until = fromMoment(deleted), fromMoment(until)
		k.Flags, k.Date = mail.ParseFlagSet(flags), date.time(nil)
		stop = yield(k)
		return stop
	})
	if stop != nil {
		return stop
	}
	return fault(err)
}

func (f KeptFilter) where() (string, []any, error) {
	var terms []string
	var args []any
	if f.Message != "" {
		low, high, err := digestRange(f.Message)
		if err != nil {
			return "", nil, err
		}
		terms, args = append(terms, "body BETWEEN ? AND ?"), append(args, low, high)
	}
	if f.Mailbox != "" {
		terms, args = append(terms, "mailbox = ?"), append(args, string(f.Mailbox))
	}
	if !f.Expired.IsZero() {
		terms, args = append(terms, "until <= ?"), append(args, moment(f.Expired))
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return "WHERE " + strings.Join(terms, " AND "), args, nil
}

// DropKept forgets kept messages, by ID. Their files are the caller's
// to remove, after this and only where no other entry names them.
func (s *Store) DropKept(ctx context.Context, ids ...int64) error {
	if len(ids) == 0 {
		return nil
	}
	return fault(s.db.Update(ctx, func(tx *sqlite.Tx) error {
		return tx.Exec("DELETE FROM kept WHERE id IN (SELECT value FROM json_each(?))", list(ids))
	}))
}
