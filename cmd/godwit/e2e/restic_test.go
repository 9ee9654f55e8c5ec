package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A resticSummary is what restic tells at the end of a backup.
type resticSummary struct {
	Type       string `json:"message_type"`
	New        int    `json:"files_new"`
	Changed    int    `json:"files_changed"`
	Unmodified int    `json:"files_unmodified"`
	Added      int64  `json:"data_added"`
}

// summary reads what the hook wrote, and removes it.
func summary(t *testing.T, path string) (s resticSummary) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(path))
	for line := range strings.Lines(string(text)) {
		must(t, json.Unmarshal([]byte(line), &s))
		if s.Type == "summary" {
			return s
		}
	}
	t.Fatalf("restic did not end well: %s", tail(string(text)))
	return s
}

// The archive is copied elsewhere by restic, after each generation, as the
// documentation has it: only what is new is copied. From that copy alone, on a
// machine that has nothing else, the mail comes back as it was, as of any
// generation, and backups go on without fetching it again.
func TestRestic(t *testing.T) {
	a := newAccount(t, imaptest.Dovecot(t), "me")
	list := make([]parcel, 1500)
	for i := range list {
		list[i] = parcel{box: fmt.Sprintf("Box/%d", i%5), body: strings.ReplaceAll(letter(700_000+i), "\n", "\r\n"), date: date(i)}
	}
	a.post(list)
	h := newHand(a)
	told := filepath.Join(a.dir, "restic.json")
	secret := filepath.Join(a.dir, "secret")
	must(t, os.WriteFile(secret, []byte("correct horse"), 0o600))
	options := []string{"--repo", filepath.Join(a.dir, "elsewhere"), "--password-file", secret, "--cache-dir", filepath.Join(a.dir, "cache")}
	restic := func(args ...string) {
		t.Helper()
		text, err := exec.CommandContext(t.Context(), "restic", append(args, options...)...).CombinedOutput()
		need(t, err == nil, "restic %v: %v\n%s", args, err, text)
	}
	restic("init")
	a.alone()
	a.appendConfig(fmt.Sprintf("after_backup = %q\nhook_timeout = \"5m\"\n",
		fmt.Sprintf("%s --config %s copy-catalogue me && restic backup --json %s --exclude 'catalogue.db*' %s > %s",
			binary, a.config, strings.Join(options, " "), a.archiveDir(), told)))
	a.sync()
	first := summary(t, told)
	before := a.remote()
	need(t, first.New > 1500 && first.Changed == 0, "the first copy: %+v", first)

	// Only what is new is copied.
	uid := h.write("Box/1", 20)
	h.flagThere("Box/1", uid, imap.FlagFlagged)
	h.deleteThere("Box/1", uid+1)
	a.sync()
	second := summary(t, told)
	now := a.remote()
	copied, err := os.Stat(filepath.Join(a.archiveDir(), archive.CopyFile))
	must(t, err)
	t.Logf("restic added %d bytes at first, and %d with 19 messages more; the catalogue has %d", first.Added, second.Added, copied.Size())
	need(t, second.New == 19+1, "%d new files were copied, not 19 messages and a manifest: %+v", second.New, second)
	need(t, second.Changed == 1, "%d files had changed, not the copy of the catalogue alone: %+v", second.Changed, second)
	need(t, second.Added < copied.Size()+200_000, "%d bytes were added: %+v", second.Added, second)

	// Nothing but the copy is left.
	back := t.TempDir()
	restic("restore", "latest", "--target", back)
	b := &account{t: t, server: a.server, user: a.user, dir: back, root: filepath.Join(back, "Mail"), state: filepath.Join(back, "state"), config: filepath.Join(back, "config.toml")}
	b.alone()
	must(t, os.MkdirAll(filepath.Dir(b.archiveDir()), 0o700))
	must(t, os.Rename(filepath.Join(back, a.archiveDir()), b.archiveDir()))
	text, err := os.ReadFile(filepath.Join(b.archiveDir(), archive.CopyFile))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(b.archiveDir(), archive.CatalogueFile), text, 0o600))
	out, err := archive.Verify(t.Context(), archive.VerifyOptions{Options: archive.Options{Dir: b.archiveDir()}, ReadData: true})
	must(t, err)
	need(t, len(out.Findings) == 0 && out.ReadFiles == out.Messages && out.Messages == first.New-3+19, "what came back: %+v", out)
	for generation, want := range map[string]sidetest.Snapshot{"#1": before, "#2": now} {
		b.root = filepath.Join(back, "Mail"+generation[1:])
		b.exits(0, "restore", "me", "--at", generation, "--to", "maildir:"+b.root)
		if d := sidetest.Compare(b.local(), want); d != "" {
			t.Fatalf("as of %s, what came back (first) is not what the server had (second):\n%s", generation, tail(d))
		}
	}

	// And it goes on from there.
	h.write("Box/2", 3)
	files := b.messageFiles()
	b.sync().tells(t, "generation #3: 3 came; ")
	need(t, b.messageFiles() == files+3, "%d message files were added, not 3", b.messageFiles()-files)
	b.keeps()
}

// appendConfig adds lines to the table of the account.
func (a *account) appendConfig(lines string) {
	a.t.Helper()
	file, err := os.OpenFile(a.config, os.O_APPEND|os.O_WRONLY, 0)
	must(a.t, err)
	_, err = file.WriteString(lines)
	must(a.t, err)
	must(a.t, file.Close())
}
