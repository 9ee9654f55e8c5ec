package store

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// An EventFilter chooses events of the log. The zero value chooses all.
type EventFilter struct {
	// Since leaves out what happened before it.
	Since time.Time
	// Message is a digest (plan.Event.Ident) in hexadecimal, or the beginning of one. Events
	// without a digest are chosen too if they tell of the same row.
	Message string
	// MessageID and Digests choose in the same way: the messages that came with
	// that Message-ID, and those with these digests.
	MessageID string
	Digests   []mail.Digest
	// Mailbox is the name of a mailbox at the time of the event: where it
	// happened, or where something was moved to.
	Mailbox mail.MailboxName
	// Limit chooses the newest so many; 0 chooses all.
	Limit int
}

// Events yields the events that the filter chooses, oldest first. An error
// of yield ends it and is returned as it is.
func (s *Store) Events(ctx context.Context, filter EventFilter, yield func(plan.Event) error) error {
	where, args, err := filter.where()
	if err != nil {
		return err
	}
	limit := filter.Limit
	if limit <= 0 {
		limit = -1 // SQLite's way to say none
	}
	query := `SELECT at, run, verb, side, mailbox, target, row, digest, message_id, text FROM
		(SELECT * FROM event ` + where + ` ORDER BY id DESC LIMIT ?) ORDER BY id`
	var digest sql.RawBytes
	var stop error
	err = s.db.Each(ctx, query, append(args, int64(limit)), func(rows *sql.Rows) error {
		var e plan.Event
		var at int64
		err := rows.Scan(&at, &e.Run, &e.Verb, (*uint8)(&e.Side), (*string)(&e.Mailbox), (*string)(&e.To), &e.Row, &digest, &e.MessageID, &e.Text)
		if err == nil {
			err = setDigest(&e.Ident, digest)
		}
		if err != nil {
			return err
		}
		e.At = fromMoment(at)
		stop = yield(e)
		return stop
	})
	if stop != nil {
		return stop
	}
	return fault(err)
}

func (f EventFilter) where() (string, []any, error) {
	var terms []string
	var args []any
	if !f.Since.IsZero() {
		terms, args = append(terms, "at >= ?"), append(args, moment(f.Since))
	}
	if f.Mailbox != "" {
		terms, args = append(terms, "? IN (mailbox, target)"), append(args, string(f.Mailbox))
	}
	if len(f.Digests) > 0 || f.MessageID != "" {
		const which = `(SELECT value FROM json_each(?) UNION ALL SELECT hex(digest) FROM event WHERE message_id <> '' AND message_id = ?)`
		list := hexList(f.Digests)
		terms = append(terms, `(hex(digest) IN `+which+` OR digest IS NULL AND row <> 0 AND row IN
			(SELECT row FROM event WHERE hex(digest) IN `+which+`))`)
		args = append(args, list, f.MessageID, list, f.MessageID)
	}
	if f.Message != "" {
		low, high, err := digestRange(f.Message)
		if err != nil {
			return "", nil, err
		}
		terms = append(terms, `(digest BETWEEN ? AND ? OR
			digest IS NULL AND row <> 0 AND row IN (SELECT row FROM event WHERE digest BETWEEN ? AND ?))`)
		args = append(args, low, high, low, high)
	}
	if len(terms) == 0 {
		return "", nil, nil
	}
	return "WHERE " + strings.Join(terms, " AND "), args, nil
}

// hexList is digests as an argument of json_each, in the letters of SQLite's hex.
func hexList(digests []mail.Digest) string {
	texts := make([]string, len(digests))
	for i, d := range digests {
		texts[i] = `"` + strings.ToUpper(d.String()) + `"`
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// digestRange is the first and the last digest that begin with prefix.
func digestRange(prefix string) (low, high []byte, err error) {
	const digits = 2 * len(mail.Digest{})
	if len(prefix) <= digits {
		pad := digits - len(prefix)
		low, err = hex.DecodeString(prefix + strings.Repeat("0", pad))
		if err == nil {
			high, err = hex.DecodeString(prefix + strings.Repeat("f", pad))
		}
	}
	if err != nil || low == nil {
		return nil, nil, fmt.Errorf("%q is not the digest of a message, nor the beginning of one: it has up to %d hexadecimal digits, as the log shows them", prefix, digits)
	}
	return low, high, nil
}
