package wire

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// ErrSilent is wrapped by the error of a server that sends nothing, or takes
// nothing, for too long.
var ErrSilent = errors.New("the server stopped answering")

// awaiting tells whether the server owes anything. The caller holds c.mu.
func (c *Conn) awaiting() bool {
	if !c.greeted {
		return true
	}
	for _, cmd := range c.pending {
		if cmd.waiting || cmd.sent && !cmd.quiet {
			return true
		}
	}
	return false
}

// AtRest tells whether nothing is under way: the server owes nothing and has
// not said BYE, nothing waits to be sent, and the connection is usable. Then
// selected tells whether a mailbox is selected.
func (c *Conn) AtRest() (quiet, selected bool) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if len(c.line) > 0 || len(c.outgoing) > 0 || c.corked {
		return false, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && c.bye == "" && c.greeted && len(c.pending) == 0 && c.sending == nil, c.open
}

// progress begins the time in which the next byte must come anew, or lifts
// the limit where nothing is due. The caller holds c.mu.
func (c *Conn) progress() {
	if !c.awaiting() {
		c.due = time.Time{}
	} else {
		c.due = time.Now().Add(c.opt.IdleTimeout)
	}
	switch {
	case !c.granted || !c.between:
	case c.inflated == nil:
		c.raw.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
		return
	default:
		select {
		case c.inflated.wake <- struct{}{}:
		default: // it is about to be woken
		}
	}
	c.raw.SetReadDeadline(c.due)
}

// errGranted interrupts the reader, which is between responses, to tell the
// library that it may send a literal.
var errGranted = errors.New("a literal may be sent")

// fill is where bytes from the server come in. The time limit begins with
// each call, so what the reader above spends between calls does not count.
func (c *Conn) fill(p []byte) (int, error) {
	n, err := c.fillFrom(p)
	c.plainRead.Add(int64(n))
	return n, err
}

func (c *Conn) fillFrom(p []byte) (int, error) {
	if c.inflated != nil {
		return c.inflated.read(p)
	}
	for {
		if c.interrupted() {
			return 0, errGranted
		}
		if n, err := c.receive(p); !errors.Is(err, errPatience) {
			return n, err
		}
	}
}

// errPatience is a deadline that passed and is not the one that counts.
var errPatience = errors.New("the server has time left")

// receive reads what comes over the wire.
func (c *Conn) receive(p []byte) (int, error) {
	n, err := c.raw.Read(p[:c.opt.Meter.most(len(p))])
	c.read.Add(int64(n))
	if n > 0 || err == nil {
		c.arrived()
		c.opt.Meter.pass(n, c.gone)
		return n, nil // an error stays, and is met again by the next call
	}
	switch {
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return 0, err
	case c.overdue():
		return 0, fmt.Errorf("%w: no byte for %v: %w", ErrSilent, c.opt.IdleTimeout, err)
	}
	return 0, errPatience
}

// interrupted begins the time limit, or tells that the reader is to be
// interrupted: not inside a line.
func (c *Conn) interrupted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.between = c.between && c.br.Buffered() == 0
	c.progress()
	return c.granted && c.between
}

// overdue tells whether a deadline that passed is still the one that counts.
func (c *Conn) overdue() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.due.IsZero() && !time.Now().Before(c.due)
}

// source is fill as an io.Reader.
type source struct{ c *Conn }

func (s source) Read(p []byte) (int, error) { return s.c.fill(p) }

// maxWrite is how much is sent under one time limit.
const maxWrite = 64 << 10

// send writes to the server. Progress of ours gives the server new time to
// answer, too: it may have waited for what we send.
func (c *Conn) send(p []byte) error {
	for len(p) > 0 {
		piece := p[:c.opt.Meter.most(min(len(p), maxWrite))]
		c.opt.Meter.pass(len(piece), c.gone)
		c.departs(len(piece) == len(p))
		c.raw.SetWriteDeadline(time.Now().Add(c.opt.WriteTimeout))
		n, err := c.raw.Write(piece)
		c.written.Add(int64(n))
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("%w: it takes nothing for %v: %w", ErrSilent, c.opt.WriteTimeout, err)
			}
			return c.fail(err)
		}
		p = p[n:]
		c.mu.Lock()
		c.progress()
		c.mu.Unlock()
	}
	return nil
}

// bare is the connection below TLS, whose Close never waits for the network
// as that of TLS does.
func bare(conn net.Conn) net.Conn {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return t.NetConn()
	}
	return conn
}
