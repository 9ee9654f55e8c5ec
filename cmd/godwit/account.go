package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// The engine asks whether a side proves its root; a Maildir must.
var _ engine.Rooted = (*maildir.Maildir)(nil)

// unsupported says why an account cannot be synchronised as its
// configuration asks; nil if it can.
func unsupported(acc *config.Account) error {
	switch {
	case acc.Mode == config.ModeBackup:
		return nil
	case acc.Maildir == "":
		return &usageError{errors.New("the account has no maildir to synchronise with: add maildir = \"…\", or mode = \"backup\" to keep an archive only")}
	}
	return nil
}

// inMaildir says why a command that needs a Maildir cannot work on an account;
// nil if it can.
func inMaildir(acc *config.Account) error {
	if acc.Mode == config.ModeBackup {
		return &usageError{errors.New("the account has an archive only, and no maildir")}
	}
	return unsupported(acc)
}

// policy is a mode as data.
func policy(acc *config.Account) plan.Policy {
	var p plan.Policy
	switch acc.Mode {
	case config.ModePull:
		p = plan.Pull()
	case config.ModePush:
		p = plan.Push()
	default:
		p = plan.Mirror()
	}
	if acc.DeleteFolders {
		p.RemoveBoxes = p.Lose
	}
	return p
}

// imapOptions say how the account's server is reached. The password is asked
// for once, when it is first needed.
func imapOptions(acc *config.Account) imap.Options {
	var once sync.Once
	var secret config.Secret
	var err error
	return imap.Options{
		Endpoint: imap.Endpoint{
			Host: acc.Host, Port: acc.Port, TLS: string(acc.TLS), CAFile: acc.CAFile, Fingerprint: acc.Fingerprint,
			AllowPlaintext: acc.AllowPlaintext,
		},
		Username:    acc.Username,
		Connections: acc.Connections,
		Compress:    acc.Compress,
		Password: func(ctx context.Context) (string, error) {
			once.Do(func() { secret, err = acc.Secret.Get(ctx) })
			return secret.Reveal(), err
		},
	}
}

// serverOptions are imapOptions for one run.
func serverOptions(acc *config.Account, s syncOptions) imap.Options {
	o := imapOptions(acc)
	o.Pool = s.pool
	o.Connections = max(1, o.Connections-s.watching)
	if o.Meter = s.meter; s.meter == nil {
		o.Meter = wire.NewMeter(acc.LimitRate)
	}
	return o
}

func maildirOptions(acc *config.Account) maildir.Options {
	return maildir.Options{
		Root: acc.Maildir, Layout: maildir.Layout(acc.Layout), FolderEncoding: maildir.Encoding(acc.FolderEncoding),
		Inbox: acc.Inbox, FSync: acc.FSync,
	}
}

// A syncOptions is what the flags of sync say.
type syncOptions struct {
	only           *config.Patterns // nil: all that the account takes in
	matched        func()           // called for each mailbox that only takes in
	accept, reject bool
	dryRun         bool
	chatty         bool          // tell of what works as it is, too
	echo           *maildir.Echo // told of what is done to the Maildir; nil for nobody
	meter          *wire.Meter   // of the connections; nil for one of their own
	watching       int           // connections that watch meanwhile
	pool           *imap.Pool    // keeps the connection for the next run; nil for none
	locked         bool          // the caller holds the account's lock
}

// An opened account is ready for one run.
type opened struct {
	lock          *store.FileLock
	index         *store.Store
	memory        *engine.Memory // of the index
	local, remote engine.Writer
	server        imap.Options // how remote is reached
	sides         []io.Closer  // that are open
	closers       []io.Closer  // in the order of opening
}

// open takes the account's lock and opens its index and both sides. A dry
// run of an account without an index uses an empty one that is thrown away.
func open(ctx context.Context, acc *config.Account, s syncOptions) (o *opened, err error) {
	o = &opened{}
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	state := acc.State
	if _, err := os.Stat(acc.IndexFile()); s.dryRun && errors.Is(err, fs.ErrNotExist) {
		if state, err = os.MkdirTemp("", "godwit-dry-run-"); err != nil {
			return o, err
		}
		o.closers = append(o.closers, closer(func() error { return os.RemoveAll(state) }))
	}
	if !s.locked {
		if o.lock, err = lockState(state); err != nil {
			return o, err
		}
		o.closers = append(o.closers, closer(o.lock.Unlock))
	}
	if err = o.openLocal(ctx, acc, s); err != nil {
		return o, err
	}
	// The server takes its time to answer: the index is opened and read meanwhile.
	connecting, cancel := context.WithCancel(ctx)
	defer cancel()
	remote := make(chan error, 1)
	go func() { remote <- o.openRemote(connecting, acc, s) }()
	if err = o.openIndex(ctx, state); err != nil {
		cancel()
		<-remote // what is wrong here is told, whatever the server says
		return o, err
	}
	return o, <-remote
}

