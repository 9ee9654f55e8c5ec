package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/maildir"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// verifyArchive verifies the archive of an account. Whatever becomes of it,
// other accounts go on.
func (a *app) verifyArchive(ctx context.Context, acc *config.Account, v verifyOptions) {
	lock, err := lockState(acc.State)
	if err != nil {
		a.fail(acc.Name, err)
		return
	}
	err = a.verifyArchiveLocked(ctx, acc, v)
	if err = errors.Join(err, lock.Unlock()); err != nil && ctx.Err() == nil {
		a.fail(acc.Name, err)
	}
}

// An archiveLook is one verification of an archive.
type archiveLook struct {
	app     *app
	acc     *config.Account
	options verifyOptions
	opened  []io.Closer
	server  *imap.Account // nil until it is needed
	down    error         // why it cannot be reached
}

func (a *app) verifyArchiveLocked(ctx context.Context, acc *config.Account, v verifyOptions) (err error) {
	there, err := archive.There(acc.Archive)
	if err != nil {
		return err
	}
	if !there.Catalogue && !there.Manifests {
		if last := before(acc).Backup; last != nil && last.Generation > 0 && last.Archive == acc.Archive {
			return fmt.Errorf("the archive %s held mail at the last backup, and is not there: if its disk is not mounted, mount it", acc.Archive)
		}
		a.out.info("%s: archive: no backup was made yet: there is nothing to verify", acc.Name)
		return nil
	}
	l := &archiveLook{app: a, acc: acc, options: v}
	defer func() { err = errors.Join(err, l.close()) }()
	out, err := archive.Verify(ctx, archive.VerifyOptions{
		Options:  archive.Options{Dir: acc.Archive, Clock: a.now},
		ReadData: v.readData || v.subset > 0, Subset: v.subset, Repair: v.repair, Rebuild: v.rebuild,
		Sources: l.sources(), Found: l.found,
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	last := store.LastVerify{Ended: a.now(), Damage: len(out.Findings), Mended: out.Repaired(), Messages: out.Messages, Read: out.ReadFiles, Unread: out.Unread, Oldest: out.Oldest}
	if err != nil {
		last.Errors = []string{err.Error()}
	} else {
		l.finish(out)
		l.reconcile(ctx)
	}
	return errors.Join(err, store.WriteLastVerify(acc.State, last))
}

func (l *archiveLook) close() error {
	var errs []error
	for _, c := range slices.Backward(l.opened) {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// A lateSource is opened when something is wanted of it.
type lateSource struct {
	name string
	open func(context.Context) (*backup.Holder, error)
}

func (s *lateSource) Name() string { return s.name }

func (s *lateSource) Give(ctx context.Context, want []archive.Wanted, each func(mail.Digest, io.Reader) error) error {
	h, err := s.open(ctx)
	if err != nil || h == nil {
		return err
	}
	return h.Give(ctx, want, each)
}

// sources are who may have messages of the archive: the Maildir, where the
// account has one, and the server.
func (l *archiveLook) sources() []archive.Source {
	if !l.options.repair && !l.options.rebuild {
		return nil
	}
	var list []archive.Source
	if l.acc.Synced() {
		list = append(list, &lateSource{"the Maildir", l.maildir})
	}
	return append(list, &lateSource{"the server", l.remote})
}

// maildir makes ready to read the Maildir by the account's index.
func (l *archiveLook) maildir(ctx context.Context) (*backup.Holder, error) {
	index, err := store.OpenReadOnly(ctx, l.acc.State)
	if err != nil {
		return nil, fmt.Errorf("without its index: %w", err)
	}
	l.opened = append(l.opened, index)
	tree, err := maildir.Open(ctx, maildirOptions(l.acc))
	if err != nil {
		return nil, err
	}
	l.opened = append(l.opened, tree)
	return &backup.Holder{Title: "the Maildir", Side: tree, On: plan.Local, Index: index}, nil
}

// connect reaches the server, once.
func (l *archiveLook) connect(ctx context.Context) error {
	if l.server != nil || l.down != nil {
		return l.down
	}
	server, err := imap.Open(ctx, serverOptions(l.acc, syncOptions{}))
	if l.down = err; err != nil {
		return err
	}
	l.server, l.opened = server, append(l.opened, server)
	return nil
}

// index opens the index of the backup; nil if there is none to be had.
func (l *archiveLook) index(ctx context.Context) engine.Index {
	index, err := store.OpenReadOnly(ctx, l.acc.BackupDir())
	if err != nil {
		return nil // the next backup makes it anew
	}
	l.opened = append(l.opened, index)
	return index
}

// remote makes ready to read the server by the index of the backup.
func (l *archiveLook) remote(ctx context.Context) (*backup.Holder, error) {
	if err := l.connect(ctx); err != nil {
		return nil, err
	}
	return &backup.Holder{Title: "the server", Side: l.server, On: plan.Remote, Index: l.index(ctx)}, nil
}

// found tells of damage.
func (l *archiveLook) found(f archive.Finding) {
	a := l.app
	a.code = worse(a.code, exitFailed)
	text := fmt.Sprintf("%s: archive: %s: %s", l.acc.Name, f.File, f.Text)
	if f.Wanted != nil {
		text += "; " + wantedText(f.Wanted)
	}
	switch {
	case f.Repaired:
		text += "; " + f.How
	case f.Why != nil:
		text += "; not mended: " + f.Why.Error()
	}
	a.out.line("%s", text)
	if !a.json {
		return
	}
	r := record{Type: "finding", Account: l.acc.Name, Job: backup.Job, Finding: string(f.Kind), What: f.File, Text: f.Text, Repaired: &f.Repaired}
	if f.Why != nil {
		r.Reason = f.Why.Error()
	}
	if f.Wanted != nil {
		r.Digest = f.Wanted.Message.Digest.String()
		r.Found = newFoundRecord(archive.Found(*f.Wanted))
	}
	a.out.object(r)
}

// wantedText names a message: what it is, and where it lies in which generations.
func wantedText(w *archive.Wanted) string {
	m := w.Message
	parts := []string{fmt.Sprintf("it is %q", orDash(m.Subject))}
	if m.Sender != "" {
		parts = append(parts, "from "+m.Sender)
	}
	if !m.Date.IsZero() {
		parts = append(parts, "of "+m.Date.Local().Format("2006-01-02 15:04"))
	}
	text := strings.Join(parts, " ")
	for i, p := range w.Places {
		sep := ", and"
		if i == 0 {
			sep = ","
		}
		if i == mostPlaces {
			return text + sep + fmt.Sprintf(" in %d places more", len(w.Places)-i)
		}
		text += fmt.Sprintf("%s in %s from #%d to %s", sep, p.Mailbox, p.From, untilText(p.To))
	}
	return text
}

// mostPlaces is how many places of a message are named.
const mostPlaces = 3

func untilText(to int64) string {
	if to == 0 {
		return "now"
	}
	return fmt.Sprintf("#%d", to)
}

// archiveCounts is what --json tells of a verified archive.
type archiveCounts struct {
	Generations int   `json:"generations"`
	Messages    int   `json:"messages"`
	Stored      int64 `json:"stored"` // bytes of all message files
	Read        int   `json:"read"`
	ReadBytes   int64 `json:"read_bytes"`
	Unread      int   `json:"never_read"`
	Damage      int   `json:"damage"`
	Mended      int   `json:"mended"`
	Strays      int   `json:"strays"`
	Aside       int   `json:"kept_damaged"`
}

// finish sums up.
func (l *archiveLook) finish(out *archive.Verified) {
	a := l.app
	text := fmt.Sprintf("%s in %s", count(out.Messages, "message"), count(out.Generations, "generation"))
	switch n := len(out.Findings); {
	case n > 0:
		text += fmt.Sprintf(": %s, %d mended", count(n, "fault"), out.Repaired())
	case l.options.readData:
		text += ": sound, every message was read"
	case l.options.subset > 0:
		text += fmt.Sprintf(": sound, %s (%s) were read", count(out.ReadFiles, "message"), bytesText(out.ReadBytes))
		if out.Unread > 0 {
			text += fmt.Sprintf("; %d were never read yet", out.Unread)
		} else if !out.Oldest.IsZero() {
			text += ", all since " + stamp(out.Oldest)
		}
	default:
		text += ": sound; the bytes were not compared (--read-data does)"
	}
	if out.Rebuilt && len(out.Findings) == 0 {
		text += "; the catalogue was made again"
	}
	a.out.info("%s: archive: %s", l.acc.Name, text)
	if n := len(out.Strays); n > 0 {
		a.out.info("%s: archive: %s that nothing names, left by a run that died or put there by somebody: no damage", l.acc.Name, count(n, "file"))
	}
	for _, path := range out.Strays {
		if a.verbose {
			a.out.info("%s: archive: nothing names %s", l.acc.Name, path)
		}
	}
	if n := len(out.Aside); n > 0 {
		a.out.info("%s: archive: %s kept that were damaged once: delete them when you have no use for them", l.acc.Name, count(n, "file"))
	}
	if out.Repaired() < len(out.Findings) && !l.options.repair {
		a.complain(l.acc.Name, "to mend the archive, run verify --repair")
	}
	if a.json {
		a.out.object(record{Type: "verify", Account: l.acc.Name, Job: backup.Job, Archive: &archiveCounts{
			Generations: out.Generations, Messages: out.Messages, Stored: out.Stored, Read: out.ReadFiles, ReadBytes: out.ReadBytes,
			Unread: out.Unread, Damage: len(out.Findings), Mended: out.Repaired(), Strays: len(out.Strays), Aside: len(out.Aside),
		}})
	}
}
