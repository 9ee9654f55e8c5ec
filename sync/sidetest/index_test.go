package sidetest

import (
	"context"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

var (
	_ engine.Index  = (*MemoryIndex)(nil)
	_ engine.Rooted = rooted{}
)

func inboxPair(t *testing.T, ix *MemoryIndex) mail.BoxID {
	t.Helper()
	rec := &plan.BoxRecord{}
	for _, side := range plan.Sides {
		rec.Side[side] = plan.BoxSide{Name: mail.Inbox, Epoch: "1", Cursor: "c"}
	}
	if err := ix.Settle(context.Background(), &plan.Settlement{Boxes: []*plan.BoxRecord{rec}}); err != nil {
		t.Fatal(err)
	}
	return rec.ID
}

func paired(box mail.BoxID, local, remote mail.Ref) *plan.Row {
	return &plan.Row{At: [2]plan.Place{{Box: box, Ref: local}, {Box: box, Ref: remote}}, Epoch: [2]string{"1", "1"}}
}

func TestSettleGivesIDsAndCounts(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	s := &plan.Settlement{Put: []*plan.Row{paired(box, "a", "1"), paired(box, "b", "2")}}
	if err := ix.Settle(ctx, s); err != nil {
		t.Fatal(err)
	}
	if s.Put[0].ID == 0 || s.Put[1].ID == s.Put[0].ID {
		t.Errorf("IDs are %d and %d", s.Put[0].ID, s.Put[1].ID)
	}
	boxes, _ := ix.Boxes(ctx)
	if boxes[0].Side[plan.Local].Known != 2 || boxes[0].Side[plan.Remote].Known != 2 {
		t.Errorf("known: %+v", boxes[0].Side)
	}
	if counts, _ := ix.Counts(ctx); counts[box] != 2 {
		t.Errorf("counts: %v", counts)
	}
}

func TestSettleRefusesAndChangesNothing(t *testing.T) {
	ctx := context.Background()
	wrong := map[string]func(box mail.BoxID) *plan.Settlement{
		"a place bound twice": func(box mail.BoxID) *plan.Settlement {
			return &plan.Settlement{Put: []*plan.Row{paired(box, "b", "1")}}
		},
		"paired with one place": func(box mail.BoxID) *plan.Settlement {
			return &plan.Settlement{Put: []*plan.Row{{At: [2]plan.Place{{Box: box, Ref: "x"}}}}}
		},
		"unbound with two places": func(box mail.BoxID) *plan.Settlement {
			r := paired(box, "x", "9")
			r.State = plan.Unbound
			return &plan.Settlement{Put: []*plan.Row{r}}
		},
		"held without a row": func(box mail.BoxID) *plan.Settlement {
			return &plan.Settlement{Hold: []plan.Held{{Row: 77, Box: box}}}
		},
		"a row in no mailbox": func(mail.BoxID) *plan.Settlement {
			return &plan.Settlement{Put: []*plan.Row{paired(99, "x", "9")}}
		},
		"a row that does not exist": func(box mail.BoxID) *plan.Settlement {
			r := paired(box, "x", "9")
			r.ID = 55
			return &plan.Settlement{Put: []*plan.Row{r}}
		},
	}
	for name, make := range wrong {
		t.Run(name, func(t *testing.T) {
			ix := NewMemoryIndex()
			box := inboxPair(t, ix)
			first := &plan.Settlement{Put: []*plan.Row{paired(box, "a", "1")}}
			if err := ix.Settle(ctx, first); err != nil {
				t.Fatal(err)
			}
			s := make(box)
			s.Events = []plan.Event{{Verb: "pulled"}}
			s.Drop = []int64{}
			if err := ix.Settle(ctx, s); err == nil {
				t.Fatal("it was written")
			}
			if n := len(ix.AllRows()); n != 1 {
				t.Errorf("%d rows", n)
			}
			if len(ix.Events()) != 0 {
				t.Error("half of it was written")
			}
		})
	}
}

func TestARefPassesFromRowToRow(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	first := paired(box, "a", "1")
	if err := ix.Settle(ctx, &plan.Settlement{Put: []*plan.Row{first}}); err != nil {
		t.Fatal(err)
	}
	second := paired(box, "a", "1")
	if err := ix.Settle(ctx, &plan.Settlement{Drop: []int64{first.ID}, Put: []*plan.Row{second}}); err != nil {
		t.Fatal(err)
	}
	if rows := ix.AllRows(); len(rows) != 1 || rows[0].ID != second.ID || second.ID == first.ID {
		t.Errorf("rows: %+v", rows)
	}
}

func TestIndexCloneIsApart(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	c := ix.Clone()
	if err := ix.Settle(ctx, &plan.Settlement{Put: []*plan.Row{paired(box, "a", "1")}, Meta: map[string]string{"k": "v"}}); err != nil {
		t.Fatal(err)
	}
	meta, _ := c.Meta(ctx)
	if len(c.AllRows()) != 0 || len(meta) != 0 {
		t.Error("the clone changed with its original")
	}
}

func TestIntentsAreOpenUntilDone(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	in := []plan.Intent{{Kind: plan.IntentPut, To: box}, {Kind: plan.IntentMove, To: box}}
	if err := ix.Begin(ctx, in); err != nil {
		t.Fatal(err)
	}
	if err := ix.Settle(ctx, &plan.Settlement{Done: []int64{in[0].ID}}); err != nil {
		t.Fatal(err)
	}
	open, _ := ix.Intents(ctx)
	if len(open) != 1 || open[0].ID != in[1].ID || open[0].Kind != plan.IntentMove {
		t.Errorf("open: %+v", open)
	}
}

func TestRowsExchangePlacesInOneSettlement(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	a, b := paired(box, "a", "1"), paired(box, "b", "2")
	if err := ix.Settle(ctx, &plan.Settlement{Put: []*plan.Row{a, b}}); err != nil {
		t.Fatal(err)
	}
	a.At, b.At = b.At, a.At
	if err := ix.Settle(ctx, &plan.Settlement{Put: []*plan.Row{a, b}}); err != nil {
		t.Fatal(err)
	}
	if rows := ix.AllRows(); rows[0].At[plan.Local].Ref != "b" || rows[1].At[plan.Local].Ref != "a" {
		t.Errorf("rows: %+v", rows)
	}
}

func TestPendingTakesTheCursor(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	change := plan.Pending{Side: plan.Remote, At: plan.Place{Box: box, Ref: "7"}, Kind: plan.KindNew}
	if err := ix.Settle(ctx, &plan.Settlement{Pending: []plan.Pending{change, change}}); err != nil {
		t.Fatal(err)
	}
	boxes, _ := ix.Boxes(ctx)
	if boxes[0].Side[plan.Remote].Cursor != "" || boxes[0].Side[plan.Local].Cursor == "" {
		t.Errorf("cursors: %+v", boxes[0].Side)
	}
	if pending, _ := ix.Pending(ctx); len(pending) != 1 {
		t.Errorf("pending: %+v", pending)
	}
}

func TestForgottenRowsAreSeenAgainElsewhere(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	inbox := inboxPair(t, ix)
	work := &plan.BoxRecord{}
	for _, side := range plan.Sides {
		work.Side[side] = plan.BoxSide{Name: "Work", Epoch: "1", Cursor: "c"}
	}
	if err := ix.Settle(ctx, &plan.Settlement{Boxes: []*plan.BoxRecord{work}}); err != nil {
		t.Fatal(err)
	}
	moved := paired(inbox, "a", "1")
	moved.At[plan.Remote].Box = work.ID
	if err := ix.Settle(ctx, &plan.Settlement{Put: []*plan.Row{moved}}); err != nil {
		t.Fatal(err)
	}
	if err := ix.Settle(ctx, &plan.Settlement{Forget: []mail.BoxID{work.ID}}); err != nil {
		t.Fatal(err)
	}
	boxes, _ := ix.Boxes(ctx)
	if len(boxes) != 1 || len(ix.AllRows()) != 0 || boxes[0].Side[plan.Local].Cursor != "" {
		t.Errorf("boxes %+v, rows %+v", boxes, ix.AllRows())
	}
}

func TestConsistencySeesAnotherEpoch(t *testing.T) {
	ctx, ix := context.Background(), NewMemoryIndex()
	box := inboxPair(t, ix)
	row := paired(box, "a", "1")
	row.Epoch[plan.Remote] = "2"
	if err := ix.Settle(ctx, &plan.Settlement{Put: []*plan.Row{row}}); err != nil {
		t.Fatal(err)
	}
	if err := ix.CheckConsistency(); err == nil {
		t.Error("a place in another epoch than its mailbox is consistent")
	}
}
