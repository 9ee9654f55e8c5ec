package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A backedUp is what the backup of one account came to.
type backedUp struct {
	backup.Result
	exit exitCode
	// err is what ended the backup, or kept it from beginning.
	err error
	// skipped says why there was none, "" if there was one.
	skipped string
	// retained is what retention did, nil if it was not its turn.
	retained *archive.Retained
	told     bool // what happened, err among it, was told while it ran
	// last is what is to be remembered.
	last store.LastBackup
}

// Why there was no backup, to be told.
const (
	skippedSame   = "nothing has changed since the last one"
	skippedDry    = "a dry run does not look at what a backup would take"
	skippedFolder = "none was made, since --folder leaves mailboxes out: the next run without it makes one"
)

// A backing is one backup on its way.
type backing struct {
	acc     *config.Account
	o       *opened
	now     func() time.Time
	observe engine.Observer
	was     *store.LastBackup // nil if there was none
	bodies  *backup.Bodies    // nil without a Maildir
	sync    string            // see store.LastBackup
}

// backUp makes a generation of what the server has. The lock is held.
func (b *backing) backUp(ctx context.Context) *backedUp {
	r := &backedUp{}
	r.Report.Began, r.Report.Ended = b.now(), b.now()
	if text, err := b.missing(ctx); err != nil {
		return b.failed(ctx, r, err)
	} else if text != "" {
		return b.empty(r, text)
	}
	index, err := store.Open(ctx, b.acc.BackupDir())
	if err != nil {
		return b.failed(ctx, r, err)
	}
	defer index.Close()
	kept, err := archive.Open(ctx, archive.Options{Dir: b.acc.Archive, Clock: b.now})
	if err != nil {
		return b.failed(ctx, r, err)
	}
	defer kept.Close()
	into, err := kept.Begin(ctx)
	if err != nil {
		return b.failed(ctx, r, err)
	}
	defer into.Close()
	server, err := imap.Open(ctx, b.o.server)
	if err != nil {
		return b.failed(ctx, r, err)
	}
	defer server.Close()
	result, err := backup.Run(ctx, backup.Options{
		Account: b.acc.Name, Archive: into, Server: server, Index: index, Bodies: b.bodies, Bound: b.acc.Username + "@" + b.acc.Host,
		Scope: b.acc.InArchive, Clock: b.now, Observer: b.observe,
	})
	r.Result, r.err, r.told = *result, err, true
	r.exit = worse(exitCode(result.Exit()), codeOf(err))
	if ctx.Err() != nil {
		r.exit, r.err = exitInterrupted, nil
	}
	for _, x := range server.Refused() {
		b.note(fmt.Sprintf("mailbox %q on the server cannot be backed up: %s", x.Name, x.Reason))
	}
	b.remember(r)
	err = nil
	if b.retainNow(r) && ctx.Err() == nil {
		err = b.retain(ctx, r, kept)
	}
	err = errors.Join(err, b.count(context.WithoutCancel(ctx), r, kept, index))
	if err != nil && r.err == nil {
		r.err, r.exit = err, worse(r.exit, codeOf(err))
	}
	return r
}

func (b *backing) note(text string) {
	b.observe(engine.Event{Kind: engine.Noted, Time: b.now(), Account: b.acc.Name, Job: backup.Job, Text: text})
}

// failed is a backup that never began.
func (b *backing) failed(ctx context.Context, r *backedUp, err error) *backedUp {
	r.exit, r.err, r.Why = codeOf(err), err, err.Error()
	if ctx.Err() != nil {
		r.exit, r.err = exitInterrupted, nil
	}
	r.Report.Ended = b.now()
	b.remember(r)
	return r
}

// missing says what is wrong where the archive should be and is not: its disk
// may not be mounted. "" if all is well.
func (b *backing) missing(ctx context.Context) (string, error) {
	there, err := archive.There(b.acc.Archive)
	switch {
	case err != nil || there.Catalogue:
		return "", err
	case there.Manifests:
		return "", mail.NewFault(mail.GradeAccount, mail.ClassLocal, fmt.Errorf("the archive in %s has lost its catalogue", b.acc.Archive),
			"run godwit verify --rebuild-catalogue "+b.acc.Name)
	}
	index, err := store.OpenReadOnly(ctx, b.acc.BackupDir())
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // it is the first backup
	}
	if err != nil {
		return "", err
	}
	defer index.Close()
	boxes, err := index.Boxes(ctx)
	for _, rec := range boxes {
		if rec.Side[plan.Local].Known > 0 {
			if there.Dir {
				return "is empty", nil
			}
			return "does not exist", nil
		}
	}
	return "", err
}

