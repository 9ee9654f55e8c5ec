package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/cmd/godwit/demo"
	"github.com/godwit-mail/godwit/imap/imaptest"
)

// TestAdoption takes over Maildirs that other tools have filled, and one that
// was copied by hand: no body travels, in neither direction, nothing is
// doubled, and the files stay.
func TestAdoption(t *testing.T) {
	fill := map[string]func(*testing.T, *imaptest.Server, string){
		"mbsync":      fillByMbsync,
		"offlineimap": fillByOfflineIMAP,
		"copy":        copyFromServer,
	}
	for name, fill := range fill {
		t.Run(name, func(t *testing.T) {
			server := imaptest.Dovecot(t, imaptest.Maildir())
			client := server.Client("box")
			for _, m := range demo.Sample {
				if m.Mailbox == "INBOX" || m.Mailbox == "Work" || m.Mailbox == "Work/Deep" {
					appendTo(t, client, m)
				}
			}
			h := &home{dir: t.TempDir()}
			h.mail.Root = filepath.Join(h.dir, "Mail")
			if err := os.Mkdir(h.mail.Root, 0o700); err != nil {
				t.Fatal(err)
			}
			fill(t, server, h.dir)
			before := mailFiles(t, h.mail.Root)
			if len(before) != 8 {
				t.Fatalf("%s filled the Maildir with %d messages", name, len(before))
			}
			text := fmt.Sprintf("state_dir = \"~/state\"\n[accounts.box]\nhost = %q\nport = %d\ntls = \"none\"\nusername = \"box\"\npassword = %q\nmaildir = \"~/Mail\"\n", server.Host, server.Port, imaptest.Password)
			if err := os.WriteFile(filepath.Join(h.dir, "config.toml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			code, errs := h.run(t.Context(), &out, "--json", "sync")
			if code != 0 {
				t.Fatalf("exit %d: %s%s", code, errs, out.String())
			}
			all := objects(t, out.String())
			run := all[len(all)-2]
			for _, what := range []string{"copied", "flagged", "moved", "deleted"} {
				if n := run[what].(map[string]any); n["local"] != 0.0 || n["remote"] != 0.0 {
					t.Errorf("%s %v messages", what, n)
				}
			}
			if run["adopted"] != 8.0 || run["in_step"] != 8.0 {
				t.Errorf("adopted %v, in step %v, want 8", run["adopted"], run["in_step"])
			}
			if after := mailFiles(t, h.mail.Root); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("the files were changed:\n%v\nbefore:\n%v", after, before)
			}
			h.expect(t, "sync", 0, "box: nothing changed; 8 messages")
		})
	}
}

func appendTo(t *testing.T, client *imapclient.Client, m demo.Message) {
	t.Helper()
	if m.Mailbox != "INBOX" {
		_ = client.Create(m.Mailbox, nil).Wait() // it may be there already
	}
	text := m.Bytes()
	cmd := client.Append(m.Mailbox, int64(len(text)), nil)
	_, err := cmd.Write(text)
	if err := errors.Join(err, cmd.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

// mailFiles lists the messages below root with their contents' sizes.
func mailFiles(t *testing.T, root string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if dir := filepath.Base(filepath.Dir(path)); err == nil && !entry.IsDir() && (dir == "cur" || dir == "new") {
			info, err := entry.Info()
			if err != nil {
				return err
			}
			files = append(files, fmt.Sprintf("%s %d", path, info.Size()))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// tool runs another synchroniser in dir.
func tool(t *testing.T, dir string, command ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

func fillByMbsync(t *testing.T, server *imaptest.Server, dir string) {
	config := fmt.Sprintf(`IMAPAccount box
Host %s
Port %d
User box
Pass %s
SSLType None
AuthMechs LOGIN

IMAPStore far
Account box

MaildirStore near
Path %[4]s/Mail/
Inbox %[4]s/Mail/INBOX
SubFolders Verbatim

Channel box
Far :far:
Near :near:
Patterns *
Create Near
SyncState *
`, server.Host, server.Port, imaptest.Password, dir)
	path := filepath.Join(dir, "mbsyncrc")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "mbsync", "-c", path, "-a")
}

func fillByOfflineIMAP(t *testing.T, server *imaptest.Server, dir string) {
	config := fmt.Sprintf(`[general]
accounts = box
metadata = %[4]s/offlineimap
ui = quiet
[Account box]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = %[4]s/Mail
sep = /
[Repository far]
type = IMAP
remotehost = %[1]s
remoteport = %[2]d
remoteuser = box
remotepass = %[3]s
ssl = no
starttls = no
auth_mechanisms = LOGIN
`, server.Host, server.Port, imaptest.Password, dir)
	path := filepath.Join(dir, "offlineimaprc")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, dir, "offlineimap", "-o", "-c", path)
}

// copyFromServer copies the server's own Maildirs, as scp -p would.
func copyFromServer(t *testing.T, server *imaptest.Server, dir string) {
	from := filepath.Join(server.Home("box"), "Maildir") // which is the INBOX itself
	to := filepath.Join(dir, "Mail")
	tool(t, dir, "cp", "-rp", filepath.Join(from, "Work"), to)
	tool(t, dir, "mkdir", filepath.Join(to, "INBOX"))
	for _, sub := range []string{"cur", "new", "tmp"} {
		tool(t, dir, "cp", "-rp", filepath.Join(from, sub), filepath.Join(to, "INBOX"))
	}
	tool(t, dir, "find", filepath.Join(dir, "Mail"), "(", "-name", "dovecot*", "-o", "-name", "maildirfolder", ")", "-delete")
}
