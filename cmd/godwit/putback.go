package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/export"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

// putBack puts messages back into the account's own Maildir, under its lock.
func (a *app) putBack(ctx context.Context, acc *config.Account, list []deleted, r restoreOptions) error {
	if err := inMaildir(acc); err != nil {
		return err
	}
	lock, err := lockState(acc.State)
	if err != nil {
		return err
	}
	err = a.putBackLocked(ctx, acc, list, r)
	return errors.Join(err, lock.Unlock())
}

func (a *app) putBackLocked(ctx context.Context, acc *config.Account, list []deleted, r restoreOptions) error {
	m, err := maildir.Open(ctx, maildirOptions(acc))
	if err != nil {
		return err
	}
	defer m.Close()
	root, err := m.Root(ctx)
	if err != nil {
		return err
	}
	if !root.Marked && !root.Mail {
		return fmt.Errorf("the maildir %s is empty or not there: mount its disk, or run sync first", acc.Maildir)
	}
	names, _ := byMailbox(list, r.into)
	for _, name := range names {
		if !acc.Folders.InScope(name, mail.RoleNone) {
			a.complain(acc.Name, fmt.Sprintf("%s is left out by folders: what is put there stays here, and does not go to the server", name))
		}
	}
	put := putter{app: a, acc: acc, m: m, options: r, done: "put back"}
	err = put.all(ctx, list)
	if len(put.put) > 0 && !r.dryRun {
		err = errors.Join(err, logPutBack(ctx, acc, put.put, a.now()))
	}
	return err
}

// logPutBack tells in the event log where messages came from.
func logPutBack(ctx context.Context, acc *config.Account, put []deleted, now time.Time) error {
	if _, err := os.Stat(acc.IndexFile()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	index, err := store.Open(ctx, acc.State)
	if errors.Is(err, store.ErrDamaged) {
		return nil // it has no log to write to
	}
	if err != nil {
		return err
	}
	var st plan.Settlement
	for _, d := range put {
		st.Events = append(st.Events, plan.Event{At: now, Verb: "restored", Side: plan.Local, Mailbox: d.Mailbox, Ident: d.Ident.Body, Text: "put back from what was deleted"})
	}
	return errors.Join(index.Settle(ctx, &st), index.Close())
}

// writeOut writes messages to a place outside.
func (a *app) writeOut(ctx context.Context, acc *config.Account, kind, path string, list []deleted, r restoreOptions) error {
	if kind == "maildir" {
		m, err := maildir.Open(ctx, maildir.Options{Root: path, Layout: maildir.FS, FSync: true})
		if err != nil {
			return err
		}
		defer m.Close()
		put := putter{app: a, acc: acc, m: m, options: r, done: "written to " + path}
		return put.all(ctx, list)
	}
	w, err := openExport(kind, r.dryRun)(path)
	if errors.Is(err, fs.ErrExist) {
		return &usageError{err}
	}
	if err != nil {
		return err
	}
	defer w.Abort()
	names, groups := byMailbox(list, r.into)
	written, there := 0, 0
	for _, name := range names {
		for _, d := range groups[name] {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.Mailbox = name
			if err := d.prove(); err != nil {
				a.fail(acc.Name, err)
				continue
			}
			where, wrote, err := w.Put(export.Message{Mailbox: name, Ident: d.Ident, Flags: d.Flags, Date: d.Date, Deleted: d.DeletedAt, Open: d.open})
			if err != nil {
				return err
			}
			if !wrote {
				there++
				continue
			}
			written++
			a.tellRestored(acc, d, where, r.dryRun)
		}
	}
	if err := w.Commit(); err != nil {
		return err
	}
	a.tellRestoredSum(acc, written, there, "written to "+path, r.dryRun)
	return nil
}

// openExport says how files of a kind are begun.
func openExport(kind string, dry bool) func(path string) (export.Writer, error) {
	switch {
	case kind == toMbox && dry:
		return export.DryMbox
	case kind == toMbox:
		return export.Mbox
	case dry:
		return export.DryEML
	}
	return export.EML
}

// prove reads the kept bytes and compares them with what they must be.
func (d *deleted) prove() error {
	r, err := d.open()
	if err != nil {
		return err
	}
	defer r.Close()
	id, err := mail.Identify(r)
	if err == nil && id.Wire != d.Ident.Wire {
		err = fmt.Errorf("the kept copy of %s from %s is damaged: %s", d.Ident.Body.String()[:12], d.Mailbox, d.File)
	}
	return err
}

// traceSlack is by how much fields of other tools, which count for nothing in
// an identity, may make a file longer.
const traceSlack = 512

// A putter places messages in a Maildir.
type putter struct {
	app     *app
	acc     *config.Account
	m       *maildir.Maildir
	options restoreOptions
	done    string // what was done, for the summary

	boxes map[mail.MailboxName]plan.Box
	put   []deleted
	there int
}

func (p *putter) all(ctx context.Context, list []deleted) error {
	boxes, err := p.m.Survey(ctx, nil)
	if err != nil {
		return err
	}
	p.boxes = map[mail.MailboxName]plan.Box{}
	for _, b := range boxes {
		p.boxes[b.Name] = b
	}
	names, groups := byMailbox(list, p.options.into)
	for i, name := range names {
		if err := p.mailbox(ctx, mail.BoxID(i+1), name, groups[name]); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			p.app.fail(p.acc.Name, fmt.Errorf("mailbox %s: %w", name, err))
		}
	}
	p.app.tellRestoredSum(p.acc, len(p.put), p.there, p.done, p.options.dryRun)
	return nil
}

