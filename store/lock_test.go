package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/store/sqlite"
)

func damaged(t *testing.T, dir string, err error) {
	t.Helper()
	if !errors.Is(err, sqlite.ErrDamaged) || !strings.Contains(err.Error(), "out of the way") {
		t.Errorf("a damaged index: %v", err)
	}
	to, err := SetAside(dir, time.Now())
	if err != nil || !strings.HasPrefix(to, filepath.Join(dir, IndexFile)+".damaged-") {
		t.Errorf("set aside to %s: %v", to, err)
	}
}

func TestLockDiesWithItsProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "personal")
	c := startChild(t, "lock", dir)
	path := filepath.Join(dir, LockFile)
	if line := c.says(); line != "locked "+path {
		t.Fatal(line)
	}
	_, err := Lock(dir)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", c.cmd.Process.Pid)) {
		t.Errorf("locked by another process: %v", err)
	}
	c.kill()
	lock := must[*FileLock](t)(Lock(dir))
	if _, err := Lock(dir); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("locked by this process: %v", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Error(err)
	}
	info := must[fs.FileInfo](t)(os.Stat(path))
	if info.Mode() != 0o600 || info.Size() != 0 {
		t.Errorf("the file that stays: %v, %d bytes", info.Mode(), info.Size())
	}
	again := must[*FileLock](t)(Lock(dir))
	if err := again.Unlock(); err != nil {
		t.Error(err)
	}
}

func TestLastRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "personal")
	if _, err := ReadLastRun(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the first run: %v", err)
	}
	full := LastRun{
		Began: time.Unix(1_763_640_000, 5).UTC(), Ended: time.Unix(1_763_640_009, 0).UTC(), Exit: 3, Mailboxes: 4, Messages: 5,
		Copied: [2]int{1, 2}, CopiedBytes: [2]int64{1 << 40, 3}, Flagged: [2]int{5, 6}, Moved: [2]int{7, 8}, Deleted: [2]int{9, 10}, Adopted: 11,
		Held: 12, HeldBoxes: 13, Pending: 14, Declined: 15, Errors: []string{"a \"b\""}, Hints: []string{"look"}, Next: time.Unix(1_763_641_000, 0).UTC(),
		LastOK: time.Unix(1_763_630_000, 7).UTC(), FailingSince: time.Unix(1_763_635_000, 0).UTC(), Failures: 16, FailedBy: []string{"network"},
		Backup: &LastBackup{
			Began: time.Unix(1_763_640_010, 0).UTC(), Ended: time.Unix(1_763_640_011, 0).UTC(), Exit: 1, Complete: true, Why: "why",
			LastOK: time.Unix(1_763_640_002, 0).UTC(), Archive: "/a", Generation: 17, Made: time.Unix(1_763_640_003, 0).UTC(), Mailboxes: 18, Messages: 19,
			Stored: 1 << 41, Quarantined: 20, Retained: time.Unix(9, 0).UTC(), Errors: []string{"c"}, Sync: "d/1",
		},
	}
	for _, v := range []reflect.Value{reflect.ValueOf(full), reflect.ValueOf(*full.Backup)} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s is not tested", v.Type().Field(i).Name)
			}
		}
	}
	for _, want := range []LastRun{{}, full, {Exit: 1}} {
		if err := WriteLastRun(dir, want); err != nil {
			t.Fatal(err)
		}
		if got := must[LastRun](t)(ReadLastRun(dir)); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	entries := must[[]fs.DirEntry](t)(os.ReadDir(dir))
	if len(entries) != 1 || entries[0].Name() != LastRunFile || must[fs.FileInfo](t)(entries[0].Info()).Mode() != 0o600 {
		t.Errorf("what it left: %v", entries)
	}

	// Something left by a run that died is written over; a torn file is told of.
	path := filepath.Join(dir, LastRunFile)
	if err := errors.Join(os.WriteFile(path+".new", make([]byte, 9999), 0o600), WriteLastRun(dir, full)); err != nil {
		t.Fatal(err)
	}
	text := must[[]byte](t)(os.ReadFile(path))
	if !json.Valid(text) {
		t.Errorf("not JSON: %s", text)
	}
	if err := os.WriteFile(path, text[:20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadLastRun(dir); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a torn file: %v", err)
	}
}

// A child that was forked and does not run its program yet has the lock's
// file open as well.
func TestUnlockBesideAFork(t *testing.T) {
	dir := t.TempDir()
	l := must[*FileLock](t)(Lock(dir))
	forked := must[int](t)(syscall.Dup(int(l.file.Fd())))
	defer syscall.Close(forked)
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := Lock(dir)
	if err != nil {
		t.Fatalf("the lock was given up, and is held: %v", err)
	}
	if err := again.Unlock(); err != nil {
		t.Fatal(err)
	}
}

// A run that went as the one before it is told without waiting for the disk.
func TestRenewLastRun(t *testing.T) {
	dir := t.TempDir()
	run := LastRun{Began: time.Unix(1_763_640_000, 0).UTC(), Ended: time.Unix(1_763_640_001, 0).UTC(), Messages: 5}
	run.LastOK = run.Ended
	if err := WriteLastRun(dir, run); err != nil {
		t.Fatal(err)
	}
	next := run
	next.Began, next.Ended, next.LastOK = run.Began.Add(time.Hour), run.Ended.Add(time.Hour), run.LastOK.Add(time.Hour)
	if !next.Alike(run) || !next.Ended.Equal(run.Ended.Add(time.Hour)) {
		t.Errorf("%+v and %+v", run, next)
	}
	backed := func(messages int, at time.Time) LastRun {
		r := run
		r.Backup = &LastBackup{Began: at, Ended: at, LastOK: at, Messages: messages}
		return r
	}
	first, second := backed(3, run.Began), backed(3, next.Began)
	if !first.Alike(second) || first.Alike(backed(4, run.Began)) || first.Alike(run) || !second.Backup.Ended.Equal(next.Began) {
		t.Errorf("backups: %+v and %+v", first.Backup, second.Backup)
	}
	for what, other := range map[string]LastRun{
		"it changed something": {Messages: 5, Copied: [2]int{1, 0}}, "it failed": {Messages: 5, Failures: 1}, "a hint": {Messages: 5, Hints: []string{"look"}},
	} {
		if other.Alike(run) || run.Alike(other) {
			t.Errorf("%s: alike", what)
		}
	}
	if err := RenewLastRun(dir, next); err != nil {
		t.Fatal(err)
	}
	if got := must[LastRun](t)(ReadLastRun(dir)); !reflect.DeepEqual(got, next) {
		t.Errorf("got %+v, want %+v", got, next)
	}
}
