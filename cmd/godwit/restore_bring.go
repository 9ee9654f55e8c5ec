package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/cmd/godwit/export"
	"github.com/godwit-mail/godwit/cmd/godwit/restore"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// bring brings a selection to its place.
func (x *restoring) bring(ctx context.Context, s *restore.Selection) error {
	if x.to.kind == toServer {
		return x.toServer(ctx, s)
	}
	sum, err := restore.Sum{}, error(nil)
	if x.to.kind == toMaildir {
		sum, err = x.toMaildir(ctx, s)
	} else {
		sum, err = x.toFiles(ctx, s)
	}
	return x.end(ctx, sum, err)
}

// end tells what a restore came to.
func (x *restoring) end(ctx context.Context, sum restore.Sum, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	x.app.code = worse(x.app.code, exitCode(sum.Exit))
	x.tellSum(sum, "restored to "+x.to.String())
	return nil
}

// toFiles writes mail out into files.
func (x *restoring) toFiles(ctx context.Context, s *restore.Selection) (restore.Sum, error) {
	w, err := openExport(x.to.kind, x.dryRun)(x.to.path)
	if errors.Is(err, fs.ErrExist) {
		err = &usageError{err}
	}
	if err != nil {
		return restore.Sum{}, err
	}
	defer w.Abort()
	told := func(m export.Message, where string) { x.tell(m.Ident.Wire, m.Mailbox, m.Ident.Size, where) }
	sum, err := restore.Export(ctx, s, w, told, func(err error) { x.app.fail(x.acc.Name, err) })
	if err == nil {
		err = w.Commit()
	}
	return sum, err
}

// A plainRoot is a Maildir that is filled, not kept in step: its marker is not
// touched, and proves nothing.
type plainRoot struct{ *maildir.Maildir }

// Root implements engine.Rooted.
func (p plainRoot) Root(ctx context.Context) (engine.Root, error) {
	root, err := p.Maildir.Root(ctx)
	root.Marked, root.Instance, root.Runs = false, "", 0
	return root, err
}

// Stamp implements engine.Rooted.
func (p plainRoot) Stamp(context.Context, string, int64) error { return nil }

var _ engine.Rooted = plainRoot{}

// toMaildir fills a Maildir outside of any account.
func (x *restoring) toMaildir(ctx context.Context, s *restore.Selection) (restore.Sum, error) {
	m, err := maildir.Open(ctx, maildir.Options{Root: x.to.path, Layout: maildir.FS, FSync: true})
	if err != nil {
		return restore.Sum{}, err
	}
	defer m.Close()
	return x.fill(ctx, s, m)
}

// fill puts what is missing into a Maildir. What was interrupted is found
// there by identity, so nothing is remembered of it.
func (x *restoring) fill(ctx context.Context, s *restore.Selection, m *maildir.Maildir) (sum restore.Sum, err error) {
	err = x.withIndex(ctx, "maildir", func(index *store.Store) error {
		sum, err = x.add(ctx, s, restore.Target{Side: plainRoot{m}, On: plan.Local, Index: index, Bound: x.to.String()})
		return err
	})
	return sum, err
}

// restoreDir is where restores of an account remember what they have not
// finished.
func (x *restoring) restoreDir() string { return filepath.Join(x.acc.State, restoreState) }

// restoreState is the directory of that in the state directory of an account.
// Its lock is held while an archive is read that must not lose anything.
const restoreState = "restore"

// lockRestores takes the lock that one restore from an account holds.
func (x *restoring) lockRestores() (*store.FileLock, error) {
	lock, err := lockState(x.restoreDir())
	if err != nil {
		err = fmt.Errorf("another restore from %s: %w", x.acc.Name, err)
	}
	return lock, err
}

// once begins the names of what no later restore has a use for.
const once = "once-"

// clear removes what restores left that were killed.
func (x *restoring) clear() error {
	entries, err := os.ReadDir(x.restoreDir())
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), once) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(x.restoreDir(), e.Name())))
		}
	}
	return err
}

