package hook

import (
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// An Occasion is what a command is told, as JSON.
type Occasion interface {
	// key tells which occasions are gathered into one.
	key() string
	// join is this one and a later one with the same key.
	join(later Occasion) Occasion
}

// A Head begins every Occasion.
type Head struct {
	Type    string    `json:"type"` // "new_mail", "change", "backup" or "error"
	Time    time.Time `json:"time"`
	Account string    `json:"account"`
}

// mostMessages is how many messages at most a NewMail tells of one by one.
const mostMessages = 100

// NewMail tells of messages that came into the Maildir.
type NewMail struct {
	Head
	Mailboxes []Mailbox `json:"mailboxes"` // in the order in which they came
	Messages  []Message `json:"messages"`
	// More counts the messages that Messages leaves out.
	More int `json:"more"`
}

// A Mailbox counts what came into one.
type Mailbox struct {
	Name     mail.MailboxName `json:"name"`
	Messages int              `json:"messages"`
	Bytes    int64            `json:"bytes"`
}

// A Message is one that came.
type Message struct {
	Mailbox   mail.MailboxName `json:"mailbox"`
	MessageID string           `json:"message_id,omitempty"` // without "<" and ">"
	// Ref is the Maildir's own name for it: the name of its file up to the
	// colon, which stays the same when it is flagged or moved.
	Ref  mail.Ref `json:"ref"`
	Size int64    `json:"size"` // in bytes, as the server counts
}

// Add counts a message in.
func (n *NewMail) Add(m Message) {
	n.count(Mailbox{Name: m.Mailbox, Messages: 1, Bytes: m.Size})
	n.list(m)
}

func (n *NewMail) count(b Mailbox) {
	for i := range n.Mailboxes {
		if n.Mailboxes[i].Name == b.Name {
			n.Mailboxes[i].Messages += b.Messages
			n.Mailboxes[i].Bytes += b.Bytes
			return
		}
	}
	n.Mailboxes = append(n.Mailboxes, b)
}

func (n *NewMail) list(m Message) {
	if len(n.Messages) == mostMessages {
		n.More++
		return
	}
	n.Messages = append(n.Messages, m)
}

func (n NewMail) key() string { return "" }

func (n NewMail) join(later Occasion) Occasion {
	l := later.(NewMail)
	both := NewMail{Head: l.Head, Mailboxes: slices.Clone(n.Mailboxes), Messages: slices.Clone(n.Messages), More: n.More + l.More}
	for _, b := range l.Mailboxes {
		both.count(b)
	}
	for _, m := range l.Messages {
		both.list(m)
	}
	return both
}

// A Change tells of what was done on both sides.
type Change struct {
	Head
	Local  Done `json:"local"` // in the Maildir
	Remote Done `json:"remote"`
	// Adopted counts messages that were found on both sides, and are the same.
	Adopted int `json:"adopted"`
}

// Done counts what was done on one side: messages, and mailboxes.
type Done struct {
	Copied           int   `json:"copied"` // to this side
	Bytes            int64 `json:"bytes"`
	Flagged          int   `json:"flagged"`
	Moved            int   `json:"moved"`
	Deleted          int   `json:"deleted"`
	CreatedMailboxes int   `json:"created_mailboxes"`
	RenamedMailboxes int   `json:"renamed_mailboxes"`
	RemovedMailboxes int   `json:"removed_mailboxes"`
}

func (d Done) plus(e Done) Done {
	return Done{
		Copied: d.Copied + e.Copied, Bytes: d.Bytes + e.Bytes, Flagged: d.Flagged + e.Flagged, Moved: d.Moved + e.Moved, Deleted: d.Deleted + e.Deleted,
		CreatedMailboxes: d.CreatedMailboxes + e.CreatedMailboxes, RenamedMailboxes: d.RenamedMailboxes + e.RenamedMailboxes,
		RemovedMailboxes: d.RemovedMailboxes + e.RemovedMailboxes,
	}
}

func (c Change) key() string { return "" }

func (c Change) join(later Occasion) Occasion {
	l := later.(Change)
	return Change{Head: l.Head, Local: c.Local.plus(l.Local), Remote: c.Remote.plus(l.Remote), Adopted: c.Adopted + l.Adopted}
}

// A Backup tells of a generation that was made.
type Backup struct {
	Head
	Archive    string `json:"archive"` // its directory
	Generation int64  `json:"generation"`
	Complete   bool   `json:"complete"`
	Why        string `json:"why,omitempty"` // why it is not
	// Messages that came, went, changed their flags and moved since the
	// generation before.
	Came        int   `json:"came"`
	Went        int   `json:"went"`
	Changed     int   `json:"changed"`
	Moved       int   `json:"moved"`
	Mailboxes   int   `json:"mailboxes"` // that it holds
	Messages    int   `json:"messages"`
	Stored      int64 `json:"stored"`      // bytes of message files that it added
	Quarantined int   `json:"quarantined"` // messages that the server would not give
}

func (b Backup) key() string { return "" }

// join counts what came of both, and is otherwise the later one.
func (b Backup) join(later Occasion) Occasion {
	l := later.(Backup)
	l.Came, l.Went, l.Changed, l.Moved, l.Stored = l.Came+b.Came, l.Went+b.Went, l.Changed+b.Changed, l.Moved+b.Moved, l.Stored+b.Stored
	return l
}

// An Error tells that an account has begun to fail.
type Error struct {
	Head
	Error string     `json:"error"`
	Class mail.Class `json:"class"`
	// Since is when it began to fail, in whatever way; Failures counts the runs
	// that failed since.
	Since    time.Time `json:"since"`
	Failures int       `json:"failures"`
}

func (e Error) key() string { return string(e.Class) }

func (e Error) join(later Occasion) Occasion { return later }
