package imap_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var (
	_ engine.Writer      = (*imap.Account)(nil)
	_ engine.Remembering = (*imap.Account)(nil)
)

// A purse is an account on a Dovecot whose runs are counted.
type purse struct {
	*testing.T
	server *imaptest.Server
	local  *sidetest.Memory
	index  *sidetest.MemoryIndex
	now    time.Time
	change func(*imap.Options) // of how the account is opened, if not nil
}

// spent is what a run cost on the wire, login included.
type spent struct {
	commands []string // by name and first argument, as sent
	imap.Stats
}

func newPurse(t *testing.T, opts ...imaptest.Option) *purse {
	t.Helper()
	return &purse{
		T: t, server: imaptest.Dovecot(t, opts...), local: sidetest.NewMemory(sidetest.Maildir),
		index: sidetest.NewMemoryIndex(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// run is one run over a connection of its own, which must end well.
func (p *purse) run() spent {
	p.Helper()
	p.now = p.now.Add(time.Hour)
	clock := func() time.Time { return p.now }
	p.local.Clock = clock
	var mu sync.Mutex
	var s spent
	opt := optionsFor(p.server, "ann")
	opt.Trace = func(dir, line string) {
		if dir == "C" {
			mu.Lock()
			defer mu.Unlock()
			_, cmd, _ := strings.Cut(line, " ")
			s.commands = append(s.commands, cmd)
		}
	}
	if p.change != nil {
		p.change(&opt)
	}
	remote, err := imap.Open(ctx, opt)
	if err != nil {
		p.Fatal(err)
	}
	defer remote.Close()
	local := p.local.Open()
	defer local.Close()
	rep, err := engine.Run(context.Background(), engine.Options{
		Account: "ann", Mode: "mirror", Policy: plan.Mirror(), Bound: "ann@server", KeepsRef: [2]bool{true, false},
		Local: local, Remote: remote, Index: p.index, Keeper: &keeper{}, GuardPercent: 25, Clock: clock,
		Scope: func(mail.MailboxName, mail.Role) bool { return true },
	})
	if err != nil || rep.Exit() != 0 {
		p.Fatalf("%v, %v, %v", err, rep.Faults, rep.Hints)
	}
	s.Stats = remote.Stats()
	return s
}

// counts lists the commands by name, with how many of each.
func (s spent) counts() string {
	var list []string
	for name, n := range s.Commands {
		list = append(list, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// costs fails unless a run costs exactly these commands and round trips (the
// greeting is one; TCP and TLS come on top), and at most so many bytes.
func (p *purse) costs(what string, s spent, commands string, trips int, bytes int64) {
	p.Helper()
	if s.counts() != commands || s.RoundTrips != trips || s.Read+s.Written > bytes {
		p.Errorf("%s: %d round trips, want %d; %d bytes, want at most %d; commands %s, want %s\n%s",
			what, s.RoundTrips, trips, s.Read+s.Written, bytes, s.counts(), commands, strings.Join(s.commands, "\n"))
	}
}

// kinds are servers that make the same work cost more or less.
var kinds = map[string][]imaptest.Option{
	"full": nil,
	"without CONDSTORE": {imaptest.Capabilities("IMAP4rev1", "SASL-IR", "LITERAL+", "ENABLE", "NAMESPACE", "UIDPLUS", "LIST-EXTENDED",
		"LIST-STATUS", "ESEARCH", "UNSELECT", "MOVE", "SPECIAL-USE")},
	"without LIST-STATUS": {imaptest.Capabilities("IMAP4rev1", "SASL-IR", "LITERAL+", "ENABLE", "NAMESPACE", "UIDPLUS", "LIST-EXTENDED",
		"CONDSTORE", "QRESYNC", "ESEARCH", "UNSELECT", "MOVE", "SPECIAL-USE")},
	"bare, with a prefix": {imaptest.Bare(), imaptest.Prefix("INBOX."), imaptest.Separator(".")},
}

// fill makes boxes mailboxes beside INBOX, with one message each, and INBOX
// with n, and synchronises until nothing is left to do.
func (p *purse) fill(boxes, n int, prefix string) {
	p.Helper()
	c := p.server.Client("ann")
	for i := range boxes {
		if err := c.Create(fmt.Sprintf("%sbox%03d", prefix, i), nil).Wait(); err != nil {
			p.Fatal(err)
		}
	}
	for i := range n {
		body := message(i)
		cmd := c.Append("INBOX", int64(len(body)), nil)
		if _, err := cmd.Write([]byte(body)); err != nil || cmd.Close() != nil {
			p.Fatal("APPEND failed")
		}
		if _, err := cmd.Wait(); err != nil {
			p.Fatal(err)
		}
	}
	p.run()
	p.run()
}

// TestNothingChanged asserts what a run costs in which nothing changed.
func TestNothingChanged(t *testing.T) {
	const boxes, messages = 30, 20
	for name, want := range map[string]struct {
		prefix   string
		commands string
		trips    int
		bytes    int64
	}{
		"full":                {"", "AUTHENTICATE 1, ENABLE 1, LIST 1, NAMESPACE 1", 3, 6000},
		"without LIST-STATUS": {"", "AUTHENTICATE 1, ENABLE 1, LIST 1, NAMESPACE 1, STATUS 31", 3, 12000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPurse(t, kinds[name]...)
			p.fill(boxes, messages, want.prefix)
			writes := p.index.Writes()
			s := p.run()
			p.costs(name, s, want.commands, want.trips, want.bytes)
			if p.index.Writes() != writes {
				t.Error("the index was written to")
			}
		})
	}
}

// TestCompressedRuns synchronises both ways over a connection that is
// compressed, which takes a round trip more.
func TestCompressedRuns(t *testing.T) {
	p := newPurse(t)
	p.change = func(o *imap.Options) { o.Compress = true }
	p.fill(30, 50, "")
	for i := range 50 {
		p.local.Deliver("INBOX", message(1000+i), mail.NewFlagSet(mail.Seen), p.now)
	}
	pushed := p.run()
	if pushed.Written > pushed.PlainWritten/2 {
		t.Errorf("of %d bytes %d were sent", pushed.PlainWritten, pushed.Written)
	}
	p.run()
	p.costs("nothing changed", p.run(), "AUTHENTICATE 1, COMPRESS 1, ENABLE 1, LIST 1, NAMESPACE 1", 4, 2500)
	other := &purse{T: t, server: p.server, local: sidetest.NewMemory(sidetest.Maildir), index: sidetest.NewMemoryIndex(), now: p.now, change: p.change}
	pulled := other.run()
	if pulled.Read > pulled.PlainRead/2 {
		t.Errorf("of %d bytes %d came", pulled.PlainRead, pulled.Read)
	}
	if n := len(other.local.Snapshot()["INBOX"]); n != 100 {
		t.Errorf("%d messages", n)
	}
	if d := sidetest.Compare(p.local.Snapshot(), other.local.Snapshot()); d != "" {
		t.Errorf("the Maildirs differ:\n%s", d)
	}
}

func TestCompressionThatIsNotOffered(t *testing.T) {
	s := imaptest.NewMailstore(fullCaps)
	host, port := s.Script().Listen(t)
	for wanted, says := range map[bool]string{true: "does not offer", false: ""} {
		a := open(t, imap.Options{
			Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann", Compress: wanted,
			Password: func(context.Context) (string, error) { return "secret", nil },
		})
		if on, why := a.Compression(); on || !strings.Contains(why, says) || (why == "") == wanted {
			t.Errorf("%v, %q", on, why)
		}
	}
}
