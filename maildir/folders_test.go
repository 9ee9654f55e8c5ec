package maildir

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	oracle "github.com/emersion/go-maildir"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (fx *fixture) names() string {
	fx.t.Helper()
	boxes, err := fx.Survey(fx.t.Context(), nil)
	if err != nil {
		fx.t.Fatal(err)
	}
	var out []string
	for _, b := range boxes {
		name := string(b.Name)
		if b.Container {
			name += "/"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

func TestFoldersFS(t *testing.T) {
	fx := newFixture(t, Options{FSync: true})
	wantEqual(t, "without a root", fx.names(), "")
	fx.make(mail.Inbox, "INBOX/Sub", "Work/Deep/er", "inbox/other")
	wantEqual(t, "created", fx.names(), "INBOX INBOX/Sub INBOX/other Work/ Work/Deep/ Work/Deep/er")
	fx.make("Work", "Work")
	fx.write("x", "Work", "Deep", "er", "cur", "1.a:2,S")
	if err := fx.Rename(t.Context(), "Work", "Old/Job"); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "renamed", fx.names(), "INBOX INBOX/Sub INBOX/other Old/ Old/Job Old/Job/Deep/ Old/Job/Deep/er")
	wantEqual(t, "with its mail", fx.read("Old", "Job", "Deep", "er", "cur", "1.a:2,S"), "x")
	fx.bind("Old/Job/Deep/er")
	if items, _ := fx.scan("Old/Job/Deep/er"); len(items) != 1 {
		t.Errorf("%v", items)
	}
	for from, to := range map[mail.MailboxName]mail.MailboxName{
		"INBOX": "X", "Old/Job": "Old/Job/Deep/X", "Old": "INBOX/Sub", "None": "X", "INBOX/Sub": "INBOX",
	} {
		if err := fx.Rename(t.Context(), from, to); err == nil {
			t.Errorf("%s was renamed to %s", from, to)
		}
	}
	wantEqual(t, "after refusals", fx.names(), "INBOX INBOX/Sub INBOX/other Old/ Old/Job Old/Job/Deep/ Old/Job/Deep/er")
}

func TestFoldersPlusPlus(t *testing.T) {
	fx := newFixture(t, Options{Layout: PlusPlus, FSync: true})
	fx.make(mail.Inbox, "Work", "Work/Entwürfe", "Work.Deep")
	wantEqual(t, "created", fx.names(), "INBOX Work Work.Deep Work/Entwürfe")
	for _, dir := range []string{"cur", ".Work/cur", ".Work.Entw&APw-rfe/cur", ".Work%2EDeep/cur"} {
		if st, err := os.Stat(fx.path(dir)); err != nil || !st.IsDir() {
			t.Errorf("%s: %v", dir, err)
		}
	}
	fx.write("x", ".Work.Entw&APw-rfe", "cur", "1.a:2,S")
	if err := fx.Rename(t.Context(), "Work", "Job/Old"); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "renamed", fx.names(), "INBOX Job/Old Job/Old/Entwürfe Work.Deep")
	wantEqual(t, "with its mail", fx.read(".Job.Old.Entw&APw-rfe", "cur", "1.a:2,S"), "x")
	if err := fx.Remove(t.Context(), "Job/Old"); err == nil {
		t.Error("a mailbox with one below it was removed")
	}
	if err := fx.Remove(t.Context(), mail.Inbox); err == nil {
		t.Error("INBOX was removed")
	}
	if err := fx.Remove(t.Context(), "Work.Deep"); err != nil {
		t.Error(err)
	}
	wantEqual(t, "removed", fx.names(), "INBOX Job/Old Job/Old/Entwürfe")
}

// TestOthersMaildirs: what another program made is a mailbox.
func TestOthersMaildirs(t *testing.T) {
	fx := newFixture(t, Options{})
	if err := os.Mkdir(fx.root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := oracle.Dir(fx.path("Theirs")).Init(); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "mailboxes", fx.names(), "Theirs")
	fx.bind("Theirs")
	if err := os.RemoveAll(fx.path("Theirs", "new")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(fx.path("Theirs", "tmp")); err != nil {
		t.Fatal(err)
	}
	fx.scan("Theirs")
	wantEqual(t, "a scan writes nothing", strings.Join(fx.files("Theirs"), " "), "cur")
	fx.put("Theirs", incoming(1, "x", mail.Item{}))
	wantEqual(t, "delivery makes the rest", strings.Join(fx.files("Theirs"), " "), "cur new tmp")
	msgs, err := oracle.Dir(fx.path("Theirs")).Unseen()
	if err != nil || len(msgs) != 1 {
		t.Errorf("go-maildir sees %v, %v", msgs, err)
	}
}

func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		name string
		prep func(*fixture)
		want string // part of the error, "" if it is removed
	}{
		{name: "empty", prep: func(*fixture) {}},
		{name: "Dovecot's files", prep: func(fx *fixture) {
			fx.write("", "A", keywordsFile)
			fx.write("", "A", "dovecot.index.log")
			fx.write("", "A", "maildirfolder")
		}},
		{name: "message in cur", prep: func(fx *fixture) { fx.write("x", "A", "cur", "1.a:2,S") }, want: "not empty"},
		{name: "message in new", prep: func(fx *fixture) { fx.write("x", "A", "new", "1.a") }, want: "not empty"},
		{name: "delivery in tmp", prep: func(fx *fixture) { fx.write("x", "A", "tmp", "1.a") }, want: "not empty"},
		{name: "what a dead run left in tmp", prep: func(fx *fixture) { fx.write("x", "A", "tmp", uniqueKey(time.Now())) }},
		{name: "hidden file", prep: func(fx *fixture) { fx.write("x", "A", "cur", ".nfs0001") }, want: "not empty"},
		{name: "mbsync's state", prep: func(fx *fixture) { fx.write("x", "A", ".mbsyncstate") }, want: ".mbsyncstate is not godwit's"},
		{name: "mailbox below", prep: func(fx *fixture) { fx.make("A/B") }, want: "below it"},
		{name: "empty directories below", prep: func(fx *fixture) {
			if err := os.MkdirAll(fx.path("A", "B", "C"), 0o700); err != nil {
				panic(err)
			}
		}},
		{name: "plain directory below", prep: func(fx *fixture) { fx.write("x", "A", "docs", "readme") }, want: "not godwit's"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fx := newFixture(t, Options{FSync: true})
			fx.make(mail.Inbox, "A")
			tt.prep(fx)
			err := fx.Remove(t.Context(), "A")
			_, serr := os.Stat(fx.path("A", "cur"))
			switch {
			case tt.want == "" && (err != nil || serr == nil):
				t.Errorf("it is not removed: %v", err)
			case tt.want != "" && (err == nil || serr != nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got the error %v, want %q; cur: %v", err, tt.want, serr)
			}
		})
	}
	fx := newFixture(t, Options{})
	if err := fx.Remove(t.Context(), "None"); err == nil {
		t.Error("a mailbox that is not there was removed")
	}
}

