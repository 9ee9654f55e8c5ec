package wire

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dateLayout is that of INTERNALDATE (RFC 9051, section 9, date-time).
const dateLayout = "_2-Jan-2006 15:04:05 -0700"

// heldBody is a body that came before it was known what it answers.
type heldBody struct {
	key   string // of its section
	bytes []byte
}

// A fetch is one FETCH response while it is read. Small items are collected;
// when the first body comes, or the end, it is known which command is
// answered, and the response is written for the library.
type fetch struct {
	c *Conn
	k *cursor
	parts
	bodies   []heldBody
	any      bool     // an item was written
	inferred uint32   // the UID that was assumed, since none came before the body
	cmd      *command // whom the response was begun for in c.out, else nil
	why      string   // why there is no body, where there was one
}

// start reads the response from the parenthesis on.
func (f *fetch) start() error {
	if !f.k.accept('(') {
		f.c.lost("FETCH")
		return f.k.abandon()
	}
	return f.run()
}

// run reads items up to the end of the response, or up to a body that the
// library is to read first: then it is called again behind the body.
func (f *fetch) run() error {
	streaming, err := f.items()
	if streaming {
		return nil
	}
	if err == nil {
		return f.end()
	}
	if !errors.Is(err, errMalformed) {
		return err
	}
	if err := f.k.abandon(); err != nil {
		return err
	}
	if f.cmd != nil {
		// What was handed on is whole; what stood behind it is lost.
		return f.close()
	}
	f.c.lost("FETCH")
	f.bodiless("the server's answer could not be understood")
	return nil
}

// items reads items until the closing parenthesis or a body to be streamed.
func (f *fetch) items() (streaming bool, err error) {
	for {
		f.k.spaces()
		if f.k.accept(')') {
			return false, nil
		}
		name := strings.ToUpper(string(f.k.until(` ()[{"`)))
		if name == "" {
			return false, errMalformed
		}
		if (name == "BODY" || name == "BINARY") && f.k.peek() == '[' {
			if streaming, err = f.section(name); streaming || err != nil {
				return streaming, err
			}
			continue
		}
		if f.k.peek() == '[' { // BINARY.SIZE[1]
			if _, err := f.k.section(); err != nil {
				return false, err
			}
		}
		f.k.spaces()
		if err := f.item(name); err != nil {
			return false, err
		}
	}
}

// item reads one item that is no body.
func (f *fetch) item(name string) error {
	var one parts
	switch name {
	case "UID":
		n, ok := digits(f.k.word())
		if !ok || n == 0 || n > math.MaxUint32 {
			return errMalformed
		}
		if f.inferred != 0 && f.inferred != uint32(n) {
			return fmt.Errorf("the server sent message %d where %d was asked for", n, f.inferred)
		}
		if f.cmd != nil {
			f.uid = uint32(n)
			return nil
		}
		one.have, one.uid = needUID, uint32(n)
	case "FLAGS":
		flags, err := f.k.flags()
		if err != nil {
			return err
		}
		one.have, one.flags = needFlags, string(appendFlags(nil, flags))
	case "INTERNALDATE":
		date, err := f.k.date()
		if err != nil {
			return err
		}
		one.have, one.date = needDate, date
	case "RFC822.SIZE":
		// A size is a hint; an impossible one is none.
		n, ok := digits(f.k.word())
		if !ok || n > math.MaxInt64 {
			n = 0
		}
		one.have, one.size = needSize, n
	case "MODSEQ":
		n, err := f.k.modSeq()
		if err != nil {
			return err
		}
		one.have, one.modSeq = needModSeq, n
	case "EMAILID", "X-GM-MSGID":
		v, err := f.k.value(3)
		if err != nil {
			return err
		}
		if v.kind == list && len(v.list) == 1 {
			v = v.list[0]
		}
		if v.kind != list && !v.isNil() {
			f.id = tidy(v.text)
		}
		return nil
	default:
		return f.k.skip(f.c.opt.MaxDepth)
	}
	if f.cmd != nil && f.cmd.to == nil {
		f.space()
		f.c.out = one.appendTo(f.c.out)
		return nil
	}
	f.merge(&one)
	return nil
}

// date reads an INTERNALDATE; BadDate for NIL and what is no date.
func (k *cursor) date() (time.Time, error) {
	v, err := k.value(2)
	if err != nil {
		return BadDate, err
	}
	t, err := time.Parse(dateLayout, v.text)
	if err != nil {
		// Some servers leave the blank of a day below ten out.
		t, err = time.Parse("2-Jan-2006 15:04:05 -0700", strings.TrimSpace(v.text))
	}
	if err != nil || v.kind != str || t.Year() < 1 || t.Year() > 9999 {
		t = BadDate
	}
	return t, nil
}

// modSeq reads "(n)", or n alone, which Gmail's ancestors sent.
func (k *cursor) modSeq() (uint64, error) {
	closed := k.accept('(')
	k.spaces()
	n, ok := digits(k.word())
	k.spaces()
	if !ok || closed && !k.accept(')') {
		return 0, errMalformed
	}
	return n, nil
}

