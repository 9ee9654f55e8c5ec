package store

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func TestRowsRoundTrip(t *testing.T) {
	s := withPairs(t, "INBOX", "Other")
	refs := 0
	rapid.Check(t, func(rt *rapid.T) {
		var st plan.Settlement
		for range rapid.IntRange(1, 70).Draw(rt, "rows") {
			r := genContent.Draw(rt, "row")
			r.State = plan.RowState(rapid.IntRange(0, 3).Draw(rt, "state"))
			lone := genSide.Draw(rt, "lone side")
			for _, side := range plan.Sides {
				if side == lone || r.State == plan.Paired {
					refs++
					r.At[side] = plan.Place{Box: mail.BoxID(rapid.IntRange(1, 2).Draw(rt, "box")), Ref: mail.Ref(fmt.Sprint(refs))}
					r.Epoch[side] = [2]string{"1", "1763640000"}[side]
				}
			}
			st.Put = append(st.Put, &r)
		}
		settle(t, s, &st)
		var ids []int64
		var want []plan.Row
		for _, r := range st.Put {
			ids, want = append(ids, r.ID), append(want, *r)
		}
		same(t, "rows", must[[]plan.Row](t)(s.Rows(context.Background(), ids)), want)

		// Replaced by one another's content, all at once.
		for i, r := range st.Put {
			next := want[(i+1)%len(want)]
			next.ID = r.ID
			*r = next
		}
		settle(t, s, &st)
		for i, r := range st.Put {
			want[i] = *r
		}
		same(t, "rows replaced", must[[]plan.Row](t)(s.Rows(context.Background(), ids)), want)
	})
}

// A NUL inside a text must not cut it, nor bytes that are no UTF-8.
func TestRowsTakeAnyText(t *testing.T) {
	s := withPairs(t, "INBOX")
	r := paired(1, "a\x00b", "\xff")
	r.Stat = "\x00"
	settle(t, s, &plan.Settlement{Put: []*plan.Row{r}})
	same(t, "rows", allRows(t, s), []plan.Row{*r})
	same(t, "known", known(t, s, plan.Local, 1), []plan.Known{{Row: 1, Ref: "a\x00b", Stat: "\x00"}})
}

func TestZeroRows(t *testing.T) {
	s := withPairs(t, "INBOX")
	ctx := context.Background()
	if rows, err := s.Rows(ctx, nil); len(rows) > 0 || err != nil {
		t.Errorf("no ids: %v, %v", rows, err)
	}
	if rows, err := s.RowsByState(ctx); len(rows) > 0 || err != nil {
		t.Errorf("no states: %v, %v", rows, err)
	}
	r := &plan.Row{State: plan.Unbound, At: [2]plan.Place{plan.Remote: {Box: 1, Ref: "1"}}, Epoch: [2]string{plan.Remote: "1763640000"}, NoBase: true}
	settle(t, s, &plan.Settlement{Put: []*plan.Row{r}})
	want := *r
	want.NoBase = false // never stored
	same(t, "rows", must[[]plan.Row](t)(s.Rows(ctx, []int64{7, r.ID, r.ID, 0, -1})), []plan.Row{want})
	same(t, "unbound", must[[]plan.Row](t)(s.RowsByState(ctx, plan.Unbound, plan.Kept)), []plan.Row{want})
	same(t, "paired", must[[]plan.Row](t)(s.RowsByState(ctx, plan.Paired)), nil)
	same(t, "in", must[[]plan.Row](t)(s.RowsIn(ctx, 1)), []plan.Row{want})
	same(t, "known", known(t, s, plan.Local, 1), nil)
}

func TestBoxesRoundTrip(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := must[*Store](t)(Open(context.Background(), t.TempDir()))
		defer finish(t, s)
		var st plan.Settlement
		for i := range rapid.IntRange(1, 3).Draw(rt, "boxes") {
			b := &plan.BoxRecord{
				Role:    rapid.SampledFrom([]mail.Role{mail.RoleNone, mail.RoleTrash}).Draw(rt, "role"),
				Dormant: rapid.Bool().Draw(rt, "dormant"),
				Side:    [2]plan.BoxSide{genBoxSide.Draw(rt, "local"), genBoxSide.Draw(rt, "remote")},
			}
			named := genSide.Draw(rt, "named")
			b.Side[named].Name = mail.MailboxName(fmt.Sprint(genText.Draw(rt, "name"), i))
			b.Side[named.Other()].Known = 77 // ignored
			st.Boxes = append(st.Boxes, b)
		}
		settle(t, s, &st)
		var want []plan.BoxRecord
		for _, b := range st.Boxes {
			w := *b
			w.Side[plan.Local].Known, w.Side[plan.Remote].Known = 0, 0
			want = append(want, w)
		}
		same(t, "boxes", must[[]plan.BoxRecord](t)(s.Boxes(context.Background())), want)
	})
}

