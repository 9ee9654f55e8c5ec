package engine_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var seeds = flag.Int("seeds", 150, "how many seeds the torture runs")

var first = flag.Int("first", 0, "the first seed of the torture")

// fate is what must have become of one letter.
type fate struct {
	box   mail.MailboxName
	flags mail.FlagSet
	date  time.Time
	gone  bool
}

// torture is a random life of an account, and what must come of it.
type torture struct {
	*world
	rng   *rand.Rand
	fates map[int]*fate
	next  int
	log   []string
}

var tortureBoxes = []mail.MailboxName{"INBOX", "Work", "Work/Deep", "Entwürfe", "Lists"}

var tortureFlags = []mail.Flag{mail.Seen, mail.Flagged, mail.Answered, mail.Deleted, mail.Draft, mail.Forwarded, "$Todo", "urgent"}

func newTorture(seed uint64) *torture {
	x := &torture{world: newWorld(), rng: rand.New(rand.NewPCG(seed, 1)), fates: map[int]*fate{}}
	x.opts.GuardPercent = 0
	x.opts.ChunkMessages = int(seed % 4) // 0 is more than there ever are
	for _, b := range tortureBoxes {
		x.remote.CreateBox(b)
	}
	tr := &x.remote.Traits
	switch x.rng.IntN(5) {
	case 0:
		*tr = sidetest.BareServer()
	case 1:
		tr.QResync = false
	case 2:
		tr.GlobalIDs, tr.SharedEpoch = true, true
	case 3:
		tr.NoNext, tr.UIDPlus, tr.Looks = true, false, true
	}
	x.local.Traits.TellsSame = x.rng.IntN(2) == 0
	return x
}

func (x *torture) tell(format string, args ...any) {
	x.log = append(x.log, fmt.Sprintf(format, args...))
}

func (x *torture) pick() mail.MailboxName { return tortureBoxes[x.rng.IntN(len(tortureBoxes))] }

func (x *torture) someFlags() mail.FlagSet {
	var s mail.FlagSet
	for _, f := range tortureFlags {
		if f == mail.Deleted && !x.remote.Traits.UIDPlus {
			continue // such a server can expunge only all that is marked: godwit waits
		}
		if x.rng.IntN(4) == 0 {
			s = s.With(f)
		}
	}
	return s
}

// arrive delivers new letters on both sides.
func (x *torture) arrive() {
	for range x.rng.IntN(5) {
		n, box, flags := x.next, x.pick(), x.someFlags()
		x.next++
		side := plan.Side(x.rng.IntN(2))
		date := day.AddDate(0, 0, n)
		[2]*sidetest.Memory{x.local, x.remote}[side].Deliver(box, letter(n), flags, date)
		x.fates[n] = &fate{box: box, flags: flags, date: date}
		x.tell("deliver %d to %s on %s [%s]", n, box, side, flags)
	}
}

// act is what happens to one letter on one side.
type act struct {
	moved   mail.MailboxName // "" if it was not
	deleted bool
	flags   mail.FlagSet
}

func (x *torture) act(m *sidetest.Memory, side plan.Side, n int, f *fate) act {
	a := act{flags: f.flags}
	ref := find(m, f.box, n)
	if ref == "" {
		panic(fmt.Sprintf("letter %d is not in %s on %s", n, f.box, side))
	}
	kind := x.rng.IntN(12)
	if kind < 3 {
		a.flags = x.someFlags()
		m.SetFlags(f.box, ref, a.flags)
		x.tell("flag %d on %s: [%s] to [%s]", n, side, f.flags, a.flags)
	}
	switch kind {
	case 2, 3, 4:
		if to := x.pick(); to != f.box {
			a.moved = to
			m.Move(f.box, ref, to, x.rng.IntN(2) == 0)
			x.tell("move %d on %s: %s to %s", n, side, f.box, to)
		}
	case 5:
		a.deleted = true
		m.Expunge(f.box, ref)
		x.tell("delete %d on %s", n, side)
	case 6:
		if side == plan.Local {
			x.rewrite(m, ref, n, f, &a)
		}
	}
	return a
}

// rewrite is what programs do to files only.
func (x *torture) rewrite(m *sidetest.Memory, ref mail.Ref, n int, f *fate, a *act) {
	switch x.rng.IntN(3) {
	case 0:
		m.Rekey(f.box, ref)
		x.tell("rename the file of %d", n)
	case 1:
		m.Touch(f.box, ref)
		x.tell("touch the file of %d", n)
	case 2: // another letter, under the name of this one
		x.tell("edit the file of %d: now it is %d", n, x.next)
		m.Edit(f.box, ref, letter(x.next))
		x.fates[x.next] = &fate{box: f.box, flags: f.flags, date: m.Clock()}
		x.next++
		a.deleted = true
	}
}

