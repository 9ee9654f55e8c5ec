package plan

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

// model is both sides and the index of a small account.
type model struct {
	side [2]map[Place]held
	rows []Row
	next int
}

type held struct {
	word  string
	flags mail.FlagSet
}

var drawFlags = rapid.Custom(func(t *rapid.T) mail.FlagSet {
	return mail.NewFlagSet(rapid.SliceOfN(rapid.SampledFrom([]mail.Flag{mail.Seen, mail.Flagged, mail.Deleted, "$Todo"}), 0, 3).Draw(t, "flags")...)
})

func (m *model) ref() mail.Ref {
	m.next++
	return mail.Ref(strconv.Itoa(m.next))
}

func drawBox(t *rapid.T) mail.BoxID { return mail.BoxID(rapid.IntRange(1, 3).Draw(t, "box")) }

// drawModel makes an account: some messages that the index knows, with what
// has happened to them since on each side, and some that are new.
func drawModel(t *rapid.T) *model {
	m := &model{side: [2]map[Place]held{{}, {}}}
	for i := range rapid.IntRange(0, 5).Draw(t, "rows") {
		m.drawRow(t, int64(i)+1)
	}
	for range rapid.IntRange(0, 4).Draw(t, "new") {
		s := Side(rapid.IntRange(0, 1).Draw(t, "side"))
		word := rapid.SampledFrom([]string{"m", "n", "o"}).Draw(t, "word")
		m.side[s][Place{drawBox(t), m.ref()}] = held{word, drawFlags.Draw(t, "flags")}
	}
	return m
}

func (m *model) drawRow(t *rapid.T, id int64) {
	box, word, flags := drawBox(t), fmt.Sprint("row", id), drawFlags.Draw(t, "base")
	ident := identity(word)
	r := Row{ID: id, Epoch: [2]string{"1", "1"}, Flags: [2]mail.FlagSet{flags, flags}, Ident: [2]mail.Identity{ident, ident}}
	for _, s := range Sides {
		r.At[s] = Place{box, m.ref()}
		switch rapid.IntRange(0, 5).Draw(t, "fate") {
		case 0: // gone
		case 1:
			m.side[s][Place{drawBox(t), m.ref()}] = held{word, drawFlags.Draw(t, "moved")}
		case 2:
			m.side[s][r.At[s]] = held{word, drawFlags.Draw(t, "flagged")}
		default:
			m.side[s][r.At[s]] = held{word, flags}
		}
	}
	if rapid.IntRange(0, 6).Draw(t, "unbound") == 0 {
		s := Side(rapid.IntRange(0, 1).Draw(t, "which"))
		r.At[s], r.Epoch[s], r.State = Place{}, "", Unbound
	}
	m.rows = append(m.rows, r)
}

// input compares the sides with the rows, as complete scans would.
func (m *model) input(p Policy) Input {
	in := Input{Boxes: threeBoxes(), Policy: p, Rows: slices.Clone(m.rows)}
	for _, s := range Sides {
		bound := map[Place]Row{}
		for _, r := range m.rows {
			if !r.At[s].IsZero() {
				bound[r.At[s]] = r
			}
		}
		for at, h := range m.side[s] {
			c := Change{Side: s, At: at, Epoch: "1"}.Of(mail.Item{Flags: h.flags, Ident: identity(h.word)})
			if r, ok := bound[at]; !ok {
				c.Kind = KindNew
				in.Changes = append(in.Changes, c)
			} else if !h.flags.Equal(r.Flags[s]) {
				c.Kind, c.Row = KindFlags, r.ID
				in.Changes = append(in.Changes, c)
			}
		}
		for at, r := range bound {
			if _, ok := m.side[s][at]; !ok {
				in.Changes = append(in.Changes, Change{Side: s, Kind: KindGone, At: at, Row: r.ID, Epoch: "1"})
			}
		}
	}
	return in
}

