// Package soak holds godwit against a real server for as long as one likes.
// An account lives a random life on both sides; syncs of it are killed, or
// their connections cut at any byte; mail programs go on meanwhile. Then one
// clean sync must bring both sides to exactly what a model of the account
// says, and a further one must do nothing.
//
// A life is made from its seed: -first and -seeds choose, -rounds says how long.
// Accounts live under one daemon as well: -accounts, -boxes and -minutes say how
// many, how large and how long, and -idle how long it is watched at rest first.
package soak

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var (
	seeds  = flag.Int("seeds", len(shapes), "how many lives")
	first  = flag.Int("first", 0, "the seed of the first")
	rounds = flag.Int("rounds", 3, "how many clean syncs each has")
	keep   = flag.String("keep", "", "a directory where what the accounts leave is kept, and a record of what passed on the wire")
)

// binary is the godwit under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "godwit-soak")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "godwit")
		args := []string{"build", "-o", binary}
		if raceEnabled {
			args = append(args, "-race")
		}
		build := exec.Command("go", append(args, "github.com/godwit-mail/godwit/cmd/godwit")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building godwit: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// A shape is a server and how the Maildir lies beside it.
type shape struct {
	name     string
	options  []imaptest.Option
	prefix   string
	sep      string
	uidPlus  bool
	plusPlus bool
}

// What Dovecot has, less what a shape takes from it.
var modest = []string{"IMAP4rev1", "LITERAL+", "IDLE", "NAMESPACE", "SPECIAL-USE", "LIST-EXTENDED", "LIST-STATUS", "ESEARCH", "UNSELECT"}

var shapes = []shape{
	{name: "full", sep: "/", uidPlus: true},
	{name: "without CONDSTORE and QRESYNC", sep: "/", uidPlus: true,
		options: []imaptest.Option{imaptest.Capabilities(append([]string{"UIDPLUS", "MOVE"}, modest...)...)}},
	{name: "without UIDPLUS and MOVE", sep: "/",
		options: []imaptest.Option{imaptest.Capabilities(append([]string{"CONDSTORE", "QRESYNC", "ENABLE"}, modest...)...)}},
	{name: "like Courier", prefix: "INBOX.", sep: ".", uidPlus: true,
		options: []imaptest.Option{imaptest.Prefix("INBOX."), imaptest.Separator("."), imaptest.Capabilities("IMAP4rev1", "UIDPLUS", "IDLE", "NAMESPACE", "CHILDREN")}},
	{name: "maildir++", sep: "/", uidPlus: true, plusPlus: true},
}

// servers starts one Dovecot a shape, when first asked for it.
type servers struct {
	t    *testing.T
	once [5]sync.Once
	list [5]*imaptest.Server
}

func (s *servers) of(i int) *imaptest.Server {
	s.once[i].Do(func() { s.list[i] = imaptest.Dovecot(s.t, shapes[i].options...) })
	return s.list[i]
}

// TestSoak lets accounts live, with syncs that die at any moment.
func TestSoak(t *testing.T) {
	all := &servers{t: t}
	for seed := *first; seed < *first+*seeds; seed++ {
		i := seed % len(shapes)
		server := all.of(i)
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			x := begin(t, seed, shapes[i], server)
			for x.now = range *rounds {
				x.round()
			}
			x.summary()
		})
	}
}

// A soak is the life of one account.
type soak struct {
	model
	t        *testing.T
	seed     int
	shape    shape
	server   *imaptest.Server
	rng      *rand.Rand
	guard    bool
	mutt     *mutt
	reader   *reader
	programs [2]program
	proxy    *proxy
	dir      string
	last     [2]int64 // bytes that the last clean run cost
	now      int      // the round
	log      []string
	begun    [2]int             // where the last two rounds begin in log
	still    bool               // mailboxes stay as they are
	freed    []mail.MailboxName // names that mailboxes had in earlier rounds
	freeing  []mail.MailboxName // and in this one
	parents  map[mail.MailboxName]bool
	running  bool       // godwit is
	broken   error      // of what happened meanwhile
	mu       sync.Mutex // one thing at a time happens meanwhile
	count    struct{ runs, killed, cut, meanwhile int }
}

