package imap_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

const (
	// manyLetters are more than are asked for at once, of letterSize bytes each.
	manyLetters = 2600
	letterSize  = 12 << 10
	// slowly is how many bytes a second a connection gives, or the link.
	slowly = 100 << 10
)

// A throttled is the far end of a connection that gives so many bytes a second, or
// shares what a link gives with others.
type throttled struct {
	net.Conn
	link chan struct{} // full while a piece is on its way; nil: no other shares it
	cut  int64         // after how many bytes it is cut; 0: never
	sent atomic.Int64

	said chan []byte // what came, since a client may speak while it is spoken to
	rest []byte
}

// throttle puts one around the far end of a connection.
func (c *crewed) throttle(far net.Conn) *throttled {
	th := &throttled{Conn: far, said: make(chan []byte, 1000)}
	c.played.Go(func() {
		defer close(th.said)
		for {
			buf := make([]byte, 4<<10)
			n, err := far.Read(buf)
			if err != nil {
				return
			}
			th.said <- buf[:n]
		}
	})
	return th
}

func (c *throttled) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		var ok bool
		if c.rest, ok = <-c.said; !ok {
			return 0, io.EOF
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func (c *throttled) Write(p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		if c.cut > 0 && c.sent.Load() >= c.cut {
			c.Close()
			return n, io.ErrClosedPipe
		}
		piece := p[n:min(len(p), n+16<<10)]
		if c.cut > 0 {
			piece = piece[:min(int64(len(piece)), c.cut-c.sent.Load())]
		}
		if c.link != nil {
			c.link <- struct{}{}
		}
		time.Sleep(time.Duration(len(piece)) * time.Second / slowly)
		if c.link != nil {
			<-c.link
		}
		var k int
		k, err = c.Conn.Write(piece)
		n += k
		c.sent.Add(int64(k))
	}
	return n, err
}

// A crewed is a station with much mail, whose connections are slow.
type crewed struct {
	*station
	want  map[mail.Ref]string
	asked map[uint32]int // how often each UID was asked for with its body
	words map[string]string
	early func(n int, p *imaptest.Peer, cmd imaptest.Command) bool // see station.hear
}

func inCrew(t *testing.T, letters int, f func(*crewed)) {
	t.Helper()
	inStation(t, fullCaps, func(s *station) {
		c := &crewed{station: s, want: map[mail.Ref]string{}, asked: map[uint32]int{}}
		filler := strings.Repeat("0123456789abcd\r\n", letterSize/16)
		for i := range letters {
			uid := s.Deliver("INBOX", message(i)+filler, day)
			c.want[mail.Ref(strconv.Itoa(int(uid)))] = message(i) + filler
		}
		s.connections = 4
		s.way = func(_ int, far net.Conn) net.Conn { return c.throttle(far) }
		s.hear = c.listen
		f(c)
	})
}

// listen counts what is asked for.
func (c *crewed) listen(n int, p *imaptest.Peer, cmd imaptest.Command) bool {
	if set, items, _ := strings.Cut(cmd.Args, " "); cmd.Name == "UID FETCH" && strings.Contains(items, "BODY.PEEK[]") {
		c.mu.Lock()
		eachUID(set, func(uid int) { c.asked[uint32(uid)]++ })
		c.mu.Unlock()
	}
	return c.early != nil && c.early(n, p, cmd)
}

// eachUID goes through a set.
func eachUID(set string, f func(int)) {
	for part := range strings.SplitSeq(set, ",") {
		lo, hi, ranged := strings.Cut(part, ":")
		if !ranged {
			hi = lo
		}
		first, _ := strconv.Atoi(lo)
		last, _ := strconv.Atoi(hi)
		for uid := first; uid <= last; uid++ {
			f(uid)
		}
	}
}

