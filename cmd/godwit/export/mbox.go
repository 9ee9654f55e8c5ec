package export

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// mbox writes the format mboxrd: in every line of a message that begins with
// "From ", or with ">" before that, one more ">" is put in front, so that
// reading takes it away again without loss.
type mbox struct {
	path string
	part *os.File // until Commit, under a name of its own
	w    *bufio.Writer
}

// Mbox begins the file at path, which must not exist.
func Mbox(path string) (Writer, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fmt.Errorf("%s: %w: name another file", path, fs.ErrExist)
	}
	part, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*") // mode 0600
	if err != nil {
		return nil, err
	}
	return &mbox{path: path, part: part, w: bufio.NewWriterSize(part, 64<<10)}, nil
}

func (b *mbox) Put(m Message) (string, bool, error) {
	r, err := m.Open()
	if err != nil {
		return "", false, err
	}
	defer r.Close()
	date := m.Date
	if date.IsZero() {
		date = time.Unix(0, 0)
	}
	if _, err := fmt.Fprintf(b.w, "From MAILER-DAEMON %s\n", date.UTC().Format(time.ANSIC)); err != nil {
		return "", false, err
	}
	if err := quote(b.w, r); err != nil {
		return "", false, err
	}
	return b.path, true, nil
}

// quote writes one message and the empty line that ends it.
func quote(w *bufio.Writer, r io.Reader) error {
	br := bufio.NewReaderSize(r, 64<<10)
	start, cr, last := true, false, byte('\n')
	for {
		line, err := br.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
		if cr && !bytes.HasPrefix(line, []byte("\n")) {
			w.WriteByte('\r') // errors of w stay with it
		}
		cr = false
		whole := bytes.HasSuffix(line, []byte("\n"))
		if start && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			w.WriteByte('>')
		}
		if whole {
			line = bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))
		} else if line, cr = bytes.CutSuffix(line, []byte("\r")); cr && errors.Is(err, io.EOF) {
			w.WriteByte('\r')
		}
		w.Write(line)
		if whole {
			w.WriteByte('\n')
			last = '\n'
		} else if len(line) > 0 {
			last = line[len(line)-1]
		}
		start = whole
		if errors.Is(err, io.EOF) {
			break
		}
	}
	if last != '\n' {
		w.WriteByte('\n')
	}
	return w.WriteByte('\n')
}

func (b *mbox) Commit() error {
	err := errors.Join(b.w.Flush(), b.part.Sync(), b.part.Close())
	if err == nil {
		err = os.Link(b.part.Name(), b.path) // refuses a file that exists
	}
	err = errors.Join(err, os.Remove(b.part.Name()))
	b.part = nil
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(b.path))
}

func (b *mbox) Abort() {
	if b.part != nil {
		b.part.Close()
		os.Remove(b.part.Name())
		b.part = nil
	}
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
