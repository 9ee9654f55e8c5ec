package sidetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// see scans INBOX of a new Side.
func see(t interface{ Fatalf(string, ...any) }, m *Memory, since plan.Since) (map[mail.Ref]plan.Seen, plan.Scanned) {
	w := m.Open()
	w.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	seen := map[mail.Ref]plan.Seen{}
	end, err := w.Scan(context.Background(), 1, since, func(s plan.Seen) error {
		seen[s.Ref] = s
		return nil
	})
	if err != nil {
		t.Fatalf("scan: %v", err)
	}
	return seen, end
}

func deliver(m *Memory, n int) mail.Ref {
	return m.Deliver(mail.Inbox, string(plain(n).body), mail.FlagSet{}, plain(n).date)
}

// actor does random things to a Memory.
type actor struct {
	m    *Memory
	next int
}

func (a *actor) refs() []mail.Ref {
	var refs []mail.Ref
	for _, msg := range a.m.Snapshot()[mail.Inbox] {
		refs = append(refs, msg.Ref)
	}
	return refs
}

func (a *actor) act(rt *rapid.T) {
	refs := a.refs()
	kind := rapid.IntRange(0, 8).Draw(rt, "kind")
	if len(refs) == 0 || kind == 0 {
		a.next++
		deliver(a.m, a.next)
		return
	}
	ref := rapid.SampledFrom(refs).Draw(rt, "ref")
	switch kind {
	case 1, 2:
		flags := rapid.SampledFrom([]mail.FlagSet{{}, mail.NewFlagSet(mail.Seen), mail.NewFlagSet("todo")}).Draw(rt, "flags")
		a.m.SetFlags(mail.Inbox, ref, flags)
	case 3:
		a.m.Expunge(mail.Inbox, ref)
	case 4:
		a.m.Move(mail.Inbox, ref, "Work", rapid.Bool().Draw(rt, "keep"))
	case 5:
		a.m.Copy(mail.Inbox, ref, mail.Inbox)
	case 6:
		a.m.Rekey(mail.Inbox, ref)
	case 7:
		for _, msg := range a.m.Snapshot()["Work"] {
			a.m.Move("Work", msg.Ref, mail.Inbox, true)
		}
	case 8:
		a.m.ResetEpoch(mail.Inbox)
	}
}

// Whatever happens between two scans, the second, from the cursor of the
// first, brings what was known up to date; and a survey that says Same is right.
func TestScansCatchUpWithAnything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := NewMemory(rapid.SampledFrom([]Kind{Server, Maildir}).Draw(rt, "kind"))
		m.Traits.QResync = rapid.Bool().Draw(rt, "qresync")
		m.Traits.CondStore = rapid.Bool().Draw(rt, "condstore")
		a := &actor{m: m}
		known, pos := map[mail.Ref]string{}, plan.Since{}
		for range 6 {
			for range rapid.IntRange(0, 6).Draw(rt, "acts") {
				a.act(rt)
			}
			boxes, err := m.Open().Survey(context.Background(), map[mail.MailboxName]plan.Since{mail.Inbox: pos})
			if err != nil {
				rt.Fatalf("survey: %v", err)
			}
			before := fmt.Sprint(known)
			seen, end := see(rt, m, pos)
			if end.Epoch != pos.Epoch {
				clear(known)
			}
			update(known, seen, end)
			want := map[mail.Ref]string{}
			for _, msg := range m.Snapshot()[mail.Inbox] {
				want[msg.Ref] = msg.Flags.String()
			}
			if fmt.Sprint(known) != fmt.Sprint(want) {
				rt.Fatalf("known %v, there is %v", known, want)
			}
			if boxes[0].State == plan.Same && before != fmt.Sprint(want) {
				rt.Fatalf("the survey says Same: known was %v, there is %v", before, want)
			}
			pos = plan.Since{Cursor: end.Cursor, Epoch: end.Epoch, Known: len(known)}
		}
	})
}