// live lets a round of random changes happen on both sides, and says what must
// come of them. Letters in spare are left alone: a run that was interrupted
// may have carried over what happened to them, or not.
func (x *torture) live(spare map[int]bool) {
	first := x.next
	for _, n := range slices.Sorted(maps.Keys(x.fates)) {
		f := x.fates[n]
		if f.gone || spare[n] {
			continue
		}
		l := x.act(x.local, plan.Local, n, f)
		r := x.act(x.remote, plan.Remote, n, f)
		spare[n] = true
		x.merge(f, l, r)
	}
	x.arrive()
	for n := first; n < x.next; n++ {
		spare[n] = true
	}
}

// interrupted is a run in which something fails, or that dies.
func (x *torture) interrupted(t *testing.T) {
	var f sidetest.Faults
	mode := sidetest.Modes[x.rng.IntN(len(sidetest.Modes))]
	f.FailAt(1+x.rng.IntN(120), mode)
	_, err := x.try(func(o *engine.Options) {
		o.Local = sidetest.Faulty(o.Local, &f, "local")
		o.Remote = sidetest.Faulty(o.Remote, &f, "remote")
		o.Index = sidetest.FaultyIndex(o.Index, &f)
		o.Keeper = sidetest.FaultyKeeper(o.Keeper, &f)
	})
	if err != nil && f.Hit() == "" {
		t.Fatalf("a run without a fault: %v\n%s", err, x.tail())
	}
	x.tell("run: %s", f.Hit())
	for _, a := range x.actions() {
		x.tell("    %s", a)
	}
}

func (x *torture) merge(f *fate, l, r act) {
	base := f.flags
	switch {
	case l.deleted && r.deleted, l.deleted && r.moved == "", r.deleted && l.moved == "":
		f.gone = true
	case l.deleted:
		f.box, f.flags = r.moved, r.flags
	case r.deleted:
		f.box, f.flags = l.moved, l.flags
	default:
		if r.moved != "" {
			f.box = r.moved
		} else if l.moved != "" {
			f.box = l.moved
		}
		removed := base.Minus(l.flags).Union(base.Minus(r.flags))
		f.flags = base.Union(l.flags).Union(r.flags).Minus(removed)
	}
}

// want is the account as it must be.
func (x *torture) want() sidetest.Snapshot {
	s := sidetest.Snapshot{}
	for _, b := range tortureBoxes {
		s[b] = nil
	}
	for n, f := range x.fates {
		if !f.gone {
			s[f.box] = append(s[f.box], sidetest.Message{Body: []byte(letter(n)), Flags: f.flags, Date: f.date})
		}
	}
	return s
}

func (x *torture) check(t *testing.T, round int) {
	t.Helper()
	for _, side := range plan.Sides {
		got := [2]*sidetest.Memory{x.local, x.remote}[side].Snapshot()
		if d := sidetest.Compare(x.want(), got); d != "" {
			t.Fatalf("round %d: the %s side is not as it must be (first: wanted, second: found):\n%s\nlog:\n%v", round, side, d, x.tail())
		}
	}
}

func (x *torture) tail() string {
	out := ""
	for _, l := range x.log[max(0, len(x.log)-60):] {
		out += l + "\n"
	}
	return out
}

// TestTorture lets accounts live, with runs that fail or die at any step, and
// holds what a clean run makes of it against what must have come of it.
func TestTorture(t *testing.T) {
	for seed := *first; seed < *first+*seeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			x := newTorture(uint64(seed))
			for round := range 12 {
				x.round(t, round)
			}
		})
	}
}

func (x *torture) round(t *testing.T, round int) {
	spare := map[int]bool{}
	x.live(spare)
	for range x.rng.IntN(3) {
		x.interrupted(t)
		if x.rng.IntN(2) == 0 {
			x.live(spare)
		}
	}
	rep, err := x.try()
	x.tell("run")
	if err != nil || rep.Exit() != 0 {
		pending, _ := x.index.Pending(t.Context())
		t.Fatalf("round %d: exit %d, %v, %v, pending %+v\n%v\n%s", round, rep.Exit(), err, rep.Faults, pending, x.actions(), x.tail())
	}
	x.check(t, round)
	if x.rng.IntN(3) == 0 {
		x.quiet(t)
	}
}
