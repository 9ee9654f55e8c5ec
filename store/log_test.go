package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var clock = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func texts(list []plan.Event) string {
	var out []string
	for _, e := range list {
		out = append(out, e.Text)
	}
	return strings.Join(out, " ")
}

func TestEventFilter(t *testing.T) {
	s := open(t, t.TempDir())
	one, two := mail.Digest{0xab, 0xcd}, mail.Digest{0xab, 0xce}
	settle(t, s, &plan.Settlement{Events: []plan.Event{
		{At: clock, Mailbox: "INBOX", Row: 1, Ident: one, Text: "a"},
		{At: clock.Add(time.Hour), Mailbox: "INBOX", Row: 2, Ident: two, MessageID: "b@x", Text: "b"},
		{At: clock.Add(2 * time.Hour), Mailbox: "Work", To: "Done", Row: 1, Text: "c"},
		{At: clock.Add(3 * time.Hour), Text: "d"},
	}})
	for _, c := range []struct {
		filter EventFilter
		want   string
	}{
		{EventFilter{}, "a b c d"},
		{EventFilter{Limit: 2}, "c d"},
		{EventFilter{Limit: 9}, "a b c d"},
		{EventFilter{Since: clock.Add(time.Hour)}, "b c d"},
		{EventFilter{Mailbox: "INBOX"}, "a b"},
		{EventFilter{Mailbox: "Nowhere"}, ""},
		{EventFilter{Mailbox: "Done"}, "c"},
		{EventFilter{Digests: []mail.Digest{two}}, "b"},
		{EventFilter{MessageID: "b@x"}, "b"},
		{EventFilter{MessageID: "b@y"}, ""},
		{EventFilter{MessageID: "b@x", Digests: []mail.Digest{one}}, "a b c"},
		{EventFilter{Digests: []mail.Digest{one, two}}, "a b c"},
		{EventFilter{Digests: []mail.Digest{{0xab}}}, ""},
		{EventFilter{Message: one.String()}, "a c"},
		{EventFilter{Message: "ABCE"}, "b"},
		{EventFilter{Message: "a"}, "a b c"},
		{EventFilter{Message: "abc", Limit: 1}, "c"},
		{EventFilter{Message: "abc", Since: clock.Add(time.Minute), Mailbox: "INBOX"}, "b"},
		{EventFilter{Message: "ff"}, ""},
	} {
		if got := texts(events(t, s, c.filter)); got != c.want {
			t.Errorf("%+v: %q, want %q", c.filter, got, c.want)
		}
	}
	never := func(plan.Event) error { t.Error("an event"); return nil }
	for _, bad := range []string{"xyz", "<id@example.org>", strings.Repeat("a", 65)} {
		if err := s.Events(context.Background(), EventFilter{Message: bad}, never); err == nil {
			t.Errorf("%q passes for a digest", bad)
		}
	}
	stop := errors.New("stop")
	if err := s.Events(context.Background(), EventFilter{}, func(plan.Event) error { return stop }); err != stop {
		t.Errorf("an error of yield became %v", err)
	}
}

func TestTheEndOfARunPrunes(t *testing.T) {
	s := withPairs(t, "INBOX")
	ctx := context.Background()
	day := 24 * time.Hour
	var st plan.Settlement
	for _, age := range []time.Duration{401 * day, 400 * day, 25 * time.Hour, day, time.Hour, -time.Hour} {
		st.Events = append(st.Events, plan.Event{At: clock.Add(-age), Text: age.String()})
		st.Losses = append(st.Losses, plan.LossRecord{Box: 1, At: clock.Add(-age), Count: 1, Accepted: age == day})
	}
	settle(t, s, &st)
	runs := []plan.RunRecord{
		{Ended: clock.Add(-401 * day)}, {Ended: clock.Add(-400 * day)}, // the clock has not come to now yet
	}
	for _, r := range runs {
		if err := s.Settle(ctx, &plan.Settlement{Run: &r}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "losses before", must[[]plan.LossRecord](t)(s.Losses(ctx)), st.Losses)
	if err := s.Settle(ctx, &plan.Settlement{Run: &plan.RunRecord{ID: 7, Ended: clock, Text: "x"}}); err != nil {
		t.Fatal(err)
	}
	same(t, "losses", must[[]plan.LossRecord](t)(s.Losses(ctx)), st.Losses[3:])
	same(t, "events", events(t, s, EventFilter{}), st.Events[1:])
	want := []plan.RunRecord{{ID: 7, Ended: clock, Text: "x"}, {ID: 2, Ended: runs[1].Ended}}
	same(t, "runs", must[[]plan.RunRecord](t)(s.Runs(ctx, 0)), want)

	// One with a number replaces; the next without goes on from it.
	for _, r := range []plan.RunRecord{{ID: 7, Ended: clock, Exit: 1}, {Ended: clock}} {
		if err := s.Settle(ctx, &plan.Settlement{Run: &r}); err != nil {
			t.Fatal(err)
		}
	}
	same(t, "more runs", must[[]plan.RunRecord](t)(s.Runs(ctx, 2)), []plan.RunRecord{{ID: 8, Ended: clock}, {ID: 7, Ended: clock, Exit: 1}})
}

func TestEventsAreLimited(t *testing.T) {
	s := open(t, t.TempDir())
	if err := spoil(t, s, `INSERT INTO event (id, at, run, verb, side, mailbox, target, row, message_id, text)
		VALUES (1, 0, 0, '', 0, '', '', 0, '', 'too old'), (2, 0, 0, '', 0, '', '', 0, '', 'the oldest'), (1000001, 0, 0, '', 0, '', '', 0, '', 'the newest')`); err != nil {
		t.Fatal(err)
	}
	if err := s.Settle(context.Background(), &plan.Settlement{Run: &plan.RunRecord{Ended: time.Unix(1, 0)}}); err != nil {
		t.Fatal(err)
	}
	if got := texts(events(t, s, EventFilter{})); got != "the oldest the newest" {
		t.Errorf("what remains: %s", got)
	}
}

func TestKeptFilter(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := context.Background()
	a := &Kept{Mailbox: "INBOX", File: "ab/1", DeletedAt: clock, Until: clock.Add(time.Hour), Ident: mail.Identity{Body: mail.Digest{0xab}}}
	b := &Kept{Mailbox: "Work", File: "ab/1", DeletedAt: clock, Until: clock.Add(2 * time.Hour), Ident: mail.Identity{Body: mail.Digest{0xab, 1}}}
	c := &Kept{Side: plan.Remote, Mailbox: "INBOX", File: "ff", DeletedAt: clock, Until: clock.Add(3 * time.Hour)}
	if err := errors.Join(s.AddKept(ctx), s.AddKept(ctx, a, b), s.AddKept(ctx, c)); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		filter KeptFilter
		want   []Kept
	}{
		{KeptFilter{}, []Kept{*a, *b, *c}},
		{KeptFilter{Mailbox: "INBOX"}, []Kept{*a, *c}},
		{KeptFilter{Message: "AB"}, []Kept{*a, *b}},
		{KeptFilter{Message: b.Ident.Body.String()}, []Kept{*b}},
		{KeptFilter{Expired: clock.Add(2 * time.Hour)}, []Kept{*a, *b}},
		{KeptFilter{Expired: clock, Mailbox: "Work"}, nil},
	} {
		same(t, "kept", kept(t, s, x.filter), x.want)
	}
	if err := s.ListKept(ctx, KeptFilter{Message: "no"}, nil); err == nil {
		t.Error("what is no digest passes for one")
	}
	stop := errors.New("stop")
	if err := s.ListKept(ctx, KeptFilter{}, func(Kept) error { return stop }); err != stop {
		t.Errorf("an error of yield became %v", err)
	}

	if err := errors.Join(s.DropKept(ctx), s.DropKept(ctx, a.ID, c.ID, 99)); err != nil {
		t.Fatal(err)
	}
	same(t, "what remains", kept(t, s, KeptFilter{}), []Kept{*b})
	bad := &Kept{File: "x"}
	if err := s.AddKept(ctx, bad, &Kept{}); err == nil || bad.ID != 0 || len(kept(t, s, KeptFilter{})) != 1 {
		t.Errorf("one without a file: %v, and the other has the number %d", err, bad.ID)
	}
}

