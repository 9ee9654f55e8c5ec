package engine_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A denying side takes no message at all, and does not say so before it is
// given one, as a server without ACL does.
type denying struct{ engine.Writer }

type denyingBatch struct{ tags []int }

func (d denying) Put(context.Context, mail.BoxID) (engine.Batch, error) { return &denyingBatch{}, nil }

func (b *denyingBatch) Add(_ context.Context, in plan.Incoming) error {
	b.tags = append(b.tags, in.Tag)
	return nil
}

func (b *denyingBatch) Commit(context.Context) ([]plan.Placed, error) {
	var out []plan.Placed
	for _, tag := range b.tags {
		out = append(out, plan.Placed{Tag: tag, Err: fmt.Errorf("NOPERM: %w", mail.ErrDenied)})
	}
	return out, nil
}

func (b *denyingBatch) Abort() {}

func TestDeniedMessageIsToldOnceAndLeft(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 1, 3)
	w.local.Deliver("INBOX", letter(9), mail.FlagSet{}, day)
	deny := func(o *engine.Options) { o.Remote = denying{o.Remote} }
	rep := w.run(t, deny)
	need(t, rep.Exit() == 0 && rep.Declined == 1, "exit %d, %d declined: %v %v", rep.Exit(), rep.Declined, rep.Faults, w.actions())
	need(t, len(w.actions()) == 1, "not told once: %v", w.actions())
	before := w.index.Writes()
	rep = w.run(t, deny)
	need(t, rep.Exit() == 0 && len(w.actions()) == 0, "told again: exit %d %v", rep.Exit(), w.actions())
	w.run(t, deny)
	need(t, w.index.Writes()-before <= 1, "the index was written %d times", w.index.Writes()-before)
	need(t, find(w.local, "INBOX", 9) != "" && find(w.remote, "INBOX", 9) == "", "the message did not stay where it was")
}

// A message that is gone from both sides when an old index, or an old
// Maildir, makes the account adopt, is forgotten in that run.
func TestAdoptionForgetsWhatBothSidesLack(t *testing.T) {
	w := newWorld()
	w.fill(t, "INBOX", 1, 5)
	w.local.Expunge("INBOX", find(w.local, "INBOX", 2))
	w.remote.Expunge("INBOX", find(w.remote, "INBOX", 2))
	w.opts.Bound = "another@server"
	rep := w.run(t)
	need(t, rep.Exit() == 0 && rep.Messages == 4, "exit %d, %d messages are bound, want 4", rep.Exit(), rep.Messages)
	w.agree(t)
}
