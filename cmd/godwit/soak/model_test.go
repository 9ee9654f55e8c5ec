package soak

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A box is a mailbox of the account, as the model knows it.
type box struct {
	// want is the name that it must have on both sides after a clean run.
	want mail.MailboxName
	// name is what each side calls it now; "" where there is no such mailbox.
	name [2]mail.MailboxName
	// known is unset where a run may have carried over a change of the
	// mailbox, or not.
	known [2]bool
	// fixed boxes are neither renamed nor deleted.
	fixed bool
	// ballast says that messages lie here which nobody touches.
	ballast bool
	gone    bool
	// busy boxes were used in this round: they are not deleted in it.
	busy bool
	// changed boxes were made, renamed or deleted in this round.
	changed bool
}

// open tells whether a program of that side can use the box.
func (b *box) open(s plan.Side) bool { return !b.gone && b.known[s] && b.name[s] != "" }

// settled is how a box stands after a clean run.
func (b *box) settled() {
	b.name = [2]mail.MailboxName{b.want, b.want}
	b.known = [2]bool{true, true}
	b.busy, b.changed = false, false
}

// A letter is the bytes of a message. Copies share it.
type letter struct {
	n       int
	text    string // with LF
	date    time.Time
	touched bool // in this round: what a run has carried over of it is not known
	ballast bool
}

// mark is text that this letter alone has.
func (l *letter) mark() string { return fmt.Sprintf("k%dk", l.n) }

// A message is one copy of a letter, and what must have become of it.
type message struct {
	*letter
	box   *box
	flags mail.FlagSet
	gone  bool
}

func (m *message) String() string { return fmt.Sprintf("%d in %q", m.n, m.box.want) }

// write makes a new letter, of one of the kinds that tell synchronisers apart:
// without Message-ID, with the same one as others, with nothing but the Date of
// its own in the header, without a final newline, with 8-bit bytes, large.
func write(n int, rng *rand.Rand) *letter {
	l := &letter{n: n, date: time.Date(2026, 2, 1, 8, 0, n%60, 0, time.UTC).Add(time.Duration(n) * time.Hour)}
	var b strings.Builder
	same := rng.IntN(8) == 0
	fmt.Fprintf(&b, "From: Ada <ada@example.org>\nTo: ben@example.org\nDate: Mon, 2 Mar 2026 %02d:%02d:%02d +0000\n", n/3600%24, n/60%60, n%60)
	switch kind := rng.IntN(10); {
	case same || kind == 0:
	case kind == 1:
		b.WriteString("Message-ID: <same@example.org>\n")
	default:
		fmt.Fprintf(&b, "Message-ID: <%d@example.org>\n", n)
	}
	if same {
		b.WriteString("Subject: always the same\n")
	} else {
		fmt.Fprintf(&b, "Subject: letter %d\nX-Letter: %s\n", n, l.mark())
	}
	fmt.Fprintf(&b, "\nThis is %s.\n", l.mark())
	switch rng.IntN(8) {
	case 0:
		for range 20 + rng.IntN(600) {
			fmt.Fprintf(&b, "%x %x\n", rng.Uint64(), rng.Uint64())
		}
	case 1:
		b.WriteString("gr\xfc\xdfe und Grüße\n.\n..\nFrom here\n")
	case 2:
		b.WriteString("no newline at the end")
	case 3:
		fmt.Fprintf(&b, "%s\n", strings.Repeat("long ", 900))
	}
	l.text = b.String()
	return l
}

// An act is what became of one message on one side.
type act struct {
	moved   *box
	deleted bool
	flags   mail.FlagSet
	copied  bool
}

// merge says what must come of both sides' acts.
func merge(m *message, l, r act) {
	base := m.flags
	switch {
	case l.deleted && r.deleted, l.deleted && r.moved == nil, r.deleted && l.moved == nil:
		m.gone = true
	case l.deleted:
		m.box, m.flags = r.moved, r.flags
	case r.deleted:
		m.box, m.flags = l.moved, l.flags
	default:
		if r.moved != nil {
			m.box = r.moved
		} else if l.moved != nil {
			m.box = l.moved
		}
		removed := base.Minus(l.flags).Union(base.Minus(r.flags))
		m.flags = base.Union(l.flags).Union(r.flags).Minus(removed)
	}
}

// A model is all that must be true of the account after a clean run.
type model struct {
	boxes    []*box
	messages []*message
	letters  int
	serial   int // for names of mailboxes and files
	deleted  int // by the user, where the guard counts
}

func (m *model) box(name mail.MailboxName, fixed bool) *box {
	b := &box{want: name, fixed: fixed}
	b.settled()
	m.boxes = append(m.boxes, b)
	return b
}

// in lists the messages of a box.
func (m *model) in(b *box) []*message {
	var out []*message
	for _, msg := range m.messages {
		if !msg.gone && msg.box == b {
			out = append(out, msg)
		}
	}
	return out
}

// copies lists the messages that share a letter.
func (m *model) copies(l *letter) []*message {
	var out []*message
	for _, msg := range m.messages {
		if !msg.gone && msg.letter == l {
			out = append(out, msg)
		}
	}
	return out
}

// want is the account as both sides must show it.
func (m *model) want() sidetest.Snapshot {
	s := sidetest.Snapshot{}
	for _, b := range m.boxes {
		if !b.gone {
			s[b.want] = nil
		}
	}
	for _, msg := range m.messages {
		if !msg.gone {
			s[msg.box.want] = append(s[msg.box.want], sidetest.Message{Body: []byte(msg.text), Flags: msg.flags, Date: msg.date})
		}
	}
	return s
}

// settled forgets the round: a clean run has ended it.
func (m *model) settled() {
	kept := m.boxes[:0]
	for _, b := range m.boxes {
		if !b.gone {
			b.settled()
			kept = append(kept, b)
		}
	}
	m.boxes = kept
	left := m.messages[:0]
	for _, msg := range m.messages {
		if !msg.gone {
			msg.touched = false
			left = append(left, msg)
		}
	}
	m.messages = left
}

// unsettled says that a run went over the account and did not end well: what
// changed of a mailbox on one side may have reached the other, or not.
func (m *model) unsettled() {
	for _, b := range m.boxes {
		if b.changed && b.name[plan.Local] != b.name[plan.Remote] {
			for _, s := range plan.Sides {
				b.known[s] = b.name[s] == b.want && !b.gone
			}
		}
	}
}
