package store_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/plan"
)

// undo opens an undo store whose clock the test sets.
func undo(t *testing.T, now *time.Time) (*store.Store, *store.Keeper, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s, s.Keeper(dir, 24*time.Hour, func() time.Time { return *now }), filepath.Join(dir, store.DeletedDir)
}

func kept(t *testing.T, s *store.Store) []store.Kept {
	t.Helper()
	var out []store.Kept
	if err := s.ListKept(t.Context(), store.KeptFilter{}, func(k store.Kept) error { out = append(out, k); return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// filesIn lists the files below dir.
func filesIn(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			names = append(names, path)
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return names
}

func identity(text string) mail.Identity {
	h := mail.NewHasher()
	h.Write([]byte(text))
	return h.Sum()
}

func TestKeeperKeepsTheBytes(t *testing.T) {
	now := time.Now()
	s, k, dir := undo(t, &now)
	const text = "Subject: x\r\n\r\nbody\n"
	what := store.Kept{Side: plan.Remote, Mailbox: "Work/Deep", Flags: mail.NewFlagSet(mail.Seen, "$Work"), Date: time.Unix(1700000000, 0)}
	want := identity(text)
	want.GlobalID = "M1"
	for range 2 { // the same message twice shares its bytes
		if err := k.Keep(t.Context(), what, want, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	list := kept(t, s)
	if len(list) != 2 || len(filesIn(t, dir)) != 1 {
		t.Fatalf("%d entries, files %v", len(list), filesIn(t, dir))
	}
	got := list[0]
	if got.Mailbox != what.Mailbox || got.Side != what.Side || !got.Flags.Equal(what.Flags) || !got.Date.Equal(what.Date) || got.Ident.Body != want.Body || got.Ident.GlobalID != "M1" {
		t.Errorf("kept %+v", got)
	}
	r, err := k.Open(got)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != text {
		t.Errorf("%q, %v", b, err)
	}
}

// brokenReader fails after its first bytes.
type brokenReader struct{ io.Reader }

func (b *brokenReader) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = mail.ErrShort
	}
	return n, err
}

func TestKeeperRefusesOtherBytes(t *testing.T) {
	now := time.Now()
	s, k, dir := undo(t, &now)
	if err := k.Keep(t.Context(), store.Kept{Mailbox: "INBOX"}, identity("A: 1\r\n\r\n"), strings.NewReader("A: 2\r\n\r\n")); err == nil || !strings.Contains(err.Error(), "not those of the message") {
		t.Errorf("other bytes: %v", err)
	}
	if err := k.Keep(t.Context(), store.Kept{Mailbox: "INBOX"}, mail.Identity{}, &brokenReader{bytes.NewReader([]byte("A: 1"))}); !errors.Is(err, mail.ErrShort) {
		t.Errorf("short body: %v", err)
	}
	if list, files := kept(t, s), filesIn(t, dir); len(list) != 0 || len(files) != 0 {
		t.Errorf("left behind: %v, %v", list, files)
	}
}

func TestKeeperPurges(t *testing.T) {
	began := time.Now()
	now := began
	s, k, dir := undo(t, &now)
	keep := func(text string) {
		t.Helper()
		if err := k.Keep(t.Context(), store.Kept{Mailbox: "INBOX"}, mail.Identity{}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	keep("only early")
	keep("early and late")
	if err := os.WriteFile(filepath.Join(dir, "tmp-crash"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	now = began.Add(12 * time.Hour)
	keep("early and late")
	if err := k.Purge(t.Context()); err != nil || len(kept(t, s)) != 3 {
		t.Fatalf("before its time: %d entries, %v", len(kept(t, s)), err)
	}
	now = began.Add(25 * time.Hour)
	if err := k.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	list := kept(t, s)
	files := filesIn(t, dir)
	if len(list) != 1 || len(files) != 2 || filepath.Base(files[0]) != "README" && filepath.Base(files[1]) != "README" {
		t.Errorf("after its time: %d entries, files %v", len(list), files)
	}
	if _, err := k.Open(list[0]); err != nil {
		t.Errorf("what is still kept lost its bytes: %v", err)
	}
}

// TestKeeperOutlivesTheIndex loses the index: what was kept is found, and
// stays for its time.
func TestKeeperOutlivesTheIndex(t *testing.T) {
	now := time.Now()
	_, k, dir := undo(t, &now)
	for _, text := range []string{"Subject: a\r\n\r\n", "Subject: b\r\n\r\n"} {
		if err := k.Keep(t.Context(), store.Kept{Mailbox: "INBOX", Why: "x"}, mail.Identity{}, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	other, err := store.Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { other.Close() })
	k = other.Keeper(filepath.Dir(dir), 10*24*time.Hour, func() time.Time { return now })
	strays := func() (out []store.Kept) {
		t.Helper()
		if err := k.Strays(t.Context(), func(k store.Kept) error { out = append(out, k); return nil }); err != nil {
			t.Fatal(err)
		}
		return out
	}
	list := strays()
	if len(list) != 2 || list[0].Ident.Body.IsZero() || list[0].DeletedAt.IsZero() {
		t.Fatalf("found %+v", list)
	}
	expire := func() {
		t.Helper()
		short := other.Keeper(filepath.Dir(dir), -time.Hour, func() time.Time { return now })
		if err := short.Keep(t.Context(), store.Kept{Mailbox: "INBOX"}, mail.Identity{}, strings.NewReader("Subject: c\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if err := k.Purge(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(5 * 24 * time.Hour)
	if expire(); len(strays()) != 2 {
		t.Errorf("before their time %d are left", len(strays()))
	}
	now = now.Add(7 * 24 * time.Hour)
	if expire(); len(strays()) != 0 {
		t.Errorf("after their time %d are left", len(strays()))
	}
}

func TestKeeperOpensOnlyItsOwn(t *testing.T) {
	now := time.Now()
	_, k, _ := undo(t, &now)
	if _, err := k.Open(store.Kept{File: "../index.db"}); err == nil {
		t.Error("a name that leads out of the undo store was opened")
	}
}
