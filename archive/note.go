package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// The records of a note: the manifest of a decision of retention, or of a
// person about holds. Notes are numbered and chained by themselves. A note is
// durable before anything of it is done, and done in one transaction; one that
// the catalogue does not know is done at the next occasion.
const (
	recordRetention = "retention" // the first
	recordRetired   = "retired"
	recordHeld      = "held"
	recordFreed     = "freed"
)

const notePrefix = "retention-"

// note is where note n lies.
func (f *files) note(n int64) string {
	return filepath.Join(f.dir, manifestsDir, notePrefix+manifestName(n))
}

// notes lists the numbers of the notes.
func (f *files) notes() (numbers []int64, err error) {
	list, err := os.ReadDir(filepath.Join(f.dir, manifestsDir))
	for _, e := range list {
		if n := noteOf(e.Name()); n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, unlessAbsent(err)
}

// noteOf is the number of the note that has that file name, 0 for none.
func noteOf(file string) int64 {
	name, ok := strings.CutPrefix(file, notePrefix)
	if !ok {
		return 0
	}
	return manifestOf(name)
}

// lastNote is the number of the last note that was done, and the digest of its
// file; 0 if there was none.
func lastNote(tx *sqlite.Tx) (n int64, digest mail.Digest, err error) {
	err = tx.Each("SELECT n, manifest FROM retention ORDER BY n DESC LIMIT 1", nil, func(rows *sql.Rows) error {
		var sum []byte
		if err := rows.Scan(&n, &sum); err != nil {
			return err
		}
		return setDigest(&digest, sum)
	})
	return n, digest, err
}

// decide writes a note, durably, and does what it says.
func (a *Archive) decide(ctx context.Context, list []record) error {
	n, previous := int64(0), mail.Digest{}
	err := a.view(ctx, func(tx *sqlite.Tx) (err error) {
		n, previous, err = lastNote(tx)
		return err
	})
	if err != nil {
		return err
	}
	at := a.opt.Clock().UTC()
	head := record{Type: recordRetention, Format: manifestFormat, N: n + 1, Began: &at}
	if n > 0 {
		head.Previous = previous.String()
	}
	if err := a.writeNote(n+1, slices.Concat([]record{head}, list, []record{{Type: recordEnd, N: n + 1}})); err != nil {
		return fmt.Errorf("write the manifest of a decision about generations: %w", err)
	}
	return a.heed(ctx, n+1)
}

func (a *Archive) writeNote(n int64, list []record) error {
	tmp := a.files.tmp(".jsonl.zst")
	file, err := a.files.create(tmp)
	if err != nil {
		return err
	}
	m, err := newManifestWriter(seamWriter{file, a.files.seam})
	if err == nil {
		for i := range list {
			err = errors.Join(err, m.json.Encode(&list[i]))
		}
		err = errors.Join(err, m.buf.Flush(), m.enc.Close())
	}
	if err != nil {
		return errors.Join(err, file.Close(), a.files.remove(tmp))
	}
	return a.files.finish(file, tmp, a.files.note(n))
}

// heed does what note n says, in one transaction.
func (a *Archive) heed(ctx context.Context, n int64) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.update(ctx, func(tx *sqlite.Tx) error {
		done, err := a.files.applyNote(tx, n)
		if err != nil || !done.retired {
			return err
		}
		return prune(tx, a.opt.Clock())
	})
}

// heedAll does what notes say that the catalogue does not know: whoever wrote
// them died, or the catalogue is an older copy.
func (a *Archive) heedAll(ctx context.Context) error {
	n := int64(0)
	err := a.view(ctx, func(tx *sqlite.Tx) (err error) {
		n, _, err = lastNote(tx)
		return err
	})
	for err == nil {
		n++
		if _, there := os.Lstat(a.files.note(n)); there != nil {
			if !errors.Is(there, fs.ErrNotExist) {
				err = there
			}
			return err
		}
		err = a.heed(ctx, n)
	}
	return err
}

// A note is what is to be known of one that was done.
type note struct {
	retired  bool   // it retires generations: what that leaves behind is for prune
	previous string // digest of the one before, as it says
	was      string // digest of the one whose place it took, if it did
}

// applyNote enters what a note says into the catalogue. One that cannot be
// read to its end is not entered (ErrDamaged).
func (f *files) applyNote(tx *sqlite.Tx, n int64) (done note, err error) {
	var at time.Time
	ended := false
	digest, err := f.eachRecord(f.note(n), func(r *record) error {
		switch r.Type {
		case recordRetention:
			if r.N != n || r.Format != manifestFormat || r.Began == nil {
				return fmt.Errorf("%w: %s is not what it should be", ErrDamaged, f.note(n))
			}
			at, done.previous, done.was = *r.Began, r.Previous, r.Was
		case recordRetired:
			done.retired = true
			return tx.Exec("UPDATE generation SET retired = ? WHERE n = ? AND retired = 0", moment(at), r.N)
		case recordHeld:
			kind, what := r.hold()
			return tx.Exec("INSERT OR IGNORE INTO hold VALUES (?, ?, ?)", kind, what, moment(at))
		case recordFreed:
			kind, what := r.hold()
			return tx.Exec("DELETE FROM hold WHERE kind = ? AND what = ?", kind, what)
		case recordEnd:
			ended = true
		}
		return nil
	})
	if err == nil && !ended {
		err = fmt.Errorf("%w: %s has no end", ErrDamaged, f.note(n))
	}
	if err != nil {
		return done, err
	}
	return done, tx.Exec("INSERT INTO retention VALUES (?, ?, ?)", n, moment(at), digest[:])
}
