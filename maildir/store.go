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
	_, err := l.w.Write(l.out)
	return err
}

// storeMessage writes a message into a new file of tmp: with LF line ends if
// that loses nothing, else byte for byte. The identity is of the bytes of r.
// On an error nothing is left.
func storeMessage(tmp *dir, name string, r io.Reader, buf []byte) (*handle, mail.Identity, error) {
	file, err := tmp.create(name)
	if err != nil {
		return nil, mail.Identity{}, err
	}
	fail := func(err error) (*handle, mail.Identity, error) {
		file.Close()
		_ = tmp.unlink(name)
		return nil, mail.Identity{}, err
	}
	hash := mail.NewHasher()
	lf := &lfWriter{w: file}
	for {
		n, rerr := r.Read(buf)
		_, _ = hash.Write(buf[:n]) // never fails
		took, werr := lf.Write(buf[:n])
		if errors.Is(werr, errAnomaly) {
			if file, err = verbatim(tmp, name, file, lf, buf[took:n], io.TeeReader(rest{r, rerr}, hash)); err != nil {
				return fail(err)
			}
			return file, hash.Sum(), nil
		}
		if werr != nil {
			return fail(werr)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return fail(rerr)
		}
	}
	if err := lf.finish(); err != nil {
		return fail(err)
	}
	return file, hash.Sum(), nil
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
func verbatim(tmp *dir, name string, turned *handle, lf *lfWriter, pending []byte, more io.Reader) (*handle, error) {
	head := bytes.Clone(pending)
	if lf.held {
		head = append([]byte{'\r'}, head...)
	}
	if _, err := turned.Seek(0, io.SeekStart); err != nil {
		return turned, err
	}
	// The first file keeps its bytes while open, without a name.
	if err := tmp.unlink(name); err != nil {
		return turned, err
	}
	file, err := tmp.create(name)
	if err != nil {
		return turned, err
	}
	defer turned.Close()
	_, err = io.Copy(file, io.MultiReader(newCanonicalReader(turned), bytes.NewReader(head), more))
	return file, err
}
