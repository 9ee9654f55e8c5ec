package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/config"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// trouble is what a backup tells that could not do all it had to; nil if it
// could.
func (b *backedUp) trouble() error {
	switch {
	case b == nil || b.skipped != "":
		return nil
	case b.err != nil:
		return firstFault(b.err)
	case len(b.Report.Faults) > 0:
		return b.Report.Faults[0]
	case b.Report.EmptyRoot:
		return mail.NewFault(mail.GradeAccount, mail.ClassLocal, errors.New(b.Why), "")
	case !b.Complete:
		return fmt.Errorf("the backup is not complete: %s", b.Why)
	}
	return nil
}

// A backupRecord is what a backup came to, for scripts.
type backupRecord struct {
	Archive     string             `json:"archive"`
	Complete    bool               `json:"complete"`
	Why         string             `json:"why,omitempty"`
	Skipped     string             `json:"skipped,omitempty"`
	Generation  *generationRecord  `json:"generation"` // null: nothing has changed
	Quarantined []quarantineRecord `json:"quarantined"`
	EmptyRoot   bool               `json:"empty_root"`
	Errors      []string           `json:"errors"`
	Hints       []string           `json:"hints"`
	Retention   *retainedRecord    `json:"retention,omitempty"` // missing: it was not its turn
}

type quarantineRecord struct {
	Mailbox     mail.MailboxName `json:"mailbox"`
	UIDValidity string           `json:"uidvalidity"`
	UID         string           `json:"uid"`
	Why         string           `json:"why"`
}

// A generationRecord is a generation, for scripts.
type generationRecord struct {
	Number    int64  `json:"number"`
	Began     string `json:"began"`
	Ended     string `json:"ended,omitempty"`
	Complete  bool   `json:"complete"`
	Why       string `json:"why,omitempty"`
	Retired   string `json:"retired,omitempty"`
	Came      int    `json:"came"`
	Went      int    `json:"went"`
	Changed   int    `json:"changed"`
	Moved     int    `json:"moved"`
	Mailboxes int    `json:"mailboxes"`
	Messages  int    `json:"messages"`
	Bytes     int64  `json:"bytes"`
	Stored    int64  `json:"stored"`
}

func newGenerationRecord(g *archive.Generation) *generationRecord {
	if g == nil {
		return nil
	}
	when := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(time.RFC3339)
	}
	return &generationRecord{
		Number: g.Number, Began: when(g.Began), Ended: when(g.Ended), Complete: g.Complete, Why: g.Why, Retired: when(g.Retired),
		Came: g.Came, Went: g.Went, Changed: g.Changed, Moved: g.Moved, Mailboxes: g.Mailboxes, Messages: g.Messages, Bytes: g.Bytes, Stored: g.Stored,
	}
}

// finishBackup shows what a backup came to.
func (a *app) finishBackup(acc *config.Account, b *backedUp) {
	if a.json {
		code := int(b.exit)
		r := &backupRecord{
			Archive: acc.Archive, Complete: b.Complete, Why: b.Why, Skipped: b.skipped, Generation: newGenerationRecord(b.Generation),
			Quarantined: []quarantineRecord{}, EmptyRoot: b.Report.EmptyRoot, Errors: []string{}, Hints: append([]string{}, b.Report.Hints...),
			Retention: newRetainedRecord(b.retained, false),
		}
		for _, q := range b.Quarantined {
			r.Quarantined = append(r.Quarantined, quarantineRecord(q))
		}
		for _, f := range b.Report.Faults {
			r.Errors = append(r.Errors, f.Error())
		}
		a.out.object(record{Type: "backup", Account: acc.Name, Backup: r, Exit: &code})
	}
	if b.err != nil && !b.told {
		a.fail(acc.Name, fmt.Errorf("backup: %w", b.err))
	}
	if text := b.text(); b.skipped != skippedSame || a.verbose {
		a.out.info("%s: backup: %s", acc.Name, text)
	}
	if b.retained != nil && (b.retained.Changed() || a.verbose) {
		a.out.info("%s: backup: %s", acc.Name, retainedText(b.retained, acc.KeepGrace, false))
	}
	if !b.Complete && b.skipped == "" && b.told && b.exit != exitInterrupted {
		a.complain(acc.Name, "the backup is not complete: "+b.Why)
	}
	for _, q := range b.Quarantined {
		a.complain(acc.Name, fmt.Sprintf("message %s in %s is not in the archive: %s", q.UID, q.Mailbox, q.Why))
	}
	for _, hint := range b.Report.Hints {
		a.complain(acc.Name, hint)
	}
}

// text is the summary of a backup.
func (b *backedUp) text() string {
	switch {
	case b.skipped != "":
		return b.skipped
	case b.exit == exitInterrupted:
		return "interrupted: what was copied is kept, the next one goes on from there"
	case b.Generation != nil:
		g := b.Generation
		return fmt.Sprintf("generation #%d: %s; %s in %s, %s added%s", g.Number, changesText(*g),
			count(g.Messages, "message"), count(g.Mailboxes, "mailbox"), bytesText(g.Stored), b.lackText())
	case b.Complete && b.last.Generation > 0:
		return fmt.Sprintf("nothing changed since generation #%d%s", b.last.Generation, b.lackText())
	case b.Complete:
		return "there is nothing to keep yet"
	}
	return "no generation was made" + b.lackText()
}

func (b *backedUp) lackText() string {
	var parts []string
	if n := len(b.Quarantined); n > 0 {
		parts = append(parts, count(n, "message")+" could not be had")
	}
	if !b.Complete {
		parts = append(parts, "not complete")
	}
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, ", ")
}

// changesText counts what a generation brought.
func changesText(g archive.Generation) string {
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{{g.Came, "came"}, {g.Went, "went"}, {g.Changed, "changed"}, {g.Moved, "moved"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	if len(parts) == 0 {
		return "no message came or went"
	}
	return strings.Join(parts, ", ")
}

// backupLines are what status tells of the archive of an account.
func (a *app) backupLines(acc *config.Account, last *store.LastBackup) {
	switch {
	case !acc.Archived():
		return
	case last == nil:
		a.out.line("  backup: never, into %s", acc.Archive)
		return
	case last.Generation == 0:
		a.out.line("  backup: no complete generation yet, in %s", acc.Archive)
	default:
		a.out.line("  backup: generation #%d of %s, %s in %s, %s of files in %s", last.Generation, last.Made.Local().Format("2006-01-02 15:04:05"),
			count(last.Messages, "message"), count(last.Mailboxes, "mailbox"), bytesText(last.Stored), acc.Archive)
	}
	if last.LastOK.IsZero() {
		a.out.line("  backup: was never found to hold all that the server has")
	} else {
		a.out.line("  backup: held all that the server had %s (%s ago)", last.LastOK.Local().Format("2006-01-02 15:04:05"), ageText(a.now().Sub(last.LastOK)))
	}
	if !last.Complete {
		a.out.line("  backup: the last one, %s ago, is not complete: %s", ageText(a.now().Sub(last.Ended)), last.Why)
	}
	if last.Quarantined > 0 {
		a.out.line("  backup: %s on the server could not be had: godwit sync %s names them", count(last.Quarantined, "message"), acc.Name)
	}
}

// archivePlace says a side of a backup to a person.
func archivePlace(s plan.Side) string {
	if s == plan.Local {
		return "in the archive"
	}
	return place(s)
}

// isBackup tells whether an event is one of a backup.
func isBackup(e engine.Event) bool { return e.Job != "" }
