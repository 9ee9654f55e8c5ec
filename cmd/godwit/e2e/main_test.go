// Package e2e runs the godwit binary as its users do: against real Dovecots,
// over real Maildirs, beside real mail programs. What it compares it reads
// with code of its own, not with godwit's.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// binary is the godwit under test, built once.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "godwit-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "godwit")
		args := []string{"build", "-o", binary}
		if raceEnabled {
			args = append(args, "-race")
			// Otherwise every process waits for a second before it ends.
			os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0")
		}
		build := exec.Command("go", append(args, "github.com/godwit-mail/godwit/cmd/godwit")...)
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building godwit: %v\n%s", err, out)
			return 1
		}
		return m.Run()
	}())
}

// shapes are the servers that every scenario must hold against.
var shapes = map[string][]imaptest.Option{
	"full": nil,
	"bare": {imaptest.Bare()},
}

// each runs a scenario against every shape of Dovecot.
func each(t *testing.T, test func(t *testing.T, a *account)) {
	for name, opts := range shapes {
		t.Run(name, func(t *testing.T) {
			test(t, newAccount(t, imaptest.Dovecot(t, opts...), "me"))
		})
	}
}

// An account is one user of a Dovecot, a Maildir, and a configuration.
type account struct {
	t      *testing.T
	server *imaptest.Server
	user   string
	dir    string // holds everything local
	root   string // the Maildir
	state  string
	config string
	extra  string // more lines of the account's table
	// runAs is who runs godwit; nil for whoever runs the test.
	runAs *syscall.Credential
}

func newAccount(t *testing.T, server *imaptest.Server, user string) *account {
	t.Helper()
	dir := t.TempDir()
	a := &account{t: t, server: server, user: user, dir: dir, root: filepath.Join(dir, "Mail"), state: filepath.Join(dir, "state"), config: filepath.Join(dir, "config.toml")}
	a.configure("")
	return a
}

// configure writes the configuration, with more lines for the account.
func (a *account) configure(extra string) {
	a.t.Helper()
	a.extra = extra
	text := fmt.Sprintf(`state_dir = %q

[accounts.me]
host = %q
port = %d
tls = "none"
username = %q
password = %q
maildir = %q
%s
`, a.state, a.server.Host, a.server.Port, a.user, imaptest.Password, a.root, extra)
	if err := os.WriteFile(a.config, []byte(text), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// result is what a command came to.
type result struct {
	code        int
	out, errout string
	took        time.Duration
}

func (r result) String() string {
	return fmt.Sprintf("exit %d after %v\nstdout:\n%s\nstderr:\n%s", r.code, r.took, tail(r.out), tail(r.errout))
}

func tail(s string) string { return s[max(0, len(s)-3000):] }

// godwit runs a command of the binary.
func (a *account) godwit(args ...string) result {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, append([]string{"--config", a.config}, args...)...)
	var out, errout bytes.Buffer
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: a.runAs}
	cmd.Stdout, cmd.Stderr = &out, &errout
	began := time.Now()
	err := cmd.Run()
	r := result{code: cmd.ProcessState.ExitCode(), out: out.String(), errout: errout.String(), took: time.Since(began)}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		a.t.Fatalf("running godwit %v: %v", args, err)
	}
	return r
}

// sync runs a sync that must end with 0.
func (a *account) sync(args ...string) result {
	a.t.Helper()
	return a.exits(0, append([]string{"sync", "-v"}, args...)...)
}

// exits runs a command that must end with this code.
func (a *account) exits(code int, args ...string) result {
	a.t.Helper()
	r := a.godwit(args...)
	if r.code != code {
		a.t.Fatalf("godwit %v: want exit %d: %v", args, code, r)
	}
	return r
}

// agree fails unless both sides hold the same messages in the same mailboxes.
func (a *account) agree() {
	a.t.Helper()
	if d := sidetest.Compare(a.local(), a.remote()); d != "" {
		a.t.Fatalf("the Maildir (first) and the server (second) differ:\n%s", tail(d))
	}
}

// quiet fails unless a further run changes nothing at all on either side.
func (a *account) quiet() {
	a.t.Helper()
	files, server := a.fingerprint(), a.changes()
	r := a.sync()
	if now := a.fingerprint(); now != files {
		a.t.Fatalf("a further run changed the Maildir:\nbefore:\n%s\nafter:\n%s\n%v", tail(files), tail(now), r)
	}
	if now := a.changes(); now != server {
		a.t.Fatalf("a further run changed the server:\nbefore:\n%s\nafter:\n%s\n%v", tail(server), tail(now), r)
	}
}

// need fails with the message unless ok.
func need(t *testing.T, ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.Fatalf(format, args...)
	}
}
