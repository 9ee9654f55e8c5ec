package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/hook"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
)

// A ran is what one run of an account came to.
type ran struct {
	// report is never nil, though empty if the run did not begin.
	report *engine.Report
	exit   exitCode
	// err is what ended the run, or kept it from beginning. That it was told to
	// end is in exit only.
	err error
	// begun: the engine ran, and has told of err.
	begun bool
	// after is what went wrong after the run.
	after error
	// effective: what the report tells was done, not only planned.
	effective bool
	// news is what came into the Maildir, trouble what on_error is to be told,
	// nil for nothing.
	news    hook.NewMail
	trouble *hook.Error
	// backup is what became of the backup; nil if none is asked for. That of an
	// account with an archive only is the run, and its report is the same.
	backup *backedUp
}

// runAccount runs one account, and remembers how it went. It prints nothing:
// what happens is told to observe.
func runAccount(ctx context.Context, acc *config.Account, s syncOptions, now func() time.Time, observe engine.Observer) ran {
	began, was := now(), before(acc)
	failed := func(err error) ran {
		r := ran{report: &engine.Report{Began: began, Ended: now()}, exit: codeOf(err), err: err}
		if ctx.Err() != nil {
			r.exit, r.err = exitInterrupted, nil
		}
		return r
	}
	if err := unsupported(acc); err != nil {
		return failed(err)
	}
	if acc.Archived() && s.pool == nil { // the backup takes over the connection
		s.pool = imap.NewPool()
		defer s.pool.Close()
	}
	if acc.Mode == config.ModeBackup {
		return runBackup(ctx, acc, s, was, now, observe)
	}
	o, err := open(ctx, acc, s)
	if err != nil {
		r := failed(err)
		if r.err != nil {
			r.after = r.rememberFailure(acc, s, was)
		}
		return r
	}
	var news hook.NewMail
	report, err := engine.Run(ctx, engineOptions(acc, o, s, arrivals(&news, observe)))
	if report == nil {
		report = &engine.Report{Began: began, Ended: now()}
	}
	r := ran{report: report, exit: runExit(ctx, report, err), begun: true, effective: !s.dryRun, news: news}
	if ctx.Err() == nil {
		r.err = err
	}
	for _, text := range o.remarks(acc, s.chatty) {
		observe(engine.Event{Kind: engine.Noted, Time: now(), Account: acc.Name, Text: text})
	}
	if acc.Archived() && !s.dryRun && ctx.Err() == nil && (err == nil || mail.ClassOf(err) == mail.ClassLocal) {
		r.backup = o.backUpAfter(ctx, acc, s, was.Backup, report, now, observe)
		r.exit = worse(r.exit, r.backup.exit)
	}
	r.after = r.putAway(context.WithoutCancel(ctx), acc, o, s, was, now)
	r.exit = worse(r.exit, codeOf(r.after))
	return r
}

// runBackup runs an account that has an archive only.
func runBackup(ctx context.Context, acc *config.Account, s syncOptions, was store.LastRun, now func() time.Time, observe engine.Observer) ran {
	r := ran{report: &engine.Report{Began: now(), Ended: now()}, backup: &backedUp{}}
	switch {
	case s.only != nil:
		r.err = &usageError{errors.New("--folder is not for an account with mode = \"backup\": a generation holds all mailboxes")}
		r.exit = codeOf(r.err)
		return r
	case s.dryRun:
		r.backup.skipped = skippedDry
		return r
	}
	o := &opened{server: serverOptions(acc, s)}
	if !s.locked {
		var err error
		if o.lock, err = lockState(acc.State); err != nil {
			r.exit, r.err = codeOf(err), err
			return r
		}
		o.closers = []io.Closer{closer(o.lock.Unlock)}
	}
	b := &backing{acc: acc, o: o, now: now, observe: observe, was: was.Backup}
	r.backup = b.backUp(ctx)
	r.report, r.exit, r.err, r.begun, r.effective = &r.backup.Report, r.backup.exit, r.backup.err, r.backup.told, true
	last := lastRun(r.report, r.exit)
	last.Backup = &r.backup.last
	r.endured(was, &last)
	r.after = errors.Join(store.WriteLastRun(acc.State, last), o.close())
	r.exit = worse(r.exit, codeOf(r.after))
	return r
}

