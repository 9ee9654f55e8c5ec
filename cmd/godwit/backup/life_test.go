package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A vault is a server's account that is backed up by the engine.
type vault struct {
	t      *testing.T
	rand   *rand.Rand
	server *sidetest.Memory
	index  *sidetest.MemoryIndex
	a      *archive.Archive
	now    time.Time
	count  int
	then   map[int64]sidetest.Snapshot // by complete generation, what the server had
}

func (v *vault) must(err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *vault) reopen(dir string) {
	if v.a != nil {
		v.must(v.a.Close())
	}
	a, err := archive.Open(v.t.Context(), archive.Options{Dir: dir, NoSync: true, Clock: func() time.Time { return v.now }})
	v.must(err)
	v.a = a
	v.t.Cleanup(func() { _ = a.Close() })
}

// A cutter stops a backup at one of its effects.
type cutter struct {
	*archive.Recording
	left int
	stop func()
}

func (c *cutter) cut() {
	if c.left--; c.left == 0 {
		c.stop()
	}
}

func (c *cutter) Create(ctx context.Context, name mail.MailboxName) (plan.Box, error) {
	c.cut()
	return c.Recording.Create(ctx, name)
}

func (c *cutter) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) {
	c.cut()
	return c.Recording.Put(ctx, box)
}

func (c *cutter) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	c.cut()
	return c.Recording.Do(ctx, ops, done)
}

// backUp makes a backup; cut ends it at one of its effects.
func (v *vault) backUp(cut int) (*backup.Result, error) {
	ctx, stop := context.WithCancel(v.t.Context())
	defer stop()
	v.now = v.now.Add(6 * time.Hour)
	r, err := v.a.Begin(v.t.Context())
	v.must(err)
	server := v.server.Open()
	defer server.Close()
	res, err := backup.Run(ctx, backup.Options{
		Account: "me", Archive: &cutter{r, cut, stop}, Server: server, Index: v.index, Bound: "me@server", Chunk: 3,
		Scope: func(mail.MailboxName, mail.Role) bool { return true }, Clock: func() time.Time { return v.now },
	})
	v.must(v.index.CheckConsistency())
	return res, err
}

var boxNames = []mail.MailboxName{"INBOX", "Work", "Work/Deep", "Sent", "Räksmörgås"}

func (v *vault) live() {
	name := boxNames[v.rand.IntN(len(boxNames))]
	list := v.server.Snapshot()[name]
	one := func() mail.Ref { return list[v.rand.IntN(len(list))].Ref }
	switch k := v.rand.IntN(24); {
	case k == 0:
		v.server.CreateBox(name)
	case k == 1:
		v.server.RenameBox(name, boxNames[v.rand.IntN(len(boxNames))])
	case k == 2 && name != mail.Inbox:
		v.server.DeleteBox(name)
	case k == 3:
		v.server.ResetEpoch(name)
	case k < 12 || len(list) == 0:
		v.count++
		body := fmt.Sprintf("From: a@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\nHello\r\n", v.count, v.count)
		v.server.CreateBox(name)
		v.server.Deliver(name, body, mail.FlagSet{}, v.now.Add(time.Duration(v.count)*time.Second))
	case k < 17:
		flags := [][]mail.Flag{{}, {mail.Seen}, {mail.Seen, mail.Flagged}, {"$Forwarded", "todo"}}
		v.server.SetFlags(name, one(), mail.NewFlagSet(flags[v.rand.IntN(len(flags))]...))
	case k < 20:
		if to := boxNames[v.rand.IntN(len(boxNames))]; to != name {
			v.server.CreateBox(to)
			v.server.Move(name, one(), to, false)
		}
	default:
		v.server.Expunge(name, one())
	}
}

