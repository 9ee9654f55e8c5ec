package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"
)

// LastRunFile is the name of the file in the state directory of an account
// that tells of the last run.
const LastRunFile = "last-run"

// LastRun tells how the last run of an account went. It is a file of its own,
// so that a run that finds nothing to do leaves the index untouched. Pairs of
// numbers are by the side that was changed, local first.
type LastRun struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	Exit  int       `json:"exit"`

	Mailboxes int `json:"mailboxes"`
	Messages  int `json:"messages"` // bound on both sides at the end

	Copied      [2]int   `json:"copied"`
	CopiedBytes [2]int64 `json:"copied_bytes"`
	Flagged     [2]int   `json:"flagged"`
	Moved       [2]int   `json:"moved"`
	Deleted     [2]int   `json:"deleted"`
	Adopted     int      `json:"adopted"`

	Held      int `json:"held"`
	HeldBoxes int `json:"held_boxes"`
	Pending   int `json:"pending"`
	Declined  int `json:"declined"`

	Errors []string `json:"errors,omitempty"`
	// Hints tell what to do next.
	Hints []string `json:"hints,omitempty"`
	// Next is when a run is due again; zero if nothing schedules one.
	Next time.Time `json:"next,omitzero"`

	// LastOK is when a run last ended that did all it had to; Failures counts
	// those since then that did not, the first one at FailingSince. FailedBy
	// are the classes of their errors.
	LastOK       time.Time `json:"last_ok,omitzero"`
	FailingSince time.Time `json:"failing_since,omitzero"`
	Failures     int       `json:"failures,omitempty"`
	FailedBy     []string  `json:"failed_by,omitempty"`

	// Backup is the last backup; nil if there was none.
	Backup *LastBackup `json:"backup,omitempty"`
}

// LastBackup tells how the last backup of an account went.
type LastBackup struct {
	Began time.Time `json:"began"`
	Ended time.Time `json:"ended"`
	Exit  int       `json:"exit"`
	// Complete: the archive held all that the server had then; Why tells a
	// person why not. LastOK is when that was so last.
	Complete bool      `json:"complete"`
	Why      string    `json:"why,omitempty"`
	LastOK   time.Time `json:"last_ok,omitzero"`

	Archive string `json:"archive"` // its directory
	// Generation is the number of the newest complete one, 0 if there is none,
	// Made when it ended; it holds that many mailboxes and messages.
	Generation int64     `json:"generation"`
	Made       time.Time `json:"made,omitzero"`
	Mailboxes  int       `json:"mailboxes"`
	Messages   int       `json:"messages"`
	Stored     int64     `json:"stored"` // bytes of all message files of the archive
	// Quarantined counts messages that the server would not give.
	Quarantined int `json:"quarantined"`
	// Retained is when it was decided last which generations are kept.
	Retained time.Time `json:"retained,omitzero"`
	Errors   []string  `json:"errors,omitempty"`

	// Sync names the state of the account's index that the backup followed: the
	// next need not look if that is the same. "" if it must.
	Sync string `json:"sync,omitempty"`
}

// WriteLastRun replaces the file in the state directory dir, at once and for
// good: whoever reads it sees the old one or the new one, whole. The caller
// holds the Lock.
func WriteLastRun(dir string, run LastRun) error { return writeLastRun(dir, run, true) }

// RenewLastRun is WriteLastRun for a run of which there is nothing to tell but
// when it was. It does not wait for the disk: after a crash of the machine the
// file may tell of a run before, or, on some file systems, of none
// (ReadLastRun says so, and the next run writes it anew).
func RenewLastRun(dir string, run LastRun) error { return writeLastRun(dir, run, false) }

func writeLastRun(dir string, run LastRun, durable bool) error {
	return write(dir, LastRunFile, run, durable)
}

// WriteJSON replaces a file of a state directory by what as JSON, at once and
// for good: whoever reads it sees the old one or the new one, whole. The caller
// holds the Lock.
func WriteJSON(dir, file string, what any) error { return write(dir, file, what, true) }

// write replaces a file of the state directory that tells of something.
func write(dir, file string, what any, durable bool) error {
	text, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, file)
	temporary := path + ".new"
	if err := writeFile(temporary, append(text, '\n'), durable); err != nil {
		return err
	}
	if err := os.Rename(temporary, path); err != nil {
		return err
	}
	if !durable {
		return nil
	}
	return syncDir(dir)
}

func writeFile(path string, text []byte, durable bool) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// Alike tells whether two runs went alike: their times aside, one
// says what the other does.
func (r LastRun) Alike(o LastRun) bool {
	for _, l := range []*LastRun{&r, &o} {
		l.Began, l.Ended, l.Next, l.LastOK = time.Time{}, time.Time{}, time.Time{}, time.Time{}
		if l.Backup != nil {
			b := *l.Backup
			b.Began, b.Ended, b.LastOK = time.Time{}, time.Time{}, time.Time{}
			l.Backup = &b
		}
	}
	return reflect.DeepEqual(r, o)
}

// ReadLastRun reads the file in dir. Before the first run the error wraps
// fs.ErrNotExist.
func ReadLastRun(dir string) (LastRun, error) {
	return read[LastRun](dir, LastRunFile)
}

// read reads what write wrote.
func read[T any](dir, file string) (T, error) {
	var out, none T
	path := filepath.Join(dir, file)
	text, err := os.ReadFile(path)
	if err != nil {
		return none, err
	}
	if err := json.Unmarshal(text, &out); err != nil {
		return none, fmt.Errorf("reading %s: %w: the next run writes it anew", path, err)
	}
	return out, nil
}
