package imap

import (
	"bytes"
	"errors"
	"io"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// errUnwanted ends a connection whose answers nobody takes any more.
var errUnwanted = errors.New("the answer is no longer wanted")

// An asked is one UID FETCH for bodies that was sent. As wire.Bodies it is
// called from the goroutine that reads the connection, and puts what comes
// into the inbox.
type asked struct {
	in    *inbox
	lane  *lane  // of which it is one
	spool string // see Options.Spool
	cmd   *imapclient.FetchCommand
	// The messages asked for are in fetching.msgs from lo to hi; left is how
	// many have not arrived; text how long their set is.
	lo, hi, left, text int

	now arrival // what is being read
}

// Body implements wire.Bodies.
func (a *asked) Body(m wire.Message, size int64, r io.Reader) error {
	a.now = arrival{of: a, size: size, msg: m}
	switch {
	case size <= maxHeld:
		b := a.in.buffer(size)
		if b == nil {
			return errUnwanted
		}
		if _, err := io.ReadFull(r, b.bytes); err != nil {
			a.in.free(b)
			a.now = arrival{}
			return err
		}
		a.now.held = b
	case m.Whole:
		return a.live(r)
	default: // what is missing comes behind the body
		sp, err := newSpool(a.spool, r, new(bytes.Buffer))
		var fault *mail.Fault
		if err != nil && !errors.As(err, &fault) {
			a.now = arrival{}
			return err
		}
		a.now.sp, a.now.err = sp, err
	}
	return nil
}

// live hands over a message that is still coming, and waits until it was read.
func (a *asked) live(r io.Reader) error {
	now := a.now
	a.now = arrival{}
	now.live, now.taken = r, make(chan struct{})
	if !a.in.put(now) {
		return errUnwanted
	}
	select {
	case <-now.taken:
		return nil
	case <-a.in.quit:
		return errUnwanted
	}
}

// End implements wire.Bodies.
func (a *asked) End(m wire.Message) error {
	now := a.now
	a.now = arrival{}
	if now.of == nil {
		return nil // it was handed over live
	}
	now.msg = m
	if !a.in.put(now) {
		a.in.done(&now)
		return errUnwanted
	}
	return nil
}

// Over implements wire.Bodies.
func (a *asked) Over() error {
	if !a.in.put(arrival{of: a, over: true}) {
		return errUnwanted
	}
	return nil
}

// body is what the message is read from, as often as it is called unless it
// is live.
func (a *arrival) body() (io.Reader, error) {
	switch {
	case a.err != nil:
		return nil, a.err
	case a.live != nil:
		return a.live, nil
	case a.sp != nil:
		return a.sp.open()
	}
	return bytes.NewReader(a.held.bytes), nil
}
