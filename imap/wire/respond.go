package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// respond takes the first line of a response and puts what the library may
// see of it into c.out.
func (c *Conn) respond(line []byte) error {
	k := &cursor{c: c, line: line}
	if !c.isGreeted() {
		return c.greeting(k)
	}
	k.spaces()
	if k.atEnd() {
		return nil // a blank line
	}
	if k.accept('+') {
		c.continuation(k)
		return nil
	}
	tag := k.word()
	if string(tag) != "*" {
		return c.tagged(string(tag), k)
	}
	return c.untagged(k)
}

func (c *Conn) isGreeted() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.greeted
}

// greeting takes the first line, which must be a greeting (RFC 9051, section
// 7.1): what else answers is no IMAP server.
func (c *Conn) greeting(k *cursor) error {
	shown := strings.ToValidUTF8(string(k.line[:min(len(k.line), 100)]), "?")
	star := k.word()
	k.spaces()
	status := strings.ToUpper(string(k.word()))
	if string(star) != "*" || status != "OK" && status != "PREAUTH" && status != "BYE" {
		return fmt.Errorf("what answers is no IMAP server: it said %q", shown)
	}
	c.mu.Lock()
	c.greeted, c.hello = true, greetingText(string(k.line))
	c.pace.trips++
	c.mu.Unlock()
	c.status("*", status, k, nil)
	return nil
}

// greetingText is what a greeting says in words: without "* OK" and response code.
func greetingText(line string) string {
	line = strings.ToValidUTF8(strings.TrimRight(line[:min(len(line), maxHello)], "\r\n"), "?")
	_, rest, _ := strings.Cut(strings.TrimLeft(line, "* "), " ")
	if strings.HasPrefix(rest, "[") {
		_, rest, _ = strings.Cut(rest, "]")
	}
	return strings.TrimSpace(rest)
}

// continuation takes a "+". One that nobody waits for would break the library.
func (c *Conn) continuation(k *cursor) {
	c.mu.Lock()
	cmd := c.sending
	if cmd == nil || !cmd.waiting {
		c.mu.Unlock()
		return
	}
	cmd.waiting = false
	cmd.quiet = cmd.name == "IDLE"
	if !cmd.quiet {
		c.pace.trips++
	}
	plain := cmd.plain
	c.mu.Unlock()
	k.spaces()
	c.out = append(c.out, "+ "...)
	if !plain {
		// Text behind the "+" of PLAIN means nothing; the library would take
		// it for a challenge.
		c.out = append(c.out, bytes.Map(oneLine, k.rest())...)
	}
	c.out = append(c.out, "\r\n"...)
}

func oneLine(r rune) rune {
	if r == '\r' || r == 0 {
		return ' '
	}
	return r
}

// tagged takes the answer that ends a command.
func (c *Conn) tagged(tag string, k *cursor) error {
	k.spaces()
	status := strings.ToUpper(string(k.word()))
	cmd := c.take(tag, status != "OK")
	if cmd == nil {
		return nil // nobody asked
	}
	if status != "OK" && status != "NO" && status != "BAD" {
		cmd.spoiled = "the server's answer is no answer"
	}
	if cmd.isFetch {
		c.flushPartial(cmd)
	}
	if cmd.to != nil {
		if err := cmd.to.Over(); err != nil {
			return err
		}
	}
	if status == "OK" && cmd.spoiled == "" && (cmd.name == "UNSELECT" || cmd.name == "CLOSE") {
		c.setOpen(false)
	}
	if cmd.isSelect && status == "OK" && !cmd.exists && cmd.spoiled == "" {
		cmd.spoiled = "the server did not tell how many messages there are"
	}
	if cmd.call != nil {
		if cmd.name == compress && status == "OK" {
			c.inflate()
		}
		c.finish(cmd, tag, status, k)
		return nil
	}
	if cmd.spoiled != "" && status != "NO" && status != "BAD" {
		c.setOpen(c.isOpen() || cmd.isSelect)
		c.out = append(c.out, tag...)
		c.out = append(c.out, " BAD "...)
		c.out = appendText(c.out, []byte(cmd.spoiled))
		c.out = append(c.out, "\r\n"...)
		return nil
	}
	if cmd.isLogin && status == "OK" {
		c.loggedIn(tag, k)
		return nil
	}
	c.status(tag, status, k, cmd)
	if cmd.isSelect {
		c.opened(cmd, status == "OK")
	}
	return nil
}

