package wire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Call is a command that goes out beside those of the library, which never
// sees it nor its answer. Several may be sent at once, for one mailbox after
// the other: servers carry out a SELECT and what follows it in order, since
// anything else would be ambiguous (RFC 9051, section 5.5), and the answers
// are told apart by that order. A Call serves once.
type Call struct {
	// Command is the command without tag and line end. A UID FETCH must not
	// ask for bodies.
	Command string
	// In is the SELECT or EXAMINE, sent before, in whose mailbox the command
	// is meant to run; nil if that does not matter. If it fails, so does this one,
	// whatever the server answers to it.
	In *Call
	// Each is told of the FETCH responses that answer: those to a UID FETCH,
	// and those inside the answer to a SELECT with QRESYNC. It is called by the
	// reading goroutine, and must not block.
	Each func(Told)

	done   chan struct{} // closed when it is answered
	answer Answer
	err    error
}

// Told is one FETCH response. Have tells which of its fields it has.
type Told struct {
	UID      uint32
	Have     Have
	Flags    string    // with parentheses
	Date     time.Time // INTERNALDATE; BadDate where it was none
	Size     int64
	GlobalID string // see AskGlobalID; "" if it was not told
}

// Have is a set of fields of Told.
type Have uint8

// The fields of Told.
const (
	HaveFlags Have = 1 << iota
	HaveDate
	HaveSize
)

// An Answer is what came in answer to a Call that succeeded.
type Answer struct {
	Opened Opened // of a SELECT or EXAMINE
	// Vanished are the UIDs that VANISHED (EARLIER) named (RFC 7162, section
	// 3.2.10): of a SELECT with QRESYNC, or a UID FETCH with VANISHED.
	Vanished Ranges
	// Doubtful: of what a SELECT with QRESYNC should tell something may be
	// missing, or be about the mailbox that was selected before.
	Doubtful bool
	Found    Ranges // UIDs, of a UID SEARCH
	Rights   string // of MYRIGHTS
	// Subscribed are the names that LSUB listed, in Unicode; those that cannot be
	// read are left out.
	Subscribed []string
	// Tally is that of the selected mailbox when the answer ended.
	Tally Tally
}

// Opened is what the answer to a SELECT or EXAMINE told of the mailbox.
type Opened struct {
	Selection
	Validity, Next uint32   // UIDVALIDITY and UIDNEXT; 0 if they were not told
	ModSeq         uint64   // HIGHESTMODSEQ; 0 if it was not told
	Permanent      []string // PERMANENTFLAGS
	PermanentTold  bool
}

// A Refused is the server's NO or BAD to a Call, or a BAD in its name where
// the answer could not be understood.
type Refused struct{ Status, Code, Text string }

func (r *Refused) Error() string {
	if r.Code != "" {
		return r.Status + " [" + r.Code + "] " + r.Text
	}
	return r.Status + " " + r.Text
}

// Ranges is a set of UIDs.
type Ranges struct{ set numbers }

// Count is how many UIDs the set has.
func (r Ranges) Count() uint64 { return r.set.count() }

// Has tells whether the set has a UID.
func (r Ranges) Has(uid uint32) bool { return r.set.contains(uid) }

// Below gives the part of the set that is lower than uid.
func (r Ranges) Below(uid uint32) Ranges {
	n := r.set.find(uid)
	part := slices.Clone(r.set[:n])
	if n < len(r.set) && r.set[n].lo < uid {
		part = append(part, span{r.set[n].lo, uid - 1})
	}
	return Ranges{part}
}

