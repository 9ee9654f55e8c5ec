package maildir

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// An account is a real tree on one side, a server in memory on the other.
type account struct {
	t      testing.TB
	opt    Options
	server *sidetest.Memory
	index  engine.Index
	keeper *collector
	now    func() time.Time // of the engine
	// diskNow is the clock of the tree, that of the machine if nil.
	diskNow func() time.Time
	events  []string
	change  func(*engine.Options)
}

func newAccount(t *testing.T, opt Options) *account {
	opt.Root = filepath.Join(fastDir(t), "mail")
	return &account{
		t: t, opt: opt, server: sidetest.NewMemory(sidetest.Server), index: sidetest.NewMemoryIndex(),
		keeper: &collector{t: t, kept: map[mail.Digest]bool{}}, now: time.Now,
	}
}

// fastDir is a temporary directory, in memory where the machine has a file
// system there: nothing of these tests has to last.
func fastDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "godwit-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// run is one run whose calls pass through x.
func (a *account) run(x *tap) (*engine.Report, error) {
	opt := a.opt
	opt.seam, opt.Clock = x.seam, a.diskNow
	local, err := Open(a.t.Context(), opt)
	if err != nil {
		return &engine.Report{Faults: []error{err}}, err
	}
	remote := mortal{a.server.Open(), x}
	policy := plan.Mirror()
	policy.RemoveBoxes = [2]bool{true, true}
	a.events = nil
	o := engine.Options{
		Account: "test", Mode: "mirror", Policy: policy, Bound: "me@server", KeepsRef: [2]bool{true, false},
		Local: local, Remote: remote, Index: mortalIndex{a.index, remote}, Keeper: a.keeper,
		Scope: func(mail.MailboxName, mail.Role) bool { return true }, Clock: a.now,
		Observer: func(e engine.Event) {
			if e.Kind == engine.Action || e.Kind == engine.Faulted || e.Kind == engine.Held || e.Kind == engine.Noted {
				a.events = append(a.events, fmt.Sprintf("%d %s %s %s %s %s %s", e.Kind, e.Verb, e.Side, e.Mailbox, e.To, e.Reason, e.Text))
			}
		},
	}
	if a.change != nil {
		a.change(&o)
	}
	rep, err := engine.Run(a.t.Context(), o)
	_, _ = local.Close(), remote.Close()
	return rep, err
}

// sync is a run that must end well.
func (a *account) sync() {
	a.t.Helper()
	if rep, err := a.run(&tap{}); err != nil || rep.Exit() != 0 {
		a.t.Fatalf("exit %d, %v, %v\n%s", rep.Exit(), err, rep.Faults, strings.Join(a.events, "\n"))
	}
}

// disk reads the tree with plain means.
func (a *account) disk() sidetest.Snapshot {
	a.t.Helper()
	s := sidetest.Snapshot{}
	err := filepath.WalkDir(a.opt.Root, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() || e.Name() != "cur" {
			return err
		}
		dir := filepath.Dir(path)
		name, err := filepath.Rel(a.opt.Root, dir)
		if err != nil {
			return err
		}
		if a.opt.Layout == PlusPlus {
			if name = strings.ReplaceAll(strings.TrimPrefix(name, "."), ".", "/"); name == "" {
				name = string(mail.Inbox)
			}
		}
		s[mail.MailboxName(unescapeUTF8(name))], err = messagesIn(dir)
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		a.t.Fatal(err)
	}
	return s
}

// messagesIn reads all messages of one Maildir.
func messagesIn(dir string) ([]sidetest.Message, error) {
	text, _ := os.ReadFile(filepath.Join(dir, keywordsFile))
	words := parseKeywords(text)
	var out []sidetest.Message
	for _, sub := range []string{"cur", "new"} {
		list, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !os.IsNotExist(err) {
			return nil, err
		}
		for _, e := range list {
			info, err := e.Info()
			if err != nil || !info.Mode().IsRegular() || strings.HasPrefix(e.Name(), ".") {
				continue
			}
			body, err := os.ReadFile(filepath.Join(dir, sub, e.Name()))
			if err != nil {
				return nil, err
			}
			key, tail := splitName(e.Name())
			flags, _ := letters(tail)
			out = append(out, sidetest.Message{Ref: mail.Ref(key), Body: body, Flags: words.flags(flags), Date: info.ModTime()})
		}
	}
	return out, nil
}

// agree fails unless both sides hold the same and a further run does nothing.
func (a *account) agree(what string) {
	a.t.Helper()
	if d := sidetest.Compare(a.disk(), a.server.Snapshot()); d != "" {
		a.t.Errorf("%s: Maildir and server differ:\n%s%s", what, d, strings.Join(a.events, "\n"))
	}
	a.quiet(what)
}

// quiet fails unless a further run does nothing.
func (a *account) quiet(what string) {
	a.t.Helper()
	a.server.ResetCounts()
	x := &tap{}
	rep, err := a.run(x)
	if err != nil || rep.Exit() != 0 {
		a.t.Errorf("%s: a further run: exit %d, %v, %v", what, rep.Exit(), err, rep.Faults)
	}
	if n := a.server.Effects(); n > 0 || len(x.changes()) > 0 {
		a.t.Errorf("%s: a further run has %d effects on the server and these on the disk: %v\n%s", what, n, x.changes(), strings.Join(a.events, "\n"))
	}
}

