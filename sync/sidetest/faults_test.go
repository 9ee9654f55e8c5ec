package sidetest

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// wrappedHarness runs the suite over a side that is wrapped in all there is.
func wrappedHarness(kind Kind, claims Claims) func(*testing.T) Harness {
	return func(*testing.T) Harness {
		m := NewMemory(kind)
		return Harness{Claims: claims, Open: func(*testing.T) engine.Writer {
			return Delayed(Faulty(m.Open(), &Faults{}, ""), &Latency{})
		}}
	}
}

func TestWrappersKeepEveryPromise(t *testing.T) {
	t.Run("server", func(t *testing.T) {
		Run(t, wrappedHarness(Server, Claims{HasNext: true, TellsSame: true, ShowsAtOnce: true}))
	})
	t.Run("maildir", func(t *testing.T) {
		Run(t, wrappedHarness(Maildir, Claims{KeepsKeys: true, TellsSame: true, Tokens: true}))
	})
}

func TestWrappersKeepTheRoot(t *testing.T) {
	if _, ok := Delayed(Faulty(NewMemory(Maildir).Open(), &Faults{}, ""), &Latency{}).(engine.Rooted); !ok {
		t.Error("a wrapped Maildir is not rooted")
	}
	if _, ok := Delayed(Faulty(NewMemory(Server).Open(), &Faults{}, ""), &Latency{}).(engine.Rooted); ok {
		t.Error("a wrapped server is rooted")
	}
}

// failingAt makes the nth step of that name fail, of a side over m whose
// mailbox 1 is INBOX.
func failingAt(t *testing.T, m *Memory, name string, nth int, mode Mode, act func(engine.Writer) error) error {
	t.Helper()
	run := func(m *Memory, f *Faults) error {
		w := Faulty(m.Open(), f, "")
		w.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox, 2: "Work"})
		return act(w)
	}
	f := &Faults{}
	f.FailNamed(name, nth, mode)
	err := run(m, f)
	if f.Hit() == "" {
		t.Fatalf("no step %q among %q", name, f.Names())
	}
	return err
}

