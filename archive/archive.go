package archive

import (
	"bytes"
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
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
	files *files
	// catalogue is nil as long as there is none. An archive is made with the
	// first effect: the place of one whose disk is not mounted stays empty.
	catalogue atomic.Pointer[sqlite.DB]

	writing sync.Mutex // held by an effect on its way into the catalogue
}

// Open opens the archive in a directory for writing. Where there is none,
// nothing is made before its first effect. The caller holds the account's
// lock.
//
// Errors are mail.Faults of the account whose hint says what to do; they wrap
// sqlite.ErrDamaged, sqlite.ErrNewer and sqlite.ErrForeign.
func Open(ctx context.Context, o Options) (*Archive, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	a := &Archive{opt: o, files: &files{dir: o.Dir, sync: !o.NoSync, seam: o.seam}}
	_, err := os.Stat(filepath.Join(o.Dir, CatalogueFile))
	if err == nil {
		err = a.make(ctx)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return nil, fault(err)
	}
	return a, nil
}

// make opens the catalogue, and makes what is missing of the archive.
func (a *Archive) make(ctx context.Context) error {
	if err := ctx.Err(); err != nil || a.catalogue.Load() != nil {
		return err // and wait for no transaction
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	if a.catalogue.Load() != nil {
		return nil
	}
	schema, err := schema()
	if err != nil {
		return err
	}
	if err := a.files.layOut(); err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, filepath.Join(a.opt.Dir, CatalogueFile), schema)
	if err == nil {
		a.catalogue.Store(db)
	}
	return err
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
		hint := "run a backup first"
		if _, err := os.Lstat(filepath.Join(dir, CopyFile)); err == nil {
			hint = "it was copied here: cp " + filepath.Join(dir, CopyFile) + " " + filepath.Join(dir, CatalogueFile)
		}
		return nil, mail.NewFault(mail.GradeAccount, mail.ClassConfig, fmt.Errorf("%w in %s", ErrNone, dir), hint)
	}
	if err != nil {
		return nil, fault(err)
	}
	a := &Archive{opt: Options{Dir: dir, Clock: time.Now}, files: &files{dir: dir}}
	a.catalogue.Store(db)
	return a, nil
}

// Close ends the use of the archive. What was recorded is durable already.
func (a *Archive) Close() error {
	if db := a.catalogue.Load(); db != nil {
		return db.Close()
	}
	return nil
}

// Dir is the directory that the archive lies in.
func (a *Archive) Dir() string { return a.opt.Dir }

// update runs a transaction of the catalogue. The caller holds writing, and
// has seen to it that there is a catalogue.
func (a *Archive) update(ctx context.Context, fn func(*sqlite.Tx) error) error {
	return a.opt.seam.run("transact", CatalogueFile, func() error { return a.catalogue.Load().Update(ctx, fn) })
}

// view runs fn on one snapshot of the catalogue; without one there is nothing
// to see, and fn does not run.
func (a *Archive) view(ctx context.Context, fn func(*sqlite.Tx) error) error {
	if db := a.catalogue.Load(); db != nil {
		return db.View(ctx, fn)
	}
	return ctx.Err()
}

// each gives every row of an answer of the catalogue; without one there is none.
func (a *Archive) each(ctx context.Context, query string, args []any, row func(*sql.Rows) error) error {
	if db := a.catalogue.Load(); db != nil {
		return db.Each(ctx, query, args, row)
	}
	return ctx.Err()
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
	if text, err := os.ReadFile(name); err == nil && bytes.Equal(text, readme) || unlessAbsent(err) != nil {
		return err
	}
	return f.writeWhole(name, readme)
}
