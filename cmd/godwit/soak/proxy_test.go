package soak

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// The directions of a connection.
const (
	up   = 0 // from godwit to the server
	down = 1
)

// A proxy stands between godwit and the server. It counts bytes, and something
// can be made to happen at any of them: the byte before has arrived, the byte
// itself has not, and nothing more of that direction passes meanwhile.
type proxy struct {
	listener net.Listener
	server   string

	mu     sync.Mutex
	passed [2]int64
	wires  []*tripwire
	open   map[*link]bool
	cut    bool // nothing gets through any more
	busy   sync.WaitGroup
	record *os.File // what passes is written there, unless it is nil
}

// A tripwire is what happens after n bytes of one direction.
type tripwire struct {
	direction int
	n         int64
	do        func(l *link)
}

// A link is one connection through the proxy.
type link struct {
	p              *proxy
	client, server net.Conn
}

func newProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, server: server, open: map[*link]bool{}}
	done := make(chan struct{})
	go func() { defer close(done); p.accept() }()
	t.Cleanup(func() {
		l.Close()
		<-done
		p.hangUp()
		p.busy.Wait()
	})
	return p
}

func (p *proxy) port() int { return p.listener.Addr().(*net.TCPAddr).Port }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refused := p.cut
		p.mu.Unlock()
		if refused {
			client.Close()
			continue
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		l := &link{p: p, client: client, server: server}
		p.mu.Lock()
		p.open[l] = true
		p.mu.Unlock()
		p.busy.Add(2)
		go func() { defer p.busy.Done(); l.pump(client, server, up) }()
		go func() { defer p.busy.Done(); l.pump(server, client, down) }()
	}
}

// pump passes one direction on. When it ends, the other side is told so, and
// may go on: a server that has a whole APPEND carries it out.
func (l *link) pump(from, to net.Conn, direction int) {
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		l.p.note(l, direction, buf[:n])
		if !l.pass(to, buf[:n], direction) || err != nil {
			break
		}
	}
	if direction == up {
		_ = to.(*net.TCPConn).CloseWrite()
		return
	}
	// The server is done with this connection.
	l.client.Close()
	l.server.Close()
	l.p.mu.Lock()
	delete(l.p.open, l)
	l.p.mu.Unlock()
}

// pass writes what was read, with stops at the tripwires.
func (l *link) pass(to net.Conn, data []byte, direction int) bool {
	for {
		n, wire := l.p.next(direction, len(data))
		if n > 0 {
			// godwit being gone does not stop the server's answers: they are read to their end.
			if _, err := to.Write(data[:n]); err != nil && direction == up {
				return false
			}
			data = data[n:]
		}
		if wire == nil {
			return true
		}
		wire.do(l)
		l.p.mu.Lock()
		ended := l.p.cut || !l.p.open[l]
		l.p.mu.Unlock()
		if ended && direction == up {
			return false
		}
	}
}

func (p *proxy) note(l *link, direction int, data []byte) {
	if p.record != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		fmt.Fprintf(p.record, "-- %s %s\n%s\n", l.client.RemoteAddr(), [2]string{"up", "down"}[direction], data)
	}
}

// next counts the bytes up to the next tripwire, at most n, and takes that one.
func (p *proxy) next(direction, n int) (int, *tripwire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, w := range p.wires {
		if w.direction == direction && w.n < p.passed[direction]+int64(n) {
			before := max(0, int(w.n-p.passed[direction]))
			p.passed[direction] += int64(before)
			p.wires = slices.Delete(p.wires, i, i+1)
			return before, w
		}
	}
	p.passed[direction] += int64(n)
	return n, nil
}

// arm begins to count and sets tripwires. They must be in the order of their n.
func (p *proxy) arm(wires ...*tripwire) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.passed, p.cut = [2]int64{}, false
	p.wires = slices.SortedStableFunc(slices.Values(wires), func(a, b *tripwire) int { return int(a.n - b.n) })
}

// disarm waits until the server is done with every connection, and gives the
// bytes that passed. godwit must have ended.
func (p *proxy) disarm() ([2]int64, error) {
	p.mu.Lock()
	p.wires = nil
	p.mu.Unlock()
	done := make(chan struct{})
	go func() { p.busy.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		p.hangUp()
		<-done
		return p.passed, errors.New("the server did not end the connections of a godwit that has ended")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.passed, nil
}

// sever ends one connection for godwit. What the server has it may still act on.
func (l *link) sever() {
	l.client.Close()
}

// severAll ends all connections, and those that come.
func (p *proxy) severAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for l := range p.open {
		l.client.Close()
	}
}

func (p *proxy) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.open {
		l.client.Close()
		l.server.Close()
	}
}
