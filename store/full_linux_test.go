package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// fullAccount is an account in memory that has much to do.
type fullAccount struct {
	local, remote *sidetest.Memory
}

func newFullAccount() *fullAccount {
	a := &fullAccount{sidetest.NewMemory(sidetest.Maildir), sidetest.NewMemory(sidetest.Server)}
	for n := range 400 {
		text := fmt.Sprintf("Subject: letter %d\r\nMessage-ID: <%d@x>\r\n\r\nx\r\n", n, n)
		a.remote.Deliver("INBOX", text, mail.NewFlagSet("keyword"), time.Unix(int64(n), 0))
	}
	return a
}

func (a *fullAccount) run(ctx context.Context, s *Store) (*engine.Report, error) {
	return engine.Run(ctx, a.options(s))
}

func (a *fullAccount) options(index engine.Index) engine.Options {
	return engine.Options{
		Account: "test", Mode: "mirror", Policy: plan.Mirror(), Bound: "me@server", KeepsRef: [2]bool{true, false},
		Local: a.local.Open(), Remote: a.remote.Open(), Index: index, Clock: time.Now,
		Scope: func(mail.MailboxName, mail.Role) bool { return true },
	}
}

// stopped checks a run that met a full disk, and mended one that has room again.
func (a *fullAccount) stopped(t *testing.T, s *Store, rep *engine.Report, err error, mend func()) {
	t.Helper()
	if mail.GradeOf(err, 0) != mail.GradeAccount || !strings.Contains(err.Error(), IndexFile) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("on a full disk: %v", err)
	}
	if rep.Exit() != 1 {
		t.Errorf("on a full disk the run ends with %d", rep.Exit())
	}
	if n := a.local.Snapshot().Messages(); n > 0 {
		t.Errorf("%d messages were copied though the index could not remember it", n)
	}
	mend()
	if rep, err := a.run(t.Context(), s); err != nil || rep.Exit() != 0 {
		t.Fatalf("with room again: %v, %v", err, rep.Faults)
	}
	if d := sidetest.Compare(a.local.Snapshot(), a.remote.Snapshot()); d != "" {
		t.Error(d)
	}
	if err := s.CheckConsistency(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestFullIndex: an index that cannot grow stops the account before anything
// is done that it would not remember.
func TestFullIndex(t *testing.T) {
	s, err := Open(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	limit := func(pages int) {
		t.Helper()
		err := s.db.Update(t.Context(), func(tx *sqlite.Tx) error {
			return tx.Each(fmt.Sprintf("PRAGMA max_page_count = %d", pages), nil, func(*sql.Rows) error { return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	limit(1) // as many as it has now
	a := newFullAccount()
	rep, err := a.run(t.Context(), s)
	a.stopped(t, s, rep, err, func() { limit(1 << 30) })
}

// TestFullFileSystem is the same with a real file system that is full, where
// the test may mount one.
func TestFullFileSystem(t *testing.T) {
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m")
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Log("not permitted to mount: TestFullIndex shows the same")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	state := filepath.Join(dir, "state")
	s, err := Open(t.Context(), state)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	a := newFullAccount()
	rep, err := a.run(t.Context(), s)
	if n := a.local.Effects() + a.remote.Effects(); n > 0 {
		t.Errorf("%d effects though the index could not be written to", n)
	}
	a.stopped(t, s, rep, err, func() {
		if err := os.Truncate(filler, 0); err != nil {
			t.Fatal(err)
		}
	})
}
