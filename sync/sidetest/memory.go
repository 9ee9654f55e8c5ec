package sidetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Kind says what a Memory behaves like.
type Kind uint8

// The kinds of Memory.
const (
	// Server: Refs are UIDs, they change with every move; mailboxes have a
	// UIDVALIDITY.
	Server Kind = iota
	// Maildir: Refs are keys, which outlive a move; files have a Stat mark;
	// the root proves itself.
	Maildir
)

func (k Kind) String() string { return [...]string{"server", "maildir"}[k] }

// Traits are what one server or Maildir does otherwise than another. Set them
// before the first Open.
type Traits struct {
	// CondStore: the server has MODSEQ (RFC 7162): surveys tell Same and
	// Changed, scans tell what changed. Without it every mailbox is Unknown
	// and every scan is Full.
	CondStore bool
	// QResync: scans since a cursor name the expunged (VANISHED). Without it a
	// count that does not add up makes the scan Full, with NoFlags for what
	// did not change.
	QResync bool
	// UIDPlus: the answer to an append or a move tells the new UID, and
	// deletions name what they expunge (RFC 4315).
	UIDPlus bool
	// Looks: without UIDPlus, the side looks for what it put. Otherwise the
	// Placed is Unknown, and a moved message has no Ref.
	Looks bool
	// GlobalIDs: messages have an EMAILID (RFC 8474).
	GlobalIDs bool
	// BoxIDs: mailboxes have an ID that outlives a change of name.
	BoxIDs bool
	// NoNext: the server does not tell UIDNEXT.
	NoNext bool
	// SharedEpoch: all mailboxes have one UIDVALIDITY.
	SharedEpoch bool
	// SendsAtOnce: a message is in the mailbox when Add returns, not only
	// after Commit, and stays there after Abort.
	SendsAtOnce bool
	// Dedup: a message that the mailbox already has is not stored again; the
	// answer names the old one.
	Dedup bool
	// CRLF: every line end is stored as CRLF.
	CRLF bool
	// LF: what is put is stored with LF, where that loses nothing.
	LF bool
	// TellsSame: a survey of a Maildir tells Same and Changed by the times of
	// its directories.
	TellsSame bool
	// FindsOutside: Confirm looks into mailboxes that are not bound: a Maildir
	// for the key, a server for the identity (never in \All).
	FindsOutside bool

	// Permits tells which flags are stored; nil stores all (PERMANENTFLAGS).
	Permits func(mail.Flag) bool
	// MaxKeywords is how many different keywords the account can hold,
	// $Forwarded not counted; 0 sets no limit.
	MaxKeywords int
	// NoSizes: scans do not tell sizes. SizeError is added to those they tell.
	NoSizes   bool
	SizeError int64
	// Rewrite changes the bytes of what is put, as some servers do.
	Rewrite func([]byte) []byte
	// Limit is the size, in bytes, up to which messages are taken; 0: any.
	Limit int64
	// Refuse refuses a message that is put.
	Refuse func(mail.Item, []byte) error
	// RefuseName refuses the name of a mailbox that is created.
	RefuseName func(mail.MailboxName) error
}

// FullServer are the traits of a server with every extension that helps.
func FullServer() Traits {
	return Traits{CondStore: true, QResync: true, UIDPlus: true, BoxIDs: true, SendsAtOnce: true, CRLF: true}
}

// BareServer are the traits of a server with IMAP4rev1 alone.
func BareServer() Traits {
	return Traits{Looks: true, SendsAtOnce: true, CRLF: true}
}

// PlainMaildir are the traits of a Maildir on a local file system.
func PlainMaildir() Traits {
	return Traits{LF: true, TellsSame: true, BoxIDs: true, FindsOutside: true}
}

// MaildirEpoch is the epoch of every mailbox of a Maildir.
const MaildirEpoch = "maildir"

// ErrBroken is the reason of a message that cannot be read; see Memory.Break.
var ErrBroken = errors.New("message cannot be read")

// Memory is a mail account in memory. Open gives a Side for one run over it;
// the other methods are what its user does meanwhile, and questions of a test.
// It is safe for concurrent use.
type Memory struct {
	Traits Traits
	// Clock dates what comes without a date; by default it stands still.
	Clock plan.Clock
	// Hook, if not nil, is called at the start of every call to a Side ("survey",
	// "scan", "identify", "fetch", "confirm", "create", "rename", "remove",
	// "put", "add", "commit", "do", "resolve", "root", "stamp") and before every
	// op ("op").
	// It may change the account.
	Hook func(call string)

	kind Kind

	mu       sync.Mutex
	boxes    []*box // sorted by name
	root     engine.Root
	epochs   uint32 // the last UIDVALIDITY given
	serial   int64  // the last key, inode, MAILBOXID, EMAILID given
	arrivals int64  // the last message.arrived given
	restless int    // scans that will be incomplete
	effects  int
	bodies   int
}

