package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// told is what hooks wrote down of what they were told: a line a call.
func (a *account) told(file string) (out []logLine) {
	a.t.Helper()
	text, err := os.ReadFile(filepath.Join(a.dir, file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		l := logLine{}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			a.t.Fatalf("%v in %s", err, line)
		}
		need(a.t, l["account"] == "me" && l["time"] != nil, "told %s", line)
		out = append(out, l)
	}
	return out
}

// writing is a hook that writes down what it is told.
func (a *account) writing(key string) string {
	return fmt.Sprintf("%s = %q\n", key, "cat >>"+filepath.Join(a.dir, key))
}

// hooked waits for a hook to end as said.
func (d *daemon) hooked(kind, msg string) logLine {
	d.a.t.Helper()
	return d.logs(msg+": "+kind, func(l logLine) bool { return l["msg"] == msg && l["hook"] == kind })
}

// inStep brings both sides in step, and then writes the configuration.
func (a *account) inStep(extra string) *hand {
	a.t.Helper()
	h := newHand(a)
	a.sync()
	a.configure(extra)
	return h
}

// arrived counts the messages in what on_new_mail was told, and looks for each.
func (a *account) arrived(told []logLine) (n int) {
	a.t.Helper()
	for _, l := range told {
		need(a.t, l["type"] == "new_mail" && l["more"] == 0.0, "told %v", l)
		for _, box := range l["mailboxes"].([]any) {
			n += int(box.(map[string]any)["messages"].(float64))
		}
		for _, x := range l["messages"].([]any) {
			m := x.(map[string]any)
			found, err := filepath.Glob(filepath.Join(a.root, m["mailbox"].(string), "*", m["ref"].(string)+"*"))
			need(a.t, err == nil && len(found) == 1 && m["size"].(float64) > 0 && m["message_id"] != "", "%v is in %v", m, found)
		}
	}
	return n
}

func TestDaemonRunsHooks(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := a.inStep(a.writing("on_new_mail") + a.writing("on_change"))
	d := a.daemon()
	d.watches()
	first := h.write("INBOX", 3)
	for a.arrived(a.told("on_new_mail")) < 3 {
		d.hooked("on_new_mail", "a hook ran")
	}
	need(t, a.arrived(a.told("on_new_mail")) == 3, "told %v", a.told("on_new_mail"))
	h.flagHere("INBOX", first, "S")
	d.ran("changed", 1)
	for {
		told := a.told("on_change")
		last := told[len(told)-1]
		need(t, last["type"] == "change", "told %v", last)
		if last["remote"].(map[string]any)["flagged"] == 1.0 {
			break
		}
		d.hooked("on_change", "a hook ran")
	}
	need(t, len(a.told("on_new_mail")) <= 3, "a flag was told of as mail: %v", a.told("on_new_mail"))
	d.stop()
}

// The recipe of the documentation, with the real notmuch.
func TestDaemonTellsNotmuch(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := a.inStep("on_new_mail = \"notmuch new --quiet\"\n")
	a.notmuch("new")
	before := strings.TrimSpace(a.notmuch("count", "*"))
	d := a.daemon("NOTMUCH_CONFIG="+filepath.Join(a.dir, "notmuch-config"), "HOME="+a.dir)
	d.watches()
	h.write("INBOX", 1)
	d.hooked("on_new_mail", "a hook ran")
	after := strings.TrimSpace(a.notmuch("count", "*"))
	need(t, before == "200" && after == "201", "notmuch knew %s messages, and now %s", before, after)
	d.stop()
	a.quiet()
}

// A hook that hangs is ended, one that fails is logged, and neither holds up
// the account or makes it fail.
func TestDaemonOutlivesHooks(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := a.inStep("on_new_mail = \"sleep 1000\"\nhook_timeout = \"1s\"\non_change = \"echo no disk; exit 9\"\n")
	d := a.daemon()
	d.watches()
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	l := d.hooked("on_new_mail", "a hook failed")
	need(t, strings.Contains(fmt.Sprint(l["error"]), "took longer than 1s"), "%v", l)
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	l = d.hooked("on_change", "a hook failed")
	need(t, l["error"] == "exit status 9" && l["output"] == "no disk" && l["level"] == "WARN", "%v", l)
	a.exits(0, "sync")
	a.agree()
	r := a.exits(0, "status")
	need(t, !strings.Contains(r.out, "failing"), "%v", r)
	d.stop()
}

