package mail

import "strings"

// A MailboxName is the name of a mailbox as a person reads it: Unicode,
// without the prefix of the personal namespace, with "/" between levels
// whatever the server or the disk uses. The inbox is always Inbox.
// A slash that is part of one level (on a server whose separator is another
// character) is written SlashInLevel.
type MailboxName string

// Inbox is the one mailbox that every account has (RFC 9051, section 5.1).
const Inbox MailboxName = "INBOX"

// SlashInLevel (U+2215, DIVISION SLASH) stands in a MailboxName for a "/"
// that is part of one level.
const SlashInLevel = "\u2215"

// genuineMark (U+FE00, VARIATION SELECTOR-1) follows a SlashInLevel that is
// itself part of the name.
const genuineMark = "\ufe00"

// EscapeLevel makes one level of a name, as a side whose separator is not "/"
// has it, fit to be joined with "/". A side must refuse a name for which
// UnescapeLevel does not give back the original.
func EscapeLevel(raw string) string {
	if !strings.Contains(raw, "/") && !strings.Contains(raw, SlashInLevel) {
		return raw // as good as always
	}
	return strings.NewReplacer(SlashInLevel, SlashInLevel+genuineMark, "/", SlashInLevel).Replace(raw)
}

// UnescapeLevel undoes EscapeLevel.
func UnescapeLevel(level string) string {
	if !strings.Contains(level, SlashInLevel) {
		return level
	}
	return strings.NewReplacer(SlashInLevel+genuineMark, SlashInLevel, SlashInLevel, "/").Replace(level)
}

// NewMailboxName joins levels, and gives INBOX, in any case, its one name
// (RFC 9051, section 5.1: INBOX is case-insensitive). Only the whole first
// level is treated so: "inbox/Sub" becomes "INBOX/Sub".
func NewMailboxName(levels ...string) MailboxName {
	if len(levels) > 0 && strings.EqualFold(levels[0], string(Inbox)) {
		levels = append([]string{string(Inbox)}, levels[1:]...)
	}
	return MailboxName(strings.Join(levels, "/"))
}

// Levels splits the name at its slashes.
func (n MailboxName) Levels() []string { return strings.Split(string(n), "/") }

// Parent is the name without its last level, "" at the top.
func (n MailboxName) Parent() MailboxName {
	if i := strings.LastIndexByte(string(n), '/'); i >= 0 {
		return n[:i]
	}
	return ""
}

// Base is the last level of the name.
func (n MailboxName) Base() string {
	return string(n[strings.LastIndexByte(string(n), '/')+1:])
}

// Within tells whether n lies below parent, at any depth.
func (n MailboxName) Within(parent MailboxName) bool {
	return len(n) > len(parent) && n[len(parent)] == '/' && n[:len(parent)] == parent
}

// A BoxID is the number that the index of an account gives a pair of
// mailboxes, one on each side. It outlives a change of name. 0 is none.
type BoxID int64

// A Ref names a message inside one mailbox and one epoch (UIDVALIDITY) of one
// side: a UID in decimal on a server, a key (the file name up to the info) in
// a Maildir. It means nothing to anyone but the Side that gave it.
type Ref string

// A Role is what a mailbox is for (RFC 6154, SPECIAL-USE).
type Role string

// The roles of RFC 6154 and, for Important, RFC 8457.
const (
	RoleNone      Role = ""
	RoleAll       Role = `\All`
	RoleArchive   Role = `\Archive`
	RoleDrafts    Role = `\Drafts`
	RoleFlagged   Role = `\Flagged`
	RoleImportant Role = `\Important`
	RoleJunk      Role = `\Junk`
	RoleSent      Role = `\Sent`
	RoleTrash     Role = `\Trash`
)
