package bench

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// wire is what passed through a relay.
type wire struct {
	up, down    int64 // bytes inside TCP
	connections int
	// turns is how often a client spoke after the server had: what waits for
	// an answer costs one, however many commands go together.
	turns int
	// commands are those sent in plain text; blind: there may be more, which TLS
	// or COMPRESS hid.
	commands int
	blind    bool
}

// A relay stands between a tool and a server. With a round trip it is a link
// of that length, and of any bandwidth, unless each connection has its limit: half of it passes before what one peer
// sent reaches the other. A connection costs the client a round trip before what
// it sends leaves it, and the server knows of it half a round trip later: SYN, its
// answer, and the answer to that.
type relay struct {
	listener net.Listener
	server   string
	rtt      time.Duration
	limit    int64 // bytes a second that a connection gives a client; 0: any number

	busy sync.WaitGroup
	mu   sync.Mutex
	wire wire
}

func newRelay(t testing.TB, server string, port int, rtt time.Duration, limit int64) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, server: net.JoinHostPort(server, strconv.Itoa(port)), rtt: rtt, limit: limit}
	r.busy.Add(1)
	go func() { defer r.busy.Done(); r.accept() }()
	return r
}

func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// close waits for the connections to end, which they do when both peers have
// ended theirs, and tells what passed.
func (r *relay) close() wire {
	r.listener.Close()
	r.busy.Wait()
	return r.wire
}

func (r *relay) accept() {
	for {
		client, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.busy.Add(1)
		go func() { defer r.busy.Done(); r.serve(client.(*net.TCPConn), time.Now()) }()
	}
}

// serve connects a client, who called at that moment, to the server.
func (r *relay) serve(client *net.TCPConn, called time.Time) {
	defer client.Close()
	time.Sleep(time.Until(called.Add(r.rtt)))
	c, err := net.Dial("tcp", r.server)
	if err != nil {
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	r.mu.Lock()
	r.wire.connections++
	r.mu.Unlock()
	l := &line{relay: r, turned: true}
	var both sync.WaitGroup
	both.Add(2)
	go func() { defer both.Done(); l.pump(client, server, l.up, called.Add(r.rtt), 0) }()
	go func() { defer both.Done(); l.pump(server, client, l.down, called.Add(r.rtt+r.rtt/2), r.limit) }()
	both.Wait()
}

// A line is one connection through the relay.
type line struct {
	*relay
	turned bool // the server spoke last
	parser commandParser
}

func (l *line) up(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wire.up += int64(len(data))
	if l.turned {
		l.wire.turns++
	}
	l.turned = false
	l.wire.commands += l.parser.count(data)
	l.wire.blind = l.wire.blind || l.parser.blind
}

func (l *line) down(data []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wire.down += int64(len(data))
	l.turned = true
}

// A chunk is on its way until it is due.
type chunk struct {
	data []byte
	due  time.Time
}

// pump passes one direction on; nothing was sent before first. At most so many chunks are on their way: more
// than any peer sends in half a round trip.
func (l *line) pump(from, to *net.TCPConn, note func([]byte), first time.Time, limit int64) {
	way := make(chan chunk, 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		lost := false // the peer is gone; the rest is read and dropped
		var free time.Time
		for c := range way {
			if l.rtt > 0 {
				time.Sleep(time.Until(c.due))
			}
			if limit > 0 && !lost {
				if now := time.Now(); free.Before(now) {
					free = now
				}
				free = free.Add(time.Duration(len(c.data)) * time.Second / time.Duration(limit))
				time.Sleep(time.Until(free))
			}
			if c.data == nil {
				_ = to.CloseWrite()
			} else if !lost {
				_, err := to.Write(c.data)
				lost = err != nil
			}
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			note(buf[:n])
			sent := time.Now()
			if sent.Before(first) {
				sent = first
			}
			way <- chunk{bytes.Clone(buf[:n]), sent.Add(l.rtt / 2)}
		}
		if err != nil {
			way <- chunk{nil, time.Now().Add(l.rtt / 2)}
			break
		}
	}
	close(way)
	<-done
}

// A commandParser counts commands in what a client sends.
type commandParser struct {
	line    []byte
	literal int64
	blind   bool // what follows is TLS, or compressed
	begun   bool
}

func (p *commandParser) count(data []byte) (n int) {
	if !p.begun && len(data) > 0 {
		p.begun, p.blind = true, data[0] == 22 // a TLS handshake
	}
	for len(data) > 0 && !p.blind {
		if p.literal > 0 {
			skip := min(p.literal, int64(len(data)))
			p.literal -= skip
			data = data[skip:]
			continue
		}
		text, rest, whole := bytes.Cut(data, []byte("\n"))
		p.line, data = append(p.line, text...), rest
		if !whole {
			return n
		}
		n += p.ended()
	}
	return n
}

// ended looks at a line, or the last part of one that began before a literal.
func (p *commandParser) ended() int {
	line := bytes.TrimSuffix(p.line, []byte("\r"))
	p.line = nil
	if i := bytes.LastIndexByte(line, '{'); i >= 0 && bytes.HasSuffix(line, []byte("}")) {
		size := bytes.TrimSuffix(line[i+1:len(line)-1], []byte("+"))
		p.literal, _ = strconv.ParseInt(string(size), 10, 64)
		p.line = []byte("literal ") // the line goes on after it
		return 0
	}
	p.blind = bytes.HasSuffix(bytes.ToUpper(line), []byte("COMPRESS DEFLATE"))
	if len(line) == 0 || bytes.EqualFold(line, []byte("DONE")) {
		return 0
	}
	return 1
}
