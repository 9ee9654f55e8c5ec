package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

func TestRefPassesFromRowToRow(t *testing.T) {
	s := withPairs(t, "INBOX")
	a, b := paired(1, "a", "1"), paired(1, "b", "2")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{a, b}})

	// By way of Drop.
	c := paired(1, "a", "3")
	settle(t, s, &plan.Settlement{Drop: []int64{a.ID}, Put: []*plan.Row{c}})
	same(t, "after a drop", allRows(t, s), []plan.Row{*b, *c})
	if c.ID <= b.ID {
		t.Errorf("the new row has the number %d", c.ID)
	}

	// Exchanged between rows of one settlement, among many that do not.
	b.At[plan.Local], c.At[plan.Local] = c.At[plan.Local], b.At[plan.Local]
	put := []*plan.Row{b}
	for i := range 100 {
		put = append(put, paired(1, mail.Ref("n"+string(rune('A'+i))), mail.Ref("9"+string(rune('A'+i)))))
	}
	put = append(put, c)
	settle(t, s, &plan.Settlement{Put: put})
	rows := allRows(t, s)
	if len(rows) != 102 {
		t.Fatalf("%d rows", len(rows))
	}
	same(t, "after an exchange", rows[:2], []plan.Row{*b, *c})

	// Unbound in one row and bound in another that stands before it.
	c.At[plan.Remote], b.At[plan.Remote] = b.At[plan.Remote], plan.Place{}
	b.Epoch[plan.Remote], b.State = "", plan.Unbound
	settle(t, s, &plan.Settlement{Put: []*plan.Row{c, b}})
	same(t, "after it was given up", allRows(t, s)[:2], []plan.Row{*b, *c})
}

// A settlement that fails leaves the index and the settlement as they were.
func TestFailedSettlement(t *testing.T) {
	s := withPairs(t, "INBOX")
	old := paired(1, "a", "1")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{old}, Meta: map[string]string{"k": "v"}})
	ctx := context.Background()
	ended, end := context.WithCancel(ctx)
	end()
	for name, c := range map[string]struct {
		ctx  context.Context
		st   plan.Settlement
		says string
	}{
		"a place taken":          {ctx, plan.Settlement{Put: []*plan.Row{paired(1, "b", "2"), paired(1, "c", "1")}}, "{1 1}"},
		"a place twice":          {ctx, plan.Settlement{Put: []*plan.Row{paired(1, "b", "2"), paired(1, "b", "3")}}, "{1 b}"},
		"no such mailbox":        {ctx, plan.Settlement{Put: []*plan.Row{paired(7, "b", "2")}}, "FOREIGN KEY"},
		"no such row":            {ctx, plan.Settlement{Put: []*plan.Row{{ID: 9, At: paired(1, "b", "2").At}}}, "message 9 does not exist"},
		"a row just dropped":     {ctx, plan.Settlement{Drop: []int64{old.ID}, Put: []*plan.Row{old}}, "message 1 does not exist"},
		"no such pair":           {ctx, plan.Settlement{Boxes: []*plan.BoxRecord{{ID: 9}}}, "mailbox 9 does not exist"},
		"paired without a place": {ctx, plan.Settlement{Put: []*plan.Row{{At: [2]plan.Place{{Box: 1, Ref: "z"}}}}}, "paired"},
		"unbound with both":      {ctx, plan.Settlement{Put: []*plan.Row{{At: paired(1, "y", "9").At, State: plan.Unbound}}}, "unbound"},
		"a name taken":           {ctx, plan.Settlement{Boxes: []*plan.BoxRecord{pair("INBOX")}}, `"INBOX"`},
		"nothing to hold":        {ctx, plan.Settlement{Hold: []plan.Held{{Row: 9, Box: 1}}}, "FOREIGN KEY"},
		"an ended context":       {ended, plan.Settlement{}, "canceled"},
	} {
		c.st.Meta = map[string]string{"k": name}
		c.st.Boxes = append(c.st.Boxes, pair("New"))
		c.st.Put = append(c.st.Put, paired(1, "new", "99"))
		err := s.Settle(c.ctx, &c.st)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want it to say %s", name, err, c.says)
		}
		if c.ctx == ctx && (!errors.Is(err, sqlite.ErrConstraint) || mail.GradeOf(err, 0) != mail.GradeAccount) {
			t.Errorf("%s: %v is no fault of the account", name, err)
		}
		if n := c.st.Put[len(c.st.Put)-1]; n.ID != 0 {
			t.Errorf("%s: the new row got the number %d", name, n.ID)
		}
		if b := c.st.Boxes[len(c.st.Boxes)-1]; b.ID != 0 {
			t.Errorf("%s: the new mailbox got the number %d", name, b.ID)
		}
	}
	same(t, "rows", allRows(t, s), []plan.Row{*old})
	if m := must[map[string]string](t)(s.Meta(ctx)); len(m) != 1 || m["k"] != "v" {
		t.Errorf("meta: %v", m)
	}
	if b := must[[]plan.BoxRecord](t)(s.Boxes(ctx)); len(b) != 1 || b[0].Side[0].Known != 1 {
		t.Errorf("mailboxes: %+v", b)
	}
}

