package wire

import (
	"bytes"
	"slices"
	"strings"
)

// A command is one that was sent, or is being sent, and has no tagged answer.
// Fields that both goroutines use are guarded by Conn.mu.
type command struct {
	tag, name string
	// sent: the server has all of it, so it owes an answer.
	sent bool
	// waiting: the library waits for the server's "+".
	waiting bool
	// quiet: IDLE between its "+" and DONE. The server owes nothing.
	quiet bool
	// plain: AUTHENTICATE PLAIN, whose challenges are empty.
	plain bool
	// over: it was answered before it was all sent.
	over bool
	// gather is what an APPEND carries, if it was announced.
	gather *Append
	// spoiled tells why an answer to it was lost. The command is made to fail,
	// since what the library collected of the answer is not all of it.
	spoiled string

	// FETCH and STORE. What is below is the reading goroutine's alone once
	// the command is on its way.
	isFetch, isStore bool
	byUID            bool
	set, got         numbers
	need             need
	sections         map[string]string // key of a section asked for → how to name it
	partial          map[uint32]*parts // by UID, or by sequence number
	to               Bodies            // takes the answers in the library's place, if not nil

	isLogin bool // LOGIN or AUTHENTICATE

	// SELECT and EXAMINE.
	isSelect  bool
	selection Selection
	opened    Opened // but for its Selection
	exists    bool
	restless  bool // EXISTS told two numbers

	// call is whose command it is; nil for one of the library's.
	call *Call
	told uint64 // how many messages it was told of
}

// need is a set of data items of a FETCH.
type need uint8

const (
	needUID need = 1 << iota
	needFlags
	needDate
	needSize
	needModSeq
	needBody
)

// newCommand understands the first line of a command, which has no line end.
func newCommand(line []byte) *command {
	k := &cursor{line: line}
	cmd := &command{tag: string(k.word())}
	k.spaces()
	cmd.name = strings.ToUpper(string(k.word()))
	if cmd.name == "UID" {
		k.spaces()
		cmd.byUID = true
		cmd.name = "UID " + strings.ToUpper(string(k.word()))
	}
	switch cmd.name {
	case "FETCH", "UID FETCH":
		cmd.isFetch = true
		cmd.parseFetch(k)
	case "STORE", "UID STORE":
		cmd.isStore = true
		cmd.parseSet(k)
	case "LOGIN", "AUTHENTICATE":
		cmd.isLogin = true
	case "SELECT", "EXAMINE":
		cmd.isSelect = true
		cmd.selection.ReadOnly = cmd.name == "EXAMINE"
	}
	return cmd
}

func (cmd *command) parseSet(k *cursor) {
	k.spaces()
	// "$" and the like give an empty set: no response is taken for an answer.
	cmd.set, _ = parseNumbers(k.word(), true)
}

// parseFetch notes which messages and which items are asked for.
func (cmd *command) parseFetch(k *cursor) {
	cmd.parseSet(k)
	cmd.sections = make(map[string]string)
	cmd.partial = make(map[uint32]*parts)
	k.spaces()
	k.accept('(')
	for {
		k.spaces()
		name := strings.ToUpper(string(k.until(" ()[")))
		if name == "" {
			break
		}
		switch name {
		case "UID":
			cmd.need |= needUID
		case "FLAGS":
			cmd.need |= needFlags
		case "INTERNALDATE":
			cmd.need |= needDate
		case "RFC822.SIZE":
			cmd.need |= needSize
		case "MODSEQ":
			cmd.need |= needModSeq
		case "BODY", "BODY.PEEK":
			section, err := k.section()
			if err != nil {
				return
			}
			cmd.need |= needBody
			cmd.sections[section.key] = section.text
		}
	}
	if cmd.byUID {
		cmd.need |= needUID
	}
}

// A section is what stands behind BODY in a FETCH.
type section struct {
	key  string // equal for the asked and the answered: no field names, no length
	text string // as it is named in a response
}

// section reads "[HEADER.FIELDS (…)]<0.100>" or "[…]<0>".
func (k *cursor) section() (section, error) {
	from := k.pos
	if !k.accept('[') {
		return section{}, errMalformed
	}
	spec := strings.ToUpper(string(k.until(" ]")))
	for !k.accept(']') {
		switch {
		case k.atEnd():
			return section{}, errMalformed
		case k.peek() == '"':
			if err := k.passQuoted(); err != nil {
				return section{}, err
			}
		default:
			k.pos++
		}
	}
	s := section{key: spec, text: "BODY" + string(k.line[from:k.pos])}
	if k.accept('<') {
		partial := k.until(">")
		if !k.accept('>') {
			return section{}, errMalformed
		}
		offset, _, _ := bytes.Cut(partial, []byte{'.'})
		if _, ok := digits(offset); !ok {
			return section{}, errMalformed
		}
		at := "<" + string(offset) + ">"
		s.key += at
		s.text += at
	}
	return s, nil
}

// key is what the parts of a message are kept under while they come.
func (cmd *command) key(seq, uid uint32) uint32 {
	if cmd.byUID {
		return uid
	}
	return seq
}

// match finds the command that a FETCH response for a message answers: the
// first that names it and has not had it, as the library does. What was sent
// behind a SELECT that has no answer yet is about another mailbox (RFC 9051,
// section 5.5).
func (c *Conn) match(seq, uid uint32) *command {
	if cmd := c.resyncing(); cmd != nil {
		return cmd
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cmd := range c.pending {
		if cmd.isSelect {
			break
		}
		if !cmd.isFetch && !cmd.isStore {
			continue
		}
		n := cmd.key(seq, uid)
		if n != 0 && cmd.set.contains(n) && !cmd.got.contains(n) {
			return cmd
		}
	}
	return nil
}

// onlyUID is the UID that a FETCH response without one must be about, where
// nothing but one message was asked for, or 0.
func (c *Conn) onlyUID() uint32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	var uid uint32
	for _, cmd := range c.pending {
		if cmd.isSelect {
			break
		}
		if !cmd.isFetch && !cmd.isStore {
			continue
		}
		if uid != 0 || !cmd.byUID {
			return 0
		}
		if uid = cmd.set.single(); uid == 0 {
			return 0
		}
	}
	return uid
}

// first finds the first command in flight that ok accepts.
func (c *Conn) first(ok func(*command) bool) *command {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.pending, ok); i >= 0 {
		return c.pending[i]
	}
	return nil
}

// spoil makes the commands in flight that names lists fail: a response that
// could have been an answer to them was lost.
func (c *Conn) spoil(why string, names ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, cmd := range c.pending {
		if i > 0 && cmd.isSelect && cmd.call != nil {
			return // it is not being answered yet
		}
		if slices.Contains(names, cmd.name) && cmd.spoiled == "" {
			cmd.spoiled = why
		}
	}
}

// take removes the command that a tagged response ends, or gives nil.
func (c *Conn) take(tag string, refused bool) *command {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.pending, func(cmd *command) bool { return cmd.tag == tag })
	if i < 0 {
		return nil
	}
	cmd := c.pending[i]
	if cmd.isSelect {
		overtaken(c.pending[:i])
	}
	c.pending = slices.Delete(c.pending, i, i+1)
	if cmd != c.sending {
		return cmd
	}
	switch {
	case cmd.name == "AUTHENTICATE":
		c.sending = nil
	case cmd.waiting:
		// The rest of the command will not come: the library gives it up.
		c.sending, c.toSend = nil, 0
		c.forgive = refused && cmd.name != "IDLE" && len(c.pending) == 0
	default:
		// The rest, a literal or DONE, comes all the same.
		cmd.over = true
	}
	return cmd
}
