package e2e

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// archiveFiles describes every file of the archive.
func (a *account) archiveFiles() string {
	a.t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(a.archiveDir(), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %d", path, info.Mode(), info.Size())
		if !d.IsDir() && !strings.HasSuffix(path, "-shm") { // SQLite's locks are in that file
			fmt.Fprintf(&b, " %d", info.ModTime().UnixNano())
		}
		b.WriteByte('\n')
		return nil
	})
	must(a.t, err)
	return b.String()
}

// Where nothing has changed, a backup is a login and one look at all
// mailboxes in one flight, as a sync is, and the archive is as it was to the last byte.
func TestBackupOfNothing(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	for i := range 30 {
		h.write(fmt.Sprintf("Box %d", i), 1)
	}
	a.alone()
	a.sync()
	a.sync()
	files := a.archiveFiles()
	w := a.tap()
	for range 2 {
		a.sync().tells(t, "backup: nothing changed since generation #1")
		heard := w.take()
		need(t, len(heard) == 4 && len(named(heard, "AUTHENTICATE", "ENABLE", "NAMESPACE", "LIST")) == 4, "it took more than to log in and list: %v", heard)
		if now := a.archiveFiles(); now != files {
			t.Fatalf("the archive was changed:\n%s", strings.Join(changedLines(files, now), "\n"))
		}
	}
	// Beside a Maildir the sync just before it shows as much.
	a.configure("backup = true")
	a.sync()
	a.sync()
	a.sync()
	w = a.tap()
	a.sync().tells(t, "backup: nothing has changed since the last one")
	need(t, len(named(w.take(), "LIST")) == 1, "the backup asked what the sync had just asked")
}

var backupMessages = flag.Int("backup-messages", 600, "how many messages are there when TestBackupCostsTheChange looks what 100 more cost")

// weight is the size of all files of a directory, in bytes.
func weight(t *testing.T, dir string) (sum int64) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	}))
	return sum
}

// A backup costs what changed: nothing where nothing did, however much there is.
func TestBackupCostsTheChange(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	h := newHand(a)
	list := make([]parcel, *backupMessages)
	for i := range list {
		list[i] = parcel{box: fmt.Sprint("Many/", i%20), body: strings.ReplaceAll(letter(200_000+i), "\n", "\r\n"), date: date(i)}
	}
	a.post(list)
	h.makeThere("Many")
	a.alone()
	a.sync()
	a.sync()
	all, still := a.archiveFiles(), weight(t, a.state)
	w := a.tap()
	r := a.sync()
	t.Logf("nothing changed in %d messages: %v", len(list), r.took)
	idle := w.take()
	need(t, len(idle) == 4, "nothing changed, and it took %d commands: %v", len(idle), idle)
	if now := a.archiveFiles(); now != all {
		t.Fatalf("nothing changed, and the archive did:\n%s", strings.Join(changedLines(all, now), "\n"))
	}
	grown := weight(t, a.state) - still
	need(t, grown < 10_000, "nothing changed, and the state grew by %d bytes", grown)
	files := a.messageFiles()
	first := h.write("Many", 100)
	h.flagThere("Many", first, imap.FlagSeen)
	w.take()
	r = a.sync()
	t.Logf("100 new messages: %v", r.took)
	r.tells(t, "generation #2: 100 came; ")
	heard := w.take()
	need(t, len(heard) <= 10, "100 new messages took %d commands: %v", len(heard), heard)
	need(t, a.messageFiles()-files == 100, "%d message files were added", a.messageFiles()-files)
	manifests, err := os.ReadDir(filepath.Join(a.archiveDir(), "manifests"))
	need(t, err == nil && len(manifests) == 2, "there are %d manifests, %v", len(manifests), err)
	info, err := manifests[1].Info()
	need(t, err == nil && info.Size() < 40_000, "its manifest has %d bytes", info.Size())
	a.keeps()
}

// changedLines are those of two texts that only one has.
func changedLines(a, b string) (out []string) {
	for line := range strings.Lines(a) {
		if !strings.Contains(b, line) {
			out = append(out, "- "+strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(b) {
		if !strings.Contains(a, line) {
			out = append(out, "+ "+strings.TrimSpace(line))
		}
	}
	return out
}