// path is a path in a mailbox of the tree; names without escapes.
func (a *account) path(box string, parts ...string) string {
	disk := box
	if a.opt.Layout == PlusPlus {
		if disk = "." + strings.ReplaceAll(box, "/", "."); box == string(mail.Inbox) {
			disk = ""
		}
	}
	return filepath.Join(append([]string{a.opt.Root, disk}, parts...)...)
}

// must fails the test on an error.
func (a *account) must(err error) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
}

// oddLetter cannot be stored with LF line ends.
const oddLetter = "Subject: odd\r\n\r\nbare\nlines\r\n"

// letter is message n.
func letter(n int) string {
	return fmt.Sprintf("From: a@example.org\r\nTo: b@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\nDate: Mon, 2 Mar 2026 10:00:00 +0000\r\n\r\nHello %d\r\n", n, n, n)
}

var firstDay = time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)

// drop delivers a letter into the tree as a mail program does.
func (a *account) drop(box string, n int, info string) {
	a.t.Helper()
	for _, sub := range []string{"tmp", "new", "cur"} {
		a.must(os.MkdirAll(a.path(box, sub), 0o700))
	}
	name := fmt.Sprintf("17000%05d.M1P1.host", n)
	tmp := a.path(box, "tmp", name)
	a.must(os.WriteFile(tmp, []byte(strings.ReplaceAll(letter(n), "\r\n", "\n")), 0o600))
	date := firstDay.AddDate(0, 0, n)
	a.must(os.Chtimes(tmp, date, date))
	to := a.path(box, "new", name)
	if info != "" {
		to = a.path(box, "cur", name+info)
	}
	a.must(os.Rename(tmp, to))
}

// file finds letter n in a mailbox of the tree, "" if it is not there.
func (a *account) file(box string, n int) string {
	for _, sub := range []string{"cur", "new"} {
		list, _ := os.ReadDir(a.path(box, sub))
		for _, e := range list {
			body, err := os.ReadFile(a.path(box, sub, e.Name()))
			if err == nil && string(sidetest.Canonical(body)) == letter(n) {
				return a.path(box, sub, e.Name())
			}
		}
	}
	return ""
}

// needFile is file for a letter that must be there.
func (a *account) needFile(box string, n int) string {
	a.t.Helper()
	path := a.file(box, n)
	if path == "" {
		a.t.Fatalf("letter %d is not in %s", n, box)
	}
	return path
}

// mark gives the file of letter n other flag letters.
func (a *account) mark(box string, n int, flags string) {
	a.t.Helper()
	path := a.needFile(box, n)
	key, info := splitName(filepath.Base(path))
	a.must(os.Rename(path, a.path(box, "cur", key+withLetters(info, flags))))
}

// take moves the file of letter n to another mailbox.
func (a *account) take(from string, n int, to string) {
	a.t.Helper()
	path := a.needFile(from, n)
	a.must(os.Rename(path, a.path(to, filepath.Base(filepath.Dir(path)), filepath.Base(path))))
}

// ref is the UID of letter n on the server.
func (a *account) ref(box mail.MailboxName, n int) mail.Ref {
	a.t.Helper()
	for _, msg := range a.server.Snapshot()[box] {
		if string(sidetest.Canonical(msg.Body)) == letter(n) {
			return msg.Ref
		}
	}
	a.t.Fatalf("letter %d is not in %s of the server", n, box)
	return ""
}

// serve delivers a letter to the server.
func (a *account) serve(box mail.MailboxName, n int, flags ...mail.Flag) {
	a.server.Deliver(box, letter(n), mail.NewFlagSet(flags...), firstDay.AddDate(0, 0, n))
}

// eventful is an account that was in step, and in which every kind of thing
// then happened on both sides. gone are the letters that must be gone in the end.
func eventful(t *testing.T, opt Options) (a *account, gone map[int]bool) {
	t.Helper()
	a = newAccount(t, opt)
	for n := range 14 {
		a.serve("INBOX", n, mail.Seen)
	}
	a.serve("Work", 20, mail.Seen, "old")
	a.serve("Old", 30)
	a.serve("Old/Below", 31)
	a.serve("Gone", 40, mail.Seen)
	a.serve("Lists", 50)
	a.server.CreateBox("Lost")
	a.sync()

	s := a.server
	a.serve("INBOX", 60)
	a.serve("INBOX", 61, mail.Seen, "todo")
	s.Deliver("INBOX", oddLetter, mail.NewFlagSet(mail.Flagged), firstDay)
	s.SetFlags("INBOX", a.ref("INBOX", 0), mail.NewFlagSet(mail.Flagged, "todo"))
	s.Move("INBOX", a.ref("INBOX", 1), "Work", true)
	s.Expunge("INBOX", a.ref("INBOX", 2))
	a.serve("New/Deep", 62, mail.Seen)
	s.RenameBox("Old", "Renamed")
	s.Expunge("Gone", a.ref("Gone", 40))
	s.DeleteBox("Gone")

	a.drop("INBOX", 70, "")
	a.drop("Own/Deep", 71, ":2,FS")
	a.mark("INBOX", 3, "FS")
	a.take("INBOX", 4, "Work")
	a.must(os.Remove(a.needFile("INBOX", 5)))
	a.mark("INBOX", 6, "")
	a.take("INBOX", 6, "Lists")
	a.must(os.RemoveAll(a.path("Lost")))
	a.must(os.Rename(a.path("Lists"), a.path("Listen")))
	return a, map[int]bool{2: true, 5: true, 40: true}
}
