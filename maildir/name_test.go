package maildir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

func allNames() []names {
	return []names{{FS, UTF8}, {FS, UTF7}, {PlusPlus, UTF8}, {PlusPlus, UTF7}}
}

// disk is the path of a name, for reading.
func (n names) disk(name mail.MailboxName) string {
	var parts []string
	for _, c := range n.components(name) {
		parts = append(parts, c.disk)
	}
	return strings.Join(parts, "/")
}

func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name, fs, fs7, plus, plus7 string
	}{
		{"Work", "Work", "Work", ".Work", ".Work"},
		{"Work/Deep", "Work/Deep", "Work/Deep", ".Work.Deep", ".Work.Deep"},
		{"INBOX/Sub", "INBOX/Sub", "INBOX/Sub", ".INBOX.Sub", ".INBOX.Sub"},
		{"Entwürfe", "Entwürfe", "Entw&APw-rfe", ".Entwürfe", ".Entw&APw-rfe"},
		{"R&D", "R&D", "R&-D", ".R&D", ".R&-D"},
		{".hidden", "%2Ehidden", "%2Ehidden", ".%2Ehidden", ".%2Ehidden"},
		{"v1.2", "v1.2", "v1.2", ".v1%2E2", ".v1%2E2"},
		{"..", "%2E.", "%2E.", ".%2E%2E", ".%2E%2E"},
		{"cur", "%63ur", "%63ur", ".cur", ".cur"},
		{"a/new/New", "a/%6Eew/New", "a/%6Eew/New", ".a.new.New", ".a.new.New"},
		{"a//b", "a/%-/b", "a/%-/b", ".a.%-.b", ".a.%-.b"},
		{"100%", "100%", "100%", ".100%", ".100%"},
		{"50%off", "50%off", "50%off", ".50%off", ".50%off"},
		{"%41", "%2541", "%2541", ".%2541", ".%2541"},
		{"%-", "%25-", "%25-", ".%25-", ".%25-"},
		{"a\x00b\nc", "a%00b%0Ac", "a%00b%0Ac", ".a%00b%0Ac", ".a%00b%0Ac"},
		{"bad\xff", "bad%FF", "bad%FF", ".bad%FF", ".bad%FF"},
		{"godwit", "godwit", "godwit", ".%67odwit", ".%67odwit"},
		{"dovecot-keywords", "%64ovecot-keywords", "%64ovecot-keywords", ".dovecot-keywords", ".dovecot-keywords"},
		{"a" + mail.SlashInLevel + "b", "a∕b", "a&IhU-b", ".a∕b", ".a&IhU-b"},
	} {
		for i, n := range allNames() {
			wantEqual(t, tt.name, n.disk(mail.MailboxName(tt.name)), []string{tt.fs, tt.fs7, tt.plus, tt.plus7}[i])
		}
	}
}

// checkName is what must hold of every name.
func checkName(t *testing.T, n names, name mail.MailboxName) {
	comps := n.components(name)
	for _, c := range comps {
		if c.disk == "" || c.disk == "." || c.disk == ".." || len(c.disk) > maxComponent || strings.ContainsAny(c.disk, "/\x00") {
			t.Fatalf("%v: %q has the component %q", n, name, c.disk)
		}
		if n.layout == FS && (strings.HasPrefix(c.disk, ".") || slices.Contains([]string{"cur", "new", "tmp"}, c.disk)) {
			t.Fatalf("%v: %q has the component %q", n, name, c.disk)
		}
	}
	if n.layout == PlusPlus {
		if name == mail.Inbox {
			return
		}
		for _, all := range []bool{false, true} {
			c := n.plusPlus(name.Levels(), all)
			levels, ok := n.decodePlusPlus(c.disk, c.whole)
			if !ok || strings.Join(levels, "/") != string(name) {
				t.Fatalf("%v: %q became %q (%q), and that %q, %v", n, name, c.disk, c.whole, levels, ok)
			}
		}
		return
	}
	for _, level := range name.Levels() {
		for _, all := range []bool{false, true} {
			c := n.level(level, all)
			if back, ok := n.decodeLevel(c.disk, c.whole); !ok || back != level {
				t.Fatalf("%v: %q became %q (%q), and that %q, %v", n, level, c.disk, c.whole, back, ok)
			}
		}
	}
}

func nameSeeds() []string {
	return []string{
		"INBOX", "Work/Deep", "../../etc/passwd", "INBOX/../..", "/", "", "a//b/", "cur", "tmp/new", "Cur", ".x", "..", "%", "%%", "%2E", "%%2E", "%252E",
		"%-", "%~", "x%~0123456789abcdef0123456789abcdef", "&", "&-", "&AOk-", "é", "e\u0301", "\x00", "\xff%FF", "godwit", "godwit-name", ".godwit",
		strings.Repeat("x", 255), strings.Repeat("日本", 100), strings.Repeat("%2", 200), strings.Repeat("a/", 200), "a.b.c", ".", "...", "%4.x",
	}
}

func FuzzNames(f *testing.F) {
	for _, s := range nameSeeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, n := range allNames() {
			checkName(t, n, mail.MailboxName(s))
		}
	})
}

