package wire

import (
	"bytes"
	"math"
	"strings"
)

// status takes the condition of a response (RFC 9051, section 7.1): tag is
// "*" or that of cmd, what follows is an optional code and text.
func (c *Conn) status(tag, status string, k *cursor, cmd *command) {
	k.spaces()
	c.hideRest(k)
	c.out = append(c.out, tag...)
	c.out = append(append(append(c.out, ' '), status...), ' ')
	all := strings.TrimSpace(string(k.rest()))
	var code string
	mark := len(c.out)
	if k.accept('[') {
		name, args := k.code()
		code = name
		c.out = c.appendCode(c.out, name, args, cmd)
		k.spaces()
	}
	text := bytes.TrimSpace(k.rest())
	if len(c.out) == mark && bytes.HasPrefix(text, []byte{'['}) {
		c.out = append(c.out, "- "...) // it is text, and must not look like a code
	}
	c.out = appendText(c.out, text)
	c.out = append(c.out, "\r\n"...)
	switch {
	case status == "BYE":
		c.mu.Lock()
		if c.bye == "" {
			c.bye = tidy(all)
			if c.bye == "" {
				c.bye = "(no reason given)"
			}
		}
		c.mu.Unlock()
	case code == "ALERT":
		noteText(c, &c.alerts, tidy(string(text)), maxTexts)
	}
}

// tidy makes a text fit to be kept.
func tidy(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "") + "…"
	}
	return s
}

// code reads a response code, whose opening bracket is behind. Its arguments
// may hold brackets where they are quoted or in a list of flags.
func (k *cursor) code() (name string, args []byte) {
	name = strings.ToUpper(string(k.until(" ]")))
	k.spaces()
	from, depth := k.pos, 0
	for !k.atEnd() {
		switch k.peek() {
		case '(':
			depth++
		case ')':
			depth--
		case '"':
			if k.passQuoted() == nil {
				continue
			}
		case ']':
			if depth <= 0 {
				args = k.line[from:k.pos]
				k.pos++
				return name, args
			}
		}
		k.pos++
	}
	// No bracket closes it: take it for text.
	k.pos = from
	return name, nil
}

// appendCode writes a response code as the library can read it: without its
// arguments if they are of no use to it, not at all if they are invalid.
func (c *Conn) appendCode(dst []byte, name string, args []byte, cmd *command) []byte {
	if !isAtom(name) {
		return dst
	}
	out := append(append(dst, '['), name...)
	ok := true
	switch name {
	case "CAPABILITY":
		out = c.capabilities(out, args)
	case "PERMANENTFLAGS":
		flags, err := (&cursor{line: args}).flags()
		ok = err == nil
		if sel := c.opening(cmd); sel != nil && ok {
			sel.opened.PermanentTold, sel.opened.Permanent = true, flags
		}
		out = appendFlags(append(out, ' '), flags)
	case "UIDNEXT", "UIDVALIDITY":
		n, valid := digits(args)
		ok = valid && n <= math.MaxUint32
		if sel := c.opening(cmd); sel != nil && ok {
			if name == "UIDNEXT" {
				sel.opened.Next = uint32(n)
			} else {
				sel.opened.Validity = uint32(n)
			}
		}
		out = append(append(out, ' '), args...)
	case "HIGHESTMODSEQ":
		var n uint64
		n, ok = digits(args)
		if sel := c.opening(cmd); sel != nil && ok {
			sel.opened.ModSeq = n
		}
		out = append(append(out, ' '), args...)
	case "APPENDUID":
		if cmd != nil && cmd.gather != nil {
			cmd.gather.UIDs = string(args)
		}
		ok = validAppendUID(args)
		out = append(append(out, ' '), args...)
	case "COPYUID":
		ok = validCopyUID(args)
		out = append(append(out, ' '), args...)
	default:
		c.noteCode(name, args, cmd)
	}
	if !ok {
		return dst
	}
	return append(out, "] "...)
}

// validAppendUID checks the arguments of APPENDUID for one message (RFC 4315,
// section 3).
func validAppendUID(args []byte) bool {
	validity, uid, ok := bytes.Cut(args, []byte{' '})
	v, okV := digits(validity)
	u, okU := digits(uid)
	return ok && okV && okU && v <= math.MaxUint32 && u > 0 && u <= math.MaxUint32
}

// validCopyUID checks the arguments of COPYUID. The library keeps sets in
// rising order, so which UID became which is certain only where the server
// wrote them rising, and equally many (RFC 4315, section 3); any other answer
// is worth nothing.
func validCopyUID(args []byte) bool {
	fields := bytes.Split(args, []byte{' '})
	if len(fields) != 3 {
		return false
	}
	v, okV := digits(fields[0])
	from, okF := rising(fields[1])
	to, okT := rising(fields[2])
	return okV && v <= math.MaxUint32 && okF && okT && from == to
}

// rising counts the numbers of a set that is written in strictly rising order.
func rising(text []byte) (count uint64, ok bool) {
	var last uint32
	for len(text) > 0 {
		part, rest, _ := bytes.Cut(text, []byte{','})
		text = rest
		from, to, isRange := bytes.Cut(part, []byte{':'})
		lo, okLo := parseNumber(from, false)
		hi, okHi := lo, true
		if isRange {
			hi, okHi = parseNumber(to, false)
		}
		if !okLo || !okHi || lo <= last || hi < lo {
			return 0, false
		}
		count += uint64(hi-lo) + 1
		last = hi
	}
	return count, count > 0
}

// noteCode remembers what the library does not tell.
func (c *Conn) noteCode(name string, args []byte, cmd *command) {
	switch name {
	case "MODIFIED":
		if set, err := parseNumbers(args, false); err == nil {
			noteText(c, &c.modified, string(set.appendTo(nil)), maxNames)
		}
		return
	case "READ-ONLY", "READ-WRITE", "UIDNOTSTICKY", "NOMODSEQ", "MAILBOXID":
	case "CLOSED":
		if c.selecting() != nil {
			c.setOpen(false)
		}
		return
	default:
		return
	}
	sel := c.opening(cmd)
	if sel == nil {
		return
	}
	switch name {
	case "READ-ONLY":
		sel.selection.ReadOnly = true
	case "UIDNOTSTICKY":
		sel.selection.NotSticky = true
	case "NOMODSEQ":
		sel.selection.NoModSeq = true
	case "MAILBOXID":
		sel.selection.MailboxID = tidy(string(bytes.Trim(args, "()")))
	}
}

// opening is the SELECT that a status response is about: the one that it ends,
// or, where cmd is nil because it has no tag, the one that is being answered.
func (c *Conn) opening(cmd *command) *command {
	if cmd == nil {
		return c.selecting()
	}
	if !cmd.isSelect {
		return nil
	}
	return cmd
}
