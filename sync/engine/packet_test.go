package engine_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// written is a world with ten new letters in INBOX and four in Work, here.
func written(t *testing.T) *world {
	w := newWorld()
	w.remote.CreateBox("Work")
	w.run(t)
	for n := range 10 {
		w.local.Deliver("INBOX", letter(n), mail.FlagSet{}, day)
	}
	for n := range 4 {
		w.local.Deliver("Work", letter(20+n), mail.FlagSet{}, day)
	}
	return w
}

// sendingWatch watches what is read and sent.
type sendingWatch struct {
	engine.Writer
	log   []string
	sizes map[mail.Ref]int64 // that a scan tells
	was   mail.Identity      // that a scan tells of each new message, if it is known
	onAdd func(n int)
	saw   func(in plan.Incoming) // each Add
	adds  int
	fault func(n int) error // of the n-th Add
}

func (w *sendingWatch) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	return w.Writer.Scan(ctx, box, since, func(s plan.Seen) error {
		if size, ok := w.sizes[s.Ref]; ok {
			s.Item.Ident.Size = size
		}
		if w.was.Level() > mail.LevelNone {
			s.Item.Ident = w.was
		}
		return yield(s)
	})
}

func (w *sendingWatch) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	w.log = append(w.log, fmt.Sprintf("identify %d", len(refs)))
	return w.Writer.Identify(ctx, box, refs, level, yield)
}

func (w *sendingWatch) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	w.log = append(w.log, fmt.Sprintf("fetch %d", len(refs)))
	return w.Writer.Fetch(ctx, box, refs, each)
}

func (w *sendingWatch) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	b, err := w.Writer.Put(ctx, box)
	return &sendingBatch{b, w}, err
}

type sendingBatch struct {
	engine.Batch
	w *sendingWatch
}

func (b *sendingBatch) Add(ctx context.Context, in plan.Incoming) error {
	b.w.adds++
	if b.w.onAdd != nil {
		b.w.onAdd(b.w.adds)
	}
	if b.w.saw != nil {
		b.w.saw(in)
	}
	if b.w.fault != nil {
		if err := b.w.fault(b.w.adds); err != nil {
			return err
		}
	}
	return b.Batch.Add(ctx, in)
}

// push runs once in chunks of eight, packets of two.
func (w *world) push(ctx context.Context, local, remote *sendingWatch) (*engine.Report, error) {
	o := w.opts
	local.Writer, remote.Writer = w.local.Open(), w.remote.Open()
	o.Local, o.Remote, o.Index, o.Keeper = &rootedWatch{local, local.Writer.(engine.Rooted)}, remote, w.index, w.kept
	o.Scope = func(mail.MailboxName, mail.Role) bool { return true }
	w.events = nil
	o.Observer = func(e engine.Event) { w.events = append(w.events, e) }
	o.Clock, o.ChunkMessages = func() time.Time { return w.now }, 8
	return engine.Run(ctx, o)
}

type rootedWatch struct {
	*sendingWatch
	engine.Rooted
}

// A message that is sent is read once, whatever it is copied for; one
// transaction stands before a packet, and one is for all that is left.
func TestAMessageIsReadOnceToBeSent(t *testing.T) {
	w, local, remote := written(t), &sendingWatch{}, &sendingWatch{}
	before := w.index.Writes()
	rep, err := w.push(t.Context(), local, remote)
	need(t, err == nil && rep.Exit() == 0 && rep.Copied[plan.Remote] == 14, "copied %v: %v", rep.Copied, err)
	need(t, slices.Equal(local.log, []string{"fetch 10", "fetch 4"}), "%q", local.log)
	if n := w.index.Writes() - before; n > 5+2+3 {
		t.Errorf("%d transactions for seven packets", n)
	}
	w.agree(t)
}

// A large message is digested, and then read as it is sent: so is one of which the
// scan told another size.
func TestLargeMessagesAreNotHeld(t *testing.T) {
	for _, told := range []int64{0, 10} {
		w, local, remote := written(t), &sendingWatch{sizes: map[mail.Ref]int64{}}, &sendingWatch{}
		ref := w.local.Deliver("INBOX", letter(30)+strings.Repeat(strings.Repeat("x", 998)+"\r\n", 1200), mail.FlagSet{}, day)
		for n := range 3 {
			w.local.Deliver("INBOX", letter(40+n), mail.FlagSet{}, day)
		}
		if told != 0 {
			local.sizes[ref] = told
		}
		rep, err := w.push(t.Context(), local, remote)
		need(t, err == nil && rep.Exit() == 0 && rep.Copied[plan.Remote] == 18, "copied %v: %v", rep.Copied, err)
		want := []string{"fetch 10", "identify 1", "fetch 1", "fetch 3", "fetch 4"}
		if told != 0 {
			want = []string{"fetch 14", "fetch 4", "identify 1", "fetch 1"}
		}
		need(t, slices.Equal(local.log, want), "%q", local.log)
		for _, msg := range w.remote.Snapshot()["INBOX"] {
			need(t, len(msg.Body) < 2000 || len(msg.Body) > 1200_000, "%d bytes arrived", len(msg.Body))
		}
		w.agree(t)
	}
}

