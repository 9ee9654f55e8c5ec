package imaptest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"
)

// Password opens every account of a Dovecot of this package; an account
// appears at its first login.
const Password = "secret"

// startTimeout is how long a Dovecot may take until it greets.
const startTimeout = 30 * time.Second

// A Server is a running Dovecot.
type Server struct {
	// Host and Port are where it speaks IMAP in plain text, with STARTTLS if
	// it was started WithTLS.
	Host string
	Port int
	// TLSPort speaks IMAP over implicit TLS, 0 without WithTLS.
	TLSPort int
	// CAFile is the certificate, in PEM, that signed the server's; "" without WithTLS.
	CAFile string
	// Dir holds everything of the server: dovecot.conf, log, and the homes of
	// the users under home/USER.
	Dir string

	t     testing.TB
	shape shape
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	guard *exec.Cmd     // ends the server if the test process dies
	leash io.Closer     // what the guard waits for
}

// An Option shapes a Dovecot.
type Option func(*shape)

type shape struct {
	capability string
	separator  string
	prefix     string
	location   string
	tls        bool
	readOnly   []string
	extra      []string
}

// Bare makes the server claim bare IMAP4rev1: no UIDPLUS, MOVE, CONDSTORE,
// ESEARCH, LITERAL+, LIST-EXTENDED, NAMESPACE or anything else.
func Bare() Option { return Capabilities("IMAP4rev1") }

// Capabilities makes the server claim exactly these after the login. It goes
// on to understand the others.
func Capabilities(names ...string) Option {
	return func(s *shape) { s.capability = strings.Join(names, " ") }
}

// Separator sets the character between the levels of mailbox names; "/"
// without it.
func Separator(sep string) Option { return func(s *shape) { s.separator = sep } }

// Prefix sets the prefix of the personal namespace, for instance "INBOX.".
func Prefix(prefix string) Option { return func(s *shape) { s.prefix = prefix } }

// Maildir makes the server keep mail as Maildirs (layout fs) under
// home/USER/Maildir, in place of sdbox.
func Maildir() Option { return func(s *shape) { s.location = "maildir:~/Maildir:LAYOUT=fs" } }

// Location sets Dovecot's mail_location.
func Location(location string) Option { return func(s *shape) { s.location = location } }

// WithTLS adds a port with implicit TLS, and STARTTLS on the other one, with
// a certificate for 127.0.0.1 and localhost that CAFile has signed.
func WithTLS() Option { return func(s *shape) { s.tls = true } }

// ReadOnly takes all rights but reading from everybody for these mailboxes,
// given as the server names them, by ACL.
func ReadOnly(mailboxes ...string) Option {
	return func(s *shape) { s.readOnly = append(s.readOnly, mailboxes...) }
}

// Extra adds lines to the end of the configuration.
func Extra(lines string) Option { return func(s *shape) { s.extra = append(s.extra, lines) } }

// Dovecot starts a private Dovecot that ends with the test. It fails the test
// when dovecot is not installed.
func Dovecot(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s := &Server{Host: "127.0.0.1", t: t, shape: shape{separator: "/", location: "sdbox:~/sdbox"}}
	for _, o := range opts {
		o(&s.shape)
	}
	// Not t.TempDir: its long names do not fit into the address of a socket.
	dir, err := os.MkdirTemp("", "dovecot")
	if err != nil {
		t.Fatal(err)
	}
	s.Dir = dir
	t.Cleanup(func() {
		s.Kill()
		if t.Failed() {
			s.logTail()
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("dovecot: removing its directory: %v", err)
		}
	})
	if s.shape.tls {
		s.CAFile = filepath.Join(dir, "ca.pem")
		if err := writeCertificates(dir); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	return s
}

// start runs dovecot on free ports until it greets. Another process may take
// a port between its choice and its use: a few are tried.
func (s *Server) start() {
	s.t.Helper()
	for try := 0; ; try++ {
		if s.Port == 0 || try > 0 {
			s.Port = freePort(s.t)
			if s.shape.tls {
				s.TLSPort = freePort(s.t)
			}
		}
		if err := s.writeConfig(); err != nil {
			s.t.Fatal(err)
		}
		err := s.run()
		if err == nil {
			return
		}
		if try == 4 || errors.Is(err, exec.ErrNotFound) {
			s.t.Fatalf("starting dovecot (is dovecot-imapd installed?): %v", err)
		}
	}
}

// guardScript ends the process group $1 when its standard input closes, which
// it does when the test process dies, however it dies.
const guardScript = `read -r line; kill -KILL -- -"$1" 2>/dev/null`

func (s *Server) run() error {
	dovecot, err := find("dovecot")
	if err != nil {
		return err
	}
	out, err := os.OpenFile(filepath.Join(s.Dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command(dovecot, "-F", "-c", s.config())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func() { _ = cmd.Wait(); close(s.ended) }()
	err = s.startGuard()
	if err == nil {
		err = s.await()
	}
	if err != nil {
		s.Stop()
		said, _ := os.ReadFile(filepath.Join(s.Dir, "output"))
		return fmt.Errorf("%w\n%s", err, said)
	}
	return nil
}

func (s *Server) startGuard() error {
	s.guard = exec.Command("/bin/sh", "-c", guardScript, "sh", strconv.Itoa(s.cmd.Process.Pid))
	s.guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := s.guard.StdinPipe()
	if err != nil {
		return err
	}
	s.leash = stdin
	return s.guard.Start()
}

// await connects until the server greets.
func (s *Server) await() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if s.greets() {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no greeting within %v", startTimeout)
		case <-s.ended:
			return errors.New("dovecot ended at once")
		case <-tick.C:
		}
	}
}

func (s *Server) greets() bool {
	conn, err := net.DialTimeout("tcp", s.Addr(), time.Second)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(startTimeout))
	line := make([]byte, 4)
	_, err = io.ReadFull(conn, line)
	return err == nil && bytes.Equal(line, []byte("* OK"))
}

