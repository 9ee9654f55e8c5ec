package folders

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// A Server is a kind of server, as far as it has rules for names of its own.
type Server string

// The kinds that have rules of their own.
const (
	Unknown  Server = ""
	Courier  Server = "Courier"
	Cyrus    Server = "Cyrus"
	Dovecot  Server = "Dovecot"
	Exchange Server = "Exchange"
	Gmail    Server = "Gmail"
	Zimbra   Server = "Zimbra"
)

// Recognise tells the kind of a server from its greeting and its capabilities.
// What it does not know is Unknown, for which the Rules are careful.
func Recognise(greeting string, caps []string) Server {
	if slices.ContainsFunc(caps, func(c string) bool { return strings.EqualFold(c, "X-GM-EXT-1") }) {
		return Gmail
	}
	words := []struct {
		word   string
		server Server
	}{
		{"dovecot", Dovecot}, {"courier-imap", Courier}, {"cyrus", Cyrus},
		{"microsoft exchange", Exchange}, {"zimbra", Zimbra}, {"gimap", Gmail},
	}
	greeting = strings.ToLower(greeting)
	for _, w := range words {
		if strings.Contains(greeting, w.word) {
			return w.server
		}
	}
	return Unknown
}

// Rules say which names of mailboxes a target takes. A name that is there
// already is taken whatever they say. Valid UTF-8 without control characters
// is demanded of all.
type Rules struct {
	Server Server
	// Separator is between levels, "" where there are none; Prefix is that of the
	// personal namespace (RFC 2342). See Told.
	Separator, Prefix string
	Refused           string // characters that no level may have; letters, digits, "-" and "_" do not count
	RefusedFirst      string // characters that no level may begin with
	// Trims: a space at an end of a level is refused or dropped; Squeezes: so is
	// one of two in a row.
	Trims, Squeezes bool
	// MaxLevel and MaxName limit a level, and the whole name with its prefix, in
	// bytes as they are sent (modified UTF-7); MaxDepth limits the levels. 0 is
	// no limit.
	MaxLevel, MaxName, MaxDepth int
	// Folds: names that differ by case or by Unicode normalisation only are one.
	Folds bool
	// ReservedTop are names that no mailbox may have at the top, ReservedLevels
	// those that no level may have, whatever the case.
	ReservedTop, ReservedLevels []string
	// ReservedTrees are top levels below which nothing can be created.
	ReservedTrees []string
}

// maildirName is how long a name may be that is one directory (Maildir++).
const maildirName = 240

// Limits that hold for the Rules themselves, so that a name always fits.
const (
	leastLevel = 32
	leastName  = 200
	mostName   = 1000 // of what godwit handles
)

// RulesOf gives what is known of a kind of server.
func RulesOf(server Server) Rules {
	r := Rules{Server: server, Separator: "/", MaxLevel: 255, MaxName: mostName}
	switch server {
	case Dovecot:
		r.MaxDepth, r.Refused, r.RefusedFirst = 16, "/", "~"
		// The directories of the mail itself, where levels are directories.
		r.ReservedLevels = []string{"cur", "new", "tmp", "dbox-Mails", "mdbox"}
	case Courier:
		// A name is one directory, ".A.B" (maildir++).
		r.Separator, r.Prefix = ".", "INBOX."
		r.MaxName, r.Refused = maildirName, "/"
	case Cyrus:
		r.Refused, r.MaxName = "!\"%/;<>\\^`{|}", 480
	case Exchange:
		r.Trims, r.Folds, r.MaxDepth = true, true, 300
		r.Refused = "\\"
		// Folders of items that are no mail, whether IMAP shows them or not.
		r.ReservedTop = []string{
			"Calendar", "Contacts", "Conversation Action Settings", "Conversation History", "ExternalContacts", "Files", "Journal", "Notes",
			"Outbox", "PersonMetadata", "Quick Step Settings", "RSS Feeds", "RSS Subscriptions", "Suggested Contacts", "Sync Issues",
			"Tasks", "Working Set", "Yammer Root",
		}
	case Gmail:
		r.Trims, r.Squeezes, r.Folds = true, true, true
		r.Refused, r.MaxName = "^\\\"", 225
		r.ReservedTop = []string{
			"All Mail", "Bin", "Chats", "Drafts", "Important", "Muted", "Scheduled", "Sent", "Sent Mail", "Snoozed", "Spam", "Starred", "Trash",
		}
		r.ReservedTrees = gmailTrees
	case Zimbra:
		r.Trims, r.Folds = true, true
		r.Refused, r.MaxLevel = ":\"", 128
		r.ReservedTop = []string{"Briefcase", "Calendar", "Chats", "Contacts", "Emailed Contacts", "Notebook", "Tasks"}
	default:
		// Careful: a name too plain is better than one that ends in another mailbox.
		r.Refused, r.RefusedFirst, r.Trims, r.Folds = "%*", "~.", true, true
	}
	return r
}

// gmailTrees are where Gmail shows the mailboxes that are its own.
var gmailTrees = []string{"[Gmail]", "[Google Mail]"}

// Told gives the rules with the prefix and the separator that the server
// itself tells. A separator of "" says that it has no levels.
func (r Rules) Told(prefix, separator string) Rules {
	r.Prefix, r.Separator = prefix, separator
	if r.Server == Dovecot && separator == "." {
		r.MaxName = maildirName // as its Maildir++ has it, where a dot is the rule
	}
	return r
}

// settled makes the limits such that a name can always be found.
func (r Rules) settled(target []Box) Rules {
	if r.MaxName <= 0 || r.MaxName > mostName {
		r.MaxName = mostName
	}
	r.MaxName = max(r.MaxName, leastName+len(r.Prefix))
	if r.MaxLevel <= 0 || r.MaxLevel > r.MaxName {
		r.MaxLevel = r.MaxName
	}
	r.MaxLevel = max(r.MaxLevel, leastLevel)
	if r.Separator == "" {
		r.MaxDepth = 1
	}
	safe := func(c rune) rune {
		if c == '-' || c == '_' || c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c)) {
			return -1
		}
		return c
	}
	r.Refused, r.RefusedFirst = strings.Map(safe, r.Refused), strings.Map(safe, r.RefusedFirst)
	seen := map[string]mail.MailboxName{}
	for _, b := range target {
		k := r.key(b.Name)
		if other, ok := seen[k]; ok && other != b.Name {
			r.Folds = false // the target shows that it tells them apart
			break
		}
		seen[k] = b.Name
	}
	return r
}

// belowInbox tells whether the prefix puts all mailboxes below INBOX, so that
// "INBOX/X" would be a second level of that name.
func (r Rules) belowInbox() bool {
	return r.Separator != "" && strings.EqualFold(r.Prefix, string(mail.Inbox)+r.Separator)
}
