package restore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/godwit-mail/godwit/cmd/godwit/export"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Told is told of each message that was written out, and where to.
type Told func(m export.Message, where string)

// Export writes mail out. One message that cannot be read does not stop the
// others; its fault is told, and counted in Sum.Failed. The caller commits.
func Export(ctx context.Context, s *Selection, w export.Writer, told Told, fault func(error)) (Sum, error) {
	var sum Sum
	boxes, err := s.Survey(ctx, nil)
	if err != nil {
		return sum, err
	}
	for i, b := range boxes {
		s.Bind(map[mail.BoxID]mail.MailboxName{mail.BoxID(i + 1): b.Name})
		x := exporter{selection: s, writer: w, told: told, fault: fault, name: b.Name, box: mail.BoxID(i + 1)}
		err := x.mailbox(ctx)
		sum.Chosen, sum.Bytes = sum.Chosen+len(x.items), sum.Bytes+x.size
		sum.Written, sum.WrittenSize, sum.Failed = sum.Written+x.written, sum.WrittenSize+x.writtenSize, sum.Failed+x.failed
		if err != nil {
			return sum, fmt.Errorf("mailbox %s: %w", b.Name, err)
		}
	}
	if sum.Failed > 0 {
		sum.Exit = 1
	}
	return sum, nil
}

// An exporter writes out one mailbox.
type exporter struct {
	selection *Selection
	writer    export.Writer
	told      Told
	fault     func(error)
	name      mail.MailboxName
	box       mail.BoxID

	refs  []mail.Ref
	items map[mail.Ref]mail.Item
	size  int64

	written, failed int
	writtenSize     int64
}

func (x *exporter) mailbox(ctx context.Context) error {
	x.items = map[mail.Ref]mail.Item{}
	var unknown []mail.Ref
	_, err := x.selection.Scan(ctx, x.box, plan.Since{}, func(m plan.Seen) error {
		x.refs = append(x.refs, m.Ref)
		x.items[m.Ref] = m.Item
		x.size += m.Item.Ident.Size
		if m.Item.Ident.Level() < mail.LevelBody || m.Item.Ident.Wire.IsZero() {
			unknown = append(unknown, m.Ref)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = x.selection.Identify(ctx, x.box, unknown, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		if item, ok := x.items[ref]; ok && err == nil {
			item.Ident = id
			x.items[ref] = item
		}
		return nil // what cannot be read now is told when it is fetched
	})
	if err != nil {
		return err
	}
	met := 0
	err = x.selection.Fetch(ctx, x.box, x.refs, func(ref mail.Ref, item mail.Item, body io.Reader) error {
		met++
		item.Ident = x.items[ref].Ident
		return x.message(ctx, item, body)
	})
	if mail.GradeOf(err, mail.GradeMailbox) == mail.GradeMessage && ctx.Err() == nil {
		x.fault(err)
		err = nil
	}
	x.failed += len(x.refs) - met
	return err
}

// message writes out one message, when all of it has been read and proved.
func (x *exporter) message(ctx context.Context, item mail.Item, body io.Reader) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	held, err := hold(body, item.Ident)
	if err != nil {
		x.failed++
		x.fault(fmt.Errorf("mailbox %s: %w", x.name, err))
		return nil
	}
	defer held.Close()
	m := export.Message{Mailbox: x.name, Ident: item.Ident, Flags: item.Flags, Date: item.Date, Open: held.open}
	where, wrote, err := x.writer.Put(m)
	if err != nil {
		return err
	}
	if wrote {
		x.written++
		x.writtenSize += item.Ident.Size
		x.told(m, where)
	}
	return nil
}

// inMemory is how large a message is held in memory, in bytes.
const inMemory = 4 << 20

// A held message was read to its end.
type held struct {
	start []byte
	rest  *os.File // nil if that is all
}

// hold reads a message and proves that it is the one that is meant: a writer
// must not find out in the middle that it is not.
func hold(body io.Reader, want mail.Identity) (*held, error) {
	h, sum := &held{}, mail.NewHasher()
	body = io.TeeReader(body, sum)
	var start bytes.Buffer
	_, err := io.CopyN(&start, body, inMemory)
	h.start = start.Bytes()
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case err == nil:
		if h.rest, err = os.CreateTemp("", "godwit-restore-"); err == nil {
			err = os.Remove(h.rest.Name())
		}
		if err == nil {
			_, err = io.Copy(h.rest, body)
		}
	}
	if id := sum.Sum(); err == nil && !want.Wire.IsZero() && id.Wire != want.Wire {
		err = fmt.Errorf("message %s is damaged", want.Wire.String()[:12])
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func (h *held) open() (io.ReadCloser, error) {
	if h.rest == nil {
		return io.NopCloser(bytes.NewReader(h.start)), nil
	}
	if _, err := h.rest.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(h.start), h.rest)), nil
}

// Close gives back what the message took.
func (h *held) Close() {
	if h.rest != nil {
		h.rest.Close()
	}
}