// Addr is Host and Port joined.
func (s *Server) Addr() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// Stop ends the server in order: clients get a BYE. Its mail stays.
func (s *Server) Stop() {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(startTimeout):
		s.t.Errorf("dovecot did not end within %v", startTimeout)
	}
	s.Kill()
}

// Kill ends the server and all its children at once, as a crash would.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	// The group is ours: it was made with the process.
	_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGKILL)
	<-s.ended
	_ = s.leash.Close()
	_ = s.guard.Wait()
	s.cmd = nil
}

// Freeze stops the server and all its children where they are: connections
// stay, and nothing is answered, until Thaw, which the end of the test calls, too.
func (s *Server) Freeze() {
	s.t.Helper()
	if err := syscall.Kill(-s.cmd.Process.Pid, syscall.SIGSTOP); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.Thaw)
}

// Thaw lets a server that was frozen go on.
func (s *Server) Thaw() {
	if s.cmd != nil {
		_ = syscall.Kill(-s.cmd.Process.Pid, syscall.SIGCONT)
	}
}

// Restart stops the server, if it runs, and starts it again on the same ports.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	_ = os.Remove(filepath.Join(s.Dir, "run", "master.pid"))
	s.start()
}

// Doveadm runs doveadm with the configuration of the server and returns what
// it printed. A failure fails the test.
func (s *Server) Doveadm(args ...string) string {
	s.t.Helper()
	path, err := find("doveadm")
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"-c", s.config()}, args...)...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("doveadm %s: %v\n%s", strings.Join(args, " "), err, complaint.String())
	}
	return string(out)
}

// Client logs user in with go-imap's client, for a test to look at the
// server, or change it, behind godwit's back. It is closed with the test.
func (s *Server) Client(user string) *imapclient.Client {
	s.t.Helper()
	c, err := imapclient.DialInsecure(s.Addr(), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	if err := c.Login(user, Password).Wait(); err != nil {
		s.t.Fatalf("logging in as %s: %v", user, err)
	}
	return c
}

// Takes tells whether the server lets user in with a password.
func (s *Server) Takes(user, password string) bool {
	s.t.Helper()
	c, err := imapclient.DialInsecure(s.Addr(), nil)
	if err != nil {
		return false // it is just being started
	}
	defer c.Close()
	return c.Login(user, password).Wait() == nil
}

// Home is the home directory of a user on the server.
func (s *Server) Home(user string) string { return filepath.Join(s.Dir, "home", user) }

func (s *Server) config() string { return filepath.Join(s.Dir, "dovecot.conf") }

func (s *Server) logTail() {
	for _, name := range []string{"output", "log"} {
		text, err := os.ReadFile(filepath.Join(s.Dir, name))
		if err == nil && len(text) > 0 {
			s.t.Logf("dovecot's %s ends with:\n%s", name, text[max(0, len(text)-4000):])
		}
	}
}

// find looks in the system directories too, which are not in everybody's PATH.
func find(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/bin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

func freePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// mailUser is who owns the mail: Debian's user mail if the test runs as
// root (Dovecot does not serve root), otherwise whoever runs it.
func mailUser() (name, group string, err error) {
	if os.Geteuid() == 0 {
		return "mail", "mail", nil
	}
	u, err := user.Current()
	if err != nil {
		return "", "", err
	}
	g, err := user.LookupGroupId(u.Gid)
	if err != nil {
		return "", "", err
	}
	return u.Username, g.Name, nil
}
