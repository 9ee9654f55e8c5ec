package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A specimen is one message of the mail that is adopted.
type specimen struct {
	box, body string
	date      time.Time
	flags     []imap.Flag
}

// adoptBoxes are the mailboxes of the mail that is adopted.
var adoptBoxes = []string{"INBOX", "Work/Überblick", "Ärger & Co", "Archive/2020/Q1", "日本語"}

// specimens are 500 messages, no two with equal headers: some without a
// Message-ID, some with one in common, with 8-bit headers, with long lines.
func specimens() []specimen {
	var out []specimen
	for i := range 500 {
		s := specimen{box: "INBOX", date: date(i)}
		if i%2 == 1 {
			s.box = adoptBoxes[1+i/2%(len(adoptBoxes)-1)]
		}
		s.body = adoptLetter(i)
		for k, f := range []imap.Flag{imap.FlagSeen, imap.FlagFlagged, imap.FlagAnswered} {
			if i%(k+2) == 0 {
				s.flags = append(s.flags, f)
			}
		}
		out = append(out, s)
	}
	return out
}

func adoptLetter(i int) string {
	id, subject, more := fmt.Sprintf("Message-ID: <%d@example.org>\n", i), fmt.Sprintf("report %d", i), ""
	text := fmt.Sprintf("Hello %d.\n%s", i, strings.Repeat("All is well.\n", i%40))
	switch i % 10 {
	case 3:
		id = ""
	case 5: // one Message-ID, other subjects
		id = "Message-ID: <same@example.org>\n"
	case 6: // equal in all that a list shows; Received tells them apart
		id, subject = "Message-ID: <twin@example.org>\n", "twins"
		more = fmt.Sprintf("Received: from mx by mail with LMTP id %d\n", i)
	case 7:
		subject = "Grüße und Küsse " + subject
	case 8:
		more = "X-Long: " + strings.Repeat("word ", 300) + "\n  folded " + fmt.Sprint(i) + "\n"
	case 9:
		text = strings.TrimSuffix(text, "\n") // no final newline
	}
	return more + "From: Ada <ada@example.org>\nTo: ben@example.org\nSubject: " + subject + "\n" + id +
		"Date: Mon, 2 Mar 2026 10:00:00 +0000\n\n" + text
}

// fill puts the specimens on the server.
func (a *account) fill(list []specimen) {
	a.t.Helper()
	c := a.server.Client(a.user)
	defer c.Close()
	for _, box := range adoptBoxes[1:] {
		if err := c.Create(box, nil).Wait(); err != nil {
			a.t.Fatal(err)
		}
	}
	var sent []*imapclient.AppendCommand
	for _, s := range list {
		body := sidetest.Canonical([]byte(s.body))
		cmd := c.Append(s.box, int64(len(body)), &imap.AppendOptions{Flags: s.flags, Time: s.date})
		if _, err := cmd.Write(body); err != nil {
			a.t.Fatal(err)
		}
		if err := cmd.Close(); err != nil {
			a.t.Fatal(err)
		}
		sent = append(sent, cmd)
	}
	for _, cmd := range sent {
		if _, err := cmd.Wait(); err != nil {
			a.t.Fatal(err)
		}
	}
}

// share is how many of the specimens a server gets: all, or fewer where it is
// the same again with fewer capabilities.
func share(t *testing.T) []specimen {
	if strings.HasSuffix(t.Name(), "/bare") {
		return specimens()[:150]
	}
	return specimens()
}

// A tree says how the Maildir that is adopted lies on the disk.
type tree struct {
	plus  bool   // maildir++
	utf8  bool   // names are not in modified UTF-7
	inbox string // where INBOX lies, if elsewhere
}

// lines are what the configuration says of it.
func (l tree) lines() string {
	out := "layout = \"fs\"\n"
	if l.plus {
		out = "layout = \"maildir++\"\n"
	}
	if !l.utf8 {
		out += "folder_encoding = \"utf-7\"\n"
	}
	if l.inbox != "" {
		out += fmt.Sprintf("inbox = %q\n", l.inbox)
	}
	return out
}