func TestARestlessMailboxIsNotComplete(t *testing.T) {
	m := NewMemory(Maildir)
	deliver(m, 1)
	deliver(m, 2)
	m.Restless(1)
	if seen, end := see(t, m, plan.Since{}); end.Complete || len(seen) != 1 {
		t.Errorf("complete %v, %d messages", end.Complete, len(seen))
	}
	if seen, end := see(t, m, plan.Since{}); !end.Complete || len(seen) != 2 {
		t.Errorf("then complete %v, %d messages", end.Complete, len(seen))
	}
}

func TestStatTellsWhatHappenedToAFile(t *testing.T) {
	m := NewMemory(Maildir)
	ref := deliver(m, 1)
	mark := func() string {
		seen, _ := see(t, m, plan.Since{})
		return seen[ref].Item.Stat
	}
	first := mark()
	m.SetFlags(mail.Inbox, ref, mail.NewFlagSet(mail.Seen))
	m.Move(mail.Inbox, ref, "Work", true)
	m.Move("Work", ref, mail.Inbox, true)
	if mark() != first {
		t.Error("a file that was renamed has another mark")
	}
	m.Touch(mail.Inbox, ref)
	touched := mark()
	m.Edit(mail.Inbox, ref, string(plain(1).body))
	if touched == first || mark() == touched {
		t.Errorf("marks %q, copied %q, edited %q", first, touched, mark())
	}
}

func TestARootIsRemovedAndRestored(t *testing.T) {
	ctx, m := context.Background(), NewMemory(Maildir)
	deliver(m, 1)
	if err := m.Open().(engine.Rooted).Stamp(ctx, "me", 7); err != nil {
		t.Fatal(err)
	}
	backup, before := m.Clone(), m.Snapshot()
	m.RemoveRoot()
	if root, err := m.Open().(engine.Rooted).Root(ctx); err != nil || root != (engine.Root{}) {
		t.Errorf("removed: %+v, %v", root, err)
	}
	if boxes, err := m.Open().Survey(ctx, nil); err != nil || len(boxes) != 0 {
		t.Errorf("removed: %v, %v", boxes, err)
	}
	m.Restore(backup)
	want := engine.Root{Exists: true, Marked: true, Mail: true, Instance: "me", Runs: 7}
	if root, err := m.Open().(engine.Rooted).Root(ctx); err != nil || root != want {
		t.Errorf("restored: %+v, %v", root, err)
	}
	if diff := Compare(before, m.Snapshot()); diff != "" {
		t.Errorf("restored:\n%s", diff)
	}
}

