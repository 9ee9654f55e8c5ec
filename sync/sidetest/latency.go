package sidetest

import (
	"context"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Latency counts the calls to a side, each of which costs one round trip over
// a distance of Trip. Nobody waits for it. It is safe for concurrent use.
type Latency struct {
	Trip time.Duration

	mu    sync.Mutex
	calls map[string]int
}

// Delayed counts the calls to inner. A batch costs one round trip for Commit,
// none for what is added. It is an engine.Rooted if inner is one.
func Delayed(inner engine.Writer, l *Latency) engine.Writer {
	return withRoot(&delayed{wrapped{inner, l.around}, l}, inner, l.around)
}

func (l *Latency) around(call string, effect func() error) error {
	l.mu.Lock()
	if l.calls == nil {
		l.calls = map[string]int{}
	}
	l.calls[call]++
	l.mu.Unlock()
	return effect()
}

// Calls is how often call was made ("survey", "scan", …).
func (l *Latency) Calls(call string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[call]
}

// Trips is the number of all round trips.
func (l *Latency) Trips() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, calls := range l.calls {
		n += calls
	}
	return n
}

// Elapsed is the time that the round trips would have taken, one after the other.
func (l *Latency) Elapsed() time.Duration { return time.Duration(l.Trips()) * l.Trip }

type delayed struct {
	wrapped
	l *Latency
}

func (d *delayed) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	inner, err := d.Writer.Put(ctx, box)
	if err != nil {
		return nil, err
	}
	return &delayedBatch{inner, d.l}, nil
}

type delayedBatch struct {
	engine.Batch
	l *Latency
}

func (b *delayedBatch) Commit(ctx context.Context) (placed []plan.Placed, err error) {
	err = b.l.around("commit", func() error {
		placed, err = b.Batch.Commit(ctx)
		return err
	})
	return placed, err
}
