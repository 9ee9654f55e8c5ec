package wire

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxCommand caps a line that the library sends. A set of a million UIDs that
// do not touch takes some 8 MB.
const maxCommand = 32 << 20

// Write takes bytes of commands from the library. What does not end a line
// waits until the rest of the line comes.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Err(); err != nil {
		return 0, err
	}
	total := len(p)
	for len(p) > 0 {
		if n := c.literalLeft(len(p)); n > 0 {
			if err := c.writeLiteral(p[:n]); err != nil {
				return 0, err
			}
			p = p[n:]
			continue
		}
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		if len(c.line)+len(line) > maxCommand {
			return 0, c.fail(errors.New("a command of more than 32 MiB"))
		}
		c.line = append(c.line, line...)
		p = rest
		if !whole {
			break
		}
		c.writeLine(bytes.TrimSuffix(c.line, []byte{'\r'}))
		c.line = c.line[:0]
		if cap(c.line) > maxKept {
			c.line = nil
		}
	}
	if c.corked && len(c.outgoing) < maxCorked {
		c.mu.Lock()
		c.progress() // the library may be owed a "+"
		c.mu.Unlock()
		return total, nil
	}
	if err := c.flushAll(); err != nil {
		return 0, err
	}
	return total, nil
}

// maxCorked is how many bytes of commands wait for Uncork at most.
const maxCorked = 64 << 10

// Cork holds back what the library writes until Uncork: commands that are
// sent together travel as one packet, and share one round trip. Between the
// two calls nothing may wait for an answer. Large literals are not held back.
func (c *Conn) Cork() {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.corked = true
}

// Uncork sends what Cork held back. An error is told by the commands too.
func (c *Conn) Uncork() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.corked = false
	return c.flushAll()
}

// literalLeft is how many of n bytes belong to the literal that is being sent.
func (c *Conn) literalLeft(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int(min(int64(n), c.toSend))
}

// writeLiteral sends bytes of a literal; few of them go out with what is next.
func (c *Conn) writeLiteral(p []byte) error {
	c.mu.Lock()
	c.toSend -= int64(len(p))
	c.mu.Unlock()
	c.outgoing = append(c.outgoing, p[:min(len(p), 4096)]...)
	if len(p) <= 4096 {
		return nil
	}
	if err := c.flush(); err != nil {
		return err
	}
	return c.transmit(p[4096:])
}

// flushAll sends what was written, down to the last byte.
func (c *Conn) flushAll() error {
	if err := c.flush(); err != nil {
		return err
	}
	return c.settle()
}

func (c *Conn) flush() error {
	if len(c.outgoing) == 0 {
		return nil
	}
	err := c.transmit(c.outgoing)
	c.outgoing = c.outgoing[:0]
	if cap(c.outgoing) > maxKept {
		c.outgoing = nil
	}
	return err
}

// writeLine takes one whole line: the beginning of a command, its
// continuation behind a literal, or an answer to a "+".
func (c *Conn) writeLine(line []byte) {
	line, shown := c.track(line)
	c.trace("C", shown)
	if line != nil {
		c.outgoing = append(append(c.outgoing, line...), "\r\n"...)
	}
}

// track notes what a line means and gives the line that is sent for it, and
// what may be shown of it.
func (c *Conn) track(line []byte) (out []byte, shown string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	cmd := c.sending
	switch {
	case cmd == nil:
		return c.begin(line)
	case cmd.name == "AUTHENTICATE": // an answer to the server's challenge
		cmd.waiting = true
		return line, "(secret)"
	case cmd.name == "IDLE":
		cmd.quiet, c.sending = false, nil
		if cmd.over {
			// The server ended it by itself: DONE would be a command of its own.
			return nil, "(DONE is not needed)"
		}
		return line, "DONE"
	}
	line = c.continues(line)
	if cmd.name == "LOGIN" {
		return line, "(secret)"
	}
	return line, string(line)
}

