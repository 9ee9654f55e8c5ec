package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/store"
)

// retainEvery is how long retention waits at least after it was at an archive
// by itself.
const retainEvery = 24 * time.Hour

// retention is what the configuration of an account says of it.
func retention(acc *config.Account, dryRun bool) archive.Retention {
	k := acc.Keep
	return archive.Retention{
		Policy: archive.Policy{Within: k.Within, Last: k.Last, Daily: k.Daily, Weekly: k.Weekly, Monthly: k.Monthly, Yearly: k.Yearly},
		Grace:  acc.KeepGrace, DryRun: dryRun,
	}
}

// retainNow tells whether it is time for retention.
func (b *backing) retainNow(r *backedUp) bool {
	since := b.now().Sub(r.last.Retained)
	return b.acc.Keep != (config.Keep{}) && (since >= retainEvery || since < 0)
}

// retain gives up generations of an archive that is open. While a restore
// reads the archive nothing is given up: the next backup sees to it.
func (b *backing) retain(ctx context.Context, r *backedUp, kept *archive.Archive) error {
	reading, err := store.Lock(filepath.Join(b.acc.State, restoreState))
	if errors.Is(err, store.ErrLocked) {
		return nil
	}
	if err == nil {
		r.retained, err = kept.Retain(ctx, retention(b.acc, false))
		err = errors.Join(err, reading.Unlock())
	}
	if err != nil {
		err = fmt.Errorf("retention: %w", err)
		b.note(err.Error())
		return err
	}
	r.last.Retained = b.now()
	return nil
}

// retainAlone is retain where nothing had to be backed up.
func (b *backing) retainAlone(ctx context.Context, r *backedUp) *backedUp {
	if !b.retainNow(r) {
		return r
	}
	kept, err := archive.Open(ctx, archive.Options{Dir: b.acc.Archive, Clock: b.now})
	if err == nil {
		err = b.retain(ctx, r, kept)
		if err == nil {
			r.last.Stored, err = kept.Stored(ctx)
		}
		err = errors.Join(err, kept.Close())
	}
	if err != nil && ctx.Err() == nil {
		r.err, r.exit = err, worse(r.exit, codeOf(err))
	}
	return r
}

// A retainedRecord is what retention did, for scripts.
type retainedRecord struct {
	DryRun   bool          `json:"dry_run,omitempty"`
	Kept     int           `json:"kept"`    // generations
	Retired  int           `json:"retired"` // generations that are given up
	Unneeded tonnageRecord `json:"unneeded"`
	Removed  tonnageRecord `json:"removed"`
	Leftover tonnageRecord `json:"leftover"`
	Waiting  tonnageRecord `json:"waiting"`
}

type tonnageRecord struct {
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

func newRetainedRecord(r *archive.Retained, dry bool) *retainedRecord {
	if r == nil {
		return nil
	}
	return &retainedRecord{
		DryRun: dry, Kept: len(r.Verdicts) - r.Retired, Retired: r.Retired, Unneeded: tonnageRecord(r.Unneeded), Removed: tonnageRecord(r.Swept),
		Leftover: tonnageRecord(r.Leftover), Waiting: tonnageRecord(r.Waiting),
	}
}

// retainedText is what retention did, or would do, for a person.
func retainedText(r *archive.Retained, grace time.Duration, dry bool) string {
	gave, removed := "gave up", "removed"
	if dry {
		gave, removed = "would give up", "would remove"
	}
	parts := []string{fmt.Sprintf("%s %s, kept are %d", gave, count(r.Retired, "generation"), len(r.Verdicts)-r.Retired)}
	weight := func(t archive.Tonnage, noun string) string {
		return fmt.Sprintf("%s (%s)", count(t.Messages, noun), bytesText(t.Bytes))
	}
	if r.Unneeded.Messages > 0 {
		parts = append(parts, weight(r.Unneeded, "message")+" lie in no other")
	}
	if r.Swept.Messages > 0 {
		parts = append(parts, removed+" "+weight(r.Swept, "message"))
	}
	if r.Leftover.Messages > 0 {
		parts = append(parts, removed+" "+weight(r.Leftover, "file")+" of no message")
	}
	if r.Waiting.Messages > 0 {
		parts = append(parts, fmt.Sprintf("%s wait for the end of their grace of %s", weight(r.Waiting, "message"), daysText(grace)))
	}
	return strings.Join(parts, "; ")
}

// daysText is a span as the configuration writes it.
func daysText(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}
