package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// DeletedDir is the name of the undo store in the state directory of an
// account.
const DeletedDir = "deleted"

// strayAge is how old, by its time of modification, an unfinished file of the
// undo store must be before it can count as forgotten.
const strayAge = 24 * time.Hour

// A Keeper is the undo store of an account: the bytes of what godwit deletes,
// each in a file that is named after its SHA-256, and an entry in the index
// for each message. Who uses it holds the Lock.
//
// The order is the promise: the bytes are durable before the entry is, and
// the entry before Keep returns.
type Keeper struct {
	dir   string
	store *Store
	keep  time.Duration
	now   plan.Clock

	lasting map[string]bool // directories that are known to be durable
	seam    seam
}

// Keeper opens the undo store in the state directory; what goes into it is
// kept for the given time. Of a nil Store, it can be looked into only (Strays, Open).
func (s *Store) Keeper(stateDir string, keep time.Duration, now plan.Clock) *Keeper {
	return &Keeper{dir: filepath.Join(stateDir, DeletedDir), store: s, keep: keep, now: now, lasting: map[string]bool{}}
}

// Keep stores a message, durably. Of what, it reads Side, Mailbox, Why, Flags
// and Date. If the identity of the bytes is known (want.Body), bytes that are not
// those are an error, and nothing is kept.
//
// An error that concerns the message alone (its bytes cannot be read, or are
// others) is a mail.Fault of GradeMessage; any other stops the account.
func (k *Keeper) Keep(ctx context.Context, what Kept, want mail.Identity, body io.Reader) error {
	ident, err := k.write(body, want)
	if err != nil {
		return fault(fmt.Errorf("keep a message before it is deleted: %w", err))
	}
	ident.GlobalID = want.GlobalID
	what.Ident, what.File = ident, keptFile(ident.Wire)
	what.DeletedAt = k.now()
	what.Until = what.DeletedAt.Add(k.keep)
	return k.store.AddKept(ctx, &what)
}

// keptFile is where in the undo store bytes with this digest lie.
func keptFile(wire mail.Digest) string {
	name := wire.String()
	return filepath.Join(name[:2], name+".eml")
}

// write makes the bytes durable under their name.
func (k *Keeper) write(body io.Reader, want mail.Identity) (ident mail.Identity, err error) {
	if err := k.makeDir(k.dir); err != nil {
		return ident, err
	}
	tmp, ident, err := k.writeNew(body)
	if tmp == "" {
		return ident, err
	}
	if err == nil && !want.Body.IsZero() && ident.Body != want.Body {
		err = messageFault(fmt.Errorf("the bytes read are not those of the message (SHA-256 %s, not %s)", ident.Body, want.Body))
	}
	target := filepath.Join(k.dir, keptFile(ident.Wire))
	if err == nil {
		err = k.makeDir(filepath.Dir(target))
	}
	if err == nil {
		// A file of this name has the same bytes: to replace it loses nothing.
		err = k.seam.run("rename", target, func() error { return os.Rename(tmp, target) })
	}
	if err != nil {
		_ = k.seam.run("remove", tmp, func() error { return os.Remove(tmp) }) // else a later Purge does it
		return ident, err
	}
	return ident, k.syncDir(filepath.Dir(target))
}