func (x *soak) tell(format string, args ...any) {
	x.log = append(x.log, fmt.Sprintf(format, args...))
}

// begin makes an account with a few mailboxes and letters, in step.
func begin(t *testing.T, seed int, sh shape, server *imaptest.Server) *soak {
	t.Helper()
	x := &soak{t: t, seed: seed, shape: sh, server: server, rng: rand.New(rand.NewPCG(uint64(seed), 7)), dir: t.TempDir()}
	if *keep != "" {
		x.dir = filepath.Join(*keep, fmt.Sprint(seed))
		if err := os.MkdirAll(x.dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	user := fmt.Sprintf("seed%d", seed)
	x.parents = map[mail.MailboxName]bool{"Work": true}
	x.guard = x.rng.IntN(4) == 0
	half := func() bool { return x.rng.IntN(2) == 0 }
	x.mutt = &mutt{root: filepath.Join(x.dir, "Mail"), plusPlus: sh.plusPlus, crlf: half, keepName: half}
	x.reader = &reader{c: server.Client(user), prefix: sh.prefix, separator: sh.sep}
	x.programs = [2]program{plan.Local: x.mutt, plan.Remote: x.reader}
	x.proxy = newProxy(t, server.Addr())
	if *keep != "" {
		var err error
		x.proxy.record, err = os.Create(filepath.Join(x.dir, "wire"))
		x.must(err)
	}
	x.configure(user)
	for i, name := range []mail.MailboxName{"INBOX", "Work", "Work/Deep", "Entwürfe", "Lists", "Drafts", "Trash"} {
		b := x.box(name, i == 0 || i >= 5)
		if i > 0 {
			x.must(x.reader.create(name))
		}
		for range 3 {
			l := x.letter()
			b.ballast, l.ballast = x.guard, x.guard
			flags := x.flags()
			x.must(x.reader.deliver(name, l, flags))
			x.messages = append(x.messages, &message{letter: l, box: b, flags: flags})
		}
	}
	x.clean()
	return x
}

func (x *soak) configure(user string) {
	x.t.Helper()
	layout, guard := "fs", "off"
	if x.shape.plusPlus {
		layout = "maildir++"
	}
	if x.guard {
		guard = "25%"
	}
	text := fmt.Sprintf(`state_dir = %q

[accounts.me]
host = %q
port = %d
tls = "none"
username = %q
password = %q
maildir = %q
layout = %q
delete_guard = %q
delete_folders = %v
connections = %d
fsync = %v
`, filepath.Join(x.dir, "state"), "127.0.0.1", x.proxy.port(), user, imaptest.Password, x.mutt.root, layout, guard, true,
		1+x.rng.IntN(4), x.rng.IntN(4) != 0)
	x.must(os.WriteFile(x.config(), []byte(text), 0o600))
}

func (x *soak) config() string { return filepath.Join(x.dir, "config.toml") }

// must fails the test for an error of the test's own doing.
func (x *soak) must(err error) {
	x.t.Helper()
	if err != nil {
		x.fail("%v", err)
	}
}

// fail ends the life with all that is needed to understand it.
func (x *soak) fail(format string, args ...any) {
	x.t.Helper()
	text := ""
	for _, line := range x.log[x.begun[1]:] {
		text += line + "\n"
	}
	x.t.Fatalf("seed %d (%s, guard %v), round %d: %s\n\nwhat happened since the round before:\n%s", x.seed, x.shape.name, x.guard, x.now,
		fmt.Sprintf(format, args...), text[max(0, len(text)-30000):])
}

func (x *soak) summary() {
	x.t.Logf("seed %d (%s, guard %v): %d rounds, %d runs, %d killed, %d cut, %d with mail programs meanwhile; %d letters came, %d messages are left",
		x.seed, x.shape.name, x.guard, *rounds, x.count.runs, x.count.killed, x.count.cut, x.count.meanwhile, x.letters, len(x.messages))
}
