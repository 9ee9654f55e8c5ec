package mail

import (
	"bytes"
	"testing"
)

// canonical is the message with CRLF line ends, by the plainest means there are.
func canonical(raw []byte) []byte {
	var out []byte
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

// FuzzHasher: an identity does not depend on the line ends, on how the bytes
// arrive, or on what other synchronisers add to the header; and the header
// alone tells the same as the whole message.
func FuzzHasher(f *testing.F) {
	for _, s := range []string{
		"", "\n", "\r", "\r\n", "\n\n", "a", "a\r", "a\r\nb\r\n", "\r\nbody",
		"From: a\nSubject: b\n\nbody\n", "From: a\r\nSubject: b\r\n folded\r\n\r\nbody\r\n.\r\n",
		"From: a\r\r\n\r\nbody", "Subject: x\n\ty\nX-TUID: 12345\n", "X-TUID: 1\r\n 2\r\nX-OfflineIMAP: 3\r\n\r\n", "no colon\nFrom : b\n\n",
		"\x00\xff\n\r\n\r\r\n", "Date:\n\n", " leads\nTo: c\n\n", "Message-ID: <1@x>\rCc: d\n\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		want, err := Identify(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		crlf := canonical(raw)
		check := func(what string, got Identity) {
			t.Helper()
			got.Wire = want.Wire
			if got != want {
				t.Fatalf("%q, %s:\n%+v\nbut was\n%+v", raw, what, got, want)
			}
		}
		other, err := Identify(bytes.NewReader(crlf))
		if err != nil {
			t.Fatal(err)
		}
		check("with CRLF", other)
		if (other.Wire == want.Wire) != bytes.Equal(raw, crlf) {
			t.Fatalf("%q: the digest of the exact bytes does not tell line ends apart", raw)
		}
		pieces := NewHasher()
		for rest := raw; len(rest) > 0; {
			n := min(len(rest), 1+int(step)%7)
			pieces.Write(rest[:n])
			pieces.Write(nil)
			rest = rest[n:]
			step = step/2 + 1
		}
		whole := pieces.Sum()
		if whole.Wire != want.Wire {
			t.Fatalf("%q: in pieces it has other bytes", raw)
		}
		check("in pieces", whole)
		if len(raw) == 0 || raw[0] != ' ' && raw[0] != '\t' { // else it would continue the line
			traced, err := Identify(bytes.NewReader(append([]byte("X-TUID: abcdefghijkl\r\n"), raw...)))
			if err != nil {
				t.Fatal(err)
			}
			check("with X-TUID", traced)
		}
		checkHeader(t, crlf, want)
	})
}

// checkHeader compares the header by itself with the whole message.
func checkHeader(t *testing.T, crlf []byte, want Identity) {
	t.Helper()
	head := crlf
	if i := bytes.Index(crlf, []byte("\n\r\n")); i >= 0 {
		head = crlf[:i+3]
	}
	if bytes.HasPrefix(crlf, []byte("\r\n")) {
		head = crlf[:2]
	}
	id, traces, err := IdentifyHeader(bytes.NewReader(head))
	if err != nil {
		t.Fatal(err)
	}
	if id.Light != want.Light || id.Header != want.Header || id.Folded != want.Folded || id.HeaderSize != want.HeaderSize {
		t.Fatalf("%q: the header alone gives\n%+v\nbut the message\n%+v", crlf, id, want)
	}
	if want.Size+traces != int64(len(crlf)) {
		t.Fatalf("%q: %d bytes and %d of traces are not %d", crlf, want.Size, traces, len(crlf))
	}
}