// read reads the tree with code of its own.
func (l tree) read(t *testing.T, root string) sidetest.Snapshot {
	t.Helper()
	snap := sidetest.Snapshot{}
	add := func(name, dir string) {
		if !l.utf8 {
			var err error
			if name, err = mail.DecodeUTF7(name); err != nil {
				t.Fatal(err)
			}
		}
		list, err := readMaildir(dir)
		if err != nil {
			t.Fatal(err)
		}
		snap[mail.MailboxName(name)] = list
	}
	if l.inbox != "" {
		add("INBOX", l.inbox)
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || d.Name() != "cur" {
			return err
		}
		dir := filepath.Dir(path)
		name, err := filepath.Rel(root, dir)
		switch {
		case err != nil || dir == l.inbox:
			return err
		case l.plus && name == ".":
			name = "INBOX"
		case l.plus:
			name = strings.ReplaceAll(strings.TrimPrefix(name, "."), ".", "/")
		}
		add(name, dir)
		return filepath.SkipDir
	})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// adoptPlain leaves out what adoption does not promise: the dates, which another
// tool chose, and the lines that mbsync and OfflineIMAP added.
func adoptPlain(snap sidetest.Snapshot) sidetest.Snapshot {
	out := sidetest.Snapshot{}
	for box, list := range snap {
		for _, m := range list {
			out[box] = append(out[box], sidetest.Message{Flags: m.Flags, Body: withoutTraces(sidetest.Canonical(m.Body))})
		}
		if len(list) == 0 {
			out[box] = nil
		}
	}
	return out
}

func withoutTraces(body []byte) []byte {
	head, text, ok := bytes.Cut(body, []byte("\r\n\r\n"))
	var out []byte
	for line := range bytes.Lines(head) {
		if !bytes.HasPrefix(line, []byte("X-TUID: ")) && !bytes.HasPrefix(line, []byte("X-OfflineIMAP: ")) {
			out = append(out, line...)
		}
	}
	if ok {
		out = append(bytes.TrimSuffix(out, []byte("\r\n")), "\r\n\r\n"...)
	}
	return append(out, text...)
}

// drift changes flags on both sides behind the other tool's back, and says
// what the union of both must be.
func (a *account) drift(l tree) {
	a.t.Helper()
	c := a.server.Client(a.user)
	defer c.Close()
	if _, err := c.Select("INBOX", nil).Wait(); err != nil {
		a.t.Fatal(err)
	}
	store := imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"$Todo", "Work"}, Silent: true}
	if err := c.Store(imap.SeqSetNum(1, 2, 3), &store, nil).Close(); err != nil {
		a.t.Fatal(err)
	}
	renamed := 0
	for _, m := range l.read(a.t, a.root)["INBOX"] {
		dir := filepath.Join(a.inboxDir(l), "cur")
		name := string(m.Ref)
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil || m.Flags.Has(mail.Forwarded) || renamed == 5 {
			continue
		}
		base, info, _ := strings.Cut(name, ":2,")
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, base+":2,"+letterOrder(info+"P"))); err != nil {
			a.t.Fatal(err)
		}
		renamed++
	}
	need(a.t, renamed == 5, "only %d files could be flagged", renamed)
}

func (a *account) inboxDir(l tree) string {
	switch {
	case l.inbox != "":
		return l.inbox
	case l.plus:
		return a.root
	}
	return filepath.Join(a.root, "INBOX")
}

func letterOrder(s string) string {
	b := []byte(s)
	for i := range b {
		for j := i + 1; j < len(b); j++ {
			if b[j] < b[i] {
				b[i], b[j] = b[j], b[i]
			}
		}
	}
	return string(b)
}

// adopts runs the first sync over a Maildir that holds what the server holds,
// and fails if a body travels, a message doubles or a flag is lost.
func (a *account) adopts(l tree, want int) {
	a.t.Helper()
	if before := l.read(a.t, a.root); before.Messages() != want {
		a.t.Fatalf("the other tool left %d messages of %d", before.Messages(), want)
	}
	a.drift(l)
	a.configure(l.lines())
	w := a.tap()
	r := a.sync()
	if b := tapBodies(w.take()); len(b) > 0 {
		a.t.Fatalf("bodies travelled: %d commands, such as %s\n%v", len(b), b[0], r)
	}
	a.same(l, want)
	local := l.read(a.t, a.root)
	union := 0
	for _, m := range local["INBOX"] {
		if m.Flags.Has(mail.Forwarded) {
			union++
		}
	}
	need(a.t, union == 5, "%d flags set here arrived, want 5", union)
	union = 0
	for _, m := range local["INBOX"] {
		if m.Flags.Has("$Todo") && m.Flags.Has("Work") {
			union++
		}
	}
	need(a.t, union == 3, "%d flags set on the server arrived, want 3", union)
	need(a.t, strings.Contains(r.out, fmt.Sprintf("joined %d messages", want)), "the run does not tell what it joined: %v", r)
	a.quiet()
}

