package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

const secret = "Subject: secret\n\nof somebody else\n"

// outside makes a Maildir that is none of ours, and a way to see whether
// anything in it changed.
func outside(t *testing.T) (dir string, look func() string) {
	t.Helper()
	dir = fastDir(t)
	for _, name := range []string{"cur/1.secret:2,S", "new/2.secret", "tmp/3.secret.godwit", "dovecot-keywords", ".godwit", "file"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, func() string {
		var out strings.Builder
		err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			text, _ := os.ReadFile(path)
			fmt.Fprintln(&out, path, info.Mode(), info.ModTime(), string(text))
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return out.String()
	}
}

// TestLinksAreNotFollowed replaces a file or directory by a symbolic link to
// something outside of the root, or to nothing, at any call of a run. Nothing
// outside is read to be carried to the server, written, renamed or removed;
// and when the original is back, both sides agree.
func TestLinksAreNotFollowed(t *testing.T) {
	places := []struct{ what, target string }{
		{"Work", "."}, {"INBOX/cur", "cur"}, {"INBOX/new", "new"}, {"INBOX/tmp", "tmp"}, {"Work/cur", "cur"}, {"Work/tmp", "tmp"},
		{"INBOX/dovecot-keywords", "dovecot-keywords"}, {".godwit", ".godwit"}, {"letter", "file"}, {"letter", "nowhere"}, {"Work", "nowhere"},
		{"New", "."}, {"Own/Deep", "."}, {"Work", "INBOX"}, {"Fresh", "."},
	}
	points := 0
	for i, p := range places {
		for call := 1 + i; call < 1250; call += 61 {
			points++
			swapLink(t, p.what, p.target, call, []way{byName, byLink}[points%2])
		}
	}
	t.Logf("%d points", points)
}

func swapLink(t *testing.T, what, target string, call int, by way) {
	t.Helper()
	a, gone := eventful(t, by(Options{FSync: true}))
	defer os.RemoveAll(filepath.Dir(a.opt.Root))
	a.change = func(o *engine.Options) { o.Policy = plan.Mirror() } // a mailbox that is away is left on the server
	dir, look := outside(t)
	before := look()
	to := filepath.Join(dir, target)
	if target == "INBOX" {
		to = a.path("INBOX")
	}
	aside := filepath.Join(filepath.Dir(a.opt.Root), "aside")
	var path string
	_, _ = a.run(&tap{hook: func(n int) {
		if n != call {
			return
		}
		if path = a.path(what); what == "letter" {
			path = a.file("INBOX", 7)
		}
		if err := os.Rename(path, aside); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := os.Symlink(to, path); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
	}})
	_, _ = a.run(&tap{}) // and one with the link in place from the start
	name := fmt.Sprintf("%s as a link to %s at call %d", what, target, call)
	if after := look(); after != before {
		t.Errorf("%s: outside something changed:\n%s\nwas:\n%s", name, after, before)
	}
	for box, list := range a.server.Snapshot() {
		for _, msg := range list {
			if strings.Contains(string(msg.Body), "secret") {
				t.Errorf("%s: what lies outside came to %s on the server", name, box)
			}
		}
	}
	if path == "" {
		return // the run made fewer calls
	}
	if st, err := os.Lstat(path); err == nil && st.Mode()&os.ModeSymlink != 0 {
		a.must(os.Remove(path))
		if _, err := os.Lstat(aside); err == nil {
			a.must(os.Rename(aside, path))
		}
	}
	a.checkWhole(name, gone)
	for range 3 { // a mailbox that was away is matched anew
		_, _ = a.run(&tap{})
	}
	local, remote := a.disk(), a.server.Snapshot()
	for _, held := range []string{"Gone", "Lost"} { // held, as nothing removes mailboxes here
		delete(local, mail.MailboxName(held))
		delete(remote, mail.MailboxName(held))
	}
	if d := sidetest.Compare(local, remote); d != "" {
		t.Errorf("%s: when it is back:\n%s%s", name, d, strings.Join(a.events, "\n"))
	}
}
