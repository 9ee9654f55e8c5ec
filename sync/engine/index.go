package engine

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// An Index remembers an account between runs. One run at a time uses it. A
// failed write is an account fault: the run stops before any further effect.
type Index interface {
	// Meta returns all values that were set by Settlement.Meta.
	Meta(ctx context.Context) (map[string]string, error)
	// Boxes returns all mailbox pairs, with Known counted.
	Boxes(ctx context.Context) ([]plan.BoxRecord, error)
	// Known yields what is bound at side in box.
	Known(ctx context.Context, side plan.Side, box mail.BoxID, yield func(plan.Known) error) error
	// KnownAt yields of that what is bound at these refs, and returns how many
	// are bound at side in box altogether. It costs what is asked for.
	KnownAt(ctx context.Context, side plan.Side, box mail.BoxID, refs []mail.Ref, yield func(plan.Known) error) (bound int, err error)
	// Rows returns the rows with these IDs, in the order of their IDs; one
	// that does not exist is left out.
	Rows(ctx context.Context, ids []int64) ([]plan.Row, error)
	// RowsIn returns all rows bound in a mailbox on either side.
	RowsIn(ctx context.Context, box mail.BoxID) ([]plan.Row, error)
	// RowsByState returns all rows that are in one of these states.
	RowsByState(ctx context.Context, states ...plan.RowState) ([]plan.Row, error)
	// Counts returns the number of rows bound in each mailbox, on either side.
	Counts(ctx context.Context) (map[mail.BoxID]int, error)
	// Intents returns all open intents, oldest first.
	Intents(ctx context.Context) ([]plan.Intent, error)
	// Pending, Held, Losses, Declines return what the settlements left.
	Pending(ctx context.Context) ([]plan.Pending, error)
	Held(ctx context.Context) ([]plan.Held, error)
	Declines(ctx context.Context) ([]plan.Decline, error)
	// Losses returns the deletions of the rolling window.
	Losses(ctx context.Context) ([]plan.LossRecord, error)

	// Begin makes intents durable before it returns, and fills in their IDs.
	Begin(ctx context.Context, in []plan.Intent) error
	// Settle writes a settlement in one transaction, durable unless it is Loose.
	Settle(ctx context.Context, s *plan.Settlement) error
}
