package imaptest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Mailstore is a small mail server for a Script: it keeps mailboxes and
// answers what godwit sends, so that a whole synchronisation can run over it,
// and lets a test spoil any answer. It is safe for concurrent use; hooks are
// called without a lock and may use it.
type Mailstore struct {
	// Caps are the capabilities. UIDPLUS, MOVE, CONDSTORE, QRESYNC, ENABLE,
	// ESEARCH, UNSELECT, LITERAL+, MULTIAPPEND and NAMESPACE are known.
	Caps string
	// NoNext keeps UIDNEXT out of every answer, NoSelectNext out of SELECT.
	NoNext, NoSelectNext bool
	// Limit is what STATUS tells as APPENDLIMIT, where that is among Caps; 0:
	// NIL. Nothing is refused for it.
	Limit int

	// Before, if not nil, is called with the number of each command (1 is the
	// first of the first connection) before it is carried out. What it
	// returns, if not "", is sent in place of carrying it out. An APPEND is
	// shown twice: before its literal is asked for (without Literals), and whole.
	Before func(n int, cmd Command) string
	// Spoil, if not nil, gets the answer to each command, with its end, and
	// returns what is sent.
	Spoil func(n int, cmd Command, answer string) string

	mu       sync.Mutex
	count    int
	validity uint32
	boxes    map[string]*mailbox // by the name on the wire
}

// A Letter is a message of a Mailstore.
type Letter struct {
	UID   uint32
	Flags []string
	Date  time.Time
	Body  string
	mod   uint64
}

type mailbox struct {
	validity, next uint32
	mod            uint64
	letters        []*Letter
	gone           []vanished
}

// vanished is a message that was expunged.
type vanished struct {
	uid uint32
	mod uint64
}

// NewMailstore gives a server with an empty INBOX.
func NewMailstore(caps string) *Mailstore {
	m := &Mailstore{Caps: caps, validity: 100, boxes: map[string]*mailbox{}}
	m.box("INBOX")
	return m
}

// Script plays the Mailstore.
func (m *Mailstore) Script() *Script {
	return &Script{Caps: m.Caps, Handle: m.handle, Refuse: func(cmd Command) string { return m.before(&cmd) }}
}

// Count is how many commands came so far; Reset begins to count anew.
func (m *Mailstore) Count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count
}

// Reset begins to count commands anew, and takes the hooks away.
func (m *Mailstore) Reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count, m.Before, m.Spoil = 0, nil, nil
}

// Clone is another server with the same mail, without hooks.
func (m *Mailstore) Clone() *Mailstore {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := &Mailstore{Caps: m.Caps, NoNext: m.NoNext, NoSelectNext: m.NoSelectNext, validity: m.validity, boxes: map[string]*mailbox{}}
	for name, b := range m.boxes {
		copied := *b
		copied.letters = make([]*Letter, len(b.letters))
		for i, l := range b.letters {
			letter := *l
			letter.Flags = slices.Clone(l.Flags)
			copied.letters[i] = &letter
		}
		copied.gone = slices.Clone(b.gone)
		c.boxes[name] = &copied
	}
	return c
}

// box gives a mailbox, and makes it if needed. The caller holds mu.
func (m *Mailstore) box(name string) *mailbox {
	if strings.EqualFold(name, "INBOX") {
		name = "INBOX"
	}
	b := m.boxes[name]
	if b == nil {
		m.validity++
		b = &mailbox{validity: m.validity, next: 1, mod: 1}
		m.boxes[name] = b
	}
	return b
}

// find gives a mailbox, or nil. The caller holds mu.
func (m *Mailstore) find(name string) *mailbox {
	if strings.EqualFold(name, "INBOX") {
		name = "INBOX"
	}
	return m.boxes[name]
}

// Letters copies all mail, by the mailboxes' names on the wire.
func (m *Mailstore) Letters() map[string][]Letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string][]Letter, len(m.boxes))
	for name, b := range m.boxes {
		out[name] = []Letter{}
		for _, l := range b.letters {
			out[name] = append(out[name], *l)
		}
	}
	return out
}

// Deliver adds a message to a mailbox, which is made if needed, and gives its UID.
func (m *Mailstore) Deliver(name, body string, date time.Time, flags ...string) uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.box(name).add(body, date, flags)
}

func (b *mailbox) add(body string, date time.Time, flags []string) uint32 {
	b.mod++
	b.letters = append(b.letters, &Letter{b.next, slices.Clone(flags), date, body, b.mod})
	b.next++
	return b.next - 1
}

// Create makes a mailbox.
func (m *Mailstore) Create(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box(name)
}

