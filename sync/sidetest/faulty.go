package sidetest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Faulty makes every step of a side one of f. An op of Do is a step of its
// own, and so is each message that Fetch hands over, that a batch takes, and,
// over a Memory, that Commit stores: there a commit can be torn. Steps are
// named after side, which may be "". It is an engine.Rooted if inner is one.
func Faulty(inner engine.Writer, f *Faults, side string) engine.Writer {
	around := func(call string, effect func() error) error {
		return f.around(strings.TrimSpace(side+" "+call), effect)
	}
	w := &faulty{wrapped: wrapped{inner, around}, f: f, side: side, names: map[mail.BoxID]mail.MailboxName{}}
	switch inner.(type) {
	case *session, rooted:
		w.tears = true
	}
	return withRoot(w, inner, around)
}

type faulty struct {
	wrapped
	f     *Faults
	side  string
	tears bool // every message of a batch is committed by itself
	names map[mail.BoxID]mail.MailboxName
}

func (w *faulty) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	maps.Copy(w.names, boxes)
	w.Writer.Bind(boxes)
}

// Scan is a step that is named after the mailbox.
func (w *faulty) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (end plan.Scanned, err error) {
	err = w.around("scan "+string(w.names[box]), func() error {
		end, err = w.Writer.Scan(ctx, box, since, yield)
		return err
	})
	return onlyIf(err, end), err
}

func (w *faulty) step(call string, effect func() error) (lost bool, err error) {
	return w.f.step(strings.TrimSpace(w.side+" "+call), effect)
}

// Fetch can fail as a whole, and at every message: before it, the body breaks
// off in its middle; after it, the connection does.
func (w *faulty) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	return w.around("fetch", func() error {
		return w.Writer.Fetch(ctx, box, refs, func(ref mail.Ref, item mail.Item, r io.Reader) error {
			given := false
			err := w.around("fetch "+string(ref), func() error {
				given = true
				return each(ref, item, r)
			})
			if err == nil || given {
				return err
			}
			broken := io.MultiReader(io.LimitReader(r, item.Ident.Size/2), failing{fmt.Errorf("%w: %w", mail.ErrShort, err)})
			if e := each(ref, item, broken); e != nil {
				return e
			}
			return err
		})
	})
}

// failing is a reader that gives nothing but its error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// Do carries out the ops one by one.
func (w *faulty) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	for i, op := range ops {
		var out []plan.Outcome
		var inner error
		lost, err := w.step("do "+op.Kind.String(), func() error {
			inner = w.Writer.Do(ctx, []plan.Op{op}, func(o []plan.Outcome) error {
				out = append(out, o...)
				return nil
			})
			return inner
		})
		if err != nil && (lost || len(out) == 0) {
			out = []plan.Outcome{{Tag: op.Tag, Result: plan.Failed, Err: err}}
			if lost {
				out[0].Result = plan.Uncertain
			}
		}
		for _, rest := range ops[i+1:] {
			if err != nil {
				out = append(out, plan.Outcome{Tag: rest.Tag, Result: plan.Failed, Err: err})
			}
		}
		if e := done(out); e != nil {
			return e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Put begins a batch whose every Add, and Commit, is a step.
func (w *faulty) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	b := &faultyBatch{w: w, box: box}
	err := w.around("put", func() error { return b.begin(ctx) })
	if err != nil {
		b.Abort()
		return nil, err
	}
	return b, nil
}

// A faultyBatch is made of one inner batch, or of one a message if it tears.
type faultyBatch struct {
	w      *faulty
	box    mail.BoxID
	inner  []engine.Batch
	tags   [][]int // what was added to each inner batch
	broken []plan.Placed
}

func (b *faultyBatch) begin(ctx context.Context) error {
	inner, err := b.w.Writer.Put(ctx, b.box)
	if err == nil {
		b.inner, b.tags = append(b.inner, inner), append(b.tags, nil)
	}
	return err
}

func (b *faultyBatch) Add(ctx context.Context, in plan.Incoming) error {
	last := len(b.inner) - 1
	if b.w.tears && len(b.tags[last]) > 0 {
		if err := b.begin(ctx); err != nil {
			return err
		}
		last++
	}
	lost, err := b.w.step("add", func() error { return b.inner[last].Add(ctx, in) })
	if err != nil {
		b.broken = append(b.broken, plan.Placed{Tag: in.Tag, Unknown: lost, Err: err})
		return err
	}
	b.tags[last] = append(b.tags[last], in.Tag)
	return nil
}

// Commit commits the inner batches in order. When one fails, it and all after
// it are Unknown: the caller cannot know how far it came.
func (b *faultyBatch) Commit(ctx context.Context) ([]plan.Placed, error) {
	out := b.broken
	var failed error
	for i, inner := range b.inner {
		if failed != nil {
			inner.Abort()
			out = append(out, b.unknown(i, failed)...)
			continue
		}
		var placed []plan.Placed
		var own error
		_, err := b.w.step("commit", func() error {
			placed, own = inner.Commit(ctx)
			return own
		})
		if err != nil && own == nil {
			inner.Abort()
			failed = err
			out = append(out, b.unknown(i, err)...)
			continue
		}
		out, failed = append(out, placed...), own
	}
	return out, failed
}

func (b *faultyBatch) unknown(i int, err error) []plan.Placed {
	var out []plan.Placed
	for _, tag := range b.tags[i] {
		out = append(out, plan.Placed{Tag: tag, Unknown: true, Err: err})
	}
	return out
}

func (b *faultyBatch) Abort() {
	for _, inner := range b.inner {
		inner.Abort()
	}
}
