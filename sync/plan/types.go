package plan

import "github.com/godwit-mail/godwit/mail"

// Kind says what happened to a message on one side since the base.
type Kind uint8

// The kinds of Change.
const (
	KindNew   Kind = iota + 1 // a message that no row is bound to
	KindFlags                 // its flags differ from the base
	KindGone                  // it is no longer where the row says
)

func (k Kind) String() string { return [...]string{"", "new", "flags", "gone"}[k] }

// A Change is one side's difference from its own base.
type Change struct {
	Side Side
	Kind Kind
	// Outside: a Gone message was found again in a mailbox that is out of scope.
	Outside bool
	// Rejected: the user told godwit not to carry this deletion over.
	Rejected bool
	// Unreadable: an identity that was asked for could not be had.
	Unreadable bool
	At         Place
	Row        int64 // Flags, Gone: the row that is bound there
	// Epoch is the epoch of At.Ref.
	Epoch string
	// What the side shows (KindNew, KindFlags). For KindNew, Ident grows as
	// Asks are answered.
	shown
}

// Of makes it the change of a message as the side shows it.
func (c Change) Of(item mail.Item) Change {
	c.show(item)
	return c
}

// BoxPair is a mailbox on both sides, as a plan needs it.
type BoxPair struct {
	ID   mail.BoxID
	Name [2]mail.MailboxName
	Role mail.Role
	// View tells, a side, whether absence was proved there in this run.
	View [2]View
	// Rights, a side.
	Rights [2]Rights
	// There says that the mailbox exists on that side (or will, when the
	// folder operations of this run are done).
	There [2]bool
}

// missing says why there is no mailbox on a side: it vanished, and that is
// told of the mailbox as a whole, or it was never there.
func (b *BoxPair) missing(s Side) Reason {
	if b.Name[s] != "" {
		return ReasonVanished
	}
	return ReasonNoMailbox
}

// View says what a scan of one side's mailbox is worth.
type View uint8

// The views, by rising worth.
const (
	// Unseen: not scanned, or the scan failed. Changes from it are true as far
	// as they go.
	Unseen View = iota
	// Partial: scanned, but not provably complete. No Gone comes from it.
	Partial
	// Complete: what is absent is gone.
	Complete
)

// A Policy is a mode as data. Index everything by the side that is changed.
type Policy struct {
	// Create, Gain, Flag, Move, Lose: whether mailboxes and messages that the
	// other side has are created here, flags set, messages moved and removed.
	Create, Gain, Flag, Move, Lose [2]bool
	// RemoveBoxes: whether a mailbox that vanished on the other side is removed here.
	RemoveBoxes [2]bool
	// Prefer is the side whose place is taken when a message was moved to
	// different mailboxes on both.
	Prefer Side
}

// Mirror carries everything both ways.
func Mirror() Policy {
	both := [2]bool{true, true}
	return Policy{Create: both, Gain: both, Flag: both, Move: both, Lose: both, Prefer: Remote}
}

// Pull changes the local side only, Push the remote side only.
func Pull() Policy { return oneWay(Local) }

// Push changes the remote side only.
func Push() Policy { return oneWay(Remote) }

func oneWay(to Side) Policy {
	var only [2]bool
	only[to] = true
	return Policy{Create: only, Gain: only, Flag: only, Move: only, Lose: only, Prefer: to.Other()}
}

// Input is all that Reconcile looks at.
type Input struct {
	// Rows are those named by Changes, all that are Unbound, and those that
	// lie in a mailbox that was not completely seen (a new message may be one
	// of them, moved).
	Rows    []Row
	Changes []Change
	// Boxes are all mailboxes in scope, changed or not.
	Boxes  []BoxPair
	Policy Policy
	// Unknown are rows of which it is not known where they lie on that side: an
	// effect that was begun there could not be looked into.
	Unknown map[int64]Side
	// KeepsRef says, a side, that a message keeps its Ref when it is moved to
	// another mailbox (a Maildir key does, a UID does not).
	KeepsRef [2]bool
}

// Reason says why something is not done, or done otherwise than asked. It is
// part of the JSON output: texts do not change.
type Reason string

