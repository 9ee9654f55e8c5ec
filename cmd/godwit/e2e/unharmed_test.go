package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// settled fills both sides with 30 messages in INBOX and 12 in Work/Done, in
// step.
func (a *account) settled() {
	a.t.Helper()
	c := a.server.Client(a.user)
	defer c.Close()
	for i := range 30 {
		a.appendWith(c, "INBOX", letter(i), date(i), imap.FlagSeen)
	}
	for i := range 12 {
		a.appendWith(c, "Work/Done", letter(100+i), date(i), "$Todo")
	}
	a.sync()
	a.agree()
}

// unharmed fails if any of these messages has gone from where it was.
func unharmed(t *testing.T, side string, before, after sidetest.Snapshot) {
	t.Helper()
	for box, list := range before {
		left := map[string]int{}
		for _, m := range after[box] {
			left[string(sidetest.Canonical(m.Body))]++
		}
		for _, m := range list {
			key := string(sidetest.Canonical(m.Body))
			if left[key] == 0 {
				t.Fatalf("%s: a message is gone from %s:\n%s", side, box, m.Body)
			}
			left[key]--
		}
	}
}

// says fails unless standard error has all of these.
func (r result) says(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		need(t, strings.Contains(r.errout, text), "standard error does not say %q: %v", text, r)
	}
}

// tells fails unless the output, in all, has this.
func (r result) tells(t *testing.T, text string) {
	t.Helper()
	need(t, strings.Contains(r.out+r.errout, text), "nothing says %q: %v", text, r)
}

// standsStill fails unless a run changes nothing on either side and exits so.
func (a *account) standsStill(code int) result {
	a.t.Helper()
	local, remote := a.local(), a.changes()
	r := a.exits(code, "sync", "-v")
	if d := sidetest.Compare(local, a.local()); d != "" {
		a.t.Fatalf("the Maildir changed:\n%s\n%v", tail(d), r)
	}
	need(a.t, a.changes() == remote, "the server changed:\n%s\nnow\n%s\n%v", remote, a.changes(), r)
	return r
}

// emptyMaildir removes every message file.
func (a *account) emptyMaildir() {
	a.t.Helper()
	for box := range a.local() {
		for _, part := range []string{"cur", "new"} {
			dir := filepath.Join(a.root, string(box), part)
			entries, err := os.ReadDir(dir)
			if err != nil {
				a.t.Fatal(err)
			}
			for _, e := range entries {
				if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
					a.t.Fatal(err)
				}
			}
		}
	}
}

func TestEmptiedMaildir(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.remote()
		a.emptyMaildir()
		a.standsStill(3).says(t, "--accept-deletes", "--reject-deletes", "INBOX: 30 ", "Work/Done: 12 ")
		unharmed(t, "server", before, a.remote())
		a.standsStill(3).says(t, "--accept-deletes", "--reject-deletes")
		need(t, strings.Contains(a.godwit("status").out, "held"), "status does not tell what is held: %v", a.godwit("status"))
		a.sync("--reject-deletes")
		a.agree()
		unharmed(t, "maildir", before, a.local())
		unharmed(t, "server", before, a.remote())
		a.quiet()
	})
}

// What is accepted is what was held, no more.
func TestAcceptedDeletions(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		a.emptyMaildir()
		a.standsStill(3)
		a.append("INBOX", letter(200), date(200))
		a.sync("--accept-deletes")
		a.agree()
		server := a.remote()
		need(t, server.Messages() == 1 && find(server, "INBOX", mark(200)) != nil, "%d messages are left, want letter 200 alone", server.Messages())
		a.quiet()
	})
}

