package wire

import (
	"bufio"
	"net"
	"sync"
	"sync/atomic"
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

	// Meter, if not nil, limits what goes over the Conn and all others that
	// share it.
	Meter *Meter

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

// Stats counts what went over a Conn.
type Stats struct {
	// Read and Written are bytes as they travel inside TLS, compressed where
	// that was agreed; PlainRead and PlainWritten are those of the protocol.
	Read, Written           int64
	PlainRead, PlainWritten int64
	// Commands are counted by name ("UID FETCH", "SELECT", …).
	Commands map[string]int
	// RoundTrips is how often the server was waited for with nothing under
	// way: for its greeting, for its "+", and for the answers to commands that
	// were sent while no other command was unanswered. Commands that leave
	// together (see Cork), or while earlier ones are still being answered,
	// share one.
	RoundTrips int
}

// maxKept is how much a buffer may hold on to once it is empty again.
const maxKept = 1 << 20

// A Conn is a net.Conn that protects the IMAP library above it. See the
// package comment.
type Conn struct {
	raw           net.Conn
	opt           Options
	read, written atomic.Int64
	// Without compression.
	plainRead, plainWritten atomic.Int64

	// What is below is guarded by reading, which is held while a Read waits.
	reading sync.Mutex
	br      *bufio.Reader
	long    []byte       // a line that is longer than the buffer of br
	out     []byte       // what the library is to read next
	taken   int          // how much of out it has read
	body    int64        // how much of a literal follows, as it comes
	whole   int64        // the size of that literal
	after   func() error // goes on with the response behind the literal

	// What is below is guarded by writing.
	writing  sync.Mutex
	line     []byte // a line that has not ended yet
	outgoing []byte // what is to be sent
	corked   bool   // what is to be sent waits for Uncork
	deflated *deflater

	// What is below is guarded by mu, which is never held during I/O.
	mu      sync.Mutex
	err     error
	greeted bool
	hello   string    // see Greeting
	due     time.Time // when the server will have been silent too long
	pending []*command
	sending *command // the last of pending, if its end was not written yet
	toSend  int64    // how much of its literal is still to come
	forgive bool     // the next Close is the library's mistake
	granted bool     // the library is owed a "+" by us, not by the server
	gather  *Append  // what the next APPEND is made into
	between bool     // the reader waits for a response to begin
	utf8    bool     // mailbox names are UTF-8 on the wire
	told    bool     // the answer to the login tells the capabilities
	caps    string   // what CAPABILITY told while a login was under way
	pace    pace
	// inflated is set once, by the reader, which needs no lock to look at it.
	inflated *inflater
	askID    string
	divert   Bodies // takes the answers to the next FETCH
	secrets  []string
	calls    int           // how many were sent
	calling  *Call         // whose command is begun next
	qresync  bool          // QRESYNC is enabled
	open     bool          // a mailbox is selected
	gone     chan struct{} // closed when err is set
	// literalPlus: the server offers LITERAL+ (RFC 7888).
	literalPlus bool
	records
}

// New makes a Conn over raw, which it owns from then on. It does no I/O.
func New(raw net.Conn, opt Options) *Conn {
	opt.IdleTimeout = orDefault(opt.IdleTimeout, DefaultIdleTimeout)
	opt.WriteTimeout = orDefault(opt.WriteTimeout, DefaultWriteTimeout)
	opt.MaxLine = orDefault(opt.MaxLine, DefaultMaxLine)
	opt.MaxList = max(opt.MaxLine, orDefault(opt.MaxList, DefaultMaxList))
	opt.MaxLiteral = orDefault(opt.MaxLiteral, DefaultMaxLiteral)
	opt.MaxHeld = orDefault(opt.MaxHeld, DefaultMaxHeld)
	opt.MaxDepth = orDefault(opt.MaxDepth, DefaultMaxDepth)
	c := &Conn{raw: raw, opt: opt, gone: make(chan struct{})}
	c.br = bufio.NewReaderSize(source{c}, 64<<10)
	c.commands = make(map[string]int)
	if opt.Greeting != "" {
		c.greeted, c.hello = true, greetingText(opt.Greeting)
		c.out = append([]byte(opt.Greeting), "\r\n"...)
	}
	return c
}

// maxHello caps, in bytes, what is kept of a greeting.
const maxHello = 4096

// Greeting is what the server said in words when it greeted. Servers tell there
// what they are.
func (c *Conn) Greeting() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hello
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// Close ends the connection, except once after a command was refused while
// the library waited to send its literal (see the package comment).
func (c *Conn) Close() error {
	c.mu.Lock()
	forgiven := c.forgive && c.err == nil
	c.forgive = false
	c.mu.Unlock()
	if forgiven {
		return nil
	}
	return c.Kill()
}

// Kill ends the connection at once. It may be called at any time, more than
// once, from any goroutine; what waits on the connection fails.
func (c *Conn) Kill() error {
	c.fail(net.ErrClosed)
	err := bare(c.raw).Close()
	c.mu.Lock()
	z := c.inflated
	c.mu.Unlock()
	if z != nil {
		<-z.ended // at once: what it reads from is closed
	}
	return err
}

// Err is the first reason why the connection is of no more use: a cut, a
// timeout, a cap, the server's BYE, or nil while it is usable. After Kill or
// Close it is net.ErrClosed, unless something happened before.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// fail records why the connection is of no more use, and gives the first
// reason there was.
func (c *Conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.gone)
	}
	return c.err
}

// LocalAddr is that of the connection below.
func (c *Conn) LocalAddr() net.Addr { return c.raw.LocalAddr() }

// RemoteAddr is that of the connection below.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// SetDeadline does nothing: the Conn has timeouts of its own, about progress.
func (c *Conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing, as SetDeadline.
func (c *Conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, as SetDeadline.
func (c *Conn) SetWriteDeadline(time.Time) error { return nil }
