package migrate

import (
	"context"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Result is what a migration came to.
type Result struct {
	Began, Ended time.Time
	DryRun       bool
	Passes       int
	Folders      []*Folder
	Notes        []string
	// Faults are the errors of the last pass.
	Faults []error
	// Waiting counts what was seen and is not done yet.
	Waiting int
	tally   *tally
	last    *pair
	refused []mail.MailboxName // names that the target would not make
	again   bool               // the last pass met some that were not known
}

// A Folder is what became of one mailbox of the target.
type Folder struct {
	To   mail.MailboxName   // "" for one of the origin that is left out
	From []mail.MailboxName // of the origin
	Why  string             // see Route
	Lost bool               // see Route
	Made bool
	// Removed: the target had it and has it no more; nothing was done.
	Removed bool
	// Origin and Target are how many messages each side has, -1 if not known.
	Origin, Target int
	// Paired are the messages of the origin that the target has.
	Paired  int
	Copied  int // in this migration's run
	Bytes   int64
	Matched int // of those that the target had already
	Flagged int
	Skipped map[Reason]int
	Failed  []Failed
	// Declined is what the target does not store, in words.
	Declined []string
	// Verified: each message of the origin was seen at the target, or is
	// accounted for in Skipped.
	Verified bool
}

// Reason says why a message of the origin is not at the target.
type Reason string

// The reasons.
const (
	TooLarge Reason = "too large"     // for the target's limit
	NoRights Reason = "not allowed"   // the mailbox takes no messages
	Unwanted Reason = "not selected"  // by Options.Select
	Deleted  Reason = "deleted since" // the target had it, and it was deleted there
)

// A Failed is a message that could not be copied.
type Failed struct {
	Mailbox   mail.MailboxName // of the origin
	UID       mail.Ref
	MessageID string
	Digest    mail.Digest // of its body, zero if it was not read
	Size      int64
	Why       string
}

// Whole tells whether all mail of the origin that was asked for is at the target.
func (r *Result) Whole() bool {
	return r.Waiting == 0 && len(r.Faults) == 0 && !slices.ContainsFunc(r.Folders, func(f *Folder) bool {
		return f.Lost || f.To != "" && !f.Removed && !f.Verified || f.Skipped[TooLarge]+f.Skipped[NoRights] > 0 || len(f.Failed) > 0
	})
}

// Looked tells whether both sides were looked at at all.
func (r *Result) Looked() bool { return len(r.Folders) > 0 }

// Sum adds up a number of all folders.
func (r *Result) Sum(of func(*Folder) int) (n int) {
	for _, f := range r.Folders {
		n += of(f)
	}
	return n
}

// take takes over how a pass ended.
func (r *Result) take(p *pair, report *engine.Report) {
	r.Passes++
	r.last = p
	r.Faults, r.Waiting = report.Faults, report.Pending
	r.again = false
	for _, name := range p.target.refusedNames {
		if !slices.Contains(r.refused, name) {
			r.refused, r.again = append(r.refused, name), true
		}
	}
	if p.routes == nil {
		return
	}
	r.Notes = p.notes
	old := r.Folders
	r.Folders = nil
	byTarget := map[mail.MailboxName]*Folder{}
	for _, rt := range p.routes {
		f := byTarget[rt.To]
		if rt.To == "" || f == nil {
			f = &Folder{To: rt.To, Why: rt.Why, Lost: rt.Lost, Origin: -1, Target: -1, Removed: rt.To != "" && p.removed[rt.To]}
			r.Folders = append(r.Folders, f)
			if rt.To != "" {
				byTarget[rt.To] = f
			}
		}
		f.From = append(f.From, rt.From)
		if rt.To == "" {
			f.Origin = p.here[rt.From].Count
		}
	}
	for to, f := range byTarget {
		if n, ok := p.origin.counts[to]; ok {
			f.Origin = n
		}
		f.Made = p.target.made[to] || slices.ContainsFunc(old, func(o *Folder) bool { return o.To == to && o.Made })
	}
}

// complete adds what the index has to say.
func (r *Result) complete(ctx context.Context, index engine.Index) error {
	for _, f := range r.Folders {
		f.Copied, f.Bytes = r.tally.copied[f.To], r.tally.bytes[f.To]
		f.Matched, f.Flagged = r.tally.matched[f.To], r.tally.flagged[f.To]
	}
	r.Notes = append(r.Notes, r.tally.notes...)
	if r.last == nil || r.DryRun {
		return nil
	}
	records, err := index.Boxes(ctx)
	if err != nil {
		return err
	}
	rows, err := index.RowsByState(ctx, plan.Kept, plan.Unbound, plan.Outside)
	if err != nil {
		return err
	}
	pending, err := index.Pending(ctx)
	if err != nil {
		return err
	}
	declines, err := index.Declines(ctx)
	if err != nil {
		return err
	}
	for _, f := range r.Folders {
		if i := slices.IndexFunc(records, func(rec plan.BoxRecord) bool { return rec.Side[plan.Local].Name == f.To }); f.To != "" && i >= 0 {
			r.account(f, &records[i], rows, pending, declines)
		}
	}
	return nil
}

// account accounts for the messages of one mailbox.
func (r *Result) account(f *Folder, rec *plan.BoxRecord, rows []plan.Row, pending []plan.Pending, declines []plan.Decline) {
	p, there := r.last, rec.Side[plan.Remote].Name
	if n, ok := p.target.counts[there]; ok && !f.Removed {
		f.Target = n
	}
	f.Skipped = map[Reason]int{}
	lone := 0
	for i := range rows {
		row := &rows[i]
		if row.At[plan.Local].Box != rec.ID || row.At[plan.Local].IsZero() {
			continue
		}
		if lone++; row.State == plan.Kept {
			f.Skipped[reasonOf(row, p.there[there])]++
		}
	}
	known := rec.Side[plan.Local].Known
	f.Paired = known - lone
	for _, x := range pending {
		if x.Side == plan.Local && x.At.Box == rec.ID && !x.At.IsZero() {
			f.Failed = append(f.Failed, r.failed(f, x))
		}
	}
	for _, d := range declines {
		if d.Box == rec.ID && d.Side == plan.Remote && d.What != string(plan.ReasonMode) && d.What != string(plan.ReasonRights) {
			f.Declined = append(f.Declined, d.What)
		}
	}
	hidden := p.origin.hidden[f.To]
	if hidden > 0 {
		f.Skipped[Unwanted] = hidden
	}
	settled := f.Skipped[TooLarge] + f.Skipped[NoRights] + f.Skipped[Deleted]
	f.Verified = !f.Removed && f.Origin-hidden == known && lone == settled && len(f.Failed) == 0 &&
		f.Target == rec.Side[plan.Remote].Known && !r.tally.unseen[f.To]
}

func reasonOf(row *plan.Row, box plan.Box) Reason {
	size := max(row.Ident[plan.Local].Size, row.Ident[plan.Remote].Size)
	switch {
	case box.Limit > 0 && size > box.Limit:
		return TooLarge
	case box.Rights.NoInsert:
		return NoRights
	}
	return Deleted
}

// failed names a message that waits.
func (r *Result) failed(f *Folder, x plan.Pending) Failed {
	no, uid := partOf(x.At.Ref)
	out := Failed{UID: uid, MessageID: x.Ident.MessageID, Digest: x.Ident.Body, Size: x.Ident.Size, Why: x.Text}
	if out.Why == "" {
		out.Why = string(x.Why)
	}
	for name, u := range r.last.used {
		if u.To == f.To && u.Part == no {
			out.Mailbox = name
		}
	}
	return out
}