func TestRemovedRoot(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.remote()
		if err := os.RemoveAll(a.root); err != nil {
			t.Fatal(err)
		}
		a.standsStill(3).says(t, "mount", "--reject-deletes")
		if _, err := os.Stat(a.root); !os.IsNotExist(err) {
			t.Fatalf("the root was made: %v", err)
		}
		if err := os.MkdirAll(a.root, 0o700); err != nil { // the mount point without its disk
			t.Fatal(err)
		}
		a.standsStill(3).says(t, "mount", "--reject-deletes")
		a.exits(3, "sync", "--accept-deletes")
		unharmed(t, "server", before, a.remote())
		a.sync("--reject-deletes")
		a.agree()
		unharmed(t, "server", before, a.remote())
		a.quiet()
	})
}

// A Maildir restored from a backup: what changed since on either side stays,
// what was deleted since comes back.
func TestRestoredRoot(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		week := filepath.Join(a.dir, "week")
		otherProgram(t, nil, "cp", "-a", a.root, week)
		old := a.local()

		a.append("INBOX", letter(200), date(200))
		a.deliver("Work/Done", letter(201), date(201), "S")
		for _, n := range []int{3, 4} {
			if err := os.Remove(a.file("INBOX", mark(n))); err != nil {
				t.Fatal(err)
			}
		}
		path := a.file("Work/Done", mark(105))
		if err := os.Rename(path, path+"F"); err != nil {
			t.Fatal(err)
		}
		a.sync()
		a.agree()
		recent := a.remote()
		need(t, a.uid("INBOX", mark(3)) == 0, "the deletion did not arrive")

		if err := os.RemoveAll(a.root); err != nil {
			t.Fatal(err)
		}
		otherProgram(t, nil, "cp", "-a", week, a.root)
		a.sync().tells(t, "nothing is deleted")
		a.agree()
		unharmed(t, "server", recent, a.remote())
		unharmed(t, "maildir", old, a.local())
		need(t, a.remote().Messages() == 44, "%d messages, want 44", a.remote().Messages())
		need(t, find(a.local(), "Work/Done", mark(105)).Flags.Has(mail.Flagged), "the flag set since is gone")
		a.quiet()
	})
}

// A server that suddenly lists nothing at all, or only a part, has not
// deleted anything.
func TestEmptyList(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.local()
		listed := regexp.MustCompile(`^\* (LIST|STATUS) `)
		a.through(newWiretap(t, a.server.Addr(), func(line string) string {
			if listed.MatchString(line) {
				return ""
			}
			return line
		}))
		a.standsStill(1).says(t, "the server lists no mailboxes")
		a.through(newWiretap(t, a.server.Addr(), func(line string) string {
			if listed.MatchString(line) && !strings.Contains(line, "INBOX") {
				return ""
			}
			return line
		}))
		a.standsStill(3).says(t, "Work/Done", "--accept-deletes", "--reject-deletes")
		a.configure("") // past the wiretap again
		a.quiet()
		unharmed(t, "maildir", before, a.local())
	})
}

func TestNewlyExcluded(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.remote()
		a.configure(`folders = ["*", "!Work/*"]`)
		a.standsStill(0)
		if err := os.Remove(a.file("Work/Done", mark(101))); err != nil { // a local matter
			t.Fatal(err)
		}
		a.standsStill(0)
		// Moved out of scope: it is held, not deleted.
		path := a.file("INBOX", mark(7))
		if err := os.Rename(path, filepath.Join(a.root, "Work/Done/cur", filepath.Base(path))); err != nil {
			t.Fatal(err)
		}
		r := a.exits(0, "sync", "-v")
		r.tells(t, "out of scope")
		unharmed(t, "server", before, a.remote())
		r = a.standsStill(0)
		need(t, !strings.Contains(r.out+r.errout, "out of scope"), "told again: %v", r)
		// In scope again it is the move that it was.
		a.configure("")
		a.sync()
		a.agree()
		need(t, a.uid("Work/Done", mark(7)) != 0 && a.uid("INBOX", mark(7)) == 0, "the move did not arrive")
		need(t, a.uid("Work/Done", mark(101)) == 0, "the deletion did not arrive")
		a.quiet()
	})
}

