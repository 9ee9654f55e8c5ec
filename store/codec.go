package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

func moment(t time.Time) int64 { return sqlite.Moment(t) }

func fromMoment(n int64) time.Time { return sqlite.FromMoment(n) }

// appendDate appends the columns date, date_nsec and date_zone.
func appendDate(args []any, t time.Time) []any {
	if t.IsZero() {
		return append(args, nil, int64(0), int64(0))
	}
	_, offset := t.Zone()
	return append(args, t.Unix(), int64(t.Nanosecond()), int64(offset))
}

// dateColumns takes in the columns date, date_nsec and date_zone.
type dateColumns struct {
	seconds    sql.NullInt64
	nsec, zone int64
}

func (d *dateColumns) time(zones map[int64]*time.Location) time.Time {
	if !d.seconds.Valid {
		return time.Time{}
	}
	if d.zone == 0 {
		return time.Unix(d.seconds.Int64, d.nsec).UTC()
	}
	loc := zones[d.zone]
	if loc == nil {
		loc = time.FixedZone("", int(d.zone))
		if zones != nil {
			zones[d.zone] = loc
		}
	}
	return time.Unix(d.seconds.Int64, d.nsec).In(loc)
}

// digestArg is a digest column: NULL for a digest that is not known.
func digestArg(d *mail.Digest) any {
	if d.IsZero() {
		return nil
	}
	return d[:]
}

func setDigest(d *mail.Digest, column []byte) error {
	switch len(column) {
	case 0:
		*d = mail.Digest{}
	case len(d):
		copy(d[:], column)
	default:
		return fmt.Errorf("%w: a digest has %d bytes", sqlite.ErrDamaged, len(column))
	}
	return nil
}

// appendIdent appends the columns global, size, light, header, body and wire.
func appendIdent(args []any, id *mail.Identity) []any {
	return append(args, id.GlobalID, id.Size, digestArg(&id.Light), digestArg(&id.Header), digestArg(&id.Body), digestArg(&id.Wire))
}

// identColumns takes in the columns that appendIdent writes.
type identColumns struct {
	global                    string
	size                      int64
	light, header, body, wire sql.RawBytes
}

func (c *identColumns) dest() []any {
	return []any{&c.global, &c.size, &c.light, &c.header, &c.body, &c.wire}
}

func (c *identColumns) identity() (mail.Identity, error) {
	id := mail.Identity{GlobalID: c.global, Size: c.size}
	err := setDigests(&id, c.light, c.header, c.body, c.wire)
	return id, err
}

func setDigests(id *mail.Identity, light, header, body, wire []byte) error {
	for _, f := range [...]struct {
		to   *mail.Digest
		from []byte
	}{{&id.Light, light}, {&id.Header, header}, {&id.Body, body}, {&id.Wire, wire}} {
		if err := setDigest(f.to, f.from); err != nil {
			return err
		}
	}
	return nil
}

// flagSets parses each text once: most rows share a few sets of flags.
type flagSets map[string]mail.FlagSet

func (m flagSets) parse(text []byte) mail.FlagSet {
	if len(text) == 0 {
		return mail.FlagSet{}
	}
	set, ok := m[string(text)]
	if !ok {
		set = mail.ParseFlagSet(string(text))
		m[string(text)] = set
	}
	return set
}

// flagTexts is the way back, to arguments of a statement.
type flagTexts map[mail.FlagSet]any

func (m flagTexts) text(set mail.FlagSet) any {
	text, ok := m[set]
	if !ok {
		text = set.String()
		m[set] = text
	}
	return text
}

// list makes numbers the argument of json_each(?): one statement for any count.
func list[T ~int64](ids []T) string {
	b, err := json.Marshal(ids)
	if err != nil || ids == nil {
		return "[]" // integers always marshal
	}
	return string(b)
}

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
