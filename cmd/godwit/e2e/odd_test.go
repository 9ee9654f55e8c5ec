package e2e

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// oddBodies are messages that some program or other has trouble with, each
// different from all others.
func oddBodies() [][]byte {
	var out [][]byte
	for _, m := range sidetest.OddMessages() {
		if len(m.Body) > 0 && len(m.Body) < 1<<20 { // large ones have a test of their own
			out = append(out, m.Body)
		}
	}
	head := "From: ada@example.org\r\nMessage-ID: <same@example.org>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\nSubject: twins\r\n\r\n"
	for _, text := range []string{
		head + "one of two\r\n",
		head + "the other \r\n", // same Message-ID, same size
		head + "a third one, longer\r\n",
		"Subject: without a Message-ID\r\n\r\none\r\n",
		"Subject: without a Message-ID\r\n\r\ntwo\r\n",
		"just text, no header, no final newline",
		"\r\n\r\nempty header\r\n",
		"Subject: CRCRLF\r\r\n\r\r\nline\r\r\nline\r\r\n",
		"Subject: all CR\r\rline\rline\r",
		"Subject: invalid MIME\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"x\r\n\r\n--x\r\nContent-Type: text/plain; charset=\"\r\nContent-Transfer-Encoding: base64\r\n\r\n=?=?\r\n--y--\r\n",
		"Content-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: message/rfc822\r\n",
		"Subject: =?utf-8?q?half an encoded\r\n word\r\nFrom: <<<@@@>>>, ,;\r\nDate: yesterday\r\n\r\nbody\r\n",
		": no name\r\n: again\r\n\r\nbody\r\n",
		"Message-ID: \r\nSubject: \r\nFrom: \r\n\r\n\r\n",
		"Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\ntwo names\r\n",
		"\r\nFrom x@y Mon Jan  1 00:00:00 2026\r\n\r\nFrom z\r\n",
		"\xff\xfe\x00\x01",
	} {
		out = append(out, []byte(text))
	}
	return out
}

// asDovecot is a snapshot as Dovecot keeps it: NUL becomes 0x80, a CR before
// CRLF or at the end is dropped, and there are no empty messages.
func asDovecot(snap sidetest.Snapshot) sidetest.Snapshot {
	out := sidetest.Snapshot{}
	for box, list := range snap {
		out[box] = []sidetest.Message{}
		for _, m := range list {
			if len(m.Body) > 0 {
				m.Body = bytes.ReplaceAll(sidetest.Canonical(m.Body), []byte{0}, []byte{0x80})
				m.Body = bytes.TrimSuffix(bytes.ReplaceAll(m.Body, []byte("\r\r\n"), []byte("\r\n")), []byte("\r"))
				out[box] = append(out[box], m)
			}
		}
	}
	return out
}

