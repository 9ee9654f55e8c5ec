package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/godwit-mail/godwit/cmd/godwit/hook"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/sync/engine"
)

func (a *app) syncCommand() *cobra.Command {
	var s syncOptions
	var folders []string
	cmd := &cobra.Command{
		Use:   "sync [ACCOUNT…]",
		Short: "bring both sides into step, once",
		Long: "Brings the server and the Maildir of each account into step, once, as the account's mode says.\n" +
			"Without names: all accounts that have a maildir or mode = \"backup\". With backup = true a generation is added to the archive where\n" +
			"anything has changed; with mode = \"backup\" that is all there is, and the server is only read. Meant to be run by hand or by cron. Waits at its end for the account's hooks.",
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
	s.chatty = a.verbose
	accounts = slices.DeleteFunc(slices.Clone(accounts), func(acc *config.Account) bool {
		// Kept for migration only; or whole, while some mailboxes are asked for.
		return len(names) == 0 && !acc.Synced() && (acc.Mode != config.ModeBackup || len(folders) > 0)
	})
	if done, err := a.syncByDaemon(ctx, conf, accounts, folders, s); err != nil {
		return err
	} else if !done {
		a.syncHere(ctx, accounts, s)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case len(accounts) == 0:
		return &usageError{errors.New("no account has a maildir: add maildir = \"…\" to one")}
	case !matched && a.code == exitOK:
		return &usageError{fmt.Errorf("no mailbox matches --folder %q: see the names with godwit status or godwit check", folders)}
	}
	return nil
}

// syncHere runs accounts one after the other. Whatever becomes of one, the
// others go on.
func (a *app) syncHere(ctx context.Context, accounts []*config.Account, s syncOptions) {
	hooks := hook.New(ctx, hook.Environment(a.env), hookRest, a.hookEnded)
	defer hooks.Close()
	for _, acc := range accounts {
		p := a.newProgress(acc.Name)
		r := runAccount(ctx, acc, s, a.now, func(e engine.Event) {
			p.event(e)
			a.event(e)
		})
		p.end()
		a.endRun(acc, r, s)
		callHooks(hooks, acc, r)
		if ctx.Err() != nil {
			return
		}
	}
}

// syncByDaemon lets a daemon run the accounts, and shows the same as if they
// had been run here. done is false if there is none.
func (a *app) syncByDaemon(ctx context.Context, conf *config.Config, accounts []*config.Account, folders []string, s syncOptions) (done bool, err error) {
	call := syncCall{Folders: folders, Accept: s.accept, Reject: s.reject, DryRun: s.dryRun, Chatty: s.chatty}
	byName := map[string]*config.Account{}
	for _, acc := range accounts {
		call.Accounts = append(call.Accounts, acc.Name)
		byName[acc.Name] = acc
	}
	if len(accounts) == 0 {
		return true, nil
	}
	var p *progress
	defer func() { p.end() }()
	_, done, err = a.askDaemon(ctx, conf, "sync", call, func(told sent) error {
		switch {
		case told.Begun != "":
			p = a.newProgress(told.Begun)
		case told.Event != nil:
			e, err := told.Event.got()
			if err != nil {
				return err
			}
			p.event(e)
			a.event(e)
		case told.Ran != nil:
			p.end()
			p = nil
			if told.Ran.Matched && s.matched != nil {
				s.matched()
			}
			if acc := byName[told.Ran.Account]; acc != nil {
				a.endRun(acc, told.Ran.got(), s)
			}
		}
		return nil
	})
	return done, err
}

// endRun shows what a run came to.
func (a *app) endRun(acc *config.Account, r ran, s syncOptions) {
	own := acc.Mode != config.ModeBackup // there is a run beside the backup
	switch {
	case r.begun && own:
		a.finish(acc, r.report, r.exit, s)
	case r.err != nil && (own || r.backup == nil || r.backup.err == nil):
		a.fail(acc.Name, r.err)
	}
	if r.backup != nil {
		a.finishBackup(acc, r.backup)
	}
	if r.after != nil {
		a.fail(acc.Name, r.after)
	}
	a.code = worse(a.code, r.exit)
}

// event shows one event of a run.
func (a *app) event(e engine.Event) {
	if a.json {
		a.out.object(eventRecord(e))
	}
	if e.Kind == engine.Action && !a.verbose && !e.Planned {
		return // and make no text for each message of a first run
	}
	text := e.Account + ": " + eventText(e)
	switch e.Kind {
	case engine.PhaseBegun, engine.Totals:
	case engine.Faulted, engine.Held:
		a.complain("", text)
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