// A message that was written anew since it was looked at is sent as it is, and
// the intent and the row tell of what was sent.
func TestAMessageChangedSinceItWasScanned(t *testing.T) {
	w := newWorld()
	w.run(t)
	w.local.Deliver("INBOX", letter(2), mail.FlagSet{}, day)
	was, err := mail.Identify(strings.NewReader(letter(1)))
	need(t, err == nil, "%v", err)
	is, err := mail.Identify(strings.NewReader(letter(2)))
	need(t, err == nil, "%v", err)
	rep, err := w.push(t.Context(), &sendingWatch{was: was}, &sendingWatch{saw: func(in plan.Incoming) {
		intents, err := w.index.Intents(t.Context())
		need(t, err == nil && len(intents) == 1 && intents[0].Item.Ident.Body == is.Body, "the intents are %+v: %v", intents, err)
		need(t, in.Body == nil || in.Item.Ident.Wire == sha256.Sum256(in.Body), "the bytes are told to be others")
	}})
	need(t, err == nil && rep.Exit() == 0 && rep.Copied[plan.Remote] == 1, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, err)
	rows := w.index.AllRows()
	need(t, len(rows) == 1 && rows[0].Ident[plan.Remote].Body == is.Body, "%+v", rows)
}

// A message that cannot be read stops nobody, in whichever packet.
func TestUnreadableInEveryPacket(t *testing.T) {
	w := written(t)
	for _, n := range []int{1, 4, 9} {
		w.local.Break("INBOX", find(w.local, "INBOX", n), sidetest.ErrBroken)
	}
	rep, err := w.push(t.Context(), &sendingWatch{}, &sendingWatch{})
	need(t, err == nil && rep.Exit() == 1 && rep.Copied[plan.Remote] == 11, "exit %d, copied %v: %v", rep.Exit(), rep.Copied, err)
	for _, n := range []int{1, 4, 9} {
		w.local.Break("INBOX", find(w.local, "INBOX", n), nil)
	}
	need(t, w.run(t).Copied[plan.Remote] == 3, "not tried again")
	w.agree(t)
}

// When the run is told to stop no more is sent, and what was sent is recorded.
func TestStoppedInALaterPacket(t *testing.T) {
	w := written(t)
	ctx, stop := context.WithCancel(t.Context())
	_, err := w.push(ctx, &sendingWatch{}, &sendingWatch{onAdd: func(n int) {
		if n == 6 {
			stop()
		}
	}})
	need(t, errors.Is(err, context.Canceled), "%v", err)
	there := len(w.remote.Snapshot()["INBOX"])
	intents, _ := w.index.Intents(t.Context())
	need(t, there == 5 && len(w.index.AllRows()) == there && len(intents) == 0,
		"%d messages there, %d rows, %d intents", there, len(w.index.AllRows()), len(intents))
	need(t, w.run(t).Copied[plan.Remote] == 9, "not gone on with")
	w.agree(t)
}

// A mailbox that takes no more in the middle of a chunk is told of, and the other
// goes on; when the account can go no further, what was sent is recorded.
func TestSendingFailsInALaterPacket(t *testing.T) {
	for grade, copied := range map[mail.Grade]int{mail.GradeMailbox: 13, mail.GradeAccount: 3} {
		w := written(t)
		rep, err := w.push(t.Context(), &sendingWatch{}, &sendingWatch{fault: func(n int) error {
			if n == 4 {
				return mail.NewFault(grade, mail.ClassServer, errors.New("not now"), "")
			}
			return nil
		}})
		need(t, (err != nil) == (grade == mail.GradeAccount) && rep.Exit() == 1, "exit %d: %v", rep.Exit(), err)
		need(t, w.remote.Snapshot().Messages() == copied, "%d there", w.remote.Snapshot().Messages())
		need(t, w.run(t).Copied[plan.Remote] == 14-copied, "not tried again")
		w.agree(t)
	}
}
