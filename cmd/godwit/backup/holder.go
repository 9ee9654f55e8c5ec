package backup

import (
	"context"
	"io"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Holder gives an archive messages again that it has lost: from a server or
// a Maildir, by the index that knows what lies there. It proves nothing of
// what it gives.
type Holder struct {
	Title string // for a person: "the server"
	Side  engine.Side
	On    plan.Side    // which side of the index that is
	Index engine.Index // nil: what the archive tells of places on the server is all that is known
}

var _ archive.Source = (*Holder)(nil)

// Name implements archive.Source.
func (h *Holder) Name() string { return h.Title }

// Give implements archive.Source.
func (h *Holder) Give(ctx context.Context, want []archive.Wanted, each func(mail.Digest, io.Reader) error) error {
	boxes, err := h.Side.Survey(ctx, nil)
	if err != nil {
		return err
	}
	records, err := h.records(ctx)
	if err != nil {
		return err
	}
	names := map[mail.BoxID]mail.MailboxName{}
	for i, b := range boxes {
		if !b.Container {
			names[h.number(records, b.Name, i)] = b.Name
		}
	}
	h.Side.Bind(names)
	for i, b := range boxes {
		if b.Container {
			continue
		}
		refs, err := h.lying(ctx, h.number(records, b.Name, i), b, want)
		if err == nil && len(refs) > 0 {
			err = h.Side.Fetch(ctx, h.number(records, b.Name, i), slices.Sorted(maps.Keys(refs)), func(ref mail.Ref, _ mail.Item, body io.Reader) error {
				return each(refs[ref], body)
			})
		}
		// What one mailbox cannot give, another may.
		if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeAccount) >= mail.GradeAccount) {
			return err
		}
	}
	return nil
}

func (h *Holder) records(ctx context.Context) (map[mail.MailboxName]plan.BoxRecord, error) {
	records := map[mail.MailboxName]plan.BoxRecord{}
	if h.Index == nil {
		return records, nil
	}
	list, err := h.Index.Boxes(ctx)
	for _, rec := range list {
		records[rec.Side[h.On].Name] = rec
	}
	return records, err
}

// unindexed is where the numbers of mailboxes begin that no index knows.
const unindexed = mail.BoxID(1) << 40

// number is what a mailbox is bound to.
func (h *Holder) number(records map[mail.MailboxName]plan.BoxRecord, name mail.MailboxName, i int) mail.BoxID {
	if rec, ok := records[name]; ok {
		return rec.ID
	}
	return unindexed + mail.BoxID(i)
}

// lying finds what lies in a mailbox of what is wanted: by what the index
// knows of bytes, and by where the archive saw it on the server.
func (h *Holder) lying(ctx context.Context, id mail.BoxID, b plan.Box, want []archive.Wanted) (map[mail.Ref]mail.Digest, error) {
	refs := map[mail.Ref]mail.Digest{}
	same := map[mail.Digest]mail.Digest{} // by digests of the bytes and of the body
	for _, w := range want {
		same[w.Message.Digest], same[w.Message.Ident.Body] = w.Message.Digest, w.Message.Digest
		for _, p := range w.Places {
			if h.On == plan.Remote && p.Mailbox == b.Name && p.UIDValidity == b.Epoch && p.UID != "" {
				refs[mail.Ref(p.UID)] = w.Message.Digest
			}
		}
	}
	if h.Index == nil || id >= unindexed {
		return refs, nil
	}
	rows, err := h.Index.RowsIn(ctx, id)
	for _, row := range rows {
		at := row.At[h.On]
		if at.Box != id || at.IsZero() || at.IsDisplaced() {
			continue
		}
		for _, ident := range row.Ident {
			for _, d := range []mail.Digest{ident.Wire, ident.Body} {
				if digest, ok := same[d]; ok && !d.IsZero() {
					refs[at.Ref] = digest
				}
			}
		}
	}
	return refs, err
}
