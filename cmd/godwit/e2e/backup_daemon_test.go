package e2e

import (
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// withMetrics adds to the configuration that the daemon tells how it stands.
func (a *account) withMetrics() (address string) {
	a.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(a.t, err)
	address = l.Addr().String()
	must(a.t, l.Close())
	text, err := os.ReadFile(a.config)
	must(a.t, err)
	must(a.t, os.WriteFile(a.config, []byte(string(text)+fmt.Sprintf("\n[daemon]\nmetrics = %q\n", address)), 0o600))
	return address
}

// backedUp waits for a backup that made this generation.
func (d *daemon) backedUp(n float64) logLine {
	d.a.t.Helper()
	return d.logs(fmt.Sprintf("generation %v", n), func(l logLine) bool { return l["msg"] == "backed up" && l["generation"] == n })
}

// Each change that the daemon carries over is a generation, the hook is told,
// and so are those who ask.
func TestDaemonBacksUp(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	a.configure("backup = true\n" + a.writing("after_backup"))
	address := a.withMetrics()
	d := a.daemon()
	up := map[any]bool{}
	d.logs("the first generation, its hook, and that it watches", func(l logLine) bool {
		switch {
		case l["msg"] == "watching":
			up[l["what"]] = true
		case l["msg"] == "a hook ran":
			up[l["hook"]] = true
		}
		return len(up) == 3
	})
	first := h.write("INBOX", 1)
	d.backedUp(2)
	d.hooked("after_backup", "a hook ran")
	// It may have come between the sync and its backup.
	until(t, "the message is in the Maildir", func() bool { return a.file("INBOX", mark(first)) != "" })
	h.flagHere("INBOX", first, "S")
	d.backedUp(3)
	d.hooked("after_backup", "a hook ran")
	calls := a.told("after_backup")
	need(t, len(calls) == 3, "the hook was told %v", calls)
	for i, l := range calls {
		need(t, l["type"] == "backup" && l["generation"] == float64(i+1) && l["complete"] == true && l["archive"] == a.archiveDir(), "it was told %v", l)
	}
	need(t, calls[1]["came"] == 1.0 && calls[2]["changed"] == 1.0, "it was told %v", calls)

	// The daemon makes what sync asks for, and tells of its backup, too.
	h.write("INBOX", 1)
	r := a.sync()
	need(t, strings.Contains(r.out, "me: backup: "), "sync by the daemon tells of no backup: %v", r)
	m := a.metrics(address)
	lacks, isThere := m[`godwit_backup_incomplete{account="me"}`]
	need(t, m[`godwit_backup_generation{account="me"}`] == 4 && isThere && lacks == 0 && m[`godwit_backup_archive_bytes{account="me"}`] > 10_000 &&
		m[`godwit_backup_last_success_timestamp_seconds{account="me"}`] >= m[`godwit_backup_generation_timestamp_seconds{account="me"}`] &&
		m[`godwit_backup_generation_timestamp_seconds{account="me"}`] > 1e9, "the metrics are %s", told(m))
	d.stop()
	a.agree()
	need(t, a.keeps() == 4, "not 4 generations")
	a.exits(0, "status").tells(t, "backup: generation #4 of ")
}

// An account with an archive only follows its schedule; another configuration
// is taken over.
func TestDaemonBacksUpAlone(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	a.alone()
	text, err := os.ReadFile(a.config)
	must(t, err)
	never := strings.Replace(string(text), `mode = "backup"`, "mode = \"backup\"\nschedule = \"0 0 29 2 *\"", 1)
	must(t, os.WriteFile(a.config, []byte(never), 0o600))
	address := a.withMetrics()
	d := a.daemon()
	d.backedUp(1)
	live := a.standing()
	need(t, live.State == "idle" && len(live.Watches) == 0, "it watches: %+v", live)
	m := a.metrics(address)
	_, mirrored := m[`godwit_last_success_timestamp_seconds{account="me"}`]
	need(t, m[`godwit_backup_generation{account="me"}`] == 1 && !mirrored, "the metrics are %s", told(m))
	h.write("INBOX", 3)
	often, err := os.ReadFile(a.config)
	must(t, err)
	must(t, os.WriteFile(a.config, []byte(strings.Replace(string(often), "0 0 29 2 *", "@every 1s", 1)), 0o600))
	d.backedUp(2)
	h.write("INBOX", 2)
	d.backedUp(3)
	d.stop()
	a.keeps()
}
