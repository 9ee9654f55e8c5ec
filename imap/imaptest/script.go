package imaptest

import (
	"bufio"
	"compress/flate"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Drop, in what a Script answers, closes the connection at that point. What
// stands before it is sent, what stands behind it is not.
const Drop = "\x00drop\x00"

// Hang, in what a Script answers, ends the answer at that point and leaves the
// connection open. Nothing more is said over it, nor done that is asked for.
const Hang = "\x00hang\x00"

// ScriptCaps are the capabilities that a Script tells if it names no others:
// a server with nothing beyond IMAP4rev1.
const ScriptCaps = "IMAP4rev1"

// A Script is a server that says exactly what a test wants it to say: right,
// wrong, too early, never, or half. It knows just enough IMAP to take commands
// apart and to let a client in. Its fields are not changed once it plays.
type Script struct {
	// Greeting is what is sent first, raw, with its line end; "" greets with Caps.
	Greeting string
	// Caps answers CAPABILITY; "" is ScriptCaps.
	Caps string
	// Answers gives, by name of command ("UID FETCH", "SELECT"), the raw text
	// that answers it, with "{tag}" for the command's tag. Line ends must be
	// written; Drop closes the connection.
	Answers map[string]string
	// Handle, if not nil, is asked before Answers. It returns true if it
	// answered the command.
	Handle func(p *Peer, cmd Command) bool
	// Refuse, if not nil, is asked when a command announces a literal that
	// waits for a "+": what it returns, if not "", is sent in its place.
	Refuse func(cmd Command) string
	// TLS is used for STARTTLS, and by Listen where Implicit is set.
	TLS      *tls.Config
	Implicit bool

	mu      sync.Mutex
	playing int
	ended   chan struct{} // closed when playing is 0 again
}

// A Command is what a client sent.
type Command struct {
	Tag, Name string // Name in capitals, "UID FETCH" with its UID
	// Args is all that follows the name, without the line end. A literal
	// stands in it as its announcement.
	Args     string
	Literals [][]byte
	Number   int // of a Mailstore: see Mailstore.Before
}

// A Peer is the script's end of one connection.
type Peer struct {
	script *Script
	conn   net.Conn
	r      *bufio.Reader
	hung   bool
	// State is whoever answers' own.
	State any
}

// Listen plays the script on a port of the loopback address until the test
// ends, and gives host and port.
func (s *Script) Listen(t testing.TB) (host string, port int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		conns []net.Conn
	)
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			if s.Implicit {
				conn = tls.Server(conn, s.TLS)
			}
			wg.Go(func() { s.Play(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "127.0.0.1", l.Addr().(*net.TCPAddr).Port
}

// Pipe plays the script on one end of a pipe in memory until the test ends,
// and gives the other.
func (s *Script) Pipe(t testing.TB) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Play(server)
	}()
	t.Cleanup(func() {
		server.Close()
		client.Close()
		<-done
	})
	return client
}

// Play serves one connection until it ends.
func (s *Script) Play(conn net.Conn) {
	s.began()
	defer s.over()
	defer conn.Close()
	p := &Peer{script: s, conn: conn, r: bufio.NewReader(conn)}
	greeting := s.Greeting
	if greeting == "" {
		greeting = "* OK [CAPABILITY " + s.caps() + "] ready\r\n"
	}
	if !p.Send(greeting) {
		return
	}
	for {
		cmd, err := p.Command()
		if err != nil || !s.answer(p, cmd) {
			return
		}
		if p.hung {
			_, _ = io.Copy(io.Discard, p.r)
			return
		}
	}
}

// Wait waits until every connection has ended over which a command came: what
// a client sent before it went away may be carried out after that.
func (s *Script) Wait() {
	for {
		s.mu.Lock()
		playing, ended := s.playing, s.ended
		s.mu.Unlock()
		if playing == 0 {
			return
		}
		<-ended
	}
}

func (s *Script) began() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.playing++; s.playing == 1 {
		s.ended = make(chan struct{})
	}
}

func (s *Script) over() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.playing--; s.playing == 0 {
		close(s.ended)
	}
}

func (s *Script) caps() string {
	if s.Caps == "" {
		return ScriptCaps
	}
	return s.Caps
}

