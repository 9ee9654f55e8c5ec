package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// How long things are remembered, counted back from the end of a run.
const (
	keepLog    = 400 * 24 * time.Hour // events and runs
	keepEvents = 1_000_000            // at most so many events
	keepRuns   = 100_000
	lossWindow = 24 * time.Hour
)

// run records the end of a run that changed something, and prunes what is older than
// its time: events and runs after 400 days or beyond the newest 1,000,000 and
// 100,000, deletions after 24 hours. Time is counted from the end of the run, so that no
// clock but the engine's counts. A run with ID 0 is given a number; one with
// an ID that is there already replaces it.
func (w *settling) run() error {
	if w.st.Run == nil {
		return nil
	}
	r := *w.st.Run
	numbers, err := openSequence(w.tx, "run")
	if err != nil {
		return err
	}
	if r.ID == 0 {
		r.ID = numbers.take()
	} else {
		numbers.see(r.ID)
	}
	if err := numbers.save(); err != nil {
		return err
	}
	if err := insertRun(w.tx, &r); err != nil || r.Ended.IsZero() {
		return err
	}
	if err := fold(w.tx, w.many); err != nil {
		return err
	}
	return prune(w.tx, r.Ended)
}

func insertRun(tx *sqlite.Tx, r *plan.RunRecord) error {
	return tx.Exec("INSERT OR REPLACE INTO run VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		r.ID, moment(r.Began), moment(r.Ended), int64(r.Exit),
		int64(r.Gains[plan.Local]), int64(r.Gains[plan.Remote]), int64(r.Losses[plan.Local]), int64(r.Losses[plan.Remote]),
		int64(r.Flags[plan.Local]), int64(r.Flags[plan.Remote]), int64(r.Moves[plan.Local]), int64(r.Moves[plan.Remote]),
		r.BytesIn, r.Bytes, r.Text)
}

func prune(tx *sqlite.Tx, now time.Time) error {
	old := moment(now.Add(-keepLog))
	for _, p := range []struct {
		statement string
		arg       int64
	}{
		// Events and runs stand in the order of time: this reads no more than it deletes.
		{`DELETE FROM event WHERE id < coalesce((SELECT id FROM event WHERE at >= ? ORDER BY id LIMIT 1),
			(SELECT max(id) + 1 FROM event))`, old},
		{"DELETE FROM event WHERE id <= (SELECT max(id) FROM event) - ?", keepEvents},
		{`DELETE FROM run WHERE id < coalesce((SELECT id FROM run WHERE ended >= ? ORDER BY id LIMIT 1),
			(SELECT max(id) + 1 FROM run))`, old},
		{"DELETE FROM run WHERE id <= (SELECT max(id) FROM run) - ?", keepRuns},
		{"DELETE FROM loss WHERE at < ?", moment(now.Add(-lossWindow))},
	} {
		if err := tx.Exec(p.statement, p.arg); err != nil {
			return err
		}
	}
	return nil
}

// Runs returns the newest limit runs that were recorded, newest first; a
// limit of 0 returns all.
func (s *Store) Runs(ctx context.Context, limit int) ([]plan.RunRecord, error) {
	if limit <= 0 {
		limit = -1
	}
	var out []plan.RunRecord
	err := s.db.Each(ctx, `SELECT id, began, ended, exit, local_gains, remote_gains, local_losses, remote_losses,
		local_flags, remote_flags, local_moves, remote_moves, bytes_in, bytes, text
		FROM run ORDER BY id DESC LIMIT ?`, []any{int64(limit)}, func(rows *sql.Rows) error {
		var r plan.RunRecord
		var began, ended int64
		err := rows.Scan(&r.ID, &began, &ended, &r.Exit,
			&r.Gains[plan.Local], &r.Gains[plan.Remote], &r.Losses[plan.Local], &r.Losses[plan.Remote],
			&r.Flags[plan.Local], &r.Flags[plan.Remote], &r.Moves[plan.Local], &r.Moves[plan.Remote],
			&r.BytesIn, &r.Bytes, &r.Text)
		r.Began, r.Ended = fromMoment(began), fromMoment(ended)
		out = append(out, r)
		return err
	})
	return out, fault(err)
}
