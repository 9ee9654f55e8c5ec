package imap_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A station is a server that tells of its connections, in a bubble of time.
type station struct {
	*testing.T
	*imaptest.Mailstore
	pool *imap.Pool
	// connections is Options.Connections; way, if not nil, is put around the far
	// end of each connection, and hear, if not nil, is asked before the server
	// is: both are told its number.
	connections int
	way         func(n int, far net.Conn) net.Conn
	hear        func(n int, p *imaptest.Peer, cmd imaptest.Command) bool

	mu    sync.Mutex
	conns []*track
	sent  []string // commands, each with the number of its connection

	played sync.WaitGroup
}

// A track is the near end of a connection. Once mute, what is sent is
// swallowed.
type track struct {
	net.Conn
	far    net.Conn
	mu     sync.Mutex
	mute   bool
	closed bool
}

func (c *track) Write(p []byte) (int, error) {
	c.mu.Lock()
	mute := c.mute
	c.mu.Unlock()
	if mute {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *track) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

func (c *track) silence() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mute = true
}

func (c *track) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

func inStation(t *testing.T, caps string, f func(*station)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &station{T: t, Mailstore: imaptest.NewMailstore(caps), pool: imap.NewPool()}
		f(s)
		s.pool.Close()
		for _, c := range s.conns {
			c.far.Close()
		}
		s.played.Wait()
	})
}

func (s *station) options() imap.Options {
	return imap.Options{
		Endpoint: imap.Endpoint{Host: "localhost", TLS: imap.TLSNone, Dialer: func(context.Context, string, string) (net.Conn, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			n := len(s.conns) + 1
			script := s.Script()
			handle := script.Handle
			script.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
				s.mu.Lock()
				s.sent = append(s.sent, fmt.Sprintf("%d %s", n, cmd.Name))
				s.mu.Unlock()
				return s.hear != nil && s.hear(n, p, cmd) || handle(p, cmd)
			}
			near, far := net.Pipe()
			if s.way != nil {
				far = s.way(n, far)
			}
			s.played.Go(func() { script.Play(far) })
			c := &track{Conn: near, far: far}
			s.conns = append(s.conns, c)
			return c, nil
		}},
		Username: "ann", Password: func(context.Context) (string, error) { return "secret", nil }, Pool: s.pool, Connections: s.connections,
	}
}

// open opens an account as a run does.
func (s *station) open() *imap.Account {
	s.Helper()
	a, err := imap.Open(s.Context(), s.options())
	if err != nil {
		s.Fatal(err)
	}
	return a
}

// run surveys, does f, and closes; it gives what that cost.
func (s *station) run(f func(a *imap.Account)) imap.Stats {
	s.Helper()
	a := s.open()
	boxes, err := a.Survey(s.Context(), map[mail.MailboxName]plan.Since{mail.Inbox: {}})
	if err != nil || len(boxes) == 0 {
		s.Fatalf("%v, %v", boxes, err)
	}
	a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	if f != nil {
		f(a)
	}
	stats := a.Stats()
	a.Close()
	synctest.Wait()
	return stats
}

// commands gives those that came since the last call, without those of logins.
func (s *station) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := slices.DeleteFunc(s.sent, func(c string) bool { return strings.HasSuffix(c, "LOGIN") || strings.HasSuffix(c, "CAPABILITY") })
	s.sent = nil
	return sent
}

func (s *station) came(want ...string) {
	s.Helper()
	if got := s.commands(); !slices.Equal(got, want) {
		s.Errorf("there came %q, want %q", got, want)
	}
}

func scanInbox(t *testing.T) func(*imap.Account) {
	return func(a *imap.Account) {
		if _, _, err := scanOf(a, plan.Since{}); err != nil {
			t.Error(err)
		}
	}
}

// TestAKeptConnectionSavesTheLogin: a run that finds nothing takes one round
// trip instead of three (and that of TCP), and leaves its mailbox.
func TestAKeptConnectionSavesTheLogin(t *testing.T) {
	inStation(t, fullCaps, func(s *station) {
		s.Deliver("INBOX", message(1), day)
		first := s.run(scanInbox(t))
		if first.Connections != 1 {
			t.Errorf("the first run cost %+v", first)
		}
		s.came("1 NAMESPACE", "1 LIST", "1 STATUS", "1 EXAMINE", "1 UID FETCH", "1 UNSELECT")
		for range 3 {
			<-time.After(19 * time.Minute)
			again := s.run(nil)
			if again.Connections != 0 || again.RoundTrips != 1 || again.Commands["NOOP"] != 1 || again.Commands["LIST"] != 1 || again.Commands["LOGIN"] != 0 || again.Read <= 0 {
				t.Errorf("a later run cost %+v", again)
			}
			s.came("1 NOOP", "1 NAMESPACE", "1 LIST", "1 STATUS")
		}
		s.run(scanInbox(t))
		s.came("1 NOOP", "1 NAMESPACE", "1 LIST", "1 STATUS", "1 EXAMINE", "1 UID FETCH", "1 UNSELECT")
	})
}

