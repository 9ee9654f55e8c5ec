package maildir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// mountSmall mounts a file system of that size, if the test may; remount
// changes its options. Where it may not, the seam shows the same in
// TestEveryCallFails and TestReadOnly.
func mountSmall(t *testing.T, options string) (dir string, remount func(flags uintptr, options string), ok bool) {
	t.Helper()
	dir = t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, options)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Log("not permitted to mount a file system: only the seam is used")
		return "", nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir, func(flags uintptr, options string) {
		t.Helper()
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|flags, options); err != nil {
			t.Fatal(err)
		}
	}, true
}

// bulky serves letters of 8 kB each.
func (a *account) bulky(from, n int) {
	for i := from; i < from+n; i++ {
		a.server.Deliver("INBOX", letter(i)+strings.Repeat("0123456789abcde\r\n", 500), mail.NewFlagSet(mail.Seen), firstDay)
	}
}

// TestFullFileSystem fills a real file system up: what fits is there, whole, the
// error says what to do, and with room again the rest follows.
func TestFullFileSystem(t *testing.T) { bothWays(t, testFullFileSystem) }

func testFullFileSystem(t *testing.T, by way) {
	dir, remount, ok := mountSmall(t, "size=300k")
	if !ok {
		return
	}
	a := newAccount(t, by(Options{FSync: true}))
	a.opt.Root = filepath.Join(dir, "mail")
	a.bulky(0, 100)
	for range 2 { // a second run on the full disk makes nothing worse
		rep, err := a.run(&tap{real: true})
		if err != nil || rep.Exit() != 1 || !told(rep.Faults, unix.ENOSPC, "make room") {
			t.Errorf("on a full disk: %d, %v, %v", rep.Exit(), err, rep.Faults)
		}
		part := a.disk()["INBOX"]
		if len(part) == 0 || len(part) >= 100 {
			t.Errorf("%d of 100 letters are there", len(part))
		}
		for _, msg := range part {
			if id := identOf(t, msg.Body); !strings.HasSuffix(string(msg.Body), "abcde\n") || id.Size < 8500 {
				t.Errorf("a letter of %d bytes is there", id.Size)
			}
		}
	}
	remount(0, "size=8m")
	a.sync()
	a.agree("with room again")
	if left, err := os.ReadDir(a.path("INBOX", "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
}

func identOf(t *testing.T, body []byte) mail.Identity {
	t.Helper()
	h := mail.NewHasher()
	_, _ = h.Write(body)
	return h.Sum()
}

func told(faults []error, errno syscall.Errno, hint string) bool {
	for _, f := range faults {
		if errors.Is(f, errno) && strings.Contains(f.Error(), hint) {
			return true
		}
	}
	return false
}

// TestReadOnly: a Maildir that cannot be written to is told of, and nothing is
// done on the server either: the run could not be stamped. By the seam, and on
// a real file system where one may be mounted.
func TestReadOnly(t *testing.T) { bothWays(t, testReadOnly) }

func testReadOnly(t *testing.T, by way) {
	busy := func(a *account) {
		for n := range 5 {
			a.serve("INBOX", n, mail.Seen)
		}
		a.sync()
		a.serve("INBOX", 5)
		a.server.Expunge("INBOX", a.ref("INBOX", 0))
		a.mark("INBOX", 1, "FS")
		a.must(os.Remove(a.needFile("INBOX", 2)))
		a.drop("INBOX", 6, "")
	}
	t.Run("seam", func(t *testing.T) {
		a := newAccount(t, by(Options{FSync: true}))
		busy(a)
		checkReadOnly(t, a, &tap{only: mutating, at: 1, mode: failBefore, errno: unix.EROFS, always: true})
		a.sync()
		a.agree("writable again")
	})
	t.Run("file system", func(t *testing.T) {
		dir, remount, ok := mountSmall(t, "size=8m")
		if !ok {
			return
		}
		a := newAccount(t, by(Options{FSync: true}))
		a.opt.Root = filepath.Join(dir, "mail")
		busy(a)
		remount(unix.MS_RDONLY, "")
		checkReadOnly(t, a, &tap{})
		remount(0, "")
		a.sync()
		a.agree("writable again")
	})
}

func checkReadOnly(t *testing.T, a *account, x *tap) {
	t.Helper()
	disk, server := a.disk(), a.server.Snapshot()
	a.server.ResetCounts()
	rep, err := a.run(x)
	if mail.GradeOf(err, 0) != mail.GradeAccount || rep.Exit() != 1 || !told(rep.Faults, unix.EROFS, "mount the file system for writing") {
		t.Errorf("on a read-only file system: %d, %v, %v", rep.Exit(), err, rep.Faults)
	}
	if n := a.server.Effects(); n > 0 {
		t.Errorf("%d effects on the server: %v", n, a.events)
	}
	if d := sidetest.Compare(disk, a.disk()) + sidetest.Compare(server, a.server.Snapshot()); d != "" {
		t.Errorf("something changed:\n%s", d)
	}
}

// TestClock lets the clock of the machine jump, by days, between runs and
// within one, and gives files times from before and after everything: no
// message is lost or doubled, and no run does what was done before.
func TestClock(t *testing.T) {
	jumps := []time.Duration{0, 40 * 24 * time.Hour, -80 * 24 * time.Hour, -1, 24 * time.Hour, -24 * time.Hour, 365 * 24 * time.Hour}
	for _, within := range []bool{false, true} {
		t.Run(fmt.Sprintf("within %v", within), func(t *testing.T) {
			a := newAccount(t, Options{FSync: true})
			var jumped atomic.Int64 // both sides look at the clock at once
			ahead := func() time.Duration { return time.Duration(jumped.Load()) }
			a.now = func() time.Time { return time.Now().Add(ahead()) }
			// The file system's clock does not jump with ours: one that is
			// behind it must be told from one that is ahead, which would show
			// in the times of all that changes after.
			a.diskNow = func() time.Time { return time.Now().Add(min(ahead(), 0)) }
			for n := range 6 {
				a.serve("INBOX", n, mail.Seen)
			}
			a.sync()
			for i, jump := range jumps {
				n := 10 + 10*i
				a.serve("INBOX", n)
				a.drop("INBOX", n+1, ":2,F")
				a.serve("Work", n+2, mail.Seen)
				a.mark("INBOX", 1, []string{"FS", "S"}[i%2])
				a.server.Expunge("INBOX", a.ref("INBOX", 0))
				a.serve("INBOX", 0)
				x := &tap{}
				if !within {
					jumped.Add(int64(jump))
				} else {
					x.hook = func(call int) {
						if call == 100 {
							jumped.Add(int64(jump))
						}
					}
				}
				if rep, err := a.run(x); err != nil || rep.Exit() != 0 {
					t.Fatalf("after %v: %d, %v, %v", jump, rep.Exit(), err, rep.Faults)
				}
				a.agree(fmt.Sprintf("after %v", jump))
			}
		})
	}
}

// TestOddTimes: the time of a file is what the message has as its date, and
// nothing hangs on it being sensible.
func TestOddTimes(t *testing.T) {
	a := newAccount(t, Options{FSync: true})
	a.serve("INBOX", 0)
	a.sync()
	for i, date := range []time.Time{
		time.Unix(0, 0), time.Date(1901, 12, 14, 0, 0, 0, 0, time.UTC), time.Date(2106, 2, 8, 0, 0, 0, 0, time.UTC),
		time.Now().AddDate(0, 0, 3), time.Unix(1<<31, 0), time.Unix(1700000000, 999999999),
	} {
		n := 10 + i
		a.drop("INBOX", n, "")
		a.must(os.Chtimes(a.needFile("INBOX", n), date, date))
		a.server.Deliver("INBOX", letter(50+n), mail.FlagSet{}, date)
	}
	// Directories, too, from the future and the past.
	a.must(os.Chtimes(a.path("INBOX", "cur"), time.Now(), time.Now().AddDate(1, 0, 0)))
	a.must(os.Chtimes(a.path("INBOX", "new"), time.Now(), time.Unix(0, 0)))
	a.sync()
	a.agree("odd times")
	if n := len(a.disk()["INBOX"]); n != 13 {
		t.Errorf("%d messages", n)
	}
	a.must(os.Chtimes(a.path("INBOX", "cur"), time.Now(), time.Now().AddDate(1, 0, 0)))
	a.serve("INBOX", 90)
	a.mark("INBOX", 10, "S")
	a.must(os.Chtimes(a.path("INBOX", "cur"), time.Now(), time.Now().AddDate(1, 0, 0)))
	a.sync()
	a.agree("a directory from the future")
}
