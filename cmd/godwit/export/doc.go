// Package export writes messages out of godwit in forms that other programs
// read: one mbox file, or a directory of .eml files.
//
// Invariants:
//   - Nothing that exists is overwritten, and nothing is written outside the
//     place that was named, whatever a mailbox is called.
//   - What Commit has returned for is durable.
//   - The bytes of a message are written as they are, but for what the form
//     itself demands: an mbox has LF line ends and quotes its From_ lines.
package export

import (
	"io"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Message is a message on its way out.
type Message struct {
	Mailbox mail.MailboxName
	Ident   mail.Identity
	Flags   mail.FlagSet
	Date    time.Time // of arrival
	Deleted time.Time // zero for a message that was not deleted
	Open    func() (io.ReadCloser, error)
}

// A Writer writes messages to one place.
type Writer interface {
	// Put writes a message, and tells where; wrote is false if it was there already.
	Put(m Message) (where string, wrote bool, err error)
	// Commit ends the writing and makes it durable.
	Commit() error
	// Abort throws away what can be thrown away. After Commit it does nothing.
	Abort()
}
