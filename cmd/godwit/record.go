package main

import (
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A record is one line of --json. The first four fields are always there.
type record struct {
	Type    string `json:"type"`
	Time    string `json:"time"` // RFC 3339
	Account string `json:"account"`
	Mailbox string `json:"mailbox"`

	Job      string   `json:"job,omitempty"` // "backup": the local side is the archive
	Phase    string   `json:"phase,omitempty"`
	Verb     string   `json:"verb,omitempty"`
	Side     string   `json:"side,omitempty"` // "local" or "remote"
	To       string   `json:"to,omitempty"`
	Digest   string   `json:"digest,omitempty"`
	Size     int64    `json:"size,omitempty"`
	Added    []string `json:"added,omitempty"`
	Removed  []string `json:"removed,omitempty"`
	Reason   string   `json:"reason,omitempty"`
	Count    int      `json:"count,omitempty"`
	Messages int      `json:"messages,omitempty"`
	Bytes    int64    `json:"bytes,omitempty"`
	Planned  bool     `json:"planned,omitempty"` // a dry run would do this
	Text     string   `json:"text,omitempty"`
	Class    string   `json:"class,omitempty"` // of an error
	Run      int64    `json:"run,omitempty"`

	*runCounts
	*statusCounts
	Verified *verifyCounts  `json:"verified,omitempty"` // verify: a mailbox
	Archive  *archiveCounts `json:"archive,omitempty"`  // verify: an archive
	Tallied  *tallied       `json:"tallied,omitempty"`  // verify: an archive against the server
	Finding  string         `json:"finding,omitempty"`  // verify: what kind of damage
	Got      string         `json:"got,omitempty"`      // verify: the digest of what is there instead
	Repaired *bool          `json:"repaired,omitempty"` // verify
	Kept     *deletedRecord `json:"kept,omitempty"`     // restore --deleted
	Restore  *restoreCounts `json:"restore,omitempty"`  // restore: what it came to

	Migrated *migrated       `json:"migrated,omitempty"` // migration: what it came to
	Folder   *migratedFolder `json:"folder,omitempty"`   // migrated: one mailbox
	Sizes    *sizeRecord     `json:"sizes,omitempty"`    // size

	Backup     *backupRecord     `json:"backup,omitempty"`      // sync: the backup of an account
	Generation *generationRecord `json:"generation,omitempty"`  // history
	Difference *differenceRecord `json:"difference,omitempty"`  // history --diff
	Retention  *retainedRecord   `json:"retention,omitempty"`   // prune: what it came to
	Keep       *bool             `json:"keep,omitempty"`        // prune: a generation
	Why        []string          `json:"why,omitempty"`         // prune: what keeps it, or not
	Hold       *holdRecord       `json:"hold,omitempty"`        // hold
	Found      *foundRecord      `json:"found,omitempty"`       // history --find
	LastBackup *store.LastBackup `json:"last_backup,omitempty"` // status: an account
	Drill      *store.LastDrill  `json:"drill,omitempty"`       // drill
	Proof      *store.Proof      `json:"proof,omitempty"`       // status: the archive of an account

	Daemon  *liveStatus `json:"daemon,omitempty"` // status: an account
	What    string      `json:"what,omitempty"`   // check: what was looked at
	OK      *bool       `json:"ok,omitempty"`     // check
	Version string      `json:"version,omitempty"`
	Exit    *int        `json:"exit,omitempty"` // run, summary
}

// bySide is a number for each side that was changed.
type bySide struct {
	Local  int `json:"local"`
	Remote int `json:"remote"`
}

func sides(n [2]int) bySide { return bySide{Local: n[plan.Local], Remote: n[plan.Remote]} }

// runCounts is what one run of an account came to.
type runCounts struct {
	Began        string   `json:"began"`
	Ended        string   `json:"ended"`
	Copied       bySide   `json:"copied"`
	Flagged      bySide   `json:"flagged"`
	Moved        bySide   `json:"moved"`
	Deleted      bySide   `json:"deleted"`
	Created      bySide   `json:"created"` // mailboxes
	Renamed      bySide   `json:"renamed"`
	RemovedBoxes bySide   `json:"removed_mailboxes"`
	Adopted      int      `json:"adopted"`
	Mailboxes    int      `json:"mailboxes"`
	InStep       int      `json:"in_step"` // messages bound on both sides
	Held         int      `json:"held"`
	HeldBoxes    int      `json:"held_mailboxes"`
	Pending      int      `json:"pending"`
	Declined     int      `json:"declined"`
	EmptyRoot    bool     `json:"empty_root"`
	Errors       []string `json:"errors"`
	Hints        []string `json:"hints"`
}

// runRecord is the record of a finished run.
func runRecord(account string, r *engine.Report, exit exitCode) record {
	c := &runCounts{
		Began: r.Began.Format(time.RFC3339), Ended: r.Ended.Format(time.RFC3339),
		Copied: sides(r.Copied), Flagged: sides(r.Flagged), Moved: sides(r.Moved), Deleted: sides(r.Deleted),
		Created: sides(r.Created), Renamed: sides(r.Renamed), RemovedBoxes: sides(r.Removed),
		Adopted: r.Adopted, Mailboxes: r.Mailboxes, InStep: r.Messages,
		Held: r.Held, HeldBoxes: r.HeldBoxes, Pending: r.Pending, Declined: r.Declined, EmptyRoot: r.EmptyRoot,
		Errors: []string{}, Hints: append([]string{}, r.Hints...),
	}
	for _, f := range r.Faults {
		c.Errors = append(c.Errors, f.Error())
	}
	code := int(exit)
	return record{Type: "run", Account: account, runCounts: c, Exit: &code}
}

// eventRecord is the record of one event of a run.
func eventRecord(e engine.Event) record {
	r := record{
		Time: e.Time.Format(time.RFC3339), Account: e.Account, Mailbox: string(e.Mailbox), To: string(e.To),
		Verb: string(e.Verb), Digest: e.Digest.String(), Size: e.Size, Added: flagNames(e.Added), Removed: flagNames(e.Removed),
		Reason: string(e.Reason), Count: e.Count, Messages: e.Messages, Bytes: e.Bytes, Planned: e.Planned, Text: e.Text,
		Side: e.Side.String(), Job: e.Job,
	}
	switch e.Kind {
	case engine.PhaseBegun:
		r.Type, r.Phase, r.Side = "phase", string(e.Phase), ""
	case engine.Totals:
		r.Type, r.Side = "totals", ""
	case engine.Action:
		r.Type = "action"
	case engine.Faulted:
		r.Type, r.Class = "error", string(mail.ClassOf(e.Err))
		if r.Text == "" && e.Err != nil {
			r.Text = e.Err.Error()
		}
	case engine.Held:
		r.Type = "held"
	default:
		r.Type = "note"
	}
	return r
}

func flagNames(s mail.FlagSet) []string {
	var names []string
	for _, f := range s.Flags() {
		names = append(names, string(f))
	}
	return names
}
