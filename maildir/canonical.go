package maildir

import (
	"bufio"
	"bytes"
	"fmt"
	"io"

	"github.com/godwit-mail/godwit/mail"
)

// A canonicalReader gives a file with each LF that no CR precedes made CRLF:
// the bytes as they travelled, for a file that was stored with bare LFs.
type canonicalReader struct {
	r       *bufio.Reader
	lastCR  bool
	pending bool // a CR was given, its LF is still to come
}

func newCanonicalReader(r io.Reader) *canonicalReader {
	return &canonicalReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// reset begins anew with another reader.
func (c *canonicalReader) reset(r io.Reader) *canonicalReader {
	c.r.Reset(r)
	c.lastCR, c.pending = false, false
	return c
}

// Read fills p as far as the buffered bytes go.
func (c *canonicalReader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	if _, err := c.r.Peek(1); err != nil {
		return 0, err
	}
	buf, _ := c.r.Peek(c.r.Buffered())
	used := 0
	for used < len(buf) && n < len(p) {
		i := bytes.IndexByte(buf[used:], '\n')
		if i != 0 {
			part := buf[used:]
			if i > 0 {
				part = part[:i]
			}
			k := copy(p[n:], part)
			c.lastCR = part[k-1] == '\r'
			n, used = n+k, used+k
			continue
		}
		if !c.lastCR && !c.pending {
			p[n], c.pending = '\r', true
			n++
			continue
		}
		p[n], c.pending, c.lastCR = '\n', false, false
		n, used = n+1, used+1
	}
	_, err = c.r.Discard(used)
	return n, err
}

// canonicalSize is the number of bytes that a canonicalReader gives.
func canonicalSize(r io.Reader, buf []byte) (size int64, err error) {
	lastCR := false
	for {
		n, err := r.Read(buf)
		if n > 0 {
			size += int64(n + bareLF(buf[:n], lastCR))
			lastCR = buf[n-1] == '\r'
		}
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// bareLF counts the LFs that no CR precedes.
func bareLF(p []byte, lastCR bool) (n int) {
	for i := 0; ; i++ {
		k := bytes.IndexByte(p[i:], '\n')
		if k < 0 {
			return n
		}
		i += k
		if i == 0 && !lastCR || i > 0 && p[i-1] != '\r' {
			n++
		}
	}
}

// appendCanonical appends a whole message to dst as a canonicalReader gives it.
func appendCanonical(dst, p []byte) []byte {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return append(dst, p...)
		}
		dst = append(dst, p[:i]...)
		if i == 0 || p[i-1] != '\r' {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		p = p[i+1:]
	}
}

// exactReader gives exactly size bytes of r, or an error: mail.ErrShort if r
// ends too early, another if it does not end.
type exactReader struct {
	r    io.Reader
	left int64
	path string
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.left == 0 {
		var one [1]byte
		if n, _ := io.ReadFull(e.r, one[:]); n != 0 {
			return 0, fmt.Errorf("%s grew while it was read", e.path)
		}
		return 0, io.EOF
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	switch {
	case err == io.EOF && e.left > 0:
		return n, fmt.Errorf("%s: %w", e.path, mail.ErrShort)
	case err == io.EOF:
		return n, nil
	}
	return n, localFault(mail.GradeMessage, err)
}
