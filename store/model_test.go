package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// TestLikeTheIndexInMemory gives the same settlements, sensible and wrong, to
// the index in memory that the engine is tested with, and expects the same
// answers to every question after each.
func TestLikeTheIndexInMemory(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := must[*Store](t)(Open(context.Background(), t.TempDir()))
		defer finish(t, s)
		s.manyChanged = 2
		w := &walk{t: t, rt: rt, store: s, memory: sidetest.NewMemoryIndex()}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			w.step()
			w.compare()
		}
	})
}

// A walk is one random history of two indexes.
type walk struct {
	t      *testing.T
	rt     *rapid.T
	store  *Store
	memory *sidetest.MemoryIndex
	refs   int
	boxes  []plan.BoxRecord
	rows   []plan.Row
}

func (w *walk) step() {
	ctx := context.Background()
	w.boxes, _ = w.memory.Boxes(ctx)
	w.rows = w.memory.AllRows()
	switch rapid.IntRange(0, 9).Draw(w.rt, "step") {
	case 0:
		a := rapid.SliceOfN(genIntent, 0, 2).Draw(w.rt, "intents")
		for i := range a {
			a[i].To = 0 // the index in memory wants its mailbox to exist
		}
		b := slices.Clone(a)
		w.agree("begin", s2(w.store.Begin(ctx, a), w.memory.Begin(ctx, b)))
		same(w.t, "intents begun", a, b)
	case 1:
		r := genRun.Draw(w.rt, "run")
		r.Ended = genMoment.Draw(w.rt, "ended")
		w.agree("end of a run", s2(w.store.Settle(ctx, &plan.Settlement{Run: &r}), w.memory.Settle(ctx, &plan.Settlement{Run: &r})))
	default:
		w.settle()
	}
}

func s2(a, b error) [2]error { return [2]error{a, b} }

// agree expects both to do it, or both to refuse.
func (w *walk) agree(what string, errs [2]error) {
	w.t.Helper()
	if (errs[0] == nil) != (errs[1] == nil) {
		w.rt.Fatalf("%s: the store says %v, the index in memory %v", what, errs[0], errs[1])
	}
}

func (w *walk) settle() {
	ctx := context.Background()
	st := plan.Settlement{Meta: rapid.MapOfN(genText, genText, 0, 2).Draw(w.rt, "meta")}
	w.drawBox(&st)
	w.drawRows(&st)
	w.drawRest(&st)
	twin := st
	twin.Put, twin.Boxes, twin.Begin = nil, nil, slices.Clone(st.Begin)
	for _, r := range st.Put {
		twin.Put = append(twin.Put, ptr(*r))
	}
	for _, b := range st.Boxes {
		twin.Boxes = append(twin.Boxes, ptr(*b))
	}
	across := w.across(&st)
	errs := s2(w.store.Settle(ctx, &st), w.memory.Settle(ctx, &twin))
	w.agree(fmt.Sprintf("settle %+v into mailboxes\n%s", st, dump(w.boxes)), errs)
	same(w.t, "rows put", values(st.Put), values(twin.Put))
	same(w.t, "mailboxes put", values(st.Boxes), values(twin.Boxes))
	same(w.t, "intents begun", st.Begin, twin.Begin)
	if errs[0] == nil {
		w.takeCursors(across)
	}
}

func ptr[T any](v T) *T { return &v }

func values[T any](list []*T) []T {
	var out []T
	for _, p := range list {
		out = append(out, *p)
	}
	return out
}

// across lists the mailbox sides that share a row with a mailbox to be
// forgotten: the store takes their cursors, the index in memory does not.
func (w *walk) across(st *plan.Settlement) []plan.SideBox {
	var out []plan.SideBox
	latest := map[int64]plan.Row{}
	for _, r := range w.rows {
		latest[r.ID] = r
	}
	for i, r := range st.Put {
		id := r.ID
		if id == 0 {
			id = int64(-1 - i)
		}
		latest[id] = *r
	}
	for _, r := range latest {
		for _, side := range plan.Sides {
			at, other := r.At[side], r.At[side.Other()]
			if !at.IsZero() && !other.IsZero() && slices.Contains(st.Forget, at.Box) && !slices.Contains(st.Forget, other.Box) && !slices.Contains(st.Drop, r.ID) {
				out = append(out, plan.SideBox{Side: side.Other(), Box: other.Box})
			}
		}
	}
	return out
}

func (w *walk) takeCursors(sides []plan.SideBox) {
	ctx := context.Background()
	boxes, _ := w.memory.Boxes(ctx)
	for i := range boxes {
		for _, sb := range sides {
			if sb.Box == boxes[i].ID {
				boxes[i].Side[sb.Side].Cursor = ""
			}
		}
		if err := w.memory.Settle(ctx, &plan.Settlement{Boxes: []*plan.BoxRecord{&boxes[i]}}); err != nil {
			w.rt.Fatal(err)
		}
	}
}

