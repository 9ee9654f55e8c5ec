package wire_test

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

const deflating = "IMAP4rev1 COMPRESS=DEFLATE LITERAL+"

// compressed is connect with compression.
func compressed(t *testing.T, s *imaptest.Script, opt wire.Options) (*imapclient.Client, *wire.Conn) {
	t.Helper()
	client, conn := connect(t, s, opt)
	if refused, err := conn.Compress(); refused != "" || err != nil {
		t.Fatalf("COMPRESS: %q, %v", refused, err)
	}
	return client, conn
}

// TestCompress sends and receives commands and literals of all sizes.
func TestCompress(t *testing.T) {
	body := strings.Repeat("From: a@example.org\r\n", 50_000)
	var stored bytes.Buffer
	s := &imaptest.Script{Caps: deflating, Answers: map[string]string{
		"UID FETCH": fmt.Sprintf("* 1 FETCH (UID 1 BODY[] {%d}\r\n%s)\r\n{tag} OK done\r\n", len(body), body),
	}, Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name == "APPEND" {
			stored.Write(cmd.Literals[0])
			p.Send(cmd.Tag + " OK [APPENDUID 1 7] done\r\n")
		}
		return cmd.Name == "APPEND"
	}}
	client, conn := compressed(t, s, wire.Options{})
	survives(t, client, conn)
	for range 3 {
		got, err := collect(client.Fetch(uids(1, 1), wholeBody))
		if err != nil || len(got) != 1 || got[0] != fmt.Sprintf("1 - - 0 0 %q", body) {
			t.Fatalf("FETCH: %d answers, %v", len(got), err)
		}
	}
	// Small, granted at once (LITERAL+), and asked for with a "+".
	sent := ""
	for _, size := range []int{5, 0, 5000, 100_000, len(body)} {
		cmd := client.Append("x", int64(size), nil)
		if _, err := io.WriteString(cmd, body[:size]); err != nil || cmd.Close() != nil {
			t.Fatalf("APPEND of %d: %v, %v", size, err, conn.Err())
		}
		if _, err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		sent += body[:size]
	}
	if stored.String() != sent {
		t.Errorf("the server was sent %d bytes, want %d", stored.Len(), len(sent))
	}
	st := conn.Stats()
	if st.PlainRead < int64(3*len(body)) || st.Read > st.PlainRead/50 || st.PlainWritten < int64(len(sent)) || st.Written > st.PlainWritten/50 {
		t.Errorf("%+v", st)
	}
	if _, err := conn.Compress(); err == nil {
		t.Error("compressed twice")
	}
	survives(t, client, conn)
}

// TestCompressDeclined goes on without, and asks for nothing while other
// commands are under way.
func TestCompressDeclined(t *testing.T) {
	s := &imaptest.Script{Answers: map[string]string{"COMPRESS": "{tag} NO [COMPRESSIONACTIVE] by TLS\r\n"}}
	client, conn := connect(t, s, wire.Options{})
	refused, err := conn.Compress()
	if err != nil || !strings.Contains(refused, "by TLS") {
		t.Errorf("%q, %v", refused, err)
	}
	survives(t, client, conn)
	if st := conn.Stats(); st.Read != st.PlainRead || st.Written != st.PlainWritten || st.Read == 0 {
		t.Errorf("%+v", st)
	}
	busy := &imaptest.Script{Handle: func(_ *imaptest.Peer, cmd imaptest.Command) bool { return cmd.Name == "NOOP" }}
	client, conn = connect(t, busy, wire.Options{})
	client.Noop()
	if _, err := conn.Compress(); err == nil {
		t.Error("it began while a command was under way")
	}
	lost := &imaptest.Script{Answers: map[string]string{"COMPRESS": imaptest.Drop}}
	_, conn = connect(t, lost, wire.Options{})
	if _, err := conn.Compress(); err == nil {
		t.Error("a connection that ended is compressed")
	}
}

// cutConn ends the stream from the server after so many bytes.
type cutConn struct {
	net.Conn
	left, read int64
}

func (c *cutConn) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.Conn.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.read += int64(n)
	return n, err
}