// section reads a body. It returns true if the library is to read it next.
func (f *fetch) section(item string) (streaming bool, err error) {
	s, err := f.k.section()
	if err != nil {
		return false, err
	}
	f.k.spaces()
	f.k.accept('~') // literal8 (RFC 3516)
	switch f.k.peek() {
	case '"':
		text, err := f.k.quoted()
		if err == nil && item == "BODY" {
			f.hold(s, []byte(text))
		}
		return false, err
	case '{':
		size, err := f.k.literalSize()
		if err != nil {
			return false, err
		}
		return f.literal(item, s, size)
	}
	if !bytes.EqualFold(f.k.word(), []byte("NIL")) {
		return false, errMalformed
	}
	f.why = "the server gave NIL for its body"
	return false, nil
}

// literal takes a body that comes as a literal: to be streamed if it is
// known what it answers, else held, or passed over.
func (f *fetch) literal(item string, s section, size int64) (streaming bool, err error) {
	if item != "BODY" {
		return false, f.k.pass(size)
	}
	if f.uid == 0 && f.cmd == nil {
		if size <= int64(f.c.opt.MaxHeld-f.k.held) {
			body, err := f.k.hold(size)
			f.hold(s, body)
			return false, err
		}
		if f.inferred = f.c.onlyUID(); f.inferred == 0 {
			f.why = "the server sent its body before its UID; ask for it alone"
			return false, f.k.pass(size)
		}
		f.merge(&parts{have: needUID, uid: f.inferred})
	}
	cmd := f.cmd
	if cmd == nil {
		cmd = f.c.match(f.seq, f.uid)
	}
	if cmd == nil || cmd.sections[s.key] == "" {
		return false, f.k.pass(size)
	}
	if cmd.to != nil {
		return false, f.divert(cmd, size)
	}
	if f.cmd == nil {
		f.begin(cmd)
	}
	f.space()
	f.c.out = fmt.Appendf(f.c.out, "%s {%d}\r\n", cmd.sections[s.key], size)
	f.c.stream(size, func() error {
		if err := f.k.next(); err != nil {
			return err
		}
		return f.run()
	})
	return true, nil
}

// hold keeps a body until it is known what it answers, or writes it if it is.
func (f *fetch) hold(s section, body []byte) {
	if f.cmd != nil {
		if name := f.cmd.sections[s.key]; name != "" && f.cmd.to == nil {
			f.space()
			f.c.out = appendBody(f.c.out, name, body)
		}
		return
	}
	f.bodies = append(f.bodies, heldBody{s.key, body})
}

// claim takes the response for an answer to cmd.
func (f *fetch) claim(cmd *command) {
	key := cmd.key(f.seq, f.uid)
	if before := cmd.partial[key]; before != nil {
		delete(cmd.partial, key)
		f.c.join(&f.parts, before)
	}
	cmd.got.add(key)
	f.cmd = cmd
}

// begin writes the response for cmd, with all that is known of the message,
// up to where more items or the end follow.
func (f *fetch) begin(cmd *command) {
	f.claim(cmd)
	f.noteID() // it is known before the body is handed on
	f.c.out = append(f.c.out, "* "...)
	f.c.out = strconv.AppendUint(f.c.out, uint64(f.seq), 10)
	f.c.out = f.appendTo(append(f.c.out, " FETCH ("...))
	f.any = f.have != 0
	for _, b := range f.bodies {
		f.space()
		f.c.out = appendBody(f.c.out, cmd.sections[b.key], b.bytes)
	}
}

// noteID keeps the global identifier of the message, once both are known.
func (f *fetch) noteID() {
	if f.uid != 0 && f.id != "" {
		note(f.c, &f.c.ids, f.uid, f.id)
		f.id = ""
	}
}

// bodiless notes why the message has no body, if one was asked for.
func (f *fetch) bodiless(why string) {
	if cmd := f.c.match(f.seq, f.uid); cmd != nil && cmd.need&needBody != 0 {
		f.c.noteNoBody(f.uid, why)
	}
}

// space separates an item from the one before it.
func (f *fetch) space() {
	if f.any {
		f.c.out = append(f.c.out, ' ')
	}
	f.any = true
}

// close ends a response whose body was handed on.
func (f *fetch) close() error {
	if f.cmd.to != nil {
		return f.cmd.to.End(f.message())
	}
	f.noteID()
	f.c.out = append(f.c.out, ")\r\n"...)
	return nil
}

// end takes the end of the response.
func (f *fetch) end() error {
	var cmd *command
	if f.cmd == nil {
		if cmd = f.c.match(f.seq, f.uid); cmd != nil && cmd.call != nil {
			f.answered(cmd)
			return nil
		}
	}
	if f.why != "" {
		f.bodiless(f.why)
	}
	if f.cmd != nil {
		return f.close()
	}
	f.noteID()
	if cmd == nil {
		f.c.unasked(&f.parts)
		return nil
	}
	// A body that was not asked for is no body.
	f.bodies = slices.DeleteFunc(f.bodies, func(b heldBody) bool { return cmd.sections[b.key] == "" })
	if cmd.isFetch && len(f.bodies) == 0 && !f.complete(cmd) && f.c.keepPartial(cmd, &f.parts) {
		return nil
	}
	if cmd.to != nil {
		return f.divertHeld(cmd)
	}
	f.begin(cmd)
	f.c.out = append(f.c.out, ")\r\n"...)
	return nil
}