func TestNumbersAreNeverGivenAgain(t *testing.T) {
	s := withPairs(t, "INBOX", "Other")
	a := paired(1, "a", "1")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{a, a}}) // one row, named twice
	settle(t, s, &plan.Settlement{Drop: []int64{a.ID}, Forget: []mail.BoxID{2}})
	b, box := paired(1, "a", "1"), pair("Other")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{b}, Boxes: []*plan.BoxRecord{box, box}})
	if a.ID != 1 || b.ID != 2 || box.ID != 3 {
		t.Errorf("rows %d and %d, mailbox %d", a.ID, b.ID, box.ID)
	}
}

func TestMailboxesExchangeNames(t *testing.T) {
	s := withPairs(t, "A", "B")
	a, b := pair("B"), pair("A")
	a.ID, b.ID = 1, 2
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{a, b}})
	same(t, "mailboxes", must[[]plan.BoxRecord](t)(s.Boxes(context.Background())), []plan.BoxRecord{*a, *b})
}

func TestNamePassesFromForgottenToNew(t *testing.T) {
	s := withPairs(t, "A", "B")
	anew := pair("A")
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{anew}, Forget: []mail.BoxID{1}})
	boxes := must[[]plan.BoxRecord](t)(s.Boxes(context.Background()))
	if len(boxes) != 2 || boxes[0].ID != 2 || boxes[0].Side[0].Name != "B" || boxes[1].ID != 3 || boxes[1].Side[0].Name != "A" {
		t.Errorf("mailboxes: %+v", boxes)
	}
}

func TestForget(t *testing.T) {
	s := withPairs(t, "INBOX", "Old", "Other")
	ctx := context.Background()
	stays, goes, across := paired(1, "a", "1"), paired(2, "b", "1"), paired(2, "c", "2")
	across.At[plan.Remote].Box = 3
	now := time.Unix(1_763_640_000, 0).UTC()
	settle(t, s, &plan.Settlement{
		Put:      []*plan.Row{stays, goes, across},
		Pending:  []plan.Pending{{Side: plan.Remote, At: plan.Place{Box: 2, Ref: "5"}, Kind: plan.KindNew}},
		Declines: []plan.Decline{{Box: 2, What: "messages"}, {Box: 1, What: "messages"}},
		Losses:   []plan.LossRecord{{Box: 2, At: now, Count: 3}},
	})
	settle(t, s, &plan.Settlement{Hold: []plan.Held{{Row: goes.ID, Box: 2}, {Row: stays.ID, Box: 1}}})
	settle(t, s, &plan.Settlement{Forget: []mail.BoxID{2}})

	same(t, "rows", allRows(t, s), []plan.Row{*stays})
	same(t, "pending", must[[]plan.Pending](t)(s.Pending(ctx)), nil)
	same(t, "held", must[[]plan.Held](t)(s.Held(ctx)), []plan.Held{{Row: stays.ID, Box: 1}})
	same(t, "declined", must[[]plan.Decline](t)(s.Declines(ctx)), []plan.Decline{{Box: 1, What: "messages"}})
	same(t, "losses", must[[]plan.LossRecord](t)(s.Losses(ctx)), []plan.LossRecord{{Box: 2, At: now, Count: 3}})
	boxes := must[[]plan.BoxRecord](t)(s.Boxes(ctx))
	if len(boxes) != 2 || boxes[0].Side[plan.Remote].Cursor != "c" || boxes[1].Side[plan.Local].Cursor != "c" {
		t.Errorf("mailboxes: %+v", boxes)
	}
	if boxes[1].Side[plan.Remote].Cursor != "" {
		t.Error("the mailbox where the other half of a forgotten row lies still has its cursor")
	}
}

func TestPendingTakesTheCursor(t *testing.T) {
	s := withPairs(t, "INBOX")
	ctx := context.Background()
	cursors := func(local, remote plan.Cursor) {
		t.Helper()
		b := must[[]plan.BoxRecord](t)(s.Boxes(ctx))[0]
		if b.Side[plan.Local].Cursor != local || b.Side[plan.Remote].Cursor != remote {
			t.Errorf("cursors %q and %q, want %q and %q", b.Side[plan.Local].Cursor, b.Side[plan.Remote].Cursor, local, remote)
		}
	}
	p := plan.Pending{Side: plan.Remote, At: plan.Place{Box: 1, Ref: "5"}, Kind: plan.KindNew, Tries: 1}
	settle(t, s, &plan.Settlement{Pending: []plan.Pending{p}})
	cursors("c", "")
	box := pair("INBOX")
	box.ID = 1
	p.Tries = 2
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{box}, Pending: []plan.Pending{p}})
	cursors("c", "")
	same(t, "pending", must[[]plan.Pending](t)(s.Pending(ctx)), []plan.Pending{p})
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{box}, ClearPending: []plan.SideBox{{Side: plan.Local, Box: 1}}})
	cursors("c", "")
	settle(t, s, &plan.Settlement{Boxes: []*plan.BoxRecord{box}, ClearPending: []plan.SideBox{{Side: plan.Remote, Box: 1}}})
	cursors("c", "c")
}