// TestAKeptConnectionThatDied is replaced, without an error and before
// anything is changed.
func TestAKeptConnectionThatDied(t *testing.T) {
	for name, die := range map[string]struct {
		how  func(s *station)
		late time.Duration
	}{
		"cut":                {func(s *station) { s.conns[0].far.Close() }, 0},
		"swallows what came": {func(s *station) { s.conns[0].silence() }, 10 * time.Second},
		"cut at the first command": {func(s *station) {
			s.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == "NOOP" {
					s.Before = nil
					return imaptest.Drop
				}
				return ""
			}
		}, 0},
		"cut after the first answer": {func(s *station) {
			s.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == "NAMESPACE" {
					s.Before = nil
					return imaptest.Drop
				}
				return ""
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inStation(t, fullCaps, func(s *station) {
				died := 0
				s.pool.Died = func() { died++ }
				s.Deliver("INBOX", message(1), day)
				s.run(scanInbox(t))
				<-time.After(time.Minute)
				die.how(s)
				synctest.Wait()
				s.commands()
				begun := time.Now()
				cost := s.run(scanInbox(t))
				if cost.Connections != 1 || len(s.conns) != 2 || time.Since(begun) != die.late {
					t.Errorf("it took %v and cost %+v, %d connections", time.Since(begun), cost, len(s.conns))
				}
				// An end that the connection told of says nothing of others.
				if told := name == "cut"; (died == 0) != told || died > 1 {
					t.Errorf("told %d times that it died", died)
				}
				if got := s.commands(); !slices.Equal(got[len(got)-6:], []string{"2 NAMESPACE", "2 LIST", "2 STATUS", "2 EXAMINE", "2 UID FETCH", "2 UNSELECT"}) {
					t.Errorf("there came %q", got)
				}
				if again := s.run(nil); again.Connections != 0 || again.RoundTrips != 1 {
					t.Errorf("the run after it cost %+v", again)
				}
			})
		})
	}
}

// TestNothingIsChangedBeforeAnAnswer: an APPEND that comes first waits until
// the connection has answered, and goes over another if it is dead.
func TestNothingIsChangedBeforeAnAnswer(t *testing.T) {
	for name, dead := range map[string]bool{"alive": false, "dead": true} {
		t.Run(name, func(t *testing.T) {
			inStation(t, fullCaps, func(s *station) {
				died := false
				s.pool.Died = func() { died = true }
				s.run(nil)
				if s.commands(); dead {
					s.conns[0].silence()
				}
				a := s.open()
				defer a.Close()
				a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
				batch, err := a.Put(s.Context(), 1)
				if err != nil {
					t.Fatal(err)
				}
				if err := batch.Add(s.Context(), incoming(7, message(7))); err != nil {
					t.Fatal(err)
				}
				placed, err := batch.Commit(s.Context())
				if err != nil || len(placed) != 1 || placed[0].Ref != "1" {
					t.Errorf("%+v, %v", placed, err)
				}
				if died != dead {
					t.Errorf("told that it died: %v", died)
				}
				if dead {
					s.came("2 STATUS", "2 APPEND")
				} else {
					s.came("1 NOOP", "1 STATUS", "1 APPEND")
				}
			})
		})
	}
}

// TestAKeptConnectionEnds after 20 minutes, when the pool is dropped, and
// with it; and one on which something is under way is not kept.
func TestAKeptConnectionEnds(t *testing.T) {
	inStation(t, fullCaps, func(s *station) {
		ended := func(n int, want bool) {
			t.Helper()
			synctest.Wait()
			if got := s.conns[n-1].isClosed(); got != want {
				t.Errorf("connection %d ended: %v", n, got)
			}
		}
		s.run(nil)
		<-time.After(20*time.Minute - time.Second)
		ended(1, false)
		<-time.After(2 * time.Second)
		ended(1, true)
		s.run(nil)
		ended(2, false)
		s.pool.Drop()
		ended(2, true)
		s.run(nil) // a third, since the pool goes on
		a := s.open()
		a.Close() // which proved nothing, and is not kept
		ended(3, true)
		s.run(nil)
		b := s.open()
		c := s.open() // a fifth, since the fourth is taken
		for _, x := range []*imap.Account{b, c} {
			if _, err := x.Survey(s.Context(), nil); err != nil {
				t.Error(err)
			}
			x.Close()
		}
		ended(4, false)
		ended(5, true) // one is enough
		s.pool.Close()
		ended(4, true)
		s.run(nil)
		ended(6, true)
	})
	inStation(t, bareCaps, func(s *station) {
		s.Deliver("INBOX", message(1), day)
		s.run(scanInbox(t)) // cannot leave its mailbox
		s.run(nil)
		if len(s.conns) != 2 {
			t.Errorf("%d connections", len(s.conns))
		}
	})
}

