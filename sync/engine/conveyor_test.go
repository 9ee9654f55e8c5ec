package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// conveyed watches how messages are carried from one side to the other.
type conveyed struct {
	mu       sync.Mutex
	log      []string // announced and asked for, in order
	alive    int      // batches that are neither committed nor thrown away
	most     int
	commits  int
	failing  int // which commit fails, counted from 1
	fault    error
	onAdd    func(n int)
	adds     int
	breaking int // after how many messages the first fetch breaks off
}

type watchedFrom struct {
	engine.Writer
	c *conveyed
}

func (w *watchedFrom) ExpectScans([]plan.Expected) {}

func (w *watchedFrom) ExpectResolves([]plan.Intent) {}

func (w *watchedFrom) ExpectFetch(box mail.BoxID, refs []mail.Ref) {
	w.c.log = append(w.c.log, fmt.Sprintf("expect %d of %d", len(refs), box))
}

func (w *watchedFrom) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	w.c.log = append(w.c.log, fmt.Sprintf("fetch %d of %d", len(refs), box))
	broken := errors.New("the connection broke")
	err := w.Writer.Fetch(ctx, box, refs, func(ref mail.Ref, it mail.Item, r io.Reader) error {
		if w.c.breaking--; w.c.breaking == 0 {
			return broken
		}
		return each(ref, it, r)
	})
	return err
}

type watchedTo struct {
	engine.Writer
	engine.Rooted
	c *conveyed
}

func (c *conveyed) to(w engine.Writer) engine.Writer { return &watchedTo{w, w.(engine.Rooted), c} }

func (w *watchedTo) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	b, err := w.Writer.Put(ctx, box)
	if err != nil {
		return nil, err
	}
	w.c.mu.Lock()
	defer w.c.mu.Unlock()
	w.c.alive++
	w.c.most = max(w.c.most, w.c.alive)
	return &watchedBatch{b, w.c, sync.Once{}}, nil
}

type watchedBatch struct {
	engine.Batch
	c    *conveyed
	over sync.Once
}

func (b *watchedBatch) Add(ctx context.Context, in plan.Incoming) error {
	b.c.adds++
	if b.c.onAdd != nil {
		b.c.onAdd(b.c.adds)
	}
	return b.Batch.Add(ctx, in)
}

func (b *watchedBatch) end() {
	b.c.mu.Lock()
	defer b.c.mu.Unlock()
	b.c.alive--
}

func (b *watchedBatch) Commit(ctx context.Context) ([]plan.Placed, error) {
	defer b.over.Do(b.end)
	b.c.commits++
	if b.c.commits != b.c.failing {
		return b.Batch.Commit(ctx)
	}
	ended, cancel := context.WithCancelCause(ctx)
	cancel(b.c.fault)
	placed, _ := b.Batch.Commit(ended)
	for i := range placed {
		placed[i].Err = b.c.fault
	}
	return placed, b.c.fault
}

func (b *watchedBatch) Abort() {
	b.over.Do(b.end)
	b.Batch.Abort()
}

// convey runs once in chunks of three.
func (w *world) convey(c *conveyed) (*engine.Report, error) {
	return w.try(func(o *engine.Options) {
		o.ChunkMessages = 3
		o.Remote, o.Local = &watchedFrom{o.Remote, c}, c.to(o.Local)
	})
}

// flooded is a world with ten new letters in INBOX and four in Work.
func flooded(t *testing.T) *world {
	w := newWorld()
	w.remote.CreateBox("Work")
	w.run(t)
	for n := range 10 {
		w.remote.Deliver("INBOX", letter(n), mail.FlagSet{}, day)
	}
	for n := range 4 {
		w.remote.Deliver("Work", letter(20+n), mail.FlagSet{}, day)
	}
	return w
}

// A mailbox is asked for once, however many chunks it is; the next is
// announced before; no more than two batches are alive.
func TestOneFetchAMailbox(t *testing.T) {
	w, c := flooded(t), &conveyed{}
	rep, err := w.convey(c)
	need(t, err == nil && rep.Copied[plan.Local] == 14, "copied %v: %v", rep.Copied, err)
	want := []string{"expect 4 of 2", "fetch 10 of 1", "fetch 4 of 2"}
	need(t, slices.Equal(c.log, want), "%q", c.log)
	need(t, c.most <= 2 && c.alive == 0 && c.commits == 6, "%d batches at once, %d left, %d committed", c.most, c.alive, c.commits)
	w.agree(t)
}