// pull is a run that fetches all of INBOX, and checks every byte. each may be nil.
func (c *crewed) pull(opt imap.Options, each func()) imap.Stats {
	c.Helper()
	a, err := imap.Open(c.Context(), opt)
	if err != nil {
		c.Fatal(err)
	}
	defer a.Close()
	a.Recall(c.words)
	if _, err := a.Survey(c.Context(), nil); err != nil {
		c.Fatal(err)
	}
	a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	var refs []mail.Ref
	for i := range len(c.want) {
		refs = append(refs, mail.Ref(strconv.Itoa(i+1)))
	}
	came := map[mail.Ref]bool{}
	err = a.Fetch(c.Context(), 1, refs, func(ref mail.Ref, item mail.Item, r io.Reader) error {
		body, err := io.ReadAll(r)
		if err != nil || came[ref] || string(body) != c.want[ref] || item.Ident.Size != int64(len(body)) || !item.Date.Equal(day) {
			c.Errorf("%s: %d bytes, %v, came before: %v", ref, len(body), err, came[ref])
		}
		came[ref] = true
		if each != nil {
			each()
		}
		return nil
	})
	if err != nil {
		c.Error(err)
	}
	for _, ref := range refs {
		uid, _ := strconv.Atoi(string(ref))
		if there := c.there(uint32(uid)); there && !came[ref] {
			c.Errorf("%s did not come", ref)
		}
	}
	c.words = a.Learned()
	return a.Stats()
}

func (c *crewed) there(uid uint32) bool {
	for _, l := range c.Letters()["INBOX"] {
		if l.UID == uid {
			return true
		}
	}
	return false
}

// once checks that no message was asked for twice.
func (c *crewed) once() {
	c.Helper()
	for uid, n := range c.asked {
		if n != 1 {
			c.Errorf("%d was asked for %d times", uid, n)
		}
	}
}

// knows checks how many connections are remembered, and whether more are tried.
func (c *crewed) knows(n string, settled bool) {
	c.Helper()
	number, until, _ := strings.Cut(c.words["connections"], " ")
	if number != n || (until != "") != settled {
		c.Errorf("it remembers %q", c.words["connections"])
	}
}

// A server that gives each connection so much a second gets as many as are
// allowed, each once it was worth it; the next run begins with these.
func TestConnectionsAreAddedWhereTheyHelp(t *testing.T) {
	inCrew(t, manyLetters, func(c *crewed) {
		c.connections = 1
		begun := time.Now()
		if n := c.pull(c.options(), nil).Connections; n != 1 || len(c.words["connections"]) != 0 {
			t.Errorf("%d connections, %v", n, c.words)
		}
		c.once()
		alone := time.Since(begun)
		c.connections, begun, c.asked = 4, time.Now(), map[uint32]int{}
		if n := c.pull(c.options(), nil).Connections; n != 3 { // one was kept
			t.Errorf("%d connections", n)
		}
		c.once()
		c.knows("4", true)
		first := time.Since(begun)
		begun, c.asked = time.Now(), map[uint32]int{}
		stats := c.pull(c.options(), nil)
		c.once()
		c.knows("4", true)
		again := time.Since(begun)
		if stats.Connections != 3 || stats.Commands["LOGIN"]+stats.Commands["AUTHENTICATE"] != 3 || stats.Commands["UID FETCH"] < 4 {
			t.Errorf("%+v", stats)
		}
		t.Logf("alone %v, on trial %v, then %v", alone, first, again)
		if first > alone*9/10 || again > alone/3 {
			t.Errorf("alone %v, on trial %v, then %v", alone, first, again)
		}
		<-time.After(8 * 24 * time.Hour) // it is learned anew
		c.asked = map[uint32]int{}
		c.pull(c.options(), nil)
		c.once()
		c.knows("4", true)
	})
}

// A link that many connections share gets no more, and the next run does not
// try again.
func TestConnectionsThatDoNotHelpAreLetGo(t *testing.T) {
	inCrew(t, manyLetters, func(c *crewed) {
		link := make(chan struct{}, 1)
		c.way = func(_ int, far net.Conn) net.Conn {
			th := c.throttle(far)
			th.link = link
			return th
		}
		if n := c.pull(c.options(), nil).Connections; n != 2 {
			t.Errorf("%d connections", n)
		}
		c.once()
		c.knows("1", true)
		c.asked = map[uint32]int{}
		if n := c.pull(c.options(), nil).Connections; n != 0 {
			t.Errorf("%d more connections", n)
		}
		c.once()
		c.knows("1", true)
	})
}

