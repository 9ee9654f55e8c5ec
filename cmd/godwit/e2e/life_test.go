package e2e

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A life is what happens to an account on its server, with a book of what must
// be there. Nobody else changes the account, so that the book knows UIDs.
type life struct {
	*account
	c     *imapclient.Client
	rng   *rand.Rand
	boxes map[string]*shelf
	odd   [][]byte
	names int
	took  time.Duration // the last backup
	count struct{ came, killed, index, still int }
}

// A shelf is a mailbox.
type shelf struct {
	list []*kept // by UID
	next imap.UID
}

// A kept message is never changed: another takes its place.
type kept struct {
	uid   imap.UID
	body  []byte
	flags mail.FlagSet
	date  time.Time
}

func newLife(a *account, seed uint64) *life {
	l := &life{
		account: a, c: a.server.Client(a.user), rng: rand.New(rand.NewPCG(seed, 6)),
		boxes: map[string]*shelf{"INBOX": {next: 1}}, took: 300 * time.Millisecond,
	}
	// Where an index is lost a whole header says which message it is, if the
	// sizes are equal and no other in the mailbox has it; and X-TUID, which
	// another tool adds and takes away, makes no other message of one.
	headers := map[string]bool{}
	for _, body := range oddBodies() {
		list := asDovecot(sidetest.Snapshot{"": {{Body: body}}})[""]
		if len(list) == 0 || len(list[0].Body) == 0 || bytes.HasPrefix(list[0].Body, []byte("X-TUID")) {
			continue
		}
		body := list[0].Body
		head, _, _ := bytes.Cut(body, []byte("\r\n\r\n"))
		if key := fmt.Sprintf("%d %s", len(body), head); !headers[key] {
			headers[key] = true
			l.odd = append(l.odd, body)
		}
	}
	return l
}

// now is the state of the book.
func (l *life) now() state {
	s := state{mail: map[string][]*kept{}}
	for name, b := range l.boxes {
		s.mail[name] = slices.Clone(b.list)
	}
	return s
}

func (l *life) size() (n int) {
	for _, b := range l.boxes {
		n += len(b.list)
	}
	return n
}

// sorted are the names of mailboxes, in an order that depends on the seed alone.
func (l *life) sorted() []string { return slices.Sorted(maps.Keys(l.boxes)) }

func (l *life) any() string {
	names := l.sorted()
	return names[l.rng.IntN(len(names))]
}

// other is any mailbox but INBOX, "" if there is none.
func (l *life) other() string {
	names := slices.DeleteFunc(l.sorted(), func(name string) bool { return name == "INBOX" })
	if len(names) == 0 {
		return ""
	}
	return names[l.rng.IntN(len(names))]
}

// free is a name that no mailbox has; often one that had one.
func (l *life) free() string {
	stems := []string{"Work/Deep", "Work", "Lists.old", "Entwürfe & Briefe", "日本語/メール", "a&b", "100%", "it's", "cur", "x/tmp/y", "INBOX/Below", "Projekte/Grün/2026"}
	for range 20 {
		name := stems[l.rng.IntN(len(stems))]
		if l.boxes[name] == nil {
			return name
		}
	}
	l.names++
	return fmt.Sprintf("Box %d/Part", l.names)
}

// below are a mailbox and those under it.
func (l *life) below(name string) []string {
	return slices.DeleteFunc(l.sorted(), func(n string) bool { return n != name && !strings.HasPrefix(n, name+"/") })
}

func (l *life) create(name string) {
	l.t.Helper()
	must(l.t, l.c.Create(name, nil).Wait())
	l.boxes[name] = &shelf{next: 1}
}

// flags are some, of all kinds.
func (l *life) flags() mail.FlagSet {
	var flags mail.FlagSet
	for _, f := range []mail.Flag{mail.Seen, mail.Answered, mail.Flagged, mail.Draft, mail.Deleted} {
		if l.rng.IntN(4) == 0 {
			flags = flags.With(f)
		}
	}
	for _, w := range words {
		if l.rng.IntN(12) == 0 {
			flags = flags.With(w)
		}
	}
	return flags
}

// letter is a new message, sometimes an odd one, or one that is there already.
func (l *life) letter() *kept {
	k := &kept{flags: l.flags(), date: time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(l.rng.Int64N(30*365*24*3600)) * time.Second)}
	l.count.came++
	switch l.rng.IntN(20) {
	case 0:
		i := l.rng.IntN(len(l.odd))
		k.body, k.date = l.odd[i], date(i)
		return k
	case 1:
		if list := l.boxes[l.any()].list; len(list) > 0 {
			// As a mail program copies it; a date of its own is not to be told from
			// the other's after a move.
			was := list[l.rng.IntN(len(list))]
			k.body, k.date = was.body, was.date
			return k
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "From: Ada Ümlaut <ada%d@example.org>\r\nTo: ben@example.org\r\nSubject: of a life %d\r\n", l.count.came%7, l.count.came)
	if l.rng.IntN(5) > 0 {
		fmt.Fprintf(&b, "Message-ID: <life%d@example.org>\r\n", l.count.came)
	}
	b.WriteString("\r\n")
	for range 1 + l.rng.IntN(60) {
		fmt.Fprintf(&b, "%x and so on\r\n", l.rng.Uint64())
	}
	k.body = []byte(b.String())
	return k
}

// deliver brings n messages.
func (l *life) deliver(box string, n int) {
	l.t.Helper()
	list := make([]*kept, n)
	for i := range list {
		list[i] = l.letter()
	}
	l.put(box, list)
}

func (l *life) put(box string, list []*kept) {
	l.t.Helper()
	var out []parcel
	for _, k := range list {
		out = append(out, parcel{box, string(k.body), k.flags, k.date})
	}
	l.post(out)
	l.boxes[box].take(list)
}