// A box is a mailbox.
type box struct {
	name      mail.MailboxName
	id        int64
	epoch     string
	next      uint32
	modseq    uint64 // of the last change; on a Maildir, a count of changes
	container bool
	role      mail.Role
	rights    plan.Rights
	msgs      []*message            // in order of arrival
	byRef     map[mail.Ref]*message // of msgs; nil until it is asked for
	vanished  []vanished
}

// vanished remembers an expunged UID (RFC 7162, section 3.2.5).
type vanished struct {
	ref    mail.Ref
	modseq uint64
}

// A message never shares its struct with another; its text may be shared.
type message struct {
	ref     mail.Ref
	uid     uint32
	text    *text
	flags   mail.FlagSet
	date    time.Time
	modseq  uint64
	arrived int64 // grows with every arrival in a mailbox, also by a move
	inode   int64
	stamp   int64 // changes with the time of modification
	global  string
	token   string
	hintUID uint32
	broken  error
}

// A text is the bytes of a message and what follows from them. It is immutable.
type text struct {
	raw   []byte
	ident mail.Identity
	crlf  int64 // size with every line end as CRLF
}

func newText(raw []byte) *text {
	h := mail.NewHasher()
	h.Write(raw)
	return &text{raw: raw, ident: h.Sum(), crlf: canonicalSize(raw)}
}

// epoch2026 is the moment at which the clock of a Memory stands by default.
var epoch2026 = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// NewMemory makes an account with an empty INBOX and the traits of FullServer
// or PlainMaildir.
func NewMemory(kind Kind) *Memory {
	m := &Memory{kind: kind, Traits: FullServer(), Clock: func() time.Time { return epoch2026 }, epochs: 1000}
	if kind == Maildir {
		m.Traits = PlainMaildir()
		m.root.Exists = true
	}
	m.makeBox(mail.Inbox)
	return m
}

// Kind tells what the account behaves like.
func (m *Memory) Kind() Kind { return m.kind }

// Effects is the number of writes that Sides were asked for: messages put,
// ops on messages that were there, mailboxes made, renamed and removed, stamps.
func (m *Memory) Effects() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.effects
}

// Bodies is the number of messages whose whole bytes were read through Sides,
// by Fetch, by Identify, or as an Echo.
func (m *Memory) Bodies() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies
}

// ResetCounts sets Effects and Bodies to 0.
func (m *Memory) ResetCounts() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.effects, m.bodies = 0, 0
}

// Clone copies the account with all that is in it, its counts and its traits.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Memory{
		Traits: m.Traits, Clock: m.Clock, Hook: m.Hook, kind: m.kind, root: m.root,
		epochs: m.epochs, serial: m.serial, arrivals: m.arrivals, restless: m.restless,
		effects: m.effects, bodies: m.bodies,
	}
	c.boxes = cloneBoxes(m.boxes)
	return c
}

func cloneBoxes(boxes []*box) []*box {
	out := make([]*box, len(boxes))
	for i, b := range boxes {
		n := *b
		n.byRef = nil
		n.vanished = slices.Clone(b.vanished)
		n.msgs = make([]*message, len(b.msgs))
		for j, msg := range b.msgs {
			copied := *msg
			n.msgs[j] = &copied
		}
		out[i] = &n
	}
	return out
}

func (m *Memory) find(name mail.MailboxName) *box {
	i, ok := slices.BinarySearchFunc(m.boxes, name, compareName)
	if !ok {
		return nil
	}
	return m.boxes[i]
}

func compareName(b *box, name mail.MailboxName) int {
	switch {
	case b.name < name:
		return -1
	case b.name > name:
		return 1
	}
	return 0
}

func (m *Memory) insertBox(b *box) {
	i, _ := slices.BinarySearchFunc(m.boxes, b.name, compareName)
	m.boxes = slices.Insert(m.boxes, i, b)
}

func (m *Memory) removeBox(b *box) {
	m.boxes = slices.DeleteFunc(m.boxes, func(o *box) bool { return o == b })
	if m.Traits.SharedEpoch {
		m.epochs++ // a name that comes again must not have its old epoch
	}
}

// makeBox gives the mailbox of that name, made with its parents if needed. A
// parent that was not there becomes a container.
func (m *Memory) makeBox(name mail.MailboxName) *box {
	b := m.find(name)
	if b != nil && !b.container {
		return b
	}
	m.makeParents(name)
	if b == nil {
		b = m.newBox(name)
		m.insertBox(b)
	}
	b.container = false
	return b
}

