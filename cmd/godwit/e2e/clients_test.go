package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A household is an account whose Maildir a second Dovecot serves, with the
// user who owns both.
type household struct {
	*account
	tree  tree
	local *imaptest.Server
}

// newHousehold starts a Dovecot over the Maildir of an account.
func newHousehold(t *testing.T, plus bool) *household {
	t.Helper()
	dir, err := os.MkdirTemp("", "household")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	h := &household{account: newAccount(t, imaptest.Dovecot(t), "me"), tree: tree{plus: plus, utf8: !plus}}
	h.dir, h.root, h.state, h.config = dir, filepath.Join(dir, "Mail"), filepath.Join(dir, "state"), filepath.Join(dir, "config.toml")
	h.configure(h.tree.lines())
	location := "maildir:" + h.root
	if !plus {
		location += ":LAYOUT=fs:UTF-8:INBOX=" + h.root + "/INBOX"
	}
	h.local = imaptest.Dovecot(t, imaptest.Location(location))
	h.own()
	return h
}

// own gives everything to the owner of the Maildir: Dovecot does not serve root.
func (h *household) own() {
	h.t.Helper()
	if os.Geteuid() != 0 {
		return
	}
	u, err := user.Lookup("mail")
	if err != nil {
		h.t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	h.runAs = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	for _, dir := range []string{filepath.Dir(binary), h.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			h.t.Fatal(err)
		}
	}
	err = filepath.WalkDir(h.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, uid, gid)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// together fails unless the Maildir and the server hold the same.
func (h *household) together() {
	h.t.Helper()
	if d := sidetest.Compare(h.tree.read(h.t, h.root), h.remote()); d != "" {
		h.t.Fatalf("the Maildir (first) and the server (second) differ:\n%s", tail(d))
	}
}

// A reader is one mail program, connected by IMAP.
type reader struct {
	t *testing.T
	c *imapclient.Client
}

// uids finds the messages of the selected mailbox that contain a text.
func (r reader) uids(text string) imap.UIDSet {
	r.t.Helper()
	found, err := r.c.UIDSearch(&imap.SearchCriteria{Text: []string{text}}, nil).Wait()
	if err != nil {
		r.t.Fatal(err)
	}
	uids := found.AllUIDs()
	if len(uids) != 1 {
		r.t.Fatalf("%d messages contain %q", len(uids), text)
	}
	return imap.UIDSetNum(uids...)
}

func (r reader) enter(box string) {
	r.t.Helper()
	if _, err := r.c.Select(box, nil).Wait(); err != nil {
		r.t.Fatal(err)
	}
}

func (r reader) flag(text string, op imap.StoreFlagsOp, flags ...imap.Flag) {
	r.t.Helper()
	if err := r.c.Store(r.uids(text), &imap.StoreFlags{Op: op, Flags: flags, Silent: true}, nil).Close(); err != nil {
		r.t.Fatal(err)
	}
}

func (r reader) move(text, to string) {
	r.t.Helper()
	if _, err := r.c.Move(r.uids(text), to).Wait(); err != nil {
		r.t.Fatal(err)
	}
}

func (r reader) remove(text string) {
	r.t.Helper()
	uids := r.uids(text)
	if err := r.c.Store(uids, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagDeleted}, Silent: true}, nil).Close(); err != nil {
		r.t.Fatal(err)
	}
	if err := r.c.UIDExpunge(uids).Close(); err != nil {
		r.t.Fatal(err)
	}
}

func eachLayout(t *testing.T, test func(t *testing.T, h *household)) {
	for _, plus := range []bool{false, true} {
		name := map[bool]string{false: "fs", true: "maildir++"}[plus]
		t.Run(name, func(t *testing.T) { test(t, newHousehold(t, plus)) })
	}
}

// settle puts 40 letters into INBOX and some into Work/Grün, in step.
func (h *household) settle() {
	h.t.Helper()
	c := h.server.Client(h.user)
	defer c.Close()
	for i := range 40 {
		h.appendWith(c, "INBOX", letter(i), date(i))
	}
	for i := range 10 {
		h.appendWith(c, "Work/Grün", letter(100+i), date(100+i), "$Project")
	}
	h.sync()
	h.together()
}