// FuzzDiskNames: what is read from the disk as a mailbox must lie where its
// name says, in one of the two forms.
func FuzzDiskNames(f *testing.F) {
	for _, s := range nameSeeds() {
		f.Add(s, "")
	}
	f.Add("%63ur", "")
	f.Add("%57%6F%72%6B", "")
	f.Add("%2F", "")
	f.Fuzz(func(t *testing.T, disk, whole string) {
		for _, n := range allNames() {
			if n.layout == FS {
				if raw, ok := n.decodeLevel(disk, whole); ok {
					if strings.Contains(raw, "/") || disk != n.level(raw, false).disk && disk != n.level(raw, true).disk {
						t.Fatalf("%v: %q was read as %q", n, disk, raw)
					}
				}
				continue
			}
			if levels, ok := n.decodePlusPlus(disk, whole); ok {
				if disk != n.plusPlus(levels, false).disk && disk != n.plusPlus(levels, true).disk {
					t.Fatalf("%v: %q was read as %q", n, disk, levels)
				}
			}
		}
	})
}

// TestNothingOutside creates mailboxes whose names try to leave the root.
func TestNothingOutside(t *testing.T) {
	for _, n := range allNames() {
		outer := t.TempDir()
		fx := newFixture(t, Options{Root: filepath.Join(outer, "a", "root"), Layout: n.layout, FolderEncoding: n.encoding})
		fx.make(mail.Inbox)
		for _, name := range nameSeeds() {
			name := mail.NewMailboxName(strings.Split(name, "/")...)
			if name == "" {
				continue
			}
			if _, err := fx.Create(t.Context(), name); err != nil {
				t.Errorf("%v: creating %q: %v", n, name, err)
				continue
			}
			fx.bind(name)
			fx.put(name, incoming(1, "Subject: x\r\n\r\n", mail.Item{}))
		}
		want := len(fx.ids)
		fx.reopen()
		boxes := fx.survey(nil)
		got := 0
		for _, b := range boxes {
			if !b.Container {
				got++
			}
		}
		if got != want || len(fx.Strange()) > 0 {
			t.Errorf("%v: %d mailboxes after creating %d; strange: %q", n, got, want, fx.Strange())
		}
		for name := range boxes {
			checkName(t, n, name)
		}
		for _, dir := range []string{outer, filepath.Join(outer, "a")} {
			list, err := os.ReadDir(dir)
			if err != nil || len(list) != 1 {
				t.Errorf("%v: %s has %v, %v", n, dir, list, err)
			}
		}
	}
}

// TestSymlinks: links are neither followed nor listed.
func TestSymlinks(t *testing.T) {
	for _, layout := range []Layout{FS, PlusPlus} {
		fx := newFixture(t, Options{Layout: layout})
		fx.make(mail.Inbox, "Work")
		outside := newFixture(t, Options{})
		outside.make("Real")
		outside.put("Real", incoming(1, "secret", mail.Item{}))
		link := "Link"
		work := "Work"
		if layout == PlusPlus {
			link, work = ".Link", ".Work"
		}
		if err := os.Symlink(outside.path("Real"), fx.path(link)); err != nil {
			t.Fatal(err)
		}
		fx.write("x", "real-file")
		if err := os.Symlink(fx.path("real-file"), fx.path(work, "cur", "1.x:2,S")); err != nil {
			t.Fatal(err)
		}
		fx.reopen()
		fx.bind("Work", "Link")
		if boxes := fx.survey(nil); len(boxes) != 2 {
			t.Errorf("the survey followed a link: %v", boxes)
		}
		if items, _ := fx.scan("Work"); len(items) != 0 {
			t.Errorf("the scan followed a link: %v", items)
		}
		// A mailbox that is replaced by a link between survey and use.
		if err := os.RemoveAll(fx.path(work)); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(outside.path("Real"), fx.path(work)); err != nil {
			t.Fatal(err)
		}
		if _, err := fx.Put(t.Context(), fx.ids["Work"]); err == nil {
			t.Error("a batch was begun through a link")
		}
		if n := len(outside.files("Real", "tmp")); n != 0 {
			t.Errorf("%d files were written outside", n)
		}
	}
}

func TestLongNamesComeBack(t *testing.T) {
	long := mail.MailboxName(strings.Repeat("日本語", 60))
	for _, n := range allNames() {
		fx := newFixture(t, Options{Layout: n.layout, FolderEncoding: n.encoding})
		fx.make(long, long+"/Sub")
		fx.reopen()
		boxes := fx.survey(nil)
		if _, ok := boxes[long]; !ok {
			t.Errorf("%v: the long name is not there: %v", n, boxes)
		}
		if _, ok := boxes[long+"/Sub"]; !ok {
			t.Errorf("%v: the name below it is not there", n)
		}
		other := mail.MailboxName(strings.Repeat("日本語", 60) + "!")
		if err := fx.Rename(t.Context(), long, other); err != nil {
			t.Fatal(err)
		}
		fx.reopen()
		if boxes := fx.survey(nil); boxes[other].Name != other || boxes[other+"/Sub"].Name != other+"/Sub" || len(boxes) != 2 {
			t.Errorf("%v: after the renaming: %v", n, boxes)
		}
	}
}