// TestWhatComesInTheMeantime is read, and forgotten.
func TestWhatComesInTheMeantime(t *testing.T) {
	inStation(t, fullCaps, func(s *station) {
		s.run(scanInbox(t))
		s.commands()
		line := []byte("* OK [ALERT] still here\r\n* LIST () \"/\" Bad&Name\r\n* 1 FETCH (UID 1 FLAGS ())\r\n* STATUS INBOX (MESSAGES 7)\r\n")
		// A pipe holds nothing: what was written was read.
		for range 1000 {
			if _, err := s.conns[0].far.Write(line); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		a := s.open()
		defer a.Close()
		if _, err := a.Survey(s.Context(), nil); err != nil || len(a.Refused()) != 0 {
			t.Errorf("%v, %v", err, a.Refused())
		}
		if len(s.conns) != 1 {
			t.Errorf("%d connections", len(s.conns))
		}
	})
}

// TestRunsOverAKeptConnection has whole runs with all kinds of work use one
// connection, and come to what they come to without.
func TestRunsOverAKeptConnection(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps, "bare": bareCaps, "push": pushCaps} {
		t.Run(name, func(t *testing.T) {
			w := eventful(t, caps)
			plain := w.clone()
			pool := imap.NewPool()
			defer pool.Close()
			w.pool = pool
			logins := 0
			w.server.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == "LOGIN" {
					logins++
				}
				return ""
			}
			for _, x := range []*world{w, plain} {
				for i := range 4 {
					x.server.Deliver("INBOX", letter(3000+i), day)
					x.local.Deliver("Work", letter(4000+i), mail.NewFlagSet(mail.Seen), day)
					if rep, err := x.run(t); err != nil || rep.Exit() != 0 {
						t.Fatalf("run %d: %v, %v", i, err, rep.Faults)
					}
				}
			}
			if d := sidetest.Compare(plain.local.Snapshot(), w.local.Snapshot()); d != "" {
				t.Error(d)
			}
			if d := sidetest.Compare(plain.remote(), w.remote()); d != "" {
				t.Error(d)
			}
			if most := 1; caps != bareCaps && logins > most {
				t.Errorf("%d logins", logins)
			}
		})
	}
}

// TestBudgetOfAKeptConnection: over a real server a run that finds nothing
// takes one round trip, compressed or not, and one that finds something takes
// none for the login.
func TestBudgetOfAKeptConnection(t *testing.T) {
	for name, compress := range map[string]bool{"plain": false, "compressed": true} {
		t.Run(name, func(t *testing.T) {
			p := newPurse(t)
			pool := imap.NewPool()
			defer pool.Close()
			p.change = func(o *imap.Options) { o.Pool, o.Compress = pool, compress }
			c := p.server.Client("ann")
			p.deliver(c, message(0))
			p.run()
			kept := budget{always: "LIST 1, NAMESPACE 1, NOOP 1", trips: 1, bytes: 1500}
			for i := range 3 {
				p.costs(kept, "nothing changed", p.run(), extra{})
				p.deliver(c, message(1+i))
				if s := p.run(); s.Connections != 0 || s.Commands["UID FETCH"] == 0 {
					t.Errorf("one new message cost %+v", s.Stats)
				}
				p.local.Deliver("INBOX", message(1000+i), mail.NewFlagSet(mail.Seen), p.now)
				if s := p.run(); s.Connections != 0 || s.Commands["APPEND"] == 0 {
					t.Errorf("one new file cost %+v", s.Stats)
				}
				p.run() // which looks at what it did
			}
			p.server.Restart()
			if s := p.run(); s.Connections != 1 {
				t.Errorf("after the server was started again: %+v", s.Stats)
			}
			p.costs(kept, "nothing changed", p.run(), extra{})
		})
	}
}
