package maildir

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A tap is a seam that counts calls, makes one fail, or does something to the
// tree at one of them.
type tap struct {
	mu    sync.Mutex
	n     int
	calls []tapped
	// hook is called before each call, with its number from 1.
	hook func(n int)

	only  []string // the calls that are counted for at, nil for all
	count int
	at    int // the call that fails, 0 for none
	mode  tapMode
	errno unix.Errno
	hit   string
	dead  bool
	// lasting makes every call after at fail that asks for room or a write.
	lasting bool
	always  bool // every call that only names, from at on, fails
	real    bool // syncs happen
}

type tapped struct{ call, path string }

// tapMode is how a call fails.
type tapMode string

const (
	failBefore tapMode = "fails before"
	failAfter  tapMode = "fails after"
	dieBefore  tapMode = "dies before"
	dieAfter   tapMode = "dies after"
)

// errDied is what every call of a process that died gives.
var errDied = errors.New("the process has died")

// mutating are the calls that change something on the disk.
var mutating = []string{"create", "create unnamed", "write", "truncate", "chmod", "rename", "link", "mkdir", "remove", "set the time of"}

// effects are those and the calls that make them last.
var effects = append(slices.Clone(mutating), "sync", "sync directory", "sync the file system of")

func (x *tap) seam(call, path string, do func() error) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.dead {
		return errDied
	}
	x.n++
	x.calls = append(x.calls, tapped{call, path})
	if x.hook != nil {
		x.hook(x.n)
	}
	now := false
	if x.only == nil || slices.Contains(x.only, call) {
		x.count++
		now = x.at == x.count || x.always && x.at > 0 && x.count > x.at
	}
	if now {
		x.hit = fmt.Sprintf("%s of %s %s (%v)", call, path, x.mode, x.errno)
	}
	switch {
	case now && x.mode == dieBefore:
		x.dead = true
		return errDied
	case now && x.mode == failBefore, x.lasting && x.at > 0 && x.count > x.at && needsRoom(call):
		return x.errno
	}
	var err error
	if x.real || !strings.HasPrefix(call, "sync") {
		err = do()
	}
	switch {
	case now && x.mode == dieAfter:
		x.dead = true
		return errDied
	case now && x.mode == failAfter && err == nil:
		return x.errno
	}
	return err
}

// needsRoom tells whether a full disk refuses a call.
func needsRoom(call string) bool {
	return slices.Contains([]string{"create", "create unnamed", "write", "mkdir", "sync"}, call)
}

func (x *tap) isDead() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dead
}

// changes are the calls that changed something.
func (x *tap) changes() (out []tapped) {
	for _, c := range x.calls {
		if slices.Contains(mutating, c.call) {
			out = append(out, c)
		}
	}
	return out
}

// A mortal server dies with the process of a tap: nothing reaches it then.
type mortal struct {
	engine.Writer
	x *tap
}

func (m mortal) alive() error {
	if m.x.isDead() {
		return mail.NewFault(mail.GradeAccount, mail.ClassLocal, errDied, "")
	}
	return nil
}

func (m mortal) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	if err := m.alive(); err != nil {
		return plan.Box{}, err
	}
	return m.Writer.Create(ctx, name)
}

func (m mortal) Rename(ctx context.Context, from, to mail.MailboxName) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Writer.Rename(ctx, from, to)
}

func (m mortal) Remove(ctx context.Context, name mail.MailboxName) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Writer.Remove(ctx, name)
}

func (m mortal) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	if err := m.alive(); err != nil {
		return nil, err
	}
	b, err := m.Writer.Put(ctx, box)
	return mortalBatch{b, m}, err
}

func (m mortal) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	if err := m.alive(); err != nil {
		return err
	}
	return m.Writer.Do(ctx, ops, done)
}

type mortalBatch struct {
	engine.Batch
	m mortal
}

func (b mortalBatch) Add(ctx context.Context, in plan.Incoming) error {
	if err := b.m.alive(); err != nil {
		return err
	}
	body, err := in.Open()
	if err != nil {
		return err
	}
	in.Open = func() (io.ReadCloser, error) { return mortalBody{body, b.m}, nil }
	return b.Batch.Add(ctx, in)
}

func (b mortalBatch) Commit(ctx context.Context) ([]plan.Placed, error) {
	if err := b.m.alive(); err != nil {
		return nil, err
	}
	return b.Batch.Commit(ctx)
}

// A mortalBody never ends well once the process has died.
type mortalBody struct {
	io.ReadCloser
	m mortal
}

func (b mortalBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if dead := b.m.alive(); dead != nil {
		return 0, dead
	}
	return n, err
}

// A mortalIndex is not written to any more once the process has died.
type mortalIndex struct {
	engine.Index
	m mortal
}

func (i mortalIndex) Begin(ctx context.Context, in []plan.Intent) error {
	if err := i.m.alive(); err != nil {
		return err
	}
	return i.Index.Begin(ctx, in)
}

func (i mortalIndex) Settle(ctx context.Context, s *plan.Settlement) error {
	if err := i.m.alive(); err != nil {
		return err
	}
	return i.Index.Settle(ctx, s)
}

// A collector keeps what is deleted, by digest.
type collector struct {
	t    *testing.T
	kept map[mail.Digest]bool
}

func (k *collector) Keep(_ context.Context, _ engine.Kept, want mail.Identity, body io.Reader) error {
	id, err := mail.Identify(body)
	if err != nil {
		return err
	}
	if !want.Body.IsZero() && want.Body != id.Body {
		return errors.New("these are other bytes")
	}
	k.kept[id.Body] = true
	return nil
}
