package plan

import (
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// Side says which of the two sides of an account is meant.
type Side uint8

// The sides of an account that is synchronised with a Maildir. In a
// migration Local is the origin and Remote the target.
const (
	Local  Side = 0
	Remote Side = 1
)

// Sides lists both, for loops.
var Sides = [2]Side{Local, Remote}

// Other is the opposite side.
func (s Side) Other() Side { return 1 - s }

func (s Side) String() string {
	if s == Local {
		return "local"
	}
	return "remote"
}

// Box is a mailbox as one side shows it in a survey.
type Box struct {
	Name mail.MailboxName
	// Epoch changes when Refs lose their meaning: UIDVALIDITY on a server,
	// constant on a Maildir. "" when it is not known before a scan.
	Epoch string
	// ID is evidence that a mailbox under a new name is an old one: MAILBOXID
	// (RFC 8474) or the inode of the directory; "" if the side has none.
	ID   string
	Role mail.Role
	// Container says that the mailbox cannot hold mail (\Noselect); it is
	// listed for its children only.
	Container bool
	// State is what the cursor told: Same only if nothing can have changed.
	State BoxState
	// Count is the number of messages, -1 if not known.
	Count int
	// Next is the lower bound of the Ref that the next message will get
	// (UIDNEXT); 0 if not known. Only servers have it.
	Next uint32
	// Cursor is the survey's own view of where the box stands; a scan
	// gives the one to remember.
	Cursor Cursor
	Rights Rights
	// Limit is the largest message that it takes, in bytes (APPENDLIMIT, RFC
	// 7889); 0 if the side tells none. Larger ones are refused with mail.TooLarge.
	Limit int64
}

// BoxState is the outcome of comparing a mailbox with a cursor.
type BoxState uint8

// The states. Unknown (no cursor, or a side that cannot tell) must be scanned
// like Changed.
const (
	Unknown BoxState = iota
	Changed
	Same
)

// Rights says what may be done to a mailbox. What is denied is declined,
// not retried.
type Rights struct {
	NoInsert, NoFlags, NoDelete bool
}

// ReadOnly are the rights of a mailbox that can only be looked at.
var ReadOnly = Rights{NoInsert: true, NoFlags: true, NoDelete: true}

// Cursor remembers how far one side's mailbox has been seen. Its text belongs
// to the Side; "" is the beginning of time and asks for a full comparison.
type Cursor string

// Since is what a Side is told of a mailbox before it surveys or scans it.
type Since struct {
	Cursor Cursor
	Epoch  string // the epoch the index knows, "" if none
	// Known is the number of messages that the index has bound here in that epoch.
	Known int
	// Compare asks for everything, whatever the cursor says to be unchanged. The
	// cursor tells no more than which messages were there: of those, while the
	// epoch is the same, the flags will do (see Seen.Bare).
	Compare bool
}

// Expected is a scan that is about to be asked for; see engine.Expecter.
type Expected struct {
	Box   mail.BoxID
	Since Since
}

// Seen is one message in the answer of a scan.
type Seen struct {
	Ref  mail.Ref
	Item mail.Item
	// Gone: the side says explicitly that the message is no longer there
	// (VANISHED). Item is empty.
	Gone bool
	// NoFlags: Item.Flags was not asked for and is unchanged since the cursor.
	NoFlags bool
	// Bare: of Item nothing but Flags was asked for, since the cursor knows the
	// message.
	Bare bool
}

// Scanned is how a scan ended.
type Scanned struct {
	Epoch  string // the epoch the Refs belong to
	Cursor Cursor // to be remembered when everything seen is settled
	// Full: every message that is there was yielded, so what was not yielded
	// is not there, provided the view is Complete. Otherwise only what changed
	// since the cursor was yielded.
	Full bool
	// Complete: the side vouches for it that nothing was missed: the listing
	// stood still, the count agrees with the number of distinct Refs. Absence
	// is evidence only in a complete view.
	Complete bool
	Next     uint32 // see Box.Next
	Count    int    // messages in the mailbox now, -1 if not known
	Rights   Rights
}

// Incoming is a message on its way to a side.
type Incoming struct {
	// Tag is the caller's own mark; it comes back in Placed.
	Tag  int
	Item mail.Item // Flags, Date, Token and expected Ident.Size to give it
	// From and FromEpoch are what the message is called where it comes from (on
	// a server, its UID and UIDVALIDITY); "" if that is not known. They are for
	// a side that keeps records; they give the message no name here.
	From      mail.Ref
	FromEpoch string
	// Open gives the bytes. A body that streams from the other side can be
	// opened once only; a second Open gives an error.
	Open func() (io.ReadCloser, error)
	// Body, if not nil, is what Open gives, for a side that need not read it
	// then: the whole message, every LF behind a CR, with its identity in
	// Item.Ident. It may change when Add has returned.
	Body []byte
	// Echo, if not nil, is asked once, after the body was read to its end:
	// whether the stored copy is to be read back into Placed.Stored, because
	// the side may have stored something else. A side that always stores what
	// it is given need not ask.
	Echo func() bool
}

// Placed tells what became of an Incoming.
type Placed struct {
	Tag int
	// Place is where it now durably lies; Ref is "" if Err is not nil, or if
	// the side took it but could not tell under which name (then Unknown).
	Ref   mail.Ref
	Epoch string
	// Flags are those that the side accepted of the ones given.
	Flags mail.FlagSet
	Ident mail.Identity // of the bytes as they were written
	// Stored is the identity of the copy as the side gives it back, where Echo
	// asked for it and it could be read; its Level tells.
	Stored mail.Identity
	Stat   string
	// Unknown: the message may or may not have been stored (the connection
	// broke before the answer).
	Unknown bool
	Err     error
}

// OpKind is what an Op does.
type OpKind uint8

// The kinds of Op.
const (
	OpFlags  OpKind = iota + 1 // change flags at From
	OpMove                     // move From to mailbox To, on one side
	OpDelete                   // remove the message at From for good
)

func (k OpKind) String() string {
	return [...]string{"", "flags", "move", "delete"}[k]
}

// An Op is one change to a message that a side already has.
type Op struct {
	Tag         int // the caller's own mark; it comes back in Outcome
	Kind        OpKind
	From        Place
	To          mail.BoxID   // OpMove
	Add, Remove mail.FlagSet // OpFlags
	// Expect is the identity the message should have there, for a side that
	// must find it again under another name or prove it before a deletion.
	Expect mail.Identity
	// Stat is the mark the file had when the change was decided; "" on a server.
	Stat string
	// Has are the flags that the message had there when the change was
	// decided: a hint under which name a file is to be found.
	Has mail.FlagSet
}

// Result is how an Op ended.
type Result uint8

// The results of an Op.
const (
	// Done: the side is as asked. A message that had already gone counts as
	// Done for OpDelete.
	Done Result = iota + 1
	// Declined: the side will not do this, ever, for a reason of its own
	// (rights, PERMANENTFLAGS, a letter that does not exist). Not retried.
	Declined
	// Missing: the message is no longer at From. The next scan tells more.
	Missing
	// Failed: not done; may be tried again.
	Failed
	// Uncertain: it may or may not have been done (the connection broke
	// before the answer).
	Uncertain
)

func (r Result) String() string {
	return [...]string{"", "done", "declined", "missing", "failed", "uncertain"}[r]
}

// Outcome tells what became of an Op.
type Outcome struct {
	Tag    int
	Result Result
	At     Place // after OpMove: the new place; Ref "" if the side could not tell
	Epoch  string
	// Accepted are the flags of Op.Add that the side took (OpFlags, Done).
	Accepted mail.FlagSet
	Stat     string
	Err      error
}

// Place is where a message lies on one side.
type Place struct {
	Box mail.BoxID
	Ref mail.Ref
}

// IsZero tells whether there is no place.
func (p Place) IsZero() bool { return p.Ref == "" }

// displaced begins a Ref that no message has: a file's name holds no slash.
const displaced = "/"

// Displaced is the place that a row takes when another message has taken its
// name. Nothing is ever found there, so the row's message is seen to be gone
// for as long as its deletion is not carried over.
func (p Place) Displaced(row int64) Place {
	return Place{Box: p.Box, Ref: mail.Ref(displaced+strconv.FormatInt(row, 10)+displaced) + p.Ref}
}

// IsDisplaced tells whether Displaced made the place.
func (p Place) IsDisplaced() bool { return strings.HasPrefix(string(p.Ref), displaced) }

// Gone names a message that a scan showed to be missing, for Confirm.
type Gone struct {
	At    Place
	Ident mail.Identity
	// Bound tells whether a place belongs to another row: a message that is
	// found there under the same Ref is a copy, not this one. It may be nil.
	Bound func(Place) bool
}

// Elsewhere tells whether finding the message's Ref at a place says that the
// message is still there.
func (g Gone) Elsewhere(at Place) bool { return g.Bound == nil || !g.Bound(at) }

// Found is the answer to an Intent that was left open: what a side can say of
// an effect whose outcome was never learned.
type Found struct {
	State FoundState
	At    Place
	Epoch string
	Flags mail.FlagSet
	Stat  string
}

// FoundState says what a search for an unanswered effect gave.
type FoundState uint8

// The states of Found.
const (
	FoundUnknown FoundState = iota // the side could not look; ask again later
	FoundAbsent                    // it did not happen
	FoundThere                     // it happened, At says where
)

// Clock is a moment; the engine is handed one so that tests can set it.
type Clock func() time.Time

// Root is what a root says of itself.
type Root struct {
	Exists bool // the directory is there
	Marked bool // it has a marker
	// Mail: it has mail in it. A side may say so unseen when the root is Marked.
	Mail     bool
	Instance string
	Runs     int64
	// Unsynced: what is written here is not made durable before it is
	// reported, so a crash of the machine may lose it. Boot names the time
	// since the machine was last started; "" if the system does not tell.
	Unsynced bool
	Boot     string
	// What is what a person calls it ("archive"), "" for a Maildir; Refill says
	// what that person does to have it filled again although it is empty, "" if
	// a run is told to by Options.Reject.
	What, Refill string
}

// Name is what a person calls the root.
func (r *Root) Name() string {
	if r == nil || r.What == "" {
		return "maildir"
	}
	return r.What
}

// Fill says what a person does to have the root filled again from the server.
func (r *Root) Fill() string {
	if r == nil || r.Refill == "" {
		return "to fill it again from the server, run sync --reject-deletes"
	}
	return r.Refill
}
