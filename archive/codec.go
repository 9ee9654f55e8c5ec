package archive

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

func moment(t time.Time) int64 { return sqlite.Moment(t) }

func fromMoment(n int64) time.Time { return sqlite.FromMoment(n) }

// dateColumns are the columns date, date_nsec and date_zone: a time in seconds
// since 1970, NULL if not known, its nanoseconds, and the offset of its zone.
type dateColumns struct {
	seconds    sql.NullInt64
	nsec, zone int64
}

func (d *dateColumns) time() time.Time {
	switch {
	case !d.seconds.Valid:
		return time.Time{}
	case d.zone == 0:
		return time.Unix(d.seconds.Int64, d.nsec).UTC()
	}
	return time.Unix(d.seconds.Int64, d.nsec).In(time.FixedZone("", int(d.zone)))
}

// setDigest takes in a column that holds a digest; none leaves it as it is.
func setDigest(d *mail.Digest, column []byte) error {
	switch len(column) {
	case 0:
	case len(d):
		copy(d[:], column)
	default:
		return fmt.Errorf("%w: a digest has %d bytes", sqlite.ErrDamaged, len(column))
	}
	return nil
}

// refOf is what a placement is called in its mailbox.
func refOf(placement int64) mail.Ref { return mail.Ref(strconv.FormatInt(placement, 10)) }

// placementOf is the way back; 0 for a Ref that never was one.
func placementOf(ref mail.Ref) int64 {
	n, err := strconv.ParseInt(string(ref), 10, 64)
	if err != nil || n < 0 || string(refOf(n)) != string(ref) {
		return 0
	}
	return n
}

// list makes numbers the argument of json_each(?): one statement for any count.
func list(ids []int64) string {
	b, err := json.Marshal(ids)
	if err != nil || ids == nil {
		return "[]" // integers always marshal
	}
	return string(b)
}

func dateOf(t time.Time) (d dateColumns) {
	if !t.IsZero() {
		_, offset := t.Zone()
		d = dateColumns{sql.NullInt64{Int64: t.Unix(), Valid: true}, int64(t.Nanosecond()), int64(offset)}
	}
	return d
}

// insertMessage enters a message.
func insertMessage(tx *sqlite.Tx, id int64, ident *mail.Identity, size, stored int64, about *summary) error {
	var body []byte // NULL
	if ident.Body != ident.Wire {
		body = ident.Body[:]
	}
	return tx.Exec("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		id, ident.Wire[:], size, stored, ident.Size, ident.Light[:], ident.Header[:], ident.Folded[:], ident.HeaderSize,
		body, about.date, about.subject, about.sender, ident.MessageID)
}
