package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"github.com/godwit-mail/godwit/cmd/godwit/restore"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// exactly makes mailboxes on a server just what they were: it adds what is
// missing, as any restore, and then deletes what was not there and sets flags
// as they were. What is to be deleted is shown first, and kept.
func (x *restoring) exactly(ctx context.Context) error {
	if !x.yes && !x.dryRun && !x.app.canAsk() {
		return &usageError{errors.New("--exact deletes, and asks first: run it at a terminal, or give --yes, or see with --dry-run what it would do")}
	}
	lock, err := lockState(x.to.server.State)
	if err != nil {
		return err
	}
	err = x.exactlyLocked(ctx)
	return errors.Join(err, x.closeArchive(), lock.Unlock())
}

func (x *restoring) exactlyLocked(ctx context.Context) error {
	if err := x.generationFirst(ctx); err != nil {
		return err
	}
	if err := x.openArchive(ctx); err != nil {
		return err
	}
	s, err := x.choose(ctx)
	if err != nil {
		return err
	}
	var d restore.Difference
	err = x.onServer(ctx, func(side engine.Writer) error {
		err := x.withIndex(ctx, "", func(index *store.Store) (err error) {
			t := restore.Target{Side: side, On: plan.Remote, Index: index, Bound: boundTo(x.to.server)}
			d, err = restore.Compare(ctx, s, t, restore.Options{Account: x.acc.Name, Clock: x.app.now, Observer: x.faults})
			return err
		})
		if err == nil {
			err = x.showDifference(ctx, side, d)
		}
		return err
	})
	if err != nil {
		return err
	}
	if x.dryRun {
		return x.addToServer(ctx, s)
	}
	if len(d.Delete)+len(d.Flags) > 0 && !x.yes && !x.app.ask("go on?") {
		return errors.New("nothing was changed")
	}
	if err := x.addToServer(ctx, s); err != nil {
		return err
	}
	if x.app.code != exitOK {
		return errors.New("not all of it could be brought back, so nothing was deleted: mend what is told above, and try again")
	}
	if len(d.Delete)+len(d.Flags) > 0 {
		if err := x.level(ctx, d); err != nil {
			return err
		}
	}
	return x.followUp(ctx, s)
}

// faults tells of the faults of a comparison.
func (x *restoring) faults(e engine.Event) {
	if e.Kind == engine.Faulted {
		x.app.event(e)
		x.app.code = worse(x.app.code, exitFailed)
	}
}

// generationFirst makes a generation of what is about to be changed, if it is
// in the archive that the restore is from. Which generation is restored is
// settled before.
func (x *restoring) generationFirst(ctx context.Context) error {
	if x.to.server != x.acc || x.dryRun {
		return nil
	}
	if !x.acc.Archived() {
		x.app.complain(x.acc.Name, "no generation is made first, since backup is off: what is deleted is shown by restore "+x.acc.Name+" --deleted")
		return nil
	}
	if err := x.openArchive(ctx); err != nil {
		return err
	}
	g, err := x.generation(ctx)
	if err = errors.Join(err, x.closeArchive()); err != nil {
		return err
	}
	x.at = fmt.Sprintf("#%d", g.Number)
	s := syncOptions{locked: true}
	r := runAccount(ctx, x.acc, s, x.app.now, x.app.event)
	x.app.endRun(x.acc, r, s)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case r.exit != exitOK || r.backup == nil || !r.backup.Complete && r.backup.skipped != skippedSame:
		return errors.New("no complete generation could be made first, so nothing was restored: mend what is told above, and try again")
	}
	return nil
}

// mostShown is how many messages are shown before something is asked, and
// mostFlags how many changes of flags; all of them with -v.
const (
	mostShown = 50
	mostFlags = 20
)