func (w *walk) drawRows(st *plan.Settlement) {
	if len(w.rows) > 0 && rapid.Bool().Draw(w.rt, "drop") {
		st.Drop = append(st.Drop, rapid.SampledFrom(w.rows).Draw(w.rt, "dropped").ID)
	}
	if len(w.boxes) == 0 {
		return
	}
	put := map[int64]bool{}
	for range rapid.IntRange(0, 3).Draw(w.rt, "puts") {
		r := genContent.Draw(w.rt, "row")
		if len(w.rows) > 0 && rapid.Bool().Draw(w.rt, "replace") {
			r.ID = rapid.SampledFrom(w.rows).Draw(w.rt, "replaced").ID
		}
		if put[r.ID] {
			continue
		}
		put[r.ID] = r.ID != 0
		w.place(&r)
		st.Put = append(st.Put, &r)
	}
	if len(w.rows) > 0 && rapid.Bool().Draw(w.rt, "flags") {
		r := genContent.Draw(w.rt, "row with flags") // all else of it is not looked at
		r.ID = rapid.SampledFrom(w.rows).Draw(w.rt, "flagged").ID
		st.Flags = append(st.Flags, &r)
	}
	if len(st.Put) == 1 && len(st.Forget) == 0 && len(w.rows) > 0 && rapid.IntRange(0, 9).Draw(w.rt, "wrong") == 0 {
		taken := rapid.SampledFrom(w.rows).Draw(w.rt, "taken")
		st.Put[0].At, st.Put[0].Epoch = taken.At, taken.Epoch
		st.Put[0].State = taken.State
	}
}

// place gives a row new places, both or one.
func (w *walk) place(r *plan.Row) {
	r.State = plan.RowState(rapid.IntRange(0, 3).Draw(w.rt, "state"))
	lone := genSide.Draw(w.rt, "lone side")
	for _, side := range plan.Sides {
		if side == lone || r.State == plan.Paired {
			w.refs++
			box := rapid.SampledFrom(w.boxes).Draw(w.rt, "box")
			r.At[side] = plan.Place{Box: box.ID, Ref: mail.Ref(fmt.Sprint(w.refs))}
			r.Epoch[side] = "7"
		}
	}
}

func (w *walk) drawBox(st *plan.Settlement) {
	if len(w.boxes) > 0 && rapid.IntRange(0, 4).Draw(w.rt, "forget") == 0 {
		st.Forget = append(st.Forget, rapid.SampledFrom(w.boxes).Draw(w.rt, "forgotten").ID)
	}
	if !rapid.Bool().Draw(w.rt, "a mailbox") {
		return
	}
	b := &plan.BoxRecord{Role: mail.RoleSent, Side: [2]plan.BoxSide{genBoxSide.Draw(w.rt, "local half"), genBoxSide.Draw(w.rt, "remote half")}}
	if len(w.boxes) > 0 && rapid.Bool().Draw(w.rt, "known mailbox") {
		b.ID = rapid.SampledFrom(w.boxes).Draw(w.rt, "mailbox").ID
	}
	if slices.Contains(st.Forget, b.ID) {
		return
	}
	pending, _ := w.memory.Pending(context.Background())
	for _, side := range plan.Sides {
		b.Side[side].Name = rapid.SampledFrom([]mail.MailboxName{"INBOX", "A", "A/B", "C"}).Draw(w.rt, "name")
		b.Side[side].Epoch = "7"
		sb := plan.SideBox{Side: side, Box: b.ID}
		waits := slices.ContainsFunc(pending, func(p plan.Pending) bool { return p.Side == side && p.At.Box == b.ID })
		if waits && rapid.Bool().Draw(w.rt, "clear") {
			st.ClearPending, waits = append(st.ClearPending, sb), false
		}
		if b.ID != 0 && rapid.Bool().Draw(w.rt, "something pending") {
			w.refs++
			p := genPending.Draw(w.rt, "pending")
			p.Side, p.At = side, plan.Place{Box: b.ID, Ref: mail.Ref(fmt.Sprint(w.refs))}
			st.Pending, waits = append(st.Pending, p), true
		}
		if waits {
			b.Side[side].Cursor = ""
		}
	}
	st.Boxes = append(st.Boxes, b)
}

