package maildir

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

// TestHeaderReader: the header alone gives the Light digest of the whole.
func TestHeaderReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{
			"Subject: x", " folded", "From: a@b", "Message-ID: <1>", "\n", "\n", "\r\n", "\r\n", "\r", "body", "Subject: not in the header",
		})).Draw(t, "text"), "")
		whole, err := mail.Identify(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := lightOf(strings.NewReader(text)); got != whole.Light {
			t.Fatalf("the header of %q gives another digest", text)
		}
		var r io.Reader = iotest.OneByteReader(strings.NewReader(text))
		one, err := io.ReadAll(&headerReader{r: r})
		if err != nil {
			t.Fatal(err)
		}
		all, err := io.ReadAll(&headerReader{r: strings.NewReader(text)})
		if err != nil || string(all) != string(one) || !strings.HasPrefix(text, string(all)) {
			t.Fatalf("of %q, %q was read at once and %q byte by byte, %v", text, all, one, err)
		}
	})
}
