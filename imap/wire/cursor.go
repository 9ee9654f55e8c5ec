package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
)

// errMalformed is a response that cannot be understood. It is dropped; all
// other errors end the connection.
var errMalformed = errors.New("malformed response")

// A cursor walks through one response: the rest of a line and, behind each
// literal, the line that follows it.
type cursor struct {
	c    *Conn // nil: there is only this line
	line []byte
	pos  int
	held int // bytes of literals held in memory so far
}

// peek is the next byte, 0 at the end of the line.
func (k *cursor) peek() byte {
	if k.pos < len(k.line) {
		return k.line[k.pos]
	}
	return 0
}

func (k *cursor) atEnd() bool { return k.pos >= len(k.line) }

func (k *cursor) rest() []byte { return k.line[k.pos:] }

// spaces passes over any number of spaces: some servers write two.
func (k *cursor) spaces() {
	for k.pos < len(k.line) && k.line[k.pos] == ' ' {
		k.pos++
	}
}

// accept passes over b if it is next.
func (k *cursor) accept(b byte) bool {
	if k.pos < len(k.line) && k.line[k.pos] == b {
		k.pos++
		return true
	}
	return false
}

// word is everything up to a space, parenthesis or quote.
func (k *cursor) word() []byte { return k.until(` ()"`) }

// until is everything up to one of stops.
func (k *cursor) until(stops string) []byte {
	from := k.pos
	for k.pos < len(k.line) && strings.IndexByte(stops, k.line[k.pos]) < 0 {
		k.pos++
	}
	return k.line[from:k.pos]
}

// quoted reads a quoted string whose opening quote is next.
func (k *cursor) quoted() (string, error) {
	if n := bytes.IndexAny(k.line[k.pos+1:], "\"\\"); n >= 0 && k.line[k.pos+1+n] == '"' {
		text := k.line[k.pos+1 : k.pos+1+n]
		k.pos += n + 2
		return string(text), nil
	}
	var sb strings.Builder
	for i := k.pos + 1; i < len(k.line); i++ {
		switch b := k.line[i]; b {
		case '"':
			k.pos = i + 1
			return sb.String(), nil
		case '\\':
			if i++; i == len(k.line) {
				return "", errMalformed
			}
			sb.WriteByte(k.line[i])
		default:
			sb.WriteByte(b)
		}
	}
	return "", errMalformed
}

// passQuoted is quoted without keeping the string.
func (k *cursor) passQuoted() error {
	for i := k.pos + 1; i < len(k.line); i++ {
		switch k.line[i] {
		case '"':
			k.pos = i + 1
			return nil
		case '\\':
			i++
		}
	}
	return errMalformed
}

// literalSize reads "{n}" at the end of the line, as the start of a literal.
func (k *cursor) literalSize() (int64, error) {
	size, at, ok := literalAt(k.line)
	if k.c == nil || !ok || at != k.pos {
		return 0, errMalformed
	}
	if size < 0 || size > k.c.opt.MaxLiteral {
		return 0, fmt.Errorf("the server announced a literal of %s bytes: more than %d are not taken",
			bytes.Trim(k.line[at:], "{+}"), k.c.opt.MaxLiteral)
	}
	k.pos = len(k.line)
	return size, nil
}

// literalAt finds the "{n}" or "{n+}" that ends a line. size is negative if
// the number is beyond all measure.
func literalAt(line []byte) (size int64, at int, ok bool) {
	if len(line) < 3 || line[len(line)-1] != '}' {
		return 0, 0, false
	}
	at = bytes.LastIndexByte(line, '{')
	if at < 0 {
		return 0, 0, false
	}
	text := bytes.TrimSuffix(line[at+1:len(line)-1], []byte{'+'})
	if len(text) == 0 || len(bytes.Trim(text, "0123456789")) > 0 {
		return 0, 0, false
	}
	n, fits := digits(text)
	if !fits || n > 1<<62 {
		return -1, at, true
	}
	return int64(n), at, true
}

// literal reads a literal into memory. "{" is next.
func (k *cursor) literal() (string, error) {
	size, err := k.literalSize()
	if err != nil {
		return "", err
	}
	b, err := k.hold(size)
	if err != nil {
		return "", err
	}
	return string(b), nil
}

// hold reads the bytes of a literal, and the line behind it.
func (k *cursor) hold(size int64) ([]byte, error) {
	if size > int64(k.c.opt.MaxHeld-k.held) {
		return nil, fmt.Errorf("the server sent a literal of %d bytes where a short one belongs", size)
	}
	k.held += int(size)
	// The buffer grows as the bytes come: announcing is not sending.
	var buf bytes.Buffer
	n, err := io.CopyN(&buf, k.c.br, size)
	if err != nil {
		return nil, k.c.cutLiteral(err, n, size)
	}
	return buf.Bytes(), k.next()
}

// pass reads over the bytes of a literal, and goes to the line behind it.
func (k *cursor) pass(size int64) error {
	for left := size; left > 0; {
		n, err := k.c.br.Discard(int(min(left, 1<<20)))
		left -= int64(n)
		if err != nil {
			return k.c.cutLiteral(err, size-left, size)
		}
	}
	return k.next()
}

// next goes to the line behind a literal.
func (k *cursor) next() error {
	line, err := k.c.readLine()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("the connection was cut behind a literal: %w", io.ErrUnexpectedEOF)
		}
		return err
	}
	k.line, k.pos = line, 0
	return nil
}

// skip passes over one value of any form.
func (k *cursor) skip(depth int) error {
	if depth <= 0 {
		return errMalformed
	}
	k.accept('~')
	switch k.peek() {
	case '"':
		return k.passQuoted()
	case '{':
		size, err := k.literalSize()
		if err != nil {
			return err
		}
		return k.pass(size)
	case '(':
		k.pos++
		for {
			k.spaces()
			if k.accept(')') {
				return nil
			}
			if k.atEnd() {
				return errMalformed
			}
			if err := k.skip(depth - 1); err != nil {
				return err
			}
		}
	}
	if len(k.word()) == 0 {
		return errMalformed
	}
	return nil
}

// abandon is called where a response turned out to be malformed. Only if the
// rest of it is certainly no more than this line can it be dropped.
func (k *cursor) abandon() error {
	if _, _, ok := literalAt(k.line); ok {
		return fmt.Errorf("%w before a literal: the rest cannot be told apart", errMalformed)
	}
	return nil
}
