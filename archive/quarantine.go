package archive

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
)

// Quarantined is a message that could not be archived.
type Quarantined struct {
	Mailbox          mail.MailboxName
	UIDValidity, UID string
	Why              string
}

// key is what makes it the same one again: a reason may be put otherwise.
func (q Quarantined) key() Quarantined {
	q.Why = ""
	return q
}

const quarantineOpen = "SELECT mailbox, uidvalidity, uid, why FROM quarantine WHERE gen_to IS NULL ORDER BY mailbox, uidvalidity, uid"

// quarantine records which messages could not be archived, where that differs
// from what is known.
func (e *effect) quarantine(list []Quarantined) error {
	open := map[Quarantined]bool{}
	err := e.tx.Each(quarantineOpen, nil, func(rows *sql.Rows) error {
		q, err := scanQuarantined(rows)
		open[q.key()] = true
		return err
	})
	if err != nil {
		return err
	}
	for _, q := range list {
		known := open[q.key()]
		delete(open, q.key())
		if known {
			continue
		}
		if err := e.begin(); err != nil {
			return err
		}
		// One that was released in this generation is in it again.
		if err := e.tx.Exec(`INSERT INTO quarantine VALUES (?, ?, ?, ?, NULL, ?)
			ON CONFLICT DO UPDATE SET gen_to = NULL, why = excluded.why`, string(q.Mailbox), q.UIDValidity, q.UID, e.gen, q.Why); err != nil {
			return err
		}
	}
	for q := range open {
		if err := e.begin(); err != nil {
			return err
		}
		if err := e.tx.Exec("UPDATE quarantine SET gen_to = ? WHERE mailbox = ? AND uidvalidity = ? AND uid = ? AND gen_to IS NULL",
			e.gen, string(q.Mailbox), q.UIDValidity, q.UID); err != nil {
			return err
		}
	}
	return nil
}

func scanQuarantined(rows *sql.Rows) (q Quarantined, err error) {
	err = rows.Scan(&q.Mailbox, &q.UIDValidity, &q.UID, &q.Why)
	return q, err
}

// Quarantined gives the messages that could not be archived, as of now.
func (a *Archive) Quarantined(ctx context.Context) (list []Quarantined, err error) {
	err = a.each(ctx, quarantineOpen, nil, func(rows *sql.Rows) error {
		q, err := scanQuarantined(rows)
		list = append(list, q)
		return err
	})
	return list, fault(err)
}
