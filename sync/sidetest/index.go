package sidetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// MemoryIndex is an engine.Index in memory. It outlives the runs that use it;
// what it returns and is given is never shared with it. It is safe for
// concurrent use.
type MemoryIndex struct {
	mu sync.Mutex
	tables
	writes int
}

// tables is all that a MemoryIndex remembers. Slices are ordered by ID, or by
// time of arrival where there is none.
type tables struct {
	rows       []plan.Row
	boxes      []plan.BoxRecord
	intents    []plan.Intent
	pending    []plan.Pending
	held       []plan.Held
	losses     []plan.LossRecord
	declines   []plan.Decline
	events     []plan.Event
	runs       []plan.RunRecord
	meta       map[string]string
	lastRow    int64
	lastBox    mail.BoxID
	lastIntent int64
}

// NewMemoryIndex makes an empty index.
func NewMemoryIndex() *MemoryIndex {
	return &MemoryIndex{tables: tables{meta: map[string]string{}}}
}

// clone copies the tables; everything in them is a value.
func (t *tables) clone() tables {
	c := *t
	c.rows, c.boxes = slices.Clone(t.rows), slices.Clone(t.boxes)
	c.intents, c.pending = slices.Clone(t.intents), slices.Clone(t.pending)
	c.held, c.losses = slices.Clone(t.held), slices.Clone(t.losses)
	c.declines, c.events = slices.Clone(t.declines), slices.Clone(t.events)
	c.runs, c.meta = slices.Clone(t.runs), maps.Clone(t.meta)
	return c
}

// Clone copies the index with all that is in it.
func (ix *MemoryIndex) Clone() *MemoryIndex {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return &MemoryIndex{tables: ix.tables.clone(), writes: ix.writes}
}

// Writes is the number of transactions that were written.
func (ix *MemoryIndex) Writes() int {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return ix.writes
}

// Events returns the whole event log.
func (ix *MemoryIndex) Events() []plan.Event {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return slices.Clone(ix.events)
}

// Runs returns the runs that were recorded.
func (ix *MemoryIndex) Runs() []plan.RunRecord {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return slices.Clone(ix.runs)
}

// AllRows returns all rows, in the order of their IDs.
func (ix *MemoryIndex) AllRows() []plan.Row {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return slices.Clone(ix.rows)
}

func (ix *MemoryIndex) Meta(ctx context.Context) (map[string]string, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return maps.Clone(ix.meta), ctx.Err()
}

func (ix *MemoryIndex) Boxes(ctx context.Context) ([]plan.BoxRecord, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	out := slices.Clone(ix.boxes)
	at := make(map[mail.BoxID]int, len(out))
	for i := range out {
		at[out[i].ID] = i
	}
	for i := range ix.rows {
		for _, side := range plan.Sides {
			if p := ix.rows[i].At[side]; !p.IsZero() {
				out[at[p.Box]].Side[side].Known++
			}
		}
	}
	return out, ctx.Err()
}

func (ix *MemoryIndex) Known(ctx context.Context, side plan.Side, box mail.BoxID, yield func(plan.Known) error) error {
	for _, k := range ix.known(side, box) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := yield(k); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (ix *MemoryIndex) KnownAt(ctx context.Context, side plan.Side, box mail.BoxID, refs []mail.Ref, yield func(plan.Known) error) (bound int, err error) {
	wanted := make(map[mail.Ref]bool, len(refs))
	for _, ref := range refs {
		wanted[ref] = true
	}
	err = ix.Known(ctx, side, box, func(k plan.Known) error {
		bound++
		if !wanted[k.Ref] {
			return nil
		}
		return yield(k)
	})
	return bound, err
}

func (ix *MemoryIndex) known(side plan.Side, box mail.BoxID) []plan.Known {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var out []plan.Known
	for i := range ix.rows {
		r := &ix.rows[i]
		if !r.At[side].IsZero() && r.At[side].Box == box {
			out = append(out, plan.Known{Row: r.ID, Ref: r.At[side].Ref, Flags: r.Flags[side], Stat: r.Stat})
		}
	}
	return out
}

// pick returns the rows for which want holds.
func (ix *MemoryIndex) pick(ctx context.Context, want func(*plan.Row) bool) ([]plan.Row, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	var out []plan.Row
	for i := range ix.rows {
		if want(&ix.rows[i]) {
			out = append(out, ix.rows[i])
		}
	}
	return out, ctx.Err()
}

func (ix *MemoryIndex) Rows(ctx context.Context, ids []int64) ([]plan.Row, error) {
	wanted := make(map[int64]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	return ix.pick(ctx, func(r *plan.Row) bool { return wanted[r.ID] })
}

func (ix *MemoryIndex) RowsIn(ctx context.Context, box mail.BoxID) ([]plan.Row, error) {
	return ix.pick(ctx, func(r *plan.Row) bool { return inBox(r, box) })
}

func inBox(r *plan.Row, box mail.BoxID) bool {
	for _, p := range r.At {
		if !p.IsZero() && p.Box == box {
			return true
		}
	}
	return false
}

func (ix *MemoryIndex) RowsByState(ctx context.Context, states ...plan.RowState) ([]plan.Row, error) {
	return ix.pick(ctx, func(r *plan.Row) bool { return slices.Contains(states, r.State) })
}

func (ix *MemoryIndex) Counts(ctx context.Context) (map[mail.BoxID]int, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	out := map[mail.BoxID]int{}
	for i := range ix.rows {
		at := ix.rows[i].At
		for _, side := range plan.Sides {
			other := at[side.Other()]
			if at[side].IsZero() || side == plan.Remote && !other.IsZero() && other.Box == at[side].Box {
				continue
			}
			out[at[side].Box]++
		}
	}
	return out, ctx.Err()
}

func (ix *MemoryIndex) Intents(ctx context.Context) ([]plan.Intent, error) {
	return copied(ctx, ix, &ix.intents)
}

func (ix *MemoryIndex) Pending(ctx context.Context) ([]plan.Pending, error) {
	return copied(ctx, ix, &ix.pending)
}

func (ix *MemoryIndex) Held(ctx context.Context) ([]plan.Held, error) {
	return copied(ctx, ix, &ix.held)
}

func (ix *MemoryIndex) Declines(ctx context.Context) ([]plan.Decline, error) {
	return copied(ctx, ix, &ix.declines)
}

func (ix *MemoryIndex) Losses(ctx context.Context) ([]plan.LossRecord, error) {
	return copied(ctx, ix, &ix.losses)
}

func copied[T any](ctx context.Context, ix *MemoryIndex, list *[]T) ([]T, error) {
	ix.mu.Lock()
	defer ix.mu.Unlock()
	return slices.Clone(*list), ctx.Err()
}

func (ix *MemoryIndex) Begin(ctx context.Context, in []plan.Intent) error {
	if err := ix.Settle(ctx, &plan.Settlement{Begin: in}); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return nil
}

// window is how long losses count for the guard.
const window = 24 * time.Hour

func (t *tables) endRun(r plan.RunRecord) {
	if r.ID == 0 {
		r.ID = 1
		if n := len(t.runs); n > 0 {
			r.ID = t.runs[n-1].ID + 1
		}
	}
	t.runs = append(t.runs, r)
	if r.Ended.IsZero() {
		return
	}
	t.losses = slices.DeleteFunc(t.losses, func(l plan.LossRecord) bool {
		return l.At.Before(r.Ended.Add(-window))
	})
}
