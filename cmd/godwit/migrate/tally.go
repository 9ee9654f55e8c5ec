package migrate

import (
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A tally counts what passes did, by the mailboxes of the target.
type tally struct {
	copied, matched, flagged map[mail.MailboxName]int
	bytes                    map[mail.MailboxName]int64
	unseen                   map[mail.MailboxName]bool // a fault of the last pass is about it
	errors                   int                       // of the last pass
	notes                    []string
}

func newTally() *tally {
	return &tally{
		copied: map[mail.MailboxName]int{}, matched: map[mail.MailboxName]int{}, flagged: map[mail.MailboxName]int{},
		bytes: map[mail.MailboxName]int64{}, unseen: map[mail.MailboxName]bool{},
	}
}

// begin begins another pass.
func (t *tally) begin() {
	t.errors = 0
	clear(t.unseen)
}

func (t *tally) note(text string) { t.notes = append(t.notes, text) }

func (t *tally) take(e engine.Event) {
	switch {
	case e.Kind == engine.Faulted:
		t.errors++
		t.unseen[e.Mailbox] = true
	case e.Kind != engine.Action:
	case e.Verb == engine.VerbCopied && e.Side == plan.Remote:
		t.copied[e.Mailbox]++
		t.bytes[e.Mailbox] += e.Size
	case e.Verb == engine.VerbAdopted:
		t.matched[e.Mailbox]++
	case e.Verb == engine.VerbFlagged && e.Side == plan.Remote:
		t.flagged[e.Mailbox]++
	}
}
