package wire

import (
	"net"
	"time"
)

// The defaults of Options.
const (
	DefaultIdleTimeout  = 60 * time.Second
	DefaultWriteTimeout = 60 * time.Second
	DefaultMaxLine      = 1 << 20
	DefaultMaxList      = 16 << 20
	DefaultMaxLiteral   = 2 << 30
	DefaultMaxHeld      = 8 << 20
	DefaultMaxDepth     = 64
)

// BadDate stands for an INTERNALDATE that the server gave as NIL or in a form
// that is no date. No real message has it: it lies before there was mail.
var BadDate = time.Date(1901, time.January, 1, 0, 0, 0, 0, time.UTC)

// IsBadDate tells whether t is BadDate, or no date at all.
func IsBadDate(t time.Time) bool { return t.IsZero() || t.Equal(BadDate) }

// Options are the limits and listeners of a Conn. The zero value has the
// defaults and no listeners.
type Options struct {
	// IdleTimeout is how long the server may send nothing while an answer is
	// due; WriteTimeout how long it may take none of what is sent.
	IdleTimeout, WriteTimeout time.Duration
	// MaxLine caps a line of a response, in bytes; MaxList caps those that
	// list numbers (SEARCH, ESEARCH, VANISHED).
	MaxLine, MaxList int
	// MaxLiteral caps the size of a literal that is streamed, MaxHeld what is
	// held in memory of one response, MaxDepth how deep lists may nest.
	MaxLiteral int64
	MaxHeld    int
	MaxDepth   int

	// Greeting, if not "", is shown to the library as the server's greeting,
	// where the real one was read before the Conn was made (STARTTLS). It is
	// a whole response without its line end.
	Greeting string

	// Trace is told every line as it is sent (dir "C") or received (dir "S"),
	// without line end, with secrets left out and literals summarised. It is
	// called from the goroutines that read and write, and must not block.
	Trace func(dir, line string)
	// Unasked is told of the flags that a FETCH response reported for a
	// message when it was no answer to a command. uid is 0 where the response
	// had none. It is called from the reading goroutine and must not block.
	Unasked func(seq, uid uint32, flags []string)
}

// Stats counts what went over a Conn: bytes inside TLS, before any
// compression, and commands by name ("UID FETCH", "SELECT", …).
type Stats struct {
	Read, Written int64
	Commands      map[string]int
}

// A Conn is a net.Conn that protects the IMAP library above it. See the
// package comment.
type Conn struct {
	raw net.Conn
	opt Options
}

// New makes a Conn over raw, which it owns from then on.
func New(raw net.Conn, opt Options) *Conn { return &Conn{raw: raw, opt: opt} }

// Read gives the library the next bytes of well-formed responses.
func (c *Conn) Read(p []byte) (int, error) { return c.raw.Read(p) }

// Write takes bytes of commands from the library.
func (c *Conn) Write(p []byte) (int, error) { return c.raw.Write(p) }

// Close ends the connection, except once after a command was refused while
// the library waited to send its literal (see the package comment).
func (c *Conn) Close() error { return c.raw.Close() }

// Kill ends the connection at once. It may be called at any time, more than
// once, from any goroutine; what waits on the connection fails.
func (c *Conn) Kill() error { return c.raw.Close() }

// Err is the first reason why the connection is of no more use: a cut, a
// timeout, a cap, the server's BYE, or nil while it is usable. After Kill or
// Close it is net.ErrClosed, unless something happened before.
func (c *Conn) Err() error { return nil }

// Alerts are the texts of [ALERT] responses so far, which a user must be
// shown (RFC 9051, section 7.1), oldest first, without repeats.
func (c *Conn) Alerts() []string { return nil }

// Bye is the text of the server's BYE, with its response code, or "".
func (c *Conn) Bye() string { return "" }

// Stats tells what went over the connection so far.
func (c *Conn) Stats() Stats { return Stats{} }

// AskGlobalID makes every UID FETCH that asks for RFC822.SIZE ask for kind
// too: "EMAILID" (RFC 8474) or "X-GM-MSGID"; "" stops it. The answers are
// kept for TakeGlobalIDs. Call it when the server offers the extension.
func (c *Conn) AskGlobalID(kind string) {}

// TakeGlobalIDs gives the identifiers, by UID, that came since the last call.
func (c *Conn) TakeGlobalIDs() map[uint32]string { return nil }

// TakeNoBody tells of which messages a FETCH that asked for a body got none
// that can be used since the last call, and why.
func (c *Conn) TakeNoBody() map[uint32]string { return nil }

// TakeBadNames gives the names of mailboxes, as the server spelled them, that
// LIST named since the last call and that are not valid modified UTF-7: no
// command can be sure to name them, so the library never saw them.
func (c *Conn) TakeBadNames() []string { return nil }

// TakeModified gives the sets of UIDs (or sequence numbers), in IMAP's
// notation, that [MODIFIED …] named since the last call: messages that a STORE with
// UNCHANGEDSINCE left alone (RFC 7162, section 3.1.3).
func (c *Conn) TakeModified() []string { return nil }

// MailboxID is the identifier (RFC 8474) of the mailbox that was selected
// last, or "".
func (c *Conn) MailboxID() string { return "" }

// TakeMailboxIDs gives the identifiers of mailboxes that STATUS responses
// named since the last call, by name as the server spelled it (modified UTF-7).
func (c *Conn) TakeMailboxIDs() map[string]string { return nil }

// LocalAddr, RemoteAddr are those of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is that of the connection below.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline does nothing: the Conn has timeouts of its own, about progress.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, as SetDeadline.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, as SetDeadline.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
