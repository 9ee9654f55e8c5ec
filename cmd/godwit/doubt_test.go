package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

// A watchedDaemon is a daemon in this process, whose wall clock and network
// are the test's.
type watchedDaemon struct {
	t       *testing.T
	off     atomic.Int64 // of the clock
	changed func()       // tells of a change of the network
	lines   chan map[string]any
}

func newWatchedDaemon(t *testing.T, server *imaptest.Server) *watchedDaemon {
	t.Helper()
	d := &watchedDaemon{t: t, lines: make(chan map[string]any, 1<<12)}
	dir := t.TempDir()
	text := fmt.Sprintf("state_dir = %q\n[accounts.box]\nhost = %q\nport = %d\ntls = \"none\"\nusername = \"box\"\npassword = %q\nmaildir = %q\n",
		filepath.Join(dir, "state"), server.Host, server.Port, imaptest.Password, filepath.Join(dir, "Mail"))
	config := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	log, stderr := io.Pipe()
	listens := make(chan func(), 1)
	a := &app{
		stdout: io.Discard, stderr: stderr, env: func(string) string { return "" }, configFile: config, json: true, verbose: true,
		now: func() time.Time { return time.Now().Add(time.Duration(d.off.Load())) },
		network: func(ctx context.Context, changed func()) error {
			listens <- changed
			<-ctx.Done()
			return nil
		},
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.daemon(ctx); stderr.Close() }()
	go func() {
		defer close(d.lines)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			l := map[string]any{}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				l["msg"] = lines.Text()
			}
			d.lines <- l
		}
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		for range d.lines {
		}
	})
	d.changed = <-listens
	return d
}

// logs waits for lines, in any order. Of each some words are given.
func (d *watchedDaemon) logs(lines ...[]string) {
	d.t.Helper()
	late := time.After(time.Minute)
	var heard []string
	for len(lines) > 0 {
		select {
		case l := <-d.lines:
			text := fmt.Sprint(l)
			heard = append(heard, text)
			if i := slices.IndexFunc(lines, func(words []string) bool {
				return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
			}); i >= 0 {
				lines = slices.Delete(lines, i, i+1)
			}
		case <-late:
			d.t.Fatalf("the daemon does not log %q:\n%s", lines, strings.Join(heard, "\n"))
		}
	}
}

var watchesServer = []string{"msg:watching", "what:server"}

func (d *watchedDaemon) settles() {
	d.t.Helper()
	d.logs(watchesServer, []string{"msg:watching", "what:maildir"}, []string{"msg:ran", "because:start"})
}

// A wall clock that jumps, as it does for a machine that slept, makes all
// connections anew, whichever way it goes, and a run over them.
func TestDaemonAcrossAClockThatJumps(t *testing.T) {
	d := newWatchedDaemon(t, imaptest.Dovecot(t))
	d.settles()
	for _, jump := range []time.Duration{8 * time.Hour, -3 * time.Hour} {
		d.off.Add(int64(jump))
		d.logs(watchesServer, []string{"msg:ran", "because:wake"})
	}
}

// When the network changes, a connection that lives is kept; one that does not
// answer is given up within seconds, and another tried at each change.
func TestDaemonInAnotherNetwork(t *testing.T) {
	server := imaptest.Dovecot(t)
	d := newWatchedDaemon(t, server)
	d.settles()
	d.changed()
	d.logs([]string{"the network has changed"})
	server.Freeze()
	d.changed()
	d.logs([]string{"msg:not watching", "did not answer"})
	server.Thaw()
	d.changed()
	d.logs(watchesServer)
}
