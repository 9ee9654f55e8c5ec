package wire

// An Append makes of the library's next APPEND, which has one literal, one
// that carries several messages (MULTIAPPEND, RFC 3502). What the library is
// given as the literal is the first message and all that follows it on the
// wire: for each further one a blank, its flags and date, the announcement of
// its literal ("{n+}" and CRLF), and its bytes.
type Append struct {
	// First is the size of the first message, in bytes.
	First int64
	// UIDs are the arguments of APPENDUID in the answer (RFC 4315, section 3),
	// as the server wrote them; "" if it told none. The library reads them
	// only where there is one message. Valid when the command was answered.
	UIDs string
}

// Gather announces that the next APPEND is to be sent as a says. Call it just
// before, and only where the server offers LITERAL+ (RFC 7888) and, for more
// than one message, MULTIAPPEND.
func (c *Conn) Gather(a *Append) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gather = a
}