func TestInboxElsewhere(t *testing.T) {
	for _, inside := range []bool{false, true} {
		root := filepath.Join(t.TempDir(), "mail")
		inbox := filepath.Join(t.TempDir(), "spool")
		if inside {
			inbox = filepath.Join(root, "Eingang")
		}
		fx := newFixture(t, Options{Root: root, Inbox: inbox})
		fx.make(mail.Inbox, "INBOX/Sub", "Work")
		fx.put(mail.Inbox, incoming(1, "x", mail.Item{}))
		if list, err := os.ReadDir(filepath.Join(inbox, "new")); err != nil || len(list) != 1 {
			t.Errorf("the inbox has %v, %v", list, err)
		}
		wantEqual(t, "mailboxes", fx.names(), "INBOX INBOX/Sub Work")
	}
	root := filepath.Join(t.TempDir(), "mail") // mbsync's "Inbox ~/Mail, Path ~/Mail"
	fx := newFixture(t, Options{Root: root, Inbox: root})
	fx.make(mail.Inbox, "Work")
	fx.reopen()
	wantEqual(t, "mailboxes", fx.names(), "INBOX Work")
	wantEqual(t, "on the disk", strings.Join(fx.files(), " "), "Work cur new tmp")
}

func TestRefusedRoots(t *testing.T) {
	plain := newFixture(t, Options{})
	plain.maildirAt()
	tree := newFixture(t, Options{})
	tree.make(mail.Inbox)
	file := newFixture(t, Options{})
	file.write("x", "file")
	for _, tt := range []struct {
		opt  Options
		want string
	}{
		{Options{Root: plain.root}, `layout = "maildir++"`},
		{Options{Root: tree.root, Layout: PlusPlus}, `layout = "fs"`},
		{Options{Root: file.path("file")}, "not a directory"},
		{Options{Root: "relative"}, "absolute"},
		{Options{Root: tree.root, Inbox: "relative"}, "absolute"},
		{Options{Root: tree.root, Layout: "mh"}, "layout"},
		{Options{Root: tree.root, FolderEncoding: "latin1"}, "encoding"},
	} {
		for _, err := range []error{Check(tt.opt), func() error { _, err := Open(t.Context(), tt.opt); return err }()} {
			if err == nil || !strings.Contains(err.Error(), tt.want) || mail.ClassOf(err) != mail.ClassConfig || mail.GradeOf(err, 0) != mail.GradeAccount {
				t.Errorf("%+v: %v", tt.opt, err)
			}
		}
	}
	if _, err := Open(t.Context(), Options{Root: plain.root, Layout: PlusPlus}); err != nil {
		t.Error(err)
	}
}

