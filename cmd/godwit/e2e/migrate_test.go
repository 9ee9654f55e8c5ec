package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// An end is a user of a server that builds names its own way.
type end struct {
	*account
	prefix, separator string
}

// wire is the server's name of a mailbox.
func (e end) wire(name string) string {
	if name == "INBOX" {
		return name
	}
	return e.prefix + strings.ReplaceAll(name, "/", e.separator)
}

// holds is all that the server has, by names that all servers share.
func (e end) holds() sidetest.Snapshot {
	e.t.Helper()
	out := sidetest.Snapshot{}
	for name, list := range e.remote() {
		if name != mail.Inbox {
			name = mail.MailboxName(strings.ReplaceAll(strings.TrimPrefix(string(name), e.prefix), e.separator, "/"))
		}
		out[name] = list
	}
	return out
}

// A move is a migration between two servers.
type move struct {
	*account // whose godwit it is
	from, to end
}

// newMove makes a configuration with accounts old and new.
func newMove(t *testing.T, from, to end) *move {
	t.Helper()
	dir := t.TempDir()
	m := &move{from: from, to: to, account: &account{t: t, dir: dir, state: filepath.Join(dir, "state"), config: filepath.Join(dir, "config.toml")}}
	m.write(from.server.Port, to.server.Port)
	return m
}