// TestCompressedCutEverywhere cuts the compressed stream at every byte: what
// was cut never looks whole, and no cut is a clean end, unless the server took
// its leave.
func TestCompressedCutEverywhere(t *testing.T) {
	const body = "From: a\r\n\r\nhello, hello, hello"
	s := &imaptest.Script{Caps: deflating, Answers: map[string]string{
		"UID FETCH": fmt.Sprintf("* 1 FETCH (UID 1 FLAGS (a) BODY[] {%d}\r\n%s RFC822.SIZE 5)\r\n{tag} OK done\r\n", len(body), body),
		"NOOP":      "* BYE enough\r\n{tag} OK done\r\n",
	}}
	run := func(left int64) (raw *cutConn, conn *wire.Conn, began, fetched bool, err error) {
		raw = &cutConn{Conn: s.Pipe(t), left: left}
		conn = wire.New(raw, wire.Options{})
		client := imapclient.New(conn, nil)
		defer client.Close()
		defer conn.Kill()
		if err := client.WaitGreeting(); err != nil {
			return raw, conn, false, false, err
		}
		if _, err := conn.Compress(); err != nil {
			return raw, conn, false, false, err
		}
		got, err := collect(client.Fetch(uids(1, 1), wholeBody))
		if err == nil && (len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf("%q", body))) {
			t.Fatalf("cut at %d: %q without an error", left, got)
		}
		if err == nil {
			return raw, conn, true, true, client.Noop().Wait()
		}
		<-client.Closed()
		return raw, conn, true, false, err
	}
	whole, _, _, _, err := run(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	fetched := 0
	for at := range whole.read {
		_, conn, began, done, err := run(at)
		if done { // perhaps with the NOOP: the last bytes of a flush say nothing
			fetched++
			continue
		}
		if err == nil {
			t.Fatalf("cut at %d: the FETCH succeeded", at)
		}
		if began && !errors.Is(conn.Err(), io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d: %v", at, conn.Err())
		}
	}
	if fetched == 0 {
		t.Error("no cut came behind the FETCH")
	}
}

// TestBomb inflates no more of a line than a line may have, and keeps nothing.
func TestBomb(t *testing.T) {
	s := &imaptest.Script{Caps: deflating, Answers: map[string]string{"NOOP": "* OK " + strings.Repeat("x", 64<<20) + "\r\n{tag} OK done\r\n"}}
	client, conn := compressed(t, s, wire.Options{})
	if err := client.Noop().Wait(); err == nil {
		t.Error("a line of 64 MiB was taken")
	}
	<-client.Closed()
	if err := conn.Err(); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("Err is %v", err)
	}
	if n := conn.Stats().PlainRead; n > wire.DefaultMaxLine+1<<20 {
		t.Errorf("%d bytes were inflated", n)
	}
}

// TestDamaged meets bytes that are no compressed ones.
func TestDamaged(t *testing.T) {
	s := &imaptest.Script{Answers: map[string]string{"COMPRESS": "{tag} OK begin\r\n\xff\xff\xff\xff\xff\xff\xff"}}
	client, conn := connect(t, s, wire.Options{})
	_, err := conn.Compress()
	if e := client.Noop().Wait(); err == nil && e == nil {
		t.Error("a NOOP succeeded")
	}
	var corrupt flate.CorruptInputError
	if <-client.Closed(); !errors.As(conn.Err(), &corrupt) {
		t.Errorf("Err is %v", conn.Err())
	}
}

// TestCompressedSilence gives up a server that stops in the midst of what it
// compresses, but no slow reader.
func TestCompressedSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stop atomic.Bool
		s := &imaptest.Script{Caps: deflating, Handle: func(_ *imaptest.Peer, cmd imaptest.Command) bool {
			return cmd.Name == "NOOP" && stop.Load()
		}, Answers: map[string]string{"UID FETCH": "* 1 FETCH (UID 1 BODY[] {6}\r\nhello\n)\r\n{tag} OK done\r\n"}}
		client, conn := compressed(t, s, wire.Options{IdleTimeout: idle})
		cmd := client.Fetch(uids(1, 1), wholeBody)
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			for item := msg.Next(); item != nil; item = msg.Next() {
				if section, ok := item.(imapclient.FetchItemDataBodySection); ok {
					time.Sleep(10 * idle)
					if b, err := io.ReadAll(section.Literal); err != nil || len(b) != 6 {
						t.Errorf("%q, %v", b, err)
					}
				}
			}
		}
		if err := cmd.Close(); err != nil {
			t.Fatalf("a slow reader was given up: %v, %v", err, conn.Err())
		}
		time.Sleep(10 * idle)
		survives(t, client, conn)
		stop.Store(true)
		begun := time.Now()
		if err := client.Noop().Wait(); err == nil || !errors.Is(conn.Err(), wire.ErrSilent) {
			t.Errorf("%v, %v", err, conn.Err())
		}
		if d := time.Since(begun); d != idle {
			t.Errorf("given up after %v", d)
		}
	})
}