func (w *walk) drawRest(st *plan.Settlement) {
	intents, _ := w.memory.Intents(context.Background())
	for _, in := range intents {
		if rapid.Bool().Draw(w.rt, "done") {
			st.Done = append(st.Done, in.ID)
		}
	}
	if rapid.Bool().Draw(w.rt, "begin") {
		st.Begin = rapid.SliceOfN(genIntent, 0, 3).Draw(w.rt, "begun")
		for i := range st.Begin {
			st.Begin[i].To = 0 // the index in memory wants its mailbox to exist
		}
	}
	st.Losses = append(st.Losses, plan.LossRecord{Box: 1, At: genMoment.Draw(w.rt, "lost"), Count: 2, Accepted: rapid.Bool().Draw(w.rt, "accepted")})
	left := slices.DeleteFunc(slices.Clone(w.boxes), func(b plan.BoxRecord) bool { return slices.Contains(st.Forget, b.ID) })
	if len(left) == 0 {
		return
	}
	box := rapid.SampledFrom(left).Draw(w.rt, "its mailbox").ID
	sb := plan.SideBox{Side: genSide.Draw(w.rt, "its side"), Box: box}
	if rapid.Bool().Draw(w.rt, "clear declines") {
		st.ClearDeclines = append(st.ClearDeclines, sb)
	}
	if rapid.Bool().Draw(w.rt, "decline") {
		st.Declines = append(st.Declines, plan.Decline{Side: sb.Side, Box: box, What: genText.Draw(w.rt, "what"), At: genMoment.Draw(w.rt, "declined")})
	}
	if len(w.rows) > 0 && rapid.Bool().Draw(w.rt, "hold") {
		st.Hold = append(st.Hold, plan.Held{Row: rapid.SampledFrom(w.rows).Draw(w.rt, "held").ID, Box: box, Side: sb.Side, Since: genMoment.Draw(w.rt, "since")})
	}
	if row := int64(rapid.IntRange(1, 9).Draw(w.rt, "released")); len(st.Hold) == 0 || st.Hold[0].Row != row {
		st.Release = append(st.Release, row)
	}
}

// compare asks both everything.
func (w *walk) compare() {
	ctx, t := context.Background(), w.t
	boxes := must[[]plan.BoxRecord](t)(w.memory.Boxes(ctx))
	same(t, "mailboxes", must[[]plan.BoxRecord](t)(w.store.Boxes(ctx)), boxes)
	for _, b := range boxes {
		same(t, "rows in", must[[]plan.Row](t)(w.store.RowsIn(ctx, b.ID)), must[[]plan.Row](t)(w.memory.RowsIn(ctx, b.ID)))
		for _, side := range plan.Sides {
			var want []plan.Known
			_ = w.memory.Known(ctx, side, b.ID, func(k plan.Known) error { want = append(want, k); return nil })
			same(t, "known", known(t, w.store, side, b.ID), want)
			w.compareKnownAt(side, b.ID, want)
		}
	}
	for state := plan.Paired; state <= plan.Outside; state++ {
		same(t, state.String(), must[[]plan.Row](t)(w.store.RowsByState(ctx, state)), must[[]plan.Row](t)(w.memory.RowsByState(ctx, state)))
	}
	same(t, "intents", must[[]plan.Intent](t)(w.store.Intents(ctx)), must[[]plan.Intent](t)(w.memory.Intents(ctx)))
	sorted(t, "pending", must[[]plan.Pending](t)(w.store.Pending(ctx)), must[[]plan.Pending](t)(w.memory.Pending(ctx)))
	sorted(t, "held", must[[]plan.Held](t)(w.store.Held(ctx)), must[[]plan.Held](t)(w.memory.Held(ctx)))
	sorted(t, "declined", must[[]plan.Decline](t)(w.store.Declines(ctx)), must[[]plan.Decline](t)(w.memory.Declines(ctx)))
	sorted(t, "losses", must[[]plan.LossRecord](t)(w.store.Losses(ctx)), must[[]plan.LossRecord](t)(w.memory.Losses(ctx)))
	if got, want := must[map[string]string](t)(w.store.Meta(ctx)), must[map[string]string](t)(w.memory.Meta(ctx)); !maps.Equal(got, want) {
		t.Errorf("meta: %v, want %v", got, want)
	}
	if got, want := must[map[mail.BoxID]int](t)(w.store.Counts(ctx)), must[map[mail.BoxID]int](t)(w.memory.Counts(ctx)); !maps.Equal(got, want) {
		t.Errorf("counts: %v, want %v", got, want)
	}
	if t.Failed() {
		w.rt.FailNow()
	}
}

// compareKnownAt asks both about every second message there is, and one that is not.
func (w *walk) compareKnownAt(side plan.Side, box mail.BoxID, known []plan.Known) {
	refs := []mail.Ref{"none of them"}
	for i := 0; i < len(known); i += 2 {
		refs = append(refs, known[i].Ref)
	}
	ask := func(ix engine.Index) (int, []plan.Known) {
		var out []plan.Known
		bound, err := ix.KnownAt(context.Background(), side, box, refs, func(k plan.Known) error { out = append(out, k); return nil })
		if err != nil {
			w.t.Error(err)
		}
		return bound, out
	}
	bound, got := ask(w.store)
	wantBound, want := ask(w.memory)
	if bound != wantBound || bound != len(known) {
		w.t.Errorf("%d are bound in %d, want %d", bound, box, wantBound)
	}
	sorted(w.t, "known at", got, want)
}

// sorted compares what is a set to an index.
func sorted[T any](t *testing.T, what string, got, want []T) {
	t.Helper()
	lines := func(list []T) (out []string) {
		for _, v := range list {
			out = append(out, fmt.Sprintf("%+v", v))
		}
		slices.Sort(out)
		return out
	}
	same(t, what, lines(got), lines(want))
}
