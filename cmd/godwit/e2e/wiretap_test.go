package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// A wiretap passes connections on to a server, remembers every command, and
// can change lines of the server's answers. It knows literals: what is in one
// is neither a command nor an answer.
type wiretap struct {
	port   int
	server string
	answer func(line string) string // changes a line of an answer; nil: as they are

	mu       sync.Mutex
	commands []string
	conns    []net.Conn
	wait     sync.WaitGroup
}

// tap puts a wiretap between the account and its server. It must be called
// again after configure.
func (a *account) tap() *wiretap {
	a.t.Helper()
	w := newWiretap(a.t, a.server.Addr(), nil)
	a.through(w)
	return w
}

// through makes the account connect to w.
func (a *account) through(w *wiretap) {
	a.t.Helper()
	text, err := os.ReadFile(a.config)
	if err != nil {
		a.t.Fatal(err)
	}
	changed := regexp.MustCompile(`(?m)^port = \d+$`).ReplaceAllString(string(text), fmt.Sprintf("port = %d", w.port))
	if err := os.WriteFile(a.config, []byte(changed), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func newWiretap(t *testing.T, server string, answer func(line string) string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{port: l.Addr().(*net.TCPAddr).Port, server: server, answer: answer}
	w.wait.Add(1)
	go func() { defer w.wait.Done(); w.accept(l) }()
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			c.Close()
		}
		w.mu.Unlock()
		w.wait.Wait()
	})
	return w
}

func (w *wiretap) accept(l net.Listener) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", w.server)
		if err != nil {
			client.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, client, server)
		w.mu.Unlock()
		w.wait.Add(2)
		go func() { defer w.wait.Done(); pass(server, client, w.hear) }()
		go func() { defer w.wait.Done(); pass(client, server, w.answer) }()
	}
}

func (w *wiretap) hear(line string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands = append(w.commands, strings.TrimRight(line, "\r\n"))
	return line
}

var tapLiteral = regexp.MustCompile(`\{(\d+)\+?\}\r?\n$`)

// pass copies lines and literals until either end closes.
func pass(to, from net.Conn, change func(string) string) {
	defer to.Close()
	defer from.Close()
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		m := tapLiteral.FindStringSubmatch(line)
		if change != nil {
			line = change(line)
		}
		if _, err := io.WriteString(to, line); err != nil {
			return
		}
		if m == nil {
			continue
		}
		n, _ := strconv.ParseInt(m[1], 10, 64)
		if _, err := io.CopyN(to, r, n); err != nil {
			return
		}
	}
}

// take returns the commands heard since the last call.
func (w *wiretap) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.commands
	w.commands = nil
	return c
}

// tapBody matches a FETCH of whole messages, or of their text.
var tapBody = regexp.MustCompile(`(?i)(BODY(\.PEEK)?\[(TEXT)?\]|RFC822(\.TEXT)?[ )]|BINARY)`)

// tapBodies are the commands that make a body travel, in either direction.
func tapBodies(commands []string) []string {
	var out []string
	for _, c := range commands {
		_, command, _ := strings.Cut(c, " ")
		if tapBody.MatchString(command) || strings.HasPrefix(strings.ToUpper(command), "APPEND") {
			out = append(out, c)
		}
	}
	return out
}