func TestFromPullToMirror(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.configure(`mode = "pull"`)
		a.settled()
		before := a.remote()
		for n := range 5 {
			if err := os.Remove(a.file("INBOX", mark(n))); err != nil {
				t.Fatal(err)
			}
		}
		a.deliver("INBOX", letter(200), date(200), "S")
		a.exits(0, "sync", "-v")
		unharmed(t, "server", before, a.remote())
		need(t, a.uid("INBOX", mark(200)) == 0, "pull pushed")
		a.configure(`mode = "mirror"`)
		a.sync().tells(t, "the mode changed from pull to mirror")
		a.agree()
		unharmed(t, "server", before, a.remote())
		need(t, a.uid("INBOX", mark(200)) != 0, "mirror did not push")
		a.quiet()
	})
}

// The server numbers its messages anew: they are known again by their
// headers, changes of the meantime are carried over.
func TestNewUIDVALIDITY(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		before := a.remote()
		path := a.file("INBOX", mark(5))
		if err := os.Rename(path, strings.TrimSuffix(path, "S")+"FS"); err != nil {
			t.Fatal(err)
		}
		a.append("INBOX", letter(200), date(200))
		a.server.Doveadm("mailbox", "update", "-u", a.user, "--uid-validity", "4242", "INBOX")
		w := a.tap()
		r := a.sync()
		r.tells(t, "UIDVALIDITY")
		need(t, len(tapBodies(w.take())) == 1, "more than the new message travelled: %v", r)
		a.agree()
		unharmed(t, "server", before, a.remote())
		need(t, find(a.remote(), "INBOX", mark(5)).Flags.Has(mail.Flagged), "the flag of the meantime is gone")
		a.quiet()
	})
}

// A server that lost its lists of UIDs gives every message another one.
func TestServerLostItsUIDs(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t, imaptest.Maildir()), "me")
	a.settled()
	before := a.remote()
	a.server.Stop()
	err := filepath.WalkDir(a.server.Home("me"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), "dovecot") && d.Name() != "dovecot-keywords" {
			err = os.RemoveAll(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	a.server.Restart()
	w := a.tap()
	r := a.sync()
	need(t, len(tapBodies(w.take())) == 0, "bodies travelled: %v", r)
	a.agree()
	unharmed(t, "server", before, a.remote())
	need(t, a.remote().Messages() == 42, "%d messages, want 42", a.remote().Messages())
	a.quiet()
}

func TestAnotherUser(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		first, here := a.remote(), a.local()
		other := newAccount(t, a.server, "somebody")
		other.append("INBOX", letter(300), date(300))
		other.append("INBOX", letter(5), date(5)) // both have this one
		a.user = "somebody"
		a.configure("")
		a.sync().tells(t, "another server or user")
		a.agree()
		unharmed(t, "maildir", here, a.local())
		need(t, len(a.local()["INBOX"]) == 31, "%d messages in INBOX, want 31", len(a.local()["INBOX"]))
		a.quiet()
		a.user = "me"
		if d := sidetest.Compare(first, a.remote()); d != "" {
			t.Fatalf("the first user's mail changed:\n%s", d)
		}
	})
}

