package imap_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A cut ends connections at chosen points: it looks at what the server sends,
// before the client sees it, and at what the client sends.
type cut struct {
	mu     sync.Mutex
	server func(p []byte) bool // true: end the connection before this
	client func(p []byte) bool
	dials  int
}

func (c *cut) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	c.mu.Lock()
	c.dials++
	c.mu.Unlock()
	return &cutConn{Conn: conn, cut: c}, err
}

type cutConn struct {
	net.Conn
	cut *cut
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.cut.mu.Lock()
	defer c.cut.mu.Unlock()
	if n > 0 && c.cut.server != nil && c.cut.server(p[:n]) {
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.cut.mu.Lock()
	end := c.cut.client != nil && c.cut.client(p)
	c.cut.mu.Unlock()
	if end {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// once cuts at the first piece that contains text.
func once(text string) func([]byte) bool {
	done := false
	return func(p []byte) bool {
		if done || !bytes.Contains(p, []byte(text)) {
			return false
		}
		done = true
		return true
	}
}

func TestAnAppendWhoseAnswerIsLostIsFound(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{"full": nil, "bare": {imaptest.Bare()}} {
		t.Run(name, func(t *testing.T) {
			b, c := newBench(t, opts...), &cut{}
			b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
			c.mu.Lock()
			c.server = once("Append completed")
			c.mu.Unlock()
			placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
			for i, p := range placed {
				if p.Err != nil || p.Unknown || p.Ref == "" {
					t.Errorf("%d: %+v", i, p)
				}
			}
			if c.dials != 2 {
				t.Errorf("%d connections", c.dials)
			}
			if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 2 {
				t.Errorf("%d messages, want 2", len(seen))
			}
		})
	}
}

func TestAnAppendThatWasNotSentWholeIsSentAgain(t *testing.T) {
	b, c := newBench(t), &cut{}
	b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
	big := message(0) + strings.Repeat("0123456789abcdef\r\n", 20_000) + "the very end\r\n"
	c.client = once("the very end")
	placed := b.put("INBOX", incoming(0, big))
	got, err := b.bodies("INBOX", placed[0].Ref)
	if err != nil || got[placed[0].Ref] != big {
		t.Errorf("%+v: %d bytes, %v", placed[0], len(got[placed[0].Ref]), err)
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 1 {
		t.Errorf("%d messages, want 1", len(seen))
	}
}

func TestAConnectionThatDiedWhileIdleIsNotWrittenInto(t *testing.T) {
	b, now := newBench(t), time.Now()
	b.connect(func(o *imap.Options) { o.Clock = func() time.Time { return now } })
	b.put("INBOX", incoming(0, message(0)))
	b.server.Restart()
	now = now.Add(10 * time.Minute)
	if placed := b.put("INBOX", incoming(1, message(1))); placed[0].Ref == "" || placed[0].Unknown {
		t.Errorf("%+v", placed[0])
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 2 {
		t.Errorf("%d messages, want 2", len(seen))
	}
}

func TestABodyThatCannotBeReadIsAFaultOfItsOwn(t *testing.T) {
	b := newBench(t)
	broken := incoming(1, "")
	broken.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("Subject: half"), iotest.ErrReader(mail.ErrShort))), nil
	}
	placed := b.put("INBOX", incoming(0, message(0)), broken, incoming(2, message(2)))
	if placed[0].Ref == "" || !errors.Is(placed[1].Err, mail.ErrShort) || placed[2].Ref == "" {
		t.Errorf("%+v", placed)
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 2 {
		t.Errorf("%d messages, want 2", len(seen))
	}
}

func TestAMessageThatBreaksTheConnectionStopsNoOther(t *testing.T) {
	b, c := newBench(t), &cut{}
	b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
	var in []plan.Incoming
	for i := range 5 {
		in = append(in, incoming(i, message(i)))
	}
	placed := b.put("INBOX", in...)
	refs := make([]mail.Ref, len(placed))
	for i, p := range placed {
		refs[i] = p.Ref
	}
	c.mu.Lock()
	c.server = func(p []byte) bool { return bytes.Contains(p, []byte("\r\nbody 2\r\n")) }
	c.mu.Unlock()
	got, err := b.bodies("INBOX", append(refs, "4711")...)
	if mail.GradeOf(err, 0) != mail.GradeMessage || len(got) != 4 || got[refs[2]] != "" {
		t.Errorf("%d bodies, %v", len(got), err)
	}
	if _, _, err := b.side.Confirm(ctx, []plan.Gone{{At: b.at("INBOX", "4711")}}); err != nil {
		t.Errorf("the side is of no use after it: %v", err)
	}
}

func TestALargeMessageStreamsAndItsCutIsNamed(t *testing.T) {
	b, c := newBench(t), &cut{}
	b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
	big := message(0) + strings.Repeat("0123456789abcdef\r\n", 200_000) + "the very end\r\n"
	placed := b.put("INBOX", incoming(0, big), incoming(1, message(1)))
	refs := []mail.Ref{placed[0].Ref, placed[1].Ref}
	got, err := b.bodies("INBOX", refs...)
	if err != nil || got[refs[0]] != big {
		t.Fatalf("%d bytes of %d, %v", len(got[refs[0]]), len(big), err)
	}
	c.mu.Lock()
	c.server = once("the very end")
	c.mu.Unlock()
	var short error
	calls := 0
	err = b.side.Fetch(ctx, b.ids["INBOX"], refs, func(ref mail.Ref, _ mail.Item, r io.Reader) error {
		calls++
		_, err := io.Copy(io.Discard, r)
		if ref == refs[0] {
			short = err
		}
		return err
	})
	if !errors.Is(short, mail.ErrShort) || !errors.Is(err, mail.ErrShort) || mail.GradeOf(err, 0) != mail.GradeMessage || calls != 2 {
		t.Errorf("%d calls; the reader said %v, Fetch %v", calls, short, err)
	}
}

func TestAnErrorOfTheCallerEndsAFetch(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
	mine := errors.New("mine")
	calls := 0
	err := b.side.Fetch(ctx, b.ids["INBOX"], []mail.Ref{placed[0].Ref, placed[1].Ref}, func(mail.Ref, mail.Item, io.Reader) error {
		calls++
		return mine
	})
	if err != mine || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if got, err := b.bodies("INBOX", placed[1].Ref); err != nil || len(got) != 1 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

func TestCancellingEndsACall(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)))
	ctx, cancel := context.WithCancel(ctx)
	err := b.side.Fetch(ctx, b.ids["INBOX"], []mail.Ref{placed[0].Ref}, func(mail.Ref, mail.Item, io.Reader) error {
		cancel()
		<-ctx.Done()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got, err := b.bodies("INBOX", placed[0].Ref); err != nil || len(got) != 1 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}