func TestIntentsRoundTrip(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	if err := s.Begin(ctx, nil); err != nil {
		t.Error(err)
	}
	var last int64
	rapid.Check(t, func(rt *rapid.T) {
		in := rapid.SliceOfN(genIntent, 1, 3).Draw(rt, "intents")
		if err := s.Begin(ctx, in); err != nil {
			t.Fatal(err)
		}
		same(t, "intents", must[[]plan.Intent](t)(s.Intents(ctx)), in)
		var done []int64
		for _, i := range in {
			if i.ID <= last {
				t.Fatalf("number %d was given again after %d", i.ID, last)
			}
			last = i.ID
			done = append(done, i.ID)
		}
		settle(t, s, &plan.Settlement{Done: done})
		same(t, "intents done", must[[]plan.Intent](t)(s.Intents(ctx)), nil)
	})
}

func TestPendingRoundTrip(t *testing.T) {
	s := withPairs(t, "INBOX")
	key := func(p plan.Pending) string {
		return fmt.Sprint(uint8(p.Side), p.At.Box, "|", p.At.Ref, "|", uint8(p.Kind), p.Row)
	}
	rapid.Check(t, func(rt *rapid.T) {
		pending := rapid.SliceOfNDistinct(genPending, 1, 4, key).Draw(rt, "pending")
		settle(t, s, &plan.Settlement{ClearPending: []plan.SideBox{{Side: plan.Local, Box: 1}, {Side: plan.Remote, Box: 1}}, Pending: pending})
		got := must[[]plan.Pending](t)(s.Pending(context.Background()))
		byKey := func(a, b plan.Pending) int { return slices.Compare([]byte(key(a)), []byte(key(b))) }
		slices.SortFunc(got, byKey)
		slices.SortFunc(pending, byKey)
		same(t, "pending", got, pending)
	})
}

func TestEventsAndRunsRoundTrip(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	var wantEvents []plan.Event
	var wantRuns []plan.RunRecord
	rapid.Check(t, func(rt *rapid.T) {
		e, r := genEvent.Draw(rt, "event"), genRun.Draw(rt, "run")
		settle(t, s, &plan.Settlement{Events: []plan.Event{e}})
		if err := s.Settle(ctx, &plan.Settlement{Run: &r}); err != nil {
			t.Fatal(err)
		}
		r.ID = int64(len(wantRuns) + 1)
		wantEvents, wantRuns = append(wantEvents, e), append(wantRuns, r)
	})
	same(t, "events", events(t, s, EventFilter{}), wantEvents)
	slices.Reverse(wantRuns)
	same(t, "runs", must[[]plan.RunRecord](t)(s.Runs(ctx, 0)), wantRuns)
	same(t, "the last runs", must[[]plan.RunRecord](t)(s.Runs(ctx, 3)), wantRuns[:3])
}

func events(tb testing.TB, s *Store, f EventFilter) []plan.Event {
	tb.Helper()
	var out []plan.Event
	if err := s.Events(context.Background(), f, func(e plan.Event) error { out = append(out, e); return nil }); err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestKeptRoundTrip(t *testing.T) {
	s := open(t, t.TempDir())
	var want []Kept
	rapid.Check(t, func(rt *rapid.T) {
		k := &Kept{
			Side: genSide.Draw(rt, "side"), Mailbox: mail.MailboxName(genText.Draw(rt, "mailbox")), File: "f",
			DeletedAt: genMoment.Draw(rt, "deleted"), Until: genMoment.Draw(rt, "until"),
			Flags: genFlags.Draw(rt, "flags"), Date: genDate.Draw(rt, "date"), Ident: genIdent.Draw(rt, "ident"),
		}
		if err := s.AddKept(context.Background(), k); err != nil || k.ID == 0 {
			t.Fatalf("%d, %v", k.ID, err)
		}
		want = append(want, *k)
	})
	same(t, "kept", kept(t, s, KeptFilter{}), want)
}

func kept(tb testing.TB, s *Store, f KeptFilter) []Kept {
	tb.Helper()
	var out []Kept
	if err := s.ListKept(context.Background(), f, func(k Kept) error { out = append(out, k); return nil }); err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestMoment(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 1, 1, 0, 0, 0, 0, time.UTC) }
	for _, y := range []int{1678, 1970, 2026, 2261} {
		want := year(y).Add(1) // 1970 to the nanosecond is taken for none
		if got := fromMoment(moment(want)); got != want {
			t.Errorf("%v became %v", want, got)
		}
	}
	if !fromMoment(moment(time.Time{})).IsZero() {
		t.Error("the zero time became another")
	}
	early, late := fromMoment(moment(year(2))), fromMoment(moment(year(9999)))
	if early.Year() != 1677 || late.Year() != 2262 {
		t.Errorf("far away became %v and %v", early, late)
	}
}
