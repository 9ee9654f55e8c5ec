package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/hook"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// hookRest is what hooks have left when godwit is told to end: with their
// half second of mercy less than the 5 s in which a daemon ends.
const hookRest = 3 * time.Second

// arrivals watches a run for messages that come into the Maildir.
func arrivals(news *hook.NewMail, observe engine.Observer) engine.Observer {
	return func(e engine.Event) {
		if e.Kind == engine.Action && e.Verb == engine.VerbCopied && e.Side == plan.Local && !e.Planned {
			news.Add(hook.Message{Mailbox: e.Mailbox, MessageID: e.MessageID, Ref: e.Ref, Size: e.Size})
		}
		observe(e)
	}
}

// callHooks has the hooks run that a run of an account asks for.
func callHooks(hooks *hook.Runner, acc *config.Account, r ran) {
	head := func(kind string) hook.Head {
		return hook.Head{Type: kind, Time: r.report.Ended, Account: acc.Name}
	}
	call := func(kind, line string, what hook.Occasion) {
		hooks.Call(hook.Command{Account: acc.Name, Kind: kind, Line: line, Timeout: acc.Hooks.Timeout}, what)
	}
	if len(r.news.Mailboxes) > 0 {
		r.news.Head = head("new_mail")
		call("on_new_mail", acc.Hooks.OnNewMail, r.news)
	}
	if r.effective && r.report.Changed() && acc.Synced() {
		call("on_change", acc.Hooks.OnChange, hook.Change{
			Head: head("change"), Local: doneOn(r.report, plan.Local), Remote: doneOn(r.report, plan.Remote), Adopted: r.report.Adopted,
		})
	}
	if b := r.backup; b != nil && b.Generation != nil {
		g := b.Generation
		call("after_backup", acc.Hooks.AfterBackup, hook.Backup{
			Head: head("backup"), Archive: acc.Archive, Generation: g.Number, Complete: g.Complete, Why: g.Why,
			Came: g.Came, Went: g.Went, Changed: g.Changed, Moved: g.Moved, Mailboxes: g.Mailboxes, Messages: g.Messages, Stored: g.Stored,
			Quarantined: len(b.Quarantined),
		})
	}
	if r.trouble != nil {
		r.trouble.Head = head("error")
		call("on_error", acc.Hooks.OnError, *r.trouble)
	}
}

// doneOn is what a run did on one side.
func doneOn(r *engine.Report, s plan.Side) hook.Done {
	return hook.Done{
		Copied: r.Copied[s], Bytes: r.CopiedBytes[s], Flagged: r.Flagged[s], Moved: r.Moved[s], Deleted: r.Deleted[s],
		CreatedMailboxes: r.Created[s], RenamedMailboxes: r.Renamed[s], RemovedMailboxes: r.Removed[s],
	}
}

// endured brings what is remembered of an account's failures up to date with a
// run, and tells of a kind of failure that is new since it worked last.
func (r *ran) endured(was store.LastRun, now *store.LastRun) {
	now.LastOK, now.FailingSince, now.Failures, now.FailedBy = was.LastOK, was.FailingSince, was.Failures, was.FailedBy
	err := r.result().Err
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, store.ErrLocked):
		return // that says nothing of the account
	case err == nil:
		now.LastOK, now.FailingSince, now.Failures, now.FailedBy = now.Ended, time.Time{}, 0, nil
		return
	}
	if now.Failures == 0 {
		now.FailingSince = now.Ended
	}
	now.Failures++
	class := mail.ClassOf(err)
	if slices.Contains(now.FailedBy, string(class)) {
		return
	}
	now.FailedBy = append(slices.Clone(now.FailedBy), string(class))
	r.trouble = &hook.Error{Error: err.Error(), Class: class, Since: now.FailingSince, Failures: now.Failures}
}

// before is what is remembered of the last run, nothing if there was none or
// it cannot be read.
func before(acc *config.Account) store.LastRun {
	last, err := store.ReadLastRun(acc.State)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return store.LastRun{}
	}
	return last
}

// hookLogged logs how hooks ended.
func hookLogged(log *slog.Logger) func(hook.Outcome) {
	return func(o hook.Outcome) {
		log := log.With("account", o.Account, "hook", o.Kind, "took", o.Took.Round(time.Millisecond).String())
		switch {
		case o.Err != nil:
			log.Warn("a hook failed", "error", o.Err, "output", o.Output)
		case o.Output != "":
			log.Info("a hook ran", "output", o.Output)
		default:
			log.Debug("a hook ran")
		}
	}
}

// hookEnded shows how a hook of a sync ended. One that failed is no failure of
// the sync.
func (a *app) hookEnded(o hook.Outcome) {
	if a.json {
		r := record{Type: "hook", Account: o.Account, What: o.Kind, Text: o.Output}
		ok := o.Err == nil
		if r.OK = &ok; !ok {
			r.Reason = o.Err.Error()
		}
		a.out.object(r)
	}
	text := o.Output
	if text != "" {
		text = ": it said: " + text
	}
	if o.Err != nil {
		a.complain(o.Account, o.Kind+": "+o.Err.Error()+text)
		return
	}
	if a.verbose {
		a.out.line("%s: %s ran%s", o.Account, o.Kind, text)
	}
}
