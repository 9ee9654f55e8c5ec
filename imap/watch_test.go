package imap

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// A listening is a watch under way in a test.
type listening struct {
	t    *testing.T
	up   chan string
	news chan News
	end  chan error
	stop context.CancelFunc

	doubt chan struct{}
}

func listen(t *testing.T, w *watch, boxes ...mail.MailboxName) *listening {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &listening{t: t, up: make(chan string, 1), news: make(chan News, 1<<12), end: make(chan error, 1), stop: cancel, doubt: make(chan struct{}, 1)}
	w.tell = Watching{Up: func(note string) { l.up <- note }, Changed: func(n News) { l.news <- n }, Doubt: l.doubt}
	if w.haste == 0 {
		w.haste = doubtTime
	}
	if w.every == 0 {
		w.every = probeEvery
	}
	if w.askAfter == 0 {
		w.askAfter = askAfter
	}
	if w.patience == 0 {
		w.patience = probeTime
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.end <- w.run(ctx, boxes)
	}()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// isUp waits until all is watched, and gives the note.
func (l *listening) isUp() string {
	l.t.Helper()
	select {
	case note := <-l.up:
		return note
	case err := <-l.end:
		l.t.Fatalf("the watch ended: %v", err)
	case <-time.After(30 * time.Second):
		l.t.Fatal("the watch does not come up")
	}
	return ""
}

// hears waits for news, and forgets what else came with it.
func (l *listening) hears(what string) {
	l.t.Helper()
	select {
	case <-l.news:
	case err := <-l.end:
		l.t.Fatalf("%s: the watch ended: %v", what, err)
	case <-time.After(30 * time.Second):
		l.t.Fatalf("%s was not told", what)
	}
}

func (l *listening) ends(what string) error {
	l.t.Helper()
	select {
	case err := <-l.end:
		return err
	case <-time.After(30 * time.Second):
		l.t.Fatalf("%s is not noticed", what)
		return nil
	}
}

func watchOf(host string, port int, connections int) *watch {
	return &watch{opt: Options{
		Endpoint: Endpoint{Host: host, Port: port, TLS: TLSNone}, Username: "user", Connections: connections,
		Password: func(context.Context) (string, error) { return imaptest.Password, nil },
	}}
}

func deliver(t *testing.T, s *imaptest.Server, box string) {
	t.Helper()
	c := s.Client("user")
	defer c.Close()
	body := "Subject: x\r\n\r\nx\r\n"
	cmd := c.Append(box, int64(len(body)), nil)
	_, err := cmd.Write([]byte(body))
	if err = errors.Join(err, cmd.Close()); err == nil {
		_, err = cmd.Wait()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// With NOTIFY one connection tells of every mailbox, and of new ones.
func TestWatchByNotify(t *testing.T) {
	s := imaptest.Dovecot(t)
	c := s.Client("user")
	defer c.Close()
	if err := c.Create("Work", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	l := listen(t, watchOf(s.Host, s.Port, 1), "INBOX")
	if note := l.isUp(); note != "" {
		t.Errorf("note %q", note)
	}
	for _, box := range []string{"INBOX", "Work"} {
		deliver(t, s, box)
		l.hears("a delivery to " + box)
		if _, err := c.Select(box, nil).Wait(); err != nil {
			t.Fatal(err)
		}
		store := c.Store(goimap.UIDSetNum(1), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagFlagged}}, nil)
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		l.hears("a flag in " + box)
	}
	if err := c.Create("New", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	l.hears("a new mailbox")
}

// With IDLE each mailbox has a connection of its own.
func TestWatchByIdle(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Capabilities("IMAP4rev1", "IDLE", "UIDPLUS"))
	c := s.Client("user")
	defer c.Close()
	for _, box := range []string{"Work", "Far"} {
		if err := c.Create(box, nil).Wait(); err != nil {
			t.Fatal(err)
		}
	}
	w := watchOf(s.Host, s.Port, 2)
	w.every = 20 * time.Millisecond // IDLE is begun anew all the time: nothing may get lost in between
	l := listen(t, w, "INBOX", "Work", "Far")
	if note := l.isUp(); !strings.HasPrefix(note, "Far not watched") {
		t.Errorf("note %q", note)
	}
	for range 10 {
		for _, box := range []string{"INBOX", "Work"} {
			deliver(t, s, box)
			l.hears("a delivery to " + box)
			for len(l.news) > 0 {
				<-l.news
			}
		}
	}
}

func TestWatchWhereThereIsNothingToWatchBy(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Bare())
	l := listen(t, watchOf(s.Host, s.Port, 2), "INBOX")
	if note := l.isUp(); !strings.Contains(note, "neither NOTIFY nor IDLE") {
		t.Errorf("note %q", note)
	}
	l.stop()
	if err := l.ends("the end of the context"); !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

// A mailbox that is not there is told, not waited for.
func TestWatchOfNoMailbox(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Capabilities("IMAP4rev1", "IDLE"))
	l := listen(t, watchOf(s.Host, s.Port, 2), "Nowhere")
	if err := l.ends("a mailbox that is not there"); mail.ClassOf(err) != mail.ClassServer || !strings.Contains(err.Error(), "Nowhere") {
		t.Errorf("ended with %v", err)
	}
}

// The end of a connection is noticed at once.
func TestWatchWhoseServerStops(t *testing.T) {
	for _, caps := range []string{"IMAP4rev1 IDLE", "IMAP4rev1 NOTIFY IDLE"} {
		t.Run(caps, func(t *testing.T) {
			s := imaptest.Dovecot(t, imaptest.Capabilities(strings.Fields(caps)...))
			l := listen(t, watchOf(s.Host, s.Port, 2), "INBOX")
			l.isUp()
			s.Kill()
			if err := l.ends("the end of the server"); mail.ClassOf(err) != mail.ClassNetwork {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// A server that wants to be left alone says for how long, also to who only
// listens.
func TestWatchThatIsNotWanted(t *testing.T) {
	const asks = "Suggested Backoff Time: 90000 milliseconds\r\n"
	for name, answers := range map[string]map[string]string{
		"NOTIFY, BYE":         {"NOTIFY": "{tag} OK done\r\n* BYE " + asks + imaptest.Drop},
		"NOTIFY, NO to NOOP":  {"NOTIFY": "{tag} OK done\r\n", "NOOP": "{tag} NO " + asks},
		"IDLE, BYE":           {"NOTIFY": "{tag} NO no\r\n", "EXAMINE": "* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n{tag} OK done\r\n", "IDLE": "+ idling\r\n* BYE " + asks + imaptest.Drop},
		"IDLE, NO to EXAMINE": {"NOTIFY": "{tag} NO no\r\n", "EXAMINE": "{tag} NO " + asks},
	} {
		t.Run(name, func(t *testing.T) {
			answers["LIST"] = "* LIST () \"/\" INBOX\r\n{tag} OK done\r\n"
			answers["STATUS"] = "* STATUS INBOX (MESSAGES 0 UIDNEXT 1 UIDVALIDITY 1)\r\n{tag} OK done\r\n"
			w := watchOf("", 0, 2)
			w.opt.Endpoint.Host, w.opt.Endpoint.Port = (&imaptest.Script{Caps: "IMAP4rev1 NOTIFY IDLE", Answers: answers}).Listen(t)
			w.every = 10 * time.Millisecond
			err := listen(t, w, "INBOX").ends("what the server asks for")
			if mail.ClassOf(err) != mail.ClassThrottle || mail.GradeOf(err, 0) != mail.GradeAccount || waitOf(err) != 90*time.Second {
				t.Errorf("ended with %v, wait %v", err, waitOf(err))
			}
		})
	}
}

// A connection whose packets are swallowed is noticed when it is spoken on.
func TestWatchOfADeadConnection(t *testing.T) {
	for _, caps := range []string{"IMAP4rev1 IDLE", "IMAP4rev1 NOTIFY IDLE"} {
		t.Run(caps, func(t *testing.T) {
			s := imaptest.Dovecot(t, imaptest.Capabilities(strings.Fields(caps)...))
			w := watchOf(s.Host, s.Port, 2)
			w.every, w.patience = 10*time.Millisecond, 300*time.Millisecond
			dead := &atomic.Bool{}
			w.opt.Endpoint.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				return swallower{c, dead}, err
			}
			l := listen(t, w, "INBOX")
			l.isUp()
			dead.Store(true)
			err := l.ends("a dead connection")
			if mail.ClassOf(err) != mail.ClassNetwork || !strings.Contains(err.Error(), "did not answer") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// One that is in doubt is asked at once; while it answers it goes on.
func TestWatchInDoubt(t *testing.T) {
	for _, caps := range []string{"IMAP4rev1 IDLE", "IMAP4rev1 NOTIFY IDLE"} {
		t.Run(caps, func(t *testing.T) {
			s := imaptest.Dovecot(t, imaptest.Capabilities(strings.Fields(caps)...))
			c := s.Client("user")
			defer c.Close()
			if err := c.Create("Work", nil).Wait(); err != nil {
				t.Fatal(err)
			}
			w := watchOf(s.Host, s.Port, 2)
			w.every, w.haste = time.Hour, 2*time.Second
			dead := &atomic.Bool{}
			w.opt.Endpoint.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
				c, err := new(net.Dialer).DialContext(ctx, network, addr)
				return swallower{c, dead}, err
			}
			l := listen(t, w, "INBOX", "Work")
			l.isUp()
			for range 3 {
				l.doubt <- struct{}{}
			}
			deliver(t, s, "INBOX")
			l.hears("a delivery")
			dead.Store(true)
			l.doubt <- struct{}{}
			err := l.ends("a dead connection")
			if mail.ClassOf(err) != mail.ClassNetwork || !strings.Contains(err.Error(), "did not answer for 2s") {
				t.Errorf("ended with %v", err)
			}
		})
	}
}

// A swallower is a connection on which nothing arrives once it is dead.
type swallower struct {
	net.Conn
	dead *atomic.Bool
}

func (s swallower) Write(p []byte) (int, error) {
	if s.dead.Load() {
		return len(p), nil
	}
	return s.Conn.Write(p)
}

// A server that refuses flags by NOTIFY is asked for the rest; one that
// refuses all of it is watched by IDLE.
func TestWatchWhereNotifyIsRefused(t *testing.T) {
	for _, refuse := range []int{1, 2} {
		t.Run(fmt.Sprint(refuse), func(t *testing.T) {
			store := imaptest.NewMailstore("IMAP4rev1 NOTIFY IDLE NAMESPACE")
			script := store.Script()
			inner, asked := script.Handle, 0
			idle := make(chan struct{}, 8)
			script.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
				switch cmd.Name {
				case "NOTIFY":
					if asked++; asked <= refuse {
						return p.Send(cmd.Tag + " NO [BADEVENT (MessageNew)] not that\r\n")
					}
					return p.Send(cmd.Tag + " OK\r\n* STATUS INBOX (MESSAGES 1)\r\n")
				case "IDLE":
					idle <- struct{}{}
					return p.Send("+ \r\n* 1 EXISTS\r\n")
				}
				return inner(p, cmd)
			}
			host, port := script.Listen(t)
			w := watchOf(host, port, 1)
			l := listen(t, w, "INBOX")
			l.isUp()
			l.hears("what the server told")
			if idled := len(idle) > 0; idled != (refuse == 2) {
				t.Errorf("IDLE was used: %v", idled)
			}
		})
	}
}

// After news a server is asked whether there is more, once: what it tells then
// makes it be asked again.
func TestWatchAsksForWhatWasForgotten(t *testing.T) {
	store := imaptest.NewMailstore("IMAP4rev1 NOTIFY IDLE NAMESPACE")
	script := store.Script()
	inner := script.Handle
	asked := make(chan int, 8)
	n := 0
	script.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
		switch cmd.Name {
		case "NOTIFY":
			return p.Send(cmd.Tag + " OK\r\n* STATUS INBOX (MESSAGES 1)\r\n")
		case "NOOP":
			n++
			asked <- n
			if n == 1 {
				return p.Send("* STATUS Work (MESSAGES 1)\r\n" + cmd.Tag + " OK\r\n")
			}
		}
		return inner(p, cmd)
	}
	host, port := script.Listen(t)
	w := watchOf(host, port, 1)
	w.every, w.askAfter = time.Hour, time.Millisecond
	l := listen(t, w, "INBOX")
	l.isUp()
	l.hears("what the server told")
	l.hears("what it had forgotten")
	for want := 1; want <= 2; want++ {
		if got := <-asked; got != want {
			t.Errorf("asked for time %d, not %d", got, want)
		}
	}
}

// By IDLE it is asked, too: IDLE is begun anew, once for news.
func TestWatchByIdleAsksAfterNews(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Capabilities("IMAP4rev1", "IDLE", "UIDPLUS"))
	w := watchOf(s.Host, s.Port, 1)
	w.every, w.askAfter = time.Hour, time.Millisecond
	idles := make(chan string, 16)
	w.opt.Trace = func(dir, line string) {
		if dir == "C" && strings.HasSuffix(strings.TrimSpace(line), "IDLE") {
			idles <- line
		}
	}
	l := listen(t, w, "INBOX")
	l.isUp()
	<-idles
	for range 3 {
		deliver(t, s, "INBOX")
		l.hears("a delivery")
		select {
		case <-idles:
		case <-time.After(30 * time.Second):
			t.Fatal("the server is not asked whether there is more")
		}
	}
}

func TestNewsOf(t *testing.T) {
	for line, want := range map[string]bool{
		"* 3 EXISTS": true, "* 1 EXPUNGE": true, `* 2 FETCH (FLAGS (\Seen))`: true, "* VANISHED 7": true,
		`* STATUS "A B" (MESSAGES 1)`: true, `* LIST () "/" New`: true, "* OK [NOTIFICATIONOVERFLOW] lost": true,
		"* 0 RECENT": false, "* OK still here": false, "T1 OK done": false, "+ idling": false, "": false, "*": false, "* BYE": false,
	} {
		if _, ok := newsOf(line); ok != want {
			t.Errorf("%q is news: %v", line, ok)
		}
	}
	if n, _ := newsOf(`* STATUS "A B" (MESSAGES 1)`); n.Mailbox != "A B" {
		t.Errorf("mailbox %q", n.Mailbox)
	}
}
