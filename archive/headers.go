package archive

import (
	"bytes"
	"database/sql"
	"io"
	"mime"
	netmail "net/mail"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
)

// maxHeaders is how many bytes of a message are looked at for what a person
// searches by, maxText how long each of those is kept.
const (
	maxHeaders = 64 << 10
	maxText    = 998
)

// headers collects the beginning of the header that is written to it.
type headers struct{ text []byte }

func (h *headers) Write(p []byte) (int, error) {
	if room := maxHeaders - len(h.text); room > 0 {
		h.text = append(h.text, p[:min(len(p), room)]...)
	}
	return len(p), nil
}

// A summary is what a person searches by.
type summary struct {
	subject, sender string
	date            sql.NullInt64
}

// summary reads the header as far as it can be made out; what cannot be read
// is left out, never an error.
func (h *headers) summary() (s summary) {
	for _, f := range h.fields() {
		name, value, ok := bytes.Cut(f, []byte(":"))
		if !ok {
			continue
		}
		switch text := strings.Join(strings.Fields(readable(value)), " "); strings.ToLower(strings.TrimSpace(string(name))) {
		case "subject":
			s.subject = orFirst(s.subject, kept(text))
		case "from":
			s.sender = orFirst(s.sender, kept(text))
		case "date":
			if t, err := netmail.ParseDate(text); err == nil && !s.date.Valid && t.Year() > 0 && t.Year() < 10000 {
				s.date = sql.NullInt64{Int64: t.Unix(), Valid: true}
			}
		}
	}
	return s
}

func orFirst(first, text string) string {
	if first != "" {
		return first
	}
	return text
}

// fields splits a header, each field with its continuations.
func (h *headers) fields() (out [][]byte) {
	for line := range bytes.Lines(h.text) {
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case len(line) == 0:
			return out
		case (line[0] == ' ' || line[0] == '\t') && len(out) > 0:
			last := &out[len(out)-1]
			*last = append(append(bytes.Clone(*last), ' '), line...)
		default:
			out = append(out, line)
		}
	}
	return out
}

// readable decodes a field's value (RFC 2047); bytes that are no UTF-8 are
// taken for the most common 8-bit encoding.
func readable(value []byte) string {
	if !utf8.Valid(value) {
		if text, err := charmap.Windows1252.NewDecoder().Bytes(value); err == nil {
			value = text
		}
	}
	words := mime.WordDecoder{CharsetReader: func(charset string, input io.Reader) (io.Reader, error) {
		enc, err := htmlindex.Get(charset)
		if err != nil {
			return nil, err
		}
		return enc.NewDecoder().Reader(input), nil
	}}
	text, err := words.DecodeHeader(string(value))
	if err != nil {
		text = string(value)
	}
	return text
}

// kept is a text as the catalogue keeps it: valid, printable, not too long.
func kept(text string) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "")
	}
	return text
}

func headerDate(column sql.NullInt64) time.Time {
	if !column.Valid {
		return time.Time{}
	}
	return time.Unix(column.Int64, 0).UTC()
}
