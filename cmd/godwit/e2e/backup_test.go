package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"
	"github.com/klauspost/compress/zstd"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// alone gives the account an archive and no Maildir.
func (a *account) alone() {
	a.t.Helper()
	a.configure("")
	text, err := os.ReadFile(a.config)
	if err != nil {
		a.t.Fatal(err)
	}
	changed := regexp.MustCompile(`(?m)^maildir = .*$`).ReplaceAllString(string(text), `mode = "backup"`)
	if err := os.WriteFile(a.config, []byte(changed), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *account) archiveDir() string { return filepath.Join(a.state, "me", "archive") }

// messageFiles reads every message file of the archive, and fails unless each is
// what its name says.
func (a *account) messageFiles() (n int) {
	a.t.Helper()
	dec, err := zstd.NewReader(nil)
	if err != nil {
		a.t.Fatal(err)
	}
	defer dec.Close()
	err = filepath.WalkDir(filepath.Join(a.archiveDir(), "messages"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		packed, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text, err := dec.DecodeAll(packed, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:])+".zst" != filepath.Base(path) {
			return fmt.Errorf("%s holds other bytes", path)
		}
		n++
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		a.t.Fatal(err)
	}
	return n
}

// generations are those that the archive lists.
func (a *account) generations() []archive.Generation {
	a.t.Helper()
	kept, err := archive.OpenReadOnly(a.t.Context(), a.archiveDir())
	if err != nil {
		a.t.Fatal(err)
	}
	defer kept.Close()
	list, err := kept.Generations(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return list
}

// archived is the mail of generation n; 0 is the newest.
func (a *account) archived(n int64) sidetest.Snapshot {
	a.t.Helper()
	ctx := a.t.Context()
	kept, err := archive.OpenReadOnly(ctx, a.archiveDir())
	if err != nil {
		a.t.Fatal(err)
	}
	defer kept.Close()
	if n == 0 {
		n = newest(a.generations())
	}
	view := kept.View(n)
	boxes, err := view.Survey(ctx, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	snap := sidetest.Snapshot{}
	for i, b := range boxes {
		if b.Container {
			continue
		}
		id := mail.BoxID(i + 1)
		view.Bind(map[mail.BoxID]mail.MailboxName{id: b.Name})
		items := map[mail.Ref]mail.Item{}
		var refs []mail.Ref
		if _, err := view.Scan(ctx, id, plan.Since{}, func(s plan.Seen) error {
			items[s.Ref], refs = s.Item, append(refs, s.Ref)
			return nil
		}); err != nil {
			a.t.Fatal(err)
		}
		snap[b.Name] = nil
		err := view.Fetch(ctx, id, refs, func(ref mail.Ref, _ mail.Item, r io.Reader) error {
			body, err := io.ReadAll(r)
			snap[b.Name] = append(snap[b.Name], sidetest.Message{Ref: ref, Body: body, Flags: items[ref].Flags, Date: items[ref].Date})
			return err
		})
		if err != nil {
			a.t.Fatal(err)
		}
	}
	return snap
}

// keeps fails unless the newest generation is complete and holds what the
// server does, and returns its number.
func (a *account) keeps() int64 {
	a.t.Helper()
	if d := sidetest.Compare(a.archived(0), a.remote()); d != "" {
		a.t.Fatalf("the archive (first) and the server (second) differ:\n%s", tail(d))
	}
	a.messageFiles()
	list := a.generations()
	last := list[len(list)-1]
	need(a.t, last.Complete, "generation %d is not complete: %s", last.Number, last.Why)
	return last.Number
}

// A backup without a Maildir: the server is only read, and every generation
// stays as it was.
func TestBackupAlone(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h := newHand(a)
		first := h.write("INBOX", 20)
		h.write("Work/Done", 5)
		h.write("Old", 3)
		a.alone()
		w := a.tap()
		a.sync()
		was := map[int64]sidetest.Snapshot{a.keeps(): a.remote()}

		h.flagThere("INBOX", first, imap.FlagSeen, "$Todo")
		h.deleteThere("INBOX", first+1)
		h.moveThere("INBOX", first+2, "Work/Done")
		h.write("INBOX", 2)
		must(t, h.c.Rename("Work/Done", "Projects", nil).Wait())
		a.sync()
		was[a.keeps()] = a.remote()

		must(t, h.c.Delete("Old").Wait())
		h.storeThere("INBOX", first, imap.StoreFlagsDel, imap.FlagSeen)
		a.sync()
		was[a.keeps()] = a.remote()

		// The server numbers its messages anew.
		a.server.Doveadm("mailbox", "update", "-u", a.user, "--uid-validity", "4242", "INBOX")
		h.deleteThere("INBOX", first+3)
		heard := w.take()
		a.sync()
		was[a.keeps()] = a.remote()
		anew := w.take()
		need(t, len(tapBodies(anew)) == 0, "bodies travelled though UIDs alone changed: %v", tapBodies(anew))

		need(t, len(was) == 4, "%d generations, not 4", len(was))
		for n, snap := range was {
			if d := sidetest.Compare(a.archived(n), snap); d != "" {
				t.Errorf("generation %d (first) is not what it was (second):\n%s", n, tail(d))
			}
		}
		heard = append(heard, anew...)
		bad := append(writing(heard), named(heard, "SELECT")...)
		need(t, len(bad) == 0, "the server was not only read: %v", bad)
		_, err := os.Stat(a.root)
		need(t, os.IsNotExist(err), "there is a Maildir: %v", err)
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Beside a Maildir in step no body travels for the archive, and what the
// Maildir has otherwise is not taken.
func TestBackupBesideMaildir(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h := newHand(a)
		first := h.write("INBOX", 20)
		h.write("Work/Done", 5)
		a.sync()
		a.sync()
		h.flagThere("INBOX", first, imap.FlagFlagged, "$Todo")
		a.configure("backup = true")
		w := a.tap()
		a.sync()
		heard := w.take()
		need(t, len(tapBodies(heard)) == 0, "bodies travelled: %v", tapBodies(heard))
		if strings.HasSuffix(t.Name(), "/full") { // without UNSELECT a connection is not kept
			need(t, len(named(heard, "LOGIN", "AUTHENTICATE")) == 1, "more than one login: %v", heard)
		}
		a.agree()
		a.keeps()

		// A file is damaged before a new archive is made: that message comes from the
		// server.
		path := h.here("INBOX", first+5)
		text, err := os.ReadFile(path)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		text[len(text)-3] ^= 1
		must(t, os.WriteFile(path, text, 0o600))
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
		must(t, os.RemoveAll(a.archiveDir()))
		must(t, os.RemoveAll(filepath.Join(a.state, "me", "backup")))
		h.write("INBOX", 1)
		a.godwit("sync")
		need(t, len(tapBodies(w.take())) == 2, "other than the new and the damaged message travelled")
		a.keeps()
		text[len(text)-3] ^= 1
		must(t, os.WriteFile(path, text, 0o600))
		must(t, os.Chtimes(path, info.ModTime(), info.ModTime()))

		// Both ways go on, generation by generation.
		h.deleteHere("INBOX", first+7)
		h.flagHere("INBOX", first+8, "S")
		a.sync()
		a.agree()
		n := a.keeps()
		need(t, find(a.archived(n-1), "INBOX", mark(first+7)) != nil, "the generation before lost a message")
	})
}

// A lost index: nothing travels, and the archive is then as the server is.
func TestBackupIndexLost(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h := newHand(a)
		first := h.write("INBOX", 20)
		h.write("Gone", 4)
		a.alone()
		a.sync()
		n := a.keeps()
		was := a.remote()
		must(t, os.RemoveAll(filepath.Join(a.state, "me", "backup")))
		h.deleteThere("INBOX", first)
		h.storeThere("INBOX", first+1, imap.StoreFlagsAdd, imap.FlagFlagged)
		must(t, h.c.Delete("Gone").Wait())
		w := a.tap()
		files := a.messageFiles()
		a.sync()
		a.keeps()
		need(t, len(tapBodies(w.take())) == 0, "bodies travelled")
		need(t, a.messageFiles() == files, "message files were added")
		if d := sidetest.Compare(a.archived(n), was); d != "" {
			t.Errorf("generation %d (first) is not what it was (second):\n%s", n, tail(d))
		}
	})
}

