package archive

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// CatalogueFile is the name of the catalogue in the directory of an archive.
const CatalogueFile = "catalogue.db"

// What a caller branches on.
var (
	// ErrNone: there is no archive in the directory.
	ErrNone = errors.New("there is no archive")
	// ErrNoGeneration: no generation has that number, or was ended by then.
	ErrNoGeneration = errors.New("no such generation")
	// ErrNoMessage: the archive has no message of that digest.
	ErrNoMessage = errors.New("no such message in the archive")
	// ErrAmbiguous: several messages have a digest that begins so.
	ErrAmbiguous = errors.New("several messages have a digest that begins so")
	// ErrDamaged: the file of a message is missing, or its bytes are not those
	// that were stored.
	ErrDamaged = errors.New("the stored message is damaged")
	// ErrStale: the catalogue is older than the manifests beside it.
	ErrStale = errors.New("the catalogue is older than the archive")
	// ErrReadOnly: a generation of the past cannot be changed.
	ErrReadOnly = errors.New("the archive is open for reading only")
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// applicationID marks the database as a catalogue: "gwar" in ASCII.
const applicationID = 0x67776172

// Options say where an archive lies and how it is written.
type Options struct {
	Dir string
	// Clock dates the generations; nil is the system's.
	Clock plan.Clock
	// NoSync leaves it to the system when message files reach the disk. The
	// catalogue is durable all the same, so that a crash of the machine may
	// leave it naming messages that are lost.
	NoSync bool

	seam seam // see there
}

// An Archive is an open archive. Its methods may be called from several
// goroutines; those of its Recording and Views as package engine says.
type Archive struct {
	opt   Options
	db    *sqlite.DB
	files *files

	writing sync.Mutex // held by an effect on its way into the catalogue
}

// Open opens the archive in a directory for writing, and makes what is
// missing. The caller holds the account's lock.
//
// Errors are mail.Faults of the account whose hint says what to do; they wrap
// sqlite.ErrDamaged, sqlite.ErrNewer and sqlite.ErrForeign.
func Open(ctx context.Context, o Options) (*Archive, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	schema, err := schema()
	if err != nil {
		return nil, err
	}
	f := &files{dir: o.Dir, sync: !o.NoSync, seam: o.seam}
	if err := f.layOut(); err != nil {
		return nil, fault(err)
	}
	db, err := sqlite.Open(ctx, filepath.Join(o.Dir, CatalogueFile), schema)
	if err != nil {
		return nil, fault(err)
	}
	return &Archive{opt: o, db: db, files: f}, nil
}

// OpenReadOnly opens the archive in a directory for reading, also while a run
// writes to it. It makes nothing and waits for nobody. Without an archive the
// error wraps ErrNone; otherwise as Open, and sqlite.ErrOlder where the
// catalogue has to be migrated first.
func OpenReadOnly(ctx context.Context, dir string) (*Archive, error) {
	schema, err := schema()
	if err != nil {
		return nil, err
	}
	db, err := sqlite.OpenReadOnly(ctx, filepath.Join(dir, CatalogueFile), schema)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, mail.NewFault(mail.GradeAccount, mail.ClassConfig, fmt.Errorf("%w in %s", ErrNone, dir), "run a backup first")
	}
	if err != nil {
		return nil, fault(err)
	}
	return &Archive{opt: Options{Dir: dir, Clock: time.Now}, db: db, files: &files{dir: dir}}, nil
}

// Close ends the use of the archive. What was recorded is durable already.
func (a *Archive) Close() error { return a.db.Close() }

// Dir is the directory that the archive lies in.
func (a *Archive) Dir() string { return a.opt.Dir }

// update runs a transaction of the catalogue.
func (a *Archive) update(ctx context.Context, fn func(*sqlite.Tx) error) error {
	return a.opt.seam.run("transact", CatalogueFile, func() error { return a.db.Update(ctx, fn) })
}

func schema() (sqlite.Schema, error) {
	files, err := fs.Sub(schemaFiles, "schema")
	return sqlite.Schema{Name: "catalogue", ApplicationID: applicationID, Migrations: files}, err
}

// fault grades an error of the catalogue or of the disk: it lies on this
// machine and stops the account.
func fault(err error) error {
	var f *mail.Fault
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	hint := diskHint(err)
	if errors.Is(err, sqlite.ErrDamaged) {
		hint = "run verify --rebuild-catalogue, which makes it again from the manifests and the messages"
	}
	return mail.NewFault(mail.GradeAccount, mail.ClassLocal, err, hint)
}

// readmeFile explains the directory to whoever finds it without godwit.
const readmeFile = "README"

//go:embed README
var readme []byte

// layOut makes the directories of an archive, durably, readable by their
// owner alone, and tidies up after a process that died.
func (f *files) layOut() error {
	for _, dir := range []string{"", messagesDir, manifestsDir, tmpDir} {
		if err := f.makeDir(filepath.Join(f.dir, dir)); err != nil {
			return err
		}
	}
	if err := f.clear(); err != nil {
		return err
	}
	name := filepath.Join(f.dir, readmeFile)
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return f.writeWhole(name, readme)
}
