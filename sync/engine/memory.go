package engine

import (
	"context"

	"github.com/godwit-mail/godwit/sync/plan"
)

// A Memory is what every run reads of the index before it looks at the sides.
// Whoever has to wait for a side can read it meanwhile.
type Memory struct {
	meta     map[string]string
	boxes    []plan.BoxRecord
	held     []plan.Held
	pending  []plan.Pending
	declines []plan.Decline
	losses   []plan.LossRecord
}

// Remember reads a Memory for one run. Nothing may write to the index from
// then until that run begins. Its errors are account faults.
func Remember(ctx context.Context, index Index) (*Memory, error) {
	var m Memory
	for _, read := range []func() error{
		func() (err error) { m.meta, err = index.Meta(ctx); return err },
		func() (err error) { m.boxes, err = index.Boxes(ctx); return err },
		func() (err error) { m.held, err = index.Held(ctx); return err },
		func() (err error) { m.pending, err = index.Pending(ctx); return err },
		func() (err error) { m.declines, err = index.Declines(ctx); return err },
		func() (err error) { m.losses, err = index.Losses(ctx); return err },
	} {
		if err := read(); err != nil {
			return nil, indexFault(err)
		}
	}
	return &m, nil
}
