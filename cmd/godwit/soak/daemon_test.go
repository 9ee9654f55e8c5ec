package soak

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var (
	accounts = flag.Int("accounts", 2, "how many accounts one daemon keeps in step")
	boxes    = flag.Int("boxes", 8, "how many mailboxes each of them has")
	minutes  = flag.Float64("minutes", 0, "how long they live, at the least")
	idle     = flag.Duration("idle", 0, "how long the daemon is watched while nothing happens")
	notify   = flag.Bool("notify", false, "let the server offer NOTIFY")
	kills    = flag.Bool("kills", true, "kill the daemon now and then")
)

// A crew is the accounts that one daemon keeps in step.
type crew struct {
	t       *testing.T
	dir     string
	rng     *rand.Rand
	members []*soak
	daemon  *exec.Cmd
	up      chan string // the names of accounts that are watched; closed at the end of the daemon
	out     *os.File    // the daemon's log
	kills   int
	metrics int // the port where the daemon tells its metrics
	server  int // the port of the mail server
}

// TestDaemonSoak lets accounts live while a daemon keeps them in step, and is
// killed now and then. After each round a sync must find, or bring, both sides
// to exactly what the model says.
func TestDaemonSoak(t *testing.T) {
	c := enlist(t)
	c.start()
	c.clean()
	c.rest()
	end := time.Now().Add(time.Duration(*minutes * float64(time.Minute)))
	first, began := c.use(), time.Now()
	told := began
	for round := 0; round < *rounds || time.Now().Before(end); round++ {
		c.round(round)
		if time.Since(told) > time.Minute {
			told = time.Now()
			t.Logf("round %d after %v: %v", round, time.Since(began).Round(time.Second), c.use())
		}
	}
	c.grown(first)
	for _, x := range c.members {
		x.summary()
	}
	t.Logf("%d accounts, %d mailboxes each: the daemon was killed %d times in %v", *accounts, *boxes, c.kills, time.Since(began).Round(time.Second))
}

// plainList makes Dovecot look at its mailboxes whenever it lists them. Its
// index of them, which NOTIFY needs, is at times corrupted, and then lists what
// is gone or leaves out what has just come, while mailboxes come and go under
// several sessions: with NOTIFY they stay as they are.
var plainList = imaptest.Extra("mailbox_list_index = no")

