package imap_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

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
	commands []string // as sent
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

// costs fails unless a run costs exactly the commands and round trips of a
// budget (the greeting is one; TCP and TLS come on top), and no more bytes.
func (p *purse) costs(b budget, what string, s spent, x extra) {
	p.Helper()
	want := strings.Split(b.always, ", ")
	if x.commands != "" {
		want = append(want, strings.Split(x.commands, ", ")...)
	}
	slices.Sort(want)
	commands, trips, bytes := strings.Join(want, ", "), b.trips+x.trips, b.bytes+x.bytes
	if s.counts() != commands || s.RoundTrips < trips || s.RoundTrips > trips+x.loose || s.Read+s.Written > bytes {
		p.Errorf("%s: %d round trips, want %d; %d bytes, want at most %d; commands %s, want %s\n%s",
			what, s.RoundTrips, trips, s.Read+s.Written, bytes, s.counts(), commands, strings.Join(s.commands[:min(40, len(s.commands))], "\n"))
	}
}

// deliver adds a message to INBOX on the server.
func (p *purse) deliver(c *imapclient.Client, body string) {
	p.Helper()
	cmd := c.Append("INBOX", int64(len(body)), nil)
	if _, err := cmd.Write([]byte(body)); err != nil || cmd.Close() != nil {
		p.Fatal("APPEND failed")
	}
	if _, err := cmd.Wait(); err != nil {
		p.Fatal(err)
	}
}

// flagged sets a flag on messages 1 to n of INBOX on the server.
func (p *purse) flagged(c *imapclient.Client, n int) {
	p.Helper()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		p.Fatal(err)
	}
	var set goimap.UIDSet
	set.AddRange(1, goimap.UID(n))
	if err := c.Store(set, &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: true, Flags: []goimap.Flag{goimap.FlagFlagged}}, nil).Close(); err != nil {
		p.Fatal(err)
	}
}

// A budget is what runs cost on one kind of server with 21 mailboxes, of
// which INBOX holds 220 messages: the login and the survey, which every run
// needs, with their round trips and bytes, and what comes on top.
type budget struct {
	options []imaptest.Option
	prefix  string
	always  string
	trips   int
	bytes   int64
	same    extra  // nothing changed
	one     extra  // one new message
	flags   extra  // the flags of 200 messages changed
	pull    extra  // all of it is new
	push    extra  // to an account with an empty INBOX alone, 300 messages
	alone   string // always, for such an account
}

// extra is what a run costs beyond the login and the survey.
type extra struct {
	commands string
	trips    int
	bytes    int64
	// loose round trips are spent only where the server has answered all that
	// was sent before the next is: on a link without delay.
	loose int
}

var budgets = map[string]budget{
	"full": {
		always: "AUTHENTICATE 1, ENABLE 1, LIST 1, NAMESPACE 1", trips: 3, bytes: 4000,
		one:   extra{"EXAMINE 1, UID FETCH 2", 2, 1000, 0},
		flags: extra{"EXAMINE 1", 1, 12_000, 0},
		pull:  extra{"EXAMINE 1, UID FETCH 2", 2, 70_000, 0},
		push:  extra{"APPEND 3, EXAMINE 1, UID FETCH 1", 1, 40_000, 3},
	},
	"without CONDSTORE": {
		options: []imaptest.Option{imaptest.Capabilities("IMAP4rev1", "SASL-IR", "LITERAL+", "ENABLE", "NAMESPACE", "UIDPLUS",
			"LIST-EXTENDED", "LIST-STATUS", "ESEARCH", "UNSELECT", "MOVE", "SPECIAL-USE")},
		always: "AUTHENTICATE 1, LIST 1, NAMESPACE 1", trips: 3, bytes: 4000,
		same:  extra{"EXAMINE 1, UID FETCH 1", 1, 10_000, 0},
		one:   extra{"EXAMINE 1, UID FETCH 3", 2, 11_000, 0},
		flags: extra{"EXAMINE 1, UID FETCH 1", 1, 12_000, 0},
		pull:  extra{"EXAMINE 1, UID FETCH 2", 2, 70_000, 0},
		push:  extra{"APPEND 300, EXAMINE 1, UID FETCH 1", 1, 70_000, 300},
	},
	"without LIST-STATUS": {
		options: []imaptest.Option{imaptest.Capabilities("IMAP4rev1", "SASL-IR", "LITERAL+", "ENABLE", "NAMESPACE", "UIDPLUS",
			"LIST-EXTENDED", "CONDSTORE", "QRESYNC", "ESEARCH", "UNSELECT", "MOVE", "SPECIAL-USE")},
		always: "AUTHENTICATE 1, ENABLE 1, LIST 1, NAMESPACE 1, STATUS 21", trips: 3, bytes: 6000,
		one:   extra{"EXAMINE 1, UID FETCH 2", 2, 1000, 0},
		flags: extra{"EXAMINE 1", 1, 12_000, 0},
		pull:  extra{"EXAMINE 1, UID FETCH 2", 3, 70_000, 0}, // the mailboxes were not known
		push:  extra{"APPEND 300, EXAMINE 1, UID FETCH 1", 2, 70_000, 300},
		alone: "AUTHENTICATE 1, ENABLE 1, LIST 1, NAMESPACE 1, STATUS 1",
	},
	"bare, with a prefix": {
		options: []imaptest.Option{imaptest.Bare(), imaptest.Prefix("INBOX."), imaptest.Separator(".")}, prefix: "INBOX.",
		always: "LIST 1, LOGIN 1, STATUS 21", trips: 3, bytes: 6000,
		same:  extra{"EXAMINE 1, UID FETCH 1", 1, 10_000, 0},
		one:   extra{"EXAMINE 1, UID FETCH 3", 2, 11_000, 0},
		flags: extra{"EXAMINE 1, UID FETCH 1", 1, 12_000, 0},
		pull:  extra{"EXAMINE 1, UID FETCH 2", 3, 70_000, 0},
		// Without LITERAL+ each message waits for its "+".
		push:  extra{"APPEND 300, EXAMINE 1, UID FETCH 1", 302, 70_000, 300},
		alone: "LIST 1, LOGIN 1, STATUS 2",
	},
}