// mailbox places the messages of one mailbox that it does not have already.
func (p *putter) mailbox(ctx context.Context, id mail.BoxID, name mail.MailboxName, list []deleted) error {
	have := map[mail.Digest]bool{}
	b, there := p.boxes[name]
	if there && !b.Container {
		p.m.Bind(map[mail.BoxID]mail.MailboxName{id: name})
		var err error
		if have, err = p.present(ctx, id, list); err != nil {
			return err
		}
	}
	var missing []deleted
	for _, d := range list {
		d.Mailbox = name
		switch err := d.prove(); {
		case have[d.Ident.Body]:
			p.there++
		case err != nil:
			p.app.fail(p.acc.Name, err)
		default:
			missing = append(missing, d)
		}
	}
	if p.options.dryRun || len(missing) == 0 {
		p.tell(missing)
		return nil
	}
	if !there || b.Container {
		if _, err := p.m.Create(ctx, name); err != nil {
			return err
		}
		p.m.Bind(map[mail.BoxID]mail.MailboxName{id: name})
	}
	return p.place(ctx, id, missing)
}

func (p *putter) tell(list []deleted) {
	for _, d := range list {
		p.put = append(p.put, d)
		p.app.tellRestored(p.acc, d, string(d.Mailbox), p.options.dryRun)
	}
}

// present tells which of the messages a mailbox has, by their bytes.
func (p *putter) present(ctx context.Context, id mail.BoxID, list []deleted) (map[mail.Digest]bool, error) {
	wanted := map[mail.Digest]bool{}
	for _, d := range list {
		wanted[d.Ident.Body] = true
	}
	var refs []mail.Ref
	_, err := p.m.Scan(ctx, id, plan.Since{}, func(m plan.Seen) error {
		for _, d := range list {
			// With LF line ends, a file is shorter by a byte a line.
			if m.Item.Ident.Size >= d.Ident.Size/2 && m.Item.Ident.Size <= d.Ident.Size+traceSlack {
				refs = append(refs, m.Ref)
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	have := map[mail.Digest]bool{}
	err = p.m.Identify(ctx, id, refs, mail.LevelBody, func(_ mail.Ref, ident mail.Identity, err error) error {
		if err == nil && wanted[ident.Body] {
			have[ident.Body] = true
		}
		return nil // what cannot be read is not it
	})
	return have, err
}

// place writes messages into a mailbox. \Deleted is left out: nobody puts a
// message back to have it removed.
func (p *putter) place(ctx context.Context, id mail.BoxID, list []deleted) error {
	batch, err := p.m.Put(ctx, id)
	if err != nil {
		return err
	}
	defer batch.Abort()
	for i, d := range list {
		item := mail.Item{Flags: d.Flags.Without(mail.Deleted), Date: d.Date, Ident: mail.Identity{Size: d.Ident.Size}}
		if err := batch.Add(ctx, plan.Incoming{Tag: i, Item: item, Open: func() (io.ReadCloser, error) { return d.open() }}); err != nil {
			return err
		}
	}
	placed, err := batch.Commit(ctx)
	var ok []deleted
	for _, pl := range placed {
		if pl.Err != nil && err == nil {
			p.app.fail(p.acc.Name, fmt.Errorf("message %s: %w", list[pl.Tag].Ident.Body.String()[:12], pl.Err))
		} else if pl.Err == nil {
			ok = append(ok, list[pl.Tag])
		}
	}
	p.tell(ok)
	return err
}

func (a *app) tellRestored(acc *config.Account, d deleted, where string, dry bool) {
	a.showDeleted("restored", acc, d)
	verb := "restored"
	if dry {
		verb = "would restore"
	}
	if a.verbose || dry {
		a.out.info("%s: %s %s to %s: %s", acc.Name, verb, d.Ident.Body.String()[:12], where, orDash(d.subject))
	}
}

func (a *app) tellRestoredSum(acc *config.Account, written, there int, done string, dry bool) {
	text := count(written, "message") + " " + done
	if dry {
		text = count(written, "message") + " would be " + done
	}
	if there > 0 {
		text += fmt.Sprintf("; %d there already", there)
	}
	a.out.info("%s: %s", acc.Name, text)
}
