package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// letters are the flags that every mail program knows in a file name.
var letters = map[byte]mail.Flag{'S': mail.Seen, 'R': mail.Answered, 'F': mail.Flagged, 'D': mail.Draft, 'T': mail.Deleted, 'P': mail.Forwarded}

// local reads the Maildir (layout fs) as a mail program would.
func (a *account) local() sidetest.Snapshot {
	a.t.Helper()
	snap := sidetest.Snapshot{}
	err := filepath.WalkDir(a.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() || d.Name() != "cur" {
			return nil
		}
		dir := filepath.Dir(path)
		name, err := filepath.Rel(a.root, dir)
		if err != nil {
			return err
		}
		snap[mail.MailboxName(name)], err = readMaildir(dir)
		if err != nil {
			return err
		}
		return filepath.SkipDir
	})
	if err != nil && !os.IsNotExist(err) {
		a.t.Fatal(err)
	}
	return snap
}

func readMaildir(dir string) ([]sidetest.Message, error) {
	keywords := readKeywords(dir)
	var out []sidetest.Message
	for _, part := range []string{"new", "cur"} {
		entries, err := os.ReadDir(filepath.Join(dir, part))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			body, err := os.ReadFile(filepath.Join(dir, part, e.Name()))
			if err != nil {
				return nil, err
			}
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			out = append(out, sidetest.Message{Ref: mail.Ref(e.Name()), Body: body, Flags: nameFlags(e.Name(), keywords), Date: info.ModTime()})
		}
	}
	return out, nil
}

func nameFlags(name string, keywords map[byte]mail.Flag) mail.FlagSet {
	var flags mail.FlagSet
	_, info, _ := strings.Cut(name, ":2,")
	for i := range len(info) {
		if f, ok := letters[info[i]]; ok {
			flags = flags.With(f)
		} else if f, ok := keywords[info[i]]; ok {
			flags = flags.With(f)
		}
	}
	return flags
}

// readKeywords reads Dovecot's table of letters.
func readKeywords(dir string) map[byte]mail.Flag {
	out := map[byte]mail.Flag{}
	f, err := os.Open(filepath.Join(dir, "dovecot-keywords"))
	if err != nil {
		return out
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var n int
		var name string
		if _, err := fmt.Sscan(lines.Text(), &n, &name); err == nil && n < 26 {
			out['a'+byte(n)] = mail.Flag(name)
		}
	}
	return out
}

// mailboxes lists what can be selected on the server.
func mailboxes(c *imapclient.Client) ([]string, error) {
	list, err := c.List("", "*", nil).Collect()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, l := range list {
		if !slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) && !slices.Contains(l.Attrs, imap.MailboxAttrNonExistent) {
			out = append(out, l.Mailbox)
		}
	}
	slices.Sort(out)
	return out, nil
}

// remote reads everything from the server with a client of its own.
func (a *account) remote() sidetest.Snapshot {
	a.t.Helper()
	c := a.server.Client(a.user)
	defer c.Close()
	snap := sidetest.Snapshot{}
	names, err := mailboxes(c)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, name := range names {
		msgs, err := fetchAll(c, name)
		if err != nil {
			a.t.Fatalf("reading %s: %v", name, err)
		}
		snap[mail.MailboxName(name)] = msgs
	}
	return snap
}

func fetchAll(c *imapclient.Client, box string) ([]sidetest.Message, error) {
	sel, err := c.Select(box, &imap.SelectOptions{ReadOnly: true}).Wait()
	if err != nil || sel.NumMessages == 0 {
		return nil, err
	}
	var all imap.SeqSet
	all.AddRange(1, 0)
	cmd := c.Fetch(all, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	defer cmd.Close()
	var out []sidetest.Message
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		var m sidetest.Message
		for item := msg.Next(); item != nil; item = msg.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				m.Ref = mail.Ref(fmt.Sprint(item.UID))
			case imapclient.FetchItemDataFlags:
				for _, f := range item.Flags {
					m.Flags = m.Flags.With(mail.Flag(f))
				}
			case imapclient.FetchItemDataInternalDate:
				m.Date = item.Time
			case imapclient.FetchItemDataBodySection:
				if m.Body, err = io.ReadAll(item.Literal); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, m)
	}
	return out, cmd.Close()
}

