package engine

import (
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Options is all that a run is made of.
type Options struct {
	Account       string
	Job           string // what the run is for, told in Events; "" is a sync
	Local, Remote Writer
	// Places is what a person calls the sides, where they are not a Maildir and
	// a server: "the origin", "the target".
	Places [2]string
	Index  Index
	Memory *Memory // of this Index; nil: the run reads it
	Keeper Keeper  // where deleted messages are kept; nil keeps none

	// KeepsRef says, a side, that a message keeps its Ref when it is moved to
	// another mailbox: a Maildir key does.
	KeepsRef [2]bool

	// Mode names the policy; a mode that permits what the last run's did not
	// makes the account adopt (no deletions, flags by union).
	Mode   string // "mirror", "pull" or "push"
	Policy plan.Policy
	// Bound names what the base belongs to (server and user). When it differs
	// from what the index remembers, the account adopts.
	Bound string
	// Adopt makes this run one: nothing is taken for deleted, flags go by union.
	Adopt bool
	// OwnDoubles has the second copy of what an interrupted run had sent removed
	// from the remote side although the policy removes nothing there.
	OwnDoubles bool
	// Scope tells which mailboxes take part.
	Scope func(mail.MailboxName, mail.Role) bool
	// Only restricts this run to some of those; nil is all. The others are
	// surveyed but not scanned, and nothing is deleted that might have
	// moved there.
	Only func(mail.MailboxName) bool

	// GuardPercent is how many percent of a mailbox, or of the account, may
	// be deleted within 24 hours; 0 switches the guard off.
	GuardPercent int
	// Accept carries out exactly the deletions that are recorded as held;
	// Reject copies them back.
	Accept, Reject bool
	DryRun         bool
	// ChunkMessages is how many messages at most are copied in one batch and
	// recorded in one transaction; 0 is a thousand.
	ChunkMessages int

	Clock    plan.Clock
	Observer Observer
}