// same fails unless both sides hold the same, want messages in all.
func (a *account) same(l tree, want int) {
	a.t.Helper()
	local, remote := adoptPlain(l.read(a.t, a.root)), adoptPlain(a.remote())
	if d := sidetest.Compare(local, remote); d != "" {
		a.t.Fatalf("the Maildir (first) and the server (second) differ:\n%s", tail(d))
	}
	need(a.t, local.Messages() == want, "there are %d messages, want %d", local.Messages(), want)
}

// otherProgram runs another program; it must succeed.
func otherProgram(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second) // a question it asks is an error
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// mbsync runs the real mbsync over the account.
func (a *account) mbsync(l tree) string {
	a.t.Helper()
	inbox, near := a.inboxDir(l), "SubFolders Verbatim\nPath "+a.root+"/"
	if l.plus {
		near = "SubFolders Maildir++"
	}
	rc := filepath.Join(a.dir, "mbsyncrc")
	text := fmt.Sprintf(`FSync no
IMAPAccount a
Host %s
Port %d
User %s
Pass %s
SSLType None
AuthMechs LOGIN

IMAPStore far
Account a

MaildirStore near
Inbox %s
%s

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Sync All
`, a.server.Host, a.server.Port, a.user, imaptest.Password, inbox, near)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.MkdirAll(a.root, 0o700); err != nil {
		a.t.Fatal(err)
	}
	return otherProgram(a.t, []string{"HOME=" + a.dir}, "mbsync", "-c", rc, "-a")
}

func TestAdoptsMbsync(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		list := share(t)
		a.fill(list)
		a.mbsync(tree{})
		a.adopts(tree{}, len(list))
	})
}

func TestAdoptsMbsyncLayouts(t *testing.T) {
	for _, name := range []string{"maildir++", "elsewhere"} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, imaptest.Dovecot(t), "me")
			l := tree{plus: name == "maildir++"}
			if !l.plus {
				l.inbox = filepath.Join(a.dir, "Inbox")
			}
			list := specimens()[:150]
			a.fill(list)
			a.mbsync(l)
			a.adopts(l, len(list))
		})
	}
}

// What mbsync pushed has X-TUID lines on the server too, where the server
// does not tell UIDs.
func TestAdoptsWhatMbsyncPushed(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		list := share(t)
		utf7 := map[string]string{}
		for _, box := range adoptBoxes {
			utf7[box] = mail.EncodeUTF7(box)
		}
		for _, s := range list {
			a.deliver(utf7[s.box], s.body, s.date, "S")
		}
		a.mbsync(tree{})
		a.adopts(tree{}, len(list))
	})
}

