package archive

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/store/sqlite"
)

// ErrRetired: retention gave the generation up, and it cannot be shown.
var ErrRetired = fmt.Errorf("%w any more: retention gave it up", ErrNoGeneration)

func retiredError(n int64, at time.Time) error {
	return fmt.Errorf("%w: #%d, at %s", ErrRetired, n, at.Local().Format("2006-01-02 15:04"))
}

// A Retention says what Retain is to do.
type Retention struct {
	Policy Policy
	// Grace is how long a message that lies nowhere any more is kept, and a file
	// that a run left behind that was interrupted.
	Grace time.Duration
	// Location is where the days of Policy are days; nil is the local one.
	Location *time.Location
	// DryRun: nothing is changed, and what would be is told.
	DryRun bool
}

// A Tonnage counts messages, and the bytes of their files.
type Tonnage struct {
	Messages int
	Bytes    int64
}

func (t *Tonnage) add(bytes int64) {
	t.Messages++
	t.Bytes += bytes
}

// Retained is what Retain did, or would do.
type Retained struct {
	Verdicts []Verdict // on all generations that were not retired before
	Retired  int       // of them, those that are now
	// Unneeded are the messages that lie nowhere any more because of that.
	Unneeded Tonnage
	// Swept are the messages that were removed: their grace was over.
	Swept Tonnage
	// Leftover are files that no message has, which were removed, too.
	Leftover Tonnage
	// Waiting are the messages whose grace is not over yet.
	Waiting Tonnage
}

// Changed tells whether anything was, or would be, given up or removed.
func (r *Retained) Changed() bool {
	return r.Retired > 0 || r.Swept.Messages > 0 || r.Leftover.Messages > 0
}

// Retain gives up the generations that the policy does not keep, and removes
// messages that lie in none that is left, once their grace is over. The caller
// holds the account's lock, no run is under way, and nobody reads generations
// of the past who could not bear to find one given up (ErrRetired). With
// DryRun the archive may be open for reading only.
//
// The order is: decision durable as a manifest; generations retired, what only
// they showed forgotten, and messages without a place marked, in one
// transaction; after the grace, messages out of the catalogue, in another;
// then their files. A Retain that ended anywhere on its way is made up for
// by the next.
func (a *Archive) Retain(ctx context.Context, o Retention) (*Retained, error) {
	if o.Location == nil {
		o.Location = time.Local
	}
	out := &Retained{}
	if a.catalogue.Load() == nil {
		return out, ctx.Err()
	}
	steps := []func(context.Context, Retention, *Retained) error{a.judge, a.foresee}
	if !o.DryRun {
		if err := a.settled(ctx); err != nil {
			return nil, fault(err)
		}
		steps = []func(context.Context, Retention, *Retained) error{a.judge, a.retire, a.sweep}
	}
	for _, step := range append(steps, a.leftover) {
		if err := step(ctx, o, out); err != nil {
			return nil, fault(err)
		}
	}
	return out, nil
}

// settled ends what was interrupted: a generation, or a decision.
func (a *Archive) settled(ctx context.Context) error {
	_, err := a.Begin(ctx)
	return err
}

// judge gives the verdicts.
func (a *Archive) judge(ctx context.Context, o Retention, out *Retained) error {
	list, err := a.Generations(ctx)
	if err != nil {
		return err
	}
	return a.view(ctx, func(tx *sqlite.Tx) error {
		keep, err := held(tx)
		if err != nil {
			return err
		}
		out.Verdicts = o.Policy.Decide(list, keep, o.Location)
		for _, v := range out.Verdicts {
			if !v.Keep {
				out.Retired++
			}
		}
		return nil
	})
}

// retire does what the verdicts say.
func (a *Archive) retire(ctx context.Context, _ Retention, out *Retained) error {
	var list []record
	for _, v := range out.Verdicts {
		if !v.Keep {
			list = append(list, record{Type: recordRetired, N: v.Generation.Number})
		}
	}
	if len(list) == 0 {
		return nil
	}
	var before, after Tonnage
	if err := a.tonnage(ctx, &before, "SELECT count(*), coalesce(sum(m.stored), 0) FROM unneeded u JOIN message m ON m.id = u.message"); err != nil {
		return err
	}
	if err := a.decide(ctx, list); err != nil {
		return err
	}
	err := a.tonnage(ctx, &after, "SELECT count(*), coalesce(sum(m.stored), 0) FROM unneeded u JOIN message m ON m.id = u.message")
	out.Unneeded = Tonnage{after.Messages - before.Messages, after.Bytes - before.Bytes}
	return err
}

