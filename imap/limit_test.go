package imap_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// sized is a message of at least n bytes.
func sized(tag, n int) string { return message(tag) + strings.Repeat("0123456789abcd\r\n", n/16) }

// Of a message that is larger than the server said it takes (RFC 7889) no byte
// is sent; the others of its batch are.
func TestWhatIsLargerThanTheLimitIsNotSent(t *testing.T) {
	const limit = 100_000
	for caps, bound := range map[string]bool{
		pushCaps + " APPENDLIMIT=100000": true, pushCaps + " APPENDLIMIT": true, fullCaps + " APPENDLIMIT=100000": true,
		pushCaps: false, pushCaps + " APPENDLIMIT=0": false, pushCaps + " APPENDLIMIT=x": false,
	} {
		for _, size := range []int{limit + 1, 2 << 20} {
			for _, held := range []bool{false, true} {
				m := imaptest.NewMailstore(caps)
				m.Limit = limit
				received := 0
				m.Before = func(_ int, cmd imaptest.Command) string {
					for _, l := range cmd.Literals {
						received = max(received, len(l))
					}
					return ""
				}
				in := []plan.Incoming{incoming(0, message(0)), incoming(1, sized(1, size)), incoming(2, sized(2, limit/2))}
				for i := range in {
					if held {
						hold(t, &in[i])
					}
				}
				placed := pushing(t, m, nil)(in...)
				name := fmt.Sprintf("%s, %d bytes, held %v", caps, size, held)
				var large *mail.TooLarge
				if is := errors.As(placed[1].Err, &large); is != bound || is && (large.Limit != limit || large.Size <= limit || !errors.Is(placed[1].Err, mail.ErrDenied)) {
					t.Fatalf("%s: %+v", name, placed[1])
				}
				if placed[0].Err != nil || placed[2].Err != nil || (received > limit) == bound {
					t.Fatalf("%s: %v, %v, the server received %d bytes", name, placed[0].Err, placed[2].Err, received)
				}
				if n := len(m.Letters()["INBOX"]); n != map[bool]int{true: 2, false: 3}[bound] {
					t.Fatalf("%s: %d messages arrived", name, n)
				}
			}
		}
	}
}

// hold gives a message its bytes.
func hold(t *testing.T, in *plan.Incoming) {
	t.Helper()
	body, err := in.Open()
	if err != nil {
		t.Fatal(err)
	}
	h, text := mail.NewHasher(), new(strings.Builder)
	buf := make([]byte, 1000)
	for {
		n, err := body.Read(buf)
		text.Write(buf[:n])
		_, _ = h.Write(buf[:n])
		if err != nil {
			break
		}
	}
	in.Body, in.Item.Ident = []byte(text.String()), h.Sum()
}

// The survey tells the limit, and STATUS is asked for it only where it tells.
func TestTheSurveyTellsTheLimit(t *testing.T) {
	for caps, want := range map[string]struct {
		told  int
		limit int64
		asked bool
	}{
		pushCaps + " APPENDLIMIT=35651584": {0, 35651584, false},
		pushCaps + " APPENDLIMIT":          {5000, 5000, true},
		pushCaps + " X APPENDLIMIT":        {0, 0, true},
		pushCaps:                           {0, 0, false},
	} {
		m := imaptest.NewMailstore(caps)
		m.Limit = want.told
		asked := false
		m.Before = func(_ int, cmd imaptest.Command) string {
			asked = asked || cmd.Name == "STATUS" && strings.Contains(fmt.Sprint(cmd), "APPENDLIMIT")
			return ""
		}
		host, port := m.Script().Listen(t)
		a := open(t, imap.Options{
			Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann",
			Password: func(context.Context) (string, error) { return "secret", nil },
		})
		boxes, err := a.Survey(ctx, nil)
		if err != nil || len(boxes) != 1 || boxes[0].Limit != want.limit || asked != want.asked {
			t.Errorf("%s: %+v, %v, asked %v", caps, boxes, err, asked)
		}
	}
}
