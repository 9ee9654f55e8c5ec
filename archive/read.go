package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// atOnce is how many messages one statement asks for.
const atOnce = 500

// A stored message is what the catalogue says of the bytes.
type stored struct {
	digest, body, light, header, folded []byte
	size, stored, canonical, headerSize int64
}

const storedColumns = "m.digest, m.size, m.stored, m.canonical, m.light, m.header, m.folded, m.header_size, m.body"

func (s *stored) dest() []any {
	return []any{&s.digest, &s.size, &s.stored, &s.canonical, &s.light, &s.header, &s.folded, &s.headerSize, &s.body}
}

// identity is the identity of the message, up to the body.
func (s *stored) identity() (id mail.Identity, err error) {
	id.Size, id.HeaderSize = s.canonical, s.headerSize
	if len(s.body) == 0 {
		s.body = s.digest
	}
	return id, errors.Join(setDigest(&id.Wire, s.digest), setDigest(&id.Body, s.body),
		setDigest(&id.Light, s.light), setDigest(&id.Header, s.header), setDigest(&id.Folded, s.folded))
}

// A found message is where it lies, and what it is.
type found struct {
	seat
	stored
}

// eachFound looks up those of refs that are in a mailbox, in the order of
// their numbers, in pieces, so that memory does not grow with their number.
func (r *reading) eachFound(ctx context.Context, id mail.BoxID, refs []mail.Ref, each func(*found) error) error {
	for len(refs) > 0 {
		n := min(len(refs), atOnce)
		list, err := r.find(ctx, id, refs[:n])
		if err != nil {
			return err
		}
		refs = refs[n:]
		for i := range list {
			if err := each(&list[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reading) find(ctx context.Context, id mail.BoxID, refs []mail.Ref) (out []found, err error) {
	ids := make([]int64, 0, len(refs))
	for _, ref := range refs {
		if n := placementOf(ref); n > 0 {
			ids = append(ids, n)
		}
	}
	if err := r.any(); err != nil {
		return nil, err
	}
	query := "SELECT " + seatColumns + ", " + storedColumns + ` FROM placement p JOIN message m ON m.id = p.message
		WHERE p.id IN (SELECT value FROM json_each(?)) AND p.mailbox = ? AND ` + there("p")
	err = r.a.view(ctx, func(tx *sqlite.Tx) error {
		b, err := r.box(tx, id)
		if err != nil {
			return err
		}
		return tx.Each(query, []any{r.gen, r.gen, r.gen, list(ids), b.id, r.gen, r.gen}, func(rows *sql.Rows) error {
			var f found
			err := rows.Scan(append(f.seat.dest(), f.stored.dest()...)...)
			out = append(out, f)
			return err
		})
	})
	return out, fault(err)
}

// Identify yields what the catalogue knows of each ref; no bytes are read.
func (r *reading) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, _ mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return r.eachFound(ctx, box, refs, func(f *found) error {
		id, err := f.identity()
		return yield(refOf(f.id), id, err)
	})
}

// Fetch hands over the bytes of each ref, decompressed and verified as they
// are read. Messages whose file is missing or damaged are told together in
// the end.
func (r *reading) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var bad []error
	err := r.eachFound(ctx, box, refs, func(f *found) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, err := f.identity()
		if err != nil {
			return err
		}
		item := f.item()
		item.Ident = id
		body, err := r.a.files.open(id.Wire, f.size)
		if err != nil {
			bad = append(bad, fmt.Errorf("message %s in %s: %w", refOf(f.id), r.bound[box], err))
			return nil
		}
		defer body.Close()
		if err := each(refOf(f.id), item, &cancelled{ctx, body}); err != nil {
			return err
		}
		if body.err != nil && body.err != io.EOF {
			bad = append(bad, fmt.Errorf("message %s in %s: %w", refOf(f.id), r.bound[box], body.err))
		}
		return nil
	})
	if err == nil && len(bad) > 0 {
		err = mail.NewFault(mail.GradeMessage, mail.ClassLocal, errors.Join(bad...), "") // each says what to do
	}
	return err
}

// A cancelled reader ends when its context does.
type cancelled struct {
	ctx context.Context
	r   io.Reader
}

func (c *cancelled) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// OpenMessage gives the bytes of a message. The reader ends with an error that
// wraps ErrDamaged unless they have that digest; it need not be read to its
// end. Errors: ErrNoMessage, ErrDamaged.
func (a *Archive) OpenMessage(ctx context.Context, digest mail.Digest) (io.ReadCloser, error) {
	size := int64(-1)
	err := a.each(ctx, "SELECT size FROM message WHERE digest = ?", []any{digest[:]}, func(rows *sql.Rows) error {
		return rows.Scan(&size)
	})
	if err != nil {
		return nil, fault(err)
	}
	if size < 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoMessage, digest)
	}
	return a.files.open(digest, size)
}
