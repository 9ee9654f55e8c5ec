package mail

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// However a message is cut into writes, its digests are those of its bytes.
func TestHasherDigestsWhatWasWritten(t *testing.T) {
	pieces := rapid.SliceOfN(rapid.SampledFrom([]string{
		"Subject: x", "X-TUID: abc", " folded", "\r\n", "\n", "\r", "\r\n\r\n", "\n\n", "text", strings.Repeat("long ", 50), "\x00", "\xff",
	}), 0, 30)
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(strings.Join(pieces.Draw(t, "pieces"), ""))
		h := NewHasher()
		for rest := raw; len(rest) > 0; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "cut")
			h.Write(rest[:n])
			rest = rest[n:]
		}
		got := h.Sum()
		if got.Wire != sha256.Sum256(raw) {
			t.Fatalf("%q: the wire digest is not that of the bytes", raw)
		}
		canonical := bytes.ReplaceAll(bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		if !bytes.Contains(raw, []byte("X-TUID")) && (got.Body != sha256.Sum256(canonical) || got.Size != int64(len(canonical))) {
			t.Fatalf("%q: the identity is not that of the canonical form", raw)
		}
		whole, err := Identify(bytes.NewReader(raw))
		if err != nil || whole != got {
			t.Fatalf("%q: in one piece %+v, in pieces %+v (%v)", raw, whole, got, err)
		}
		if bytes.Contains(canonical, []byte("\r\r\n")) {
			return // such a message has no form with LF: it is kept as it is
		}
		lf, _ := Identify(bytes.NewReader(bytes.ReplaceAll(canonical, []byte("\r\n"), []byte("\n"))))
		if lf.Body != whole.Body || lf.Size != whole.Size || lf.Light != whole.Light {
			t.Fatalf("%q: with LF it is another message", raw)
		}
	})
}

func BenchmarkHasher(b *testing.B) {
	body := []byte("Subject: x\r\nFrom: a@example.org\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20000))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		h := NewHasher()
		for rest := body; len(rest) > 0; {
			n := min(len(rest), 32<<10)
			h.Write(rest[:n])
			rest = rest[n:]
		}
		h.Sum()
	}
}
