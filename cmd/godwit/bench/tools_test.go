package bench

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A tool is a program that keeps one user's mail in a directory.
type tool struct {
	name string
	// configure writes the configuration of a site, again whenever the site changes.
	configure func(s *site) error
	command   func(s *site) []string
	// slow tools run once, whatever the rounds.
	slow bool
}

// A site is one user of a server and the directory in which one tool keeps the
// user's mail, as Mail/INBOX/{cur,new,tmp}.
type site struct {
	tool   *tool
	server *imaptest.Server
	user   string
	dir    string
	tls    bool
	fsync  bool
	port   int    // of a relay; 0: the server's own
	failed error  // the tool cannot go on here
	log    string // where godwit leaves profiles, if anywhere
	talks  bool   // godwit is to tell more
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) error {
	return os.WriteFile(s.path(name), []byte(text), 0o600)
}

// reached is the port that the tool talks to.
func (s *site) reached() int {
	switch {
	case s.port != 0:
		return s.port
	case s.tls:
		return s.server.TLSPort
	}
	return s.server.Port
}

// run lets the tool work once. What it says is in the file output.
func (s *site) run() (usage, error) {
	if err := s.tool.configure(s); err != nil {
		return usage{}, err
	}
	env := []string{"HOME=" + s.dir}
	if s.log != "" {
		env = append(env, profileVariable+"="+s.log)
	}
	return measured(s.dir, env, s.tool.command(s))
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func godwit(binary string) *tool {
	return &tool{
		name: "godwit",
		configure: func(s *site) error {
			mode := `"none"`
			if s.tls {
				mode = fmt.Sprintf("\"implicit\"\nca_file = %q", s.server.CAFile)
			}
			return s.write("config.toml", fmt.Sprintf(`state_dir = %q
[accounts.me]
host = "127.0.0.1"
port = %d
tls = %s
username = %q
password = %q
maildir = %q
fsync = %t
delete_guard = "off"
`, s.path("state"), s.reached(), mode, s.user, imaptest.Password, s.path("Mail"), s.fsync))
		},
		command: func(s *site) []string {
			loud := "-q"
			if s.talks {
				loud = "-v"
			}
			return []string{binary, loud, "--config", s.path("config.toml"), "sync"}
		},
	}
}

// alone is godwit with one connection.
func alone(t *tool) *tool {
	return &tool{
		name: t.name + ", connections = 1",
		configure: func(s *site) error {
			if err := t.configure(s); err != nil {
				return err
			}
			text, err := os.ReadFile(s.path("config.toml"))
			if err != nil {
				return err
			}
			return s.write("config.toml", string(text)+"connections = 1\n")
		},
		command: t.command,
	}
}

func mbsyncBinary() string {
	if path := os.Getenv("MBSYNC"); path != "" {
		return path
	}
	return "mbsync"
}

// mbsync is the PATH's or that of MBSYNC, with its defaults, or without COMPRESS.
func mbsync(compress bool) *tool {
	binary, name, disable := mbsyncBinary(), "mbsync", ""
	if !compress {
		name, disable = "mbsync, no COMPRESS", "DisableExtension COMPRESS=DEFLATE\n"
	}
	return &tool{
		name: name,
		configure: func(s *site) error {
			mode := "None"
			if s.tls {
				mode = "IMAPS\nCertificateFile " + s.server.CAFile
			}
			if err := os.MkdirAll(s.path("Mail"), 0o700); err != nil {
				return err
			}
			return s.write("mbsyncrc", fmt.Sprintf(`FSync %s

IMAPAccount a
Host localhost
Port %d
User %s
Pass %s
AuthMechs LOGIN
SSLType %s
%s
IMAPStore far
Account a

MaildirStore near
Path %s/
Inbox %s
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
`, yes(s.fsync), s.reached(), s.user, imaptest.Password, mode, disable, s.path("Mail"), s.path("Mail/INBOX")))
		},
		command: func(s *site) []string { return []string{binary, "-q", "-c", s.path("mbsyncrc"), "-a"} },
	}
}

func offlineimap() *tool {
	return &tool{
		name: "OfflineIMAP",
		slow: true,
		configure: func(s *site) error {
			mode := "ssl = no"
			if s.tls {
				mode = "ssl = yes\nsslcacertfile = " + s.server.CAFile
			}
			return s.write("offlineimaprc", fmt.Sprintf(`[general]
accounts = a
metadata = %[1]s/offlineimap
fsync = %[2]s

[Account a]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %[1]s/Mail
sep = /

[Repository far]
type = IMAP
remotehost = localhost
remoteport = %[3]d
remoteuser = %[4]s
remotepass = %[5]s
starttls = no
auth_mechanisms = LOGIN
%[6]s
`, s.dir, yes(s.fsync), s.reached(), s.user, imaptest.Password, mode))
		},
		command: func(s *site) []string {
			return []string{"offlineimap", "-c", s.path("offlineimaprc"), "-o", "-u", "quiet"}
		},
	}
}
