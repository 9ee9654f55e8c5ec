package maildir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// Identify reads each file and gives its whole identity, whatever the level:
// the header is read with the body on a disk.
func (m *Maildir) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, _ mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	return m.each(ctx, box, refs, func(f *folder, e entry, file *handle, st stat) error {
		id, err := m.identify(ctx, file, st)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return yield(mail.Ref(e.key()), id, localFault(mail.GradeMessage, err))
	}, func(ref mail.Ref, err error) error {
		return yield(ref, mail.Identity{}, err)
	})
}

// Fetch hands over the bytes of each file with every line end as CRLF.
func (m *Maildir) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	var faults []error
	var reading fetching
	err := m.each(ctx, box, refs, func(f *folder, e entry, file *handle, st stat) error {
		words, err := f.keywords()
		if err != nil {
			return err
		}
		item := newItem(e, st, words)
		body, size, err := reading.open(ctx, file, st)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			faults = append(faults, localFault(mail.GradeMessage, err))
			return nil
		}
		item.Ident.Size = size
		return each(mail.Ref(e.key()), item, body)
	}, func(_ mail.Ref, err error) error {
		faults = append(faults, err)
		return nil
	})
	if err != nil || len(faults) == 0 {
		return err
	}
	return mail.NewFault(mail.GradeMessage, mail.ClassLocal, errors.Join(faults...), "")
}

// maxWhole is up to which size, in bytes, a file is read at once; a larger one
// is read twice, the first time to count its bytes.
const maxWhole = 512 << 10

// A fetching is the memory that a Fetch reads files with.
type fetching struct {
	raw, made, canonical []byte
	whole                bytes.Reader
	buf                  []byte // for larger files
	canon                *canonicalReader
}

// open gives the bytes of an open file with line ends as CRLF, and how many
// they are. They are valid until the next call. A small file that changed while
// it was read is an error.
func (r *fetching) open(ctx context.Context, file *handle, st stat) (io.Reader, int64, error) {
	if st.size <= maxWhole {
		err := r.read(ctx, file, st)
		r.whole.Reset(r.canonical)
		return &r.whole, int64(len(r.canonical)), err
	}
	if r.canon == nil {
		r.buf, r.canon = make([]byte, 64<<10), newCanonicalReader(nil)
	}
	size, err := canonicalSize(contextReader{ctx, file}, r.buf)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	return &exactReader{r: r.canon.reset(contextReader{ctx, file}), left: size, path: file.Name()}, size, err
}

// read reads a small file.
func (r *fetching) read(ctx context.Context, file *handle, st stat) error {
	r.raw = slices.Grow(r.raw[:0], int(st.size))[:st.size]
	_, err := io.ReadFull(contextReader{ctx, file}, r.raw)
	short := err == io.EOF && st.size > 0 || err == io.ErrUnexpectedEOF
	if err != nil && err != io.EOF && !short {
		return err
	}
	if err := file.unchanged(st); err != nil {
		return err
	}
	if short {
		return fmt.Errorf("%s: %w", file.Name(), mail.ErrShort)
	}
	r.canonical = r.raw
	if more := bareLF(r.raw, false); more > 0 {
		r.made = appendCanonical(slices.Grow(r.made[:0], len(r.raw)+more), r.raw)
		r.canonical = r.made
	}
	return nil
}

// each opens the file of each ref. One that is not there is passed over, one
// that cannot be opened is given to failed.
func (m *Maildir) each(ctx context.Context, box mail.BoxID, refs []mail.Ref,
	do func(*folder, entry, *handle, stat) error, failed func(mail.Ref, error) error) error {
	b, err := m.box(ctx, box)
	if err != nil {
		return err
	}
	f, err := m.open(b)
	if err != nil {
		return err
	}
	defer f.close()
	for _, ref := range refs {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, file, st, ok, err := f.openMessage(ctx, string(ref))
		switch {
		case err != nil && ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			err = failed(ref, localFault(mail.GradeMessage, fmt.Errorf("%s in %s: %w", ref, b.name, err)))
		case ok:
			err = do(f, e, file, st)
			file.Close()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// lookup finds the file of a message as it was last seen; ok is false if it is not there.
func (f *folder) lookup(ctx context.Context, key string) (e entry, ok bool, err error) {
	l, err := f.listing(ctx)
	if err != nil {
		return entry{}, false, err
	}
	if e, ok = l.find(key); ok {
		return e, true, nil
	}
	if l, err = f.relist(ctx); err != nil {
		return entry{}, false, err
	}
	if e, ok = l.find(key); ok || l.complete {
		return e, ok, nil
	}
	return entry{}, false, mail.NewFault(mail.GradeMessage, mail.ClassLocal, restless{f.top.path, key},
		"run again when nothing else uses the Maildir")
}

// openMessage opens the file of a message. Once it is open it may be renamed.
func (f *folder) openMessage(ctx context.Context, key string) (e entry, file *handle, st stat, ok bool, err error) {
	e, ok, err = f.lookup(ctx, key)
	if err != nil || !ok {
		return e, nil, st, false, err
	}
	e, ok, err = f.hold(ctx, e, func(e entry) (err error) {
		file, st, err = f.part(e.inNew).read(e.name)
		return err
	})
	return e, file, st, ok, err
}

// identify reads an open file as Fetch gives it: Wire is the digest of the
// bytes that would travel. A file that changed meanwhile is an error.
func (m *Maildir) identify(ctx context.Context, file *handle, st stat) (mail.Identity, error) {
	if m.canon == nil {
		m.canon = newCanonicalReader(nil)
	}
	id, err := mail.Identify(m.canon.reset(contextReader{ctx, file}))
	if err != nil {
		return mail.Identity{}, err
	}
	if err := file.unchanged(st); err != nil {
		return mail.Identity{}, err
	}
	return id, nil
}

// unchanged is an error if an open file is not what it was.
func (f *handle) unchanged(st stat) error {
	now, err := f.stat()
	if err != nil {
		return err
	}
	if now.mark() != st.mark() {
		return fmt.Errorf("%s changed while it was read", f.Name())
	}
	return nil
}

// contextReader ends with the context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