// Nothing is added where we are what is slow, where the rate is limited, and
// for few messages: the commands are those of one connection.
func TestConnectionsAreNotAddedWithoutNeed(t *testing.T) {
	for name, set := range map[string]func(c *crewed) (imap.Options, func()){
		"we are slow": func(c *crewed) (imap.Options, func()) {
			return c.options(), func() { time.Sleep(200 * time.Millisecond) }
		},
		"limit_rate": func(c *crewed) (imap.Options, func()) {
			o := c.options()
			o.Meter = wire.NewMeter(1 << 30)
			return o, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCrew(t, manyLetters, func(c *crewed) {
				opt, each := set(c)
				if n := c.pull(opt, each).Connections; n != 1 || c.words["connections"] != "" {
					t.Errorf("%d connections, %v", n, c.words)
				}
				c.once()
			})
		})
	}
	inCrew(t, 200, func(c *crewed) {
		for _, word := range []string{"", "4", "4 " + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)} {
			c.words = map[string]string{"connections": word}
			c.pull(c.options(), nil)
			<-time.After(time.Minute) // UNSELECT is on its way
			c.came("1 NAMESPACE", "1 LIST", "1 STATUS", "1 EXAMINE", "1 UID FETCH", "1 UNSELECT")
			c.pool.Drop()
			c.conns = nil
			if c.words["connections"] != word {
				t.Errorf("%q became %q", word, c.words["connections"])
			}
		}
	})
}

// What a server does to connections beyond the first ends the trying, and
// nothing else.
func TestConnectionsThatTheServerRefuses(t *testing.T) {
	for name, answer := range map[string]string{
		"LIMIT": "{tag} NO [LIMIT] too many connections\r\n", "INUSE": "{tag} NO [INUSE] busy\r\n", "NO": "{tag} NO no\r\n",
		"BYE": "* BYE Too many simultaneous connections. (Failure)\r\n" + imaptest.Drop, "cut": imaptest.Drop, "silent": imaptest.Hang,
		"BAD": "{tag} BAD [UNAVAILABLE] what\r\n",
	} {
		for _, at := range []string{"LOGIN", "EXAMINE"} {
			t.Run(name+" at "+at, func(t *testing.T) {
				inCrew(t, manyLetters, func(c *crewed) {
					c.early = func(n int, p *imaptest.Peer, cmd imaptest.Command) bool {
						return n > 1 && cmd.Name == at && (p.Send(strings.ReplaceAll(answer, "{tag}", cmd.Tag)) || true)
					}
					c.pull(c.options(), nil)
					c.once()
					if name != "silent" {
						c.knows("1", true)
					}
					if len(c.conns) != 2 {
						t.Errorf("%d connections", len(c.conns))
					}
				})
			})
		}
	}
}

// A connection that sees another mailbox takes no part.
func TestAConnectionThatSeesAnotherUIDVALIDITY(t *testing.T) {
	inCrew(t, manyLetters, func(c *crewed) {
		c.early = func(n int, p *imaptest.Peer, cmd imaptest.Command) bool {
			if n > 1 && cmd.Name == "UID FETCH" {
				t.Errorf("%d was asked %s", n, cmd.Args)
			}
			return n > 1 && cmd.Name == "EXAMINE" &&
				p.Send("* 3000 EXISTS\r\n* OK [UIDVALIDITY 4711] ok\r\n* OK [UIDNEXT 3001] ok\r\n"+cmd.Tag+" OK [READ-ONLY] done\r\n")
		}
		c.pull(c.options(), nil)
		c.once()
		c.knows("1", true)
	})
}

// What an extra connection was asked for and did not bring, since it was cut,
// stands still or refuses, comes over the first.
func TestAnExtraConnectionFails(t *testing.T) {
	total := int64(0)
	run := func(c *crewed, cut int64) {
		var extra *throttled
		c.words = map[string]string{"connections": "2 " + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)}
		c.way = func(n int, far net.Conn) net.Conn {
			th := c.throttle(far)
			if n == 2 {
				th.cut, extra = cut, th
			}
			return th
		}
		c.pull(c.options(), nil)
		if extra == nil {
			t.Error("there was no other connection")
			return
		}
		if cut == 0 {
			total = extra.sent.Load()
			c.once()
			c.knows("2", true)
		}
	}
	const letters = 1500
	inCrew(t, letters, func(c *crewed) { run(c, 0) })
	for i := range 16 {
		cut := int64(i*i*13 + i + 1)
		if i >= 8 {
			cut = total * int64(i-7) / 9
		}
		t.Run(fmt.Sprintf("cut at %d", cut), func(t *testing.T) {
			inCrew(t, letters, func(c *crewed) { run(c, cut); c.knows("1", true) })
		})
	}
	for name, answer := range map[string]string{
		"hangs": imaptest.Hang, "NO": "{tag} NO [SERVERBUG] no\r\n", "BAD": "{tag} BAD no\r\n", "nothing": "{tag} OK done\r\n",
		"too many": "* BYE too many connections\r\n" + imaptest.Drop, "cut": imaptest.Drop,
	} {
		t.Run(name, func(t *testing.T) {
			inCrew(t, letters, func(c *crewed) {
				c.early = func(n int, p *imaptest.Peer, cmd imaptest.Command) bool {
					return n > 1 && cmd.Name == "UID FETCH" && (p.Send(strings.ReplaceAll(answer, "{tag}", cmd.Tag)) || true)
				}
				run(c, -1)
			})
		})
	}
}

