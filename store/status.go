package store

import (
	"context"
	"database/sql"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A MailboxStatus is what the index knows of a mailbox pair, in numbers.
type MailboxStatus struct {
	Box plan.BoxRecord
	// Rows counts the messages bound here on either side, by plan.RowState.
	Rows [4]int
	// Pending, Held and Declined count what waits or is refused here.
	Pending, Held, Declined int
}

// Status returns the numbers of every mailbox pair, in the order of their IDs,
// all of one moment.
func (s *Store) Status(ctx context.Context) ([]MailboxStatus, error) {
	var out []MailboxStatus
	err := s.db.View(ctx, func(tx *sqlite.Tx) error {
		boxes, err := readBoxes(tx)
		if err != nil {
			return err
		}
		out = make([]MailboxStatus, len(boxes))
		at := make(map[mail.BoxID]*MailboxStatus, len(boxes))
		for i, b := range boxes {
			out[i].Box = b
			at[b.ID] = &out[i]
		}
		return countStatus(tx, at)
	})
	if err != nil {
		return nil, fault(err)
	}
	return out, nil
}

func countStatus(tx *sqlite.Tx, at map[mail.BoxID]*MailboxStatus) error {
	err := tx.Each(`SELECT box, state, count(*) FROM (
		SELECT local_box AS box, state FROM message WHERE local_box IS NOT NULL
		UNION ALL SELECT remote_box, state FROM message WHERE remote_box IS NOT NULL AND remote_box IS NOT local_box
	) GROUP BY box, state`, nil, func(rows *sql.Rows) error {
		var box int64
		var state, n int
		err := rows.Scan(&box, &state, &n)
		if m := at[mail.BoxID(box)]; m != nil && state < len(m.Rows) {
			m.Rows[state] = n
		}
		return err
	})
	for _, c := range []struct {
		query string
		field func(*MailboxStatus) *int
	}{
		{"SELECT box, count(*) FROM pending GROUP BY box", func(m *MailboxStatus) *int { return &m.Pending }},
		{"SELECT box, count(*) FROM held GROUP BY box", func(m *MailboxStatus) *int { return &m.Held }},
		{"SELECT box, count(*) FROM decline GROUP BY box", func(m *MailboxStatus) *int { return &m.Declined }},
	} {
		counts := map[mail.BoxID]int{}
		if err == nil {
			err = tx.Each(c.query, nil, countInto(counts))
		}
		for box, n := range counts {
			if m := at[box]; m != nil {
				*c.field(m) = n
			}
		}
	}
	return err
}
