package config

import (
	"net/netip"
	"path/filepath"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Config is a whole configuration, checked, with defaults filled in.
type Config struct {
	// File is the path it was read from.
	File string
	// StateDir is where indexes, locks and deleted messages lie.
	StateDir string
	Daemon   Daemon
	// Accounts are in the order of the file.
	Accounts []*Account
}

// Account finds an account by its name.
func (c *Config) Account(name string) (*Account, bool) {
	for _, a := range c.Accounts {
		if a.Name == name {
			return a, true
		}
	}
	return nil, false
}

// Names lists the names of all accounts, in the order of the file.
func (c *Config) Names() []string {
	names := make([]string, len(c.Accounts))
	for i, a := range c.Accounts {
		names[i] = a.Name
	}
	return names
}

// Daemon is what concerns the daemon as a whole.
type Daemon struct {
	// Metrics is where the daemon tells how it stands over HTTP: a loopback
	// address with a port; not valid for nowhere.
	Metrics netip.AddrPort
}

// An Account is one account on a server and what is kept of it here.
type Account struct {
	Name string
	// State is the account's own directory below Config.StateDir.
	State string

	Host string
	Port int
	TLS  TLS
	// AllowPlaintext permits TLSNone to a host that is not this machine.
	AllowPlaintext bool
	CAFile         string // of PEM certificates to trust instead of the system's; "" for none
	Fingerprint    string // "sha256:" and 64 hexadecimal digits of the server's certificate; "" for none

	Username string
	Secret   SecretSource

	// Maildir is the root of the local mail; "" for an account that is not
	// synchronised.
	Maildir        string
	Layout         Layout
	FolderEncoding FolderEncoding
	Inbox          string // the directory of an INBOX that lies elsewhere; "" for none
	Folders        Patterns

	Mode    Mode
	Backup  bool
	Archive string // where generations are kept
	Keep    Keep
	// KeepGrace is how long a message is kept that lies in no generation any more.
	KeepGrace     time.Duration
	Schedule      string // a cron line; "" for none
	Idle          []mail.MailboxName
	DeleteGuard   int // percent; 0 switches the guard off
	DeleteFolders bool
	KeepDeleted   time.Duration
	Connections   int
	LimitRate     int64 // bytes a second; 0 for no limit
	FSync         bool
	Compress      bool
	Hooks         Hooks
}

// Hooks are commands for /bin/sh -c that are run when something happened; ""
// for none.
type Hooks struct {
	OnNewMail, OnChange, OnError, AfterBackup string
	// Timeout is how long one may take.
	Timeout time.Duration
}

// Synced tells whether the account is kept in step with a Maildir.
func (a *Account) Synced() bool { return a.Maildir != "" && a.Mode != ModeBackup }

// Archived tells whether generations of the account are kept.
func (a *Account) Archived() bool { return a.Mode == ModeBackup || a.Backup && a.Synced() }

// InArchive tells whether a mailbox is backed up: what takes part, and beyond
// that the mailbox in which some servers show all messages (\All, RFC 6154),
// for it may be the only one that a message is in.
func (a *Account) InArchive(name mail.MailboxName, role mail.Role) bool {
	if role == mail.RoleAll {
		return a.Folders.Match(name)
	}
	return a.Folders.InScope(name, role)
}

// BackupDir is where the index of the account's backup lies.
func (a *Account) BackupDir() string { return filepath.Join(a.State, "backup") }

// DeletedDir is where messages that godwit deletes are kept.
func (a *Account) DeletedDir() string { return filepath.Join(a.State, "deleted") }

// IndexFile is the account's index.
func (a *Account) IndexFile() string { return filepath.Join(a.State, "index.db") }

// LockFile is the lock of the account's runs.
func (a *Account) LockFile() string { return filepath.Join(a.State, "lock") }

// LastRunFile tells of the last run.
func (a *Account) LastRunFile() string { return filepath.Join(a.State, "last-run") }

// TLS says how a connection is protected.
type TLS string

// The ways to protect a connection (RFC 8314: implicit TLS is to be preferred).
const (
	TLSImplicit TLS = "implicit"
	TLSStartTLS TLS = "starttls"
	TLSNone     TLS = "none"
)

// Layout says how mailboxes lie in a Maildir root.
type Layout string

// The layouts.
const (
	LayoutFS          Layout = "fs"        // ROOT/Work/Deep
	LayoutMaildirPlus Layout = "maildir++" // ROOT/.Work.Deep, INBOX is ROOT itself
)

// FolderEncoding says how names of mailboxes are written on disk.
type FolderEncoding string

// The encodings.
const (
	EncodingUTF8 FolderEncoding = "utf-8"
	EncodingUTF7 FolderEncoding = "utf-7" // modified UTF-7 (RFC 3501, section 5.1.3)
)

// Mode says which way changes are carried.
type Mode string

// The modes.
const (
	ModeMirror Mode = "mirror" // both ways
	ModePull   Mode = "pull"   // the Maildir follows the server
	ModePush   Mode = "push"   // the server follows the Maildir
	ModeBackup Mode = "backup" // the archive only
)

// Keep says which generations of a backup are kept. Zero fields keep none by
// their rule; a zero Keep keeps all.
type Keep struct {
	Within                               time.Duration
	Last, Daily, Weekly, Monthly, Yearly int
}

// SecretSource says where an account's secret comes from: exactly one field
// is set.
type SecretSource struct {
	Password Secret
	Command  string // for sh -c; the first line of its output counts
	File     string // its first line counts
	Keyring  bool
	OAuth2   *OAuth2
}

// OAuth2 says how to sign in with tokens.
type OAuth2 struct {
	Provider                     string // a preset, or "" when the URLs are given
	ClientID                     string
	ClientSecret                 Secret
	AuthURL, TokenURL, DeviceURL string
	Scopes                       []string
}
