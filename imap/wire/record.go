package wire

import (
	"maps"
	"slices"
)

// Caps on what is remembered until somebody asks for it.
const (
	maxRecords = 1 << 20 // entries by UID
	maxTexts   = 100     // texts for people
	maxText    = 1000    // bytes of such a text
	maxNames   = 10000
)

// records are what was taken out of the responses, guarded by Conn.mu.
type records struct {
	alerts    []string
	bye       string
	commands  map[string]int
	ids       map[uint32]string
	noBody    map[uint32]string
	badNames  []string
	modified  []string
	boxIDs    map[string]string
	selection Selection
	tally     Tally
}

// A Tally is how many messages the selected mailbox holds, by all that was
// read so far, and how often that has changed since it was selected.
type Tally struct {
	Exists  uint32
	Changes int
}

// Tally counts the messages of the mailbox that was selected last. What the
// library says of it lags behind what a command's answer brought.
func (c *Conn) Tally() Tally {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tally
}

// recount notes EXISTS (RFC 9051, section 7.4.1), or that n messages went:
// EXPUNGE (section 7.5.1), VANISHED (RFC 7162, section 3.2.10).
func (c *Conn) recount(exists bool, n uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := uint32(n)
	if !exists {
		now = c.tally.Exists - uint32(min(n, uint64(c.tally.Exists)))
	}
	if now != c.tally.Exists || !exists {
		c.tally = Tally{now, c.tally.Changes + 1}
	}
}

// selected notes that cmd selected a mailbox. One whose answer told two numbers
// of messages changed meanwhile, or is not what it is said to be.
func (c *Conn) selected(cmd *command) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.selection = cmd.selection
	c.tally.Changes = 0
	if cmd.restless {
		c.tally.Changes = 1
	}
}

// A Selection is what the library does not tell of the mailbox that was
// selected last.
type Selection struct {
	ReadOnly  bool   // [READ-ONLY], or EXAMINE
	NotSticky bool   // [UIDNOTSTICKY]: UIDs do not last (RFC 4315)
	NoModSeq  bool   // [NOMODSEQ] (RFC 7162, section 3.1.2.2)
	MailboxID string // [MAILBOXID (…)] (RFC 8474)
}

// Selected tells of the mailbox that was selected last with success.
func (c *Conn) Selected() Selection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.selection
}

// MailboxID is the identifier (RFC 8474) of the mailbox that was selected
// last, or "".
func (c *Conn) MailboxID() string { return c.Selected().MailboxID }

// Alerts are the texts of [ALERT] responses so far, which a user must be
// shown (RFC 9051, section 7.1), oldest first, without repeats.
func (c *Conn) Alerts() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.alerts)
}

// Bye is the text of the server's BYE, with its response code, or "".
func (c *Conn) Bye() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bye
}

// Stats tells what went over the connection so far.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Read: c.read.Load(), Written: c.written.Load(), PlainRead: c.plainRead.Load(), PlainWritten: c.plainWritten.Load(),
		Commands: maps.Clone(c.commands), RoundTrips: c.pace.trips,
	}
}

// AskGlobalID makes every UID FETCH that asks for RFC822.SIZE ask for kind
// too: "EMAILID" (RFC 8474) or "X-GM-MSGID"; "" stops it. The answers are
// kept for TakeGlobalIDs. With EMAILID, STATUS and LIST … RETURN (STATUS (…))
// ask for MAILBOXID as well, kept for TakeMailboxIDs. Call it only where the
// server offers OBJECTID or X-GM-EXT-1.
func (c *Conn) AskGlobalID(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.askID = kind
}

// TakeGlobalIDs gives the identifiers, by UID, that came since the last call.
func (c *Conn) TakeGlobalIDs() map[uint32]string { return take(c, &c.ids) }

// TakeGlobalID gives the identifier of one message, if it came, and forgets
// it. What was noted of other messages stays: while bodies are read, answers
// that follow are on their way already.
func (c *Conn) TakeGlobalID(uid uint32) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := c.ids[uid]
	delete(c.ids, uid)
	return id
}

// TakeNoBody tells of which messages a FETCH that asked for a body got none
// that can be used since the last call, and why.
func (c *Conn) TakeNoBody() map[uint32]string { return take(c, &c.noBody) }

// TakeBadNames gives the names of mailboxes, as the server spelled them, that
// LIST named since the last call and that are not valid modified UTF-7: no
// command can be sure to name them, so the library never saw them. Of a LIST
// response that could not be understood at all, it is the whole rest.
func (c *Conn) TakeBadNames() []string { return take(c, &c.badNames) }

// TakeModified gives the sets of UIDs (or sequence numbers), in IMAP's
// notation, that [MODIFIED …] named since the last call: messages that a
// STORE with UNCHANGEDSINCE left alone (RFC 7162, section 3.1.3).
func (c *Conn) TakeModified() []string { return take(c, &c.modified) }

// TakeMailboxIDs gives the identifiers of mailboxes that STATUS responses
// named since the last call, by name as the server spelled it.
func (c *Conn) TakeMailboxIDs() map[string]string { return take(c, &c.boxIDs) }

func take[T any](c *Conn, at *T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	var none, v T
	v, *at = *at, none
	return v
}

// note puts an entry into a record while there is room.
func note[K comparable](c *Conn, at *map[K]string, key K, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if *at == nil {
		*at = make(map[K]string)
	}
	if len(*at) < maxRecords {
		(*at)[key] = text
	}
}

// noteText puts a text into a list while there is room, once.
func noteText(c *Conn, at *[]string, text string, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(*at) < limit && !slices.Contains(*at, text) {
		*at = append(*at, text)
	}
}

// noteNoBody remembers the first reason why a message gave no body.
func (c *Conn) noteNoBody(uid uint32, why string) {
	c.mu.Lock()
	_, known := c.noBody[uid]
	c.mu.Unlock()
	if uid != 0 && !known {
		note(c, &c.noBody, uid, why)
	}
}

// trace shows a line to whoever listens.
func (c *Conn) trace(dir, line string) {
	if c.opt.Trace != nil {
		c.opt.Trace(dir, line)
	}
}