func TestHoldAndDecline(t *testing.T) {
	s := withPairs(t, "INBOX")
	ctx := context.Background()
	a, b := paired(1, "a", "1"), paired(1, "b", "2")
	first, later := time.Unix(1_763_640_000, 0).UTC(), time.Unix(1_763_650_000, 0).UTC()
	settle(t, s, &plan.Settlement{
		Put:      []*plan.Row{a, b},
		Declines: []plan.Decline{{Side: plan.Local, Box: 1, What: "keywords $A", Text: "full", At: first}},
	})
	settle(t, s, &plan.Settlement{Hold: []plan.Held{{Row: a.ID, Box: 1, Side: plan.Local, Since: first}, {Row: b.ID, Box: 1, Since: first}}})
	settle(t, s, &plan.Settlement{
		Hold:    []plan.Held{{Row: a.ID, Box: 1, Side: plan.Remote, Since: later}},
		Release: []int64{a.ID, b.ID, 77},
		Declines: []plan.Decline{
			{Side: plan.Local, Box: 1, What: "keywords $A", Text: "still", At: later}, {Side: plan.Remote, Box: 1, What: "keywords $A", At: later},
		},
	})
	same(t, "held", must[[]plan.Held](t)(s.Held(ctx)), []plan.Held{{Row: a.ID, Box: 1, Side: plan.Remote, Since: first}})
	same(t, "declined", must[[]plan.Decline](t)(s.Declines(ctx)), []plan.Decline{
		{Side: plan.Local, Box: 1, What: "keywords $A", Text: "full", At: first}, {Side: plan.Remote, Box: 1, What: "keywords $A", At: later},
	})
	anew := plan.Decline{Side: plan.Local, Box: 1, What: "messages", At: later}
	settle(t, s, &plan.Settlement{
		Drop:          []int64{a.ID},
		Declines:      []plan.Decline{anew},
		ClearDeclines: []plan.SideBox{{Side: plan.Local, Box: 1}, {Side: plan.Remote, Box: 1}},
	})
	same(t, "declined anew", must[[]plan.Decline](t)(s.Declines(ctx)), []plan.Decline{anew})
	same(t, "held after its row went", must[[]plan.Held](t)(s.Held(ctx)), nil)
}

// What is read while it is written is that of before, and nothing waits.
func TestSettleWhileReading(t *testing.T) {
	s := withPairs(t, "INBOX")
	settle(t, s, &plan.Settlement{Put: []*plan.Row{paired(1, "a", "1"), paired(1, "b", "2")}})
	seen := 0
	err := s.Known(context.Background(), plan.Local, 1, func(k plan.Known) error {
		seen++
		return s.Settle(context.Background(), &plan.Settlement{Put: []*plan.Row{paired(1, "n"+k.Ref, "n"+k.Ref)}})
	})
	if err != nil || seen != 2 || len(known(t, s, plan.Remote, 1)) != 4 {
		t.Errorf("saw %d, %v", seen, err)
	}
	stop := errors.New("stop")
	if err := s.Known(context.Background(), plan.Local, 1, func(plan.Known) error { return stop }); err != stop {
		t.Errorf("an error of yield became %v", err)
	}
	ended, end := context.WithCancel(context.Background())
	end()
	if err := s.Known(ended, plan.Local, 1, func(plan.Known) error { return nil }); err != context.Canceled {
		t.Errorf("an ended context: %v", err)
	}
}

// TestAPullTakesFewStatements: a chunk of a first pull, the rows and events of
// the one before with it, and its intents.
func TestAPullTakesFewStatements(t *testing.T) {
	s := open(t, t.TempDir())
	box := mailboxOf(t, s, 0)
	var st plan.Settlement
	for i := range 1000 {
		r := generated(box, i)
		st.Put = append(st.Put, r)
		st.Begin = append(st.Begin, plan.Intent{Kind: plan.IntentPut, To: box, From: r.At[plan.Remote], FromEpoch: "1", At: r.Date, Item: mail.Item{Date: r.Date, Token: "token"}})
		st.Events = append(st.Events, plan.Event{At: r.Date, Verb: "copied", Mailbox: "INBOX", Ident: r.Ident[0].Body, MessageID: "<m>"})
	}
	statements := 0
	s.db.Watch = func(string) { statements++ }
	settle(t, s, &st)
	done := plan.Settlement{}
	for _, in := range st.Begin {
		done.Done = append(done.Done, in.ID)
	}
	settle(t, s, &done)
	s.db.Watch = nil
	if statements > 70 {
		t.Errorf("%d statements for 1000 messages", statements)
	}
	if in := must[[]plan.Intent](t)(s.Intents(t.Context())); len(in) != 0 {
		t.Errorf("%d intents are left", len(in))
	}
}
