package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwner(t *testing.T) {
	home := t.TempDir()
	c, err := Parse("c", []byte(account+"maildir = \"~/Mail/a\"\n"), homeEnv(home))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(home, "Mail/a/INBOX"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(home, "Mail/a"), filepath.Join(home, "link")); err != nil {
		t.Fatal(err)
	}
	const mine = "the Maildir of account a"
	for path, want := range map[string]string{
		"Mail/a": mine, "Mail/a/New/x": mine, "link": mine, "link/deeper/still": mine, "Mail": "", "Mail/ab": "", "out": "",
		".local/state/godwit/a/x": "state_dir",
	} {
		got := c.Owner(filepath.Join(home, path))
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}