// The reasons.
const (
	ReasonMode        Reason = "mode"        // the account's mode does not carry this way
	ReasonRights      Reason = "rights"      // the mailbox does not allow it
	ReasonIncomplete  Reason = "incomplete"  // could be half a move: a mailbox was not completely seen
	ReasonGuard       Reason = "guard"       // too many deletions
	ReasonOutside     Reason = "outside"     // moved to a mailbox that is out of scope
	ReasonConflict    Reason = "conflict"    // both sides moved it, to different mailboxes
	ReasonUnconfirmed Reason = "unconfirmed" // a second look did not confirm it
	ReasonGainFailed  Reason = "gain-failed" // a copy that must come first failed
	ReasonNoMailbox   Reason = "no-mailbox"  // the mailbox is missing on the other side
	ReasonError       Reason = "error"       // the side answered with an error
	ReasonUnknown     Reason = "unknown"     // sent, but the answer never came
	ReasonRejected    Reason = "rejected"    // the user rejected the deletion
	ReasonFlagGuard   Reason = "flag-guard"  // too many messages lose \Seen or \Flagged
	ReasonVanished    Reason = "vanished"    // the whole mailbox vanished
	ReasonNotYet      Reason = "not-yet"     // waits for its next try
	ReasonMoveBeats   Reason = "moved"       // moved on one side, deleted on the other: the move counts
	ReasonDeclined    Reason = "declined"    // the side cannot store it
)

// A Plan is what is to be done, in this order: Binds and Drops, Gains, Flags,
// Moves, Losses. Gains are durable before the first loss. All lists are in a fixed
// order for a given input.
type Plan struct {
	// Asks: identities that must be known before the plan is whole. If there
	// are any, ask the sides, add the answers to the changes and reconcile
	// again; the rest of the plan is then empty.
	Asks []Ask
	// Binds are rows as they should now stand, by what is already so on both
	// sides: no effect on a side.
	Binds  []Bind
	Drops  []int64 // rows of messages that are gone everywhere
	Gains  []Gain
	Flags  []FlagOp
	Moves  []Move
	Losses []Loss
	Holds  []Hold // what is seen and not done; it stays pending
	Notes  []Note // what is done otherwise than one might expect, and settled
}

// Empty tells whether the plan asks for nothing at all.
func (p *Plan) Empty() bool {
	return len(p.Asks)+len(p.Binds)+len(p.Drops)+len(p.Gains)+len(p.Flags)+len(p.Moves)+len(p.Losses)+len(p.Holds) == 0
}

// An Ask wants the identity of a message up to Level.
type Ask struct {
	Side  Side
	At    Place
	Level mail.Level
}

// A Bind records what is so: Row is to be stored as it is here. A new row has
// a negative ID, unique in the plan, by which ops refer to it; the index
// gives it another. Settle lists the changes that it settles.
type Bind struct {
	Row    Row
	Settle []Ref
	Why    string // "adopted", "moved on both sides", "found again", "flags on both sides", …
}

// Ref names a change by its side, kind and place: what a decision settles.
type Ref struct {
	Side Side
	Kind Kind
	At   Place
}

// A FlagOp adds and removes flags of one message on one side.
type FlagOp struct {
	Side        Side
	At          Place
	Row         int64
	Add, Remove mail.FlagSet
	// CarryAdd and CarryRemove are the whole change of the other side that
	// this op carries over: when it is done they belong to the base of both
	// sides (less what was not accepted here). They hold more than Add and
	// Remove where this side had made a part of the same change itself.
	CarryAdd, CarryRemove mail.FlagSet
	Settle                []Ref
}

// A Move moves a message within one side, as it was moved on the other.
type Move struct {
	Side Side
	From Place
	To   mail.BoxID
	Row  int64
	// At is where the other side has it, Epoch, Ident and Stat as the other
	// side has it there: they enter the row when the move is done.
	At     Place
	Epoch  string
	Ident  mail.Identity
	Stat   string
	Settle []Ref
}

// A Loss removes a message from Side, because it was removed from the other.
type Loss struct {
	Side   Side
	At     Place
	Row    int64
	Settle []Ref
}

// A Hold is a change that is left as it is for now.
type Hold struct {
	Ref  Ref
	Row  int64
	Why  Reason
	Text string
}

// A Note tells of something unusual that was decided.
type Note struct {
	Side Side
	At   Place
	Row  int64
	Why  Reason
	Text string
}