// showDifference prints what is to be deleted and changed.
func (x *restoring) showDifference(ctx context.Context, side engine.Writer, d restore.Difference) error {
	a, shown, flags := x.app, len(d.Delete), len(d.Flags)
	if !a.verbose {
		shown, flags = min(shown, mostShown), min(flags, mostFlags)
	}
	heads, err := headlines(ctx, side, d.Delete[:shown])
	if err != nil {
		return err
	}
	for i, m := range d.Delete {
		if a.json {
			a.out.object(record{Type: "action", Account: x.acc.Name, Mailbox: string(m.Mailbox), Verb: "deleted", Side: "remote", Size: m.Ident.Size, Planned: true, To: x.to.String()})
		}
		if i < shown {
			a.out.line("%s: delete from %s: %s, %s, %s", x.acc.Name, m.Mailbox, stamp(m.Date), bytesText(m.Ident.Size), heads[i])
		}
	}
	for _, m := range d.Flags[:flags] {
		a.out.line("%s: flags in %s: message of %s:%s", x.acc.Name, m.Mailbox, stamp(m.Date), flagsText(engine.Event{Added: m.Add, Removed: m.Remove}))
	}
	if n := len(d.Delete) - shown + len(d.Flags) - flags; n > 0 {
		a.out.line("%s: … and %d more, which -v shows", x.acc.Name, n)
	}
	a.out.line("%s: %s to be deleted from %s, %s to have other flags, %d missing there", x.acc.Name, count(len(d.Delete), "message"), x.to, count(len(d.Flags), "message"), d.Missing)
	return nil
}

// headlines are what people know messages by.
func headlines(ctx context.Context, side engine.Writer, list []restore.Surplus) ([]string, error) {
	heads, ids := make([]string, len(list)), map[mail.MailboxName]mail.BoxID{}
	refs, at := map[mail.MailboxName][]mail.Ref{}, map[mail.MailboxName]map[mail.Ref]int{}
	for i, m := range list {
		if at[m.Mailbox] == nil {
			ids[m.Mailbox], at[m.Mailbox] = mail.BoxID(len(ids)+1), map[mail.Ref]int{}
		}
		refs[m.Mailbox] = append(refs[m.Mailbox], m.Ref)
		at[m.Mailbox][m.Ref] = i
	}
	for name, list := range refs {
		side.Bind(map[mail.BoxID]mail.MailboxName{ids[name]: name})
		err := side.Fetch(ctx, ids[name], list, func(ref mail.Ref, _ mail.Item, body io.Reader) error {
			from, subject := headline(body)
			heads[at[name][ref]] = orDash(from) + ", " + orDash(subject)
			return nil
		})
		if err != nil && mail.GradeOf(err, mail.GradeMailbox) > mail.GradeMessage {
			return heads, err
		}
	}
	return heads, nil
}

// level deletes and sets flags, on the server and, what is deleted, in the
// account's Maildir, too: no sync then takes it for a catastrophe.
func (x *restoring) level(ctx context.Context, d restore.Difference) error {
	acc := x.to.server
	index, err := store.Open(ctx, acc.State)
	if err != nil {
		return err
	}
	keep := keeper{index.Keeper(acc.State, acc.KeepDeleted, x.app.now)}
	why := fmt.Sprintf("not there in generation #%d of %s (restore --exact)", x.newest, x.acc.Name)
	var done restore.Done
	err = x.onServer(ctx, func(side engine.Writer) (err error) {
		done, err = restore.Level(ctx, restore.Target{Side: side, On: plan.Remote}, d, keep, why)
		return err
	})
	for _, fault := range done.Faults {
		x.app.fail(acc.Name, fault)
	}
	var st plan.Settlement
	for _, m := range done.Deleted {
		st.Events = append(st.Events, plan.Event{At: x.app.now(), Verb: "deleted", Side: plan.Remote, Mailbox: m.Mailbox, Ident: m.Ident.Body, Text: why})
	}
	settled := context.WithoutCancel(ctx)
	err = errors.Join(err, index.Settle(settled, &st))
	if acc.Synced() && err == nil {
		err = x.deleteHere(settled, index, done.Deleted)
	}
	x.app.out.info("%s: %s deleted from %s, %s changed", x.acc.Name, count(len(done.Deleted), "message"), x.to, count(done.Flagged, "set")+" of flags")
	return errors.Join(err, index.Close())
}

// canAsk tells whether somebody is there to answer.
func (a *app) canAsk() bool {
	f, ok := a.stdin.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && !a.json
}

// ask asks for a yes.
func (a *app) ask(question string) bool {
	fmt.Fprintf(a.stderr, "%s [y/N] ", question)
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	answer := strings.ToLower(strings.TrimSpace(line))
	return (err == nil || errors.Is(err, io.EOF)) && (answer == "y" || answer == "yes")
}