// A backup that died after it had made its generation, before it could
// remember it: the next one tells of that generation.
func TestBackupNotRemembered(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	h.write("INBOX", 3)
	a.alone()
	a.sync()
	remembered := filepath.Join(a.state, "me", "last-run")
	was, err := os.ReadFile(remembered)
	must(t, err)
	h.write("Work", 2)
	a.sync().tells(t, "generation #2")
	must(t, os.WriteFile(remembered, was, 0o600))
	a.sync().tells(t, "backup: nothing changed since generation #2")
	a.exits(0, "status").tells(t, "backup: generation #2 of ")
}

// An archive whose disk is not mounted: nothing is written where it would be.
func TestBackupNotMounted(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	h.write("INBOX", 3)
	a.configure("backup = true")
	a.sync()
	elsewhere := filepath.Join(a.dir, "elsewhere")
	must(t, os.Rename(a.archiveDir(), elsewhere))
	must(t, os.Mkdir(a.archiveDir(), 0o700))
	h.write("INBOX", 1)
	for range 2 {
		r := a.exits(3, "sync")
		r.says(t, "is empty although it held mail at the last backup: if its disk is not mounted, mount it")
		a.agree()
		entries, err := os.ReadDir(a.archiveDir())
		need(t, err == nil && len(entries) == 0, "there is %v, %v", entries, err)
	}
	must(t, os.Remove(a.archiveDir()))
	must(t, os.Rename(elsewhere, a.archiveDir()))
	a.sync()
	a.keeps()
}