func TestAliases(t *testing.T) {
	s := withPairs(t, "INBOX", "Other")
	ctx := context.Background()
	copies := []*plan.Row{{}, {}, {}}
	for i, r := range copies {
		r.State, r.Epoch[plan.Local] = plan.Unbound, "1"
		r.At[plan.Local] = plan.Place{Box: 1, Ref: mail.Ref([]string{"a", "b", "c"}[i])}
	}
	settle(t, s, &plan.Settlement{Put: copies})
	at := func(row int64, box mail.BoxID, ref mail.Ref) Alias {
		return Alias{Row: row, Side: plan.Remote, At: plan.Place{Box: box, Ref: ref}, Epoch: "1763640000"}
	}
	if err := errors.Join(s.PutAliases(ctx), s.PutAliases(ctx, at(3, 1, "5"), at(1, 1, "9")), s.PutAliases(ctx, at(2, 2, "5"), at(1, 1, "5"))); err != nil {
		t.Fatal(err)
	}
	same(t, "aliases", must[[]Alias](t)(s.Aliases(ctx)), []Alias{at(1, 1, "5"), at(2, 2, "5"), at(3, 1, "5")})
	if err := s.PutAliases(ctx, at(99, 1, "5")); err == nil {
		t.Error("an alias of nothing")
	}
	settle(t, s, &plan.Settlement{Drop: []int64{1}, Forget: []mail.BoxID{2}})
	same(t, "aliases that remain", must[[]Alias](t)(s.Aliases(ctx)), []Alias{at(3, 1, "5")})
}

func TestStatus(t *testing.T) {
	s := withPairs(t, "INBOX", "Other", "Empty")
	kept := &plan.Row{State: plan.Kept, At: [2]plan.Place{{Box: 1, Ref: "k"}}, Epoch: [2]string{"1"}}
	across := paired(1, "x", "x")
	across.At[plan.Remote].Box = 2
	settle(t, s, &plan.Settlement{
		Put:      []*plan.Row{paired(1, "a", "1"), paired(1, "b", "2"), kept, across},
		Pending:  []plan.Pending{{At: plan.Place{Box: 2, Ref: "1"}}, {At: plan.Place{Box: 2, Ref: "2"}}},
		Declines: []plan.Decline{{Box: 1, What: "messages"}},
	})
	settle(t, s, &plan.Settlement{Hold: []plan.Held{{Row: 1, Box: 1}}})
	status := must[[]MailboxStatus](t)(s.Status(context.Background()))
	boxes := must[[]plan.BoxRecord](t)(s.Boxes(context.Background()))
	same(t, "status", status, []MailboxStatus{
		{Box: boxes[0], Rows: [4]int{plan.Paired: 3, plan.Kept: 1}, Held: 1, Declined: 1},
		{Box: boxes[1], Rows: [4]int{plan.Paired: 1}, Pending: 2},
		{Box: boxes[2]},
	})
	if !slices.Equal([]int{boxes[0].Side[0].Known, boxes[0].Side[1].Known, boxes[1].Side[1].Known}, []int{4, 2, 1}) {
		t.Errorf("known: %+v", boxes)
	}
}
