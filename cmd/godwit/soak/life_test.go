package soak

import (
	"errors"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A program is what a person uses on one side: a mail program that knows
// nothing of godwit.
type program interface {
	deliver(box mail.MailboxName, l *letter, flags mail.FlagSet) error
	setFlags(box mail.MailboxName, mark string, flags mail.FlagSet) error
	move(box mail.MailboxName, mark string, to mail.MailboxName) error
	copy(box mail.MailboxName, mark string, to mail.MailboxName) error
	remove(box mail.MailboxName, mark string) error
	create(box mail.MailboxName) error
	rename(from, to mail.MailboxName, below []mail.MailboxName) error
	drop(box mail.MailboxName) error
}

// guardFree is how many messages a life with a guard deletes: with those that
// are moved while godwit looks, and seen as a copy first and a deletion later,
// fewer than the ten that may always go within a day.
const guardFree = 6

var someFlags = []mail.Flag{mail.Seen, mail.Flagged, mail.Answered, mail.Deleted, mail.Draft, mail.Forwarded, "$Todo", "urgent"}

func (x *soak) flags() mail.FlagSet {
	var s mail.FlagSet
	for _, f := range someFlags {
		if f == mail.Deleted && !x.shape.uidPlus {
			continue // such a server can expunge only all that is marked: godwit waits
		}
		if x.rng.IntN(4) == 0 {
			s = s.With(f)
		}
	}
	return s
}

// pick chooses a mailbox of those that fit, nil if none does.
func (x *soak) pick(fits func(*box) bool) *box {
	var list []*box
	for _, b := range x.boxes {
		if fits(b) {
			list = append(list, b)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[x.rng.IntN(len(list))]
}

// live lets a while pass at rest: everything may happen on both sides, to the
// letters that no earlier run of the round may have seen in change.
func (x *soak) live() error {
	for range x.rng.IntN(3) {
		if err := x.folder(x.side()); err != nil {
			return err
		}
	}
	var letters []*letter
	for _, m := range x.messages {
		if !slices.Contains(letters, m.letter) {
			letters = append(letters, m.letter)
		}
	}
	for _, l := range letters {
		if err := x.both(l); err != nil {
			return err
		}
	}
	for range x.rng.IntN(4) {
		if err := x.arrive(x.side()); err != nil {
			return err
		}
	}
	if x.rng.IntN(4) == 0 {
		return x.twin()
	}
	return nil
}

func (x *soak) side() plan.Side { return plan.Side(x.rng.IntN(2)) }

// both acts on a message on both sides.
func (x *soak) both(l *letter) error {
	copies := x.copies(l)
	if l.touched || l.ballast || len(copies) == 0 || x.rng.IntN(3) == 0 {
		return nil
	}
	m := copies[x.rng.IntN(len(copies))]
	acts := [2]act{{flags: m.flags}, {flags: m.flags}}
	for _, s := range plan.Sides {
		if !m.box.open(s) {
			continue
		}
		var err error
		if acts[s], err = x.act(s, m, acts[plan.Local]); err != nil {
			return err
		}
	}
	l.touched = true
	x.merge(m, acts[plan.Local], acts[plan.Remote])
	return nil
}

// act does something to a message on one side, where the other has done what
// other says.
func (x *soak) act(s plan.Side, m *message, other act) (act, error) {
	a := act{flags: m.flags}
	at, prog := m.box.name[s], x.programs[s]
	kind := x.rng.IntN(14)
	if kind < 4 {
		flags := x.flags()
		x.tell("flag %s on %s: [%s] to [%s]", m, s, m.flags, flags)
		err := prog.setFlags(at, m.mark(), flags)
		if errors.Is(err, errLocked) {
			x.tell("    dovecot-keywords is locked")
			return a, nil
		}
		if err != nil {
			return a, err
		}
		a.flags = flags
	}
	switch kind {
	case 3, 4, 5:
		return a, x.move(s, m, &a)
	case 6:
		return a, x.remove(s, m, &a)
	case 7:
		if other.moved == nil && !other.deleted && !other.copied {
			return a, x.copy(s, m, &a)
		}
	case 8:
		return a, x.rewrite(s, m, &a)
	}
	return a, nil
}

// free tells whether a copy of the letter may come to a box of that side: no
// other copy of it lies there.
func (x *soak) free(s plan.Side, m *message, b *box) bool {
	return b.open(s) && !slices.ContainsFunc(x.copies(m.letter), func(c *message) bool { return c.box == b })
}

func (x *soak) move(s plan.Side, m *message, a *act) error {
	to := x.pick(func(b *box) bool { return x.free(s, m, b) })
	if to == nil {
		return nil
	}
	x.tell("move %s on %s to %q", m, s, to.want)
	if err := x.programs[s].move(m.box.name[s], m.mark(), to.name[s]); err != nil {
		return x.locked(err)
	}
	a.moved, m.box.busy, to.busy = to, true, true
	return nil
}

// locked takes a locked table for a program that did nothing.
func (x *soak) locked(err error) error {
	if errors.Is(err, errLocked) {
		x.tell("    dovecot-keywords is locked")
		return nil
	}
	return err
}

// mayDelete keeps what is deleted below what the guard holds.
func (x *soak) mayDelete(m *message) bool {
	if !x.guard {
		return true
	}
	if !m.box.ballast || x.deleted == guardFree {
		return false
	}
	x.deleted++
	return true
}

func (x *soak) remove(s plan.Side, m *message, a *act) error {
	if !x.mayDelete(m) {
		return nil
	}
	x.tell("delete %s on %s", m, s)
	if err := x.programs[s].remove(m.box.name[s], m.mark()); err != nil {
		return err
	}
	a.deleted, m.box.busy = true, true
	return nil
}

func (x *soak) copy(s plan.Side, m *message, a *act) error {
	to := x.pick(func(b *box) bool { return b != m.box && x.free(s, m, b) })
	if to == nil {
		return nil
	}
	x.tell("copy %s on %s to %q", m, s, to.want)
	if err := x.programs[s].copy(m.box.name[s], m.mark(), to.name[s]); err != nil {
		return x.locked(err)
	}
	a.copied, to.busy = true, true
	x.messages = append(x.messages, &message{letter: m.letter, box: to, flags: m.flags})
	return nil
}

// rewrite is what happens to files only.
func (x *soak) rewrite(s plan.Side, m *message, a *act) error {
	if s != plan.Local {
		return nil
	}
	box := m.box.name[s]
	switch x.rng.IntN(3) {
	case 0:
		x.tell("rename the file of %s", m)
		return x.mutt.rekey(box, m.mark())
	case 1:
		x.tell("rewrite the file of %s", m)
		return x.mutt.touch(box, m.mark())
	}
	if !x.mayDelete(m) {
		return nil
	}
	l := x.letter()
	x.tell("edit %s: now it is %d", m, l.n)
	if err := x.mutt.edit(box, m.mark(), l); err != nil {
		return err
	}
	a.deleted, m.box.busy = true, true
	x.messages = append(x.messages, &message{letter: l, box: m.box, flags: a.flags})
	return nil
}

// letter makes a letter that is about to come.
func (x *soak) letter() *letter {
	x.letters++
	l := write(x.letters, x.rng)
	l.touched = true
	return l
}

// arrive delivers a new letter on one side.
func (x *soak) arrive(s plan.Side) error {
	b := x.pick(func(b *box) bool { return b.open(s) })
	if b == nil {
		return nil
	}
	l, flags := x.letter(), x.flags()
	x.tell("deliver %d to %q on %s [%s]", l.n, b.want, s, flags)
	if err := x.programs[s].deliver(b.name[s], l, flags); err != nil {
		return x.locked(err)
	}
	b.busy = true
	x.messages = append(x.messages, &message{letter: l, box: b, flags: flags})
	return nil
}

// twin delivers the same letter on both sides: it is joined, flags by union.
// \Deleted is given to both or to none: on one side only it stays there.
func (x *soak) twin() error {
	b := x.pick(func(b *box) bool { return b.open(plan.Local) && b.open(plan.Remote) && !b.changed })
	if b == nil {
		return nil
	}
	l := x.letter()
	flags := [2]mail.FlagSet{x.flags(), x.flags()}
	if flags[0].Has(mail.Deleted) != flags[1].Has(mail.Deleted) {
		flags[0], flags[1] = flags[0].Without(mail.Deleted), flags[1].Without(mail.Deleted)
	}
	for _, s := range plan.Sides {
		x.tell("deliver %d to %q on %s [%s]", l.n, b.want, s, flags[s])
		if err := x.programs[s].deliver(b.name[s], l, flags[s]); err != nil {
			if !errors.Is(err, errLocked) || s != plan.Local {
				return err
			}
			return nil // it came nowhere
		}
	}
	b.busy = true
	x.messages = append(x.messages, &message{letter: l, box: b, flags: flags[0].Union(flags[1])})
	return nil
}

// meanwhile lets a few things happen while godwit runs, each on one side only.
func (x *soak) meanwhile() error {
	for range 1 + x.rng.IntN(4) {
		s := x.side()
		var err error
		switch x.rng.IntN(6) {
		case 0:
			err = x.arrive(s)
		case 1:
			err = x.folder(s)
		default:
			err = x.one(s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// one acts on a letter that this round has left alone.
func (x *soak) one(s plan.Side) error {
	var list []*message
	for _, m := range x.messages {
		if !m.gone && !m.touched && !m.ballast && m.box.open(s) && (!x.guard || m.box.ballast) {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil
	}
	m := list[x.rng.IntN(len(list))]
	acts := [2]act{{flags: m.flags}, {flags: m.flags}}
	var err error
	if acts[s], err = x.act(s, m, act{}); err != nil {
		return err
	}
	m.touched = true
	x.merge(m, acts[plan.Local], acts[plan.Remote])
	return nil
}

// folder makes, renames or deletes a mailbox on one side.
func (x *soak) folder(s plan.Side) error {
	if x.still {
		return nil
	}
	switch x.rng.IntN(3) {
	case 0:
		return x.create(s)
	case 1:
		return x.rename(s)
	}
	return x.drop(s)
}

// name gives a name for a mailbox that none has, and none had in this round.
func (x *soak) name() mail.MailboxName {
	x.serial++
	name := mail.MailboxName(fmt.Sprintf([]string{"Neu %d", "Café %d", "Grün %d/Sub", "Neu %d"}[x.rng.IntN(4)], x.serial))
	if x.rng.IntN(3) == 0 && len(x.freed) > 0 {
		if i := x.rng.IntN(len(x.freed)); !x.parents[x.freed[i]] && x.parentStands(x.freed[i]) {
			name = x.freed[i]
			x.freed = slices.Delete(x.freed, i, i+1)
		}
	} else if x.rng.IntN(3) == 0 {
		if parent := x.pick(func(b *box) bool { return b.want != mail.Inbox && x.calm(b) }); parent != nil {
			name = parent.want + "/" + name
		}
	}
	return name
}

// parentStands tells whether a name is free of what this round does to the
// mailboxes above it.
func (x *soak) parentStands(name mail.MailboxName) bool {
	return !slices.ContainsFunc(x.boxes, func(b *box) bool { return name.Within(b.want) && !x.calm(b) }) &&
		!slices.ContainsFunc(x.freeing, func(n mail.MailboxName) bool { return name.Within(n) })
}

// calm tells whether a mailbox stands as the last clean run left it.
func (x *soak) calm(b *box) bool {
	return b.open(plan.Local) && b.open(plan.Remote) && !b.changed
}

// remember notes that the mailboxes above a name had a child: the server goes
// on to list them when it is gone, as names that cannot be taken.
func (x *soak) remember(name mail.MailboxName) {
	for p := name.Parent(); p != ""; p = p.Parent() {
		x.parents[p] = true
	}
}

func (x *soak) create(s plan.Side) error {
	name := x.name()
	x.tell("create %q on %s", name, s)
	if err := x.programs[s].create(name); err != nil {
		return err
	}
	b := x.box(name, false)
	x.remember(name)
	b.changed, b.name[s.Other()] = true, ""
	return nil
}

// below lists the mailboxes within b.
func (x *soak) below(b *box) []*box {
	var out []*box
	for _, c := range x.boxes {
		if !c.gone && c.want.Within(b.want) {
			out = append(out, c)
		}
	}
	return out
}

// entangled tells whether a mailbox that either side has below b was made or
// renamed in this round: there is no telling what is to come of both.
func (x *soak) entangled(b *box) bool {
	return slices.ContainsFunc(x.boxes, func(c *box) bool {
		return c.changed && !c.gone && (c.name[0].Within(b.want) || c.name[1].Within(b.want))
	})
}

// rename needs an anchor, a message that stays: with none, a new name is
// nothing but another mailbox.
func (x *soak) rename(s plan.Side) error {
	b := x.pick(func(b *box) bool {
		return !b.fixed && x.calm(b) && !x.entangled(b)
	})
	if b == nil {
		return nil
	}
	below := x.below(b)
	for _, c := range append(below, b) {
		if len(x.in(c)) == 0 {
			if c.busy {
				return nil
			}
			continue
		}
		i := slices.IndexFunc(x.in(c), func(m *message) bool { return !m.touched })
		if i < 0 {
			return nil
		}
		x.in(c)[i].touched = true
	}
	to, from := x.name(), b.want
	if to.Within(from) {
		return nil
	}
	x.tell("rename %q on %s to %q", from, s, to)
	var names []mail.MailboxName
	for _, c := range below {
		names = append(names, c.want)
	}
	if err := x.programs[s].rename(from, to, names); err != nil {
		return err
	}
	for _, c := range append(below, b) {
		x.freeing = append(x.freeing, c.want)
		c.want = to + c.want[len(from):]
		c.name[s], c.changed = c.want, true
		x.remember(c.want)
		if len(x.in(c)) == 0 || x.running {
			c.known[s.Other()] = false
		}
	}
	return nil
}

func (x *soak) drop(s plan.Side) error {
	if x.guard {
		return nil
	}
	b := x.pick(func(b *box) bool {
		return !b.fixed && x.calm(b) && !b.busy && len(x.below(b)) == 0 && !x.entangled(b) &&
			!slices.ContainsFunc(x.in(b), func(m *message) bool { return m.touched })
	})
	if b == nil || len(x.boxes) < 5 {
		return nil
	}
	x.tell("delete mailbox %q on %s", b.want, s)
	if err := x.programs[s].drop(b.want); err != nil {
		return err
	}
	for _, m := range x.in(b) {
		m.gone, m.touched = true, true
	}
	b.gone, b.changed, b.name[s] = true, true, ""
	x.freeing = append(x.freeing, b.want)
	return nil
}

// merge is the model's; it tells of conflicts.
func (x *soak) merge(m *message, l, r act) {
	merge(m, l, r)
	if m.gone {
		x.tell("    %d is gone", m.n)
	}
}