// writeNew writes the bytes into a new file, durably. path is "" if there is none.
func (k *Keeper) writeNew(body io.Reader) (path string, ident mail.Identity, err error) {
	var tmp *os.File
	err = k.seam.run("create", k.dir, func() (err error) {
		tmp, err = os.CreateTemp(k.dir, "tmp-*") // mode 0600
		return err
	})
	if tmp == nil {
		return "", ident, err
	}
	hasher := mail.NewHasher()
	source := &sourceReader{r: body}
	if err == nil {
		_, err = io.Copy(io.MultiWriter(seamWriter{tmp, k.seam}, hasher), source)
	}
	if source.err != nil {
		err = messageFault(source.err)
	}
	if err == nil {
		err = k.seam.run("sync", tmp.Name(), tmp.Sync)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	return tmp.Name(), hasher.Sum(), err
}

// messageFault grades an error that concerns one message alone, unless it is
// graded already.
func messageFault(err error) error {
	var f *mail.Fault
	if errors.As(err, &f) {
		return err
	}
	return mail.NewFault(mail.GradeMessage, mail.ClassLocal, err, "it is not deleted; the next run tries again")
}

// A sourceReader remembers the error of what is read, to tell it from one of
// what is written.
type sourceReader struct {
	r   io.Reader
	err error
}

func (s *sourceReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// Open reads the bytes of a kept message.
func (k *Keeper) Open(kept Kept) (io.ReadCloser, error) {
	if !filepath.IsLocal(kept.File) {
		return nil, fmt.Errorf("%q is no file of the undo store", kept.File)
	}
	return os.Open(filepath.Join(k.dir, kept.File))
}

// Strays yields what lies in the undo store and has no entry, oldest first, as
// when the index was lost: where it came from is not known any more. DeletedAt
// is the file's time. An error of yield ends it and is returned as it is.
func (k *Keeper) Strays(ctx context.Context, yield func(Kept) error) error {
	named, err := k.named(ctx)
	if err != nil {
		return err
	}
	var strays []Kept
	err = k.walk(func(name string, info fs.FileInfo) error {
		if !named[name] && strings.HasSuffix(name, ".eml") {
			strays = append(strays, Kept{File: name, DeletedAt: info.ModTime(), Until: info.ModTime().Add(k.keep)})
		}
		return ctx.Err()
	})
	if err != nil {
		return err
	}
	slices.SortFunc(strays, func(a, b Kept) int { return a.DeletedAt.Compare(b.DeletedAt) })
	for _, kept := range strays {
		if kept.Ident, err = k.identify(kept); err != nil {
			return err
		}
		if err := yield(kept); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keeper) identify(kept Kept) (mail.Identity, error) {
	r, err := k.Open(kept)
	if err != nil {
		return mail.Identity{}, err
	}
	defer r.Close()
	return mail.Identify(r)
}

// named are the files that entries name.
func (k *Keeper) named(ctx context.Context) (map[string]bool, error) {
	named := map[string]bool{}
	if k.store == nil {
		return named, nil
	}
	err := k.store.ListKept(ctx, KeptFilter{}, func(kept Kept) error {
		named[kept.File] = true
		return nil
	})
	return named, err
}

// Purge throws away what has been kept for its time: the entries first, then
// the files that none names any more. A file that never had an entry here, as
// when the index was lost, is kept for its time all the same.
func (k *Keeper) Purge(ctx context.Context) error {
	var expired []int64
	over := map[string]bool{}
	err := k.store.ListKept(ctx, KeptFilter{Expired: k.now()}, func(kept Kept) error {
		expired, over[kept.File] = append(expired, kept.ID), true
		return nil
	})
	if err != nil || len(expired) == 0 {
		return err
	}
	if err := k.store.DropKept(ctx, expired...); err != nil {
		return err
	}
	named, err := k.named(ctx)
	if err != nil {
		return err
	}
	return k.walk(func(name string, info fs.FileInfo) error {
		age := k.now().Sub(info.ModTime())
		unfinished := strings.HasPrefix(name, "tmp-") && age >= strayAge
		if named[name] || !unfinished && !over[name] && age < k.keep+strayAge {
			return nil
		}
		return os.Remove(filepath.Join(k.dir, name))
	})
}

// walk goes through the files of the undo store, also those that a crash left.
func (k *Keeper) walk(each func(name string, info fs.FileInfo) error) error {
	return filepath.WalkDir(k.dir, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(k.dir, path)
		ours := strings.HasSuffix(name, ".eml") || strings.HasPrefix(name, "tmp-")
		if err != nil || !ours || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return each(name, info)
	})
}

// makeDir makes a directory of the undo store if it is missing, and makes
// sure that it lasts: a run that died may have made it.
func (k *Keeper) makeDir(dir string) error {
	if k.lasting[dir] {
		return nil
	}
	err := k.seam.run("mkdir", dir, func() error { return os.Mkdir(dir, 0o700) })
	if errors.Is(err, fs.ErrNotExist) {
		if err := k.makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = k.seam.run("mkdir", dir, func() error { return os.Mkdir(dir, 0o700) })
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := k.syncDir(filepath.Dir(dir)); err != nil {
		return err
	}
	k.lasting[dir] = true
	return nil
}

func (k *Keeper) syncDir(dir string) error {
	return k.seam.run("sync directory", dir, func() error { return syncDir(dir) })
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