// apply carries out a plan as an engine without any trouble would.
func (m *model) apply(p Plan) {
	rows := map[int64]Row{}
	for _, r := range m.rows {
		rows[r.ID] = r
	}
	for _, id := range p.Drops {
		delete(rows, id)
	}
	for _, b := range p.Binds {
		rows[b.Row.ID] = b.Row
	}
	for i, g := range p.Gains {
		from := g.To.Other()
		r := NewRow(from, g.From, g.Epoch, g.Item())
		r.ID = -int64(1000 + i)
		if g.Row != nil {
			r = *g.Row
		}
		r.At[g.To] = Place{g.Box, m.ref()}
		r.Epoch[g.To], r.State = "1", Paired
		r.Flags = [2]mail.FlagSet{g.Flags, g.Flags}
		r.Ident[g.To] = r.Ident[g.To.Other()]
		m.side[g.To][r.At[g.To]] = held{m.side[g.To.Other()][g.From].word, g.Flags}
		rows[r.ID] = r
	}
	for _, o := range p.Flags {
		r := rows[o.Row]
		h := m.side[o.Side][o.At]
		h.flags = h.flags.Union(o.Add).Minus(o.Remove)
		m.side[o.Side][o.At] = h
		for _, s := range Sides {
			r.Flags[s] = r.Flags[s].Union(o.CarryAdd).Minus(o.CarryRemove)
		}
		rows[o.Row] = r
	}
	for _, mv := range p.Moves {
		r := rows[mv.Row]
		to := Place{mv.To, m.ref()}
		m.side[mv.Side][to] = m.side[mv.Side][mv.From]
		delete(m.side[mv.Side], mv.From)
		r.At[mv.Side], r.At[mv.Side.Other()], r.State = to, mv.At, Paired
		r.Epoch = [2]string{"1", "1"}
		rows[mv.Row] = r
	}
	for _, l := range p.Losses {
		delete(m.side[l.Side], l.At)
		delete(rows, l.Row)
	}
	m.rows = nil
	next := int64(1000 + len(rows))
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		r := rows[id]
		if r.ID < 0 {
			next++
			r.ID = next
		}
		m.rows = append(m.rows, r)
	}
}

func drawPolicy(t *rapid.T) Policy {
	return rapid.SampledFrom([]Policy{Mirror(), Pull(), Push()}).Draw(t, "policy")
}

func TestApplyingAPlanLeavesNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, p := drawModel(t), drawPolicy(t)
		first := Reconcile(m.input(p))
		m.apply(first)
		if again := Reconcile(m.input(p)); !again.Empty() {
			t.Fatalf("after %q\nthere is still %q", describePlan(first), describePlan(again))
		}
	})
}

func TestMirrorMakesBothSidesAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		m.apply(Reconcile(m.input(Mirror())))
		var sides [2][]string
		for _, s := range Sides {
			for at, h := range m.side[s] {
				// \Deleted stays where it is when messages are adopted.
				sides[s] = append(sides[s], fmt.Sprint(at.Box, h.word, h.flags.Without(mail.Deleted)))
			}
			slices.Sort(sides[s])
		}
		if !slices.Equal(sides[Local], sides[Remote]) {
			t.Fatalf("local  %q\nremote %q", sides[Local], sides[Remote])
		}
	})
}

func TestTheOrderOfTheInputDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawModel(t).input(drawPolicy(t))
		want := Reconcile(in)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(in.Changes), func(i, j int) { in.Changes[i], in.Changes[j] = in.Changes[j], in.Changes[i] })
		rng.Shuffle(len(in.Rows), func(i, j int) { in.Rows[i], in.Rows[j] = in.Rows[j], in.Rows[i] })
		if got := Reconcile(in); !reflect.DeepEqual(got, want) {
			t.Fatalf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestNoLossWithoutEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		in := m.input(Mirror())
		for i := range in.Boxes {
			for _, s := range Sides {
				in.Boxes[i].View[s] = View(rapid.IntRange(0, 2).Draw(t, "view"))
			}
		}
		for _, l := range Reconcile(in).Losses {
			gone := l.Side.Other()
			for _, b := range in.Boxes {
				if b.View[gone] < Complete {
					t.Fatalf("%+v although mailbox %d was not completely seen on the %s side", l, b.ID, gone)
				}
			}
			k := slices.IndexFunc(in.Changes, func(c Change) bool { return c.Kind == KindGone && c.Side == gone && c.Row == l.Row })
			r := slices.IndexFunc(in.Rows, func(r Row) bool { return r.ID == l.Row && !r.At[gone].IsZero() })
			if k < 0 || r < 0 {
				t.Fatalf("%+v without a row that was bound on both sides, and a message gone on one", l)
			}
		}
	})
}

func TestNothingIsLostFromBothSides(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := drawModel(t)
		before := [2]map[string]bool{m.words(Local), m.words(Remote)}
		gone := map[string]bool{}
		in := m.input(Mirror())
		for _, c := range in.Changes {
			if c.Kind == KindGone {
				gone[fmt.Sprint("row", c.Row)] = true
			}
		}
		m.apply(Reconcile(in))
		for _, s := range Sides {
			for w := range before[s] {
				if !gone[w] && !m.words(s)[w] {
					t.Fatalf("%s was on the %s side, nobody deleted it, and it is gone", w, s)
				}
			}
		}
	})
}

func (m *model) words(s Side) map[string]bool {
	out := map[string]bool{}
	for _, h := range m.side[s] {
		out[h.word] = true
	}
	return out
}

