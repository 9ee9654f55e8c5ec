package engine_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var wideSeeds = flag.Int("wide", 100, "how many seeds the wide torture runs")

// wide is a life with copies, mailboxes that come and change their names, and
// servers that number anew: too much happens for one outcome to be foretold.
// What must hold is that both sides agree in the end, and that there are as
// many copies of each letter as were made, less at most those deleted.
type wide struct {
	*torture
	made, deleted map[int]int
	names         int
	restored      bool      // there may be more copies than were made
	answered      bool      // a vanished mailbox was given up
	copies        plan.Side // where copies are made in this round: two equal ones are joined
}

func newWide(seed uint64) *wide {
	x := &wide{torture: newTorture(seed + 1<<32), made: map[int]int{}, deleted: map[int]int{}}
	x.opts.Policy.RemoveBoxes = [2]bool{x.rng.IntN(2) == 0, false}
	return x
}

func (x *wide) sides() [2]*sidetest.Memory { return [2]*sidetest.Memory{x.local, x.remote} }

// boxes are the names of a side's mailboxes.
func boxesOf(m *sidetest.Memory) (names []mail.MailboxName) {
	for name := range m.Snapshot() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// numberOf is the number of a letter.
func numberOf(msg sidetest.Message) (n int) {
	fmt.Sscanf(string(sidetest.Canonical(msg.Body))[len("From: a@example.org\r\nTo: b@example.org\r\nSubject: "):], "letter %d", &n)
	return n
}

func (x *wide) anyBox(m *sidetest.Memory) mail.MailboxName {
	names := boxesOf(m)
	return names[x.rng.IntN(len(names))]
}

// do lets one thing happen to one message or mailbox of a side.
func (x *wide) do(side plan.Side) {
	m := x.sides()[side]
	box := x.anyBox(m)
	list := m.Snapshot()[box]
	kind := x.rng.IntN(30)
	switch {
	case kind < 5 || len(list) == 0:
		n := x.next
		x.next++
		x.made[n]++
		m.Deliver(box, letter(n), x.someFlags(), day.AddDate(0, 0, n))
		x.tell("deliver %d to %s on %s", n, box, side)
		return
	case kind == 5:
		x.renameBox(m, side, box)
		return
	case kind == 6:
		x.names++
		m.CreateBox(mail.MailboxName(fmt.Sprintf("%s/N%d", box, x.names)))
		x.tell("create %s/N%d on %s", box, x.names, side)
		return
	case kind == 7 && x.rng.IntN(3) == 0:
		x.remote.ResetEpoch(x.anyBox(x.remote))
		x.restored = true
		x.tell("reset a mailbox")
		return
	}
	msg := list[x.rng.IntN(len(list))]
	n := numberOf(msg)
	switch {
	case kind < 13:
		m.SetFlags(box, msg.Ref, x.someFlags())
		x.tell("flag %d in %s on %s", n, box, side)
	case kind < 20:
		to := x.anyBox(m)
		m.Move(box, msg.Ref, to, x.rng.IntN(2) == 0)
		x.tell("move %d from %s to %s on %s", n, box, to, side)
	case kind < 24 && side == x.copies:
		to := x.anyBox(m)
		m.Copy(box, msg.Ref, to)
		x.made[n]++
		x.tell("copy %d from %s to %s on %s", n, box, to, side)
	case kind >= 24 && kind < 28:
		m.Expunge(box, msg.Ref)
		x.deleted[n]++
		x.tell("delete %d in %s on %s", n, box, side)
	case side == plan.Local:
		m.Touch(box, msg.Ref)
		x.tell("touch %d in %s", n, box)
	}
}

func (x *wide) renameBox(m *sidetest.Memory, side plan.Side, box mail.MailboxName) {
	x.names++
	to := mail.MailboxName(fmt.Sprintf("R%d", x.names))
	switch kind := x.rng.IntN(3); {
	case kind == 0 && side == x.copies: // on both sides it could be each below the other
		to = x.anyBox(m) + "/" + to
	case kind == 1:
		if names := boxesOf(x.sides()[side.Other()]); x.rng.IntN(3) == 0 {
			to = names[x.rng.IntN(len(names))]
		}
	}
	if m.RenameBox(box, to) {
		x.tell("rename %s to %s on %s", box, to, side)
	}
}

func (x *wide) round(t *testing.T, round int) {
	x.copies = plan.Side(x.rng.IntN(2))
	for range 1 + x.rng.IntN(2) {
		for range x.rng.IntN(12) {
			x.do(plan.Side(x.rng.IntN(2)))
		}
		if x.rng.IntN(2) == 0 {
			x.interrupted(t)
			x.restored = true // what a dead run sent, and both sides then moved, is two messages
		}
	}
	rep, err := x.try()
	x.tell("run: exit %d %v", rep.Exit(), x.actions())
	for try := range 4 {
		if err == nil && rep.Exit() == 3 {
			// A message that left a mailbox which is gone is not known to have
			// moved: it may be copied. What is left when the removal is accepted
			// holds mail that came since.
			x.restored, x.answered = true, true
			rep, err = x.try([]func(*engine.Options){accept, reject}[try/2])
			x.tell("answered: exit %d %v", rep.Exit(), x.actions())
		}
	}
	if err != nil || rep.Exit() != 0 {
		pending, _ := x.index.Pending(t.Context())
		t.Fatalf("round %d: exit %d, %v, %v, pending %+v\n%s", round, rep.Exit(), err, rep.Faults, pending, x.tail())
	}
	for n, made := range x.made {
		c := count(x.local, n)
		least := made - x.deleted[n]
		if x.answered {
			least = min(least, 1) // a copy there and a move here to one mailbox are joined
		}
		if c < least || c > made && !x.restored {
			t.Fatalf("round %d: %d copies of letter %d, of which %d were made and %d deleted\n%s", round, c, n, made, x.deleted[n], x.tail())
		}
		x.made[n], x.deleted[n] = c, 0
	}
	x.restored, x.answered = false, false
	if d := sidetest.Compare(x.local.Snapshot(), x.remote.Snapshot()); d != "" {
		t.Fatalf("round %d: the sides differ:\n%s\n%s", round, d, x.tail())
	}
	if x.rng.IntN(3) == 0 {
		x.quiet(t)
	}
}

// TestWideTorture lets accounts live a wider life than TestTorture's.
func TestWideTorture(t *testing.T) {
	for seed := *first; seed < *first+*wideSeeds; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			x := newWide(uint64(seed))
			for round := range 8 {
				x.round(t, round)
			}
		})
	}
}