// offlineimap runs the real OfflineIMAP over the account.
func (a *account) offlineimap() string {
	a.t.Helper()
	rc := filepath.Join(a.dir, "offlineimaprc")
	text := fmt.Sprintf(`[general]
accounts = a
metadata = %[1]s/offlineimap
fsync = false

[Account a]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %[2]s
sep = /

[Repository far]
type = IMAP
remotehost = %[3]s
remoteport = %[4]d
remoteuser = %[5]s
remotepass = %[6]s
ssl = no
starttls = no
auth_mechanisms = LOGIN
`, a.dir, a.root, a.server.Host, a.server.Port, a.user, imaptest.Password)
	if err := os.WriteFile(rc, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
	return otherProgram(a.t, []string{"HOME=" + a.dir}, "offlineimap", "-c", rc, "-o", "-u", "basic")
}

func TestAdoptsOfflineIMAP(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	list := share(t)
	a.fill(list)
	a.offlineimap()
	a.adopts(tree{}, len(list))
}

// OfflineIMAP writes every message anew, and so changes white space in headers
// such as those of Exchange. The copies are joined nonetheless, each side
// keeping its own bytes.
func TestAdoptsWhatOfflineIMAPRewrote(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		for i := range 40 {
			id := i - i%2 // two each with one Message-ID
			a.append("INBOX", fmt.Sprintf("Received: from mx by mail id %d\nFrom: Ada <ada@example.org>\nSubject: meeting %d\n"+
				"Message-ID:\n <%d@exchange.example.org>\nX-MS-Has-Attach:\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\nHello %d.\n", i, id, id, i), date(i))
		}
		a.offlineimap()
		file, err := os.ReadFile(a.file("INBOX", mark(3)))
		need(t, err == nil && bytes.Contains(file, []byte("X-MS-Has-Attach: \n")), "OfflineIMAP rewrites no more: %q %v", file, err)
		w := a.tap()
		r := a.sync()
		need(t, len(tapBodies(w.take())) == 0 && strings.Contains(r.out, "joined 40 messages"), "%v", r)
		for i := range 40 {
			need(t, a.uid("INBOX", mark(i)) != 0 && a.file("INBOX", mark(i)) != "", "message %d is gone", i)
		}
		a.quiet()
		if err := os.Remove(a.file("INBOX", mark(3))); err != nil {
			t.Fatal(err)
		}
		a.sync()
		need(t, a.uid("INBOX", mark(3)) == 0 && a.uid("INBOX", mark(2)) != 0, "the deletion did not reach the message it was made for")
	})
}

// What OfflineIMAP pushed to a server that does not tell UIDs has a field
// there that the file lacks.
func TestAdoptsWhatOfflineIMAPPushed(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		list := specimens()[:150]
		for _, s := range list {
			a.deliver(mail.EncodeUTF7(s.box), s.body, s.date, "S")
		}
		for _, box := range []string{"Work", "Archive", "Archive/2020"} { // it wants them to be there
			for _, part := range []string{"cur", "new", "tmp"} {
				if err := os.MkdirAll(filepath.Join(a.root, box, part), 0o700); err != nil {
					t.Fatal(err)
				}
			}
		}
		a.offlineimap()
		a.adopts(tree{}, len(list))
	})
}

// A Maildir that Dovecot itself keeps, copied with cp.
func TestAdoptsACopyOfTheServersMaildir(t *testing.T) {
	for name, c := range map[string]struct {
		option imaptest.Option
		plus   bool
	}{
		"fs":        {option: imaptest.Maildir()},
		"maildir++": {option: imaptest.Location("maildir:~/Maildir"), plus: true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, imaptest.Dovecot(t, c.option), "me")
			list := share(t)
			a.fill(list)
			otherProgram(t, nil, "cp", "-a", filepath.Join(a.server.Home("me"), "Maildir"), a.root)
			l := tree{plus: c.plus}
			if !c.plus { // INBOX is the root, the others lie below it without a dot
				l.inbox = a.root
			}
			a.adopts(l, len(list))
		})
	}
}

// Files that a person saved, with the line ends of either kind.
func TestAdoptsFilesOfEitherLineEnd(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	list := share(t)
	a.fill(list)
	for i, s := range list {
		body := s.body
		if i%2 == 0 {
			body = string(sidetest.Canonical([]byte(body)))
		}
		a.deliver(s.box, body, s.date, "S")
	}
	a.adopts(tree{utf8: true}, len(list))
}

// Where headers cannot tell messages apart, their bodies are compared, and
// nothing else travels.
func TestAdoptsTwins(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		one := strings.Replace(letter(1), "Hello 1.", "Hello one.", 1) // the header of letter 1, another body
		bare := "X-Nothing: to tell\n\nHello bare.\n"
		for _, body := range []string{letter(1), one, letter(2), letter(3), letter(3), letter(3), bare} {
			a.append("INBOX", body, date(1))
			a.deliver("INBOX", body, date(1), "S")
		}
		a.deliver("INBOX", letter(3), date(1), "S") // a fourth one, only here
		w := a.tap()
		r := a.sync()
		a.agree()
		need(t, a.remote().Messages() == 8, "%d messages on the server, want 8", a.remote().Messages())
		sent := 0
		for _, c := range tapBodies(w.take()) {
			if strings.Contains(c, "APPEND") {
				sent++
			}
		}
		need(t, sent == 1 && strings.Contains(r.out, "joined 7 messages"), "%d messages were sent: %v", sent, r)
		a.quiet()
	})
}
