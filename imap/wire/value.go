package wire

import (
	"bytes"
	"strconv"
	"strings"
)

// A value is a part of a response other than FETCH, held in memory.
type value struct {
	kind kind
	text string  // atom, str
	list []value // list
}

type kind uint8

const (
	atom kind = iota + 1
	str       // quoted or literal
	list
)

func (v *value) isNil() bool { return v.kind == atom && strings.EqualFold(v.text, "NIL") }

// value reads one value.
func (k *cursor) value(depth int) (v value, err error) {
	if depth <= 0 {
		return v, errMalformed
	}
	k.accept('~')
	switch k.peek() {
	case '"':
		v.kind = str
		v.text, err = k.quoted()
		return v, err
	case '{':
		v.kind = str
		v.text, err = k.literal()
		return v, err
	case '(':
		k.pos++
		v.kind = list
		v.list, err = k.values(depth-1, true)
		return v, err
	}
	w := k.word()
	if len(w) == 0 {
		return v, errMalformed
	}
	return value{kind: atom, text: string(w)}, nil
}

// values reads values up to the closing parenthesis, or to the end of the line.
func (k *cursor) values(depth int, closed bool) ([]value, error) {
	var vs []value
	for {
		k.spaces()
		switch {
		case closed && k.accept(')'):
			return vs, nil
		case k.atEnd() && closed:
			return nil, errMalformed
		case k.atEnd():
			return vs, nil
		}
		v, err := k.value(depth)
		if err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
}

// appendString writes s as a quoted string, or a literal where it must be one.
func appendString(dst []byte, s string) []byte {
	if strings.ContainsAny(s, "\r\n\x00") {
		dst = append(dst, '{')
		dst = strconv.AppendInt(dst, int64(len(s)), 10)
		dst = append(dst, "}\r\n"...)
		return append(dst, s...)
	}
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// appendText writes human-readable text so that it stays one line; empty text
// becomes a dash, since the grammar wants one.
func appendText(dst, text []byte) []byte {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return append(dst, '-')
	}
	for _, b := range text {
		if b == '\r' || b == '\n' || b == 0 {
			b = ' '
		}
		dst = append(dst, b)
	}
	return dst
}

// isAtom tells whether s can be an atom that the library reads as one.
func isAtom(s string) bool {
	if s == "" {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !atomByte(s[i]) {
			return false
		}
	}
	return true
}

func atomByte(b byte) bool {
	return b > ' ' && b < 0x7f && strings.IndexByte(`(){%*"\]`, b) < 0
}

// isFlag tells whether s is a flag: an atom, perhaps with a backslash before.
func isFlag(s string) bool { return isAtom(strings.TrimPrefix(s, `\`)) }

// flags reads a list of flags: those that are none are left out, and NIL is
// the empty list.
func (k *cursor) flags() ([]string, error) {
	if !k.accept('(') {
		if bytes.EqualFold(k.word(), []byte("NIL")) {
			return nil, nil
		}
		return nil, errMalformed
	}
	var out []string
	for {
		k.spaces()
		if k.accept(')') {
			return out, nil
		}
		switch w := k.word(); {
		case len(w) > 0:
			if s := string(w); isFlag(s) || s == `\*` {
				out = append(out, spelled(s))
			}
		case k.peek() == '"':
			if err := k.passQuoted(); err != nil {
				return nil, err
			}
		default:
			return nil, errMalformed
		}
	}
}

// spelled gives a keyword that has a registered name (RFC 9051, section 2.3.2)
// in the spelling of the registry: there are servers that fold case, and
// nobody else should see keywords change with them.
func spelled(flag string) string {
	if flag[0] != '$' {
		return flag
	}
	for _, name := range [...]string{"$Forwarded", "$MDNSent", "$Junk", "$NotJunk", "$Phishing", "$Important"} {
		if strings.EqualFold(flag, name) {
			return name
		}
	}
	return flag
}

// appendFlags writes a list of flags.
func appendFlags(dst []byte, flags []string) []byte {
	dst = append(dst, '(')
	for i, f := range flags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, f...)
	}
	return append(dst, ')')
}
