package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/control"
)

// systemd hears that the daemon lives only while it answers and its loops turn.
func TestLives(t *testing.T) {
	var refuse atomic.Bool
	socket := filepath.Join(t.TempDir(), "sock")
	d := &daemon{log: slog.New(slog.NewTextHandler(io.Discard, nil)), served: map[string]*served{}}
	server, err := control.Listen(socket, func(context.Context, control.Call, func(any)) (int, error) {
		if refuse.Load() {
			return 0, errors.New("the configuration is refused")
		}
		return 0, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- server.Serve(ctx) }()
	turned := func(ago time.Duration) {
		at := time.Now().Add(-ago)
		d.looked.Store(&at)
	}
	if err := d.lives(ctx, socket); err != nil {
		t.Errorf("at the start: %v", err)
	}
	turned(stalled / 2)
	refuse.Store(true)
	if err := d.lives(ctx, socket); err != nil {
		t.Errorf("a refusal is an answer: %v", err)
	}
	turned(2 * stalled)
	if err := d.lives(ctx, socket); err == nil || !strings.Contains(err.Error(), "configuration was not looked at") {
		t.Errorf("a loop that stands still: %v", err)
	}
	turned(0)
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := d.lives(t.Context(), socket); err == nil {
		t.Error("a daemon that does not answer lives")
	}
}

// Without systemd nothing is told, and nothing is logged of that; a manager
// that went away holds up nobody.
func TestNobodyIsTold(t *testing.T) {
	var log strings.Builder
	logger := slog.New(slog.NewTextHandler(&log, nil))
	newUnit(logger, "").say("READY=1")
	if log.Len() > 0 {
		t.Errorf("logged %s", log.String())
	}
	path := filepath.Join(t.TempDir(), "gone")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	u := newUnit(logger, path)
	u.say("READY=1")
	u.changed()
	u.changed()
	if !strings.Contains(log.String(), "systemd cannot be told") {
		t.Errorf("logged %q", log.String())
	}
}
