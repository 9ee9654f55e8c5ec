package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// archived is an account with a generation of 24 letters in INBOX and Work.
func archived(a *account, extra string) (*hand, sidetest.Snapshot) {
	a.t.Helper()
	a.configure("backup = true\n" + extra)
	c := a.server.Client(a.user)
	a.t.Cleanup(func() { c.Close() })
	for n := range 24 {
		flags := [][]imap.Flag{{}, {imap.FlagSeen, "$Todo"}, {imap.FlagFlagged}}[n%3]
		a.appendWith(c, []string{"INBOX", "Work"}[n%2], letter(n), date(n), flags...)
	}
	a.sync()
	return &hand{account: a, c: c}, a.remote()
}

// once fails unless every letter of want is there once, on both sides, with
// the flags that it had; and both agree, now and after a further run.
func (h *hand) once(want sidetest.Snapshot) {
	h.t.Helper()
	same(h.t, "the server", manifest(h.remote()), manifest(want))
	same(h.t, "the Maildir", manifest(h.local()), manifest(want))
	r := h.sync()
	same(h.t, "the server, after "+r.out, manifest(h.remote()), manifest(want))
	same(h.t, "the Maildir, after "+r.out, manifest(h.local()), manifest(want))
	h.exits(0, "verify", "me", "--read-data")
}

// fetched are the commands that brought the bodies of these letters back.
func fetched(commands []string) (list []string) {
	for _, c := range tapBodies(commands) {
		if _, rest, _ := strings.Cut(c, " "); !strings.HasPrefix(strings.ToUpper(rest), "APPEND") {
			list = append(list, c)
		}
	}
	return list
}

