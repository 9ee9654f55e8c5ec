package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

func message(t *testing.T, box mail.MailboxName, text string) Message {
	t.Helper()
	id, err := mail.Identify(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return Message{
		Mailbox: box, Ident: id, Flags: mail.NewFlagSet(mail.Seen, "$Work"), Date: time.Unix(1700000000, 0).UTC(), Deleted: time.Unix(1700009999, 0).UTC(),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(iotest.HalfReader(strings.NewReader(text))), nil },
	}
}

// unquote reads an mboxrd file as its definition says.
func unquote(text string) (out []string) {
	for _, part := range strings.Split("\n"+strings.TrimSuffix(text, "\n"), "\nFrom ")[1:] {
		_, body, _ := strings.Cut(part, "\n")
		lines := strings.Split(body, "\n")
		for i, line := range lines {
			if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
				lines[i] = line[1:]
			}
		}
		out = append(out, strings.Join(lines, "\n"))
	}
	return out
}

func TestMbox(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail.mbox")
	texts := []string{
		"Subject: a\r\n\r\nFrom me\r\n>From you\r\n>>From them\r\nFromage\r\n From\r\n",
		"Subject: b\r\n\r\nno end of line",
		"Subject: c\r\n\r\nbare\rCR and \r\r\nlong " + strings.Repeat("x", 200_000) + "\r\nFrom the end\r\n",
		"",
		"From the first line\r\n\r\n",
	}
	w, err := Mbox(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range texts {
		if _, wrote, err := w.Put(message(t, "INBOX", text)); !wrote || err != nil {
			t.Fatal(wrote, err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there before Commit: %v", err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(b, []byte("From MAILER-DAEMON Tue Nov 14 22:13:20 2023\nSubject: a\n\n>From me\n>>From you\n>>>From them\nFromage\n From\n\nFrom MAILER")) {
		t.Errorf("begins %q", b[:min(200, len(b))])
	}
	got := unquote(string(b))
	for i, text := range texts {
		want := strings.ReplaceAll(text, "\r\n", "\n")
		if want != "" && !strings.HasSuffix(want, "\n") {
			want += "\n"
		}
		if i >= len(got) || got[i] != want {
			t.Errorf("message %d of %d does not come back: %.80q, want %.80q", i, len(got), got[min(i, len(got)-1)], want)
		}
	}
	if _, err := Mbox(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an mbox that exists: %v", err)
	}
	w, err = Mbox(path + "2")
	if err != nil {
		t.Fatal(err)
	}
	w.Abort()
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
}

func TestMboxThatAppearedMeanwhile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "mail.mbox")
	w, err := Mbox(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); !errors.Is(err, fs.ErrExist) {
		t.Errorf("committed over a file: %v", err)
	}
	if b, _ := os.ReadFile(path); string(b) != "mine" {
		t.Errorf("the file became %q", b)
	}
}

func TestEML(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	text := "Subject: a\r\n\r\nhello\n"
	first, second := message(t, "Work/Übersicht", text), message(t, "INBOX", "Subject: b\r\n\r\n")
	put := func(want ...bool) {
		t.Helper()
		w, err := EML(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range []Message{first, second}[:len(want)] {
			if _, wrote, err := w.Put(m); wrote != want[i] || err != nil {
				t.Fatalf("message %d: wrote %v, %v", i, wrote, err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	put(true)
	put(false, true)
	put(false, false)
	file := filepath.Join(dir, "Work", "Übersicht", first.Ident.Body.String()+".eml")
	if b, err := os.ReadFile(file); err != nil || string(b) != text {
		t.Errorf("%q, %v", b, err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "index.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	var e entry
	if err := json.Unmarshal([]byte(lines[0]), &e); err != nil || len(lines) != 2 {
		t.Fatalf("%d lines, %v", len(lines), err)
	}
	if e.Mailbox != "Work/Übersicht" || e.File != "Work/Übersicht/"+e.Digest+".eml" || strings.Join(e.Flags, " ") != `\Seen $Work` ||
		e.Date != "2023-11-14T22:13:20Z" || e.Deleted == "" || e.Wire != first.Ident.Wire.String() {
		t.Errorf("line %+v", e)
	}

	// Something else under the name is not overwritten.
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := EML(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, wrote, err := w.Put(first); wrote || err == nil {
		t.Errorf("wrote over another file: %v, %v", wrote, err)
	}
}

// Copies of one message in one mailbox have a line of the index each, also when
// they are written in several goes, of which one died within a line.
func TestEMLOfCopies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	index := filepath.Join(dir, "index.jsonl")
	var copies []Message
	for _, flag := range []mail.Flag{mail.Seen, mail.Flagged, "$Todo"} {
		m := message(t, "INBOX", "Subject: a\r\n\r\n")
		m.Flags = mail.NewFlagSet(flag)
		copies = append(copies, m)
	}
	for _, want := range [][]bool{{true, true}, {false, false, true}, {false, false, false}} {
		w, err := EML(dir)
		if err != nil {
			t.Fatal(err)
		}
		for i, wrote := range want {
			if _, did, err := w.Put(copies[i]); did != wrote || err != nil {
				t.Fatalf("copy %d: wrote %v, %v", i, did, err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(index)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(index, append(b, `{"file":"INB`...), 0o600); err != nil {
			t.Fatal(err)
		}
		var flags []string
		for line := range strings.Lines(string(b)) {
			var e entry
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			flags = append(flags, e.Flags...)
		}
		if got := strings.Join(flags, " "); got != strings.Join([]string{`\Seen`, `\Flagged`, "$Todo"}[:len(flags)], " ") || len(flags) != max(2, len(want)) {
			t.Errorf("the index has %q", got)
		}
	}
}

func TestEMLStaysInItsDirectory(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "out")
	w, err := EML(dir)
	if err != nil {
		t.Fatal(err)
	}
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dir, "Linked")); err != nil {
		t.Fatal(err)
	}
	for _, box := range []mail.MailboxName{"../../etc/passwd", "INBOX/../..", "/etc", "..", ".", "", "a\x00b", "a/", mail.MailboxName(strings.Repeat("ü", 5000)), "%41", "A"} {
		if _, wrote, err := w.Put(message(t, box, "Subject: x\r\n\r\n")); !wrote || err != nil {
			t.Errorf("%.40q: %v, %v", box, wrote, err)
		}
	}
	if _, _, err := w.Put(message(t, "Linked", "Subject: x\r\n\r\n")); err == nil {
		t.Error("followed a link out of the directory")
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	left, _ := os.ReadDir(parent)
	elsewhere, _ := os.ReadDir(outside)
	if len(left) != 1 || len(elsewhere) != 0 {
		t.Errorf("written elsewhere: %v, %v", left, elsewhere)
	}
	b, _ := os.ReadFile(filepath.Join(dir, "index.jsonl"))
	if n := bytes.Count(b, []byte("\n")); n != 11 {
		t.Errorf("%d lines for 11 mailboxes", n)
	}
}

func TestDry(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	first, second := message(t, "Work", "Subject: a\r\n\r\n"), message(t, "INBOX", "Subject: b\r\n\r\n")
	put := func(open func(string) (Writer, error), place string, want ...bool) {
		t.Helper()
		w, err := open(place)
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range []Message{first, second, first}[:len(want)] {
			if _, wrote, err := w.Put(m); wrote != want[i] || err != nil {
				t.Errorf("message %d: %v, %v", i, wrote, err)
			}
		}
		if err := w.Commit(); err != nil {
			t.Error(err)
		}
	}
	put(DryEML, dir, true, true, true)
	put(DryMbox, dir, true, true, true)
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something was written: %v", err)
	}
	put(EML, dir, true)
	put(DryEML, dir, false, true, true)
	if _, err := DryMbox(dir); !errors.Is(err, fs.ErrExist) {
		t.Errorf("an mbox that exists: %v", err)
	}
}