// What the server asks of the whole account counts whichever connection hears
// it.
func TestAnExtraConnectionHearsAPlea(t *testing.T) {
	inCrew(t, 1500, func(c *crewed) {
		c.words = map[string]string{"connections": "2"}
		c.early = func(n int, p *imaptest.Peer, cmd imaptest.Command) bool {
			return n > 1 && cmd.Name == "UID FETCH" && p.Send(cmd.Tag+" NO [THROTTLED] Request is throttled. Suggested Backoff Time: 90000 milliseconds\r\n")
		}
		a := c.open()
		defer a.Close()
		a.Recall(c.words)
		if _, err := a.Survey(c.Context(), nil); err != nil {
			t.Fatal(err)
		}
		a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
		err := a.Fetch(c.Context(), 1, refsTo(1500), func(_ mail.Ref, _ mail.Item, r io.Reader) error { return nil })
		if f, ok := err.(*mail.Fault); !ok || f.Grade != mail.GradeAccount || f.Class != mail.ClassThrottle || f.After != 90*time.Second {
			t.Errorf("%#v", err)
		}
	})
}

// Messages that go while several connections fetch are passed over.
func TestMessagesAreExpungedMeanwhile(t *testing.T) {
	inCrew(t, 1200, func(c *crewed) {
		c.words = map[string]string{"connections": "4 " + strconv.FormatInt(time.Now().Add(time.Hour).Unix(), 10)}
		var once sync.Once
		c.early = func(n int, p *imaptest.Peer, cmd imaptest.Command) bool {
			if n == 3 && cmd.Name == "UID FETCH" {
				once.Do(func() {
					for uid := uint32(3); uid < 1200; uid += 7 {
						c.Expunge("INBOX", uid)
					}
				})
			}
			return false
		}
		c.pull(c.options(), nil)
		c.once()
		c.knows("4", true)
	})
}

// The end of the context ends all connections, whatever is under way, and an
// error of the caller does.
func TestAPullOverSeveralConnectionsIsEnded(t *testing.T) {
	for _, after := range []int{1, 16, 17, 100, 400, 900} {
		for _, cancelled := range []bool{false, true} {
			t.Run(fmt.Sprintf("after %d, cancelled %v", after, cancelled), func(t *testing.T) {
				inCrew(t, 1000, func(c *crewed) {
					c.words = map[string]string{"connections": "4"}
					ctx, cancel := context.WithCancel(c.Context())
					defer cancel()
					a := c.open()
					a.Recall(c.words)
					if _, err := a.Survey(ctx, map[mail.MailboxName]plan.Since{}); err != nil {
						t.Fatal(err)
					}
					a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
					n, ended := 0, time.Time{}
					mine := fmt.Errorf("no more")
					err := a.Fetch(ctx, 1, refsTo(1000), func(_ mail.Ref, _ mail.Item, r io.Reader) error {
						if n++; n < after {
							return nil
						}
						ended = time.Now()
						if !cancelled {
							return mine
						}
						cancel()
						return nil
					})
					if want := map[bool]error{false: mine, true: context.Canceled}[cancelled]; err != want || n != after || !ended.Equal(time.Now()) {
						t.Errorf("%v, %d", err, n)
					}
					a.Close()
					c.pool.Close()
					synctest.Wait()
					for i, conn := range c.conns {
						if !conn.isClosed() {
							t.Errorf("connection %d is open", i+1)
						}
					}
				})
			})
		}
	}
}
