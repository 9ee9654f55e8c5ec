package engine

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// shapeOf is what a shape is to find, one byte at a time.
func shapeOf(text string) (odd, bareLF, body bool) {
	last, blank := byte(0), 0
	for i := range len(text) {
		c := text[i]
		lone := c == '\n' && last != '\r'
		bareLF = bareLF || lone
		odd = odd || lone || c == 0 || last == '\r' && c != '\n' || c >= 0x80 && !body
		switch c {
		case '\n':
			blank++
			body = body || blank == 2
		case '\r':
		default:
			blank = 0
		}
		last = c
	}
	return odd, bareLF, body
}

// A shape finds the same however the bytes come.
func TestShapeInPieces(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{"Subject: x", "\r\n", "\r\n\r\n", "\n", "\r", "text", "\x00", "\xff", strings.Repeat("line\r\n", 30)}), 0, 20)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(pieces.Draw(t, "pieces"), "")
		odd, bareLF, body := shapeOf(text)
		var s shape
		for rest := text; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			s.look([]byte(rest[:n]))
			rest = rest[n:]
		}
		if s.odd != odd || s.bareLF != bareLF || s.body != body || len(text) > 0 && s.last != text[len(text)-1] {
			t.Fatalf("%q: %+v, want odd %v, a bare LF %v, a body %v", text, s, odd, bareLF, body)
		}
	})
}