// untagged takes a response that begins with a star.
func (c *Conn) untagged(k *cursor) error {
	k.spaces()
	first := k.word()
	if len(first) == 0 {
		return k.abandon()
	}
	if first[0] >= '0' && first[0] <= '9' {
		n, ok := digits(first)
		k.spaces()
		return c.numbered(n, ok && n <= math.MaxUint32, k)
	}
	name := strings.ToUpper(string(first))
	k.spaces()
	switch name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		c.status("*", name, k, nil)
		return nil
	case "CAPABILITY", "ENABLED":
		c.words(name, k)
		return nil
	}
	mark := len(c.out)
	whole := ""
	if name == "LIST" {
		whole = tidy(string(k.rest()))
	}
	err := c.data(name, k)
	if errors.Is(err, errMalformed) {
		c.out = c.out[:mark]
		if name == "LIST" {
			noteText(c, &c.badNames, whole, maxNames)
		}
		c.lost(name)
		err = k.abandon()
	}
	return err
}

// lost makes the commands fail that a response which was lost may have answered.
func (c *Conn) lost(name string) {
	why := "a " + name + " response could not be understood"
	switch name {
	case "SEARCH", "ESEARCH":
		c.spoil(why, "SEARCH", "UID SEARCH")
	case "LIST":
		// One mailbox is lost, and noted; the others are not.
	case "STATUS":
		c.spoil(why, "STATUS") // LIST gives the mailbox without it
	case "FETCH":
		c.mu.Lock()
		defer c.mu.Unlock()
		for i, cmd := range c.pending {
			if cmd.isSelect && cmd.call != nil {
				if i == 0 {
					cmd.call.answer.Doubtful = true
				}
				return // what is behind it is not being answered yet
			}
			// A body that is missing is noticed; a flag would not be.
			if cmd.isFetch && cmd.need&needBody == 0 && cmd.spoiled == "" {
				cmd.spoiled = why
			}
		}
	default:
		c.spoil(why, name)
	}
}

// numbered takes a response about a number of messages, or one message.
func (c *Conn) numbered(n uint64, ok bool, k *cursor) error {
	name := strings.ToUpper(string(k.word()))
	k.spaces()
	switch {
	case name == "FETCH" && ok && n > 0:
		f := &fetch{c: c, k: k, parts: parts{seq: uint32(n)}}
		return f.start()
	case name == "FETCH":
		c.lost(name)
		return k.abandon()
	case name == "EXISTS" && ok:
		if cmd := c.selecting(); cmd != nil {
			cmd.restless = cmd.restless || cmd.exists && uint64(c.Tally().Exists) != n
			cmd.exists = true
		}
		c.recount(true, n)
	case name == "EXPUNGE" && ok && n > 0:
		if cmd := c.selecting(); cmd != nil && cmd.exists {
			cmd.restless = true
		}
		c.recount(false, 1)
	default:
		// RECENT is of no use, anything else unknown.
		return k.abandon()
	}
	c.out = append(c.out, "* "...)
	c.out = strconv.AppendUint(c.out, n, 10)
	c.out = append(append(append(c.out, ' '), name...), "\r\n"...)
	return nil
}

// words takes CAPABILITY and ENABLED.
func (c *Conn) words(name string, k *cursor) {
	c.out = append(append(c.out, "* "...), name...)
	if name == "CAPABILITY" {
		if c.first(func(cmd *command) bool { return cmd.isLogin }) != nil {
			c.mu.Lock()
			c.caps = string(k.rest())
			c.mu.Unlock()
		}
		c.out = c.capabilities(c.out, k.rest())
	} else {
		for _, w := range bytes.Fields(k.rest()) {
			if isAtom(string(w)) {
				c.out = append(append(c.out, ' '), w...)
				c.noteEnabled(strings.ToUpper(string(w)))
			}
		}
	}
	c.out = append(c.out, "\r\n"...)
}

// noteEnabled notes that an extension was enabled: one that has mailbox names
// in UTF-8 (RFC 6855, section 3), as IMAP4rev2 has where it is the only protocol
// there is (RFC 9051, section 5.1), or QRESYNC.
func (c *Conn) noteEnabled(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.utf8 = c.utf8 || name == "UTF8=ACCEPT" || name == "IMAP4REV2"
	c.qresync = c.qresync || name == "QRESYNC"
}

// capabilities writes those that can be read. IMAP4rev2 is hidden where
// IMAP4rev1 is offered too: the library would write mailbox names in UTF-8
// though rev2 was never enabled (RFC 9051, section 6.3.1).
func (c *Conn) capabilities(dst, list []byte) []byte {
	words := bytes.Fields(list)
	rev1, plus := false, false
	for _, w := range words {
		rev1 = rev1 || strings.EqualFold(string(w), "IMAP4rev1")
		plus = plus || strings.EqualFold(string(w), "LITERAL+")
	}
	c.mu.Lock()
	c.literalPlus = plus
	c.mu.Unlock()
	for _, w := range words {
		rev2 := strings.EqualFold(string(w), "IMAP4rev2")
		if !isAtom(string(w)) || rev2 && rev1 {
			continue
		}
		if rev2 {
			c.noteEnabled("IMAP4REV2")
		}
		dst = append(append(dst, ' '), w...)
	}
	return dst
}
