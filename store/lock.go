package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// LockFile is the name of the lock in the state directory of an account.
const LockFile = "lock"

// ErrLocked: another process is at work on the account. The error that wraps
// it names the process.
var ErrLocked = errors.New("another godwit is at work on this account")

// A FileLock lets one process at a time work on an account. The kernel gives it up
// when the process ends, however it ends.
type FileLock struct {
	file *os.File
}

// Lock takes the lock of the state directory dir, making both if they are
// missing, or returns at once with an error that wraps ErrLocked.
//
// The file itself is never deleted: a process that waits with the old file
// open and one that made a new file would both hold "the" lock. It holds the
// number of the process, for the message only.
func Lock(dir string) (*FileLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, LockFile)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // O_CLOEXEC: no child inherits it
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = locked(f)
		} else {
			err = fmt.Errorf("locking %s: %w: keep state_dir on a local file system", path, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	l := &FileLock{file: f}
	if err := l.sign(); err != nil {
		return nil, errors.Join(fmt.Errorf("writing %s: %w", path, err), f.Close())
	}
	return l, nil
}

func (l *FileLock) sign() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// locked is ErrLocked with the number that the holder wrote, which may not
// have come to write it yet.
func locked(f *os.File) error {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	pid, bad := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || bad != nil {
		return ErrLocked
	}
	return fmt.Errorf("%w (process %d)", ErrLocked, pid)
}

// Unlock gives the lock up. Closing the file alone would not do: a child that
// was just forked has it open, too, until it runs its program.
func (l *FileLock) Unlock() error {
	return errors.Join(l.file.Truncate(0), syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}
