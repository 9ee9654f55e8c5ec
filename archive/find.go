package archive

import (
	"context"
	"io"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Message is one that the archive has.
type Message struct {
	Digest       mail.Digest // of its exact bytes
	Size, Stored int64       // bytes of the message, and of its file
	Ident        mail.Identity
	Subject      string
	Sender       string
	MessageID    string    // without "<" and ">"
	Date         time.Time // of the header; zero if not known
}

// A Placement is where and when a message lay.
type Placement struct {
	Mailbox  mail.MailboxName // as it was called last while the message was there
	From, To int64            // the first generation that has it there, and the last; To 0: still there
	Flags    mail.FlagSet     // the last that it had there
	Date     time.Time        // its INTERNALDATE
	// UIDValidity and UID are what it was called where it came from.
	UIDValidity, UID string
}

// Found is an answer of Find.
type Found struct {
	Message Message
	Places  []Placement // the oldest first
}

// Find yields the messages whose subject, sender or Message-ID contains text,
// in any case; the newest first.
func (a *Archive) Find(ctx context.Context, text string, yield func(Found) error) error {
	return errNotYet
}

// Messages yields those whose digest begins with prefix, in hexadecimal; ""
// yields all. They come in no order.
func (a *Archive) Messages(ctx context.Context, prefix string, yield func(Message) error) error {
	return errNotYet
}

// Message gives the one message whose digest begins with prefix, with where it
// lay. Errors: ErrNoMessage, ErrAmbiguous.
func (a *Archive) Message(ctx context.Context, prefix string) (Found, error) {
	return Found{}, errNotYet
}

// OpenMessage gives the bytes of a message. The reader ends with an error that
// wraps ErrDamaged unless they have that digest. Errors: ErrNoMessage,
// ErrDamaged.
func (a *Archive) OpenMessage(ctx context.Context, digest mail.Digest) (io.ReadCloser, error) {
	return nil, errNotYet
}