// TestBudgets asserts what runs cost in commands, round trips and bytes.
func TestBudgets(t *testing.T) {
	for name, b := range budgets {
		t.Run(name, func(t *testing.T) {
			p := newPurse(t, b.options...)
			c := p.server.Client("ann")
			for i := range 20 {
				if err := c.Create(fmt.Sprintf("%sbox%03d", b.prefix, i), nil).Wait(); err != nil {
					t.Fatal(err)
				}
			}
			for i := range 220 {
				p.deliver(c, message(i))
			}
			p.run()
			// The run after a change notes where the Maildir stands then; on the
			// wire it is as cheap as the one that follows.
			unchanged := func(after string) {
				t.Helper()
				p.costs(b, "nothing changed, "+after, p.run(), b.same)
				writes := p.index.Writes()
				p.costs(b, "nothing changed, further "+after, p.run(), b.same)
				if p.index.Writes() != writes {
					t.Errorf("nothing changed, %s: the index was written to", after)
				}
			}
			unchanged("after the first pull")
			p.deliver(c, message(1000))
			p.costs(b, "one new message", p.run(), b.one)
			unchanged("after one new message")
			p.flagged(c, 200)
			p.costs(b, "flags of 200 messages", p.run(), b.flags)
			unchanged("after flags")
			fresh := &purse{T: t, server: p.server, local: sidetest.NewMemory(sidetest.Maildir), index: sidetest.NewMemoryIndex(), now: p.now}
			fresh.costs(b, "first pull", fresh.run(), b.pull)
			if d := sidetest.Compare(p.local.Snapshot(), fresh.local.Snapshot()); d != "" {
				t.Errorf("the Maildirs differ:\n%s", d)
			}
			b.pushes(t)
		})
	}
}

// pushes fills an account that is new on the server.
func (b budget) pushes(t *testing.T) {
	p := newPurse(t, b.options...)
	for i := range 300 {
		p.local.Deliver("INBOX", message(i), mail.NewFlagSet(mail.Seen), p.now)
	}
	if b.alone != "" {
		b.always = b.alone
	}
	p.costs(b, "first push", p.run(), b.push)
}

// TestCompressedRuns synchronises both ways over a connection that is
// compressed, which takes a round trip more.
func TestCompressedRuns(t *testing.T) {
	p := newPurse(t)
	p.change = func(o *imap.Options) { o.Compress = true }
	c := p.server.Client("ann")
	for i := range 50 {
		p.deliver(c, message(i))
	}
	p.run()
	for i := range 50 {
		p.local.Deliver("INBOX", message(1000+i), mail.NewFlagSet(mail.Seen), p.now)
	}
	pushed := p.run()
	if pushed.Written > pushed.PlainWritten/2 {
		t.Errorf("of %d bytes %d were sent", pushed.PlainWritten, pushed.Written)
	}
	p.run()
	more := budget{always: "AUTHENTICATE 1, COMPRESS 1, ENABLE 1, LIST 1, NAMESPACE 1", trips: 4, bytes: 1500}
	p.costs(more, "nothing changed", p.run(), extra{})
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

// TestManyMailboxesOverAPipe surveys over a connection that holds nothing back:
// a server that is still listing reads none of the commands behind LIST.
func TestManyMailboxesOverAPipe(t *testing.T) {
	w := settled(t, bareCaps)
	for i := range 300 {
		w.server.Create(fmt.Sprintf("box%03d", i))
	}
	if rep, err := w.settle(t, 2); err != nil || rep.Exit() != 0 {
		t.Fatal(err, rep.Faults)
	}
	w.dialer = func(context.Context, string, string) (net.Conn, error) { return w.server.Script().Pipe(t), nil }
	w.server.Reset()
	if rep, err := w.run(t); err != nil || rep.Exit() != 0 {
		t.Error(err, rep.Faults)
	}
	if n := w.server.Count(); n > 310 {
		t.Errorf("it took %d commands", n)
	}
}
