package wire

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// data takes the responses that carry data of mailboxes, and writes them in
// the form that the library reads. It returns errMalformed where it cannot.
func (c *Conn) data(name string, k *cursor) error {
	switch name {
	case "SEARCH":
		return c.search(k)
	case "ESEARCH":
		return c.esearch(k)
	case "FLAGS":
		flags, err := k.flags()
		if err != nil {
			return err
		}
		c.out = append(appendFlags(append(c.out, "* FLAGS "...), flags), "\r\n"...)
		return nil
	case "VANISHED":
		if err := c.vanished(k); err != nil {
			return err
		}
	case "LIST", "LSUB", "STATUS", "NAMESPACE", "MYRIGHTS", "QUOTA", "QUOTAROOT":
		vs, err := k.values(c.opt.MaxDepth, false)
		if err != nil {
			return err
		}
		return c.boxData(name, vs)
	}
	// Unknown to the library, or to nobody: VANISHED, ID, …
	for k.spaces(); !k.atEnd(); k.spaces() {
		if err := k.skip(c.opt.MaxDepth); err != nil {
			return err
		}
	}
	return nil
}

// vanished takes VANISHED (RFC 7162, section 3.2.10), of which the library
// knows nothing. That of (EARLIER) tells of messages that were not counted.
func (c *Conn) vanished(k *cursor) error {
	k.spaces()
	if k.accept('(') {
		k.until(")")
		k.accept(')')
		k.spaces()
		c.earlier(k.word())
		return nil
	}
	if cmd := c.selecting(); cmd != nil && cmd.exists {
		cmd.restless = true
	}
	gone, err := parseNumbers(k.word(), false)
	if err != nil {
		c.recount(false, 0) // something went
		return errMalformed
	}
	c.recount(false, gone.count())
	return nil
}

// errUnusable is a response that was understood and is not handed on.
var errUnusable = errors.New("not for the library")

func (c *Conn) boxData(name string, vs []value) (err error) {
	if name == "LSUB" {
		c.subscribed(vs)
		return nil
	}
	mark := len(c.out)
	c.out = append(append(append(c.out, "* "...), name...), ' ')
	switch name {
	case "LIST":
		err = c.list(vs)
	case "STATUS":
		err = c.boxStatus(vs)
	case "NAMESPACE":
		err = c.namespace(vs)
	case "QUOTA":
		err = c.quota(vs)
	case "MYRIGHTS":
		if len(vs) != 2 {
			err = errMalformed
			break
		}
		if cmd := c.first(func(cmd *command) bool { return cmd.name == name }); cmd != nil && cmd.call != nil {
			cmd.call.answer.Rights = vs[1].text
			err = errUnusable
			break
		}
		err = c.boxWords(vs)
	case "QUOTAROOT":
		err = c.boxWords(vs)
	}
	if err != nil {
		c.out = c.out[:mark]
		if errors.Is(err, errUnusable) {
			return nil
		}
		return err
	}
	c.out = append(c.out, "\r\n"...)
	return nil
}

// boxWords takes a mailbox and words about it.
func (c *Conn) boxWords(vs []value) error {
	if len(vs) == 0 {
		return errMalformed
	}
	if err := c.mailbox(vs[0], nil); err != nil {
		return err
	}
	for _, v := range vs[1:] {
		if v.kind == list {
			return errMalformed
		}
		c.out = appendString(append(c.out, ' '), v.text)
	}
	return nil
}

// list takes LIST: attributes, delimiter, name. What LIST-EXTENDED adds is
// left out.
func (c *Conn) list(vs []value) error {
	if len(vs) < 3 || vs[0].kind != list && !vs[0].isNil() {
		return errMalformed
	}
	var attrs []string
	for _, v := range vs[0].list {
		if v.kind == atom && isFlag(v.text) {
			attrs = append(attrs, v.text)
		}
	}
	c.out = append(appendFlags(c.out, attrs), ' ')
	switch d := vs[1]; {
	case d.isNil():
		c.out = append(c.out, "NIL "...)
	case d.kind != list && utf8.RuneCountInString(d.text) == 1 && utf8.ValidString(d.text):
		c.out = append(appendString(c.out, d.text), ' ')
	default:
		return errMalformed
	}
	return c.mailbox(vs[2], func(raw string) {
		noteText(c, &c.badNames, tidy(raw), maxNames)
	})
}