func TestCheckLeavesNothing(t *testing.T) {
	fx := newFixture(t, Options{})
	if err := Check(fx.opt); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(fx.root); !errors.Is(err, os.ErrNotExist) {
		t.Error("the root was made")
	}
	fx.make(mail.Inbox)
	if err := Check(fx.opt); err != nil {
		t.Error(err)
	}
	wantEqual(t, "root", strings.Join(fx.files(), " "), "INBOX")
	fx.write("x", "file")
	if err := Check(Options{Root: fx.path("file", "below", "it")}); err == nil {
		t.Error("a place where nothing can be made passed")
	}
}

func TestRoot(t *testing.T) {
	for _, layout := range []Layout{FS, PlusPlus} {
		fx := newFixture(t, Options{Layout: layout, FSync: true})
		look := func() engine.Root {
			t.Helper()
			fx.reopen()
			r, err := fx.Root(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Boot == "" && runtime.GOOS == "linux" || r.Unsynced {
				t.Errorf("the root says %+v of crashes", r)
			}
			r.Boot = ""
			return r
		}
		wantEqual(t, "absent", look(), engine.Root{})
		fx.make(mail.Inbox, "A")
		wantEqual(t, "empty", look(), engine.Root{Exists: true})
		if err := fx.Stamp(t.Context(), "0123", 9); err != nil {
			t.Fatal(err)
		}
		first, err := os.Stat(fx.path(markerFile))
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "stamped", look(), engine.Root{Exists: true, Marked: true, Mail: true, Instance: "0123", Runs: 9})
		if err := fx.Stamp(t.Context(), "0123", 10); err != nil {
			t.Fatal(err)
		}
		second, err := os.Stat(fx.path(markerFile))
		if err != nil || !os.SameFile(first, second) {
			t.Errorf("the marker was not written in place: %v", err)
		}
		fx.bind("A")
		fx.put("A", incoming(1, "x", mail.Item{}))
		wantEqual(t, "with mail", look(), engine.Root{Exists: true, Marked: true, Mail: true, Instance: "0123", Runs: 10})
		fx.write("garbage", markerFile)
		wantEqual(t, "with a broken marker", look(), engine.Root{Exists: true, Marked: true, Mail: true})
		if slices.Contains(strings.Fields(fx.names()), "godwit") {
			t.Error("the marker is a mailbox")
		}
		if err := fx.Stamp(t.Context(), "a\nruns 7", 1); err == nil {
			t.Error("an instance of two lines was written")
		}
	}
}

// TestUnreadable: a mailbox that cannot be read is not a mailbox that is gone.
// The tests may run as root, whom no rights keep out: so the directory is
// replaced, after the walk read its name, by something that cannot be opened.
func TestUnreadable(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox, "A", "A/B", "C")
	w := &walker{m: fx.Maildir, ctx: t.Context(), found: map[mail.MailboxName]*mailbox{}, known: []mail.MailboxName{"A", "A/B", "C"}}
	if any, err := w.unreadable(&mailbox{name: "A", path: []string{"A"}}, os.ErrPermission); !any || err != nil {
		t.Error("a known mailbox is passed over")
	}
	lost := &mailbox{name: "lost+found", path: []string{"lost+found"}}
	if any, err := w.unreadable(lost, os.ErrPermission); any || err != nil {
		t.Error("an unknown directory is taken for a mailbox")
	}
	if _, err := w.unreadable(lost, unix.EIO); err == nil {
		t.Error("what the disk hides is passed over")
	}
	if len(w.found) != 2 || w.found["A"].fault == nil || w.found["A/B"].fault == nil {
		t.Errorf("%v", w.found)
	}
	fx.tree = w.found
	fx.bind("A")
	if _, err := fx.Scan(t.Context(), fx.ids["A"], plan.Since{}, func(plan.Seen) error { return nil }); !errors.Is(err, os.ErrPermission) || mail.GradeOf(err, 0) != mail.GradeMailbox {
		t.Errorf("scanning it gives %v", err)
	}
}

