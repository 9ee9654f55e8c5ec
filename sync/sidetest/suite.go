package sidetest

import (
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// A Harness is one fresh, empty account and what is known of the Side over it.
type Harness struct {
	// Open gives a new Side over the account, as at the start of a run. The
	// suite closes it.
	Open func(t *testing.T) engine.Writer
	// User acts on the account behind the back of every open Side, as a mail
	// program does. What is nil is done through a Side of its own.
	User User
	// Claims are the declared limits of the Side.
	Claims Claims
	// Age lets time pass, so that a survey may trust the times of directories.
	// Nil where none needs to.
	Age func(t *testing.T)
}

// User is what happens to an account from the outside.
type User struct {
	Deliver   func(t *testing.T, box mail.MailboxName, body []byte, flags mail.FlagSet, date time.Time)
	SetFlags  func(t *testing.T, box mail.MailboxName, ref mail.Ref, flags mail.FlagSet)
	Move      func(t *testing.T, from mail.MailboxName, ref mail.Ref, to mail.MailboxName)
	Expunge   func(t *testing.T, box mail.MailboxName, ref mail.Ref)
	DeleteBox func(t *testing.T, box mail.MailboxName)
	// Edit changes the bytes of a message under the same Ref. No Side can do
	// that: without it the promises about edited files are not checked.
	Edit func(t *testing.T, box mail.MailboxName, ref mail.Ref, body []byte)
}

// Claims are what one Side may do otherwise than another, and must then do.
// The zero value is a side that keeps everything, shows nothing early and
// cannot tell what did not change.
type Claims struct {
	// KeepsKeys: a message keeps its Ref when it moves, so that Confirm finds
	// it in a mailbox that is not bound.
	KeepsKeys bool
	// HasNext: surveys, or else scans, tell UIDNEXT.
	HasNext bool
	// TellsSame: a survey says Same of a mailbox in which nothing changed.
	TellsSame bool
	// Tokens: Item.Token of what is put comes back in scans.
	Tokens bool
	// Forgets: the Ref of what was put or moved may be left untold.
	Forgets bool
	// ShowsAtOnce: what was added may be seen before Commit and after Abort.
	ShowsAtOnce bool
	// Keywords is how many different keywords can be stored, beside
	// $Forwarded: 0 for any number, -1 for none, not even $Forwarded.
	Keywords int
	// Name tells whether the side can hold a mailbox of this name; nil: it can
	// hold every name.
	Name func(mail.MailboxName) bool
	// Stores gives the bytes that are there after body was put, and false if
	// the side refuses it; nil: it stores what it is given (line ends may
	// change).
	Stores func(body []byte) ([]byte, bool)
}

// stored gives what becomes of body.
func (c Claims) stored(body []byte) ([]byte, bool) {
	if c.Stores == nil {
		return body, true
	}
	return c.Stores(body)
}

// A promise is one thing that a Side must do.
type promise struct {
	name  string
	check func(b *bench)
}

// Run checks every promise of engine.Side and engine.Writer, each against an
// account of its own that fresh gives.
func Run(t *testing.T, fresh func(t *testing.T) Harness) {
	for _, group := range []struct {
		name     string
		promises []promise
	}{
		{"survey", surveyPromises},
		{"mailboxes", mailboxPromises},
		{"scan", scanPromises},
		{"identify", identifyPromises},
		{"fetch", fetchPromises},
		{"put", putPromises},
		{"ops", opPromises},
		{"confirm", confirmPromises},
		{"resolve", resolvePromises},
		{"errors", errorPromises},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, p := range group.promises {
				t.Run(p.name, func(t *testing.T) { p.check(newBench(t, fresh(t))) })
			}
		})
	}
}
