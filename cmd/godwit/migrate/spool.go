package migrate

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A spooled is a large message that was fetched and digested, and waits to be
// sent: in a temporary file that has no name any more.
type spooled struct {
	at   plan.Place
	item mail.Item
	file *os.File
}

func (s *spooled) is(at plan.Place) bool { return s != nil && s.at == at }

// give hands the message over as a Fetch does.
func (s *spooled) give(ref mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return spoolFault(err)
	}
	return each(ref, s.item, s.file)
}

func spoolFault(err error) error {
	return mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("a temporary file: %w", err), "make room in the directory for temporary files")
}

// keep fetches a message into the spool and tells what it is. One that is gone
// is passed over in silence.
func (o *origin) keep(ctx context.Context, at plan.Place, p part, own []mail.Ref, yield func(mail.Ref, mail.Identity, error) error) error {
	o.discard()
	file, err := os.CreateTemp("", "godwit-*")
	if err != nil {
		return spoolFault(err)
	}
	_ = os.Remove(file.Name())
	var kept *spooled
	var id mail.Identity
	err = o.inner.Fetch(ctx, p.id, own, func(_ mail.Ref, item mail.Item, body io.Reader) error {
		h := mail.NewHasher()
		n, err := io.Copy(io.MultiWriter(file, h), body)
		if err != nil {
			return err
		}
		id, item.Ident.Size = h.Sum(), n
		kept = &spooled{at: at, item: item, file: file}
		return nil
	})
	if err != nil || kept == nil {
		file.Close()
		return err
	}
	o.spool = kept
	return yield(at.Ref, id, nil)
}

// discard empties the spool.
func (o *origin) discard() {
	if o.spool != nil {
		o.spool.file.Close()
		o.spool = nil
	}
}