// The actions of one chunk are told together, and in the order of arrival.
func TestActionsInOrderOfChunks(t *testing.T) {
	w, c := flooded(t), &conveyed{}
	_, err := w.convey(c)
	need(t, err == nil, "%v", err)
	var got []string
	for _, e := range w.events {
		if e.Kind == engine.Action {
			got = append(got, letterOf(e.Digest))
		}
	}
	var want []string
	for n := range 14 {
		if n >= 10 {
			n += 10
		}
		want = append(want, fmt.Sprintf("(letter %d)", n))
	}
	need(t, slices.Equal(got, want), "%q", got)
}

// What a broken connection left undone is asked for again, once; what had
// arrived is not.
func TestFetchBreaksInALaterChunk(t *testing.T) {
	w, c := flooded(t), &conveyed{breaking: 6}
	rep, err := w.convey(c)
	need(t, err == nil && rep.Exit() == 0 && rep.Copied[plan.Local] == 14, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, err)
	want := []string{"expect 4 of 2", "fetch 10 of 1", "fetch 5 of 1", "fetch 4 of 2"}
	need(t, slices.Equal(c.log, want), "%q", c.log)
	w.agree(t)
}

// A message that cannot be read stops nobody, in whichever chunk.
func TestUnreadableInEveryChunk(t *testing.T) {
	w, c := flooded(t), &conveyed{}
	for _, n := range []int{1, 5, 9} {
		w.remote.Break("INBOX", find(w.remote, "INBOX", n), sidetest.ErrBroken)
	}
	rep, err := w.convey(c)
	need(t, err == nil && rep.Exit() == 1 && rep.Copied[plan.Local] == 11, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, err)
	for _, n := range []int{1, 5, 9} {
		w.remote.Break("INBOX", find(w.remote, "INBOX", n), nil)
	}
	need(t, w.run(t).Copied[plan.Local] == 3, "not tried again")
	w.agree(t)
}

// When the run is told to stop, what has arrived is committed and recorded:
// the chunk that is being committed, and the one that is being filled.
func TestStoppedInALaterChunk(t *testing.T) {
	w := flooded(t)
	ctx, stop := context.WithCancel(t.Context())
	c := &conveyed{onAdd: func(n int) {
		if n == 6 {
			stop()
		}
	}}
	o := w.opts
	o.Local, o.Remote, o.Index, o.Keeper = c.to(w.local.Open()), &watchedFrom{w.remote.Open(), c}, w.index, w.kept
	o.Scope = func(mail.MailboxName, mail.Role) bool { return true }
	o.Clock, o.ChunkMessages = func() time.Time { return w.now }, 3
	_, err := engine.Run(ctx, o)
	need(t, errors.Is(err, context.Canceled), "%v", err)
	here := len(w.local.Snapshot()["INBOX"])
	intents, _ := w.index.Intents(t.Context())
	need(t, here == 5 && len(w.index.AllRows()) == here && len(intents) == 0 && c.alive == 0,
		"%d messages here, %d rows, %d intents, %d batches alive", here, len(w.index.AllRows()), len(intents), c.alive)
	need(t, w.run(t).Copied[plan.Local] == 9, "not gone on with")
	w.agree(t)
}

// A commit that fails (the disk is full) is told, and concerns its messages;
// one that fails for the whole account lets nothing else be seen.
func TestCommitFailsInALaterChunk(t *testing.T) {
	full := errors.New("no space left on device")
	for grade, copied := range map[mail.Grade]int{mail.GradeMailbox: 11, mail.GradeAccount: 3} {
		w, c := flooded(t), &conveyed{failing: 2, fault: mail.NewFault(grade, mail.ClassLocal, full, "")}
		rep, err := w.convey(c)
		need(t, (err != nil) == (grade == mail.GradeAccount) && rep.Exit() == 1, "exit %d: %v", rep.Exit(), err)
		need(t, w.local.Snapshot().Messages() == copied && c.alive == 0, "%d here, %d alive", w.local.Snapshot().Messages(), c.alive)
		need(t, w.run(t).Copied[plan.Local] == 14-copied, "not tried again")
		w.agree(t)
	}
}