// write writes the configuration, with the ports by which the servers are reached.
func (m *move) write(from, to int) {
	m.t.Helper()
	text := fmt.Sprintf("state_dir = %q\n", m.state) + table("old", m.from.user, m.from.server.Host, from, "") + table("new", m.to.user, m.to.server.Host, to, "")
	if err := os.WriteFile(m.config, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// equal fails unless both servers hold the same.
func (m *move) equal() {
	m.t.Helper()
	if d := sidetest.Compare(m.from.holds(), m.to.holds()); d != "" {
		m.t.Fatalf("the origin (first) and the target (second) differ:\n%s", tail(d))
	}
}

// ends are servers that differ as servers do.
func ends(t *testing.T) map[string]func(user string) end {
	t.Helper()
	make := func(prefix, separator string, options ...imaptest.Option) func(string) end {
		server := imaptest.Dovecot(t, options...)
		return func(user string) end {
			return end{account: &account{t: t, server: server, user: user}, prefix: prefix, separator: separator}
		}
	}
	return map[string]func(string) end{
		"prefix": make("INBOX.", ".", imaptest.Separator("."), imaptest.Prefix("INBOX."), imaptest.Maildir()),
		"full":   make("", "/"),
		"bare":   make("", ".", imaptest.Separator("."), imaptest.Bare()),
	}
}

// fill puts mail of all sorts into an account.
func (e end) fill(boxes, each int) {
	e.t.Helper()
	c := e.server.Client(e.user)
	defer c.Close()
	zone := time.FixedZone("", -5*3600-1800)
	for b := range boxes {
		name := "INBOX"
		if b > 0 {
			name = fmt.Sprintf("Level %d/Entwürfe & %d", b%4, b)
		}
		for n := range each {
			id := b*each + n
			flags := [][]imap.Flag{{}, {imap.FlagSeen}, {imap.FlagFlagged, "$Todo"}, {imap.FlagDeleted, imap.FlagAnswered}, {"$Forwarded", "later"}}[n%5]
			body := letter(id)
			switch n % 10 {
			case 3:
				body = strings.ReplaceAll(body, "Message-ID", "X-None")
			case 5:
				body = letter(id - 1) // twice, with other flags
			case 7:
				body += strings.Repeat("Grüße, 8 bit\n", 50) + "no line end"
			}
			e.appendWith(c, e.wire(name), body, date(id).In(zone), flags...)
		}
	}
	must(e.t, c.Create(e.wire("Empty"), nil).Wait())
}

// From each server to each other one, and to an empty one.
func TestMigrate(t *testing.T) {
	all := ends(t)
	for _, pair := range [][2]string{{"prefix", "full"}, {"full", "bare"}, {"bare", "prefix"}, {"prefix", "bare"}} {
		t.Run(pair[0]+" to "+pair[1], func(t *testing.T) {
			user := pair[0] + "-" + pair[1]
			m := newMove(t, all[pair[0]](user), all[pair[1]](user))
			m.from.t, m.to.t = t, t
			m.from.fill(12, 20)
			before := m.from.changes()
			r := m.exits(0, "migrate", "old", "new")
			m.equal()
			need(t, strings.Contains(r.out, "240 messages in 13 mailboxes") && strings.Contains(r.out, "all of it is there"), "%v", r)
			need(t, m.from.changes() == before, "the origin changed:\n%s\n%s", before, m.from.changes())
			there := m.to.changes()
			r = m.exits(0, "migrate", "old", "new", "--verify=bytes")
			need(t, strings.Contains(r.out, "240 messages compared byte for byte, 0 differ"), "%v", r)
			need(t, m.to.changes() == there, "a further run changed the target:\n%s\n%s\n%v", there, m.to.changes(), r)
		})
	}
}

// What happens between two runs, on both sides.
func TestMigrateDelta(t *testing.T) {
	all := ends(t)
	m := newMove(t, all["full"]("me"), all["prefix"]("me"))
	m.from.fill(3, 10)
	m.exits(0, "migrate", "old", "new")
	m.from.append("INBOX", letter(900), date(900), imap.FlagSeen)
	c := m.to.server.Client("me")
	defer c.Close()
	_, err := c.Select("INBOX", nil).Wait()
	must(t, err)
	must(t, c.Store(imap.UIDSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close())
	must(t, c.UIDExpunge(imap.UIDSetNum(1)).Close())
	r := m.exits(0, "migrate", "old", "new", "--json")
	var last struct {
		Migrated struct {
			Copied, Matched int
			Whole           bool
			Skipped         map[string]int
		}
	}
	for line := range strings.Lines(r.out) {
		if strings.Contains(line, `"type":"migration"`) {
			must(t, json.Unmarshal([]byte(line), &last))
		}
	}
	// The other message with \Deleted stays.
	need(t, last.Migrated.Copied == 1 && last.Migrated.Whole && last.Migrated.Skipped["deleted since"] == 1, "%+v, %v", last, r)
}

// A target that has the mail already, from another tool.
func TestMigrateMatches(t *testing.T) {
	all := ends(t)
	m := newMove(t, all["bare"]("me"), all["full"]("me"))
	m.from.fill(4, 20)
	m.exits(0, "migrate", "old", "new")
	must(t, os.RemoveAll(m.state))
	before := m.to.holds()
	r := m.exits(0, "migrate", "old", "new")
	need(t, strings.Contains(r.out, "80 matched"), "%v", r)
	if d := sidetest.Compare(before, m.to.holds()); d != "" {
		t.Fatalf("before (first) and after (second):\n%s", tail(d))
	}
}

// Killed, and cut off, at many points: the next run goes on, and in the end
// nothing is missing and nothing is there twice.
func TestMigrateKilled(t *testing.T) {
	for _, to := range []string{"full", "bare"} {
		t.Run(to, func(t *testing.T) {
			all := ends(t)
			m := newMove(t, all["prefix"]("me"), all[to]("me"))
			m.from.t, m.to.t = t, t
			m.from.fill(6, 30)
			var left atomic.Int64 // lines of the server until the kill
			var victim atomic.Pointer[exec.Cmd]
			w := newWiretap(t, m.to.server.Addr(), func(line string) string {
				if cmd := victim.Load(); left.Add(-1) == 0 && cmd != nil {
					_ = cmd.Process.Kill()
				}
				return line
			})
			m.write(m.from.server.Port, w.port)
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			deadly := 0
			for range 10 {
				cmd := exec.Command(binary, "--config", m.config, "migrate", "old", "new")
				left.Store(5 + random.Int64N(80))
				must(t, cmd.Start())
				victim.Store(cmd)
				if cmd.Wait() != nil {
					deadly++
				}
				victim.Store(nil)
				left.Store(0)
			}
			need(t, deadly > 2, "only %d were killed", deadly)
			m.exits(0, "migrate", "old", "new")
			m.equal()
		})
	}
}

// What is told beforehand changes nothing; mailboxes alone are made alone.
func TestMigrateBefore(t *testing.T) {
	all := ends(t)
	m := newMove(t, all["prefix"]("me"), all["full"]("me"))
	m.from.fill(4, 10)
	m.to.holds() // the first login makes INBOX
	before := m.to.changes()
	r := m.exits(0, "migrate", "old", "new", "--sizes")
	need(t, strings.Contains(r.out, "in all: 40 messages, ") && strings.Contains(r.out, "at the target 0 messages"), "%v", r)
	r = m.exits(0, "migrate", "old", "new", "--dry-run")
	need(t, strings.Contains(r.out, "40 messages in 5 mailboxes, 40 would be copied"), "%v", r)
	r = m.exits(0, "migrate", "old", "new", "--dry-run", "--flagged", "--subfolder", "Old")
	need(t, strings.Contains(r.out, "8 would be copied") && strings.Contains(r.out, "INBOX -> Old/INBOX (--subfolder)"), "%v", r)
	need(t, m.to.changes() == before, "the target changed:\n%s\n%s", before, m.to.changes())
	if _, err := os.Stat(filepath.Join(m.state, "migrate")); err == nil {
		t.Error("what changes nothing is remembered")
	}
	r = m.exits(0, "migrate", "old", "new", "--folders-only")
	need(t, strings.Contains(r.out, "4 mailboxes made of 5") && m.to.holds().Messages() == 0 && len(m.to.holds()) == 5, "%v", r)
	m.exits(0, "migrate", "old", "new")
	m.equal()
	r = m.exits(2, "migrate", "old", "new", "--subfolder", "Old")
	need(t, strings.Contains(r.errout, "give the same flags as before"), "%v", r)
	m.equal()
}

// Subscriptions and uses of mailboxes come along, and what the user changes at
// the target stays.
func TestMigrateSubscriptions(t *testing.T) {
	all := ends(t)
	for _, pair := range [][2]string{{"prefix", "full"}, {"bare", "prefix"}} {
		user := pair[0] + "-" + pair[1]
		m := newMove(t, all[pair[0]](user), all[pair[1]](user))
		from := m.from.server.Client(user)
		defer from.Close()
		for _, name := range []string{"On", "Off", "Gesendet", "Later"} {
			must(t, from.Create(m.from.wire(name), nil).Wait())
		}
		for _, name := range []string{"On", "Gesendet"} {
			must(t, from.Subscribe(m.from.wire(name)).Wait())
		}
		m.from.append("INBOX", letter(1), date(1))
		subscribed := func() string {
			var names []string
			for name := range strings.FieldsSeq(m.to.server.Doveadm("mailbox", "list", "-s", "-u", user)) {
				names = append(names, strings.TrimPrefix(name, m.to.prefix))
			}
			slices.Sort(names)
			return strings.Join(names, " ")
		}
		m.exits(0, "migrate", "old", "new")
		need(t, subscribed() == "Gesendet On", "%s: subscribed to %s", user, subscribed())

		to := m.to.server.Client(user)
		defer to.Close()
		must(t, to.Unsubscribe(m.to.wire("On")).Wait())
		must(t, from.Subscribe(m.from.wire("Later")).Wait())
		m.exits(0, "migrate", "old", "new")
		need(t, subscribed() == "Gesendet Later", "%s: subscribed to %s", user, subscribed())
	}
}

// The lines to both servers are cut again and again, in the middle of all.
func TestMigrateCut(t *testing.T) {
	all := ends(t)
	m := newMove(t, all["full"]("me"), all["prefix"]("me"))
	m.from.fill(6, 30)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	var left atomic.Int64
	var cables [2]*cable
	cutter := func(i int) func(string) string {
		return func(line string) string {
			if left.Add(-1) == 0 {
				cables[i].set(func() { cables[i].cut = true })
				cables[i].set(func() { cables[i].cut = false })
			}
			return line
		}
	}
	var ports [2]int
	for i, server := range []*imaptest.Server{m.from.server, m.to.server} {
		w := newWiretap(t, server.Addr(), cutter(i))
		cables[i] = newCable(t, fmt.Sprintf("127.0.0.1:%d", w.port))
		ports[i] = cables[i].port
	}
	m.write(ports[0], ports[1])
	for range 8 {
		left.Store(20 + random.Int64N(150))
		m.godwit("migrate", "old", "new")
	}
	left.Store(0)
	m.exits(0, "migrate", "old", "new")
	m.equal()
}

// What the target will not take is told, and nothing else is left behind.
func TestMigrateRefused(t *testing.T) {
	all := ends(t)
	server := imaptest.Dovecot(t, imaptest.Extra("plugin {\n  quota = count:User quota\n  quota_vsizes = yes\n  quota_rule = *:storage=60K\n}\nmail_plugins = $mail_plugins quota\nprotocol imap {\n  mail_plugins = $mail_plugins quota imap_quota\n}\n"))
	m := newMove(t, all["full"]("me"), end{account: &account{t: t, server: server, user: "me"}, separator: "/"})
	for n := range 40 {
		m.from.append("INBOX", letter(n)+strings.Repeat("0123456789 filler\n", 200), date(n))
	}
	r := m.exits(12, "migrate", "old", "new")
	need(t, strings.Contains(r.errout, "make room") && strings.Contains(r.errout, "the target has room for "), "%v", r)
	some := len(m.to.holds()["INBOX"])
	need(t, some > 0 && some < 40, "%d are there", some)
	r = m.exits(12, "migrate", "old", "new")
	need(t, len(m.to.holds()["INBOX"]) >= some, "%v", r)
}
