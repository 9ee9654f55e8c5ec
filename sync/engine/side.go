package engine

import (
	"context"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Side is one place where the mail of an account lies. A Side value serves
// one run: it is opened for it and closed after it. Its methods are called
// from one goroutine at a time; the two sides of a run may work at once.
//
// Errors are mail.Faults where the side knows their reach; an error without a
// grade concerns the mailbox it was asked about (or, in Survey, the account).
// After any error the Side must still be usable, reconnecting if it has to:
// the engine goes on with the next mailbox. Cancelling the context ends a
// call soon, with the context's error.
//
// Only names that Survey gave, or Create made, are ever passed in. A Side
// keeps the numbers it is given with Bind and uses them in Places.
type Side interface {
	// Survey lists all mailboxes, with one look at each that costs no more
	// than a round trip for all: State compares with since, by name. It also
	// begins a new view of the whole side: what Confirm compares with.
	Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error)

	// Bind tells the numbers of mailboxes that the engine will use in Places.
	// It may be called again with more or other names.
	Bind(boxes map[mail.BoxID]mail.MailboxName)

	// Scan yields what changed in the mailbox since the cursor, or everything
	// if since.Cursor is "" or of no use any more (another epoch). No Ref is
	// yielded twice. An error of yield ends the scan and is returned as it is.
	Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error)

	// Identify yields the identity of each ref up to at least level. A ref
	// that is no longer there is passed over in silence; one that cannot be
	// read yields an error and the others go on.
	Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error

	// Fetch hands over the bytes of each ref. The reader gives exactly the
	// bytes of the message, or an error that wraps mail.ErrShort or another
	// reason, never a clean end too early; it is valid until each returns, and
	// each need not read to the end. Item has Flags, Date and Ident.Size as of
	// now. Refs come in any order, none twice; one that is no longer there
	// is passed over in silence, so the caller must count. An error of each
	// ends the fetch and is returned as it is. A fault of one message is
	// returned as a mail.Fault of GradeMessage after all others were tried.
	Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error

	// Confirm looks a second time at messages that a scan showed to be gone,
	// and returns those that are certainly gone: absent from every mailbox of
	// this side, where the side can tell, and with nothing changed since the
	// survey that could be the other half of a move. A message found in a
	// mailbox that no Bind named is returned in outside.
	Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error)

	// Close ends the use of the side. It does not wait for the network.
	Close() error
}

// An Expecter is a Side that can begin what it will be asked for while it
// still waits for something else: on a link with a round-trip time it sends
// ahead. Its methods are hints; they return at once, need not be followed by
// the call they announce, and change nothing that can be seen. What was begun
// for them is forgotten by the next Survey, Put, Do, Create, Rename or Remove.
type Expecter interface {
	// ExpectScans announces the Scans that come next, in this order.
	ExpectScans(next []plan.Expected)
	// ExpectFetch announces the Fetch that follows the one asked for next, or
	// under way.
	ExpectFetch(box mail.BoxID, refs []mail.Ref)
	// ExpectResolves announces Resolves that come next, in this order, so that
	// one look may do for many.
	ExpectResolves(next []plan.Intent)
}

// A Remembering side has words of its own in the index, to save questions: how
// a server builds names, for instance. They are hints, which the side checks
// as it goes; they may be lost, and those of another server are never shown.
type Remembering interface {
	// Recall gives the words of the last run, once, before the first Survey.
	Recall(words map[string]string)
	// Learned gives the words for the next run, as this one leaves them; one
	// that is "" need not come back.
	Learned() map[string]string
}

// A Writer is a Side that can be changed.
type Writer interface {
	Side

	// Create makes a mailbox, and its parents where needed; that it exists
	// already is no error.
	Create(ctx context.Context, name mail.MailboxName) (plan.Box, error)

	// Rename gives a mailbox, and all below it, another name.
	Rename(ctx context.Context, from, to mail.MailboxName) error

	// Remove removes a mailbox that is empty and has no children; otherwise
	// it fails and changes nothing.
	Remove(ctx context.Context, name mail.MailboxName) error

	// Put begins a batch of messages for one mailbox.
	Put(ctx context.Context, box mail.BoxID) (Batch, error)

	// Do carries out ops on messages of any mailboxes, together where the side
	// can, and calls done with the outcomes, each once, as they become
	// durable. Every op gets an Outcome, also when Do returns an error.
	Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error

	// Resolve finds out what became of an effect that a run before this one
	// began: for IntentPut and IntentMove by looking in Intent.To for a message that came
	// after the intent was written and has its identity (or Token). known tells
	// whether a Ref is bound in the index already and so cannot be it.
	Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (plan.Found, error)
}

// A Batch takes messages for one mailbox. Nothing of it is visible in the
// mailbox before Commit on a Maildir; a server may show each message as it
// is sent.
//
// While one batch of a side is committed, by another goroutine, the next one
// of the same side may be begun and filled: at most these two, and they are
// committed in the order in which they were begun.
//
// It is an alias so that a side can name the same type without importing the
// engine.
type Batch = interface {
	// Add takes one message and has read its body when it returns. The fault
	// of one message, whether its own body fails or the side refuses it, is
	// reported by Commit, not here: an error here ends the batch.
	Add(ctx context.Context, in plan.Incoming) error

	// Commit makes all that was added durable and returns a Placed for every
	// Add, in any order, also when it returns an error. The batch is over.
	Commit(ctx context.Context) ([]plan.Placed, error)

	// Abort throws away what was not committed. After Commit it does nothing.
	Abort()
}

// A Rooted side proves that it is the place it was (invariant: the root
// proves itself). A Maildir is one; a server is not.
type Rooted interface {
	// Root looks at the root before anything else.
	Root(ctx context.Context) (Root, error)
	// Stamp writes the marker, durably.
	Stamp(ctx context.Context, instance string, runs int64) error
}

// Root is what a root says of itself.
type Root = plan.Root

// A Keeper stores what godwit is about to delete (invariant: undo).
type Keeper interface {
	// Keep stores the message durably, and returns an error if the bytes read
	// were not those of want (where want.Body is known).
	Keep(ctx context.Context, what Kept, want mail.Identity, body io.Reader) error
}

// Kept describes a message that is kept before it is deleted.
type Kept struct {
	Side    plan.Side // where it is about to be deleted
	Mailbox mail.MailboxName
	Item    mail.Item
	Why     string // for a person: what it is deleted for
}
