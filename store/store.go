package store

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// applicationID is "gdwi" in ASCII; file(1) and Open know the index by it.
const applicationID = 0x67647769

// IndexFile is the name of the database in the state directory of an account.
const IndexFile = "index.db"

// ErrDamaged is wrapped by the error of an index whose file makes no sense.
var ErrDamaged = sqlite.ErrDamaged

// A Store is the index of one account. Its methods may be called from several
// goroutines, and from within the yields of its own methods.
type Store struct {
	db          *sqlite.DB
	manyChanged int // manyChanged, less in tests
}

// Open opens the index in stateDir (state_dir/NAME), and makes both if they
// are missing. The caller holds the Lock of stateDir.
//
// Errors are mail.Faults of the account whose hint says what to do; they
// wrap sqlite.ErrDamaged, sqlite.ErrNewer and sqlite.ErrForeign.
func Open(ctx context.Context, stateDir string) (*Store, error) {
	schema, err := schema()
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, filepath.Join(stateDir, IndexFile), schema)
	if err != nil {
		return nil, fault(err)
	}
	return &Store{db: db, manyChanged: manyChanged}, nil
}

// OpenReadOnly opens the index in stateDir for reading, also while a run is
// writing to it. It creates nothing and waits for nobody. Where no index is,
// the error wraps fs.ErrNotExist; where the index has to be migrated first,
// sqlite.ErrOlder; otherwise as Open.
func OpenReadOnly(ctx context.Context, stateDir string) (*Store, error) {
	schema, err := schema()
	if err != nil {
		return nil, err
	}
	db, err := sqlite.OpenReadOnly(ctx, filepath.Join(stateDir, IndexFile), schema)
	if err != nil {
		return nil, fault(err)
	}
	return &Store{db: db, manyChanged: manyChanged}, nil
}

// Close ends the use of the index. All that was settled is durable already.
func (s *Store) Close() error { return s.db.Close() }

func schema() (sqlite.Schema, error) {
	files, err := fs.Sub(schemaFiles, "schema")
	return sqlite.Schema{Name: "index", ApplicationID: applicationID, Migrations: files}, err
}

// fault grades an error of the database: whatever it is, it stops the
// account, and it lies on this machine.
func fault(err error) error {
	var f *mail.Fault
	if err == nil || errors.As(err, &f) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	hint := diskHint(err)
	if errors.Is(err, sqlite.ErrDamaged) {
		hint = "move the index (all files index.db*) out of the way; the next sync matches the mail of both sides anew and deletes nothing"
	}
	return mail.NewFault(mail.GradeAccount, mail.ClassLocal, err, hint)
}

// SetAside moves the index in stateDir, which must be closed and is damaged,
// out of the way and returns the new path of its file. The caller holds the
// Lock. The next Open begins an empty index.
func SetAside(stateDir string, now time.Time) (string, error) {
	return sqlite.SetAside(filepath.Join(stateDir, IndexFile), now)
}
