package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
)

func (a *app) syncCommand() *cobra.Command {
	var s syncOptions
	var folders []string
	cmd := &cobra.Command{
		Use:   "sync [ACCOUNT…]",
		Short: "bring both sides into step, once",
		Long: "Brings the server and the Maildir of each account into step, once, as the account's mode says.\n" +
			"Without names: all accounts that have a maildir. Meant to be run by hand or by cron.",
		Example: "  godwit sync\n  godwit sync personal --folder INBOX\n  godwit sync --dry-run -v",
		RunE: func(cmd *cobra.Command, names []string) error {
			return a.sync(cmd.Context(), names, folders, s)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&folders, "folder", nil, "this time only mailboxes that match `PATTERN`; can be given more than once")
	flags.BoolVar(&s.dryRun, "dry-run", false, "show what a run would do, and change nothing")
	flags.BoolVar(&s.accept, "accept-deletes", false, "carry out exactly the deletions that are held")
	flags.BoolVar(&s.reject, "reject-deletes", false, "copy back what is held, or fill an emptied Maildir again")
	return cmd
}

func (a *app) sync(ctx context.Context, names, folders []string, s syncOptions) error {
	if s.accept && s.reject {
		return &usageError{errors.New("--accept-deletes and --reject-deletes contradict each other: give one of them")}
	}
	conf, err := a.load()
	if err != nil {
		return err
	}
	accounts, err := choose(conf, names)
	if err != nil {
		return err
	}
	matched := len(folders) == 0
	if !matched {
		only, err := config.ParsePatterns(folders)
		if err != nil {
			return &usageError{fmt.Errorf("--folder: %w", err)}
		}
		s.only, s.matched = &only, func() { matched = true }
	}
	ran := 0
	for _, acc := range accounts {
		if len(names) == 0 && !acc.Synced() && acc.Mode != config.ModeBackup {
			continue // kept for migration only
		}
		ran++
		a.code = worse(a.code, a.syncAccount(ctx, acc, s))
		if ctx.Err() != nil {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case ran == 0:
		return &usageError{errors.New("no account has a maildir: add maildir = \"…\" to one")}
	case !matched && a.code == exitOK:
		return &usageError{fmt.Errorf("no mailbox matches --folder %q: see the names with godwit status or godwit check", folders)}
	}
	return nil
}

// syncAccount runs one account. Whatever becomes of it, the others go on.
func (a *app) syncAccount(ctx context.Context, acc *config.Account, s syncOptions) exitCode {
	err := unsupported(acc)
	if err != nil {
		a.fail(acc.Name, err)
		return a.code
	}
	if acc.Backup { // who asks for a backup must not believe there is one
		a.complain(acc.Name, noBackup)
	}
	o, err := open(ctx, acc, s.dryRun)
	if err != nil {
		if ctx.Err() == nil {
			a.fail(acc.Name, err)
			a.rememberFailure(acc, err, s)
		}
		return a.code
	}
	p := a.newProgress(acc.Name)
	began := a.now()
	report, err := engine.Run(ctx, engineOptions(acc, o, s, func(e engine.Event) {
		p.event(e)
		a.event(e)
	}))
	p.end()
	if tree, ok := o.local.(*maildir.Maildir); ok {
		for _, dir := range tree.Strange() {
			a.event(engine.Event{Kind: engine.Noted, Time: a.now(), Account: acc.Name, Text: strangeText(acc, dir)})
		}
	}
	if server, ok := o.remote.(*imap.Account); ok {
		if _, why := server.Compression(); why != "" && a.verbose {
			a.event(engine.Event{Kind: engine.Noted, Time: a.now(), Account: acc.Name, Text: "nothing is compressed: " + why})
		}
		for _, r := range server.Refused() {
			a.event(engine.Event{Kind: engine.Noted, Time: a.now(), Account: acc.Name,
				Text: fmt.Sprintf("mailbox %q on the server takes no part: %s", r.Name, r.Reason)})
		}
	}
	exit := runExit(ctx, report, err)
	if report == nil {
		report = &engine.Report{Began: began, Ended: a.now()}
	}
	a.finish(acc, report, exit, s)
	if err := a.putAway(context.WithoutCancel(ctx), acc, o, report, exit, s); err != nil {
		a.fail(acc.Name, err)
		return worse(exit, codeOf(err))
	}
	return exit
}

// strangeText tells of a directory with mail that takes no part.
func strangeText(acc *config.Account, dir string) string {
	return fmt.Sprintf("%q holds mail, but is no mailbox in layout %s: it is left alone", dir, acc.Layout)
}

// runExit is the exit code of one account's run.
func runExit(ctx context.Context, r *engine.Report, err error) exitCode {
	exit := exitOK
	if r != nil {
		exit = exitCode(r.Exit())
	}
	if ctx.Err() != nil {
		return worse(exit, exitInterrupted)
	}
	return worse(exit, codeOf(err))
}

// putAway writes what is to be remembered of the run, and closes the account.
func (a *app) putAway(ctx context.Context, acc *config.Account, o *opened, r *engine.Report, exit exitCode, s syncOptions) error {
	var errs []error
	if !s.dryRun {
		errs = append(errs,
			store.WriteLastRun(acc.State, lastRun(r, exit)),
			o.index.Keeper(acc.State, acc.KeepDeleted, a.now).Purge(ctx))
	}
	return errors.Join(append(errs, o.close())...)
}

// rememberFailure makes status tell of a run that never began. It needs the
// lock, and leaves things alone if another run has it.
func (a *app) rememberFailure(acc *config.Account, err error, s syncOptions) {
	if s.dryRun || errors.Is(err, store.ErrLocked) {
		return
	}
	lock, lockErr := store.Lock(acc.State)
	if lockErr != nil {
		return // its own error was told already
	}
	last, _ := store.ReadLastRun(acc.State)
	failed := store.LastRun{Began: a.now(), Ended: a.now(), Exit: int(codeOf(err)), Mailboxes: last.Mailboxes, Messages: last.Messages, Errors: []string{err.Error()}}
	if err := errors.Join(store.WriteLastRun(acc.State, failed), lock.Unlock()); err != nil {
		a.fail(acc.Name, err)
	}
}

// event shows one event of a run.
func (a *app) event(e engine.Event) {
	if a.json {
		a.out.object(eventRecord(e))
	}
	text := e.Account + ": " + eventText(e)
	switch e.Kind {
	case engine.PhaseBegun, engine.Totals:
	case engine.Faulted, engine.Held:
		a.complain("", text)
	case engine.Action:
		if a.verbose || e.Planned {
			a.out.info("%s", text)
		}
	default:
		a.out.info("%s", text)
	}
}

// finish shows what a run came to.
func (a *app) finish(acc *config.Account, r *engine.Report, exit exitCode, s syncOptions) {
	if a.json {
		a.out.object(runRecord(acc.Name, r, exit))
	}
	a.out.info("%s: %s", acc.Name, reportText(r, exit, s.dryRun))
	for _, hint := range r.Hints {
		a.complain(acc.Name, hint)
	}
}
