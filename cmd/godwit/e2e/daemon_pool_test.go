package e2e

import (
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A daemon logs in once for its runs and once for its watch, and anew when
// its connections were cut.
func TestDaemonLogsInOnce(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	h.write("INBOX", 1)
	w := a.tap()
	d := a.daemon()
	d.watches()
	logins := func(want int) {
		t.Helper()
		n := 0
		for _, c := range w.take() {
			if strings.Contains(c, " AUTHENTICATE ") || strings.Contains(c, " LOGIN ") {
				n++
			}
		}
		need(t, n == want, "%d logins, want %d", n, want)
	}
	a.exits(0, "sync")
	for range 3 {
		h.write("INBOX", 1)
		d.ran("copied_here", 1)
	}
	a.exits(0, "sync")
	a.agree()
	logins(2)
	w.mu.Lock()
	for _, c := range w.conns {
		c.Close()
	}
	w.mu.Unlock()
	a.exits(0, "sync")
	d.watchesAgain("server")
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	a.exits(0, "sync")
	a.agree()
	logins(2)
	d.stop()
}

// watchesAgain waits until one side is watched again.
func (d *daemon) watchesAgain(what string) {
	d.a.t.Helper()
	d.logs("that it watches the "+what, func(l logLine) bool { return l["msg"] == "watching" && l["what"] == what })
}
