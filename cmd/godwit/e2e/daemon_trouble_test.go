package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// standing is what status tells of an account and its daemon.
type standing struct {
	State    string
	Runs     int
	Failures int
	Class    string
	Error    string
	Watches  []struct {
		Name, Error string
		Up          bool
	}
}

func (a *account) standing() standing {
	a.t.Helper()
	r := a.exits(0, "--json", "status")
	for line := range strings.Lines(r.out) {
		var told struct {
			Type   string
			Daemon *standing
		}
		if err := json.Unmarshal([]byte(line), &told); err != nil {
			a.t.Fatalf("%v in %s", err, line)
		}
		if told.Type == "account" && told.Daemon != nil {
			return *told.Daemon
		}
	}
	a.t.Fatalf("status tells nothing of a daemon: %v", r)
	return standing{}
}

// up tells whether a watch is.
func (s standing) up(name string) bool {
	for _, w := range s.Watches {
		if w.Name == name {
			return w.Up
		}
	}
	return false
}

// says waits for a line of the log.
func (d *daemon) says(msg string) logLine {
	d.a.t.Helper()
	return d.logs(fmt.Sprintf("%q", msg), func(l logLine) bool { return l["msg"] == msg })
}

// watchesServer waits until the server is watched.
func (d *daemon) watchesServer() {
	d.a.t.Helper()
	d.logs("that it watches the server", func(l logLine) bool { return l["msg"] == "watching" && l["what"] == "server" })
}

// worksAgain waits until runs succeed and the server is watched, in any order.
func (d *daemon) worksAgain() {
	d.a.t.Helper()
	works, watches := false, false
	d.logs("that all is well again", func(l logLine) bool {
		works = works || l["msg"] == "the account works again"
		watches = watches || l["msg"] == "watching" && l["what"] == "server"
		return works && watches
	})
}

// own delivers a letter of one's own into the Maildir.
func (h *hand) own(n int) {
	h.t.Helper()
	letter := filepath.Join(h.root, "INBOX", "tmp", fmt.Sprint("own", n))
	if err := os.WriteFile(letter, fmt.Appendf(nil, "Subject: own %d\nMessage-ID: <own%d@example.org>\n\nown %d\n", n, n, n), 0o600); err != nil {
		h.t.Fatal(err)
	}
	h.rename(letter, filepath.Join(h.root, "INBOX", "new", filepath.Base(letter)))
}

// inStep starts a daemon and waits until both sides agree.
func (h *hand) inStep() *daemon {
	h.t.Helper()
	d := h.daemon()
	d.watches()
	h.exits(0, "sync")
	h.agree()
	return d
}

// recovers waits until the account works again, and wants both sides to agree:
// nothing lost, nothing doubled.
func (h *hand) recovers(d *daemon, messages int) {
	h.t.Helper()
	h.exits(0, "sync")
	h.agree()
	n := 0
	for _, box := range h.local() {
		n += len(box)
	}
	need(h.t, n == messages, "%d messages, not %d", n, messages)
	s := h.standing()
	need(h.t, s.Failures == 0 && s.Error == "" && s.up("maildir"), "%+v", s)
}

// total counts the messages of the Maildir.
func (h *hand) total() (n int) {
	for _, box := range h.local() {
		n += len(box)
	}
	return n
}

// A server that dies is noticed and tried seldom; when it is back, so is the
// account.
func TestDaemonOutlivesTheServer(t *testing.T) {
	h := newHand(newAccount(t, imaptest.Dovecot(t), "me"))
	d := h.inStep()
	n := h.total()
	h.server.Kill()
	d.says("not watching")
	h.own(1)
	failed := d.says("the run failed")
	need(t, failed["class"] == "network", "%v", failed)
	s := h.standing()
	need(t, s.State == "waiting" && s.Class == "network" && s.Failures > 0 && !s.up("server") && s.up("maildir"), "%+v", s)
	h.server.Restart()
	d.worksAgain()
	h.c = h.server.Client("me")
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	h.recovers(d, n+2)
	d.stop()
}

// A network that is away is tried again after pauses that grow, however much
// changes meanwhile; when it is back, the account is in step soon.
func TestDaemonOutlivesTheNetwork(t *testing.T) {
	h := newHand(newAccount(t, imaptest.Dovecot(t), "me"))
	net := h.cable()
	d := h.inStep()
	n := h.total()
	net.set(func() { net.cut = true })
	d.says("not watching")
	before, began := net.called(), time.Now()
	for i := range 50 {
		h.own(i)
	}
	h.write("INBOX", 1)
	d.says("the run failed")
	d.says("the run failed")
	// The watch and the runs each pause for 2, 4, 8 … seconds, a quarter less
	// at the least.
	most := 2
	for pause, at := 1500*time.Millisecond, time.Duration(0); at < time.Since(began); pause *= 2 {
		at, most = at+pause, most+2
	}
	need(t, net.called()-before <= most, "%d connections were tried within %v", net.called()-before, time.Since(began))
	s := h.standing()
	need(t, s.State == "waiting" && s.Class == "network" && !s.up("server"), "%+v", s)
	lasts()
	net.set(func() { net.cut = false })
	began = time.Now()
	d.worksAgain()
	t.Logf("works again %v after the network came back; %d connections were tried", time.Since(began).Round(time.Millisecond), net.called()-before)
	h.recovers(d, n+51)
	d.stop()
}

