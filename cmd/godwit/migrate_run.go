package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/cmd/godwit/migrate"
	"github.com/godwit-mail/godwit/cmd/godwit/migrate/folders"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
)

// A migration is one call of migrate.
type migration struct {
	app *app
	migrateOptions
	from, to *config.Account
	names    folders.Options
	wanted   func(mail.Item) bool // nil: all

	dir    string // what remembers it
	bound  string
	sides  migrate.Sides // as they were opened last
	pools  [2]*imap.Pool
	meters [2]*wire.Meter
	told   map[string]bool // errors that were told
	room   imap.Quota      // of the target, when it was first opened
	asked  bool            // for it
	bytes  *migrate.Compared
}

// name is what the migration is called.
func (m *migration) name() string { return m.from.Name + " -> " + m.to.Name }

// run moves the mail, under the lock of this pair of accounts.
func (m *migration) run(ctx context.Context, state string) (err error) {
	m.dir = filepath.Join(state, "migrate", m.from.Name, m.to.Name)
	m.bound = fmt.Sprintf("%s:%d -> %s:%d", boundTo(m.from), m.from.Port, boundTo(m.to), m.to.Port)
	m.told = map[string]bool{}
	changes := !m.dryRun && !m.sizes
	if _, err := os.Stat(filepath.Join(m.dir, store.IndexFile)); !changes && errors.Is(err, fs.ErrNotExist) {
		if m.dir, err = os.MkdirTemp("", "godwit-dry-run-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	}
	lock, err := lockState(m.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	pair, err := m.remembered(changes)
	if err != nil {
		return err
	}
	index, err := store.Open(ctx, m.dir)
	if errors.Is(err, store.ErrDamaged) && changes {
		m.app.complain(m.name(), "the index of this migration is damaged: a new one is made; what the target has is matched, not copied again")
		if err = m.forget(); err == nil {
			index, err = store.Open(ctx, m.dir)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	for i, acc := range []*config.Account{m.from, m.to} {
		m.pools[i], m.meters[i] = imap.NewPool(), wire.NewMeter(acc.LimitRate)
		defer m.pools[i].Close()
	}
	return m.begin(ctx, m.options(index, pair))
}

// remembered reads where earlier runs took mailboxes. What belongs to other
// servers is forgotten.
func (m *migration) remembered(changes bool) (*pairFile, error) {
	pair, err := readPair(m.dir, m.bound)
	if err != nil || pair.text.Bound == m.bound {
		return pair, err
	}
	if !changes {
		return nil, fmt.Errorf("%s or %s names another server or user than at the last run: what would be done cannot be shown until a run has begun anew", m.from.Name, m.to.Name)
	}
	m.app.complain(m.name(), "an account names another server or user than at the last run: the migration begins anew; what the target has is matched, not copied again")
	if err := m.forget(); err != nil {
		return nil, err
	}
	return readPair(m.dir, m.bound)
}

// forget removes what is remembered of the migration. The lock stays.
func (m *migration) forget() error {
	entries, err := os.ReadDir(m.dir)
	for _, e := range entries {
		if e.Name() != store.LockFile {
			err = errors.Join(err, os.RemoveAll(filepath.Join(m.dir, e.Name())))
		}
	}
	return err
}

func (m *migration) options(index *store.Store, pair *pairFile) migrate.Options {
	return migrate.Options{
		Account: m.name(), Open: m.open, Index: index, Memory: pair, Keeper: keeper{index.Keeper(m.dir, m.to.KeepDeleted, m.app.now)}, Router: m.router, Select: m.wanted, Bound: m.bound,
		DeltaFlags: m.deltaFlags, Subscriptions: m.subscriptions, DryRun: m.dryRun, MaxErrors: m.maxErrors, Clock: m.app.now,
	}
}

// open connects with both servers, at once.
func (m *migration) open(ctx context.Context) (migrate.Sides, error) {
	var accounts [2]*imap.Account
	var g errgroup.Group
	for i, acc := range []*config.Account{m.from, m.to} {
		g.Go(func() (err error) {
			o := imapOptions(acc)
			o.Pool, o.Meter = m.pools[i], m.meters[i]
			accounts[i], err = imap.Open(ctx, o)
			if err != nil {
				err = fmt.Errorf("%s: %w", acc.Name, err)
			}
			return err
		})
	}
	err := g.Wait()
	if err != nil {
		for _, a := range accounts {
			if a != nil {
				err = errors.Join(err, a.Close())
			}
		}
		return migrate.Sides{}, err
	}
	if !m.asked { // a server that cannot say may yet take it
		m.room, _, _ = accounts[1].Quota(ctx)
		m.asked = true
	}
	m.sides = migrate.Sides{Origin: accounts[0], Target: accounts[1], Close: func() error {
		return errors.Join(accounts[0].Close(), accounts[1].Close())
	}}
	return m.sides, nil
}

// begin does what was asked for.
func (m *migration) begin(ctx context.Context, o migrate.Options) error {
	if m.sizes {
		list, err := migrate.Sizes(ctx, o)
		if err != nil {
			return m.failed(ctx, err)
		}
		m.tellSizes(list)
		return nil
	}
	p := m.app.newProgress(m.name())
	o.Observer = func(e engine.Event) {
		p.event(e)
		m.event(e)
	}
	work := migrate.Run
	if m.foldersOnly {
		work = migrate.MakeFolders
	}
	res, err := work(ctx, o)
	p.end()
	if err == nil && m.verify == "bytes" && !m.dryRun && !m.foldersOnly {
		var c migrate.Compared
		if c, err = migrate.CompareBytes(ctx, o); err == nil {
			m.bytes = &c
		}
	}
	if err == nil || res.Looked() {
		m.tell(res, err)
	}
	if err != nil {
		return m.failed(ctx, err)
	}
	m.app.code = worse(m.app.code, m.exit(res))
	return nil
}

// failed gives what ends a migration its exit code.
func (m *migration) failed(ctx context.Context, err error) error {
	var elsewhere *migrate.Rerouted
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.As(err, &elsewhere):
		return &usageError{fmt.Errorf("%w: give the same flags as before, or remove %s to begin anew (what is there is not copied twice into the same mailbox)", err, m.dir)}
	}
	m.app.code = worse(m.app.code, causeOf(err))
	return err
}

// causeOf is the exit code of a migration that ended with err.
func causeOf(err error) exitCode {
	switch mail.ClassOf(err) {
	case mail.ClassAuth:
		return exitAuth
	case mail.ClassNetwork, mail.ClassTLS:
		return exitConnection
	case mail.ClassQuota, mail.ClassThrottle:
		return exitQuota
	}
	return codeOf(err)
}

// exit is the exit code of a migration that came to its end.
func (m *migration) exit(res *migrate.Result) (code exitCode) {
	for _, f := range res.Faults {
		code = worse(code, causeOf(f))
	}
	for _, f := range res.Folders {
		if f.Skipped[migrate.TooLarge] > 0 {
			code = worse(code, exitQuota)
		}
	}
	whole := res.Whole() || m.verify == "none" && res.Waiting == 0
	if !m.dryRun && !m.foldersOnly && !whole || m.bytes != nil && len(m.bytes.Differ)+m.bytes.Gone > 0 {
		code = worse(code, exitFailed)
	}
	return code
}
