package wire

import (
	"bytes"
	"io"
	"time"
)

// A Message is what a FETCH response told of one message, without its body.
type Message struct {
	UID uint32
	// Flags is the list of flags with its parentheses, "" if it was not told.
	Flags string
	// Date is INTERNALDATE, zero if it was not told or is none.
	Date time.Time
	// Size is RFC822.SIZE; what counts is the size of the body.
	Size     int64
	GlobalID string // see AskGlobalID
	// Whole: all that the command asked for beside the body is told.
	Whole bool
}

// Bodies takes the answers to a FETCH past the library, see Divert. Its
// methods are called from the reading goroutine, and may block: nothing is
// read from the server meanwhile. An error ends the connection.
type Bodies interface {
	// Body is called with a whole message, BODY[], once a response; what is
	// not read of r when it returns is passed over. r gives an error, never a
	// clean end, before size bytes came. More of m may be told by End.
	Body(m Message, size int64, r io.Reader) error
	// End is called behind Body, at the end of the response.
	End(m Message) error
	// Over is called when the command has its tagged answer, whatever that is.
	// It is not called if the connection ends before.
	Over() error
}

// Divert has the next FETCH that is sent, which must ask for BODY[] and
// nothing of its kind beside, give its answers to the given Bodies: of them
// the library sees the tagged one only. All that is promised of FETCH
// responses holds for what Bodies is given. It costs a fraction of what the
// library's way costs, and can be read by another goroutine than the one that
// waits for the command.
func (c *Conn) Divert(to Bodies) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.divert = to
}

// divert hands the body whose literal follows to the command's Bodies. What a
// server sends beside it, a second body, is passed over.
func (f *fetch) divert(cmd *command, size int64) error {
	if f.cmd != nil {
		return f.k.pass(size)
	}
	f.claim(cmd)
	r := &bodyReader{c: f.c, left: size, size: size}
	if err := cmd.to.Body(f.message(), size, r); err != nil {
		return err
	}
	if err := r.finish(); err != nil {
		return err
	}
	return f.k.next()
}

// divertHeld hands over a body that was held until it was known whose it is.
func (f *fetch) divertHeld(cmd *command) error {
	body := f.bodies[0].bytes
	f.claim(cmd)
	m := f.message()
	if err := cmd.to.Body(m, int64(len(body)), bytes.NewReader(body)); err != nil {
		return err
	}
	return cmd.to.End(m)
}

// message is what is known so far.
func (f *fetch) message() Message {
	m := Message{UID: f.uid, Flags: f.flags, Size: int64(f.size), GlobalID: f.id}
	if f.have&needDate != 0 && !IsBadDate(f.date) {
		m.Date = f.date
	}
	m.Whole = f.cmd.need&^(f.have|needBody|needModSeq) == 0
	if m.GlobalID == "" {
		m.GlobalID = f.c.TakeGlobalID(f.uid)
	}
	return m
}

// A bodyReader reads a literal from the connection.
type bodyReader struct {
	c          *Conn
	left, size int64
	err        error
}

func (r *bodyReader) Read(p []byte) (int, error) {
	switch {
	case r.err != nil:
		return 0, r.err
	case r.left == 0:
		return 0, io.EOF
	}
	n, err := r.c.br.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil && n == 0 {
		r.err = r.c.fail(r.c.cutLiteral(err, r.size-r.left, r.size))
		return 0, r.err
	}
	return n, nil
}

// finish passes over what was not read.
func (r *bodyReader) finish() error {
	for r.err == nil && r.left > 0 {
		n, err := r.c.br.Discard(int(min(r.left, 1<<20)))
		r.left -= int64(n)
		if err != nil {
			r.err = r.c.cutLiteral(err, r.size-r.left, r.size)
		}
	}
	return r.err
}