// subscribed takes LSUB, of which the library knows nothing. What has \Noselect
// is not subscribed to itself, but something below it is (RFC 3501, section 6.3.9).
func (c *Conn) subscribed(vs []value) {
	cmd := c.first(func(cmd *command) bool { return cmd.name == "LSUB" })
	if cmd == nil || cmd.call == nil || len(vs) < 3 || vs[2].kind == list || len(cmd.call.answer.Subscribed) >= maxNames {
		return
	}
	for _, v := range vs[0].list {
		if strings.EqualFold(v.text, `\Noselect`) {
			return
		}
	}
	name := vs[2].text
	c.mu.Lock()
	inUTF8 := c.utf8
	c.mu.Unlock()
	if !inUTF8 {
		var err error
		if name, err = mail.DecodeUTF7(name); err != nil {
			return
		}
	} else if !validUTF8Name(name) {
		return
	}
	cmd.call.answer.Subscribed = append(cmd.call.answer.Subscribed, name)
}

// mailbox writes the name of a mailbox. A name that the library could not
// send back as it came makes the response be dropped, after bad was told.
func (c *Conn) mailbox(v value, bad func(raw string)) error {
	if v.kind == list {
		return errMalformed
	}
	raw := v.text
	c.mu.Lock()
	inUTF8 := c.utf8
	c.mu.Unlock()
	switch {
	case strings.EqualFold(raw, "INBOX"):
		c.out = append(c.out, "INBOX"...)
	case inUTF8 && validUTF8Name(raw):
		c.out = appendString(c.out, strings.ReplaceAll(raw, "&", "&-"))
	case !inUTF8 && validUTF7Name(raw):
		c.out = appendString(c.out, raw)
	default:
		if bad != nil {
			bad(raw)
		}
		return errUnusable
	}
	return nil
}

func validUTF7Name(raw string) bool {
	_, err := mail.DecodeUTF7(raw)
	return err == nil
}