// append puts a message on the server, in a mailbox that is made if needed.
func (a *account) append(box, body string, date time.Time, flags ...imap.Flag) {
	a.t.Helper()
	c := a.server.Client(a.user)
	defer c.Close()
	a.appendWith(c, box, body, date, flags...)
}

func (a *account) appendWith(c *imapclient.Client, box, body string, date time.Time, flags ...imap.Flag) {
	a.t.Helper()
	if box != "INBOX" {
		_ = c.Create(box, nil).Wait() // it may be there
	}
	body = string(sidetest.Canonical([]byte(body)))
	cmd := c.Append(box, int64(len(body)), &imap.AppendOptions{Flags: flags, Time: date})
	if _, err := io.WriteString(cmd, body); err != nil {
		a.t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		a.t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil {
		a.t.Fatalf("append to %s: %v", box, err)
	}
}

// deliver puts a file into the Maildir as a mail program would.
func (a *account) deliver(box, body string, date time.Time, info string) string {
	a.t.Helper()
	dir := filepath.Join(a.root, box)
	for _, part := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, part), 0o700); err != nil {
			a.t.Fatal(err)
		}
	}
	serial++
	name := fmt.Sprintf("%d.M%dP%d.host", date.Unix(), serial, os.Getpid())
	part := "new"
	if info != "" {
		part, name = "cur", name+":2,"+info
	}
	path := filepath.Join(dir, part, name)
	if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Chtimes(path, date, date); err != nil {
		a.t.Fatal(err)
	}
	return path
}

// serial makes file names unique; tests of this package do not run in parallel.
var serial int

// file finds the file of the Maildir that contains this text.
func (a *account) file(box, text string) string {
	a.t.Helper()
	for _, part := range []string{"cur", "new"} {
		dir := filepath.Join(a.root, box, part)
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			body, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err == nil && bytes.Contains(body, []byte(text)) {
				return filepath.Join(dir, e.Name())
			}
		}
	}
	return ""
}

// find gives the message of a snapshot that contains this text.
func find(snap sidetest.Snapshot, box mail.MailboxName, text string) *sidetest.Message {
	for i, m := range snap[box] {
		if bytes.Contains(m.Body, []byte(text)) {
			return &snap[box][i]
		}
	}
	return nil
}

// uid finds the UID of the message on the server that contains this text, 0 if
// there is none.
func (a *account) uid(box, text string) imap.UID {
	a.t.Helper()
	m := find(a.remote(), mail.MailboxName(box), text)
	if m == nil {
		return 0
	}
	var uid imap.UID
	fmt.Sscan(string(m.Ref), &uid)
	return uid
}

// fingerprint describes every file of the Maildir root with its times: it
// changes with any write. The ctime tells of renames too.
func (a *account) fingerprint() string {
	a.t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(a.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&out, "%s %d %d %d.%d\n", path, st.Ino, st.Size, st.Ctim.Sec, st.Ctim.Nsec)
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		a.t.Fatal(err)
	}
	return out.String()
}

// changes describes the state of every mailbox of the server; it changes with
// any write. MODSEQ counts flag changes (the server has it even where it does
// not claim to).
func (a *account) changes() string {
	a.t.Helper()
	return a.server.Doveadm("mailbox", "status", "-u", a.user, "messages uidnext uidvalidity highestmodseq", "*")
}

// letter is a small message.
func letter(n int) string {
	return fmt.Sprintf("From: Ada <ada@example.org>\nTo: ben@example.org\nSubject: letter %d\nMessage-ID: <%d@example.org>\nDate: Mon, 2 Mar 2026 10:00:00 +0000\n\nHello %d.\n", n, n, n)
}

// mark is text that only letter n has.
func mark(n int) string { return fmt.Sprintf("Hello %d.", n) }

// date is when letter n arrived.
func date(n int) time.Time {
	return time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
}
