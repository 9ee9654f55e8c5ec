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
		if bytes.Equal(raw, canonical) {
			known := NewHasher()
			known.WriteCRLF(raw)
			if id := known.Sum(); id != got {
				t.Fatalf("%q: known to have CRLF %+v, else %+v", raw, id, got)
			}
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

// A body is digested once where that tells its bytes and its identity, however
// it arrives.
func TestBodyIsDigestedOnce(t *testing.T) {
	for message, once := range map[string]bool{
		"Subject: x\r\n\r\nbody\r\n":           true,
		"Subject: x\r\n\r\n":                   true,
		"Subject: x\r\n\r\nbody\r\n\r\nmore":   true,
		"Subject: x\n\nbody\r\n":               false,
		"X-TUID: 1\r\nSubject: x\r\n\r\nbody":  false,
		"Subject: x\r\n\r\nbody\r\nbare\nline": false,
	} {
		for _, step := range []int{1, 7, len(message)} {
			h := NewHasher()
			for rest := []byte(message); len(rest) > 0; rest = rest[min(step, len(rest)):] {
				h.Write(rest[:min(step, len(rest))])
			}
			if (h.wire == nil) != once {
				t.Errorf("%q in steps of %d: digested once: %v", message, step, h.wire == nil)
			}
			if id := h.Sum(); id.Wire != sha256.Sum256([]byte(message)) {
				t.Errorf("%q: the wire digest is not that of the bytes", message)
			}
		}
	}
}

// A Hasher that is used again knows nothing of what it digested before.
func TestHasherReset(t *testing.T) {
	used := NewHasher()
	for _, message := range []string{
		"Subject: x\r\nMessage-ID: <1@x>\r\nTo: a\r\n\r\nbody", "Message-ID: <2@x>\n\n", "no header", "", "Subject: longer than before\r\nSubject: twice\r\n\r\n",
	} {
		used.Reset()
		used.Write([]byte(message))
		want, err := Identify(strings.NewReader(message))
		if got := used.Sum(); err != nil || got != want {
			t.Errorf("%q: %+v, want %+v (%v)", message, got, want, err)
		}
	}
}

// Files bear tokens in their names: they stay what they are.
func TestToken(t *testing.T) {
	if got, want := Token("instance", "Work/Deep", "1700000000", "42"), "74146b0e785334644e74373fa8d0191f"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if Token("a", "bc", "1", "2") == Token("ab", "c", "1", "2") {
		t.Error("two messages have one token")
	}
}
