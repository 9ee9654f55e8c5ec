package archive

import (
	"database/sql"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// marker enters the instance that the archive belongs to.
func marker(tx *sqlite.Tx, head *record) error {
	return tx.Each("SELECT value FROM meta WHERE key = ?", []any{metaInstance}, func(rows *sql.Rows) error {
		return rows.Scan(&head.Instance)
	})
}

// A span is what tells the effects of one generation from those of others.
type span struct {
	n int64
	// Its effects have change numbers from changes on; the messages that it
	// added numbers from first to before.
	changes, first, before int64
}

// generation writes all records of generation head.N, be it the newest or one
// of long ago: the same in both cases, to the last bit, as long as nothing of
// it was given up. more are records that the catalogue does not tell.
func (m *manifestWriter) generation(tx *sqlite.Tx, head, end *record, more ...record) error {
	g := span{n: head.N}
	var began int64
	var previous []byte
	end.Counts = &tally{}
	c := end.Counts
	err := tx.Each(`SELECT changes, first_message, coalesce((SELECT min(x.first_message) FROM generation x WHERE x.n > g.n), 1 << 62),
		began, came, went, changed, moved, mailboxes, messages, bytes, stored, (SELECT manifest FROM generation p WHERE p.n = g.n - 1)
		FROM generation g WHERE n = ?`, []any{g.n}, func(rows *sql.Rows) error {
		return rows.Scan(&g.changes, &g.first, &g.before, &began,
			&c.Came, &c.Went, &c.Changed, &c.Moved, &c.Mailboxes, &c.Messages, &c.Bytes, &c.Stored, &previous)
	})
	if err != nil {
		return err
	}
	if len(previous) == len(mail.Digest{}) {
		head.Previous = mail.Digest(previous).String()
	}
	at := fromMoment(began)
	head.Began = &at
	for _, step := range []func() error{
		func() error { return m.json.Encode(head) },
		func() error { return m.mailboxes(tx, g) },
		func() error { return m.messages(tx, g) },
		func() error { return m.placements(tx, g) },
		func() error { return m.quarantine(tx, g) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, r := range append(more, *end) {
		if err := m.json.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// mailboxes writes the names that mailboxes have from this generation on.
func (m *manifestWriter) mailboxes(tx *sqlite.Tx, g span) error {
	const named = "gen_from = ?1 AND coalesce(gen_to, 1 << 62) > ?1"
	return tx.Each(`SELECT mailbox, name, gen_from < ?1 FROM mailbox_name o
		WHERE `+named+` OR gen_to = ?1 AND gen_from < ?1
			AND NOT EXISTS (SELECT 1 FROM mailbox_name WHERE mailbox = o.mailbox AND `+named+`)
		ORDER BY mailbox`, []any{g.n}, func(rows *sql.Rows) error {
		r := record{Type: recordMailbox}
		if err := rows.Scan(&r.ID, &r.Name, &r.Removed); err != nil {
			return err
		}
		if r.Removed {
			r.Name = ""
		}
		return m.json.Encode(r)
	})
}

// messages writes the messages that this generation added.
func (m *manifestWriter) messages(tx *sqlite.Tx, g span) error {
	return tx.Each("SELECT digest, size, stored FROM message WHERE id >= ? AND id < ? ORDER BY id", []any{g.first, g.before}, func(rows *sql.Rows) error {
		r := record{Type: recordMessage}
		var digest []byte
		if err := rows.Scan(&digest, &r.Size, &r.Stored); err != nil {
			return err
		}
		r.Digest = fmt.Sprintf("%x", digest)
		return m.json.Encode(r)
	})
}

// placements writes where messages came, went and changed. What changed is
// found by change numbers, which later generations only raise: for the newest
// that costs what changed, for older ones more.
func (m *manifestWriter) placements(tx *sqlite.Tx, g span) error {
	return tx.Each(`SELECT p.id, p.mailbox, p.gen_from = ?1, p.gen_to IS ?1, `+flagsThenAt1+`, coalesce(p.origin, 0),
			p.date, p.date_nsec, p.date_zone, p.uidvalidity, p.uid, p.token, m.digest
		FROM placement p JOIN message m ON m.id = p.message
		WHERE p.mailbox IN (SELECT id FROM mailbox WHERE change >= ?2) AND p.change >= ?2
			AND (p.gen_from = ?1 AND coalesce(p.gen_to, 1 << 62) > ?1 OR p.gen_from < ?1 AND (p.gen_to = ?1
				OR coalesce(p.gen_to, 1 << 62) > ?1 AND (p.flags_from = ?1 OR EXISTS (SELECT 1 FROM past_flags f WHERE f.placement = p.id AND f.gen_from = ?1))))
		ORDER BY p.id`, []any{g.n, g.changes}, func(rows *sql.Rows) error {
		var r record
		var came, gone bool
		var flags sql.NullString
		var date dateColumns
		var digest []byte
		if err := rows.Scan(&r.ID, &r.In, &came, &gone, &flags, &r.Origin, &date.seconds, &date.nsec, &date.zone,
			&r.UIDValidity, &r.UID, &r.Token, &digest); err != nil {
			return err
		}
		switch {
		case gone:
			return m.json.Encode(record{Type: recordGone, ID: r.ID})
		case !came:
			return m.json.Encode(record{Type: recordFlags, ID: r.ID, Flags: &flags.String})
		}
		var err error
		if r.Origin, err = originBefore(tx, g.n, r.Origin); err != nil {
			return err
		}
		r.Type, r.Flags, r.Digest = recordCame, &flags.String, fmt.Sprintf("%x", digest)
		if at := date.time(); !at.IsZero() {
			r.Date = &at
		}
		return m.json.Encode(r)
	})
}

// flagsThenAt1 is flagsThen with the generation as parameter 1.
const flagsThenAt1 = `CASE WHEN p.flags_from <= ?1 THEN p.flags ELSE
	(SELECT f.flags FROM past_flags f WHERE f.placement = p.id AND f.gen_from <= ?1 AND f.gen_to > ?1) END`

// originBefore is where a message lay in the generation before n, if this
// one moved it more than once; 0 if it came in this one.
func originBefore(tx *sqlite.Tx, n, origin int64) (int64, error) {
	for origin > 0 {
		var gen, next int64
		err := tx.Each("SELECT gen_from, coalesce(origin, 0) FROM placement WHERE id = ?", []any{origin}, func(rows *sql.Rows) error {
			return rows.Scan(&gen, &next)
		})
		if err != nil || gen < n {
			return origin, err
		}
		if next >= origin { // only damage makes it so
			return 0, nil
		}
		origin = next
	}
	return 0, nil
}

// quarantine writes what was put into quarantine and let out of it.
func (m *manifestWriter) quarantine(tx *sqlite.Tx, g span) error {
	return tx.Each(`SELECT mailbox, uidvalidity, uid, why, gen_from < ?1 FROM quarantine
		WHERE gen_from = ?1 AND coalesce(gen_to, 1 << 62) > ?1 OR gen_to = ?1 AND gen_from < ?1
		ORDER BY mailbox, uidvalidity, uid`, []any{g.n}, func(rows *sql.Rows) error {
		r := record{Type: recordQuarantined}
		var box mail.MailboxName
		var released bool
		if err := rows.Scan(&box, &r.UIDValidity, &r.UID, &r.Why, &released); err != nil {
			return err
		}
		r.Mailbox = &box
		if released {
			r.Type, r.Why = recordReleased, ""
		}
		return m.json.Encode(r)
	})
}
