package imap

import (
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/godwit-mail/godwit/mail"
)

// A spool holds a message between two sides: in memory if it is small, else
// in a temporary file that has no name any more.
type spool struct {
	size int64
	mem  *bytes.Buffer
	file *os.File
}

// newSpool reads r to its end. mem is emptied and used for a small message:
// it must not be used otherwise while the spool is.
func newSpool(dir string, r io.Reader, mem *bytes.Buffer) (*spool, error) {
	mem.Reset()
	n, err := io.Copy(mem, io.LimitReader(r, maxHeld+1))
	if err != nil {
		return nil, err
	}
	sp := &spool{size: n, mem: mem}
	if n <= maxHeld {
		return sp, nil
	}
	if sp.file, err = os.CreateTemp(dir, "godwit-*"); err != nil {
		return nil, localFault(err)
	}
	_ = os.Remove(sp.file.Name())
	if _, err := sp.file.Write(mem.Bytes()); err != nil {
		sp.close()
		return nil, localFault(err)
	}
	mem.Reset()
	rest, err := io.Copy(&localWriter{sp.file}, r)
	if err != nil {
		sp.close()
		return nil, err
	}
	sp.size += rest
	return sp, nil
}

// open reads the message from its beginning, as often as it is called.
func (sp *spool) open() (io.Reader, error) {
	if sp.file == nil {
		return bytes.NewReader(sp.mem.Bytes()), nil
	}
	if _, err := sp.file.Seek(0, io.SeekStart); err != nil {
		return nil, localFault(err)
	}
	return sp.file, nil
}

func (sp *spool) close() {
	if sp != nil && sp.file != nil {
		sp.file.Close()
		sp.file = nil
	}
}

// A localWriter tells errors of the disk from those of the message.
type localWriter struct{ w io.Writer }

func (l *localWriter) Write(p []byte) (int, error) {
	n, err := l.w.Write(p)
	if err != nil {
		err = localFault(err)
	}
	return n, err
}

func localFault(err error) error {
	return mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("writing a temporary file: %w", err),
		"make room in the directory for temporary files")
}

// canonical gives the bytes of r with each LF that no CR precedes made CRLF,
// as a server must be sent them (RFC 3501, section 2.3.5; RFC 5322, section 2.3).
type canonical struct {
	r      io.Reader
	buf    [16 << 10]byte
	out    []byte
	lastCR bool
	err    error
}

func (c *canonical) Read(p []byte) (int, error) {
	for len(c.out) == 0 {
		if c.err != nil {
			return 0, c.err
		}
		var n int
		n, c.err = c.r.Read(c.buf[:])
		c.out = c.convert(c.buf[:n])
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

func (c *canonical) convert(p []byte) []byte {
	out := make([]byte, 0, len(p)+len(p)/16)
	for _, b := range p {
		if b == '\n' && !c.lastCR {
			out = append(out, '\r')
		}
		out = append(out, b)
		c.lastCR = b == '\r'
	}
	return out
}
