package sidetest

import (
	"context"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// FaultyIndex makes every call to an index a step of f.
func FaultyIndex(inner engine.Index, f *Faults) engine.Index { return &faultyIndex{inner, f} }

type faultyIndex struct {
	engine.Index
	f *Faults
}

// read is one call that returns a value.
func read[T any](f *Faults, name string, call func() (T, error)) (T, error) {
	var out T
	err := f.around("index "+name, func() error {
		var err error
		out, err = call()
		return err
	})
	return onlyIf(err, out), err
}

func (x *faultyIndex) Meta(ctx context.Context) (map[string]string, error) {
	return read(x.f, "meta", func() (map[string]string, error) { return x.Index.Meta(ctx) })
}

func (x *faultyIndex) Boxes(ctx context.Context) ([]plan.BoxRecord, error) {
	return read(x.f, "boxes", func() ([]plan.BoxRecord, error) { return x.Index.Boxes(ctx) })
}

func (x *faultyIndex) Known(ctx context.Context, side plan.Side, box mail.BoxID, yield func(plan.Known) error) error {
	return x.f.around("index known", func() error { return x.Index.Known(ctx, side, box, yield) })
}

func (x *faultyIndex) KnownAt(ctx context.Context, side plan.Side, box mail.BoxID, refs []mail.Ref, yield func(plan.Known) error) (int, error) {
	return read(x.f, "known at", func() (int, error) { return x.Index.KnownAt(ctx, side, box, refs, yield) })
}

func (x *faultyIndex) Rows(ctx context.Context, ids []int64) ([]plan.Row, error) {
	return read(x.f, "rows", func() ([]plan.Row, error) { return x.Index.Rows(ctx, ids) })
}

func (x *faultyIndex) RowsIn(ctx context.Context, box mail.BoxID) ([]plan.Row, error) {
	return read(x.f, "rows in", func() ([]plan.Row, error) { return x.Index.RowsIn(ctx, box) })
}

func (x *faultyIndex) RowsByState(ctx context.Context, states ...plan.RowState) ([]plan.Row, error) {
	return read(x.f, "rows by state", func() ([]plan.Row, error) { return x.Index.RowsByState(ctx, states...) })
}

func (x *faultyIndex) Counts(ctx context.Context) (map[mail.BoxID]int, error) {
	return read(x.f, "counts", func() (map[mail.BoxID]int, error) { return x.Index.Counts(ctx) })
}

func (x *faultyIndex) Intents(ctx context.Context) ([]plan.Intent, error) {
	return read(x.f, "intents", func() ([]plan.Intent, error) { return x.Index.Intents(ctx) })
}

func (x *faultyIndex) Pending(ctx context.Context) ([]plan.Pending, error) {
	return read(x.f, "pending", func() ([]plan.Pending, error) { return x.Index.Pending(ctx) })
}

func (x *faultyIndex) Held(ctx context.Context) ([]plan.Held, error) {
	return read(x.f, "held", func() ([]plan.Held, error) { return x.Index.Held(ctx) })
}

func (x *faultyIndex) Declines(ctx context.Context) ([]plan.Decline, error) {
	return read(x.f, "declines", func() ([]plan.Decline, error) { return x.Index.Declines(ctx) })
}

func (x *faultyIndex) Losses(ctx context.Context) ([]plan.LossRecord, error) {
	return read(x.f, "losses", func() ([]plan.LossRecord, error) { return x.Index.Losses(ctx) })
}

func (x *faultyIndex) Begin(ctx context.Context, in []plan.Intent) error {
	return x.f.around("index begin", func() error { return x.Index.Begin(ctx, in) })
}

func (x *faultyIndex) Settle(ctx context.Context, s *plan.Settlement) error {
	return x.f.around("index settle", func() error { return x.Index.Settle(ctx, s) })
}

// FaultyKeeper makes every Keep a step of f.
func FaultyKeeper(inner engine.Keeper, f *Faults) engine.Keeper { return &faultyKeeper{inner, f} }

type faultyKeeper struct {
	inner engine.Keeper
	f     *Faults
}

func (k *faultyKeeper) Keep(ctx context.Context, what engine.Kept, want mail.Identity, body io.Reader) error {
	return k.f.around("keep", func() error { return k.inner.Keep(ctx, what, want, body) })
}