// Rename gives a mailbox another name.
func (m *Mailstore) Rename(from, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b := m.boxes[from]; b != nil {
		delete(m.boxes, from)
		m.boxes[to] = b
	}
}

// SetFlags gives a message exactly these flags.
func (m *Mailstore) SetFlags(name string, uid uint32, flags ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(name)
	for _, l := range b.letters {
		if l.UID == uid {
			b.mod++
			l.Flags, l.mod = flags, b.mod
		}
	}
}

// Expunge removes a message.
func (m *Mailstore) Expunge(name string, uid uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box(name).remove(uid)
}

func (b *mailbox) remove(uid uint32) {
	b.mod++
	b.letters = slices.DeleteFunc(b.letters, func(l *Letter) bool { return l.UID == uid })
	b.gone = append(b.gone, vanished{uid, b.mod})
}

// Move moves a message to a mailbox, which is made if needed.
func (m *Mailstore) Move(from string, uid uint32, to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.box(from)
	for _, l := range b.letters {
		if l.UID == uid {
			m.box(to).add(l.Body, l.Date, l.Flags)
		}
	}
	b.remove(uid)
}

// Renumber gives a mailbox a new UIDVALIDITY and its messages new UIDs, from
// first on.
func (m *Mailstore) Renumber(name string, first uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.validity++
	b := m.box(name)
	b.validity, b.next, b.gone = m.validity, first, nil
	for _, l := range b.letters {
		l.UID = b.next
		b.next++
	}
}

// Reuse makes the server forget which UIDs it has given: the next message of a
// mailbox gets the given one, against RFC 3501, section 2.3.1.1.
func (m *Mailstore) Reuse(name string, next uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.box(name).next = next
}

func (m *Mailstore) has(cap string) bool { return slices.Contains(strings.Fields(m.Caps), cap) }

// before counts a command and asks the test.
func (m *Mailstore) before(cmd *Command) string {
	m.mu.Lock()
	m.count++
	n, hook := m.count, m.Before
	m.mu.Unlock()
	cmd.Number = n
	if hook == nil {
		return ""
	}
	return hook(n, *cmd)
}

// handle is Script.Handle.
func (m *Mailstore) handle(p *Peer, cmd Command) bool {
	if cmd.Name == "" || cmd.Name == "AUTHENTICATE" || cmd.Name == "COMPRESS" {
		return false
	}
	if text := m.before(&cmd); text != "" {
		return p.Send(strings.ReplaceAll(text, "{tag}", cmd.Tag))
	}
	if p.State == nil {
		p.State = &selected{}
	}
	m.mu.Lock()
	answer := m.carryOut(p.State.(*selected), cmd)
	spoil := m.Spoil
	m.mu.Unlock()
	if spoil != nil {
		answer = strings.ReplaceAll(spoil(cmd.Number, cmd, answer), "{tag}", cmd.Tag)
	}
	return p.Send(answer)
}

// carryOut gives the whole answer to a command. The caller holds mu.
func (m *Mailstore) carryOut(at *selected, cmd Command) string {
	a := &arguments{rest: cmd.Args, literals: cmd.Literals}
	do, ok := mailstoreCommands[cmd.Name]
	if !ok {
		return cmd.Tag + " BAD " + cmd.Name + " is not known\r\n"
	}
	untagged, status := do(m, at, a)
	switch {
	case status == "":
		status = "OK done"
	case status[0] == '[':
		status = "OK " + status + " done"
	}
	return untagged + at.changes() + cmd.Tag + " " + status + "\r\n"
}

// mailstoreCommands give what comes before the tagged answer, and that answer
// where it is not plain OK: a response code, or a refusal.
var mailstoreCommands = map[string]func(*Mailstore, *selected, *arguments) (untagged, status string){
	"CAPABILITY": func(m *Mailstore, _ *selected, _ *arguments) (string, string) {
		return "* CAPABILITY " + m.Caps + "\r\n", ""
	},
	"NAMESPACE": func(*Mailstore, *selected, *arguments) (string, string) {
		return "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n", ""
	},
	"LOGIN": quietly, "NOOP": quietly, "SUBSCRIBE": quietly, "UNSUBSCRIBE": quietly, "ENABLE": (*Mailstore).enable,
	"UNSELECT": func(_ *Mailstore, at *selected, _ *arguments) (string, string) {
		*at = selected{quick: at.quick}
		return "", ""
	},
	"LIST": (*Mailstore).list, "STATUS": (*Mailstore).status, "CREATE": (*Mailstore).create,
	"DELETE": (*Mailstore).delete, "RENAME": (*Mailstore).rename,
	"SELECT": (*Mailstore).open, "EXAMINE": (*Mailstore).open, "APPEND": (*Mailstore).append,
	"UID FETCH": (*Mailstore).fetch, "UID STORE": (*Mailstore).store, "UID SEARCH": (*Mailstore).search,
	"UID COPY": (*Mailstore).copy, "UID MOVE": (*Mailstore).move,
	"UID EXPUNGE": (*Mailstore).expunge, "EXPUNGE": (*Mailstore).expunge,
}

