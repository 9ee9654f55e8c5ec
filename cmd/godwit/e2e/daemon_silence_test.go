package e2e

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

var away = flag.Duration("away", 0, "how much longer than a test needs networks, servers and daemons are away")

// lasts lets trouble last.
func lasts() { <-time.After(*away) }

func (d *daemon) signal(s os.Signal) {
	d.a.t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		d.a.t.Fatal(err)
	}
}

// findsSilence waits until the daemon takes the connection that watches for
// dead since it does not answer. By itself it asks once a minute, which is
// longer than the test waits.
func (d *daemon) findsSilence() {
	d.a.t.Helper()
	l := d.says("not watching")
	need(d.a.t, strings.Contains(fmt.Sprint(l["error"]), "did not answer"), "%v", l)
}

// holds waits until the server has so many messages.
func (h *hand) holds(want int) {
	h.t.Helper()
	until(h.t, fmt.Sprintf("%d messages on the server", want), func() bool {
		n := 0
		for _, box := range h.remote() {
			n += len(box)
		}
		return n == want
	})
}

// Connections that NAT forgot swallow what is sent. A local change finds that
// out, of all of them; nothing is lost or doubled, and what comes later on the
// server is heard of.
func TestDaemonWhoseConnectionsAreForgotten(t *testing.T) {
	for name, opts := range watched {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHand(newAccount(t, imaptest.Dovecot(t, opts...), "me"))
			net := h.cable()
			d := h.inStep()
			d.rests()
			n, called := h.total(), net.called()
			net.forget()
			began := time.Now()
			h.own(1)
			d.ran("copied_there", 1)
			t.Logf("on the server after %v", time.Since(began).Round(time.Millisecond))
			d.findsSilence()
			d.watchesServer()
			t.Logf("watching again after %v", time.Since(began).Round(time.Millisecond))
			h.write("INBOX", 1)
			d.ran("copied_here", 1)
			h.recovers(d, n+2)
			need(t, net.called()-called <= 3, "%d connections", net.called()-called)
			d.stop()
		})
	}
}

// A daemon that is stopped for a while, and whose connections died meanwhile,
// finds that out as soon as it goes on. While they live, it keeps them.
func TestDaemonThatIsStoppedForAWhile(t *testing.T) {
	for name, opts := range watched {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHand(newAccount(t, imaptest.Dovecot(t, opts...), "me"))
			net := h.cable()
			d := h.inStep()
			n, called := h.total(), net.called()
			for i := range 3 {
				d.signal(syscall.SIGSTOP)
				h.own(i)
				first := h.write("INBOX", 1)
				d.signal(syscall.SIGCONT)
				until(t, "what came meanwhile", func() bool { return h.file("INBOX", mark(first)) != "" })
				h.holds(n + 2*(i+1))
			}
			need(t, net.called() == called, "%d more connections, though those that it had were alive", net.called()-called)
			d.rests()
			d.signal(syscall.SIGSTOP)
			net.forget()
			lasts()
			d.signal(syscall.SIGCONT)
			began := time.Now()
			if *away > 35*time.Second { // it is taken for a sleep of the machine
				d.watchesServer()
			} else {
				d.findsSilence()
				d.watchesServer()
			}
			t.Logf("watching again after %v", time.Since(began).Round(time.Millisecond))
			h.write("INBOX", 1)
			d.ran("copied_here", 1)
			h.recovers(d, n+7)
			need(t, net.called()-called <= 3, "%d connections", net.called()-called)
			d.stop()
		})
	}
}

// A server that stands still keeps connections open, accepts more and answers
// on none. Status tells, few connections are tried, and when it goes on, so
// does the account.
func TestDaemonOutlivesAServerThatStandsStill(t *testing.T) {
	t.Parallel()
	h := newHand(newAccount(t, imaptest.Dovecot(t), "me"))
	net := h.cable()
	d := h.inStep()
	d.rests()
	n, called := h.total(), net.called()
	h.server.Freeze()
	began := time.Now()
	h.own(1)
	d.findsSilence()
	t.Logf("noticed after %v", time.Since(began).Round(time.Millisecond))
	failed := d.says("the run failed")
	need(t, failed["class"] == "network", "%v", failed)
	s := h.standing()
	need(t, s.State == "waiting" && s.Class == "network" && !s.up("server"), "%+v", s)
	lasts()
	h.server.Thaw()
	began = time.Now()
	d.worksAgain()
	t.Logf("works again %v after the server goes on; %d connections were tried", time.Since(began).Round(time.Millisecond), net.called()-called)
	// A connection that is tried has half a minute.
	need(t, net.called()-called <= 6+2*int(*away/(30*time.Second)), "%d connections", net.called()-called)
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	h.recovers(d, n+2)
	d.stop()
}