// remarks are what the sides found that the engine does not tell of.
func (o *opened) remarks(acc *config.Account, chatty bool) (texts []string) {
	if tree, ok := o.local.(*maildir.Maildir); ok {
		for _, dir := range tree.Strange() {
			texts = append(texts, strangeText(acc, dir))
		}
		if chatty {
			texts = append(texts, diskTexts(tree.Durability())...)
		}
	}
	server, ok := o.remote.(*imap.Account)
	if !ok {
		return texts
	}
	if _, why := server.Compression(); why != "" && chatty {
		texts = append(texts, "nothing is compressed: "+why)
	}
	for _, r := range server.Refused() {
		texts = append(texts, fmt.Sprintf("mailbox %q on the server takes no part: %s", r.Name, r.Reason))
	}
	return texts
}

// strangeText tells of a directory with mail that takes no part.
func strangeText(acc *config.Account, dir string) string {
	return fmt.Sprintf("%q holds mail, but is no mailbox in layout %s: it is left alone", dir, acc.Layout)
}

// fewPlaced is how many messages come without a word of how they were placed.
const fewPlaced = 100

// diskTexts tell which way big batches of mail took to the disk and what each
// cost, and how the messages of many got their places; nothing if there were none.
func diskTexts(d maildir.Durability) (texts []string) {
	if d.BySyncFS+d.ByFDataSync > 0 {
		texts = append(texts, fmt.Sprintf("mail was made durable by %s in the end: %d batches by syncfs (lately %v a message), %d by fdatasync (%v)",
			d.Mode, d.BySyncFS, d.SyncFS.Round(time.Microsecond), d.ByFDataSync, d.FDataSync.Round(time.Microsecond)))
	}
	if d.Linked+d.Renamed > fewPlaced {
		texts = append(texts, fmt.Sprintf("%d messages were written without a name and linked (O_TMPFILE), %d were renamed from tmp", d.Linked, d.Renamed))
	}
	return texts
}

// runExit is the exit code of one account's run.
func runExit(ctx context.Context, r *engine.Report, err error) exitCode {
	if ctx.Err() != nil {
		return worse(exitCode(r.Exit()), exitInterrupted)
	}
	return worse(exitCode(r.Exit()), codeOf(err))
}

// putAway writes what is to be remembered of the run, and closes the account.
// The two wait for the disk at once.
func (r *ran) putAway(ctx context.Context, acc *config.Account, o *opened, s syncOptions, was store.LastRun, now func() time.Time) error {
	var errs []error
	written := make(chan error, 1)
	if s.dryRun {
		written <- nil
	} else {
		last := lastRun(r.report, r.exit)
		if last.Backup = was.Backup; r.backup != nil {
			last.Backup = &r.backup.last
		}
		r.endured(was, &last)
		errs = append(errs, o.index.Keeper(acc.State, acc.KeepDeleted, now).Purge(ctx))
		write := store.WriteLastRun
		if !r.report.Changed() && last.Alike(was) {
			write = store.RenewLastRun
		}
		go func() { written <- write(acc.State, last) }()
	}
	errs = append(errs, o.closeData(), <-written)
	return errors.Join(append(errs, o.release())...)
}

// rememberFailure makes status tell of a run that never began. It needs the
// lock, and leaves things alone if another run has it.
func (r *ran) rememberFailure(acc *config.Account, s syncOptions, was store.LastRun) error {
	if s.dryRun || errors.Is(r.err, store.ErrLocked) {
		return nil
	}
	failed := store.LastRun{
		Began: r.report.Began, Ended: r.report.Ended, Exit: int(r.exit), Mailboxes: was.Mailboxes, Messages: was.Messages,
		Errors: []string{r.err.Error()}, Backup: was.Backup,
	}
	r.endured(was, &failed)
	lock, err := store.Lock(acc.State)
	if err != nil {
		return nil // its own error was told already
	}
	return errors.Join(store.WriteLastRun(acc.State, failed), lock.Unlock())
}