// take gives messages the next UIDs, as a server does (RFC 9051, section 2.3.1.1).
func (b *shelf) take(list []*kept) {
	for _, k := range list {
		have := *k
		have.uid = b.next
		b.next++
		b.list = append(b.list, &have)
	}
}

// some are a few messages that follow one another, or one.
func (l *life) some(b *shelf) []*kept {
	if len(b.list) == 0 {
		return nil
	}
	from := l.rng.IntN(len(b.list))
	return slices.Clone(b.list[from:min(len(b.list), from+1+l.rng.IntN(1+len(b.list)/10))])
}

func uidsOf(list []*kept) imap.UIDSet {
	var set imap.UIDSet
	for _, k := range list {
		set.AddNum(k.uid)
	}
	return set
}

// leave takes messages off the shelf.
func (b *shelf) leave(list []*kept) {
	b.list = slices.DeleteFunc(b.list, func(k *kept) bool { return slices.Contains(list, k) })
}

// in does something in a mailbox, and leaves it, without an EXPUNGE.
func (l *life) in(box string, do func() error) {
	l.t.Helper()
	_, err := l.c.Select(box, nil).Wait()
	must(l.t, err)
	if err := do(); err != nil {
		l.t.Fatalf("in %q: %v", box, err)
	}
	must(l.t, l.c.Unselect().Wait())
}

// step is one thing that happens.
func (l *life) step() {
	l.t.Helper()
	switch kind := l.rng.IntN(24); {
	case kind < 5:
		l.deliver(l.any(), 1+l.rng.IntN(3))
	case kind < 10:
		l.mark(l.any())
	case kind < 13:
		l.move(l.any(), l.any())
	case kind < 15:
		l.copy(l.any(), l.any())
	case kind < 18:
		l.expunge(l.any())
	case kind < 19:
		l.create(l.free())
	case kind < 21:
		l.rename(l.other(), l.free())
	case kind < 22:
		l.drop(l.other())
	case kind < 23:
		l.anew(l.other())
	default:
		l.server.Doveadm("mailbox", "update", "-u", l.user, "--uid-validity", fmt.Sprint(2_000_000_000+l.rng.IntN(1_000_000_000)), "INBOX")
	}
}

// mark gives messages other flags.
func (l *life) mark(box string) {
	l.t.Helper()
	b, flags := l.boxes[box], l.flags()
	list := l.some(b)
	if len(list) == 0 {
		return
	}
	op := []imap.StoreFlagsOp{imap.StoreFlagsSet, imap.StoreFlagsAdd, imap.StoreFlagsDel}[l.rng.IntN(3)]
	var names []imap.Flag
	for _, f := range flags.Flags() {
		names = append(names, imap.Flag(f))
	}
	l.in(box, func() error {
		return l.c.Store(uidsOf(list), &imap.StoreFlags{Op: op, Silent: true, Flags: names}, nil).Close()
	})
	for i, k := range b.list {
		if !slices.Contains(list, k) {
			continue
		}
		have := *k
		switch op {
		case imap.StoreFlagsSet:
			have.flags = flags
		case imap.StoreFlagsAdd:
			have.flags = k.flags.Union(flags)
		default:
			have.flags = k.flags.Minus(flags)
		}
		b.list[i] = &have
	}
}

func (l *life) move(from, to string) {
	l.t.Helper()
	list := l.some(l.boxes[from])
	if len(list) == 0 || from == to {
		return
	}
	l.in(from, func() error {
		_, err := l.c.Move(uidsOf(list), to).Wait()
		return err
	})
	l.boxes[from].leave(list)
	l.boxes[to].take(list)
}

func (l *life) copy(from, to string) {
	l.t.Helper()
	list := l.some(l.boxes[from])
	if len(list) == 0 {
		return
	}
	l.in(from, func() error {
		_, err := l.c.Copy(uidsOf(list), to).Wait()
		return err
	})
	l.boxes[to].take(list)
}

func (l *life) expunge(box string) {
	l.t.Helper()
	list := l.some(l.boxes[box])
	if len(list) == 0 {
		return
	}
	l.in(box, func() error {
		if err := l.c.Store(uidsOf(list), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close(); err != nil {
			return err
		}
		return l.c.UIDExpunge(uidsOf(list)).Close()
	})
	l.boxes[box].leave(list)
}

// rename takes the mailboxes below along. What one was called another may be
// called soon.
func (l *life) rename(from, to string) {
	l.t.Helper()
	if from == "" || strings.HasPrefix(to, from+"/") || len(l.below(to)) > 0 || strings.HasPrefix(to, "INBOX") && len(l.below(from)) > 1 {
		return
	}
	must(l.t, l.c.Rename(from, to, nil).Wait())
	moved := map[string]*shelf{}
	for _, name := range l.below(from) {
		moved[to+name[len(from):]] = l.boxes[name]
		delete(l.boxes, name)
	}
	maps.Copy(l.boxes, moved)
}

// drop deletes a mailbox; those below it stay.
func (l *life) drop(box string) {
	l.t.Helper()
	if box == "" || len(l.boxes) < 6 {
		return
	}
	must(l.t, l.c.Delete(box).Wait())
	delete(l.boxes, box)
}

// anew makes a mailbox again with the same messages, as after a server moved:
// another UIDVALIDITY, other UIDs.
func (l *life) anew(box string) {
	l.t.Helper()
	if box == "" {
		return
	}
	list := l.boxes[box].list
	must(l.t, l.c.Delete(box).Wait())
	l.create(box)
	l.rng.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	l.put(box, list)
}
