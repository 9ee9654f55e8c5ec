package plan

import (
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Row is what the index remembers of one message: where it lies on each
// side, and the flags each side was last known to hold after everything was
// carried over (the base). A side without a place has the zero Place.
type Row struct {
	ID    int64 // 0 for a row that the index does not know yet
	At    [2]Place
	Epoch [2]string // the epoch of each Ref
	// Flags is the base, a side: what differs from it is that side's change.
	// Flags that one side declined are in the other side's base only.
	Flags [2]mail.FlagSet
	// NoBase: the base of flags is not to be trusted (adoption); flags merge
	// by union, \Deleted only if both have it. Never stored.
	NoBase bool
	Ident  [2]mail.Identity // as each side has it; they differ where a server rewrites
	Stat   string           // of the file, see mail.Item.Stat
	Date   time.Time        // INTERNALDATE, or what stood for it
	State  RowState
}

// RowState says what a row that lacks a place is waiting for.
type RowState uint8

// The states of a row.
const (
	// Paired: bound on both sides.
	Paired RowState = iota
	// Unbound: one side has no place (its epoch changed, the root was
	// replaced, a loss was rejected). It wants to be found there again, or
	// else to be copied there. Nothing is inferred from the absence.
	Unbound
	// Kept: one side has no place, and that is settled: the policy or the
	// rights of the mailbox forbid to carry it over. Nothing is to be done
	// until the mode or the rights change.
	Kept
	// Outside: it lies in a mailbox that is out of scope on the side without a place.
	Outside
)

func (s RowState) String() string {
	return [...]string{"paired", "unbound", "kept", "outside"}[s]
}

// Known is the part of a row that a scan is compared with: small, because a
// full comparison reads one for every message of a mailbox.
type Known struct {
	Row   int64
	Ref   mail.Ref
	Flags mail.FlagSet
	Stat  string
}

// BoxRecord is what the index remembers of a pair of mailboxes.
type BoxRecord struct {
	ID   mail.BoxID
	Side [2]BoxSide
	Role mail.Role
	// Dormant: out of scope at the last run. Its rows are kept, nothing is inferred.
	Dormant bool
}

// BoxSide is one side's half of a BoxRecord.
type BoxSide struct {
	Name   mail.MailboxName // "" if this side has never had it
	Epoch  string
	ID     string // see Box.ID
	Cursor Cursor // "" asks for a full comparison: something is unsettled
	Known  int    // messages bound here; filled in by the index, ignored on write
	Next   uint32 // highest UIDNEXT seen
	// FullAt and FullRuns are when the last full comparison was and how many
	// runs ago.
	FullAt   time.Time
	FullRuns int
	Rights   Rights
	// Missing: the side lists the mailbox no longer, and that is held.
	Missing bool
}

// IntentKind is what an Intent was about to do.
type IntentKind uint8

// The kinds of intents.
const (
	IntentPut    IntentKind = iota + 1 // place a copy of Row's message on Side in To
	IntentMove                         // move Row's message on Side to To
	IntentCreate                       // create the mailbox To on Side
	IntentRename                       // rename a mailbox on Side
	IntentRemove                       // remove the mailbox on Side
	// IntentLate is no plan but a memory: a copy was sent, not found, and so
	// sent again. Should the first one turn up after all, it is our own double.
	IntentLate
)

// An Intent is written, durably, before an effect that is not idempotent, and
// taken away in the transaction that records the outcome. One that is found
// at the start of a run belongs to a run that died: the side is asked what
// became of it.
type Intent struct {
	ID   int64 // given by the index
	Kind IntentKind
	Side Side // where the effect happens
	To   mail.BoxID
	// From is where the message lay: on the other side for IntentPut, on the
	// same side for IntentMove.
	From      Place
	FromEpoch string
	// Row is the row concerned; 0 for a message that is new.
	Row int64
	// Epoch and Next are those of To before the effect: whatever it created
	// has a UID of at least Next, if Epoch still holds. Next is 0 if not known.
	Epoch string
	Next  uint32
	Item  mail.Item // flags given, date, identity, token
	At    time.Time
}

// Pending is a change that was seen but is not yet carried over. It is kept
// for people and for pacing the retries: the cursor of a mailbox with
// anything pending is "", so that the change itself is seen again.
type Pending struct {
	Side  Side // the side that changed
	At    Place
	Kind  Kind
	Row   int64
	Why   Reason
	Text  string // the error, or more about the reason
	Tries int
	Since time.Time
	Next  time.Time // not tried again before
	Ident mail.Identity
}

// Decline is an asymmetry that one side insists on: a flag it cannot store, a
// mailbox that is read-only. Noted once.
type Decline struct {
	Side Side // the side that declined
	Box  mail.BoxID
	What string // "keywords $Foo", "messages", "deletions"
	Text string // the reason in words
	At   time.Time
}

// LossRecord is a deletion that was carried over or asked for, for the guard's
// rolling window.
type LossRecord struct {
	Box      mail.BoxID
	At       time.Time
	Count    int  // how many messages
	Accepted bool // accepted by the user: leaves the window
}

// Held is a deletion that the guard holds.
type Held struct {
	Row   int64
	Box   mail.BoxID
	Side  Side // the side it was deleted on; it would be deleted on the other
	Since time.Time
}

// Event is one line of the durable log: what happened to what, and why.
type Event struct {
	At      time.Time
	Run     int64
	Verb    string // "copied", "deleted", "moved", "flagged", "created", "held", "pending", …
	Side    Side   // where it happened
	Mailbox mail.MailboxName
	To      mail.MailboxName // moved, renamed: where to
	Row     int64
	Ident   mail.Digest // Body digest, zero if not known
	// MessageID is told where a message comes, see mail.Identity.
	MessageID string
	Text      string // why, and details, for a person
}

// RunRecord is one finished run that changed something or failed.
type RunRecord struct {
	ID             int64
	Began, Ended   time.Time
	Exit           int
	Gains, Losses  [2]int // by the side it happened on
	Flags, Moves   [2]int
	BytesIn, Bytes int64
	Text           string // the first error
}

// Settlement is all that one step of a run learned, written in one
// transaction: rows, pending, intents, cursors together, so that the base
// advances exactly by what succeeded. A transaction costs a wait for the disk:
// what need not be durable before something else goes into that one's.
type Settlement struct {
	// Begin puts intents of the next step (the IDs are filled in).
	Begin []Intent
	// Drop is carried out before Put, so that a Ref can pass from one row to another.
	Drop []int64
	// Put inserts (ID 0, and the ID is filled in) or replaces rows.
	Put []*Row
	// Flags replaces, after Put, the Flags and the Stat of rows that are there;
	// nothing else of them is looked at. A change of flags costs less so.
	Flags []*Row
	// Boxes inserts (ID 0, filled in) or replaces; Known is ignored.
	Boxes []*BoxRecord
	// Forget removes mailbox pairs with all their rows, pending and held.
	Forget []mail.BoxID
	// Done takes intents away.
	Done []int64
	// ClearPending removes all pending of these mailboxes' sides; then Pending is put.
	ClearPending []SideBox
	Pending      []Pending
	Declines     []Decline // put if not there yet (Side, Box, What)
	// ClearDeclines forgets the declines of these sides of mailboxes.
	ClearDeclines []SideBox
	Losses        []LossRecord
	// Hold puts held deletions (keeping Since of those already held); Release
	// takes them away by row.
	Hold    []Held
	Release []int64
	Events  []Event
	Meta    map[string]string
	// Run ends the run: it is recorded, and what is older than its time in the
	// event log and in the rolling window is pruned. With ID 0 it is given a number.
	Run *RunRecord
	// Loose: a crash of the machine may take the settlement back, with all that
	// was settled after it; what stands then is what stood before it. The next one
	// that is not loose makes it durable. It saves a wait for the disk, where all
	// that it tells of may be taken back by the crash as well.
	Loose bool
}

// Empty tells whether there is nothing to write.
func (s *Settlement) Empty() bool {
	return len(s.Begin)+len(s.Drop)+len(s.Put)+len(s.Flags)+len(s.Boxes)+len(s.Forget)+len(s.Done)+len(s.ClearPending)+len(s.Pending)+
		len(s.Declines)+len(s.ClearDeclines)+len(s.Losses)+len(s.Hold)+len(s.Release)+len(s.Events)+len(s.Meta) == 0 && s.Run == nil
}

// SideBox names one side's half of a mailbox pair.
type SideBox struct {
	Side Side
	Box  mail.BoxID
}
