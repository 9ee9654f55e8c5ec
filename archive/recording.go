package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Recording is the archive as the side that one run writes to: its effects
// make up one generation. It is an engine.Writer and an engine.Rooted.
type Recording struct {
	reading
	began time.Time
	open  int64 // the generation, 0 before its first effect
	// failed is why it could not be ended: its manifest may be written, so that
	// nothing more may become part of it.
	failed error

	// What the last Survey saw, for Confirm.
	boxes   map[mail.MailboxName]int64 // by name, their numbers
	arrival int64                      // the number that the next placement was to get
	own     [][2]int64                 // the placements of this recording, from and to before
}

// Begin begins a generation. Nothing of it is written before its first effect.
// One that was interrupted before is ended now: it gets its manifest, and is
// not complete. A decision about generations that was interrupted is done now.
//
// An error that wraps ErrStale says that the catalogue is older than the
// manifests beside it.
func (a *Archive) Begin(ctx context.Context) (*Recording, error) {
	r := &Recording{reading: reading{a: a, gen: now}, began: a.opt.Clock()}
	last, open, err := int64(0), false, error(nil)
	err = a.view(ctx, func(tx *sqlite.Tx) error {
		last, open, err = lastGeneration(tx)
		return err
	})
	if err == nil && open {
		err = a.interrupted(ctx, last)
	}
	if err == nil {
		err = a.notStale(last + 1)
	}
	if err == nil {
		err = a.heedAll(ctx)
	}
	if err != nil {
		return nil, fault(err)
	}
	return r, nil
}

// Outcome is how a run ended, as far as the archive has to know.
type Outcome struct {
	// Complete: every mailbox was seen, and every message that the source has
	// is catalogued or among Quarantined.
	Complete bool
	Why      string // why it is not complete, for a person
	// Quarantined are all messages that the source has and would not give, those
	// of earlier runs among them.
	Quarantined []Quarantined
}

// Finish ends the generation, and gives it; nil if nothing changed, unless the
// newest generation is not complete and this is: then it is one more. When it
// fails, the generation stays open until the next Begin ends it.
func (r *Recording) Finish(ctx context.Context, o Outcome) (*Generation, error) {
	g, err := r.finish(ctx, o)
	if err != nil {
		return nil, fault(err)
	}
	return g, nil
}

func (r *Recording) finish(ctx context.Context, o Outcome) (*Generation, error) {
	if r.a.catalogue.Load() == nil {
		return nil, nil // nothing was ever done
	}
	err := r.effect(ctx, func(e *effect) error {
		if err := e.quarantine(o.Quarantined); err != nil || !o.Complete || r.open > 0 {
			return err
		}
		complete := true // if there is none yet, none lacks
		err := e.tx.Each("SELECT complete FROM generation ORDER BY n DESC LIMIT 1", nil, func(rows *sql.Rows) error {
			return rows.Scan(&complete)
		})
		if err != nil || complete {
			return err
		}
		return e.begin()
	})
	if err != nil || r.open == 0 {
		return nil, err
	}
	why := o.Why
	if o.Complete {
		why = ""
	}
	g, err := r.a.end(ctx, r.open, o.Complete, why)
	if r.open = 0; err != nil {
		r.failed = fmt.Errorf("the generation was not ended: %w", err)
	}
	return g, err
}

// Counts gives the number of messages in each mailbox as of now.
func (r *Recording) Counts(ctx context.Context) (map[mail.MailboxName]int, error) {
	out := map[mail.MailboxName]int{}
	err := r.a.view(ctx, func(tx *sqlite.Tx) error {
		return r.eachBox(tx, "", nil, func(b box) error {
			out[b.name] = b.messages
			return nil
		})
	})
	return out, fault(err)
}

// Root tells what the archive says of itself: the marker is in the catalogue.
func (r *Recording) Root(ctx context.Context) (plan.Root, error) {
	_, err := os.Stat(r.a.opt.Dir)
	root := plan.Root{
		Exists: err == nil, Unsynced: r.a.opt.NoSync, What: "archive",
		Refill: "to begin a new archive there, move the index of the backup out of the way",
	}
	if root.Unsynced {
		boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // random(4); without it every run is another boot
		root.Boot = string(boot)
	}
	meta := map[string]string{}
	err = r.a.view(ctx, func(tx *sqlite.Tx) error {
		if err := tx.Each("SELECT key, value FROM meta", nil, func(rows *sql.Rows) error {
			var key, value string
			err := rows.Scan(&key, &value)
			meta[key] = value
			return err
		}); err != nil {
			return err
		}
		return tx.Each("SELECT EXISTS (SELECT 1 FROM mailbox WHERE messages > 0)", nil, func(rows *sql.Rows) error {
			return rows.Scan(&root.Mail)
		})
	})
	if err != nil {
		return plan.Root{}, fault(err)
	}
	root.Instance, root.Marked = meta[metaInstance]
	root.Runs, err = strconv.ParseInt(meta[metaRuns], 10, 64)
	if err != nil {
		root.Runs = 0 // as for a marker that cannot be read: it is nobody's
	}
	return root, nil
}

// The keys of meta.
const (
	metaInstance = "instance"
	metaRuns     = "runs"
)

// Stamp writes the marker into the catalogue. It is no effect: a generation
// begins with the first change of what the mailboxes show.
func (r *Recording) Stamp(ctx context.Context, instance string, runs int64) error {
	if instance == "" {
		return errors.New("an instance without a name cannot be stamped")
	}
	if err := r.a.make(ctx); err != nil {
		return fault(err)
	}
	r.a.writing.Lock()
	defer r.a.writing.Unlock()
	return fault(r.a.update(ctx, func(tx *sqlite.Tx) error {
		for key, value := range map[string]string{metaInstance: instance, metaRuns: strconv.FormatInt(runs, 10)} {
			if err := tx.Exec("INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", key, value); err != nil {
				return err
			}
		}
		return nil
	}))
}

// Survey lists all mailboxes as of now.
func (r *Recording) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) (boxes []plan.Box, err error) {
	r.boxes, r.own = map[mail.MailboxName]int64{}, nil
	err = r.a.view(ctx, func(tx *sqlite.Tx) error {
		if boxes, err = r.survey(ctx, tx, since, plan.Rights{}); err != nil {
			return err
		}
		return tx.Each("SELECT next FROM sequence WHERE name = 'placement'", nil, func(rows *sql.Rows) error {
			return rows.Scan(&r.arrival)
		})
	})
	for _, b := range boxes {
		if !b.Container {
			r.boxes[b.Name], _ = strconv.ParseInt(b.ID, 10, 64) // it is one of ours
		}
	}
	return boxes, fault(err)
}

// Close ends the use of the side; without a Finish before it, the generation
// counts as interrupted.
func (r *Recording) Close() error { return nil }