func TestModes(t *testing.T) {
	for _, tc := range []struct {
		mode Mode
		done bool
		err  error
	}{{ErrorBefore, false, ErrInjected}, {ErrorAfter, true, ErrInjected}, {DieBefore, false, ErrDead}, {DieAfter, true, ErrDead}} {
		t.Run(tc.mode.String(), func(t *testing.T) {
			m := NewMemory(Server)
			err := failingAt(t, m, "create", 1, tc.mode, func(w engine.Writer) error {
				_, err := w.Create(context.Background(), "Work")
				_, later := w.Survey(context.Background(), nil)
				if dead := errors.Is(later, ErrDead); dead != (errors.Is(err, ErrDead)) {
					t.Errorf("after it, a survey gives %v", later)
				}
				return err
			})
			if _, there := m.Snapshot()["Work"]; there != tc.done {
				t.Errorf("the mailbox is there: %v", there)
			}
			if !errors.Is(err, tc.err) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func putThree(w engine.Writer) ([]plan.Placed, error) {
	ctx := context.Background()
	batch, err := w.Put(ctx, 1)
	if err != nil {
		return nil, err
	}
	for i := range 3 {
		if err := batch.Add(ctx, plain(i).incoming(i)); err != nil {
			batch.Abort()
			return nil, err
		}
	}
	return batch.Commit(ctx)
}

func TestACommitIsTorn(t *testing.T) {
	for _, tc := range []struct {
		mode   Mode
		stored int
	}{{ErrorBefore, 1}, {ErrorAfter, 2}, {DieBefore, 1}, {DieAfter, 2}} {
		t.Run(tc.mode.String(), func(t *testing.T) {
			m := NewMemory(Maildir)
			var placed []plan.Placed
			err := failingAt(t, m, "commit", 2, tc.mode, func(w engine.Writer) (err error) {
				placed, err = putThree(w)
				return err
			})
			if err == nil || m.Snapshot().Messages() != tc.stored {
				t.Errorf("%d messages are stored, error %v", m.Snapshot().Messages(), err)
			}
			if len(placed) != 3 || placed[0].Ref == "" || !placed[1].Unknown || !placed[2].Unknown {
				t.Errorf("told: %+v", placed)
			}
		})
	}
}

func TestAnAddIsLost(t *testing.T) {
	for _, tc := range []struct {
		mode   Mode
		stored int
	}{{ErrorBefore, 1}, {ErrorAfter, 2}, {DieBefore, 1}, {DieAfter, 2}} {
		m := NewMemory(Server)
		err := failingAt(t, m, "add", 2, tc.mode, func(w engine.Writer) error {
			_, err := putThree(w)
			return err
		})
		if err == nil || m.Snapshot().Messages() != tc.stored {
			t.Errorf("%s: %d messages are stored, error %v", tc.mode, m.Snapshot().Messages(), err)
		}
	}
}

func TestAnOpIsUncertain(t *testing.T) {
	for _, tc := range []struct {
		mode Mode
		want []plan.Result
		left int
	}{
		{ErrorBefore, []plan.Result{plan.Done, plan.Failed, plan.Failed}, 2},
		{ErrorAfter, []plan.Result{plan.Done, plan.Uncertain, plan.Failed}, 1},
		{DieBefore, []plan.Result{plan.Done, plan.Failed, plan.Failed}, 2},
		{DieAfter, []plan.Result{plan.Done, plan.Uncertain, plan.Failed}, 1},
	} {
		m := NewMemory(Server)
		var ops []plan.Op
		for i := range 3 {
			ref := m.Deliver(mail.Inbox, string(plain(i).body), mail.FlagSet{}, time.Time{})
			ops = append(ops, plan.Op{Tag: i, Kind: plan.OpDelete, From: plan.Place{Box: 1, Ref: ref}})
		}
		var got []plan.Result
		err := failingAt(t, m, "do delete", 2, tc.mode, func(w engine.Writer) error {
			got = nil
			return w.Do(context.Background(), ops, func(out []plan.Outcome) error {
				for _, o := range out {
					got = append(got, o.Result)
				}
				return nil
			})
		})
		if err == nil || !slices.Equal(got, tc.want) || m.Snapshot().Messages() != tc.left {
			t.Errorf("%s: results %v, %d messages are left, error %v", tc.mode, got, m.Snapshot().Messages(), err)
		}
	}
}

func TestABodyBreaksOff(t *testing.T) {
	m := NewMemory(Server)
	var refs []mail.Ref
	for i := range 2 {
		refs = append(refs, m.Deliver(mail.Inbox, string(plain(i).body), mail.FlagSet{}, time.Time{}))
	}
	var read error
	err := failingAt(t, m, "fetch "+string(refs[1]), 1, ErrorBefore, func(w engine.Writer) error {
		return w.Fetch(context.Background(), 1, refs, func(_ mail.Ref, _ mail.Item, r io.Reader) error {
			_, read = io.ReadAll(r)
			return nil
		})
	})
	if !errors.Is(read, mail.ErrShort) || !errors.Is(err, ErrInjected) {
		t.Errorf("read %v, fetch %v", read, err)
	}
}

func TestIndexFaults(t *testing.T) {
	ctx := context.Background()
	for n, mode := range Points(2, Modes[:]...) {
		ix, f := NewMemoryIndex(), &Faults{}
		box := inboxPair(t, ix)
		f.FailAt(n, mode)
		w := FaultyIndex(ix, f)
		err1 := w.Settle(ctx, &plan.Settlement{Put: []*plan.Row{paired(box, "a", "1")}})
		err2 := w.Settle(ctx, &plan.Settlement{Put: []*plan.Row{paired(box, "b", "2")}})
		after, dead := mode == ErrorAfter || mode == DieAfter, mode == DieBefore || mode == DieAfter
		want := 1 // the step that does not fail
		if after {
			want++
		}
		if n == 1 && dead {
			want--
		}
		if got := len(ix.AllRows()); got != want || (err1 == nil) != (n == 2) || (err2 == nil) != (n == 1 && !dead) {
			t.Errorf("%s at %d: %d rows, errors %v and %v", mode, n, got, err1, err2)
		}
	}
}

func TestLatencyCountsRoundTrips(t *testing.T) {
	ctx := context.Background()
	m, l := NewMemory(Server), &Latency{Trip: 50 * time.Millisecond}
	w := Delayed(m.Open(), l)
	w.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	if _, err := w.Survey(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := putThree(w); err != nil {
		t.Fatal(err)
	}
	if l.Trips() != 2 || l.Calls("survey") != 1 || l.Calls("commit") != 1 || l.Elapsed() != 100*time.Millisecond {
		t.Errorf("%d round trips, %d surveys, %d commits, %v", l.Trips(), l.Calls("survey"), l.Calls("commit"), l.Elapsed())
	}
}

func TestMemoryCloneIsApart(t *testing.T) {
	for _, kind := range []Kind{Server, Maildir} {
		m := NewMemory(kind)
		ref := m.Deliver(mail.Inbox, string(plain(1).body), mail.FlagSet{}, time.Time{})
		c := m.Clone()
		before := c.Snapshot()
		m.SetFlags(mail.Inbox, ref, mail.NewFlagSet(mail.Seen))
		m.Deliver(mail.Inbox, string(plain(2).body), mail.FlagSet{}, time.Time{})
		m.RenameBox("Work", "Play")
		m.CreateBox("More")
		if diff := Compare(before, c.Snapshot()); diff != "" {
			t.Errorf("%s: the clone changed with its original:\n%s", kind, diff)
		}
		if Compare(m.Snapshot(), c.Snapshot()) == "" {
			t.Errorf("%s: the original did not change", kind)
		}
	}
}

func TestCompareTellsEveryDifference(t *testing.T) {
	base := Message{Body: plain(1).body, Date: plain(1).date}
	lf, seen, later, other := base, base, base, base
	lf.Body = toLF(base.Body)
	seen.Flags = mail.NewFlagSet(mail.Seen)
	later.Date = base.Date.Add(time.Second)
	other.Body = plain(2).body
	first := Snapshot{mail.Inbox: {base}}
	if diff := Compare(first, Snapshot{mail.Inbox: {lf}}); diff != "" {
		t.Errorf("line ends count: %s", diff)
	}
	for name, s := range map[string]Snapshot{
		"flags":         {mail.Inbox: {seen}},
		"date":          {mail.Inbox: {later}},
		"body":          {mail.Inbox: {other}},
		"a double":      {mail.Inbox: {base, base}},
		"nothing":       {mail.Inbox: {}},
		"no mailbox":    {},
		"one mailbox":   {mail.Inbox: {base}, "Work": {}},
		"other mailbox": {"Work": {base}},
	} {
		if Compare(first, s) == "" || Compare(s, first) == "" {
			t.Errorf("%s: no difference", name)
		}
	}
}
