package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A daemon is a godwit daemon under test, whose log is read line by line.
type daemon struct {
	a     *account
	cmd   *exec.Cmd
	lines chan logLine
	heard []logLine
	ended chan error
}

type logLine map[string]any

// daemon starts one, with more variables in its environment; it is killed at
// the end of the test if it runs still.
func (a *account) daemon(env ...string) *daemon {
	a.t.Helper()
	d := &daemon{a: a, lines: make(chan logLine, 1<<16), ended: make(chan error, 1)}
	d.cmd = exec.Command(binary, "--config", a.config, "--json", "-v", "daemon")
	d.cmd.Env = append(os.Environ(), env...)
	out, err := d.cmd.StderrPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			l := logLine{}
			if json.Unmarshal(lines.Bytes(), &l) != nil {
				l = logLine{"msg": lines.Text()}
			}
			d.lines <- l
		}
		d.ended <- d.cmd.Wait()
		close(d.lines)
	}()
	a.t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		for l := range d.lines {
			d.heard = append(d.heard, l)
		}
		if a.t.Failed() {
			a.t.Logf("the daemon's log:\n%s", tail(fmt.Sprint(d.heard)))
		}
	})
	return d
}

// logs waits until the daemon has logged a line that is wanted.
func (d *daemon) logs(what string, wanted func(logLine) bool) logLine {
	d.a.t.Helper()
	late := time.After(time.Minute)
	for {
		select {
		case l, ok := <-d.lines:
			if !ok {
				d.a.t.Fatalf("the daemon ended before it logged %s", what)
			}
			d.heard = append(d.heard, l)
			if wanted(l) {
				return l
			}
		case <-late:
			d.a.t.Fatalf("the daemon did not log %s", what)
		}
	}
}

// watches waits until both sides are watched.
func (d *daemon) watches() {
	d.a.t.Helper()
	up := map[any]bool{}
	d.logs("that it watches", func(l logLine) bool {
		if l["msg"] == "watching" {
			up[l["what"]] = true
		}
		return len(up) == 2
	})
}

// ran waits for a run that did so much of something.
func (d *daemon) ran(what string, n float64) {
	d.a.t.Helper()
	d.logs(fmt.Sprintf("a run with %s %v", what, n), func(l logLine) bool { return l["msg"] == "ran" && l[what] == n })
}

// stop tells the daemon to end, and expects it to do so cleanly.
func (d *daemon) stop() {
	d.a.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.a.t.Fatal(err)
	}
	d.logs("its end", func(l logLine) bool { return l["msg"] == "ended" })
	if err := <-d.ended; err != nil {
		d.a.t.Fatalf("the daemon ended with %v", err)
	}
}

// watched are servers that are watched in different ways.
var watched = map[string][]imaptest.Option{
	"notify": nil,
	"idle":   {imaptest.Capabilities("IMAP4rev1", "IDLE", "UIDPLUS", "MOVE", "CONDSTORE", "ESEARCH", "NAMESPACE", "LIST-EXTENDED", "LIST-STATUS", "UNSELECT", "LITERAL+", "SASL-IR")},
}

// Whatever changes on one side is on the other soon, by itself; sync and
// status ask the daemon.
func TestDaemonKeepsInStep(t *testing.T) {
	for name, opts := range watched {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, imaptest.Dovecot(t, opts...), "me")
			h := newHand(a)
			first := h.write("INBOX", 3)
			d := a.daemon()
			d.watches()
			a.exits(0, "sync")
			a.agree()

			h.write("INBOX", 1)
			d.ran("copied_here", 1)
			h.flagHere("INBOX", first, "S")
			d.ran("changed", 1)
			h.storeThere("INBOX", first+1, 0, `\Flagged`)
			d.ran("changed", 1)
			h.deleteHere("INBOX", first+2)
			d.ran("deleted_there", 1)
			letter := filepath.Join(a.root, "INBOX", "tmp", "own")
			if err := os.WriteFile(letter, []byte("Subject: own\n\nown\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(letter, filepath.Join(a.root, "INBOX", "new", "own")); err != nil {
				t.Fatal(err)
			}
			d.ran("copied_there", 1)
			a.exits(0, "sync")
			a.agree()

			r := a.exits(0, "status")
			need(t, (strings.Contains(r.out, "daemon: idle") || strings.Contains(r.out, "daemon: running")) && strings.Contains(r.out, "watching the server\n") && strings.Contains(r.out, "watching the maildir\n"), "%v", r)
			d.stop()
			r = a.exits(0, "status")
			need(t, !strings.Contains(r.out, "daemon:"), "%v", r)
		})
	}
}

// What sync prints and ends with is the same whether a daemon runs or not.
func TestSyncByDaemonShowsTheSame(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	h.write("INBOX", 2)
	a.sync()
	alone := [3]result{a.godwit("sync", "--dry-run"), a.godwit("sync", "--folder", "nosuch"), a.godwit("--json", "sync")}
	d := a.daemon()
	d.watches()
	by := [3]result{a.godwit("sync", "--dry-run"), a.godwit("sync", "--folder", "nosuch"), a.godwit("--json", "sync")}
	for i := range alone {
		need(t, alone[i].code == by[i].code && alone[i].errout == by[i].errout, "alone: %v\nby the daemon: %v", alone[i], by[i])
	}
	need(t, alone[0].out == by[0].out && alone[1].out == by[1].out, "alone: %v\nby the daemon: %v", alone, by)
	types := func(r result) (out []string) {
		for line := range strings.Lines(r.out) {
			o := logLine{}
			if err := json.Unmarshal([]byte(line), &o); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			out = append(out, fmt.Sprint(o["type"], o["account"], o["exit"]))
		}
		return out
	}
	need(t, slices.Equal(types(alone[2]), types(by[2])), "alone: %v\nby the daemon: %v", types(alone[2]), types(by[2]))
	d.stop()
}

// A second daemon does not begin, and a changed configuration is taken over;
// a wrong one is not.
func TestDaemonReloads(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	d := a.daemon()
	d.watches()
	r := a.exits(1, "daemon")
	need(t, strings.Contains(r.errout, "another daemon"), "%v", r)
	a.configure("folders = [\"INBOX\"")
	d.logs("that it refuses the configuration", func(l logLine) bool {
		return strings.Contains(fmt.Sprint(l["msg"]), "refused") && l["level"] == "ERROR"
	})
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	a.configure("folders = [\"INBOX\"]\nfsync = false")
	d.logs("that it read the configuration again", func(l logLine) bool { return l["msg"] == "the configuration was read again" })
	d.watches()
	h.makeThere("Left out")
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	_, err := os.Stat(filepath.Join(a.root, "Left out"))
	need(t, os.IsNotExist(err), "a mailbox that is left out was made: %v", err)
	d.stop()
}
