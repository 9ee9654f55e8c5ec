package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"

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
	buf, canon := make([]byte, 64<<10), newCanonicalReader(nil)
	err := m.each(ctx, box, refs, func(f *folder, e entry, file *handle, st stat) error {
		words, err := f.keywords()
		if err != nil {
			return err
		}
		item := newItem(e, st, words)
		item.Ident.Size, err = canonicalSize(contextReader{ctx, file}, buf)
		if err == nil {
			_, err = file.Seek(0, io.SeekStart)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			faults = append(faults, localFault(mail.GradeMessage, err))
			return nil
		}
		r := &exactReader{r: canon.reset(contextReader{ctx, file}), left: item.Ident.Size, path: file.Name()}
		return each(mail.Ref(e.key()), item, r)
	}, func(_ mail.Ref, err error) error {
		faults = append(faults, err)
		return nil
	})
	if err != nil || len(faults) == 0 {
		return err
	}
	return mail.NewFault(mail.GradeMessage, mail.ClassLocal, errors.Join(faults...), "")
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
	now, err := file.stat()
	if err != nil {
		return mail.Identity{}, err
	}
	if now.mark() != st.mark() {
		return mail.Identity{}, fmt.Errorf("%s changed while it was read", file.Name())
	}
	return id, nil
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