// empty is a backup that found no archive where there was one.
func (b *backing) empty(r *backedUp, what string) *backedUp {
	r.Report.EmptyRoot, r.exit, r.told = true, exitHeld, true
	r.Why = fmt.Sprintf("the archive %s %s", b.acc.Archive, what)
	r.Report.Hints = []string{fmt.Sprintf("%s although it held mail at the last backup: if its disk is not mounted, mount it; to begin a new archive there, move %s out of the way",
		r.Why, b.acc.BackupDir())}
	b.observe(engine.Event{Kind: engine.Held, Time: b.now(), Account: b.acc.Name, Job: backup.Job, Reason: plan.ReasonVanished, Text: r.Why + ": nothing was done"})
	b.remember(r)
	return r
}

// remember makes what is to be remembered of the backup.
func (b *backing) remember(r *backedUp) {
	l := &r.last
	if b.was != nil {
		*l = *b.was
	}
	l.Began, l.Ended, l.Exit, l.Complete, l.Why = r.Report.Began, r.Report.Ended, int(r.exit), r.Complete, r.Why
	l.Archive, l.Quarantined, l.Sync, l.Errors = b.acc.Archive, len(r.Quarantined), "", nil
	for _, f := range r.Report.Faults {
		l.Errors = append(l.Errors, f.Error())
	}
	if len(l.Errors) == 0 && r.err != nil {
		l.Errors = []string{r.err.Error()}
	}
	if r.Complete {
		l.LastOK = l.Ended
	}
	if r.Complete && r.exit == exitOK && r.Still {
		// The server tells of every change: had there been one between the sync and
		// this, it could not be as it was before both.
		l.Sync = b.sync
	}
}

// count adds what the archive holds, where that may have changed.
func (b *backing) count(ctx context.Context, r *backedUp, kept *archive.Archive, index *store.Store) error {
	l := &r.last
	boxes, err := index.Boxes(ctx)
	if err != nil {
		return err
	}
	for _, rec := range boxes {
		if !rec.Dormant && !b.acc.Folders.InScope(rec.Side[plan.Remote].Name, rec.Role) {
			l.Sync = "" // a sync does not see what happens there
		}
	}
	if r.Generation == nil && l.Generation > 0 && (r.retained == nil || !r.retained.Changed()) {
		// One that died after it had made a generation could not remember it.
		newest, err := kept.Latest(ctx)
		if err != nil && !errors.Is(err, archive.ErrNoGeneration) || newest.Number == l.Generation {
			return err
		}
	}
	all, err := kept.Generations(ctx)
	if err != nil {
		return err
	}
	l.Generation, l.Made, l.Mailboxes, l.Messages, l.Stored = 0, time.Time{}, 0, 0, 0
	for _, g := range all {
		if g.Complete && g.Retired.IsZero() {
			l.Generation, l.Made, l.Mailboxes, l.Messages = g.Number, g.Ended, g.Mailboxes, g.Messages
		}
	}
	l.Stored, err = kept.Stored(ctx)
	return err
}

// syncState names the state of an account's index: a run that changes anything
// in it is recorded there.
func syncState(ctx context.Context, index *store.Store) (string, error) {
	meta, err := index.Meta(ctx)
	if err != nil {
		return "", err
	}
	runs, err := index.Runs(ctx, 1)
	if err != nil || len(runs) == 0 {
		return "", err
	}
	return fmt.Sprintf("%s/%d", meta["instance"], runs[0].ID), nil
}

// backUpAfter makes a generation after a sync, over the same connection. What
// the Maildir has of it is not fetched again.
func (o *opened) backUpAfter(ctx context.Context, acc *config.Account, s syncOptions, was *store.LastBackup, r *engine.Report, now func() time.Time, observe engine.Observer) *backedUp {
	if s.only != nil {
		b := &backedUp{skipped: skippedFolder}
		if was != nil {
			b.last = *was
		}
		return b
	}
	b := &backing{acc: acc, o: o, now: now, observe: observe, was: was}
	state, err := syncState(ctx, o.index)
	if err != nil {
		return b.failed(ctx, &backedUp{}, err)
	}
	b.sync = state
	if b.same(r) {
		l := *was
		l.Ended = now()
		l.LastOK = l.Ended
		return b.retainAlone(ctx, &backedUp{skipped: skippedSame, last: l})
	}
	// The pool keeps the connection for the backup.
	if err := o.remote.Close(); err != nil {
		return b.failed(ctx, &backedUp{}, err)
	}
	if b.bodies, err = backup.OpenBodies(ctx, o.index, o.local); err != nil {
		return b.failed(ctx, &backedUp{}, err)
	}
	return b.backUp(ctx)
}

// same tells whether the sync just now has shown that there is nothing to back
// up: it found the server as it was when the last backup had all of it.
func (b *backing) same(r *engine.Report) bool {
	if b.was == nil || b.sync == "" || b.was.Sync != b.sync || b.was.Archive != b.acc.Archive || r.Changed() || r.Exit() != 0 {
		return false
	}
	there, err := archive.There(b.acc.Archive)
	return err == nil && there.Catalogue
}