func TestDovecotOverTheMaildir(t *testing.T) {
	eachLayout(t, func(t *testing.T, h *household) {
		h.settle()
		here := reader{t, h.local.Client("me")}
		here.enter("INBOX")
		here.flag(mark(1), imap.StoreFlagsAdd, imap.FlagSeen, "$Label1", "Urgent")
		here.flag(mark(2), imap.StoreFlagsAdd, imap.FlagFlagged, imap.FlagAnswered)
		here.move(mark(3), "Work/Grün")
		here.remove(mark(4))
		h.appendWith(here.c, "Neu", letter(200), date(200), imap.FlagSeen, "$Label1")
		there := reader{t, h.server.Client("me")}
		there.enter("INBOX")
		there.flag(mark(5), imap.StoreFlagsAdd, "$Later", "Urgent")
		here.flag(mark(6), imap.StoreFlagsAdd, "$Forwarded") // Dovecot gives it a letter, beside everybody's P
		there.move(mark(7), "Work/Grün")
		h.sync()
		h.together()
		server := h.remote()
		for _, f := range []mail.Flag{mail.Seen, "$Label1", "Urgent"} {
			need(t, find(server, "INBOX", mark(1)).Flags.Has(f), "%s did not arrive on the server", f)
		}
		need(t, find(server, "Neu", mark(200)) != nil && find(server, "Neu", mark(200)).Flags.Has("$Label1"), "the new mailbox did not arrive")
		need(t, find(server, "Work/Grün", mark(3)) != nil && find(server, "INBOX", mark(4)) == nil, "the move or the deletion did not arrive")

		// What the local Dovecot now says is what the server has, names of
		// keywords included, whatever letters the two of them chose.
		local := *h.account
		local.server = h.local
		if d := sidetest.Compare(local.remote(), server); d != "" {
			t.Fatalf("the Dovecot over the Maildir (first) and the server (second) differ:\n%s", d)
		}
		here.enter("INBOX")
		here.flag(mark(5), imap.StoreFlagsDel, "$Later")
		here.flag(mark(8), imap.StoreFlagsAdd, "$Later")
		there.flag(mark(9), imap.StoreFlagsAdd, "$Forwarded")
		there.flag(mark(6), imap.StoreFlagsDel, "$Forwarded")
		h.sync()
		h.together()
		if d := sidetest.Compare(local.remote(), h.remote()); d != "" {
			t.Fatalf("the Dovecot over the Maildir (first) and the server (second) differ:\n%s", d)
		}
		flags := find(h.remote(), "INBOX", mark(5)).Flags
		need(t, !flags.Has("$Later") && flags.Has("Urgent"), "letter 5 has %v", flags)
		h.quiet()
	})
}

// A mail program flags, moves and deletes while godwit runs again and again.
func TestDovecotBesideRunningGodwit(t *testing.T) {
	eachLayout(t, func(t *testing.T, h *household) {
		h.settle()
		here := reader{t, h.local.Client("me")}
		there := reader{t, h.server.Client("me")}
		here.enter("INBOX")
		there.enter("INBOX")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for i := range 8 { // each letter is changed by one side only
				here.flag(mark(i), imap.StoreFlagsAdd, imap.FlagSeen, "$Read")
				there.flag(mark(10+i), imap.StoreFlagsAdd, imap.FlagFlagged, "$Star")
				here.move(mark(i), "Work/Grün")
				there.move(mark(10+i), "Work/Grün")
				here.flag(mark(20+i), imap.StoreFlagsAdd, imap.FlagAnswered)
				here.flag(mark(20+i), imap.StoreFlagsDel, imap.FlagAnswered)
			}
			here.remove(mark(30))
			there.remove(mark(31))
		}()
		runs := 0
		for busy := true; busy; runs++ {
			select {
			case <-done:
				busy = false
			default:
			}
			if r := h.godwit("sync", "-v"); r.code != 0 && r.code != 1 { // 1: it never stood still
				t.Fatalf("run %d: %v", runs, r)
			}
		}
		need(t, !t.Failed(), "a mail program failed")
		h.sync()
		h.together()
		server := h.remote()
		need(t, server.Messages() == 48, "%d messages after %d runs, want 48", server.Messages(), runs)
		for i := range 8 {
			m := find(server, "Work/Grün", mark(i))
			need(t, m != nil && m.Flags.Has("$Read") && m.Flags.Has(mail.Seen), "letter %d: %v", i, m)
			m = find(server, "Work/Grün", mark(10+i))
			need(t, m != nil && m.Flags.Has("$Star"), "letter %d: %v", 10+i, m)
		}
		h.quiet()
	})
}

