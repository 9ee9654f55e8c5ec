package backup

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Bodies are the messages of the server that lie in a Maildir, too, by the
// index of the account that keeps both in step. A nil Bodies has none.
type Bodies struct {
	index   engine.Index
	maildir engine.Side
	boxes   map[mail.MailboxName]plan.BoxRecord // by the server's name
}

// OpenBodies reads which mailboxes the index knows, and tells the Maildir
// their numbers. Both stay the caller's.
func OpenBodies(ctx context.Context, index engine.Index, maildir engine.Side) (*Bodies, error) {
	records, err := index.Boxes(ctx)
	if err != nil {
		return nil, err
	}
	b := &Bodies{index: index, maildir: maildir, boxes: map[mail.MailboxName]plan.BoxRecord{}}
	names := map[mail.BoxID]mail.MailboxName{}
	for _, r := range records {
		if r.Side[plan.Remote].Name != "" {
			b.boxes[r.Side[plan.Remote].Name] = r
		}
		if r.Side[plan.Local].Name != "" {
			names[r.ID] = r.Side[plan.Local].Name
		}
	}
	maildir.Bind(names)
	return b, nil
}

// maxHeld is up to which size, in bytes, a message is read once: into memory,
// where its digest is taken before it is handed over. Larger ones are read
// twice.
const maxHeld = 1 << 20