// answer returns false when the connection is over.
func (s *Script) answer(p *Peer, cmd Command) bool {
	if s.Handle != nil && s.Handle(p, cmd) {
		return true
	}
	if text, ok := s.Answers[cmd.Name]; ok {
		return p.Send(strings.ReplaceAll(text, "{tag}", cmd.Tag))
	}
	switch cmd.Name {
	case "":
		return true // a refused command, or an empty line
	case "CAPABILITY":
		return p.Send("* CAPABILITY " + s.caps() + "\r\n" + cmd.Tag + " OK done\r\n")
	case "AUTHENTICATE":
		if len(strings.Fields(cmd.Args)) < 2 { // no initial response (RFC 4959)
			if !p.Send("+ \r\n") {
				return false
			}
			if _, err := p.Line(); err != nil {
				return false
			}
		}
		return p.OK(cmd)
	case "COMPRESS":
		if !strings.Contains(s.caps(), "COMPRESS=DEFLATE") {
			return p.Send(cmd.Tag + " BAD what is that?\r\n")
		}
		return p.OK(cmd) && p.Compress()
	case "STARTTLS":
		return p.OK(cmd) && p.StartTLS() == nil
	case "LOGOUT":
		p.Send("* BYE see you\r\n" + cmd.Tag + " OK done\r\n")
		return false
	case "SELECT", "EXAMINE":
		return p.Send("* FLAGS (\\Seen)\r\n* 3 EXISTS\r\n* OK [UIDVALIDITY 1] ok\r\n* OK [UIDNEXT 4] ok\r\n" +
			cmd.Tag + " OK done\r\n")
	}
	return p.OK(cmd)
}

// Send sends raw text up to Drop, and returns false when the connection is over.
func (p *Peer) Send(text string) bool {
	text, _, drop := strings.Cut(text, Drop)
	if text, _, p.hung = strings.Cut(text, Hang); p.hung {
		drop = false
	}
	if _, err := io.WriteString(p.conn, text); err != nil {
		return false
	}
	if drop {
		p.conn.Close()
	}
	return !drop
}

// OK ends a command with success.
func (p *Peer) OK(cmd Command) bool { return p.Send(cmd.Tag + " OK done\r\n") }

// StartTLS makes the connection safe with the script's TLS configuration.
func (p *Peer) StartTLS() error {
	conn := tls.Server(p.conn, p.script.TLS)
	if err := conn.Handshake(); err != nil {
		return err
	}
	p.conn, p.r = conn, bufio.NewReader(conn)
	return nil
}

// Compress deflates from here on, both ways (RFC 4978).
func (p *Peer) Compress() bool {
	w, err := flate.NewWriter(p.conn, flate.BestSpeed)
	if err != nil {
		return false
	}
	// The reader is left to flate byte by byte: what is ahead in it is deflated.
	p.conn, p.r = deflated{p.conn, w}, bufio.NewReader(flate.NewReader(p.r))
	return true
}

// deflated is a connection that deflates what is written, and flushes.
type deflated struct {
	net.Conn
	w *flate.Writer
}

func (d deflated) Write(b []byte) (int, error) {
	n, err := d.w.Write(b)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}

// Line reads a line without its end.
func (p *Peer) Line() (string, error) {
	line, err := p.r.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// Command reads a command with its literals, and asks for them where the
// client waits. One that Refuse refused has no name.
func (p *Peer) Command() (Command, error) {
	line, err := p.Line()
	if err != nil {
		return Command{}, err
	}
	var cmd Command
	cmd.Tag, cmd.Args, _ = strings.Cut(line, " ")
	cmd.Name, cmd.Args, _ = strings.Cut(cmd.Args, " ")
	cmd.Name = strings.ToUpper(cmd.Name)
	if cmd.Name == "UID" {
		var sub string
		sub, cmd.Args, _ = strings.Cut(cmd.Args, " ")
		cmd.Name += " " + strings.ToUpper(sub)
	}
	for {
		size, wait, ok := announced(line)
		if !ok {
			return cmd, nil
		}
		if wait {
			answer := "+ go on\r\n"
			if p.script.Refuse != nil {
				if refusal := p.script.Refuse(cmd); refusal != "" {
					p.Send(strings.ReplaceAll(refusal, "{tag}", cmd.Tag))
					return Command{}, nil
				}
			}
			if !p.Send(answer) {
				return cmd, io.EOF
			}
		}
		literal := make([]byte, size)
		if _, err := io.ReadFull(p.r, literal); err != nil {
			return cmd, fmt.Errorf("literal: %w", err)
		}
		cmd.Literals = append(cmd.Literals, literal)
		if line, err = p.Line(); err != nil {
			return cmd, err
		}
		cmd.Args += line
	}
}

// announced reads the "{n}" or "{n+}" that ends a line.
func announced(line string) (size int, wait, ok bool) {
	i := strings.LastIndexByte(line, '{')
	if i < 0 || !strings.HasSuffix(line, "}") {
		return 0, false, false
	}
	text, nonSync := strings.CutSuffix(line[i+1:len(line)-1], "+")
	size, err := strconv.Atoi(text)
	return size, !nonSync, err == nil && size >= 0
}