// openIndex opens the index of a state directory, and reads what a run needs first.
func (o *opened) openIndex(ctx context.Context, state string) (err error) {
	if o.index, err = store.Open(ctx, state); err != nil {
		return err
	}
	o.memory, err = engine.Remember(ctx, o.index)
	return err
}

// openSides makes ready to use the Maildir and the server.
func (o *opened) openSides(ctx context.Context, acc *config.Account, s syncOptions) error {
	if err := o.openLocal(ctx, acc, s); err != nil {
		return err
	}
	return o.openRemote(ctx, acc, s)
}

// openLocal makes ready to use the Maildir. The index may be opened later.
func (o *opened) openLocal(ctx context.Context, acc *config.Account, s syncOptions) error {
	options := maildirOptions(acc)
	options.Echo = s.echo
	options.Bound = func(ctx context.Context, box mail.BoxID, refs []mail.Ref) (bound []mail.Ref, all int, err error) {
		all, err = o.index.KnownAt(ctx, plan.Local, box, refs, func(k plan.Known) error {
			bound = append(bound, k.Ref)
			return nil
		})
		return bound, all, err
	}
	local, err := maildir.Open(ctx, options)
	if err != nil {
		return err
	}
	o.local, o.sides = local, append(o.sides, local)
	return nil
}

// openRemote connects to the server.
func (o *opened) openRemote(ctx context.Context, acc *config.Account, s syncOptions) error {
	o.server = serverOptions(acc, s)
	remote, err := imap.Open(ctx, o.server)
	if err != nil {
		return err
	}
	o.remote, o.sides = remote, append(o.sides, remote)
	return nil
}

// lockState takes the lock of an account's state directory.
func lockState(state string) (*store.FileLock, error) {
	lock, err := store.Lock(state)
	if errors.Is(err, store.ErrLocked) {
		err = fmt.Errorf("%w: wait for it to end, or run again later", err)
	}
	return lock, err
}

// close closes everything. The lock goes last.
func (o *opened) close() error { return errors.Join(o.closeData(), o.release()) }

// closeData closes the sides and the index.
func (o *opened) closeData() error {
	var errs []error
	for _, side := range o.sides {
		errs = append(errs, side.Close())
	}
	if o.index != nil {
		errs = append(errs, o.index.Close())
	}
	return errors.Join(errs...)
}

// release gives up the lock, and what was made for this run only.
func (o *opened) release() error {
	var errs []error
	for i := len(o.closers) - 1; i >= 0; i-- {
		errs = append(errs, o.closers[i].Close())
	}
	return errors.Join(errs...)
}

type closer func() error

func (c closer) Close() error { return c() }

// engineOptions put together what a run is made of.
func engineOptions(acc *config.Account, o *opened, s syncOptions, observe engine.Observer) engine.Options {
	options := engine.Options{
		Account: acc.Name, Local: o.local, Remote: o.remote, Index: o.index, Memory: o.memory,
		Keeper:   keeper{o.index.Keeper(acc.State, acc.KeepDeleted, time.Now)},
		KeepsRef: [2]bool{plan.Local: true}, // a Maildir key goes with its file
		Mode:     string(acc.Mode), Policy: policy(acc), Bound: acc.Username + "@" + acc.Host,
		Scope: acc.Folders.InScope, GuardPercent: acc.DeleteGuard,
		Accept: s.accept, Reject: s.reject, DryRun: s.dryRun, Clock: time.Now, Observer: observe,
	}
	if s.only != nil {
		options.Only = func(name mail.MailboxName) bool {
			taken := s.only.Match(name)
			if taken {
				s.matched()
			}
			return taken
		}
	}
	return options
}

// keeper gives the undo store the engine's words.
type keeper struct{ *store.Keeper }

// Keep implements engine.Keeper.
func (k keeper) Keep(ctx context.Context, what engine.Kept, want mail.Identity, body io.Reader) error {
	return k.Keeper.Keep(ctx, store.Kept{Side: what.Side, Mailbox: what.Mailbox, Why: what.Why, Flags: what.Item.Flags, Date: what.Item.Date}, want, body)
}

// lastRun is what is remembered of a run for status.
func lastRun(r *engine.Report, exit exitCode) store.LastRun {
	l := store.LastRun{
		Began: r.Began, Ended: r.Ended, Exit: int(exit), Mailboxes: r.Mailboxes, Messages: r.Messages,
		Copied: r.Copied, CopiedBytes: r.CopiedBytes, Flagged: r.Flagged, Moved: r.Moved, Deleted: r.Deleted, Adopted: r.Adopted,
		Held: r.Held, HeldBoxes: r.HeldBoxes, Pending: r.Pending, Declined: r.Declined, Hints: r.Hints,
	}
	for _, f := range r.Faults {
		l.Errors = append(l.Errors, f.Error())
	}
	return l
}