// Accounts have each an archive of their own.
func TestBackupTwoAccounts(t *testing.T) {
	server := imaptest.Dovecot(t)
	a, b := newAccount(t, server, "me"), newAccount(t, server, "you")
	ha, hb := newHand(a), newHand(b)
	hb.n = 1000
	ha.write("INBOX", 5)
	hb.write("INBOX", 7)
	a.alone()
	text, err := os.ReadFile(a.config)
	must(t, err)
	_, own, _ := strings.Cut(string(text), "[accounts.me]")
	both := string(text) + "\n[accounts.you]" + strings.Replace(own, `username = "me"`, `username = "you"`, 1)
	must(t, os.WriteFile(a.config, []byte(both), 0o600))
	a.exits(0, "sync")
	a.keeps()
	b.state = filepath.Join(b.dir, "state")
	must(t, os.Mkdir(b.state, 0o700))
	must(t, os.Symlink(filepath.Join(a.state, "you"), filepath.Join(b.state, "me")))
	b.keeps()
	r := a.exits(0, "history", "you", "--find", mark(0))
	r.tells(t, "no message has")
}

// A message that the server will not give is named, and the rest goes on.
func TestBackupQuarantine(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t, imaptest.Maildir()), "me")
	h := newHand(a)
	first := h.write("INBOX", 5)
	a.alone()
	// The server fails whenever the third one's body is asked for.
	uid := fmt.Sprint(a.uid("INBOX", mark(first+2)))
	w := newWiretap(t, a.server.Addr(), func(line string) string {
		if strings.Contains(line, "UID "+uid+" ") && strings.Contains(line, "BODY[]") {
			return "* BYE out of order\r\n"
		}
		return line
	})
	a.through(w)
	for range 2 {
		r := a.exits(1, "sync")
		r.says(t, "message "+uid+" in INBOX is not in the archive")
		snap := a.archived(0)
		need(t, len(snap["INBOX"]) == 4 && find(snap, "INBOX", mark(first+2)) == nil, "%d messages in INBOX", len(snap["INBOX"]))
		list := a.generations()
		need(t, list[len(list)-1].Complete, "not complete: %s", list[len(list)-1].Why)
	}
	a.alone()
	a.sync()
	a.keeps()
}

// newest is the number of the newest generation.
func newest(list []archive.Generation) int64 {
	return slices.MaxFunc(list, func(x, y archive.Generation) int { return int(x.Number - y.Number) }).Number
}
