package archive

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// rebuiltFile is the catalogue while it is made again.
const rebuiltFile = "catalogue.rebuilt.db"

// Rebuilt is what became of a rebuild.
type Rebuilt struct {
	Generations, Messages int
	// Aside is where the old catalogue was moved to, "" if there was none.
	Aside string
	// Problems name what is missing, damaged, or not as it was written.
	Problems []error

	bad []mail.Digest // messages whose file is missing or damaged
}

// Rebuild makes the catalogue of an archive again, from its manifests and its
// message files, which are all read; the old one is moved aside. What was
// archived by a run that never ended is not in any manifest: the next backup
// finds it missing and archives it again. The archive must not be open, and
// the caller holds the account's lock.
//
// A catalogue made again bears no marker: the next backup matches the mail of
// both sides anew, and copies nothing that is there.
func Rebuild(ctx context.Context, o Options) (*Rebuilt, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	b := newRebuilder(&Archive{opt: o, files: &files{dir: o.Dir, sync: !o.NoSync, seam: o.seam}})
	if err := b.run(ctx); err != nil {
		return nil, fault(fmt.Errorf("rebuild the catalogue: %w", err))
	}
	return &b.out, nil
}

func newRebuilder(a *Archive) *rebuilder {
	return &rebuilder{a: a, manifest: a.files.readManifest, missing: map[mail.Digest]error{}}
}

type rebuilder struct {
	a   *Archive
	out Rebuilt
	// manifest gives the bytes of the manifest of a generation.
	manifest func(n int64) ([]byte, error)
	// shallow leaves the message files alone: of messages it is entered only
	// what manifests tell.
	shallow bool

	previous, was      string                // digest of the last manifest, and of the one whose place that took
	noteWas            string                // the same of the last note
	missing            map[mail.Digest]error // messages whose files are missing or damaged
	placement, mailbox int64                 // the highest numbers seen
	message            int64
	// base is what the numbers of changes begin at: more than any that the old
	// catalogue gave, so that no cursor knows what it has not seen.
	base int64
}

func (b *rebuilder) run(ctx context.Context) error {
	numbers, err := b.a.files.manifests()
	if err != nil {
		return err
	}
	if len(numbers) == 0 {
		return mail.NewFault(mail.GradeAccount, mail.ClassConfig, fmt.Errorf("%w in %s: it has no manifests", ErrNone, b.a.opt.Dir), "")
	}
	path := filepath.Join(b.a.opt.Dir, rebuiltFile)
	if err := removeDatabase(path); err != nil {
		return err
	}
	schema, err := schema()
	if err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, path, schema)
	if err != nil {
		return err
	}
	b.a.catalogue.Store(db)
	b.base = b.a.opt.Clock().Unix()
	err = b.fill(ctx, numbers)
	if err := errors.Join(err, db.Close()); err != nil {
		return errors.Join(err, removeDatabase(path))
	}
	return b.exchange(path)
}

// readManifest reads the manifest of a generation.
func (f *files) readManifest(n int64) ([]byte, error) { return os.ReadFile(f.manifest(n)) }

