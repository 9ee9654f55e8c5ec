package mail

import (
	"strings"
	"testing"
)

// What other synchronisers add to a header does not make another message, and
// its bytes are told so that a server's size can be compared.
func TestTraceFieldsDoNotCount(t *testing.T) {
	const head, text = "From: a@example.org\r\nSubject: x\r\nMessage-ID: <1@example.org>\r\n", "\r\nbody\r\n"
	want, err := Identify(strings.NewReader(head + text))
	if err != nil {
		t.Fatal(err)
	}
	for _, trace := range []string{
		"X-TUID: abcdefghijkl\r\n",
		"x-tuid: abcdefghijkl\r\n",
		"X-OfflineIMAP: 4083453404-0646870626-v8.0.0\r\n",
		"X-OfflineIMAP: 4083453404\r\n -0646870626\r\nX-TUID: abcdefghijkl\r\n",
	} {
		for name, header := range map[string]string{"before": trace + head, "behind": head + trace} {
			got, err := Identify(strings.NewReader(header + text))
			if err != nil {
				t.Fatal(err)
			}
			if got.Wire == want.Wire {
				t.Errorf("%q %s: the exact bytes are not told apart", trace, name)
			}
			got.Wire = want.Wire
			if got != want {
				t.Errorf("%q %s: got %+v, want %+v", trace, name, got, want)
			}
			id, n, err := IdentifyHeader(strings.NewReader(header + "\r\n"))
			if err != nil || id.Light != want.Light || id.Header != want.Header || id.Folded != want.Folded || id.HeaderSize != want.HeaderSize || n != int64(len(trace)) {
				t.Errorf("%q %s: the header alone gives %+v and %d bytes (%v)", trace, name, id, n, err)
			}
		}
	}
	other, err := Identify(strings.NewReader("X-TUIDs: abc\r\n" + head + text))
	if err != nil || other.Body == want.Body {
		t.Errorf("a field of another name does not count (%v)", err)
	}
}

func TestFoldedIgnoresWhiteSpaceOnly(t *testing.T) {
	identify := func(text string) Identity {
		id, err := Identify(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	const text = "\r\nbody\r\n"
	want := identify("Message-ID:\r\n <1@example.org>\r\nX-Empty:\r\n" + text)
	same := identify("Message-ID: \r\n <1@example.org>\r\nX-Empty: \r\n" + text)
	if same.Folded != want.Folded || same.Header == want.Header || same.HeaderSize != want.HeaderSize+2 {
		t.Errorf("got %+v, want %+v but for the white space", same, want)
	}
	if want.Size-want.HeaderSize != int64(len("body\r\n")) {
		t.Errorf("a header of %d bytes in a message of %d", want.HeaderSize, want.Size)
	}
	for _, other := range []string{
		"Message-ID: <1@example.org>\r\nX-Empty: no\r\n" + text,
		"Message-ID: <1@example.org>\r\n" + text,
		"X-Empty:\r\nMessage-ID: <1@example.org>\r\n" + text,
		"Message-ID: <1@example.org>\r\nX-Empty:\r\nno field\r\n" + text,
	} {
		if identify(other).Folded == want.Folded {
			t.Errorf("%q is taken for the same header", other)
		}
	}
	if identify("one line\r\n"+text).Folded == identify("another line\r\n"+text).Folded {
		t.Error("lines that are no fields do not count")
	}
}

func TestMessageID(t *testing.T) {
	for header, want := range map[string]string{
		"Message-ID: <a@b>\r\n":                              "a@b",
		"MESSAGE-ID:\r\n <a@b>  \r\n":                        "a@b",
		"Message-ID: a@b\r\nMessage-ID: <c@d>\r\n":           "a@b",
		"Subject: x\r\n":                                     "",
		"Message-ID: <" + strings.Repeat("x", 999) + ">\r\n": "",
	} {
		id, err := Identify(strings.NewReader(header + "\r\nbody\r\n"))
		if err != nil || id.MessageID != want {
			t.Errorf("%.40q: %q, %v, want %q", header, id.MessageID, err, want)
		}
	}
}
