package imap_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// A limit cuts the first connection after so many bytes in one direction.
type limit struct {
	fromServer, toServer int64 // how many pass; negative: all
	dials                atomic.Int64
	read, written        atomic.Int64
}

func (l *limit) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil || l.dials.Add(1) > 1 {
		return conn, err
	}
	return &limited{conn, l}, nil
}

type limited struct {
	net.Conn
	l *limit
}

func (c *limited) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if now := c.l.read.Add(int64(n)); c.l.fromServer >= 0 && now > c.l.fromServer {
		c.Conn.Close()
		return max(0, n-int(now-c.l.fromServer)), io.EOF
	}
	return n, err
}

func (c *limited) Write(p []byte) (int, error) {
	had := c.l.written.Add(int64(len(p))) - int64(len(p))
	if c.l.toServer < 0 || had+int64(len(p)) <= c.l.toServer {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:max(0, c.l.toServer-had)])
	c.Conn.Close()
	return n, net.ErrClosed
}

// TestCutAtEveryByte cuts a run that has all kinds of work to do at bytes of
// what the server says, and of what it is told: inside lines, literals and
// commands. They are a stride apart.
func TestCutAtEveryByte(t *testing.T) {
	stride := int64(13 * *every)
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps, "bare": bareCaps, "LITERAL+": fullCaps + " LITERAL+",
		"MULTIAPPEND": quickCaps + " LITERAL+ MULTIAPPEND", "COMPRESS": quickCaps + " LITERAL+ COMPRESS=DEFLATE"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := eventful(t, caps)
			start.compress = name == "COMPRESS"
			want, _ := finished(t, start)
			all := &limit{fromServer: -1, toServer: -1}
			w := start.clone()
			w.dialer = all.dial
			if rep, err := w.run(t); err != nil || rep.Exit() != 0 {
				t.Fatalf("%v, %v", err, rep.Faults)
			}
			points := 0
			for direction, total := range map[string]int64{"from": all.read.Load(), "to": all.written.Load()} {
				for at := int64(points) % stride; at < total; at += stride {
					points++
					l := &limit{fromServer: at, toServer: -1}
					if direction == "to" {
						l.fromServer, l.toServer = -1, at
					}
					w := start.clone()
					w.dialer = l.dial
					rep, err := w.run(t)
					t.Run(fmt.Sprintf("%s the server %d", direction, at), func(t *testing.T) {
						if err == nil && rep.Exit() == 0 {
							w.holds(t, want)
						}
						w.agreed(t, 1, want)
					})
				}
			}
			t.Logf("%d points", points)
		})
	}
}