// manifests lists the generations that have a manifest.
func (f *files) manifests() (numbers []int64, err error) {
	list, err := os.ReadDir(filepath.Join(f.dir, manifestsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range list {
		if n := manifestOf(e.Name()); n > 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, err
}

// manifestOf is the generation whose manifest has that file name, 0 for none.
func manifestOf(file string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(file, ".jsonl.zst"), 10, 64)
	if err != nil || n < 1 || file != manifestName(n) {
		return 0
	}
	return n
}

// removeDatabase takes away a database with what lies beside it.
func removeDatabase(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// exchange puts the new catalogue into the place of the old one.
func (b *rebuilder) exchange(path string) error {
	old := filepath.Join(b.a.opt.Dir, CatalogueFile)
	if _, err := os.Lstat(old); err == nil {
		err = b.a.files.seam.run("set aside", old, func() (err error) {
			b.out.Aside, err = sqlite.SetAside(old, b.a.opt.Clock())
			return err
		})
		if err != nil {
			return err
		}
	}
	// Closed, it is whole without its -wal file.
	if err := b.a.files.rename(path, old); err != nil {
		return err
	}
	return errors.Join(removeDatabase(path), b.a.files.syncDir(b.a.opt.Dir))
}

func (b *rebuilder) fill(ctx context.Context, numbers []int64) error {
	for i, n := range numbers {
		if want := int64(i) + 1; n != want && (i == 0 || numbers[i-1] != n-1) {
			b.problem(fmt.Errorf("%w: the manifest of the generation before %d is missing", ErrDamaged, n))
		}
		if err := b.a.update(ctx, func(tx *sqlite.Tx) error { return b.generation(ctx, tx, n) }); err != nil {
			return fmt.Errorf("generation %d: %w", n, err)
		}
		b.out.Generations++
	}
	return b.a.update(ctx, func(tx *sqlite.Tx) error { return b.sums(tx, numbers[len(numbers)-1]) })
}

// sums enters what was decided, what is counted and what is next, as of
// generation n.
func (b *rebuilder) sums(tx *sqlite.Tx, n int64) error {
	if err := b.retention(tx); err != nil {
		return err
	}
	return b.count(tx, n)
}

// count enters what is counted and what is next.
func (b *rebuilder) count(tx *sqlite.Tx, n int64) error {
	if err := tx.Exec("UPDATE mailbox SET messages = (SELECT count(*) FROM placement p WHERE p.mailbox = mailbox.id AND p.gen_to IS NULL)"); err != nil {
		return err
	}
	for name, next := range map[string]int64{
		"placement": b.placement + 1, "mailbox": b.mailbox + 1, "message": b.message + 1, "change": b.base + n + 1,
	} {
		if err := tx.Exec("UPDATE sequence SET next = ? WHERE name = ?", next, name); err != nil {
			return err
		}
	}
	return nil
}

func (b *rebuilder) problem(err error) { b.out.Problems = append(b.out.Problems, err) }

// generation applies a manifest: what it says changed with that generation.
// One that cannot be read to its end counts as far as it goes, as a generation
// that is not complete.
func (b *rebuilder) generation(ctx context.Context, tx *sqlite.Tx, n int64) error {
	path := b.a.files.manifest(n)
	if err := tx.Exec(`INSERT INTO generation SELECT ?1, 0, 1, 0, 'its manifest is damaged', 0, 0, 0, 0, 0, 0, 0, 0, ?2, ?3, NULL, 0`, n, b.base+n, b.message+1); err != nil {
		return err
	}
	var own error
	data, err := b.manifest(n)
	digest := mail.Digest(sha256.Sum256(data))
	if err == nil {
		err = eachRecordOf(data, path, func(r *record) error {
			if own = b.apply(ctx, tx, n, r); errors.Is(own, sqlite.ErrConstraint) {
				b.problem(fmt.Errorf("%w: %s: %+v does not fit what was before: %w", ErrDamaged, path, *r, own))
				own = nil
			}
			return own
		})
	}
	if own != nil {
		return own
	}
	if err != nil {
		b.problem(fmt.Errorf("%w: %s: %w", ErrDamaged, path, err))
	}
	b.previous = digest.String()
	return tx.Exec("UPDATE generation SET manifest = ? WHERE n = ?", digest[:], n)
}

func (b *rebuilder) apply(ctx context.Context, tx *sqlite.Tx, n int64, r *record) error {
	switch r.Type {
	case recordGeneration:
		return b.head(tx, n, r)
	case recordMailbox:
		return b.named(tx, n, r)
	case recordMessage:
		return b.add(ctx, tx, r)
	case recordCame:
		return b.came(tx, n, r)
	case recordFlags:
		if err := tx.Exec("INSERT INTO past_flags SELECT id, flags_from, ?, flags FROM placement WHERE id = ?", n, r.ID); err != nil {
			return err
		}
		if err := b.touched(tx, n, r.ID); err != nil {
			return err
		}
		return tx.Exec("UPDATE placement SET flags = ?, flags_from = ?, change = ? WHERE id = ?", text(r.Flags), n, b.base+n, r.ID)
	case recordGone:
		if err := b.touched(tx, n, r.ID); err != nil {
			return err
		}
		return tx.Exec("UPDATE placement SET gen_to = ?, change = ? WHERE id = ?", n, b.base+n, r.ID)
	case recordQuarantined:
		return tx.Exec("INSERT INTO quarantine VALUES (?, ?, ?, ?, NULL, ?)", text(r.Mailbox), r.UIDValidity, r.UID, n, r.Why)
	case recordReleased:
		return tx.Exec("UPDATE quarantine SET gen_to = ? WHERE mailbox = ? AND uidvalidity = ? AND uid = ? AND gen_to IS NULL",
			n, text(r.Mailbox), r.UIDValidity, r.UID)
	case recordEnd:
		return b.tail(tx, n, r)
	}
	b.problem(fmt.Errorf("%w: the manifest of generation %d has a record of an unknown type %q", ErrDamaged, n, r.Type))
	return nil
}

// touched notes that the mailbox of a placement changed.
func (b *rebuilder) touched(tx *sqlite.Tx, n, placement int64) error {
	return tx.Exec("UPDATE mailbox SET change = ? WHERE id = (SELECT mailbox FROM placement WHERE id = ?)", b.base+n, placement)
}

func text[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return string(*s)
}

func (b *rebuilder) head(tx *sqlite.Tx, n int64, r *record) error {
	if r.N != n || r.Format != manifestFormat || r.Previous != b.previous && (b.was == "" || r.Previous != b.was) {
		b.problem(fmt.Errorf("%w: the manifest of generation %d is not the one that follows the one before", ErrDamaged, n))
	}
	b.was = r.Was
	if r.Began == nil {
		return nil
	}
	return tx.Exec("UPDATE generation SET began = ? WHERE n = ?", moment(*r.Began), n)
}

func (b *rebuilder) tail(tx *sqlite.Tx, n int64, r *record) error {
	if r.Ended == nil || r.Complete == nil || r.Counts == nil {
		b.problem(fmt.Errorf("%w: the manifest of generation %d has no end", ErrDamaged, n))
		return nil
	}
	c := r.Counts
	return tx.Exec(`UPDATE generation SET ended = ?, complete = ?, why = ?, came = ?, went = ?, changed = ?, moved = ?,
		mailboxes = ?, messages = ?, bytes = ?, stored = ? WHERE n = ?`, moment(*r.Ended), *r.Complete, r.Why,
		c.Came, c.Went, c.Changed, c.Moved, c.Mailboxes, c.Messages, c.Bytes, c.Stored, n)
}

func (b *rebuilder) named(tx *sqlite.Tx, n int64, r *record) error {
	b.mailbox = max(b.mailbox, r.ID)
	if err := tx.Exec("INSERT INTO mailbox VALUES (?, ?, 0) ON CONFLICT DO UPDATE SET change = excluded.change", r.ID, b.base+n); err != nil {
		return err
	}
	if err := tx.Exec("UPDATE mailbox_name SET gen_to = ? WHERE mailbox = ? AND gen_to IS NULL", n, r.ID); err != nil || r.Removed {
		return err
	}
	// A name may go from one mailbox to another in one generation, in any order.
	if err := tx.Exec("UPDATE mailbox_name SET gen_to = ? WHERE name = ? AND gen_to IS NULL", n, string(r.Name)); err != nil {
		return err
	}
	return tx.Exec("INSERT INTO mailbox_name VALUES (?, ?, NULL, ?)", r.ID, n, string(r.Name))
}

// add reads a message file. One that is missing or damaged is entered all the
// same, so that it is known what it was; verify tells of it, too.
func (b *rebuilder) add(ctx context.Context, tx *sqlite.Tx, r *record) error {
	digest, err := mail.ParseDigest(r.Digest)
	if err != nil || digest.IsZero() {
		b.problem(fmt.Errorf("%w: a manifest names the message %q", ErrDamaged, r.Digest))
		return nil
	}
	ident, about := mail.Identity{Wire: digest, Body: digest, Size: r.Size}, summary{}
	if !b.shallow {
		is, found, err := b.a.files.identify(ctx, digest, r.Size)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err == nil {
			ident, about = is, found
		} else {
			b.missing[digest] = err
		}
	}
	known := false
	if err := tx.Each("SELECT EXISTS (SELECT 1 FROM message WHERE digest = ?)", []any{digest[:]}, func(rows *sql.Rows) error {
		return rows.Scan(&known)
	}); err != nil {
		return err
	}
	if known { // it was removed, and came back
		return tx.Exec("UPDATE message SET stored = ? WHERE digest = ?", r.Stored, digest[:])
	}
	b.message++
	b.out.Messages++
	return insertMessage(tx, b.message, &ident, r.Size, r.Stored, &about)
}

// identify reads the file of a message.
func (f *files) identify(ctx context.Context, digest mail.Digest, size int64) (mail.Identity, summary, error) {
	v, err := f.open(digest, size)
	if err != nil {
		return mail.Identity{}, summary{}, err
	}
	defer v.Close()
	var head headers
	hash := mail.NewHasher()
	if _, err := io.Copy(io.MultiWriter(hash, &head), &cancelled{ctx, v}); err != nil {
		return mail.Identity{}, summary{}, err
	}
	return hash.Sum(), head.summary(), nil
}

func (b *rebuilder) came(tx *sqlite.Tx, n int64, r *record) error {
	b.placement = max(b.placement, r.ID)
	digest, err := mail.ParseDigest(r.Digest)
	if err != nil {
		b.problem(fmt.Errorf("%w: the manifest of generation %d names the message %q", ErrDamaged, n, r.Digest))
		return nil
	}
	var date dateColumns
	if r.Date != nil {
		date = dateOf(*r.Date)
	}
	if err := tx.Exec("UPDATE mailbox SET change = ? WHERE id = ?", b.base+n, r.In); err != nil {
		return err
	}
	return tx.Exec(`INSERT INTO placement SELECT ?, ?, ?, ?, NULL, ?, ?, m.id, nullif(?, 0), ?, ?, ?, ?, ?, ?
		FROM message m, mailbox b WHERE m.digest = ? AND b.id = ?`, r.ID, r.In, b.base+n, n, n, text(r.Flags), r.Origin,
		date.seconds, date.nsec, date.zone, r.UIDValidity, r.UID, r.Token, digest[:], r.In)
}
