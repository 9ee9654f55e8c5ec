package store

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A keeperFault lets the n-th call of an undo store fail.
type keeperFault struct {
	n, at int
	after bool // the call has its effect
	dies  bool // so does every later one fail
	errno syscall.Errno
	hit   string
}

func (f *keeperFault) seam(call, path string, do func() error) error {
	f.n++
	if f.hit != "" && f.dies {
		return f.errno
	}
	if f.n != f.at {
		return do()
	}
	f.hit = call + " " + path
	if f.after {
		_ = do()
	}
	return f.errno
}

// TestKeeperEveryCallFails: a message counts as kept only if its bytes are
// there, whole and for good; else the error names the file and says what to
// do, and the next try keeps it.
func TestKeeperEveryCallFails(t *testing.T) {
	points := 0
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		for _, mode := range []struct{ after, dies bool }{{false, false}, {true, false}, {false, true}, {true, true}} {
			for at := 1; keeperFails(t, &keeperFault{at: at, after: mode.after, dies: mode.dies, errno: errno}); at++ {
				points++
			}
		}
	}
	t.Logf("%d points", points)
	if points < 8*8 {
		t.Errorf("only %d points", points)
	}
}

// keeperFails keeps one message with a fault, then without. It tells whether
// there was such a call.
func keeperFails(t *testing.T, f *keeperFault) bool {
	t.Helper()
	const text = "Subject: x\r\n\r\nbody\r\n"
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	h := mail.NewHasher()
	_, _ = h.Write([]byte(text))
	want := h.Sum()
	k := s.Keeper(dir, time.Hour, time.Now)
	k.seam = f.seam
	err = k.Keep(t.Context(), Kept{Mailbox: "INBOX"}, want, strings.NewReader(text))
	if f.hit == "" {
		if err != nil {
			t.Error(err)
		}
		return false
	}
	hint := diskHint(f.errno)
	if err == nil || !errors.Is(err, f.errno) || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), hint) || mail.GradeOf(err, 0) != mail.GradeAccount {
		t.Errorf("%s (%v): %v", f.hit, f.errno, err)
	}
	if n := len(wholeKept(t, s, k, text)); n != 0 {
		t.Errorf("%s: %d entries of what was not kept", f.hit, n)
	}
	k = s.Keeper(dir, time.Hour, time.Now) // the next run
	if err := k.Keep(t.Context(), Kept{Mailbox: "INBOX"}, want, strings.NewReader(text)); err != nil {
		t.Errorf("%s: the next try: %v", f.hit, err)
	}
	if n := len(wholeKept(t, s, k, text)); n != 1 {
		t.Errorf("%s: %d entries after the next try", f.hit, n)
	}
	return true
}

// wholeKept lists the entries, and fails if the bytes of one are not text.
func wholeKept(t *testing.T, s *Store, k *Keeper, text string) (out []Kept) {
	t.Helper()
	err := s.ListKept(t.Context(), KeptFilter{}, func(kept Kept) error {
		out = append(out, kept)
		r, err := k.Open(kept)
		if err != nil {
			return err
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != text {
			t.Errorf("kept: %q, %v", b, err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return out
}

// TestKeeperGrades: bytes that cannot be read, or are others, concern the
// message alone.
func TestKeeperGrades(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k := s.Keeper(dir, time.Hour, time.Now)
	for name, body := range map[string]io.Reader{
		"others":     strings.NewReader("x"),
		"unreadable": io.MultiReader(strings.NewReader("x"), &failingReader{}),
	} {
		err := k.Keep(t.Context(), Kept{Mailbox: "INBOX"}, mail.Identity{Body: mail.Digest{1}}, body)
		if mail.GradeOf(err, 0) != mail.GradeMessage || !strings.Contains(err.Error(), "the next run tries again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, DeletedDir, "tmp-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type failingReader struct{}

func (*failingReader) Read([]byte) (int, error) { return 0, mail.ErrShort }

// TestStateIsPrivate: whatever the umask, nobody else can read what is in the
// state directory.
func TestStateIsPrivate(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	dir := filepath.Join(t.TempDir(), "state", "personal")
	lock, err := Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Unlock()
	s, err := Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Keeper(dir, time.Hour, time.Now).Keep(t.Context(), Kept{Mailbox: "INBOX"}, mail.Identity{}, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	if err := WriteLastRun(dir, LastRun{}); err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(filepath.Dir(dir), func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if e.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || files < 5 { // index, its WAL and shared memory, lock, last-run, the kept bytes
		t.Errorf("%d files, %v", files, err)
	}
}
