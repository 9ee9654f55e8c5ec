package sqlite

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"

	"github.com/mattn/go-sqlite3"
)

// A DB is an open database. Its methods may be called from several
// goroutines; writers take turns.
type DB struct {
	// Watch, if not nil, is told every statement before it runs: a test asks
	// for its plan.
	Watch func(statement string)

	path   string
	schema Schema
	write  *sql.DB // one connection; nil when read-only
	read   *sql.DB
}

// Open opens the database at path for reading and writing, and brings it to
// the newest version of the schema. A file that does not exist is created,
// readable by its owner alone, as are the directories above it that lack.
//
// The caller sees to it that no other process writes to it.
//
// Errors: ErrDamaged, ErrNewer, ErrForeign.
func Open(ctx context.Context, path string, schema Schema) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db := &DB{path: path, schema: schema}
	db.write = sql.OpenDB(connector{
		dsn:     dsn(path, "mode=rw&_txlock=immediate&_stmt_cache_size=64"),
		pragmas: []string{"PRAGMA wal_autocheckpoint = 4000"},
	})
	db.write.SetMaxOpenConns(1)
	db.read = sql.OpenDB(connector{
		dsn:     dsn(path, "mode=rw&_stmt_cache_size=32"),
		pragmas: []string{"PRAGMA query_only = ON"},
	})
	db.read.SetMaxOpenConns(max(4, runtime.NumCPU()))
	db.read.SetMaxIdleConns(2)
	if err := db.prepare(ctx); err != nil {
		return nil, errors.Join(db.grade(err), db.Close())
	}
	return db, nil
}

// prepare refuses what is not ours before anything is changed, and only then
// sets the journal mode and migrates.
func (db *DB) prepare(ctx context.Context) error {
	have, err := db.version(ctx, db.write)
	if err != nil {
		return err
	}
	want, err := db.schema.version()
	if err != nil {
		return err
	}
	if have > want {
		return db.newer(have, want)
	}
	var mode string
	if err := db.write.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("%s: this file system does not support what SQLite needs (journal mode is %q): keep state_dir on a local one", db.path, mode)
	}
	return db.migrate(ctx, have, want)
}

// OpenReadOnly opens the database at path for reading only, while another
// process may be writing to it. It creates no file, changes none, and waits
// for nobody. Without a database at path the error wraps fs.ErrNotExist.
//
// Errors: ErrDamaged, ErrNewer, ErrOlder, ErrForeign.
func OpenReadOnly(ctx context.Context, path string, schema Schema) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	// Open leaves the -wal file in place for good (see connector), so that
	// it is there whenever somebody may be writing. Where it is missing, the
	// file was copied here alone, and nothing but the file itself is to be read:
	// without immutable=1, SQLite would make a -wal file of its own.
	opts := "mode=ro&readonly_shm=1"
	if _, err := os.Stat(path + "-wal"); errors.Is(err, fs.ErrNotExist) {
		opts = "mode=ro&immutable=1"
	}
	db := &DB{path: path, schema: schema}
	db.read = sql.OpenDB(connector{dsn: dsn(path, opts+"&_stmt_cache_size=32")})
	db.read.SetMaxOpenConns(2)
	have, err := db.version(ctx, db.read)
	if err != nil {
		return nil, errors.Join(db.grade(err), db.Close())
	}
	want, err := schema.version()
	switch {
	case err != nil:
	case have > want:
		err = db.newer(have, want)
	case have < want:
		err = fmt.Errorf("%w: %s has version %d of the %s schema, this godwit reads version %d: run a sync once to bring it up to date",
			ErrOlder, path, have, schema.Name, want)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// create makes the file and the directories above it, and makes both durable.
// An existing file is not even opened, see the package's invariants.
func create(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := syncDir(d); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// dsn is a URI file name (https://www.sqlite.org/uri.html): only that form lets
// SQLite read its own options from it, and names with ? or % need the escapes.
func dsn(path, options string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options
}

// A connector opens connections that are set up alike, without a driver
// registered under a global name.
type connector struct {
	dsn     string
	pragmas []string
}

// Pragmas of every connection. Foreign keys are off by default, and this
// driver's build makes synchronous NORMAL in WAL mode, which may lose commits
// when the power fails. journal_size_limit makes the close of the last
// connection cut the -wal file, which stays in place, to nothing. The caches
// are small: the kernel has the file in its own, and a larger one measured no
// faster with 100,000 messages.
var pragmas = [...]string{
	"PRAGMA busy_timeout = 5000",
	"PRAGMA foreign_keys = ON",
	"PRAGMA synchronous = FULL",
	"PRAGMA journal_size_limit = 0",
	"PRAGMA temp_store = MEMORY",
	"PRAGMA cache_size = -2000",
	"PRAGMA trusted_schema = OFF",
}

func (c connector) Driver() driver.Driver {
	return &sqlite3.SQLiteDriver{ConnectHook: c.setUp}
}

func (c connector) Connect(context.Context) (driver.Conn, error) {
	return c.Driver().Open(c.dsn)
}

func (c connector) setUp(conn *sqlite3.SQLiteConn) error {
	// The -wal and -shm files stay when the last connection closes, for the
	// sake of OpenReadOnly. Every connection says so, as any may be the last.
	if err := conn.SetFileControlInt("main", sqlite3.SQLITE_FCNTL_PERSIST_WAL, 1); err != nil {
		return err
	}
	for _, list := range [][]string{pragmas[:], c.pragmas} {
		for _, p := range list {
			if _, err := conn.Exec(p, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Path is the absolute path of the database file.
func (db *DB) Path() string { return db.path }

// Close closes all connections. What was committed is durable already.
func (db *DB) Close() error {
	var err error
	if db.read != nil {
		err = db.read.Close()
	}
	if db.write != nil {
		err = errors.Join(err, db.write.Close())
	}
	return err
}