func TestLostOrOldIndex(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		index := filepath.Join(a.state, "me", "index.db")
		saved, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		a.append("INBOX", letter(200), date(200))
		if err := os.Remove(a.file("INBOX", mark(3))); err != nil {
			t.Fatal(err)
		}
		a.sync()
		a.agree()
		before := a.remote()
		replace := func(old []byte) {
			for _, suffix := range []string{"", "-wal", "-shm"} {
				if err := os.Remove(index + suffix); err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
			}
			if old != nil {
				if err := os.WriteFile(index, old, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		for name, old := range map[string][]byte{"lost": nil, "old": saved} {
			replace(old)
			w := a.tap()
			r := a.sync()
			if sent := tapBodies(w.take()); len(sent) > 0 {
				t.Fatalf("%s: bodies travelled: %v\n%v", name, sent, r)
			}
			a.agree()
			unharmed(t, name, before, a.remote())
			need(t, a.remote().Messages() == 42, "%s: %d messages, want 42", name, a.remote().Messages())
			a.quiet()
		}
	})
}

// A mailbox that the server lets nobody write to: told once, never fought over.
func TestReadOnlyMailbox(t *testing.T) {
	for name, opts := range shapes {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, imaptest.Dovecot(t, append(opts, imaptest.ReadOnly("Shut"))...), "me")
			a.server.Doveadm("mailbox", "create", "-u", "me", "Shut")
			for i := range 5 {
				a.append("INBOX", letter(i), date(i))
			}
			a.server.Doveadm("-o", "plugin/acl=", "copy", "-u", "me", "Shut", "mailbox", "INBOX", "all")
			a.sync()
			a.agree()
			before := a.remote()

			if err := os.Remove(a.file("Shut", mark(1))); err != nil {
				t.Fatal(err)
			}
			path := a.file("Shut", mark(2))
			if err := os.Rename(path, filepath.Join(a.root, "Shut", "cur", strings.TrimSuffix(filepath.Base(path), ":2,")+":2,F")); err != nil {
				t.Fatal(err)
			}
			a.deliver("Shut", letter(50), date(50), "S")
			r := a.exits(0, "sync", "-v")
			r.tells(t, "Shut")
			if d := sidetest.Compare(before, a.remote()); d != "" {
				t.Fatalf("the server changed:\n%s", d)
			}
			here := a.local()
			r = a.exits(0, "sync", "-v")
			need(t, !strings.Contains(r.out+r.errout, "Shut"), "told again: %v", r)
			if d := sidetest.Compare(here, a.local()); d != "" {
				t.Fatalf("a further run changed the Maildir:\n%s", d)
			}
			need(t, strings.Contains(a.godwit("status").out, "declined"), "status does not tell it: %v", a.godwit("status"))
		})
	}
}

// A server whose PERMANENTFLAGS lack \* stores no keyword: told once, kept
// here, never taken for a removal.
func TestServerWithoutKeywords(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		keyword := regexp.MustCompile(` ?(\$[A-Za-z]+|\\\*)`)
		w := newWiretap(t, a.server.Addr(), func(line string) string {
			if strings.Contains(line, "FLAGS (") {
				line = strings.ReplaceAll(keyword.ReplaceAllString(line, ""), "( ", "(")
			}
			return line
		})
		a.through(w)
		for i := range 5 {
			a.append("INBOX", letter(i), date(i))
		}
		a.sync()
		if err := os.WriteFile(filepath.Join(a.root, "INBOX", "dovecot-keywords"), []byte("0 $Todo\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		path := a.file("INBOX", mark(2))
		if err := os.Rename(path, filepath.Join(a.root, "INBOX", "cur", strings.TrimSuffix(filepath.Base(path), ":2,")+":2,Sa")); err != nil {
			t.Fatal(err)
		}
		a.deliver("INBOX", letter(9), date(9), "Sa")
		r := a.exits(0, "sync", "-v")
		r.tells(t, "$Todo")
		for _, c := range w.take() {
			need(t, !strings.Contains(c, "$Todo"), "the keyword was sent: %s", c)
		}
		need(t, find(a.remote(), "INBOX", mark(2)).Flags.Has(mail.Seen), "what the server can store did not arrive")
		for range 2 {
			before := a.fingerprint()
			r = a.exits(0, "sync", "-v")
			need(t, !strings.Contains(r.out+r.errout, "$Todo") && a.fingerprint() == before, "told or written again: %v", r)
		}
		for _, n := range []int{2, 9} {
			need(t, find(a.local(), "INBOX", mark(n)).Flags.Has("$Todo"), "the keyword of letter %d is gone here", n)
		}
	})
}