// A restore into a mailbox that is kept in step: what it brings is in step at
// once, nothing is doubled, and nothing vanishes afterwards.
func TestRestoreIntoSynchronised(t *testing.T) {
	restore := []string{"--at=#1", "--to", "imap:me"}
	t.Run("deleted on both sides", func(t *testing.T) {
		each(t, func(t *testing.T, a *account) {
			h, want := archived(a, "")
			h.deleteThere("INBOX", 0)
			h.deleteHere("INBOX", 2)
			h.deleteHere("Work", 1)
			a.sync()
			a.sync()
			a.configure("") // a backup fetches what is new to the server
			w := a.tap()
			r := a.restored(restore...)
			need(t, strings.Contains(r.out, "3 messages restored to imap:me") && strings.Contains(r.out, "21 there already"), "%v", r)
			// One plain message is read back, to see whether the server keeps what it is given.
			bodies := fetched(w.take())
			need(t, len(bodies) <= 1, "bodies came back: %q", bodies)
			h.once(want)
		})
	})
	t.Run("changed and not in step yet", func(t *testing.T) {
		each(t, func(t *testing.T, a *account) {
			h, want := archived(a, "")
			h.deleteThere("INBOX", 0) // there, and here it is still
			h.deleteHere("INBOX", 2)  // here, and there it is still
			h.deleteHere("Work", 1)
			h.deleteThere("Work", 1)
			a.restored(restore...)
			h.once(want)
		})
	})
	t.Run("deletions that are held", func(t *testing.T) {
		each(t, func(t *testing.T, a *account) {
			h, want := archived(a, "")
			for n := 0; n < 24; n += 2 {
				h.deleteHere("INBOX", n)
			}
			a.exits(3, "sync")
			a.restored(restore...)
			h.once(want)
			a.sync("--accept-deletes")
			h.once(want)
		})
	})
	t.Run("a mailbox that is no more", func(t *testing.T) {
		each(t, func(t *testing.T, a *account) {
			h, want := archived(a, "delete_folders = true\ndelete_guard = \"off\"")
			need(t, h.c.Select("INBOX", nil) != nil && h.c.Delete("Work").Wait() == nil, "the mailbox cannot be deleted")
			a.sync()
			need(t, len(a.local()) == 1, "the mailbox is still here")
			a.restored(restore...)
			h.once(want)
		})
	})
	t.Run("a mailbox that vanished and is held", func(t *testing.T) {
		a := newAccount(t, imaptest.Dovecot(t), "me")
		h, want := archived(a, "")
		need(t, h.c.Delete("Work").Wait() == nil, "the mailbox cannot be deleted")
		a.exits(3, "sync")
		a.restored(restore...)
		h.once(want)
	})
	t.Run("mode pull", func(t *testing.T) {
		a := newAccount(t, imaptest.Dovecot(t), "me")
		h, want := archived(a, `mode = "pull"`)
		h.deleteThere("INBOX", 0)
		h.deleteThere("Work", 1)
		h.deleteHere("Work", 3) // and there it stays
		a.sync()
		need(t, len(a.remote()["Work"]) == 11 && len(a.local()["Work"]) == 10, "the deletion was carried to the server")
		a.restored(restore...)
		h.once(want)
		h.flagThere("Work", 3, imap.FlagAnswered) // it is the same message again
		a.sync()
		a.agree()
	})
	t.Run("mode push", func(t *testing.T) {
		a := newAccount(t, imaptest.Dovecot(t), "me")
		h, want := archived(a, `mode = "push"`)
		h.deleteThere("INBOX", 0)
		r := a.restored(restore...)
		need(t, len(a.local()["INBOX"]) <= 1, "what is on the server alone came here: %v", r)
		same(t, "the server", manifest(a.remote()), manifest(want))
		a.sync()
		same(t, "the server, after a sync", manifest(a.remote()), manifest(want))

		a.deliver("INBOX", letter(30), date(30), "S")
		at := fmt.Sprintf("--at=#%d", generations(a.sync()))
		h.deleteHere("INBOX", 30)
		a.sync()
		need(t, a.uid("INBOX", mark(30)) == 0, "the deletion was not carried over")
		r = a.restored(at, "--to", "imap:me")
		need(t, a.uid("INBOX", mark(30)) != 0 && a.file("INBOX", mark(30)) != "", "it did not come back: %v", r)
		a.sync()
		need(t, a.uid("INBOX", mark(30)) != 0 && a.remote().Messages() == 25, "%d messages on the server", a.remote().Messages())
	})
	t.Run("out of scope", func(t *testing.T) {
		a := newAccount(t, imaptest.Dovecot(t), "me")
		h, want := archived(a, `folders = ["*", "!Old/*"]`)
		a.restored("Work", "--at=#1", "--to", "imap:me", "--into", "Old/Work")
		need(t, len(a.remote()["Old/Work"]) == 12, "%d messages in Old/Work", len(a.remote()["Old/Work"]))
		_, err := os.Stat(filepath.Join(a.root, "Old"))
		need(t, os.IsNotExist(err), "what is out of scope came here: %v", err)
		a.sync()
		same(t, "the Maildir", manifest(h.local()), manifest(want))
		need(t, len(a.remote()["Old/Work"]) == 12, "what was restored out of scope is gone")
	})
}

// A restore into an account that is synchronised is killed at many points,
// on the server, in the Maildir, in the sync after it; the next one ends it.
func TestRestoreIntoSynchronisedKilled(t *testing.T) {
	const points = 8
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h, want := archived(a, `delete_guard = "off"`)
	way := newToll(t, a.server)
	lose := func() {
		for n := range 8 {
			h.deleteThere([]string{"INBOX", "Work"}[n%2], n)
		}
		a.sync()
	}
	lose()
	a.through(&wiretap{port: way.port})
	way.after(0, nil)
	a.restored("--at=#1", "--to", "imap:me")
	all := way.after(0, nil)
	h.once(want)
	for i := range int64(points) {
		lose()
		cmd := exec.Command(binary, "--config", a.config, "restore", "me", "--at=#1", "--to", "imap:me")
		err := way.during(t, cmd, max(1, all*(i+1)/(points+1)), func() {
			cmd.Process.Kill()
			way.cut()
		})
		need(t, err != nil, "it was not killed at point %d", i)
		a.restored("--at=#1", "--to", "imap:me")
		h.once(want)
	}
}

