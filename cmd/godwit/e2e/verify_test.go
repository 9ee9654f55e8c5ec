package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/sync/sidetest"
)

// flip changes one bit in a file and puts back its time, as a failing disk does.
func flip(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	body[len(body)-3] ^= 1
	if err := os.WriteFile(path, body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyAndRepair damages files in each way between two syncs: verify
// names each, repair brings the server's message back and keeps the damaged
// file, and nothing of it reaches the server.
func TestVerifyAndRepair(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		// A message that came from here is known by its bytes as well.
		a.deliver("INBOX", letter(60), date(60), "FS")
		a.sync()
		a.agree()
		a.exits(0, "verify", "--read-data").shows(t, "43 messages in 2 mailboxes: sound, every message was read")
		sound := a.remote()

		flip(t, a.file("INBOX", mark(3)))
		flip(t, a.file("INBOX", mark(60)))
		cut := a.file("Work/Done", mark(105))
		if err := os.Truncate(cut, 120); err != nil {
			t.Fatal(err)
		}
		a.exits(1, "verify").shows(t, "1 fault, 0 mended", "the file ends before its message does")
		a.exits(1, "verify", "--read-data").shows(t, "3 faults, 0 mended")
		r := a.exits(1, "verify", "--read-data", "--repair")
		r.shows(t, "3 faults, 3 mended")
		if n := strings.Count(r.out, "although its size and time are as they were"); n != 2 {
			t.Fatalf("%d flipped files were named: %v", n, r)
		}
		a.exits(0, "verify", "--read-data")
		a.agree()
		if d := sidetest.Compare(sound, a.remote()); d != "" {
			t.Fatalf("the server changed:\n%s", d)
		}
		a.quiet()
		if n := strings.Count(a.exits(0, "restore", "me", "--deleted").out, "letter"); n != 3 {
			t.Fatalf("%d damaged files were kept", n)
		}
	})
}

// TestVerifyLeavesWhatASyncCarries edits one file and deletes another.
func TestVerifyLeavesWhatASyncCarries(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		edited := a.file("INBOX", mark(1))
		body, err := os.ReadFile(edited)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(edited, append(body, "A line more.\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(a.file("INBOX", mark(2))); err != nil {
			t.Fatal(err)
		}
		before := a.fingerprint()
		a.exits(0, "verify", "--read-data", "--repair").shows(t, "no damage: 1 gone here, 1 edited here")
		need(t, a.fingerprint() == before, "verify changed the Maildir")
		a.sync()
		a.agree()
		need(t, a.uid("INBOX", "A line more.") != 0 && a.uid("INBOX", mark(2)) == 0, "the edit or the deletion did not arrive")
	})
}

// TestVerifyOfTheIndex damages and removes the index: it is built anew, no
// body travels, and nothing is deleted.
func TestVerifyOfTheIndex(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.remote()
		index := filepath.Join(a.state, "me", "index.db")
		f, err := os.OpenFile(index, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(make([]byte, 8192), 512); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		a.exits(1, "verify")
		a.exits(1, "verify", "--repair").shows(t, "the damaged index was set aside as "+index+".damaged-")
		for range 2 { // the first time it was damaged, the second time it is gone
			a.exits(1, "verify").shows(t, "the index is gone")
			r := a.sync()
			r.shows(t, "joined 42 messages that both sides had")
			need(t, !regexp.MustCompile(`copied (here|to the server)|deleted`).MatchString(r.out), "something travelled or went: %v", r)
			if d := sidetest.Compare(before, a.remote()); d != "" {
				t.Fatalf("the server changed:\n%s", d)
			}
			a.agree()
			a.exits(0, "verify", "--read-data")
			for _, suffix := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(index + suffix); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
		}
	})
}

// TestRestoreDeleted deletes on both sides and puts everything back.
func TestRestoreDeleted(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.remote()
		for n := range 3 {
			if err := os.Remove(a.file("INBOX", mark(n))); err != nil {
				t.Fatal(err)
			}
		}
		a.server.Doveadm("expunge", "-u", a.user, "mailbox", "Work/Done", "body", mark(104))
		a.sync()
		a.agree()
		list := a.exits(0, "restore", "me", "--deleted").out
		digests := regexp.MustCompile(`(?m)^\S+ \S+  ([0-9a-f]{12})  `).FindAllStringSubmatch(list, -1)
		need(t, len(digests) == 4, "%d messages are listed:\n%s", len(digests), list)
		args := []string{"restore", "me", "--deleted"}
		for _, d := range digests {
			args = append(args, "--message", d[1])
		}
		a.exits(0, args...).shows(t, "4 messages put back")
		a.exits(0, args...).shows(t, "0 messages put back; 4 there already")
		a.sync()
		a.agree()
		if d := sidetest.Compare(before, a.remote()); d != "" {
			t.Fatalf("not everything is as it was:\n%s", d)
		}
		a.quiet()
		a.exits(0, "verify", "--read-data")
	})
}

// shows fails unless standard output has all of these.
func (r result) shows(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		need(t, strings.Contains(r.out, text), "standard output does not say %q: %v", text, r)
	}
}