// TestALifeInTheArchive leads a random life on a server, with a backup into a
// real archive now and then, some of them cut short. Every complete generation
// shows, bytes, flags and dates, what the server had then; a backup of what
// did not change makes none; and when the index of the backups is lost the
// next one reads no message again, and doubles none.
func TestALifeInTheArchive(t *testing.T) {
	for _, seed := range []uint64{3, 4, 30} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			v := &vault{
				t: t, rand: rand.New(rand.NewPCG(seed, 3)), server: sidetest.NewMemory(sidetest.Server), index: sidetest.NewMemoryIndex(),
				now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), then: map[int64]sidetest.Snapshot{},
			}
			dir := filepath.Join(t.TempDir(), "archive")
			v.reopen(dir)
			for range 40 {
				for range v.rand.IntN(10) {
					v.live()
				}
				cut := 0
				if v.rand.IntN(3) == 0 {
					cut = 1 + v.rand.IntN(5)
				}
				v.night(cut)
				if v.rand.IntN(8) == 0 {
					v.reopen(dir)
				}
			}
			v.night(0)
			v.indexLost()
			v.check()
		})
	}
}

// night backs up, once if that is cut, else until the backup is complete: a
// mailbox that vanished is believed when it is looked for a second time.
func (v *vault) night(cut int) {
	made, why := false, ""
	for range 3 {
		res, err := v.backUp(cut)
		if cut > 0 && errors.Is(err, context.Canceled) {
			return
		}
		v.must(err)
		if g := res.Generation; g != nil && g.Complete {
			v.then[g.Number], made = v.server.Snapshot(), true
		}
		if res.Complete {
			v.settled(made)
			return
		}
		why = res.Why
	}
	v.t.Fatalf("three backups in a row are not complete: %s", why)
}

// settled checks that the newest complete generation is what the server has,
// and that one more backup makes none.
func (v *vault) settled(made bool) {
	latest, err := v.a.Latest(v.t.Context())
	v.must(err)
	if d := sidetest.Compare(v.then[latest.Number], v.server.Snapshot()); d != "" {
		v.t.Fatalf("generation %d, made now %v, is not what the server has:\n%s", latest.Number, made, d)
	}
	if res, err := v.backUp(0); err != nil || !res.Complete || res.Generation != nil {
		v.t.Fatalf("nothing changed, and a backup makes %+v, complete %v, %v", res.Generation, res.Complete, err)
	}
}

// indexLost backs up with a new index.
func (v *vault) indexLost() {
	v.index = sidetest.NewMemoryIndex()
	res, err := v.backUp(0)
	v.must(err)
	if !res.Complete || res.Report.Copied[plan.Local] > 0 || res.Generation != nil {
		v.t.Errorf("complete is %v (%s), %d messages were copied again, made was %+v", res.Complete, res.Why, res.Report.Copied[plan.Local], res.Generation)
	}
}

func (v *vault) check() {
	list, err := v.a.Generations(v.t.Context())
	v.must(err)
	complete := 0
	for _, g := range list {
		want, told := v.then[g.Number]
		if g.Complete != told {
			v.t.Errorf("generation %d is complete: %v", g.Number, g.Complete)
		}
		if !g.Complete {
			continue
		}
		complete++
		if d := sidetest.Compare(want, contents(v.t, v.a.View(g.Number))); d != "" {
			v.t.Errorf("generation %d, first what the server had:\n%s", g.Number, d)
		}
		if asOf, err := v.a.AsOf(v.t.Context(), g.Ended.Add(time.Minute)); err != nil || asOf.Number != g.Number {
			v.t.Errorf("as of the end of generation %d: %d, %v", g.Number, asOf.Number, err)
		}
	}
	if complete < 10 || complete == len(list) {
		v.t.Errorf("%d of %d generations are complete: the test shows little", complete, len(list))
	}
}

// contents reads all that a side holds.
func contents(t *testing.T, side engine.Writer) sidetest.Snapshot {
	t.Helper()
	boxes, err := side.Survey(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	out := sidetest.Snapshot{}
	for _, b := range boxes {
		if b.Container {
			continue
		}
		side.Bind(map[mail.BoxID]mail.MailboxName{1: b.Name})
		out[b.Name] = []sidetest.Message{}
		var refs []mail.Ref
		if _, err := side.Scan(t.Context(), 1, plan.Since{}, func(s plan.Seen) error {
			refs = append(refs, s.Ref)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := side.Fetch(t.Context(), 1, refs, func(ref mail.Ref, item mail.Item, body io.Reader) error {
			text, err := io.ReadAll(body)
			out[b.Name] = append(out[b.Name], sidetest.Message{Ref: ref, Body: text, Flags: item.Flags, Date: item.Date})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}
