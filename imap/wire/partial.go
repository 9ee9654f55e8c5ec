package wire

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// parts are the items of one message that have come. Servers may spread them
// over several responses, and may send one of their own accord in between
// (RFC 9051, section 7.5.2): only a response with all that was asked for is
// handed on, for the library takes the first for the whole.
type parts struct {
	have   need
	seq    uint32
	uid    uint32
	flags  string    // with parentheses
	date   time.Time // BadDate where it is none
	size   uint64
	modSeq uint64
	id     string // EMAILID or X-GM-MSGID
}

// maxPartial caps how many messages a command may have incomplete parts of.
const maxPartial = 100000

// merge takes over what q has: it is newer.
func (p *parts) merge(q *parts) {
	if q.have&needUID != 0 {
		p.uid = q.uid
	}
	if q.have&needFlags != 0 {
		p.flags = q.flags
	}
	if q.have&needDate != 0 {
		p.date = q.date
	}
	if q.have&needSize != 0 {
		p.size = q.size
	}
	if q.have&needModSeq != 0 {
		p.modSeq = q.modSeq
	}
	if q.id != "" {
		p.id = q.id
	}
	p.have |= q.have
}

// join gives p what it lacks from before, which came earlier.
func (c *Conn) join(p, before *parts) {
	if before.have&p.have&needFlags != 0 {
		c.unasked(before) // so that one was of the server's own accord
	}
	all := *before
	all.seq = p.seq
	all.merge(p)
	*p = all
}

// appendTo writes the items but bodies, separated by spaces.
func (p *parts) appendTo(dst []byte) []byte {
	from := len(dst)
	item := func(name string) {
		if len(dst) > from {
			dst = append(dst, ' ')
		}
		dst = append(append(dst, name...), ' ')
	}
	if p.have&needUID != 0 {
		item("UID")
		dst = strconv.AppendUint(dst, uint64(p.uid), 10)
	}
	if p.have&needFlags != 0 {
		item("FLAGS")
		dst = append(dst, p.flags...)
	}
	if p.have&needDate != 0 {
		item("INTERNALDATE")
		dst = p.date.AppendFormat(append(dst, '"'), dateLayout)
		dst = append(dst, '"')
	}
	if p.have&needSize != 0 {
		item("RFC822.SIZE")
		dst = strconv.AppendUint(dst, p.size, 10)
	}
	if p.have&needModSeq != 0 {
		item("MODSEQ")
		dst = strconv.AppendUint(append(dst, '('), p.modSeq, 10)
		dst = append(dst, ')')
	}
	return dst
}

// appendBody writes a body as a literal.
func appendBody(dst []byte, section string, body []byte) []byte {
	dst = append(append(dst, section...), " {"...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "}\r\n"...)
	return append(dst, body...)
}

// complete tells whether the response, with what came before it, has all that
// cmd asked for.
func (f *fetch) complete(cmd *command) bool {
	have := f.have
	if before := cmd.partial[cmd.key(f.seq, f.uid)]; before != nil {
		have |= before.have
	}
	return cmd.need&^have == 0
}

// keepPartial keeps what came until the rest does, or the command ends. It
// returns false if there is no room and the parts are to be handed on as they are.
func (c *Conn) keepPartial(cmd *command, p *parts) bool {
	key := cmd.key(p.seq, p.uid)
	kept := *p
	if before := cmd.partial[key]; before != nil {
		c.join(&kept, before)
	} else if len(cmd.partial) >= maxPartial {
		// Without its body a message is never handed on.
		return cmd.need&needBody != 0
	}
	cmd.partial[key] = &kept
	return true
}

// flushPartial ends a FETCH: messages that lack a body that was asked for are
// left out, so that their emptiness is not believed; others are handed on
// with what they have.
func (c *Conn) flushPartial(cmd *command) {
	keys := slices.Sorted(maps.Keys(cmd.partial))
	partial := cmd.partial
	cmd.partial = nil
	for _, key := range keys {
		p := partial[key]
		if cmd.call != nil {
			c.hand(cmd, p)
			continue
		}
		if cmd.need&needBody != 0 {
			c.noteNoBody(p.uid, "the server gave no body for it")
			c.unasked(p)
			continue
		}
		f := &fetch{c: c, parts: *p}
		f.begin(cmd)
		c.out = append(c.out, ")\r\n"...)
	}
}

// unasked tells of flags that came without being an answer.
func (c *Conn) unasked(p *parts) {
	if c.opt.Unasked != nil && p.have&needFlags != 0 {
		c.opt.Unasked(p.seq, p.uid, strings.Fields(strings.Trim(p.flags, "()")))
	}
}