// withIndex opens the index of a pair that no other restore from this account
// uses meanwhile. It is kept as long as something in it waits to be looked up:
// a message that was sent and never answered for. name says which pair it is;
// "" for one that is thrown away.
func (x *restoring) withIndex(ctx context.Context, name string, use func(*store.Store) error) (err error) {
	if x.lock == nil {
		lock, err := x.lockRestores()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, lock.Unlock()) }()
	}
	if err := x.clear(); err != nil {
		return err
	}
	dir := filepath.Join(x.restoreDir(), name)
	lasting := name != "" && !x.dryRun && name != "maildir"
	if !lasting {
		if dir, err = os.MkdirTemp(x.restoreDir(), once+"*"); err != nil {
			return err
		}
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	index, err := store.Open(ctx, dir)
	if lasting && errors.Is(err, store.ErrDamaged) {
		if err = os.RemoveAll(dir); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
		if err == nil {
			index, err = store.Open(ctx, dir)
		}
	}
	if err != nil {
		return err
	}
	err = use(index)
	open, e := index.Intents(context.WithoutCancel(ctx))
	err = errors.Join(err, e, index.Close())
	// One that was sent again may turn up yet, but nothing is ever deleted for it here.
	waits := slices.ContainsFunc(open, func(in plan.Intent) bool { return in.Kind != plan.IntentLate })
	if !lasting || e == nil && !waits {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// add puts what is missing into a target, and tells of it.
func (x *restoring) add(ctx context.Context, s *restore.Selection, t restore.Target) (restore.Sum, error) {
	p := x.app.newProgress(x.acc.Name)
	defer p.end()
	return restore.Add(ctx, s, t, restore.Options{Account: x.acc.Name, DryRun: x.dryRun, Clock: x.app.now, Observer: func(e engine.Event) {
		p.event(e)
		switch {
		case e.Kind == engine.Action && e.Verb == engine.VerbCopied:
			x.tell(e.Digest, e.Mailbox, e.Size, string(e.Mailbox))
			x.note(e)
		case e.Kind == engine.Action && e.Verb == engine.VerbCreated:
			x.made(e.Mailbox)
		case e.Kind == engine.Faulted:
			x.app.event(e)
			x.app.code = worse(x.app.code, exitFailed)
		case e.Kind == engine.Noted && !x.silent: // what the place cannot store
			x.app.event(e)
		}
	}})
}

// tell tells of one message.
func (x *restoring) tell(d mail.Digest, name mail.MailboxName, size int64, where string) {
	a := x.app
	if x.silent {
		return
	}
	if a.json {
		a.out.object(record{Type: "restored", Account: x.acc.Name, Mailbox: string(name), Digest: d.String(), Size: size, To: x.to.String(), Planned: x.dryRun})
	}
	if !a.verbose && !x.dryRun {
		return
	}
	what := "a message"
	if !d.IsZero() {
		what = d.String()[:12]
	}
	if subject, ok := x.subjects[d]; ok {
		where += ": " + orDash(subject)
	}
	a.out.info("%s: %s %s to %s", x.acc.Name, x.verb("restored", "would restore"), what, where)
}

// note keeps what is to be told in the log of the account that mail came to.
func (x *restoring) note(e engine.Event) {
	if x.silent || x.dryRun || x.to.kind != toServer || !x.to.server.Synced() {
		return
	}
	text := "from the archive of " + x.acc.Name
	if x.newest != 0 {
		text = fmt.Sprintf("from generation #%d of %s", x.newest, x.acc.Name)
	}
	if x.deleted {
		text = "put back from what was deleted"
	}
	x.written = append(x.written, plan.Event{At: e.Time, Verb: "restored", Side: plan.Remote, Mailbox: e.Mailbox, Ident: e.Digest, MessageID: e.MessageID, Text: text})
}

func (x *restoring) made(name mail.MailboxName) {
	if !x.silent && (x.app.verbose || x.dryRun) {
		x.app.out.info("%s: %s the mailbox %s", x.acc.Name, x.verb("made", "would make"), name)
	}
}

// verb is what was done, or would be.
func (x *restoring) verb(done, would string) string {
	if x.dryRun {
		return would
	}
	return done
}

// A restoreCounts is what --json tells of a finished restore.
type restoreCounts struct {
	Generation int64  `json:"generation,omitempty"` // 0: each message as it was last
	To         string `json:"to"`
	Chosen     int    `json:"chosen"`
	Written    int    `json:"written"`
	There      int    `json:"there"` // already
	Failed     int    `json:"failed"`
	Bytes      int64  `json:"bytes"` // of what was written
	Mailboxes  int    `json:"made_mailboxes"`
}

// tellSum tells what came of all of it; done says where to.
func (x *restoring) tellSum(sum restore.Sum, done string) {
	a := x.app
	text := count(sum.Written, "message") + " " + x.verb("", "would be ") + done
	if sum.WrittenSize > 0 {
		text += ", " + bytesText(sum.WrittenSize)
	}
	if n := sum.There(); n > 0 {
		text += fmt.Sprintf("; %d there already", n)
	}
	if sum.Made > 0 {
		text += fmt.Sprintf("; %s %s", count(sum.Made, "mailbox"), x.verb("made", "would be made"))
	}
	if sum.Failed > 0 {
		text += fmt.Sprintf("; %d failed", sum.Failed)
	}
	if a.json {
		a.out.object(record{Type: "restore", Account: x.acc.Name, Text: text, Planned: x.dryRun, Restore: &restoreCounts{
			Generation: x.newest, To: x.to.String(), Chosen: sum.Chosen, Written: sum.Written, There: sum.There(), Failed: sum.Failed,
			Bytes: sum.WrittenSize, Mailboxes: sum.Made,
		}})
	}
	a.out.info("%s: %s", x.acc.Name, text)
	if sum.Failed > 0 && !x.dryRun {
		a.complain(x.acc.Name, "the same restore, run again, brings what is missing, once what is told above is mended")
	}
}
