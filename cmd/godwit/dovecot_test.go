package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/cmd/godwit/demo"
	"github.com/godwit-mail/godwit/imap/imaptest"
)

// TestDovecot takes an account through its first days on a real server: over
// TLS with an own authority, and on one that offers nothing beyond IMAP4rev1.
func TestDovecot(t *testing.T) {
	tests := map[string]struct {
		options []imaptest.Option
		more    string
		check   string
	}{
		"maildir++":      {more: "layout = \"maildir++\"\ncompress = \"on\"\n", check: "ok   box: compression: the connection is compressed"},
		"bare IMAP4rev1": {options: []imaptest.Option{imaptest.Bare()}, check: "ok   box: server: logged in"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			server := imaptest.Dovecot(t, append(tt.options, imaptest.WithTLS())...)
			h := &home{dir: t.TempDir()}
			h.mail.Root = filepath.Join(h.dir, "Mail")
			text := fmt.Sprintf("state_dir = \"~/state\"\n[accounts.box]\nhost = %q\nport = %d\nca_file = %q\nusername = \"box\"\npassword_command = \"echo %s\"\nmaildir = \"~/Mail\"\n%s",
				server.Host, server.TLSPort, server.CAFile, imaptest.Password, tt.more)
			if err := os.WriteFile(filepath.Join(h.dir, "config.toml"), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, box := range []string{"Work", "Work/Grüße"} {
				server.Doveadm("mailbox", "create", "-u", "box", box)
			}
			client := server.Client("box")
			for _, m := range demo.Sample[:5] {
				text := m.Bytes()
				cmd := client.Append("Work/Grüße", int64(len(text)), nil)
				_, err := cmd.Write(text)
				if err := errors.Join(err, cmd.Close()); err != nil {
					t.Fatal(err)
				}
				if _, err := cmd.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			h.expect(t, "check", 0, tt.check)
			h.expect(t, "sync", 0, "copied 5 messages here")
			h.expect(t, "sync", 0, "box: nothing changed; 5 messages in 3 mailboxes agree")

			folder := "Work/Grüße"
			if tt.more != "" {
				folder = ".Work.Gr&APwA3w-e"
			}
			if err := errors.Join(h.mail.Flag(folder, demo.Sample[1].ID, "FS"), h.mail.Delete(folder, demo.Sample[2].ID)); err != nil {
				t.Fatal(err)
			}
			server.Doveadm("move", "-u", "box", "Work", "mailbox", "Work/Grüße", "header", "message-id", demo.Sample[4].ID)
			h.expect(t, "sync", 0, "agree")
			h.expect(t, "sync", 0, "box: nothing changed; 4 messages in 3 mailboxes agree")
			if flagged := server.Doveadm("search", "-u", "box", "mailbox", "Work/Grüße", "flagged", "seen"); len(strings.Fields(flagged)) != 2 {
				t.Errorf("flagged on the server: %q", flagged)
			}
			if all := server.Doveadm("search", "-u", "box", "all"); len(strings.Split(strings.TrimSpace(all), "\n")) != 4 {
				t.Errorf("on the server: %q", all)
			}
			server.Stop()
			h.expect(t, "status", 0, "both sides agreed")
			h.expect(t, "sync", 1, "")
			h.expect(t, "status", 0, "something failed")
		})
	}
}

// expect runs a command, which must end with code and print text.
func (h *home) expect(t *testing.T, command string, code int, text string) {
	t.Helper()
	var out bytes.Buffer
	got, errs := h.run(t.Context(), &out, command)
	if got != code || !strings.Contains(out.String(), text) {
		t.Fatalf("%s: exit %d, want %d and %q:\n%s%s", command, got, code, text, out.String(), errs)
	}
	if strings.Contains(out.String()+errs, imaptest.Password) {
		t.Errorf("%s shows the password", command)
	}
}
