package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Read gives the library the next bytes of well-formed responses.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for {
		if c.taken < len(c.out) {
			n := copy(p, c.out[c.taken:])
			c.taken += n
			return n, nil
		}
		c.out, c.taken = c.out[:0], 0
		if cap(c.out) > maxKept {
			c.out = nil
		}
		if err := c.Err(); err != nil {
			return 0, ended(err)
		}
		if c.body > 0 {
			return c.readBody(p)
		}
		if err := c.step(); err != nil {
			// What was made before the fault is handed out first.
			c.fail(err)
		}
	}
}

// readBody hands on bytes of a literal.
func (c *Conn) readBody(p []byte) (int, error) {
	n, err := c.br.Read(p[:min(int64(len(p)), c.body)])
	c.body -= int64(n)
	if n > 0 {
		return n, nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return 0, c.fail(c.cutLiteral(err, c.whole-c.body, c.whole))
}

// ended is what the library is told of an error: it knows a clean end by
// io.EOF alone.
func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return err
}

// stream has the next size bytes handed on as they come, and goes on with
// after behind them.
func (c *Conn) stream(size int64, after func() error) {
	c.body, c.whole, c.after = size, size, after
}

// step reads the next response, or the rest of the one whose literal was
// handed on, into c.out.
func (c *Conn) step() error {
	if after := c.after; after != nil {
		c.after = nil
		return after()
	}
	c.await(true)
	line, err := c.readLine()
	c.await(false)
	c.grant()
	if errors.Is(err, errGranted) {
		return nil
	}
	if err == nil {
		return c.respond(line)
	}
	if errors.Is(err, io.EOF) {
		// A clean end. With a command in flight the library makes an error
		// of it for that command.
		return &closedError{c.Bye()}
	}
	return err
}

// await notes whether the reader waits for a response to begin.
func (c *Conn) await(between bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.between = between
}

// grant tells the library that it may send a literal, if it is owed that.
func (c *Conn) grant() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.granted {
		return
	}
	c.granted = false
	if c.sending != nil {
		c.sending.waiting = false
	}
	c.out = append(c.out, "+ \r\n"...)
}

// closedError is the clean end of a connection, perhaps after a BYE.
type closedError struct{ bye string }

func (e *closedError) Error() string {
	if e.bye == "" {
		return "the server closed the connection"
	}
	return "the server closed the connection: " + e.bye
}

func (e *closedError) Unwrap() error { return io.EOF }

// readLine reads a line without its end. It is valid until the next read.
// io.EOF is only returned where not one byte came.
func (c *Conn) readLine() ([]byte, error) {
	line, err := c.br.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line, err = c.readLong(line)
	}
	switch {
	case err == nil:
	case errors.Is(err, io.EOF) && len(line) == 0:
		return nil, io.EOF
	case errors.Is(err, io.EOF):
		return nil, fmt.Errorf("the connection was cut inside a line: %w", io.ErrUnexpectedEOF)
	default:
		return nil, err
	}
	line = bytes.TrimSuffix(line[:len(line)-1], []byte{'\r'})
	if c.opt.Trace != nil {
		c.trace("S", c.shown(line))
	}
	return line, nil
}

// readLong reads the rest of a line that begins with start.
func (c *Conn) readLong(start []byte) ([]byte, error) {
	limit := c.opt.MaxLine
	if listsNumbers(start) {
		limit = c.opt.MaxList
	}
	if cap(c.long) > maxKept {
		c.long = nil
	}
	c.long = append(c.long[:0], start...)
	for {
		part, err := c.br.ReadSlice('\n')
		if len(c.long)+len(part) > limit {
			return nil, fmt.Errorf("the server sent a line of more than %d bytes", limit)
		}
		c.long = append(c.long, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return c.long, err
		}
	}
}

// listsNumbers tells whether a response may be as long as the mailbox is large.
func listsNumbers(line []byte) bool {
	for _, name := range []string{"* SEARCH ", "* ESEARCH ", "* VANISHED "} {
		if len(line) >= len(name) && bytes.EqualFold(line[:len(name)], []byte(name)) {
			return true
		}
	}
	return false
}

// shown is a line as it may be traced: challenges may hold secrets.
func (c *Conn) shown(line []byte) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sending != nil && c.sending.name == "AUTHENTICATE" && bytes.HasPrefix(line, []byte{'+'}) {
		return "+ (secret)"
	}
	shown := c.hide(string(line))
	return shown[:min(len(shown), maxText)]
}

// cutLiteral is the error of a literal that did not come whole.
func (c *Conn) cutLiteral(err error, had, size int64) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("the connection was cut in a literal, after %d of %d bytes: %w", had, size, err)
}