func TestRightsAreDeclined(t *testing.T) {
	ctx, m := context.Background(), NewMemory(Server)
	ref := deliver(m, 1)
	m.CreateBox("Work")
	m.SetRights(mail.Inbox, plan.ReadOnly)
	w := m.Open()
	w.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox, 2: "Work"})
	at := plan.Place{Box: 1, Ref: ref}
	err := w.Do(ctx, []plan.Op{
		{Kind: plan.OpFlags, From: at, Add: mail.NewFlagSet(mail.Seen)}, {Kind: plan.OpMove, From: at, To: 2}, {Kind: plan.OpDelete, From: at},
	}, func(out []plan.Outcome) error {
		if out[0].Result != plan.Declined {
			t.Errorf("it is %s", out[0].Result)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Put(ctx, 1); err == nil {
		t.Error("it takes messages")
	}
	if boxes, _ := w.Survey(ctx, nil); boxes[0].Rights != plan.ReadOnly {
		t.Errorf("the survey shows %+v", boxes[0].Rights)
	}
}

func TestTraitsOfPut(t *testing.T) {
	ctx := context.Background()
	put := func(m *Memory, l letter) plan.Placed {
		t.Helper()
		w := m.Open()
		w.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
		batch, err := w.Put(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := batch.Add(ctx, l.incoming(0)); err != nil {
			t.Fatal(err)
		}
		placed, err := batch.Commit(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return placed[0]
	}
	dedup := NewMemory(Server)
	dedup.Traits.Dedup = true
	if a, b := put(dedup, plain(1)), put(dedup, plain(1)); a.Ref != b.Ref || dedup.Snapshot().Messages() != 1 {
		t.Errorf("a server without doubles told %q and %q", a.Ref, b.Ref)
	}
	token := NewMemory(Maildir)
	l := plain(1)
	l.token = "abc"
	if a, b := put(token, l), put(token, l); a.Ref != b.Ref || token.Snapshot().Messages() != 1 {
		t.Errorf("a file that names itself is %q and %q", a.Ref, b.Ref)
	}
	refuse := NewMemory(Server)
	refuse.Traits.Refuse = func(mail.Item, []byte) error { return errBody }
	if p := put(refuse, plain(1)); !errors.Is(p.Err, errBody) || mail.GradeOf(p.Err, 0) != mail.GradeMessage || p.Ref != "" {
		t.Errorf("refused: %+v", p)
	}
	refuse.Traits.RefuseName = func(mail.MailboxName) error { return errBody }
	if _, err := refuse.Open().Create(ctx, "Work"); !errors.Is(err, errBody) {
		t.Errorf("a refused name gives %v", err)
	}
}

func TestCountsAndHook(t *testing.T) {
	m := NewMemory(Server)
	deliver(m, 1)
	var calls []string
	m.Hook = func(call string) {
		calls = append(calls, call)
		if call == "op" {
			m.CreateBox("Meanwhile")
		}
	}
	w := m.Open()
	w.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	op := plan.Op{Kind: plan.OpDelete, From: plan.Place{Box: 1, Ref: "1"}}
	if err := w.Do(context.Background(), []plan.Op{op}, func([]plan.Outcome) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if m.Effects() != 1 || !slices.Equal(calls, []string{"do", "op"}) {
		t.Errorf("%d effects, calls %q", m.Effects(), calls)
	}
	if _, there := m.Snapshot()["Meanwhile"]; !there {
		t.Error("the hook did nothing")
	}
	m.ResetCounts()
	if m.Effects()+m.Bodies() != 0 {
		t.Error("counts are not 0")
	}
}

func TestABrokenMessageStopsNoOther(t *testing.T) {
	m := NewMemory(Server)
	refs := []mail.Ref{deliver(m, 1), deliver(m, 2)}
	m.Break(mail.Inbox, refs[0], ErrBroken)
	b := &bench{T: t, ctx: context.Background(), side: m.Open(), ids: map[mail.MailboxName]mail.BoxID{mail.Inbox: 1}}
	b.bind()
	got := 0
	err := b.side.Fetch(b.ctx, 1, refs, func(mail.Ref, mail.Item, io.Reader) error {
		got++
		return nil
	})
	if got != 1 || !errors.Is(err, ErrBroken) || mail.GradeOf(err, 0) != mail.GradeMessage {
		t.Errorf("%d messages, error %v", got, err)
	}
	var faults int
	_ = b.side.Identify(b.ctx, 1, refs, mail.LevelBody, func(_ mail.Ref, _ mail.Identity, err error) error {
		if err != nil {
			faults++
		}
		return nil
	})
	if faults != 1 {
		t.Errorf("%d faults", faults)
	}
}

func TestDatesComeFromTheClock(t *testing.T) {
	m := NewMemory(Maildir)
	now := time.Date(2030, time.May, 1, 2, 3, 4, 5, time.UTC)
	m.Clock = func() time.Time { return now }
	m.Deliver(mail.Inbox, "x", mail.FlagSet{}, time.Time{})
	if got := m.Snapshot()[mail.Inbox][0].Date; !got.Equal(now.Truncate(time.Second)) {
		t.Errorf("the date is %v", got)
	}
}
