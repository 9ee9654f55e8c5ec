package bench

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"
)

// answering is a server that greets, and answers every line but those that end
// in {3+}, which it takes for the head of a literal.
func answering(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "* OK\r\n")
			lines := bufio.NewScanner(c)
			for lines.Scan() {
				if text := lines.Text(); len(text) < 4 || text[len(text)-4:] != "{3+}" {
					fmt.Fprint(c, "ok\r\n")
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().(*net.TCPAddr).Port
}

// converse sends each flight after the answers to the one before have come, and
// tells how long it took.
func converse(t *testing.T, port int, flights map[string]int, order ...string) time.Duration {
	t.Helper()
	began := time.Now()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	read := func(n int) {
		for range n {
			if _, err := answers.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	read(1)
	for _, flight := range order {
		if _, err := io.WriteString(c, flight); err != nil {
			t.Fatal(err)
		}
		read(flights[flight])
	}
	return time.Since(began)
}

// TestRelayCounts counts exactly what passes.
func TestRelayCounts(t *testing.T) {
	r := newRelay(t, "127.0.0.1", answering(t), 0, 0)
	first, second, third := "a LOGIN\r\n", "b APPEND x {3+}\r\na\nb\r\nc NOOP\r\n", "d COMPRESS DEFLATE\r\n"
	converse(t, r.port(), map[string]int{first: 1, second: 3, third: 1}, first, second, third)
	w := r.close()
	want := wire{up: int64(len(first) + len(second) + len(third)), down: 6 + 5*4, connections: 1, turns: 3, commands: 4, blind: true}
	if w != want {
		t.Errorf("%+v, want %+v", w, want)
	}
}

// TestRelayDelays: a connection, the greeting and each answer cost a round
// trip, commands that go together cost one.
func TestRelayDelays(t *testing.T) {
	const rtt = 20 * time.Millisecond
	r := newRelay(t, "127.0.0.1", answering(t), rtt, 0)
	one, two := "a NOOP\r\n", "b NOOP\r\nc NOOP\r\nd NOOP\r\n"
	took := converse(t, r.port(), map[string]int{one: 1, two: 3}, one, two)
	r.close()
	if took < 4*rtt {
		t.Errorf("four round trips of %v took %v", rtt, took)
	}
}

// TestRelayLimits: each connection gives so many bytes a second.
func TestRelayLimits(t *testing.T) {
	const limit = 400 // an answer takes 10 ms
	r := newRelay(t, "127.0.0.1", answering(t), 0, limit)
	one := "a NOOP\r\n"
	took := converse(t, r.port(), map[string]int{one: 1}, one, one, one, one)
	if down := r.close().down; took < time.Duration(down)*time.Second/limit {
		t.Errorf("%d bytes took %v", down, took)
	}
}

// TestVerdict tells what is missed, and by the better mbsync.
func TestVerdict(t *testing.T) {
	b := &bench{t: t, rows: []*row{{name: "x", target: target{faster: 4, raw: 2, bytes: 100, rss: 10 * mb, trips: 4}}}}
	r := b.rows[0]
	for tool, wall := range map[string]time.Duration{"godwit": 10, "mbsync": 60, "mbsync, no COMPRESS": 39, rawName: 5} {
		r.of(tool).runs = []usage{{wall: wall * *rtt, rss: 5 * mb}, {wall: wall * *rtt, rss: 20 * mb}, {wall: 1000 * *rtt, rss: 1}, {wall: 1}}
	}
	r.of("godwit").wire = &wire{up: 40, down: 59}
	want := "≥ 4× MISSED, raw 2.00× ≤ 2×, 99 B < 100 B, 20.0 MB < 10.0 MB MISSED, 10.0 round trips ≤ 4 MISSED"
	if got := b.verdict(r); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
