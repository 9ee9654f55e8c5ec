package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
)

// errBusy is a COMPRESS while something else is under way.
var errBusy = errors.New("compression cannot begin while commands are under way")

// Compress asks the server for COMPRESS=DEFLATE (RFC 4978) and, if it agrees,
// compresses both ways from then on. Nothing may be in flight and nothing may
// be sent before it returns; it takes a round trip. refused is the server's
// reason if it declined: the connection goes on as it was. Call it once, after
// the login, where the server offers it and nothing else compresses.
//
// What is sent is flushed at the end of each command. What comes is inflated
// as it is read, so that all caps hold for what was inflated.
func (c *Conn) Compress() (refused string, err error) {
	c.mu.Lock()
	busy := len(c.pending) > 0 || c.inflated != nil
	c.mu.Unlock()
	if busy {
		return "", errBusy
	}
	call := &Call{Command: compress + " DEFLATE"}
	if err := c.Send(false, call); err != nil {
		return "", err
	}
	var no *Refused
	switch _, err := c.Wait(call); {
	case errors.As(err, &no):
		return no.Error(), nil
	case err != nil:
		return "", err
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	c.deflated = &deflater{}
	c.deflated.w, err = flate.NewWriter(&c.deflated.out, flate.DefaultCompression)
	return "", err
}

// compress is the command, behind whose OK the very next byte is compressed
// (RFC 4978, section 3).
const compress = "COMPRESS"

// inflate begins to inflate what comes.
func (c *Conn) inflate() {
	ahead, _ := c.br.Peek(c.br.Buffered())
	c.plainRead.Add(-int64(len(ahead)))
	z := &inflater{
		c: c, want: make(chan struct{}, 1), done: make(chan struct{}, 1), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		in: io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), received{c}),
	}
	c.br.Reset(source{c})
	c.mu.Lock()
	c.inflated = z
	c.mu.Unlock()
	go z.run()
}

// A deflater compresses what is sent. It is guarded by Conn.writing.
type deflater struct {
	w   *flate.Writer
	out bytes.Buffer
}

// transmit sends bytes, compressed if that was agreed; then some may stay
// behind until settle.
func (c *Conn) transmit(p []byte) error {
	c.plainWritten.Add(int64(len(p)))
	if c.deflated == nil {
		return c.send(p)
	}
	for len(p) > 0 {
		n := min(len(p), maxWrite)
		if _, err := c.deflated.w.Write(p[:n]); err != nil {
			return c.fail(err)
		}
		p = p[n:]
		if err := c.sendDeflated(); err != nil {
			return err
		}
	}
	return nil
}

// settle sends what compression holds back, unless the rest of a literal is
// to come anyhow: the server can make nothing of a part of it.
func (c *Conn) settle() error {
	if c.deflated == nil {
		return nil
	}
	c.mu.Lock()
	inside := c.toSend > 0 && (c.granted || c.sending == nil || !c.sending.waiting)
	if inside {
		c.progress() // the library may be owed a "+"
	}
	c.mu.Unlock()
	if inside {
		return nil
	}
	if err := c.deflated.w.Flush(); err != nil {
		return c.fail(err)
	}
	return c.sendDeflated()
}

func (c *Conn) sendDeflated() error {
	out := &c.deflated.out
	if out.Len() == 0 {
		return nil
	}
	err := c.send(out.Bytes())
	out.Reset()
	return err
}

// An inflater inflates what comes, in a goroutine of its own, which Conn.Kill
// waits for: the decompressor does not survive a read that is broken off, and
// the library must sometimes be told something while it waits for the server.
type inflater struct {
	c     *Conn
	in    io.Reader
	want  chan struct{} // asks for a read into buf
	done  chan struct{} // it is there: n and err
	wake  chan struct{} // see Conn.progress
	ended chan struct{} // the goroutine has ended

	asked bool // the answer to want is due; the reader's alone
	rest  []byte
	buf   [32 << 10]byte
	n     int
	err   error
}

// run reads as often as it is asked to: not ahead, since the time in which
// nobody reads is no silence of the server.
func (z *inflater) run() {
	defer close(z.ended)
	r := flate.NewReader(z.in)
	for {
		select {
		case <-z.c.gone:
			return
		case <-z.want:
		}
		z.n, z.err = r.Read(z.buf[:])
		z.done <- struct{}{}
	}
}

// read is source.Read of a compressed connection. The caller holds reading.
func (z *inflater) read(p []byte) (int, error) {
	for len(z.rest) == 0 {
		if z.c.interrupted() {
			return 0, errGranted
		}
		if !z.asked {
			z.asked = true
			z.want <- struct{}{}
		}
		select {
		case <-z.wake:
			continue
		case <-z.c.gone:
			return 0, z.c.Err()
		case <-z.done:
		}
		z.asked = false
		if z.rest = z.buf[:z.n]; z.n == 0 && z.err != nil {
			return 0, z.explain()
		}
	}
	n := copy(p, z.rest)
	z.rest = z.rest[n:]
	return n, nil
}

// explain tells why nothing more can be inflated. The end of the connection
// is a clean one only if the server said so.
func (z *inflater) explain() error {
	var corrupt flate.CorruptInputError
	switch {
	case errors.Is(z.err, io.ErrUnexpectedEOF) && z.c.Bye() != "":
		return io.EOF
	case errors.Is(z.err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the connection was cut in the compressed stream: %w", z.err)
	case errors.As(z.err, &corrupt):
		return fmt.Errorf("the compressed stream is damaged: %w", z.err)
	}
	return z.err
}

// received is the bytes from the server as an io.Reader, under the time limit
// of Conn.fill.
type received struct{ c *Conn }

func (r received) Read(p []byte) (int, error) {
	for {
		r.c.mu.Lock()
		r.c.progress()
		r.c.mu.Unlock()
		if n, err := r.c.receive(p); !errors.Is(err, errPatience) {
			return n, err
		}
	}
}