// List gives the UIDs in rising order; ok is false, and the list empty, if
// they are more than limit: a server may claim billions.
func (r Ranges) List(limit uint64) (uids []uint32, ok bool) {
	n := r.set.count()
	if n > limit {
		return nil, false
	}
	uids = make([]uint32, 0, n)
	for _, sp := range r.set {
		for uid := uint64(sp.lo); uid <= uint64(sp.hi); uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	return uids, true
}

// Caps on the ranges that are kept: of vanished messages 2 MB, of those that a
// SEARCH found 32 MB.
const (
	maxSpans = 1 << 18
	maxFound = 1 << 22
)

// Send sends calls, in order and in one piece. With later, they stay until
// the next command is sent, and travel with it. The library must not be in the
// middle of a command.
func (c *Conn) Send(later bool, calls ...*Call) error {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	busy := c.sending != nil
	c.mu.Unlock()
	if busy || len(c.line) > 0 {
		return fmt.Errorf("a command is being sent")
	}
	for _, call := range calls {
		call.done = make(chan struct{})
		c.mu.Lock()
		c.calls++
		// The library's tags have no leading zero.
		line := "T0" + strconv.Itoa(c.calls) + " " + call.Command
		c.calling = call
		c.mu.Unlock()
		c.writeLine([]byte(line))
	}
	if later || c.corked {
		return nil
	}
	return c.flushAll()
}

// Answered tells whether the answer to a call that was sent has come.
func (call *Call) Answered() bool {
	select {
	case <-call.done:
		return true
	default:
		return false
	}
}

// Wait waits for the answer to a call that was sent. Its error is a Refused, or
// tells why the connection ended.
func (c *Conn) Wait(call *Call) (*Answer, error) {
	select {
	case <-call.done:
	case <-c.gone:
		select {
		case <-call.done: // it came before the end
		default:
			return nil, c.Err()
		}
	}
	if call.err != nil {
		return nil, call.err
	}
	return &call.answer, nil
}

// Mailbox writes the name of a mailbox as an argument for a Call.
func (c *Conn) Mailbox(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.utf8 {
		name = strings.ReplaceAll(name, "&", "&-") // see begin
	} else {
		name = mail.EncodeUTF7(name)
	}
	return string(appendString(nil, name))
}

// Enabled tells whether the server has said that QRESYNC is enabled (RFC 7162,
// section 3.2.3).
func (c *Conn) Enabled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.qresync
}

// failed tells whether the mailbox that a call is meant for was not selected.
func (call *Call) failed() bool { return call.In != nil && call.In.err != nil }

// early tells whether the SELECT that a call waits for is unanswered.
func (call *Call) early() bool {
	if call.In == nil {
		return false
	}
	select {
	case <-call.In.done:
		return false
	default:
		return true
	}
}

// overtaken makes the commands fail that were sent before a SELECT, are about
// the mailbox before it, and are unanswered though the SELECT is answered (RFC
// 9051, section 5.5): what comes from now on is about another mailbox than
// theirs, and what came before may not be all. The caller holds c.mu.
func overtaken(before []*command) {
	for _, cmd := range before {
		if cmd.bound() {
			cmd.set, cmd.spoiled = nil, "the server answers out of order"
		}
	}
}

// bound tells whether a command is about the mailbox that is selected.
func (cmd *command) bound() bool {
	if cmd.call != nil && cmd.call.In != nil {
		return true
	}
	switch cmd.name {
	case "FETCH", "STORE", "SEARCH", "COPY", "MOVE", "EXPUNGE", "CLOSE", "UNSELECT":
		return true
	}
	return strings.HasPrefix(cmd.name, "UID ")
}

// finish ends a call with the tagged answer of its command. The cursor is
// behind the status.
func (c *Conn) finish(cmd *command, tag, status string, k *cursor) {
	call := cmd.call
	mark := len(c.out)
	from := k.pos
	c.status(tag, status, k, cmd)
	c.out = c.out[:mark]
	refused := &Refused{Status: status}
	k.pos = from
	k.spaces()
	if k.accept('[') {
		refused.Code, _ = k.code()
		k.spaces()
	}
	refused.Text = tidy(string(k.rest()))
	switch {
	case status == "OK" && cmd.spoiled != "":
		call.err = &Refused{Status: "BAD", Text: cmd.spoiled}
	case status != "OK":
		if status != "NO" {
			refused.Status = "BAD"
		}
		call.err = refused
	case call.failed():
		call.err = call.In.err
	case call.early():
		call.err = &Refused{Status: "BAD", Text: "the server answers out of order"}
	}
	if cmd.isSelect {
		// Without CLOSED nobody can tell which mailbox was spoken of.
		call.answer.Doubtful = call.answer.Doubtful || c.isOpen()
		c.opened(cmd, status == "OK")
		call.answer.Opened = cmd.opened
		call.answer.Opened.Selection = cmd.selection
	}
	call.answer.Vanished.set = call.answer.Vanished.set.normal()
	call.answer.Found.set = call.answer.Found.set.normal()
	call.answer.Tally = c.Tally()
	close(call.done)
}

