package sidetest

import (
	"context"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A wrapped side runs every call through around, which may refuse to make it
// and may hide that it was made. Bind and Close are left alone.
type wrapped struct {
	engine.Writer
	around func(call string, effect func() error) error
}

func (w *wrapped) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) (boxes []plan.Box, err error) {
	err = w.around("survey", func() error {
		boxes, err = w.Writer.Survey(ctx, since)
		return err
	})
	return onlyIf(err, boxes), err
}

// onlyIf gives value unless there is an error: an answer that was lost has
// told nothing.
func onlyIf[T any](err error, value T) T {
	var none T
	if err != nil {
		return none
	}
	return value
}

func (w *wrapped) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (end plan.Scanned, err error) {
	err = w.around("scan", func() error {
		end, err = w.Writer.Scan(ctx, box, since, yield)
		return err
	})
	return onlyIf(err, end), err
}

func (w *wrapped) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	return w.around("identify", func() error { return w.Writer.Identify(ctx, box, refs, level, yield) })
}

func (w *wrapped) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	return w.around("fetch", func() error { return w.Writer.Fetch(ctx, box, refs, each) })
}

func (w *wrapped) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	err = w.around("confirm", func() error {
		sure, outside, err = w.Writer.Confirm(ctx, gone)
		return err
	})
	return onlyIf(err, sure), onlyIf(err, outside), err
}

func (w *wrapped) Create(ctx context.Context, name mail.MailboxName) (box plan.Box, err error) {
	err = w.around("create", func() error {
		box, err = w.Writer.Create(ctx, name)
		return err
	})
	return onlyIf(err, box), err
}

func (w *wrapped) Rename(ctx context.Context, from, to mail.MailboxName) error {
	return w.around("rename", func() error { return w.Writer.Rename(ctx, from, to) })
}

func (w *wrapped) Remove(ctx context.Context, name mail.MailboxName) error {
	return w.around("remove", func() error { return w.Writer.Remove(ctx, name) })
}

func (w *wrapped) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	return w.around("do", func() error { return w.Writer.Do(ctx, ops, done) })
}

func (w *wrapped) Put(ctx context.Context, box mail.BoxID) (batch engine.Batch, err error) {
	err = w.around("put", func() error {
		batch, err = w.Writer.Put(ctx, box)
		return err
	})
	return onlyIf(err, batch), err
}

func (w *wrapped) Resolve(ctx context.Context, in plan.Intent, known func(mail.Ref) bool) (found plan.Found, err error) {
	err = w.around("resolve", func() error {
		found, err = w.Writer.Resolve(ctx, in, known)
		return err
	})
	return onlyIf(err, found), err
}

// A wrappedRoot is a wrapped side that is an engine.Rooted.
type wrappedRoot struct {
	engine.Writer
	root   engine.Rooted
	around func(call string, effect func() error) error
}

// withRoot makes outer an engine.Rooted if inner is one.
func withRoot(outer, inner engine.Writer, around func(string, func() error) error) engine.Writer {
	if root, ok := inner.(engine.Rooted); ok {
		return &wrappedRoot{outer, root, around}
	}
	return outer
}

func (w *wrappedRoot) Root(ctx context.Context) (root engine.Root, err error) {
	err = w.around("root", func() error {
		root, err = w.root.Root(ctx)
		return err
	})
	return onlyIf(err, root), err
}

func (w *wrappedRoot) Stamp(ctx context.Context, instance string, runs int64) error {
	return w.around("stamp", func() error { return w.root.Stamp(ctx, instance, runs) })
}