// That an account fails is told once, until it works again.
func TestDaemonTellsOfErrorsOnce(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	a.inStep(a.writing("on_error"))
	d := a.daemon()
	d.watches()
	for round := 1; round <= 2; round++ {
		a.server.Stop()
		a.exits(1, "sync")
		a.exits(1, "sync")
		for len(a.told("on_error")) < round {
			d.hooked("on_error", "a hook ran")
		}
		told := a.told("on_error")
		last := told[len(told)-1]
		need(t, len(told) == round && last["type"] == "error" && last["class"] == "network" && last["failures"] == 1.0 &&
			last["since"] != nil && last["error"] != "", "told %v", told)
		a.server.Restart()
		a.exits(0, "sync")
		d.logs("that it works again", func(l logLine) bool { return l["msg"] == "the account works again" })
	}
	need(t, len(a.told("on_error")) == 2, "told %v", a.told("on_error"))
	d.stop()
}

// Without a daemon, sync does the same, and waits for it.
func TestSyncRunsHooks(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	hooks := a.writing("on_new_mail") + a.writing("on_error")
	a.inStep(hooks+"on_change = \"echo broken; exit 1\"\n").write("INBOX", 120)
	a.exits(0, "sync", "--dry-run")
	need(t, a.told("on_new_mail") == nil, "a dry run was told of")
	r := a.exits(0, "sync")
	need(t, strings.Contains(r.errout, "godwit: me: on_change: exit status 1: it said: broken"), "%v", r)
	told := a.told("on_new_mail")
	need(t, len(told) == 1 && told[0]["more"] == 20.0 && len(told[0]["messages"].([]any)) == 100, "told %v", told)
	r = a.exits(0, "sync")
	need(t, r.errout == "" && len(a.told("on_new_mail")) == 1 && a.told("on_error") == nil, "%v", r)

	a.server.Stop()
	a.exits(1, "sync")
	a.exits(1, "sync")
	need(t, len(a.told("on_error")) == 1, "told %v", a.told("on_error"))
	a.server.Restart()
	a.exits(0, "sync")
	a.configure(strings.Replace(hooks, "cat", "sed -n /error/p", 1) + "password_file = \"/nowhere\"\n")
	text, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), fmt.Sprintf("password = %q\n", imaptest.Password), "", 1))
	if err := os.WriteFile(a.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	a.exits(1, "--json", "sync")
	need(t, len(a.told("on_error")) == 2, "told %v", a.told("on_error"))
}

// Told to end, it ends, whatever is under way: a large pull, and hooks that
// would take for ever. What was done is known to the next run.
func TestDaemonEndsUnderWay(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := a.inStep("on_new_mail = \"trap '' TERM; sleep 60\"\n")
	d := a.daemon()
	d.watches()
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	a.post(forInbox(4000))
	d.logs("the tenth copy", func() func(logLine) bool {
		n := 0
		return func(l logLine) bool {
			if l["msg"] == "copied" {
				n++
			}
			return n == 10
		}
	}())
	began := time.Now()
	d.stop()
	t.Logf("ended after %v", time.Since(began))
	l := d.heard[len(d.heard)-1]
	need(t, l["msg"] == "ended", "%v", l)
	a.configure("")
	a.sync()
	a.agree()
	a.quiet()
}

// forInbox are letters for the INBOX.
func forInbox(n int) []parcel {
	list := parcels(n)
	for i := range list {
		list[i].box = "INBOX"
	}
	return list
}

// A second signal does not wait for anything.
func TestDaemonEndsAtOnce(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := a.inStep("on_new_mail = \"trap '' TERM; sleep 10\"\n")
	d := a.daemon()
	d.watches()
	h.write("INBOX", 1)
	d.ran("copied_here", 1)
	for {
		_ = d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-d.ended:
			var exit *exec.ExitError
			need(t, errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signal() == syscall.SIGTERM, "it ended with %v", err)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
}