func (a *Archive) tonnage(ctx context.Context, t *Tonnage, query string, args ...any) error {
	return a.each(ctx, query, args, func(rows *sql.Rows) error { return rows.Scan(&t.Messages, &t.Bytes) })
}

// foresee counts what retire and sweep would do, without them: it goes through
// all messages, and looks in which generations each lies.
func (a *Archive) foresee(ctx context.Context, o Retention, out *Retained) error {
	var kept []int64
	for _, v := range out.Verdicts {
		if v.Keep {
			kept = append(kept, v.Generation.Number)
		}
	}
	until := moment(a.opt.Clock().Add(-o.Grace))
	if err := a.tonnage(ctx, &out.Swept, sweepable("count(*), coalesce(sum(m.stored), 0)"), until); err != nil {
		return err
	}
	if err := a.tonnage(ctx, &out.Waiting, "SELECT count(*), coalesce(sum(m.stored), 0) FROM unneeded u JOIN message m ON m.id = u.message WHERE u.since > ?", until); err != nil {
		return err
	}
	if out.Retired == 0 {
		return nil
	}
	var last, stored int64
	shown := true
	end := func() {
		if !shown {
			out.Unneeded.add(stored)
		}
	}
	err := a.each(ctx, `SELECT p.message, m.stored, p.gen_from, p.gen_to FROM placement p JOIN message m ON m.id = p.message ORDER BY p.message`, nil, func(rows *sql.Rows) error {
		var message, size, from int64
		var to sql.NullInt64
		if err := rows.Scan(&message, &size, &from, &to); err != nil {
			return err
		}
		if message != last {
			end()
			last, stored, shown = message, size, false
		}
		i, _ := slices.BinarySearch(kept, from)
		shown = shown || !to.Valid || i < len(kept) && kept[i] < to.Int64
		return nil
	})
	end()
	if o.Grace <= 0 {
		out.Swept.Messages, out.Swept.Bytes = out.Swept.Messages+out.Unneeded.Messages, out.Swept.Bytes+out.Unneeded.Bytes
	} else {
		out.Waiting.Messages, out.Waiting.Bytes = out.Waiting.Messages+out.Unneeded.Messages, out.Waiting.Bytes+out.Unneeded.Bytes
	}
	return err
}

// shown is the condition that a kept generation shows a row that has ended.
func shown(table string) string {
	return "EXISTS (SELECT 1 FROM generation kept WHERE kept.retired = 0 AND kept.n >= " + table + ".gen_from AND kept.n < " + table + ".gen_to)"
}

// prune forgets what only retired generations showed, and marks messages that
// lie nowhere any more. Where a message was moved from is not forgotten as long
// as it shows where it was moved to.
func prune(tx *sqlite.Tx, now time.Time) error {
	for _, statement := range []string{
		`CREATE TEMP TABLE doomed (id INTEGER PRIMARY KEY)`,
		`INSERT INTO temp.doomed
			WITH RECURSIVE origin (id) AS (
				SELECT p.origin FROM placement p WHERE p.origin IS NOT NULL AND (p.gen_to IS NULL OR ` + shown("p") + `)
				UNION SELECT p.origin FROM origin o JOIN placement p ON p.id = o.id WHERE p.origin IS NOT NULL)
			SELECT p.id FROM placement p WHERE p.gen_to IS NOT NULL AND NOT ` + shown("p") + ` AND p.id NOT IN origin`,
		`INSERT INTO pruned SELECT mailbox, max(change) FROM placement WHERE id IN temp.doomed GROUP BY mailbox
			ON CONFLICT DO UPDATE SET change = max(change, excluded.change)`,
		`DELETE FROM placement WHERE id IN temp.doomed`,
		`DROP TABLE temp.doomed`,
		`DELETE FROM past_flags WHERE NOT ` + shown("past_flags"),
		// With its names; of one that shows all are kept, a hold may be by any.
		`DELETE FROM mailbox WHERE NOT EXISTS (SELECT 1 FROM placement p WHERE p.mailbox = mailbox.id)
			AND NOT EXISTS (SELECT 1 FROM mailbox_name n WHERE n.mailbox = mailbox.id AND (n.gen_to IS NULL OR ` + shown("n") + `))`,
		`DELETE FROM quarantine WHERE gen_to IS NOT NULL AND NOT ` + shown("quarantine"),
	} {
		if err := tx.Exec(statement); err != nil {
			return err
		}
	}
	return tx.Exec(`INSERT OR IGNORE INTO unneeded SELECT m.id, ? FROM message m
		WHERE NOT EXISTS (SELECT 1 FROM placement p WHERE p.message = m.id)`, moment(now))
}
