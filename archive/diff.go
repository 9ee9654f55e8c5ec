package archive

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
)

// A Change says what a Difference is.
type Change string

// The changes. Their texts are part of the JSON output.
const (
	Came    Change = "came"
	Went    Change = "went"
	Flagged Change = "flags"
	Moved   Change = "moved"
	Made    Change = "created" // a mailbox
	Removed Change = "removed" // a mailbox
	Renamed Change = "renamed" // a mailbox
)

// A Difference is one thing that differs between two generations.
type Difference struct {
	What    Change
	Mailbox mail.MailboxName // where it is in the later generation; where it was, for Went and Removed
	Was     mail.MailboxName // Moved, Renamed: where it was, what it was called
	Message Message          // zero for mailboxes
	Flags   mail.FlagSet     // in the later generation, or the last before it Went
	Before  mail.FlagSet     // Flagged, Moved: in the earlier one
}

// Diff yields what differs between two generations, by mailbox; mailboxes
// first. from 0 is before the first one. Errors: ErrNoGeneration.
func (a *Archive) Diff(ctx context.Context, from, to int64, yield func(Difference) error) error {
	return errNotYet
}
