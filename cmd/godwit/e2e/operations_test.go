package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// get asks the daemon's metrics listener.
func (a *account) get(base, path string) (status int, body string) {
	a.t.Helper()
	r, err := http.Get("http://" + base + path)
	if err != nil {
		a.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return r.StatusCode, string(text)
}

var (
	sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"(?:, ?)?)+\})? (\S+)$`)
	typeLine   = regexp.MustCompile(`^# TYPE (\S+) (counter|gauge|histogram|summary|untyped)$`)
)

// metrics reads /metrics as the text format of Prometheus demands: one TYPE a
// family, before its samples, which stand together; no sample twice.
func (a *account) metrics(base string) map[string]float64 {
	a.t.Helper()
	status, text := a.get(base, "/metrics")
	need(a.t, status == 200, "status %d: %s", status, text)
	out, types := map[string]float64{}, map[string]bool{}
	family := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := typeLine.FindStringSubmatch(line); m != nil {
			need(a.t, !types[m[1]], "%s has two types", m[1])
			family = m[1]
			types[family] = true
			continue
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := sampleLine.FindStringSubmatch(line)
		need(a.t, m != nil, "no sample: %q", line)
		need(a.t, m[1] == family || !strings.HasPrefix(m[1], "godwit_"), "%q is not of the family %s", line, family)
		v, err := strconv.ParseFloat(m[3], 64)
		_, double := out[m[1]+m[2]]
		need(a.t, err == nil && !double, "%q: %v", line, err)
		out[m[1]+m[2]] = v
	}
	return out
}

// told shows godwit's own metrics.
func told(m map[string]float64) string {
	var out []string
	for name, v := range m {
		if strings.HasPrefix(name, "godwit_") {
			out = append(out, fmt.Sprintf("%s %f", name, v))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// measured starts a daemon that tells metrics, and says where.
func (a *account) measured() (d *daemon, base string) {
	a.t.Helper()
	a.configure("\n[daemon]\nmetrics = \"127.0.0.1:0\"\n")
	d = a.daemon()
	l := d.logs("where it tells metrics", func(l logLine) bool { return l["msg"] == "metrics are told" })
	d.watches()
	return d, l["address"].(string)
}

func TestDaemonTellsMetrics(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := a.inStep("")
	before := float64(time.Now().Unix())
	d, base := a.measured()
	a.exits(0, "sync")
	first := h.write("INBOX", 3)
	a.exits(0, "sync")
	h.deleteHere("INBOX", first)
	a.exits(0, "sync")
	m := a.metrics(base)
	for name, want := range map[string]float64{
		`godwit_messages_copied_total{account="me",side="local"}`:   3,
		`godwit_messages_copied_total{account="me",side="remote"}`:  0,
		`godwit_messages_deleted_total{account="me",side="remote"}`: 1,
		`godwit_messages_deleted_total{account="me",side="local"}`:  0,
		`godwit_runs_failed_total{account="me"}`:                    0,
		`godwit_account_working{account="me"}`:                      1,
		`godwit_account_state{account="me",state="waiting"}`:        0,
		`godwit_consecutive_failures{account="me"}`:                 0,
		`godwit_held_deletions{account="me"}`:                       0,
		`godwit_pending_changes{account="me"}`:                      0,
		`godwit_watch_up{account="me",watch="server"}`:              1,
		`godwit_watch_up{account="me",watch="maildir"}`:             1,
		`godwit_build_info{version="development"}`:                  1,
	} {
		got, ok := m[name]
		need(t, ok && got == want, "%s is %v (%v), want %v", name, got, ok, want)
	}
	need(t, m[`godwit_runs_total{account="me"}`] >= 3 && m[`godwit_run_seconds_total{account="me"}`] > 0 && m["process_open_fds"] > 0 && m["go_goroutines"] > 0, "%s", told(m))
	last := m[`godwit_last_success_timestamp_seconds{account="me"}`]
	need(t, last >= before && last <= float64(time.Now().Unix()+1), "the last success was at %v", last)
	copied := m[`godwit_copied_bytes_total{account="me",side="local"}`]

	status, text := a.get(base, "/healthz")
	need(t, status == 200 && text == "ok\n", "%d %s", status, text)
	a.server.Stop()
	a.godwit("sync")
	status, text = a.get(base, "/healthz")
	need(t, status == 503 && strings.HasPrefix(text, "me: ") && strings.Count(text, "\n") == 1, "%d %s", status, text)
	m = a.metrics(base)
	failed := 0.0
	for name, n := range m {
		if strings.HasPrefix(name, `godwit_errors_total{account="me",class="`) {
			failed += n
		}
	}
	need(t, failed >= 1 && failed == m[`godwit_runs_failed_total{account="me"}`] && m[`godwit_account_working{account="me"}`] == 0 &&
		m[`godwit_consecutive_failures{account="me"}`] >= 1 && m[`godwit_last_success_timestamp_seconds{account="me"}`] >= last,
		"%v failures, the last success at %f: %s", failed, last, told(m))
	a.server.Restart()
	a.exits(0, "sync")
	status, text = a.get(base, "/healthz")
	need(t, status == 200, "%d %s", status, text)
	d.stop()
	logged := 0.0
	for _, l := range d.heard {
		if l["msg"] == "copied" && l["side"] == "local" {
			logged += l["size"].(float64)
		}
	}
	need(t, copied > 0 && copied == logged, "%v bytes are told of, and %v in the log", copied, logged)
	_, err := http.Get("http://" + base + "/healthz")
	need(t, errors.Is(err, syscall.ECONNREFUSED), "it answers though the daemon has ended: %v", err)

	// When it was last in step is known to the next daemon, and nothing is
	// counted that it did not do itself.
	a.server.Stop()
	d, base = a.daemonWithoutServer()
	m = a.metrics(base)
	need(t, m[`godwit_last_success_timestamp_seconds{account="me"}`] > last && m[`godwit_messages_copied_total{account="me",side="local"}`] == 0, "%s", told(m))
	d.stop()
}

// daemonWithoutServer starts a daemon that tells metrics, whose server is away.
func (a *account) daemonWithoutServer() (d *daemon, base string) {
	a.t.Helper()
	d = a.daemon()
	l := d.logs("where it tells metrics", func(l logLine) bool { return l["msg"] == "metrics are told" })
	d.logs("that it fails", func(l logLine) bool { return l["msg"] == "the run failed" })
	return d, l["address"].(string)
}

func TestMetricsAreForThisMachine(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	a.configure("\n[daemon]\nmetrics = \"0.0.0.0:9465\"\n")
	r := a.exits(2, "daemon")
	need(t, strings.Contains(r.errout, "daemon.metrics: \"0.0.0.0:9465\" can be reached from other machines"), "%v", r)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	a.configure(fmt.Sprintf("\n[daemon]\nmetrics = %q\n", taken.Addr()))
	r = a.exits(1, "daemon")
	need(t, strings.Contains(r.errout, "the address for metrics ([daemon] metrics)") && strings.Contains(r.errout, "address already in use"), "%v", r)
	_, err = os.Stat(filepath.Join(a.state, "daemon.sock"))
	need(t, errors.Is(err, os.ErrNotExist), "the socket is left: %v", err)
}

// A notified is a service manager that listens (sd_notify(3)).
type notified struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func listenAsManager(t *testing.T) *notified {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &notified{t, conn, path}
}

// hears waits for a message that begins so, and gives it.
func (n *notified) hears(prefix string) string {
	n.t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(time.Minute))
	text := make([]byte, 4096)
	for {
		k, err := n.conn.Read(text)
		if err != nil {
			n.t.Fatalf("waiting for %s: %v", prefix, err)
		}
		if s := string(text[:k]); strings.HasPrefix(s, prefix) {
			return s
		}
	}
}

func TestDaemonTellsSystemd(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	a.inStep("")
	manager := listenAsManager(t)
	d := a.daemon("NOTIFY_SOCKET="+manager.path, "WATCHDOG_USEC=100000")
	manager.hears("READY=1")
	manager.hears("STATUS=1 account, none fails")
	manager.hears("WATCHDOG=1")
	manager.hears("WATCHDOG=1")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s := manager.hears("RELOADING=1")
	need(t, regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=\d+$`).MatchString(s), "%q", s)
	manager.hears("READY=1")
	a.server.Stop()
	a.godwit("sync")
	s = manager.hears("STATUS=1 account, 1 failing: me: ")
	need(t, !strings.Contains(s, "\n"), "%q", s)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	manager.hears("STOPPING=1")
	d.logs("its end", func(l logLine) bool { return l["msg"] == "ended" })
}

// The journal keeps the time and takes the priority from the line; who only
// inherited its variable writes as to a terminal.
func TestDaemonWritesForTheJournal(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	for _, own := range []bool{true, false} {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		st, err := in.Stat()
		if err != nil {
			t.Fatal(err)
		}
		sys := st.Sys().(*syscall.Stat_t)
		stream := fmt.Sprintf("%d:%d", sys.Dev, sys.Ino)
		if !own {
			stream += "0"
		}
		cmd := exec.Command(binary, "--config", a.config, "daemon")
		cmd.Env = append(os.Environ(), "JOURNAL_STREAM="+stream)
		cmd.Stderr = in
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in.Close()
		lines := bufio.NewScanner(out)
		lines.Scan()
		first := lines.Text()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		for lines.Scan() {
			need(t, strings.Contains(lines.Text(), "time=") != own, "%s", lines.Text())
		}
		out.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		if own {
			need(t, strings.HasPrefix(first, "<6>level=INFO msg=started accounts=1 "), "%s", first)
		} else {
			need(t, strings.HasPrefix(first, "time="), "%s", first)
		}
	}
}

// A daemon that the system runs is found by commands of a session.
func TestDaemonWithoutARuntimeDirectory(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	a.inStep("")
	d := a.daemon("XDG_RUNTIME_DIR=")
	d.watches()
	t.Setenv("XDG_RUNTIME_DIR", t.TempDir())
	r := a.exits(0, "status")
	need(t, strings.Contains(r.out, "daemon: idle"), "%v", r)
	d.stop()
}

// A daemon that systemd's watchdog ends, or that crashes, ends by a signal: with
// exit code 2, with which Go ends then, it would not be started again. It
// leaves no core.
func TestDaemonCrashesBySignal(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	d := a.daemon("GOTRACEBACK=")
	d.watches()
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", d.cmd.Process.Pid))
	need(t, err == nil && regexp.MustCompile(`(?m)^Max core file size +0 `).Match(limits), "%v\n%s", err, limits)
	d.signal(syscall.SIGABRT)
	for l := range d.lines {
		d.heard = append(d.heard, l)
	}
	var exit *exec.ExitError
	need(t, errors.As(<-d.ended, &exit), "the daemon ended well")
	status, ok := exit.Sys().(syscall.WaitStatus)
	need(t, ok && status.Signaled() && status.Signal() == syscall.SIGABRT && !status.CoreDump(), "it ended by %v", exit)
}