func validUTF8Name(raw string) bool {
	return utf8.ValidString(raw) && !strings.ContainsFunc(raw, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// statusLimit tells whether the library reads an item of STATUS, and the
// highest number it may have.
func statusLimit(item string) (uint64, bool) {
	switch item {
	case "MESSAGES", "UIDNEXT", "UIDVALIDITY", "UNSEEN", "DELETED", "APPENDLIMIT":
		return math.MaxUint32, true
	case "SIZE", "DELETED-STORAGE":
		return math.MaxInt64, true
	case "HIGHESTMODSEQ":
		return math.MaxUint64, true
	}
	return 0, false
}

// boxStatus takes STATUS. Items that are unknown, or no numbers, are left out.
func (c *Conn) boxStatus(vs []value) error {
	if len(vs) < 2 || vs[1].kind != list {
		return errMalformed
	}
	if err := c.mailbox(vs[0], nil); err != nil {
		return err
	}
	c.out = append(c.out, " ("...)
	first := true
	for i := 0; i+1 < len(vs[1].list); i += 2 {
		item, v := strings.ToUpper(vs[1].list[i].text), vs[1].list[i+1]
		if item == "MAILBOXID" && v.kind == list && len(v.list) == 1 {
			note(c, &c.boxIDs, vs[0].text, tidy(v.list[0].text))
			continue
		}
		limit, known := statusLimit(item)
		n, ok := digits([]byte(v.text))
		if !known || v.kind != atom || !ok || n > limit {
			continue
		}
		if !first {
			c.out = append(c.out, ' ')
		}
		first = false
		c.out = append(append(c.out, item...), ' ')
		c.out = strconv.AppendUint(c.out, n, 10)
	}
	c.out = append(c.out, ')')
	return nil
}

// namespace takes the three lists of NAMESPACE (RFC 2342), without extensions.
func (c *Conn) namespace(vs []value) error {
	if len(vs) < 3 {
		return errMalformed
	}
	for i, v := range vs[:3] {
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		if v.isNil() || v.kind == list && len(v.list) == 0 {
			c.out = append(c.out, "NIL"...)
			continue
		}
		if v.kind != list {
			return errMalformed
		}
		c.out = append(c.out, '(')
		for j, d := range v.list {
			if len(d.list) < 2 || d.list[0].kind != str {
				return errMalformed
			}
			if j > 0 {
				c.out = append(c.out, ' ')
			}
			c.out = append(appendString(append(c.out, '('), d.list[0].text), ' ')
			switch delim := d.list[1]; {
			case delim.isNil():
				c.out = append(c.out, "NIL"...)
			case delim.kind == str && utf8.RuneCountInString(delim.text) == 1 && utf8.ValidString(delim.text):
				c.out = appendString(c.out, delim.text)
			default:
				return errMalformed
			}
			c.out = append(c.out, ')')
		}
		c.out = append(c.out, ')')
	}
	return nil
}

// quota takes QUOTA (RFC 9208): a root, and threes of resource, usage, limit.
func (c *Conn) quota(vs []value) error {
	if len(vs) < 2 || vs[0].kind == list || vs[1].kind != list || len(vs[1].list)%3 != 0 {
		return errMalformed
	}
	c.out = append(appendString(c.out, vs[0].text), " ("...)
	for i, v := range vs[1].list {
		if n, ok := digits([]byte(v.text)); i%3 == 0 && !isAtom(v.text) || i%3 > 0 && (!ok || n > math.MaxInt64) {
			return errMalformed
		}
		if i > 0 {
			c.out = append(c.out, ' ')
		}
		c.out = append(c.out, v.text...)
	}
	c.out = append(c.out, ')')
	return nil
}

// search takes SEARCH. Numbers are handed on in rising order, which costs the
// library least; a zero is no number of a message, and left out.
func (c *Conn) search(k *cursor) error {
	var nums []uint32
	var modSeq []byte
	for k.spaces(); !k.atEnd(); k.spaces() {
		if k.accept('(') {
			name := k.word()
			k.spaces()
			modSeq = k.word()
			if _, ok := digits(modSeq); !ok || !bytes.EqualFold(name, []byte("MODSEQ")) || !k.accept(')') {
				return errMalformed
			}
			continue
		}
		w := k.word()
		n, ok := digits(w)
		if !ok || n > math.MaxUint32 {
			return errMalformed
		}
		if n > 0 {
			nums = append(nums, uint32(n))
		}
	}
	if !slices.IsSorted(nums) {
		slices.Sort(nums)
	}
	if cmd := c.searching(""); cmd != nil && cmd.call != nil {
		var set numbers
		for _, n := range nums {
			set.add(n)
		}
		c.found(cmd, set)
		return nil
	}
	c.out = append(c.out, "* SEARCH"...)
	for _, n := range nums {
		c.out = strconv.AppendUint(append(c.out, ' '), uint64(n), 10)
	}
	if modSeq != nil {
		c.out = append(append(append(c.out, " (MODSEQ "...), modSeq...), ')')
	}
	c.out = append(c.out, "\r\n"...)
	return nil
}

// esearch takes ESEARCH (RFC 4731): whose answer it is, then pairs. Without
// the former it answers the first SEARCH there is.
func (c *Conn) esearch(k *cursor) error {
	tag := ""
	k.spaces()
	if k.peek() == '(' {
		v, err := k.value(3)
		if err != nil || len(v.list) != 2 || !strings.EqualFold(v.list[0].text, "TAG") {
			return errMalformed
		}
		tag = v.list[1].text
	}
	cmd := c.searching(tag)
	if cmd == nil {
		return nil
	}
	out := append(appendString(append(c.out, "* ESEARCH (TAG "...), cmd.tag), ')')
	for k.spaces(); !k.atEnd(); k.spaces() {
		name := strings.ToUpper(string(k.word()))
		k.spaces()
		switch name {
		case "UID":
			out = append(out, " UID"...)
		case "ALL":
			set, err := parseNumbers(k.word(), false)
			if err != nil {
				return errMalformed
			}
			if c.found(cmd, set) {
				continue
			}
			out = set.appendTo(append(out, " ALL "...))
		case "MIN", "MAX", "COUNT", "MODSEQ":
			n, ok := digits(k.word())
			if !ok || name != "MODSEQ" && n > math.MaxUint32 {
				return errMalformed
			}
			out = append(append(append(out, ' '), name...), ' ')
			out = strconv.AppendUint(out, n, 10)
		default:
			if name == "" || k.skip(c.opt.MaxDepth) != nil {
				return errMalformed
			}
		}
	}
	if cmd.call == nil {
		c.out = append(out, "\r\n"...)
	}
	return nil
}
