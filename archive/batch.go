package archive

import (
	"context"
	"database/sql"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// putting is engine.Batch.
type putting = interface {
	Add(ctx context.Context, in plan.Incoming) error
	Commit(ctx context.Context) ([]plan.Placed, error)
	Abort()
}

// A batch takes messages for one mailbox. Each is compressed into a file when
// it is added, unless the archive has its bytes already; Commit puts the
// files into their places and the messages into the catalogue.
type batch struct {
	rec   *Recording
	box   mail.BoxID
	added []*addition
	files map[mail.Digest]*staged // written by this batch
	spool spool
	hash  *mail.Hasher
}

// An addition is one message of a batch.
type addition struct {
	in     plan.Incoming
	size   int64
	about  summary
	file   *staged // nil: the archive had it
	placed plan.Placed
}

// Put begins a batch.
func (r *Recording) Put(ctx context.Context, box mail.BoxID) (putting, error) {
	if err := r.a.make(ctx); err != nil {
		return nil, fault(err)
	}
	return &batch{rec: r, box: box, files: map[mail.Digest]*staged{}, spool: spool{f: r.a.files}, hash: mail.NewHasher()}, nil
}

// Add reads and stages a message. An error of the disk ends the batch: it
// would meet every message.
func (b *batch) Add(ctx context.Context, in plan.Incoming) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	a := &addition{in: in, placed: plan.Placed{Tag: in.Tag}}
	a.in.Open, a.in.Echo = nil, nil // what they hold on to is not needed any more
	b.added = append(b.added, a)
	defer b.spool.reset()
	body, own := b.read(ctx, a, in.Open)
	if body != nil {
		a.placed.Err = body
	}
	if own == nil && body == nil {
		own = b.stage(ctx, a)
	}
	if own != nil {
		own = fault(own)
		a.placed.Err = own
	}
	return own
}

// read takes in the body, and tells errors of it from our own.
func (b *batch) read(ctx context.Context, a *addition, open func() (io.ReadCloser, error)) (body, own error) {
	r, err := open()
	if err != nil {
		return mail.NewFault(mail.GradeMessage, mail.ClassServer, err, ""), nil
	}
	b.hash.Reset()
	var head headers
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		_, _ = head.Write(buf[:n]) // neither fails
		_, _ = b.hash.Write(buf[:n])
		if _, own := b.spool.Write(buf[:n]); own != nil {
			return nil, errors.Join(own, r.Close())
		}
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case err == io.EOF:
			a.size, a.placed.Ident, a.about = b.spool.size, b.hash.Sum(), head.summary()
			return nil, r.Close()
		case err != nil:
			_ = r.Close() // the first error says more
			return mail.NewFault(mail.GradeMessage, mail.ClassServer, err, ""), nil
		}
	}
}

// stage sees to it that there is a file for the message.
func (b *batch) stage(ctx context.Context, a *addition) error {
	digest := a.placed.Ident.Wire
	if s := b.files[digest]; s != nil {
		a.file = s
		return nil
	}
	var stored int64 = -1
	err := b.rec.a.each(ctx, "SELECT stored FROM message WHERE digest = ?", []any{digest[:]}, func(rows *sql.Rows) error {
		return rows.Scan(&stored)
	})
	if err != nil || stored >= 0 && b.rec.a.files.has(digest, stored) {
		return err
	}
	if a.file, err = b.spool.stage(ctx, digest); err == nil {
		b.files[digest] = a.file
	}
	return err
}

// Commit makes everything that was added durable: the files, then, in one
// transaction, the catalogue.
func (b *batch) Commit(ctx context.Context) ([]plan.Placed, error) {
	defer b.Abort()
	err := ctx.Err()
	if err == nil {
		err = b.publish()
	}
	if err == nil {
		err = b.rec.effect(ctx, b.record)
	}
	err = fault(err)
	out := make([]plan.Placed, len(b.added))
	for i, a := range b.added {
		if err != nil && a.placed.Err == nil {
			a.placed.Err = err
		}
		if a.placed.Err != nil {
			a.placed.Ref = ""
		}
		out[i] = a.placed
	}
	return out, err
}

// publish puts the files into their places.
func (b *batch) publish() error {
	list := make([]*staged, 0, len(b.files))
	for _, a := range b.added {
		if a.file != nil && b.files[a.file.digest] != nil {
			list = append(list, a.file)
			delete(b.files, a.file.digest)
		}
	}
	defer func() {
		for _, s := range list {
			b.rec.a.files.discard(s)
		}
	}()
	return b.rec.a.files.publish(list)
}

// record enters the messages into the catalogue.
func (b *batch) record(e *effect) error {
	box, err := b.rec.box(e.tx, b.box)
	if err != nil {
		return err
	}
	for _, a := range b.added {
		if a.placed.Err == nil && a.file != nil && a.file.err != nil {
			a.placed.Err = fault(a.file.err)
		}
		if a.placed.Err != nil {
			continue
		}
		p := &lying{mailbox: box.id, flags: a.in.Item.Flags.String(), size: a.size, uidvalidity: a.in.FromEpoch, uid: string(a.in.From)}
		if p.message, err = e.message(a); err != nil {
			return err
		}
		p.date = dateOf(a.in.Item.Date)
		if err := e.place(p, a.in.Item.Token); err != nil {
			return err
		}
		a.placed.Ref, a.placed.Epoch, a.placed.Flags = refOf(p.id), Epoch, a.in.Item.Flags
	}
	return nil
}

// message gives the number of the message, which is entered if it is new.
func (e *effect) message(a *addition) (id int64, err error) {
	ident := &a.placed.Ident
	err = e.tx.Each("SELECT id FROM message WHERE digest = ?", []any{ident.Wire[:]}, func(rows *sql.Rows) error {
		return rows.Scan(&id)
	})
	switch {
	case err != nil:
		return 0, err
	case id > 0:
		// It may lie nowhere, and wait for its end: it does so no longer.
		if err := e.tx.Exec("DELETE FROM unneeded WHERE message = ?", id); err != nil || a.file == nil {
			return id, err
		}
		// Its file was lost, or written by another batch meanwhile.
		return id, e.tx.Exec("UPDATE message SET stored = ? WHERE id = ?", a.file.stored, id)
	case a.file == nil:
		return 0, errors.New("a message is gone from the catalogue that was in it") // only we write to it
	}
	if err := e.begin(); err != nil {
		return 0, err
	}
	if id, err = e.take("message", 1); err != nil {
		return 0, err
	}
	e.delta.stored += a.file.stored
	return id, insertMessage(e.tx, id, ident, a.size, a.file.stored, &a.about)
}

// Abort throws away what was not committed.
func (b *batch) Abort() {
	for _, s := range b.files {
		b.rec.a.files.discard(s)
	}
	b.files = nil
	b.spool.reset()
}