// rows are what the index knows of messages of a server's mailbox, by UID.
// A mailbox whose UIDVALIDITY is another than the index knows has none.
func (b *Bodies) rows(ctx context.Context, name mail.MailboxName, epoch string, refs []mail.Ref) (map[mail.Ref]plan.Row, error) {
	if !b.has(name, epoch) {
		return nil, nil
	}
	rec := b.boxes[name]
	var ids []int64
	_, err := b.index.KnownAt(ctx, plan.Remote, rec.ID, refs, func(k plan.Known) error {
		ids = append(ids, k.Row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	rows, err := b.index.Rows(ctx, slices.Compact(ids))
	if err != nil {
		return nil, err
	}
	out := make(map[mail.Ref]plan.Row, len(rows))
	for _, row := range rows {
		if row.Epoch[plan.Remote] == epoch && row.At[plan.Remote].Box == rec.ID {
			out[row.At[plan.Remote].Ref] = row
		}
	}
	return out, nil
}

// identities are those of the server's messages that the index knows at least
// up to a level.
func (b *Bodies) identities(ctx context.Context, name mail.MailboxName, epoch string, refs []mail.Ref, level mail.Level) (map[mail.Ref]mail.Identity, error) {
	rows, err := b.rows(ctx, name, epoch, refs)
	if err != nil {
		return nil, err
	}
	out := make(map[mail.Ref]mail.Identity, len(rows))
	for ref, row := range rows {
		if id := row.Ident[plan.Remote]; id.Level() >= mail.LevelBody && !id.Wire.IsZero() && level > mail.LevelNone {
			out[ref] = id
		}
	}
	return out, nil
}

// A copied is a message of the server that lies in the Maildir.
type copied struct {
	ref   mail.Ref // on the server
	size  int64
	proof mail.Digest // of the bytes on the server
}

// copies tells which messages have a copy in the Maildir with just their
// bytes, by the Maildir's mailbox and name.
func (b *Bodies) copies(ctx context.Context, name mail.MailboxName, epoch string, refs []mail.Ref) (map[mail.BoxID]map[mail.Ref]copied, error) {
	rows, err := b.rows(ctx, name, epoch, refs)
	if err != nil {
		return nil, err
	}
	out := map[mail.BoxID]map[mail.Ref]copied{}
	for ref, row := range rows {
		at, id := row.At[plan.Local], row.Ident[plan.Remote]
		if at.IsZero() || at.IsDisplaced() || id.Wire.IsZero() {
			continue
		}
		if out[at.Box] == nil {
			out[at.Box] = map[mail.Ref]copied{}
		}
		out[at.Box][at.Ref] = copied{ref, id.Size, id.Wire}
	}
	return out, nil
}

// has tells whether the index knows the mailbox as it is numbered now: then
// most of its messages have a copy.
func (b *Bodies) has(name mail.MailboxName, epoch string) bool {
	if b == nil {
		return false
	}
	rec, ok := b.boxes[name]
	return ok && epoch != "" && rec.Side[plan.Remote].Epoch == epoch
}

// atOnce is how many messages are looked up in the index together.
const atOnce = 1000

// fetch hands over the messages whose bytes in the Maildir are those of the
// server, and returns the others, in their order. Flags and dates are left
// out: a scan of the server has shown them.
func (b *Bodies) fetch(ctx context.Context, name mail.MailboxName, epoch string, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) (rest []mail.Ref, err error) {
	if !b.has(name, epoch) {
		return refs, nil
	}
	for some := range slices.Chunk(refs, atOnce) {
		copies, err := b.copies(ctx, name, epoch, some)
		if err != nil {
			return nil, err
		}
		given := map[mail.Ref]bool{}
		for box, in := range copies {
			if err := b.hand(ctx, box, &handover{copies: in, given: given, each: each}); err != nil {
				return nil, err
			}
		}
		for _, ref := range some {
			if !given[ref] {
				rest = append(rest, ref)
			}
		}
	}
	return rest, nil
}

// A handover gives messages of one mailbox of the Maildir to a caller.
type handover struct {
	copies map[mail.Ref]copied
	sound  map[mail.Ref]bool // large ones that were read whole once
	given  map[mail.Ref]bool
	each   func(mail.Ref, mail.Item, io.Reader) error
	failed error // of each
}

// hand hands over what is sound. What the Maildir cannot give is left for the
// server: only errors of the caller, and the end of the context, end it.
func (b *Bodies) hand(ctx context.Context, box mail.BoxID, h *handover) error {
	var small, large []mail.Ref
	for ref, c := range h.copies {
		if c.size <= maxHeld {
			small = append(small, ref)
		} else {
			large = append(large, ref)
		}
	}
	slices.Sort(small)
	slices.Sort(large)
	h.sound = map[mail.Ref]bool{}
	if len(large) > 0 {
		_ = b.maildir.Identify(ctx, box, large, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
			h.sound[ref] = err == nil && id.Wire == h.copies[ref].proof
			return nil
		})
		large = slices.DeleteFunc(large, func(ref mail.Ref) bool { return !h.sound[ref] })
	}
	if refs := slices.Concat(small, large); len(refs) > 0 && ctx.Err() == nil {
		_ = b.maildir.Fetch(ctx, box, refs, h.take)
	}
	if h.failed != nil {
		return h.failed
	}
	return context.Cause(ctx)
}

// take checks a message, and hands it over.
func (h *handover) take(ref mail.Ref, seen mail.Item, body io.Reader) error {
	c, ok := h.copies[ref]
	if !ok || h.given[c.ref] {
		return nil
	}
	item := mail.Item{Ident: mail.Identity{Size: seen.Ident.Size}}
	proved := &proving{r: body, hash: mail.NewHasher(), want: c.proof}
	body = proved
	if !h.sound[ref] {
		if seen.Ident.Size > maxHeld {
			return nil
		}
		text, err := io.ReadAll(proved)
		if err != nil {
			return nil
		}
		body = bytes.NewReader(text)
	}
	h.given[c.ref] = true
	h.failed = h.each(c.ref, item, body)
	return h.failed
}

// A proving reader ends well only after bytes of the digest that is wanted.
type proving struct {
	r    io.Reader
	hash *mail.Hasher
	want mail.Digest
	err  error // how it ended
}

func (p *proving) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.r.Read(b)
	_, _ = p.hash.Write(b[:n]) // never fails
	if err == io.EOF && p.hash.Sum().Wire != p.want {
		err = mail.NewFault(mail.GradeMessage, mail.ClassLocal, errChanged, "")
	}
	p.err = err
	return n, err
}
