package engine

import (
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// An Event tells an Observer what a run is doing. Fields that a kind does not
// name are zero.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Account string
	Job     string // Options.Job

	Phase Phase // PhaseBegun

	// Totals: what is ahead, once it is known.
	Messages int   // messages to copy
	Bytes    int64 // their size, as far as the sides tell

	// Action, Fault, Noted, Held: what it is about.
	Verb    Verb
	Side    plan.Side // where the effect is, or where the fault lies
	Mailbox mail.MailboxName
	To      mail.MailboxName // moved, renamed: the new name
	Ref     mail.Ref
	Row     int64
	Digest  mail.Digest // identity of the message, if known
	// MessageID is told of a message that was copied, see mail.Identity.
	MessageID string
	Size      int64
	Added     mail.FlagSet
	Removed   mail.FlagSet
	Reason    plan.Reason
	Count     int // Held: how many messages
	// Planned: the run is a dry run, it would do this.
	Planned bool
	Text    string // for a person: lower case, one line
	Err     error  // Faulted
}

// EventKind is what an Event tells.
type EventKind uint8

// The kinds of events.
const (
	PhaseBegun EventKind = iota + 1
	Totals               // Messages and Bytes that will be copied
	Action               // one effect was carried out (or, Planned, would be)
	Faulted              // something failed; the rest goes on
	Noted                // something unusual was decided, and is settled
	Held                 // something waits for the user
)

// Phase is a part of a run.
type Phase string

// The phases of a run, in order.
const (
	PhaseSurvey Phase = "survey"
	PhaseScan   Phase = "scan"
	PhasePlan   Phase = "plan"
	PhaseApply  Phase = "apply"
	PhaseSettle Phase = "settle"
)

// Verb is what an Action did. Verbs are part of the JSON output.
type Verb string

// The verbs.
const (
	VerbCopied  Verb = "copied"  // a message came to Side
	VerbAdopted Verb = "adopted" // found on both sides, nothing travelled
	VerbFlagged Verb = "flagged" // flags changed on Side
	VerbMoved   Verb = "moved"   // moved on Side
	VerbDeleted Verb = "deleted" // removed from Side
	VerbCreated Verb = "created" // a mailbox was created on Side
	VerbRenamed Verb = "renamed" // a mailbox was renamed on Side
	VerbRemoved Verb = "removed" // a mailbox was removed from Side

	VerbRepaired Verb = "repaired" // a damaged message was replaced on Side
)

// Observer is told of events, one at a time. It must not block; nil is allowed.
type Observer func(Event)

// Report is the sum of a run.
type Report struct {
	Began, Ended time.Time
	// Copied, Flagged, Moved, Deleted count messages by the side that was changed.
	Copied, Flagged, Moved, Deleted [2]int
	CopiedBytes                     [2]int64
	Created, Renamed, Removed       [2]int // mailboxes
	Adopted                         int
	// Anew: the run adopted; nothing was deleted, and flags were merged by union.
	Anew      bool
	Mailboxes int // in scope
	Messages  int // bound on both sides at the end
	// Held counts messages whose deletion (or loss of flags) waits for the
	// user, HeldBoxes the vanished mailboxes that do.
	Held, HeldBoxes int
	// Pending counts changes that were seen and are not yet carried over, for
	// any reason but the guard.
	Pending  int
	Declined int // asymmetries that a side or the mode insists on, in all
	Faults   []error
	// EmptyRoot: the Maildir is empty or absent though the index knows of mail.
	EmptyRoot bool
	// Text tells what to do next where something waits for the user; may be empty.
	Hints []string
}

// Changed tells whether the run changed anything on either side.
func (r *Report) Changed() bool {
	for _, s := range plan.Sides {
		if r.Copied[s]+r.Flagged[s]+r.Moved[s]+r.Deleted[s]+r.Created[s]+r.Renamed[s]+r.Removed[s] > 0 {
			return true
		}
	}
	return r.Adopted > 0
}

// Exit is the exit code of the run as the contract defines it: 0 both sides
// agree, 1 something failed or waits, 3 something is held for the user.
func (r *Report) Exit() int {
	switch {
	case len(r.Faults) > 0 || r.Pending > 0:
		return 1
	case r.Held > 0 || r.HeldBoxes > 0 || r.EmptyRoot:
		return 3
	}
	return 0
}
