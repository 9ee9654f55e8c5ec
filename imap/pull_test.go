package imap_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// BenchmarkPull reads messages of some 15 kB from a Dovecot and throws them
// away: with an Account, and by reading the socket alone.
func BenchmarkPull(b *testing.B) {
	const n, size = 5000, 15 << 10
	server := imaptest.Dovecot(b, imaptest.Maildir())
	c := server.Client("ann") // the first login makes the home
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		b.Fatal(err)
	}
	c.Close()
	filler := strings.Repeat("The quick brown fox jumps over the lazy dog, and then some more.\n", size/65)
	pour(b, filepath.Join(server.Home("ann"), "Maildir", "cur"), n, func(i int) string {
		return strings.ReplaceAll(message(i), "\r\n", "\n") + filler
	})
	server.Doveadm("index", "-u", "ann", "*")
	a, err := imap.Open(ctx, optionsFor(server, "ann"))
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Survey(ctx, nil); err != nil {
		b.Fatal(err)
	}
	a.Bind(map[mail.BoxID]mail.MailboxName{1: "INBOX"})
	refs := refsTo(n)
	b.Run("account", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			came, before := 0, a.Stats().Read
			err := a.Fetch(ctx, 1, refs, func(_ mail.Ref, _ mail.Item, r io.Reader) error {
				came++
				_, err := io.Copy(io.Discard, r)
				return err
			})
			if err != nil || came != n {
				b.Fatal(came, err)
			}
			b.SetBytes(a.Stats().Read - before)
		}
	})
	b.Run("raw", func(b *testing.B) {
		conn, err := net.Dial("tcp", server.Addr())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		raw := &rawClient{conn: conn}
		raw.do(b, "LOGIN ann "+imaptest.Password)
		raw.do(b, "EXAMINE INBOX")
		for b.Loop() {
			b.SetBytes(raw.do(b, "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])"))
		}
	})
}

// pour fills a directory of a server's Maildir, as its owner.
func pour(t testing.TB, cur string, n int, text func(i int) string) {
	t.Helper()
	dir, err := os.Stat(cur)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		name := filepath.Join(cur, fmt.Sprintf("%d.M%06dP7.bench:2,S", 1700000000+i, i))
		if err := os.WriteFile(name, []byte(text(i)), 0o600); err != nil {
			t.Fatal(err)
		}
		if st, ok := dir.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
			if err := os.Chown(name, int(st.Uid), int(st.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A rawClient sends commands and reads over the answers.
type rawClient struct {
	conn net.Conn
	sent int
	buf  [256 << 10]byte
}

// do reads up to the tagged answer, and tells how many bytes came.
func (r *rawClient) do(b *testing.B, command string) (total int64) {
	b.Helper()
	r.sent++
	if _, err := fmt.Fprintf(r.conn, "x%d %s\r\n", r.sent, command); err != nil {
		b.Fatal(err)
	}
	end := fmt.Appendf(nil, "x%d OK", r.sent)
	var tail []byte
	for {
		n, err := r.conn.Read(r.buf[:])
		if err != nil {
			b.Fatal(err)
		}
		total += int64(n)
		tail = append(tail, r.buf[max(0, n-2000):n]...)
		tail = tail[max(0, len(tail)-2000):]
		if line := bytes.TrimSuffix(tail, []byte("\r\n")); len(line) < len(tail) && bytes.HasPrefix(line[bytes.LastIndexByte(line, '\n')+1:], end) {
			return total
		}
	}
}