// hand hands a FETCH response to the call that it answers.
func (c *Conn) hand(cmd *command, p *parts) {
	call := cmd.call
	if call.failed() {
		return
	}
	t := Told{UID: p.uid, Flags: p.flags, Date: p.date, Size: int64(p.size), GlobalID: p.id}
	for _, b := range []struct {
		has  need
		have Have
	}{{needFlags, HaveFlags}, {needDate, HaveDate}, {needSize, HaveSize}} {
		if p.have&b.has != 0 {
			t.Have |= b.have
		}
	}
	if cmd.isSelect && (p.uid == 0 || p.have&needFlags == 0) {
		call.answer.Doubtful = true
		return
	}
	if call.Each == nil || p.uid == 0 {
		return
	}
	// Some may be told of twice, and some more come meanwhile.
	if cmd.told++; cmd.told > 2*uint64(c.Tally().Exists)+1000 {
		cmd.spoiled = "the server tells of more messages than there are"
		return
	}
	call.Each(t)
}

// answered takes a FETCH response that a call waits for.
func (f *fetch) answered(cmd *command) {
	if cmd.isSelect {
		f.c.hand(cmd, &f.parts)
		return
	}
	if !f.complete(cmd) && f.c.keepPartial(cmd, &f.parts) {
		return
	}
	key := cmd.key(f.seq, f.uid)
	if before := cmd.partial[key]; before != nil {
		delete(cmd.partial, key)
		f.c.join(&f.parts, before)
	}
	cmd.got.add(key)
	f.c.hand(cmd, &f.parts)
}

// selecting is the SELECT that the server is carrying out, or nil. What comes
// while a command that concerns the mailbox before it is unanswered is not
// about that of the SELECT.
func (c *Conn) selecting() *command {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cmd := range c.pending {
		if cmd.isSelect {
			return cmd
		}
		if cmd.isFetch || cmd.isStore || strings.HasPrefix(cmd.name, "UID ") {
			return nil
		}
	}
	return nil
}

// resyncing is the call for a SELECT with QRESYNC that is being answered, or
// nil. Where a mailbox was selected before, what comes ahead of CLOSED is
// about that one (RFC 7162, section 3.2.11).
func (c *Conn) resyncing() *command {
	cmd := c.selecting()
	if cmd == nil || cmd.call == nil || cmd.call.Each == nil || c.isOpen() {
		return nil
	}
	return cmd
}

func (c *Conn) isOpen() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

func (c *Conn) setOpen(open bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = open
}

// earlier takes the set of VANISHED (EARLIER).
func (c *Conn) earlier(text []byte) {
	cmd := c.resyncing()
	if cmd == nil {
		cmd = c.first(func(cmd *command) bool { return cmd.isFetch || cmd.isSelect })
		if cmd == nil || cmd.isSelect || cmd.call == nil || cmd.call.failed() {
			return
		}
	}
	set, err := parseNumbers(text, false)
	a := &cmd.call.answer
	if err != nil || len(set)+len(a.Vanished.set) > maxSpans {
		a.Doubtful = true
		return
	}
	a.Vanished.set = append(a.Vanished.set, set...) // finish puts them in order
}

// found takes what a SEARCH of a call has found; false if it is the library's.
func (c *Conn) found(cmd *command, set numbers) bool {
	if cmd == nil || cmd.call == nil {
		return false
	}
	found := &cmd.call.answer.Found
	switch {
	case cmd.call.failed():
	case len(found.set)+len(set) > maxFound:
		cmd.spoiled = "the server found more messages than are taken"
	default:
		found.set = append(found.set, set...) // finish puts them in order
	}
	return true
}

// searching is the SEARCH that a response answers: the one of that tag, or the
// first there is.
func (c *Conn) searching(tag string) *command {
	return c.first(func(cmd *command) bool {
		return strings.HasSuffix(cmd.name, "SEARCH") && (tag == "" || cmd.tag == tag)
	})
}

// opened notes that a SELECT was answered. If it failed, no mailbox is
// selected (RFC 9051, section 6.3.2).
func (c *Conn) opened(cmd *command, ok bool) {
	if !ok {
		cmd.selection = Selection{}
	}
	c.selected(cmd)
	c.setOpen(ok)
}