// swapped is the same input seen from the other side.
func swapped(in Input) Input {
	out := Input{Policy: in.Policy.swapped()}
	for _, r := range in.Rows {
		r.At[0], r.At[1] = r.At[1], r.At[0]
		r.Epoch[0], r.Epoch[1] = r.Epoch[1], r.Epoch[0]
		r.Flags[0], r.Flags[1] = r.Flags[1], r.Flags[0]
		r.Ident[0], r.Ident[1] = r.Ident[1], r.Ident[0]
		out.Rows = append(out.Rows, r)
	}
	for _, c := range in.Changes {
		c.Side = c.Side.Other()
		out.Changes = append(out.Changes, c)
	}
	for _, b := range in.Boxes {
		b.View[0], b.View[1] = b.View[1], b.View[0]
		out.Boxes = append(out.Boxes, b)
	}
	return out
}

func (p Policy) swapped() Policy {
	for _, b := range []*[2]bool{&p.Create, &p.Gain, &p.Flag, &p.Move, &p.Lose, &p.RemoveBoxes} {
		b[0], b[1] = b[1], b[0]
	}
	p.Prefer = p.Prefer.Other()
	return p
}

func TestSwappingTheSidesSwapsThePlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := drawModel(t).input(drawPolicy(t))
		want := describePlan(Reconcile(in))
		got := describePlan(Reconcile(swapped(in)))
		for i := range got {
			got[i] = swapSides(got[i])
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("swapped and swapped back %q\nwant %q", got, want)
		}
	})
}

func swapSides(s string) string {
	for i := 0; i+2 < len(s); i++ {
		if s[i] == ' ' && (s[i+1] == 'L' || s[i+1] == 'R') && (i+2 == len(s) || s[i+2] == ' ') {
			return s[:i+1] + string('L'+'R'-rune(s[i+1])) + s[i+2:]
		}
	}
	if s == "keep L" {
		return "keep R"
	} else if s == "keep R" {
		return "keep L"
	}
	return s
}

func TestGuard(t *testing.T) {
	tests := []struct {
		name               string
		losses, count, day int
		role               mail.Role
		passed             bool
		want               int // losses that remain
	}{
		{name: "ten always pass", losses: 10, count: 12, want: 10},
		{name: "eleven of twelve", losses: 11, count: 12, want: 0},
		{name: "a quarter", losses: 25, count: 100, want: 25},
		{name: "over a quarter", losses: 26, count: 100, want: 0},
		{name: "all of two", losses: 2, count: 2, want: 2},
		{name: "all of three", losses: 3, count: 3, want: 0},
		{name: "a drip", losses: 1, count: 75, day: 25, want: 0},
		{name: "trash may be emptied", losses: 50, count: 50, role: mail.RoleTrash, want: 50},
		{name: "accepted", losses: 50, count: 50, passed: true, want: 50},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Plan{}
			in := GuardInput{
				Percent: 25, Counts: map[mail.BoxID]int{1: tt.count}, Recent: map[mail.BoxID]int{1: tt.day},
				Roles: map[mail.BoxID]mail.Role{1: tt.role}, Passed: map[int64]bool{},
			}
			for i := range tt.losses {
				l := Loss{Side: Remote, At: Place{1, mail.Ref(strconv.Itoa(i + 1))}, Row: int64(i + 1)}
				l.Settle = []Ref{{Side: Local, Kind: KindGone, At: l.At}}
				p.Losses = append(p.Losses, l)
				in.Passed[l.Row] = tt.passed
			}
			Guard(&p, in)
			if len(p.Losses) != tt.want || len(p.Holds) != tt.losses-tt.want {
				t.Errorf("%d pass and %d are held, want %d to pass", len(p.Losses), len(p.Holds), tt.want)
			}
		})
	}
}

func TestGuardOfTheAccount(t *testing.T) {
	// Each mailbox is within its share, the account is not.
	p := Plan{}
	in := GuardInput{Percent: 25, Counts: map[mail.BoxID]int{}, Passed: map[int64]bool{}}
	for box := mail.BoxID(1); box <= 6; box++ {
		in.Counts[box] = 20
		for i := range 9 {
			p.Losses = append(p.Losses, Loss{Side: Remote, At: Place{box, mail.Ref(strconv.Itoa(i + 1))}, Row: int64(box)*100 + int64(i), Settle: []Ref{{}}})
		}
	}
	Guard(&p, in)
	if len(p.Losses) != 0 {
		t.Errorf("%d of 54 deletions pass", len(p.Losses))
	}
}

func TestGuardOfFlags(t *testing.T) {
	p := Plan{}
	in := GuardInput{Percent: 25, Counts: map[mail.BoxID]int{1: 300}, Passed: map[int64]bool{}}
	for i := range 150 {
		p.Flags = append(p.Flags, FlagOp{Side: Remote, At: Place{1, mail.Ref(strconv.Itoa(i + 1))}, Row: int64(i + 1), Remove: mail.NewFlagSet(mail.Seen), Settle: []Ref{{}}})
	}
	Guard(&p, in)
	if len(p.Flags) != 0 || len(p.Holds) != 150 {
		t.Errorf("%d losses of \\Seen pass, %d are held", len(p.Flags), len(p.Holds))
	}
}