// TestTwoSpellings of one name: one is the mailbox, the other is left alone and named.
func TestTwoSpellings(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.maildirAt("Inbox")
	wantEqual(t, "alone", fx.names(), "INBOX")
	fx.maildirAt("INBOX")
	fx.maildirAt("%57%6F%72%6B")
	fx.maildirAt("Work")
	fx.maildirAt("%20x")
	fx.maildirAt("bad\xff")
	fx.reopen()
	wantEqual(t, "together", fx.names(), "INBOX Work")
	strange := slices.Sorted(slices.Values(fx.Strange()))
	want := []string{fx.path("%20x"), fx.path("%57%6F%72%6B"), fx.path("Inbox"), fx.path("bad\xff")}
	if !slices.Equal(strange, want) {
		t.Errorf("strange: %q, want %q", strange, want)
	}
}

// TestOtherLayout: what lies as in a Maildir++ is named, not passed over in silence.
func TestOtherLayout(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.maildirAt("Work")
	fx.maildirAt(".Sent")
	fx.maildirAt(".notmuch", "xapian")
	fx.reopen()
	wantEqual(t, "mailboxes", fx.names(), "Work")
	if want := []string{fx.path(".Sent")}; !slices.Equal(fx.Strange(), want) {
		t.Errorf("strange: %q, want %q", fx.Strange(), want)
	}
}

// TestFoldingDisk: where a file system takes two names for one, the second
// gets another form. A file where the directory should be looks the same.
func TestFoldingDisk(t *testing.T) {
	for _, layout := range []Layout{FS, PlusPlus} {
		fx := newFixture(t, Options{Layout: layout})
		fx.make(mail.Inbox, "Home")
		disk := fx.Maildir.names.disk("Work")
		fx.write("in the way", disk)
		fx.make("Work")
		if err := fx.Rename(t.Context(), "Home", "Heim"); err != nil {
			t.Fatal(err)
		}
		disk2 := fx.Maildir.names.disk("Play")
		fx.write("in the way", disk2)
		if err := fx.Rename(t.Context(), "Heim", "Play"); err != nil {
			t.Fatal(err)
		}
		fx.reopen()
		wantEqual(t, "mailboxes", fx.names(), "INBOX Play Work")
		wantEqual(t, "what was in the way", fx.read(disk)+fx.read(disk2), "in the wayin the way")
	}
}

// TestDeepNames: a name so deep that the tree could not be walked any more is refused.
func TestDeepNames(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox, mail.MailboxName(strings.Repeat("a/", maxLevels-1)+"a"))
	for _, name := range []mail.MailboxName{"", mail.MailboxName(strings.Repeat("a/", maxLevels) + "a")} {
		if _, err := fx.Create(t.Context(), name); err == nil || mail.GradeOf(err, 0) != mail.GradeMailbox {
			t.Errorf("creating %d levels: %v", len(name.Levels()), err)
		}
	}
	deep := append(slices.Repeat([]string{"a"}, maxLevels), "b", "cur")
	if err := os.MkdirAll(fx.path(deep...), 0o700); err != nil {
		t.Fatal(err)
	}
	fx.reopen()
	if boxes := fx.survey(nil); len(boxes) != 1+maxLevels || len(fx.Strange()) != 1 {
		t.Errorf("%d mailboxes, strange %d", len(boxes), len(fx.Strange()))
	}
}

// TestInboxMissing: where the INBOX lies elsewhere and is not there, no
// directory of the tree takes its place.
func TestInboxMissing(t *testing.T) {
	fx := newFixture(t, Options{Inbox: filepath.Join(t.TempDir(), "spool")})
	fx.maildirAt("INBOX")
	fx.maildirAt("INBOX", "Sub")
	wantEqual(t, "mailboxes", fx.names(), "INBOX/ INBOX/Sub")
	if len(fx.Strange()) != 1 {
		t.Errorf("strange: %q", fx.Strange())
	}
}