func (m *Memory) makeParents(name mail.MailboxName) {
	for p := name.Parent(); p != ""; p = p.Parent() {
		if m.find(p) == nil {
			b := m.newBox(p)
			b.container = true
			m.insertBox(b)
		}
	}
}

func (m *Memory) newBox(name mail.MailboxName) *box {
	m.serial++
	return &box{name: name, id: m.serial, epoch: m.newEpoch(), next: 1, modseq: 1}
}

func (m *Memory) newEpoch() string {
	if m.kind == Maildir {
		return MaildirEpoch
	}
	if !m.Traits.SharedEpoch {
		m.epochs++
	}
	return fmt.Sprint(m.epochs)
}

// find gives the message with that Ref.
func (b *box) find(ref mail.Ref) *message {
	if b.byRef == nil {
		b.byRef = make(map[mail.Ref]*message, len(b.msgs))
		for _, msg := range b.msgs {
			b.byRef[msg.ref] = msg
		}
	}
	return b.byRef[ref]
}

// add puts msg into b under a new UID, or under its key if that is free.
func (m *Memory) add(b *box, msg *message) {
	b.modseq++
	m.arrivals++
	msg.modseq, msg.arrived = b.modseq, m.arrivals
	msg.uid, b.next = b.next, b.next+1
	switch {
	case m.kind == Server:
		msg.ref = mail.Ref(fmt.Sprint(msg.uid))
	case msg.ref == "" || b.find(msg.ref) != nil:
		msg.ref, msg.token = m.newKey(), ""
	}
	b.msgs = append(b.msgs, msg)
	if b.byRef != nil {
		b.byRef[msg.ref] = msg
	}
}

func (m *Memory) newKey() mail.Ref {
	m.serial++
	return mail.Ref(fmt.Sprintf("k%d", m.serial))
}

func (m *Memory) newMessage(t *text, flags mail.FlagSet, date time.Time) *message {
	m.serial++
	if date.IsZero() {
		date = m.Clock()
	}
	msg := &message{text: t, flags: flags, date: date.Truncate(time.Second).UTC(), inode: m.serial}
	if m.Traits.GlobalIDs {
		msg.global = fmt.Sprintf("M%d", m.serial)
	}
	return msg
}

// take removes msg from b.
func (m *Memory) take(b *box, msg *message) {
	b.modseq++
	// UIDs rise, on a Maildir as well.
	if i, ok := slices.BinarySearchFunc(b.msgs, msg.uid, func(o *message, uid uint32) int { return cmp.Compare(o.uid, uid) }); ok {
		b.msgs = slices.Delete(b.msgs, i, i+1)
	}
	delete(b.byRef, msg.ref)
	if m.kind == Server {
		b.vanished = append(b.vanished, vanished{msg.ref, b.modseq})
	}
}

// move takes msg from one mailbox to another and gives what it is there.
func (m *Memory) move(from *box, msg *message, to *box, keep bool) *message {
	m.take(from, msg)
	moved := *msg
	if !keep {
		moved.ref, moved.token = "", ""
	}
	m.add(to, &moved)
	return &moved
}

func (m *Memory) setFlags(b *box, msg *message, flags mail.FlagSet) {
	if msg.flags.Equal(flags) {
		return
	}
	b.modseq++
	msg.flags, msg.modseq = flags, b.modseq
}

// permitted are those of want that the account stores, beside those it has.
func (m *Memory) permitted(want mail.FlagSet) mail.FlagSet {
	if m.Traits.Permits == nil && m.Traits.MaxKeywords == 0 {
		return want
	}
	var have mail.FlagSet
	if m.Traits.MaxKeywords > 0 {
		have = m.keywords()
	}
	var out []mail.Flag
	for _, f := range want.Flags() {
		if m.Traits.Permits != nil && !m.Traits.Permits(f) {
			continue
		}
		if m.Traits.MaxKeywords > 0 && f[0] != '\\' && f != mail.Forwarded && !have.Has(f) {
			if have.Len() >= m.Traits.MaxKeywords {
				continue
			}
			have = have.With(f)
		}
		out = append(out, f)
	}
	return mail.NewFlagSet(out...)
}

func (m *Memory) keywords() mail.FlagSet {
	var all mail.FlagSet
	for _, b := range m.boxes {
		for _, msg := range b.msgs {
			all = all.With(msg.flags.Keywords()...)
		}
	}
	return all.Without(mail.Forwarded)
}
