package folders

import (
	"github.com/godwit-mail/godwit/mail"
)

// A Box is a mailbox as a server lists it.
type Box struct {
	Name      mail.MailboxName
	Role      mail.Role
	Container bool // it holds no mail (\Noselect, \NonExistent)
}

// Scope says which mailboxes of the origin are to be carried.
type Scope interface {
	Match(mail.MailboxName) bool
	// Names tells whether the mailbox was named as such, not by a wildcard.
	Names(mail.MailboxName) bool
}

// Options is what the user asked for.
type Options struct {
	Scope     Scope            // nil takes all but what only shows mail of other mailboxes
	NoAutomap bool             // special-use mailboxes keep their names like all others
	Maps      []Rename         // the longest that fits decides, the last of equals
	Exprs     []Expression     // applied one after the other
	Subfolder mail.MailboxName // all but what Maps names goes below it; "" is none
	Merge     bool             // mailboxes whose names collide share one target
	Replace   string           // stands for a character that the target refuses; "" is its full-width form
}

// Input is all that a Plan follows from.
type Input struct {
	Origin, Target []Box
	// OriginServer tells of trees that mean nothing elsewhere; Unknown will do.
	OriginServer Server
	Rules        Rules
	Options      Options
	// Used is what an earlier run used, by the name at the origin.
	Used map[mail.MailboxName]Used
	// Refused are names that the target refused to create, whatever the Rules
	// say. Plainer ones are found in their place.
	Refused []mail.MailboxName
}

// Used is a choice that is remembered: Target and Asked of the Folder.
type Used struct {
	Target, Asked mail.MailboxName
}

// A Plan says where all mailboxes go.
type Plan struct {
	// Folders has one for each mailbox of the origin, in the order to carry
	// them: INBOX, the others by name, last those that show the mail of others.
	Folders []Folder
	Notes   []Note // what the user may want to settle
}

// A Folder is what becomes of one mailbox.
type Folder struct {
	Origin Box
	Target mail.MailboxName // "" if it is left out
	Left   Left             // why it is left out
	Why    Why              // where Target comes from
	// Asked is what the user's options make of the name, before it is adapted;
	// "" if they say nothing. It is to be remembered with Target.
	Asked mail.MailboxName
	// Was is the target that an earlier run used and that the options now
	// overrule: mail is there. "" if there is none.
	Was    mail.MailboxName
	Create bool // the target has no such mailbox yet
	// Use is the special use to create it with (RFC 6154, section 3), or none.
	Use mail.Role
	// Virtual: it shows mail of other mailboxes (\All); only what lies nowhere
	// else needs to be carried.
	Virtual bool
	// Merges are the other mailboxes of the origin that have the same target.
	Merges  []mail.MailboxName
	Changes []Change // what was done to the name to fit
}

// Why says where the name of a target comes from.
type Why string

// The sources of a name.
const (
	ByUse       Why = "special-use attribute"
	ByKnownName Why = "well-known name"
	ByName      Why = "same name"
	ByParent    Why = "parent"
	ByGmail     Why = "Gmail's own tree"
	ByMap       Why = "--map"
	ByExpr      Why = "--map-regex"
	BySubfolder Why = "--subfolder"
	ByMemory    Why = "used before"
)

// Left says why a mailbox is left out; "" if it is not.
type Left string

// The reasons.
const (
	LeftContainer Left = "holds no mail"
	LeftVirtual   Left = "shows mail of other mailboxes"
	LeftScope     Left = "not selected"
)

// A Change is one thing that was done to a name to make it fit the target.
type Change struct {
	Kind     Kind
	From, To string // a level, or for Collision and Tree the whole name
}

// Kind says what about a name did not fit.
type Kind string

// The kinds of changes.
const (
	Character Kind = "character"      // the target refuses one, or it separates levels there
	Space     Kind = "space"          // at an end, or several in a row
	Reserved  Kind = "reserved"       // the server keeps the name for itself
	Length    Kind = "length"         // too long
	Depth     Kind = "depth"          // too many levels
	Collision Kind = "collision"      // another mailbox has the name, or one that the target takes for the same
	Spelling  Kind = "spelling"       // the target spells it so already
	Tree      Kind = "tree"           // the server has no such tree, or keeps all below INBOX
	Refusal   Kind = "refused before" // the target refused to create it
)

// A Note is something about the whole that the user may want to settle.
type Note struct {
	Kind NoteKind
	// Role and Boxes are what the note is about: the candidates for a use, or
	// nothing for an option.
	Role  mail.Role
	Boxes []mail.MailboxName
	Text  string // one sentence that says what to do
}

// NoteKind says what a Note is about.
type NoteKind string

// The kinds of notes.
const (
	TwoAtOrigin NoteKind = "several candidates at the origin"
	TwoAtTarget NoteKind = "several candidates at the target"
	SameNameToo NoteKind = "the target has the name too"
	UnusedMap   NoteKind = "--map without a mailbox"
	UnusedExpr  NoteKind = "--map-regex without a mailbox"
)

// Target gives the target of a mailbox of the origin; false if it has none.
func (p Plan) Target(origin mail.MailboxName) (mail.MailboxName, bool) {
	for i := range p.Folders {
		if f := &p.Folders[i]; f.Origin.Name == origin && f.Target != "" {
			return f.Target, true
		}
	}
	return "", false
}