func (m *Mailstore) enable(at *selected, a *arguments) (string, string) {
	if !m.has("QRESYNC") || !strings.Contains(a.rest, "QRESYNC") {
		return "* ENABLED\r\n", ""
	}
	at.quick = true
	return "* ENABLED QRESYNC\r\n", ""
}

func quietly(*Mailstore, *selected, *arguments) (string, string) { return "", "" }

func (m *Mailstore) list(_ *selected, a *arguments) (string, string) {
	a.next()
	pattern := a.next()
	if pattern == "" {
		return "* LIST (\\Noselect) \"/\" \"\"\r\n", ""
	}
	prefix, isPrefix := strings.CutSuffix(pattern, "*")
	var names []string
	for name := range m.boxes {
		if name == pattern || isPrefix && strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		if strings.ContainsAny(name, "\x00\r\n") || len(name) > 1000 {
			fmt.Fprintf(&b, "* LIST () \"/\" {%d}\r\n%s\r\n", len(name), name)
			continue
		}
		fmt.Fprintf(&b, "* LIST () \"/\" %s\r\n", quote(name))
	}
	return b.String(), ""
}

func (m *Mailstore) status(_ *selected, a *arguments) (string, string) {
	name := a.next()
	b := m.find(name)
	if b == nil {
		return "", "NO [NONEXISTENT] no such mailbox"
	}
	items := fmt.Sprintf("MESSAGES %d UIDVALIDITY %d", len(b.letters), b.validity)
	if !m.NoNext {
		items += fmt.Sprintf(" UIDNEXT %d", b.next)
	}
	if m.has("CONDSTORE") {
		items += fmt.Sprintf(" HIGHESTMODSEQ %d", b.mod)
	}
	if m.has("APPENDLIMIT") && m.Limit > 0 {
		items += fmt.Sprintf(" APPENDLIMIT %d", m.Limit)
	} else if m.has("APPENDLIMIT") {
		items += " APPENDLIMIT NIL"
	}
	return fmt.Sprintf("* STATUS %s (%s)\r\n", quote(name), items), ""
}

func (m *Mailstore) create(_ *selected, a *arguments) (string, string) {
	name := a.next()
	if m.find(name) != nil {
		return "", "NO [ALREADYEXISTS] it is there"
	}
	m.box(name)
	return "", ""
}

func (m *Mailstore) delete(_ *selected, a *arguments) (string, string) {
	name := a.next()
	if m.find(name) == nil {
		return "", "NO [NONEXISTENT] no such mailbox"
	}
	delete(m.boxes, name)
	return "", ""
}

func (m *Mailstore) rename(_ *selected, a *arguments) (string, string) {
	from, to := a.next(), a.next()
	if m.find(from) == nil || m.find(to) != nil {
		return "", "NO [CANNOT] not possible"
	}
	for name, b := range m.boxes {
		if name == from || strings.HasPrefix(name, from+"/") {
			delete(m.boxes, name)
			m.boxes[to+name[len(from):]] = b
		}
	}
	return "", ""
}

func (m *Mailstore) append(_ *selected, a *arguments) (string, string) {
	b := m.find(a.next())
	if b == nil {
		return "", "NO [TRYCREATE] no such mailbox"
	}
	var got []Letter
	for len(got) == 0 || m.has("MULTIAPPEND") && strings.TrimSpace(a.rest) != "" {
		flags := a.list()
		date, err := time.Parse("_2-Jan-2006 15:04:05 -0700", a.next())
		if err != nil || a.taken == len(a.literals) {
			return "", "BAD what is that"
		}
		got = append(got, Letter{Flags: flags, Date: date, Body: a.next()})
	}
	first := b.next
	for _, l := range got {
		b.add(l.Body, l.Date, l.Flags)
	}
	switch {
	case !m.has("UIDPLUS"):
		return "", ""
	case len(got) > 1:
		return "", fmt.Sprintf("[APPENDUID %d %d:%d]", b.validity, first, b.next-1)
	}
	return "", fmt.Sprintf("[APPENDUID %d %d]", b.validity, first)
}