// begin notes a new command and gives the line that is sent for it, and what
// may be shown of it. The caller holds c.mu.
func (c *Conn) begin(line []byte) (out []byte, shown string) {
	cmd := newCommand(line)
	if cmd.isFetch {
		cmd.to, c.divert = c.divert, nil
	}
	cmd.call, c.calling = c.calling, nil
	c.commands[cmd.name]++
	c.pace.began(len(c.pending) == 0)
	c.pending = append(c.pending, cmd)
	c.sending = cmd
	line = c.askMore(cmd, line)
	if c.utf8 && namesMailbox(cmd.name) {
		// In UTF-8 the ampersand stands for itself (RFC 9051, section 5.1);
		// the library writes it as modified UTF-7 does.
		line = bytes.ReplaceAll(line, []byte("&-"), []byte("&"))
	}
	shown = string(line)
	switch cmd.name {
	case "LOGIN":
		shown = cmd.tag + " LOGIN (secret)"
	case "AUTHENTICATE":
		fields := strings.Fields(shown)
		shown = strings.Join(fields[:min(3, len(fields))], " ") + " (secret)"
		cmd.plain = len(fields) > 2 && strings.EqualFold(fields[2], "PLAIN")
		cmd.sent, cmd.waiting = true, true
		return line, shown
	case "IDLE":
		cmd.sent, cmd.waiting = true, true
		return line, shown
	case "APPEND":
		cmd.gather, c.gather = c.gather, nil
		line = c.continues(line)
		return line, string(line)
	}
	return c.continues(line), shown
}

// maxUnasked is the size up to which a literal is sent without waiting for
// the server's "+". Beside the time that a larger one takes, the round trip
// is nothing, and the server may refuse it (RFC 7888, section 8).
const maxUnasked = 32 << 20

// continues looks whether a literal follows the line, or the command ends
// with it, and gives the line that is sent. Where the server takes literals
// without being asked, the library is told "+" at once: it knows LITERAL+ for
// short strings only. The caller holds c.mu.
func (c *Conn) continues(line []byte) []byte {
	cmd := c.sending
	size, at, ok := literalAt(line)
	if !ok || size < 0 {
		cmd.sent = true
		c.sending = nil
		return line
	}
	c.toSend = size
	cmd.waiting = !bytes.HasSuffix(line, []byte("+}"))
	if cmd.gather != nil {
		c.granted = cmd.waiting
		return fmt.Appendf(bytes.Clone(line[:at]), "{%d+}", cmd.gather.First)
	}
	if !cmd.waiting || !c.literalPlus || size > maxUnasked {
		return line
	}
	c.granted = true
	return append(bytes.Clone(line[:len(line)-1]), "+}"...)
}

// askMore adds to a command what AskGlobalID wants to know. The caller holds c.mu.
func (c *Conn) askMore(cmd *command, line []byte) []byte {
	insert := func(before, what string) []byte {
		i := bytes.LastIndex(line, []byte(before))
		if i < 0 {
			return line
		}
		return slices.Insert(bytes.Clone(line), i+len(before), []byte(what)...)
	}
	switch {
	case c.askID == "":
	case cmd.name == "UID FETCH":
		return insert("RFC822.SIZE", " "+c.askID)
	case c.askID != "EMAILID": // MAILBOXID comes with it (RFC 8474)
	case cmd.name == "LIST":
		return insert("STATUS (", "MAILBOXID ")
	case cmd.name == "STATUS":
		if i := bytes.LastIndexByte(line, '('); i >= 0 {
			return slices.Insert(bytes.Clone(line), i+1, []byte("MAILBOXID ")...)
		}
	}
	return line
}

// namesMailbox tells whether the arguments of a command are names of
// mailboxes and nothing else that could hold an ampersand.
func namesMailbox(command string) bool {
	return slices.Contains([]string{"SELECT", "EXAMINE", "CREATE", "DELETE", "RENAME", "SUBSCRIBE", "UNSUBSCRIBE",
		"LIST", "STATUS", "APPEND", "COPY", "UID COPY", "MOVE", "UID MOVE", "MYRIGHTS", "GETQUOTAROOT"}, command)
}