// A password that is refused is tried once by the watch and once by a run,
// whatever changes; when it is taken again, one sync mends all.
func TestDaemonAndAChangedPassword(t *testing.T) {
	// Dovecot would answer more and more slowly after each refusal.
	unhurried := imaptest.Extra("service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}")
	h := newHand(newAccount(t, imaptest.Dovecot(t, unhurried), "me"))
	net := h.cable()
	d := h.inStep()
	n := h.total()
	change := func(from, to string) {
		t.Helper()
		file := filepath.Join(h.server.Dir, "dovecot.conf")
		text, err := os.ReadFile(file)
		if err == nil {
			err = os.WriteFile(file, []byte(strings.Replace(string(text), "password="+from, "password="+to, 1)), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		h.server.Doveadm("reload")
	}
	change(imaptest.Password, "another")
	// The server takes up its configuration in its own time.
	until(t, "the other password", func() bool { return !h.server.Takes("me", imaptest.Password) })
	before := net.called()
	net.set(func() { net.cut = true })
	net.set(func() { net.cut = false })
	h.own(0)
	d.logs("that the password is refused", func(l logLine) bool { return l["msg"] == "the run failed" && l["class"] == "authentication" })
	for i := 1; i < 30; i++ {
		h.own(i)
	}
	d.rests()
	s := h.standing()
	need(t, s.State == "waiting" && s.Class == "authentication" && !s.up("server"), "%+v", s)
	// One more at the most: a run that was under way when the network went.
	need(t, net.called()-before <= 3, "%d logins were tried", net.called()-before)
	change("another", imaptest.Password)
	until(t, "the old password", func() bool { return h.server.Takes("me", imaptest.Password) })
	h.exits(0, "sync")
	d.watchesServer()
	h.recovers(d, n+30)
	d.stop()
}

// The daemon ends when told to, whatever it is doing.
func TestDaemonEndsInEveryState(t *testing.T) {
	h := newHand(newAccount(t, imaptest.Dovecot(t), "me"))
	net := h.cable()
	for _, state := range []struct {
		name string
		get  func(d *daemon)
	}{
		{"at once", func(d *daemon) { d.says("started") }},
		{"between runs", func(d *daemon) { d.watches(); d.rests() }},
		{"in a run that waits for the server", func(d *daemon) {
			d.watches()
			d.rests()
			net.set(func() { net.swallows = true })
			h.own(1)
			until(t, "a run", func() bool { return h.standing().State == "running" })
		}},
		{"while it connects", func(d *daemon) {
			net.set(func() { net.swallows = true })
			called := net.called()
			d.says("started")
			until(t, "a connection", func() bool { return net.called() > called })
		}},
		{"in a pause", func(d *daemon) {
			net.set(func() { net.cut = true })
			d.says("the run failed")
		}},
	} {
		net.set(func() { net.cut, net.swallows = false, false })
		d := h.daemon()
		state.get(d)
		began := time.Now()
		d.stop()
		t.Logf("%s: ended within %v", state.name, time.Since(began).Round(time.Millisecond))
	}
	net.set(func() { net.cut, net.swallows = false, false })
	h.exits(0, "sync")
	h.agree()
}

// An account that is taken out of the configuration and put in again while its
// run is under way is served again afterwards.
func TestDaemonReloadsInTheMiddleOfARun(t *testing.T) {
	h := newHand(newAccount(t, imaptest.Dovecot(t), "me"))
	net := h.cable()
	d := h.inStep()
	d.rests()
	with, err := os.ReadFile(h.config)
	if err != nil {
		t.Fatal(err)
	}
	without := strings.ReplaceAll(strings.ReplaceAll(string(with), "accounts.me", "accounts.other"), h.root, h.root+"2")
	reload := func(text string) {
		t.Helper()
		if err := os.WriteFile(h.config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		d.says("the configuration was read again")
	}
	net.set(func() { net.swallows = true })
	h.own(1)
	until(t, "a run", func() bool { return h.standing().State == "running" })
	reload(without)
	reload(string(with))
	net.set(func() { net.cut = true }) // the run ends, badly
	net.set(func() { net.cut, net.swallows = false, false })
	up := map[any]bool{}
	d.logs("that the account is watched again", func(l logLine) bool {
		if l["msg"] == "watching" && l["account"] == "me" {
			up[l["what"]] = true
		}
		return len(up) == 2
	})
	h.exits(0, "sync")
	h.agree()
	d.stop()
}
