package wire_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
)

// BenchmarkFetch reads a thousand messages of 18 kB with the library, alone
// and over a Conn.
func BenchmarkFetch(b *testing.B) {
	const messages, size = 1000, 18 << 10
	body := bytes.Repeat([]byte("0123456789abcdef\r\n"), size/18)
	var answer bytes.Buffer
	for i := range messages {
		fmt.Fprintf(&answer, "* %d FETCH (UID %d FLAGS (\\Seen) INTERNALDATE \" 1-Feb-2020 00:00:00 +0000\" RFC822.SIZE %d BODY[] {%d}\r\n%s)\r\n",
			i+1, i+1, len(body), len(body), body)
	}
	answer.WriteString("T1 OK done\r\n")
	for name, over := range map[string]func(net.Conn) net.Conn{
		"library": func(c net.Conn) net.Conn { return c },
		"conn":    func(c net.Conn) net.Conn { return wire.New(c, wire.Options{}) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(answer.Len()))
			b.ReportAllocs()
			for b.Loop() {
				s := &tape{greeting: []byte("* OK [CAPABILITY IMAP4rev1] x\r\n"), rest: answer.Bytes(),
					ready: make(chan struct{}), closed: make(chan struct{})}
				client := imapclient.New(over(s), nil)
				if err := client.WaitGreeting(); err != nil {
					b.Fatal(err)
				}
				opt := *scanItems
				opt.BodySection = wholeBody.BodySection
				cmd := client.Fetch(uids(1, messages), &opt)
				close(s.ready)
				n := 0
				for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
					n++
				}
				if err := cmd.Close(); err != nil || n != messages {
					b.Fatal(n, err)
				}
				client.Close()
			}
		})
	}
}