// mutt runs the real mutt over a mailbox, on a terminal of its own, and types keys.
func (a *account) mutt(box, keys string) {
	a.t.Helper()
	rc := filepath.Join(a.dir, "muttrc")
	text := fmt.Sprintf(`set folder = %q
set spoolfile = "=INBOX"
set record = ""
set mbox_type = Maildir
set delete = yes
set quit = yes
set confirmappend = no
set confirmcreate = no
set move = no
set wait_key = no
set sleep_time = 0
set sort = date
push "%s<sync-mailbox><exit>"
`, a.root, keys)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	otherProgram(a.t, []string{"TERM=vt100", "HOME=" + a.dir, "LANG=C.UTF-8"}, "script", "-qec",
		fmt.Sprintf("mutt -n -F %s -f %s", rc, filepath.Join(a.root, box)), "/dev/null")
}

func TestMutt(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		a.append("INBOX", letter(60), date(60))
		a.sync()
		pick := func(n int, key string) string {
			return fmt.Sprintf("<untag-pattern>~A<enter><tag-pattern>~i [^0-9]%d@example<enter><tag-prefix-cond>%s<end-cond>", n, key)
		}
		a.mutt("INBOX", pick(3, "<flag-message>")+pick(4, "<delete-message>")+pick(5, "<save-message>=Work/Done<enter>")+
			pick(6, "<set-flag>r")+pick(7, "<copy-message>=Work/Done<enter>")+pick(8, "<toggle-new>")+pick(60, "<clear-flag>N"))
		a.sync()
		a.agree()
		server := a.remote()
		need(t, find(server, "INBOX", mark(3)).Flags.Has(mail.Flagged), "the flag did not arrive")
		need(t, find(server, "INBOX", mark(4)) == nil, "the deletion did not arrive")
		need(t, find(server, "INBOX", mark(5)) == nil && find(server, "Work/Done", mark(5)) != nil, "the move did not arrive")
		need(t, find(server, "INBOX", mark(6)).Flags.Has(mail.Answered), "the answered flag did not arrive")
		need(t, find(server, "INBOX", mark(7)) != nil && find(server, "Work/Done", mark(7)) != nil, "the copy did not arrive")
		need(t, !find(server, "INBOX", mark(8)).Flags.Has(mail.Seen), "letter 8 is still seen")
		need(t, find(server, "INBOX", mark(60)).Flags.Has(mail.Seen), "letter 60 was read here")
		need(t, server.Messages() == 43, "%d messages, want 43", server.Messages())
		a.quiet()
	})
}

// notmuch runs the real notmuch over the Maildir.
func (a *account) notmuch(args ...string) string {
	a.t.Helper()
	rc := filepath.Join(a.dir, "notmuch-config")
	text := fmt.Sprintf("[database]\npath=%s\n[user]\nname=Ben\nprimary_email=ben@example.org\n[new]\ntags=unread;inbox\nignore=.godwit\n[maildir]\nsynchronize_flags=true\n", a.root)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return otherProgram(a.t, []string{"NOTMUCH_CONFIG=" + rc, "HOME=" + a.dir}, "notmuch", args...)
}

func TestNotmuch(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.settled()
		a.append("INBOX", letter(60), date(60))
		a.sync()
		a.notmuch("new")
		need(t, strings.TrimSpace(a.notmuch("count", "*")) == "43", "notmuch found %s messages", a.notmuch("count", "*"))
		a.notmuch("tag", "+flagged", "--", "id:3@example.org")
		a.notmuch("tag", "+replied", "-unread", "--", "id:60@example.org") // from new to cur
		a.notmuch("tag", "+unread", "--", "id:8@example.org")
		a.sync()
		a.agree()
		server := a.remote()
		need(t, find(server, "INBOX", mark(3)).Flags.Has(mail.Flagged), "the flag did not arrive")
		need(t, find(server, "INBOX", mark(60)).Flags.Equal(mail.NewFlagSet(mail.Seen, mail.Answered)), "letter 60 has %v", find(server, "INBOX", mark(60)).Flags)
		need(t, !find(server, "INBOX", mark(8)).Flags.Has(mail.Seen), "letter 8 is still seen")

		there := reader{t, a.server.Client(a.user)}
		there.enter("INBOX")
		there.flag(mark(9), imap.StoreFlagsAdd, imap.FlagFlagged)
		there.move(mark(10), "Work/Done")
		there.remove(mark(11))
		a.sync()
		a.agree()
		a.notmuch("new")
		need(t, strings.TrimSpace(a.notmuch("count", "tag:flagged")) == "2", "notmuch does not see the server's flag")
		need(t, strings.TrimSpace(a.notmuch("count", "folder:Work/Done")) == "13", "notmuch does not see the server's move")
		need(t, strings.TrimSpace(a.notmuch("count", "*")) == "42", "notmuch does not see the server's deletion")
		a.sync()
		a.agree()
		a.quiet()
	})
}
