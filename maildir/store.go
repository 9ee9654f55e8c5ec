package maildir

import (
	"bytes"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
)

// errAnomaly says that a message cannot be stored with LF line ends so that
// the same bytes come back.
var errAnomaly = errors.New("line ends are not all CRLF")

// An lfWriter turns CRLF into LF as long as that loses nothing: every LF must
// have one CR before it, and no other CR before that one. On the first that
// has not, Write fails with errAnomaly and took says how many bytes were
// turned; those can be turned back.
type lfWriter struct {
	w       io.Writer
	held    bool // a CR was read and is not written yet
	afterCR bool // and the byte before that one is a CR, too
	out     []byte
}

// Write takes p up to the first anomaly.
func (l *lfWriter) Write(p []byte) (took int, err error) {
	l.out = l.out[:0]
	var bad error
	for took < len(p) {
		i := bytes.IndexByte(p[took:], '\n')
		if i < 0 {
			l.plain(p[took:])
			took = len(p)
			break
		}
		l.plain(p[took : took+i])
		took += i
		if !l.held || l.afterCR {
			bad = errAnomaly
			break
		}
		l.held, l.afterCR = false, false
		l.out = append(l.out, '\n')
		took++
	}
	if _, err := l.w.Write(l.out); err != nil {
		return 0, err
	}
	return took, bad
}

// plain takes bytes that hold no LF; a CR at their end is held back.
func (l *lfWriter) plain(p []byte) {
	if len(p) == 0 {
		return
	}
	wasCR := l.held
	l.release()
	last := len(p) - 1
	if p[last] != '\r' {
		l.out = append(l.out, p...)
		l.afterCR = false
		return
	}
	if last > 0 {
		wasCR = p[last-1] == '\r'
	}
	l.out = append(l.out, p[:last]...)
	l.held, l.afterCR = true, wasCR
}

func (l *lfWriter) release() {
	if l.held {
		l.out = append(l.out, '\r')
		l.held = false
	}
}

// finish writes a CR that was held back, if any.
func (l *lfWriter) finish() error {
	l.out = l.out[:0]
	l.release()
	if len(l.out) == 0 {
		return nil
	}
	_, err := l.w.Write(l.out)
	return err
}

// storeBuffer is how much of a message is held in memory: one that is no
// longer takes one write.
const storeBuffer = 128 << 10

// A storer writes messages into new files. It keeps its memory between them.
type storer struct {
	in   []byte
	out  []byte
	hash *mail.Hasher
}

func newStorer(size int) *storer {
	return &storer{in: make([]byte, size), out: make([]byte, 0, size+1), hash: mail.NewHasher()}
}

// store writes a message into a new file: with LF line ends if that loses
// nothing, else byte for byte. The identity is of the bytes of r. On an error
// nothing is left.
func (s *storer) store(at berth, r io.Reader) (*handle, mail.Identity, error) {
	s.hash.Reset()
	n, err := fillBuffer(r, s.in)
	if err != nil && err != io.EOF {
		return nil, mail.Identity{}, err
	}
	file, cerr := at.create()
	if cerr != nil {
		return nil, mail.Identity{}, cerr
	}
	if err == io.EOF {
		err = s.small(file, s.in[:n])
	} else {
		file, err = s.large(at, file, n, r)
	}
	if err != nil {
		file.Close()
		_ = at.remove()
		return nil, mail.Identity{}, err
	}
	return file, s.hash.Sum(), nil
}

// fillBuffer reads until p is full or r ends, and then gives r's error.
func fillBuffer(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = r.Read(p[n:])
		n += k
	}
	return n, err
}

// small writes a message that is in memory as a whole.
func (s *storer) small(file *handle, msg []byte) error {
	form, ok := appendLF(s.out[:0], msg)
	s.out = form
	if ok {
		s.hash.WriteCRLF(msg)
	} else {
		form = msg
		_, _ = s.hash.Write(msg) // never fails
	}
	_, err := file.Write(form)
	return err
}

// appendLF appends p with LF for CRLF; ok is false if that loses anything.
func appendLF(dst, p []byte) (_ []byte, ok bool) {
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return append(dst, p...), true
		}
		if i == 0 || p[i-1] != '\r' || i > 1 && p[i-2] == '\r' {
			return dst, false
		}
		dst = append(append(dst, p[:i-1]...), '\n')
		p = p[i+1:]
	}
}

// large writes a message of which the first n bytes are in memory. It always
// gives the file to go on with or to close.
func (s *storer) large(at berth, file *handle, n int, r io.Reader) (*handle, error) {
	lf := &lfWriter{w: file, out: s.out}
	defer func() { s.out = lf.out }()
	var rerr error
	for {
		_, _ = s.hash.Write(s.in[:n]) // never fails
		took, werr := lf.Write(s.in[:n])
		if errors.Is(werr, errAnomaly) {
			return verbatim(at, file, lf, s.in[took:n], io.TeeReader(rest{r, rerr}, s.hash))
		}
		if werr != nil {
			return file, werr
		}
		if rerr == io.EOF {
			return file, lf.finish()
		}
		if rerr != nil {
			return file, rerr
		}
		n, rerr = fillBuffer(r, s.in)
	}
}

// rest is what is left of a reader that has just answered with err.
type rest struct {
	r   io.Reader
	err error
}

func (r rest) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.r.Read(p)
}

// verbatim begins again without turning line ends: it turns back what lf
// wrote, and goes on with the bytes at hand and those still to come. It always
// gives the file to go on with or to close.
func verbatim(at berth, turned *handle, lf *lfWriter, pending []byte, more io.Reader) (*handle, error) {
	head := bytes.Clone(pending)
	if lf.held {
		head = append([]byte{'\r'}, head...)
	}
	if _, err := turned.Seek(0, io.SeekStart); err != nil {
		return turned, err
	}
	// The first file keeps its bytes while open, without a name.
	if err := at.remove(); err != nil {
		return turned, err
	}
	file, err := at.create()
	if err != nil {
		return turned, err
	}
	defer turned.Close()
	_, err = io.Copy(file, io.MultiReader(newCanonicalReader(turned), bytes.NewReader(head), more))
	return file, err
}