func TestOddMessages(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		var there []parcel
		bodies := oddBodies()
		for i, body := range bodies {
			there = append(there, parcel{"Odd there", string(body), mail.FlagSet{}, date(i)}, parcel{"INBOX", string(body), mail.NewFlagSet(mail.Seen), date(i)})
			a.deliver("Odd here", string(body), date(i), "")
			a.deliver("INBOX/Odd", strings.ReplaceAll(string(body), "\r\n", "\n"), date(i), "S")
		}
		twice := string(sidetest.Canonical([]byte(letter(1))))
		for range 3 {
			there = append(there, parcel{"Twice", twice, mail.FlagSet{}, date(1)})
		}
		for range 2 {
			a.deliver("Twice", letter(1), date(1), "")
		}
		empty := a.deliver("Odd here", "", date(99), "F")
		a.post(there)

		r := a.exits(1, "sync", "-v")
		need(t, strings.Contains(r.errout, "Odd here") && strings.Count(r.errout, "\n") == 1, "one error was to be told: %v", r)
		need(t, strings.Contains(r.errout, "zero byte"), "it does not say what is wrong: %v", r)
		a.agreesAsDovecot(bodies)
		files, server := mailOf(a.fingerprint()), a.changes()
		r = a.exits(1, "sync", "-v")
		status := a.exits(0, "status")
		need(t, strings.Contains(status.out, "zero byte"), "status does not tell: %v", status)
		need(t, mailOf(a.fingerprint()) == files && a.changes() == server, "a further run changed something:\n%s\n%s\n%s", server, a.changes(), without(strings.Split(mailOf(a.fingerprint()), "\n"), strings.Split(files, "\n")))

		if err := os.Remove(empty); err != nil {
			t.Fatal(err)
		}
		a.sync()
		a.agreesAsDovecot(bodies)
		a.quiet()

		// They all can be changed, moved and deleted like any other.
		for _, name := range a.odd("Odd there") {
			if err := os.Rename(name, strings.TrimSuffix(strings.Replace(name, "/Odd there/new/", "/Odd here/cur/", 1), ":2,")+":2,F"); err != nil {
				t.Fatal(err)
			}
		}
		for i, name := range a.odd("INBOX/Odd") {
			if i%8 == 0 {
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
			}
		}
		w := a.tap()
		a.sync()
		heard := w.take()
		same(t, "both sides", manifest(asDovecot(a.local())), manifest(a.remote()))
		need(t, len(named(heard, "APPEND")) == 0, "moved messages were sent again:\n%s", strings.Join(named(heard, "APPEND"), "\n"))
		a.quiet()

		// What the server keeps in another form than the Maildir can move there, too.
		h := &hand{account: a, c: a.server.Client(a.user)}
		if _, err := h.c.Select("Odd here", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		if _, err := h.c.Move(imap.SeqSet{{Start: 1, Stop: 0}}, "Odd there").Wait(); err != nil {
			t.Fatal(err)
		}
		total := a.local().Messages()
		a.sync()
		same(t, "both sides", manifest(asDovecot(a.local())), manifest(a.remote()))
		need(t, a.local().Messages() == total, "%d messages became %d", total, a.local().Messages())
		a.quiet()
	})
}

// mailOf is a fingerprint without the marker of the root, which is stamped
// before anything is tried.
func mailOf(fingerprint string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(fingerprint, "\n"), func(line string) bool { return strings.Contains(line, "/.godwit ") }), "\n")
}

// odd lists the files of a mailbox.
func (a *account) odd(box string) []string {
	a.t.Helper()
	var out []string
	for _, m := range a.local()[mail.MailboxName(box)] {
		for _, part := range []string{"new", "cur"} {
			path := a.root + "/" + box + "/" + part + "/" + string(m.Ref)
			if _, err := os.Stat(path); err == nil {
				out = append(out, path)
			}
		}
	}
	slices.Sort(out)
	return out
}

// agreesAsDovecot fails unless both sides hold every odd message in every mailbox.
func (a *account) agreesAsDovecot(bodies [][]byte) {
	a.t.Helper()
	local, remote := asDovecot(a.local()), a.remote()
	same(a.t, "Maildir (as Dovecot would have it) and server", manifest(local), manifest(remote))
	snap := sidetest.Snapshot{}
	for i, body := range bodies {
		for _, box := range []mail.MailboxName{"Odd here", "Odd there", "INBOX", "INBOX/Odd"} {
			m := sidetest.Message{Body: body, Date: date(i)}
			if box.Within("INBOX") || box == "INBOX" {
				m.Flags = m.Flags.With(mail.Seen)
			}
			snap[box] = append(snap[box], m)
		}
	}
	for range 3 {
		snap["Twice"] = append(snap["Twice"], sidetest.Message{Body: []byte(letter(1)), Date: date(1)})
	}
	want := manifest(asDovecot(snap))
	same(a.t, "server", manifest(remote), want)
	need(a.t, len(a.local()["Twice"]) == 3, "%d duplicates here, want 3", len(a.local()["Twice"]))
}