// enlist makes the accounts, each with mailboxes and a few letters.
func enlist(t *testing.T) *crew {
	t.Helper()
	c := &crew{t: t, dir: t.TempDir(), rng: rand.New(rand.NewPCG(uint64(*first), 8))}
	server := imaptest.Dovecot(t, plainList)
	if *notify {
		server = imaptest.Dovecot(t)
	}
	c.metrics, c.server = freePort(t), server.Port
	text := fmt.Sprintf("state_dir = %q\n\n[daemon]\nmetrics = \"127.0.0.1:%d\"\n", filepath.Join(c.dir, "state"), c.metrics)
	for i := range *accounts {
		x := &soak{t: t, seed: *first + i, shape: shapes[0], server: server, still: *notify, rng: rand.New(rand.NewPCG(uint64(*first+i), 9)), dir: filepath.Join(c.dir, c.name(i))}
		x.parents = map[mail.MailboxName]bool{"Work": true}
		half := func() bool { return x.rng.IntN(2) == 0 }
		x.mutt = &mutt{root: filepath.Join(x.dir, "Mail"), crlf: half, keepName: half}
		x.reader = &reader{c: server.Client(c.name(i)), separator: "/"}
		x.programs = [2]program{plan.Local: x.mutt, plan.Remote: x.reader}
		x.populate()
		c.members = append(c.members, x)
		text += fmt.Sprintf("\n[accounts.%s]\nhost = %q\nport = %d\ntls = \"none\"\nusername = %q\npassword = %q\nmaildir = %q\ndelete_guard = \"off\"\ndelete_folders = true\n",
			c.name(i), server.Host, server.Port, c.name(i), imaptest.Password, x.mutt.root)
	}
	if err := os.WriteFile(c.config(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.out, err = os.Create(filepath.Join(c.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.kill()
		if text, err := os.ReadFile(c.out.Name()); err == nil && t.Failed() {
			t.Logf("the daemon's log ends with:\n%s", text[max(0, len(text)-20000):])
		}
		c.out.Close()
	})
	return c
}

// populate makes the mailboxes of an account on the server.
func (x *soak) populate() {
	x.t.Helper()
	names := []mail.MailboxName{"INBOX", "Work", "Work/Deep", "Entwürfe", "Lists", "Drafts", "Trash"}
	for i := len(names); i < *boxes; i++ {
		names = append(names, mail.MailboxName(fmt.Sprintf("Box %d", i)))
	}
	for i, name := range names {
		b := x.box(name, i == 0 || i == 5 || i == 6)
		if i > 0 {
			x.must(x.reader.create(name))
		}
		for range 3 {
			l, flags := x.letter(), x.flags()
			x.must(x.reader.deliver(name, l, flags))
			x.messages = append(x.messages, &message{letter: l, box: b, flags: flags})
		}
	}
}

func (c *crew) name(i int) string { return fmt.Sprintf("u%d", i) }

func (c *crew) config() string { return filepath.Join(c.dir, "config.toml") }

// start starts the daemon and waits until it watches everything.
func (c *crew) start() {
	c.t.Helper()
	c.daemon = exec.Command(binary, "--config", c.config(), "--json", "daemon")
	log, err := c.daemon.StderrPipe()
	if err == nil {
		err = c.daemon.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.up = make(chan string, 1<<10)
	go c.read(bufio.NewScanner(log), c.up)
	wanted := 2 * *accounts
	for wanted > 0 {
		select {
		case _, ok := <-c.up:
			if !ok {
				c.t.Fatal("the daemon ended")
			}
			wanted--
		case <-time.After(2 * time.Minute):
			c.t.Fatal("the daemon does not watch everything")
		}
	}
}

// read reads the log until the daemon ends.
func (c *crew) read(lines *bufio.Scanner, up chan<- string) {
	defer close(up)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fmt.Fprintln(c.out, lines.Text())
		var l struct{ Msg, Account string }
		if json.Unmarshal(lines.Bytes(), &l) == nil && l.Msg == "watching" {
			select {
			case up <- l.Account:
			default: // nobody counts them any more
			}
		}
	}
}

// stop ends the daemon by a signal and waits for its end.
func (c *crew) stop(how syscall.Signal) {
	if c.daemon == nil {
		return
	}
	_ = c.daemon.Process.Signal(how)
	for range c.up {
	}
	_ = c.daemon.Wait()
	c.daemon = nil
}

func (c *crew) kill() { c.stop(syscall.SIGKILL) }

// round is a while of life under the daemon.
func (c *crew) round(n int) {
	c.t.Helper()
	for _, x := range c.members {
		x.now, x.begun = n, [2]int{len(x.log), x.begun[0]}
		x.tell("== round %d", n)
	}
	killed := -1
	if *kills && c.rng.IntN(2) == 0 {
		killed = c.rng.IntN(4 * *accounts)
	}
	for i := range 4 * *accounts {
		x := c.members[c.rng.IntN(len(c.members))]
		x.running = true
		x.unsettled()
		x.count.meanwhile++
		x.must(x.meanwhile())
		x.unsettled()
		x.running = false
		if c.rng.IntN(3) == 0 { // the daemon gets somewhere, who knows where
			time.Sleep(time.Duration(c.rng.IntN(80)) * time.Millisecond)
		}
		if i == killed {
			c.strike()
		}
	}
	c.clean()
}

// strike kills the daemon, and lets something happen before it is there again.
func (c *crew) strike() {
	c.t.Helper()
	c.kill()
	c.kills++
	for _, x := range c.members {
		x.tell("the daemon is killed")
		x.count.killed++
		x.unsettled()
		if c.rng.IntN(2) == 0 {
			x.must(x.live())
		}
	}
	c.start()
}

// clean asks the daemon for a sync of every account, after which both sides
// must be as the model says.
func (c *crew) clean() {
	c.t.Helper()
	for i, x := range c.members {
		cmd := exec.Command(binary, "--config", c.config(), "sync", "-v", c.name(i))
		out, err := cmd.CombinedOutput()
		x.count.runs++
		x.tell("sync: %v\n%s", err, out)
		if err != nil {
			x.fail("a sync by the daemon fails: %v\n%s\nwhat differs:\n%s", err, out, x.differs(plan.Local)+x.differs(plan.Remote))
		}
		for _, s := range plan.Sides {
			if d := x.differs(s); d != "" {
				x.fail("the %s side is not as it must be:\n%s", s, d)
			}
		}
		x.settled()
		x.freed, x.freeing = append(x.freed, x.freeing...), nil
	}
}

// quiet waits until the daemon has no run under way.
func (c *crew) quiet() {
	c.t.Helper()
	for still := 0; still < 5; {
		out, err := exec.Command(binary, "--config", c.config(), "--json", "status").Output()
		if err != nil {
			c.t.Fatal(err)
		}
		if still++; bytes.Contains(out, []byte(`"state":"running"`)) {
			still = 0
		}
		time.Sleep(300 * time.Millisecond)
	}
}
