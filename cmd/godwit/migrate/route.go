package migrate

import (
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Route is where the mail of one mailbox goes.
type Route struct {
	From mail.MailboxName
	To   mail.MailboxName // "" if it is left out
	Use  mail.Role        // what the target's mailbox is to be for, if it is made
	// Why says why it is left out, or why it goes elsewhere than to its own
	// name; "" for its own name.
	Why string
	// Asked is what was asked for, to be remembered beside To; "" for what was
	// found out.
	Asked mail.MailboxName
	// Moved is where an earlier run took it, if that was elsewhere; "" if not.
	Moved mail.MailboxName
	// Lost says that mail is left behind which nobody asked to leave behind.
	Lost bool
}

// A Question is what a Router goes by.
type Question struct {
	Origin, Target []plan.Box
	// Used is where earlier runs took mailboxes, by the names of the origin.
	Used map[mail.MailboxName]Used
	// Refused are names that the target would not make in this run.
	Refused []mail.MailboxName
}

// A Router says where the mailboxes of the origin go. The routes come in the
// order in which they are to be carried, one for each mailbox of the origin;
// notes are what a person should know beside.
type Router func(Question) (routes []Route, notes []string)

// Used is where an earlier run took a mailbox; see Route.
type Used struct {
	To    mail.MailboxName `json:"to"`
	Asked mail.MailboxName `json:"asked,omitempty"`
	// Part tells apart the mailboxes that go to the same one: 0 for the first.
	Part int `json:"part,omitempty"`
	// Subscribed is how the origin had it, the last time.
	Subscribed bool `json:"subscribed,omitempty"`
}

// A Memory keeps what runs remember of mailboxes beside the index.
type Memory interface {
	// Used gives what the last run kept, by the names of the origin.
	Used() (map[mail.MailboxName]Used, error)
	// Keep replaces it, durably.
	Keep(map[mail.MailboxName]Used) error
}

// A Rerouted is the error of a run that would take mailboxes elsewhere than an
// earlier one did.
type Rerouted struct{ Routes []Route }

func (e *Rerouted) Error() string {
	r := e.Routes[0]
	text := fmt.Sprintf("mailbox %s went to %s in an earlier run, and would go to %s now", r.From, r.Moved, r.To)
	if n := len(e.Routes); n > 1 {
		text += fmt.Sprintf(" (and %d more)", n-1)
	}
	return text
}

// rerouted are the routes that differ from those of an earlier run.
func rerouted(routes []Route) error {
	moved := slices.DeleteFunc(slices.Clone(routes), func(r Route) bool { return r.Moved == "" || r.To == "" })
	if len(moved) == 0 {
		return nil
	}
	return &Rerouted{moved}
}