// generations is the number of the generation that a run made.
func generations(r result) (n int) {
	if _, after, ok := strings.Cut(r.out, "backup: generation #"); ok {
		fmt.Sscan(after, &n)
	}
	return n
}

// A message that was there twice and is there once comes back once.
func TestRestoreOfDoubles(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		a.configure("backup = true")
		for range 3 {
			a.append("INBOX", letter(1), date(1), imap.FlagSeen)
		}
		a.sync()
		want := a.remote()
		h := &hand{account: a, c: a.server.Client(a.user)}
		defer h.c.Close()
		h.deleteThere("INBOX", 1)
		h.deleteThere("INBOX", 1)
		a.exits(0, "sync")
		need(t, len(a.local()["INBOX"]) == 1, "%d left", len(a.local()["INBOX"]))
		r := a.restored("--at=#1", "--to", "imap:me")
		need(t, strings.Contains(r.out, "2 messages restored"), "%v", r)
		h.once(want)
	})
}

// A mailbox goes by the name that it had then, single messages without --at by
// the last one.
func TestRestoreOfRenamedMailbox(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h, want := archived(a, "")
		need(t, h.c.Rename("Work", "Projects/New", nil).Wait() == nil, "the mailbox cannot be renamed")
		a.sync()
		dir := filepath.Join(a.dir, "out")
		a.restored("Work", "--at=#1", "--to", "maildir:"+dir)
		same(t, "the Maildir", manifest(a.at(dir).local()), manifest(sidetest.Snapshot{"Work": want["Work"]}))
		a.exits(1, "restore", "me", "Work", "--to", "maildir:"+dir)
		for _, c := range []struct{ at, box string }{{"--at=#1", "Work"}, {"--at=#2", "Projects/New"}, {"", "Projects/New"}} {
			to := filepath.Join(a.dir, "one"+c.at)
			args := []string{"--search", "<3@example.org>", "--to", "maildir:" + to}
			if c.at != "" {
				args = append(args, c.at)
			}
			a.restored(args...)
			got := a.at(to).local()
			need(t, got.Messages() == 1 && find(got, mail.MailboxName(c.box), mark(3)) != nil, "%s: %v", c.at, boxes(got))
		}
	})
}

// Just as it was: on the server, and here; what goes is kept.
func TestRestoreExactly(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h, want := archived(a, "")
		for n := 30; n < 50; n++ { // more than the guard would let go at once
			a.appendWith(h.c, "INBOX", letter(n), date(n))
		}
		a.sync()
		h.deleteHere("INBOX", 4)
		h.flagThere("INBOX", 6, imap.FlagAnswered)
		h.storeThere("Work", 1, imap.StoreFlagsDel, imap.FlagSeen, "$Todo")
		a.appendWith(h.c, "Other", letter(60), date(60))
		r := a.exits(2, "restore", "me", "--at=#1", "--to", "imap:me", "--exact")
		need(t, len(a.remote()["INBOX"]) == 12+20, "something was deleted without a word: %v", r)
		r = a.restored("--at=#1", "--to", "imap:me", "--exact", "--yes")
		need(t, strings.Contains(r.out, "20 messages deleted from imap:me, 2 sets of flags changed"), "%v", r)
		now := a.remote()
		need(t, len(now["Other"]) == 1, "a mailbox that was not there is none of its business")
		want["Other"] = now["Other"]
		h.once(want)
		kept := a.exits(0, "restore", "me", "--deleted").out
		for n := 30; n < 50; n++ {
			need(t, strings.Contains(kept, fmt.Sprintf("letter %d\n", n)), "letter %d is not kept:\n%s", n, kept)
		}
		// The generation that was made first has all of it.
		a.restored("INBOX", "--at=#3", "--to", "maildir:"+filepath.Join(a.dir, "before"))
		before := a.at(filepath.Join(a.dir, "before")).local()["INBOX"]
		need(t, len(before) == 31 && !slices.ContainsFunc(before, func(m sidetest.Message) bool { return m.Flags.Has(mail.Deleted) }), "%d messages before", len(before))
	})
}
