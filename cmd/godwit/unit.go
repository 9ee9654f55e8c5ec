package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"

	"github.com/godwit-mail/godwit/cmd/godwit/control"
	"github.com/godwit-mail/godwit/sync/worker"
)

// stalled is how long a loop that turns every few seconds may not have turned.
const stalled = 30 * time.Second

// mostStatus is how much systemctl status is told of errors, in bytes.
const mostStatus = 300

// A unit is what systemd is told of the daemon, by sd_notify(3). Without
// systemd it tells nobody.
type unit struct {
	log   *slog.Logger
	there bool          // somebody listens
	alarm chan struct{} // something changed
}

func newUnit(log *slog.Logger, socket string) *unit {
	return &unit{log: log, there: socket != "", alarm: make(chan struct{}, 1)}
}

// say tells systemd something.
func (u *unit) say(state string) {
	if !u.there {
		return
	}
	if _, err := sd.SdNotify(false, state); err != nil {
		u.log.Warn("systemd cannot be told", "error", err)
	}
}

// reloading says that the configuration is being read.
func reloading() string {
	return strings.TrimSpace(sd.SdNotifyReloading + "\n" + sd.SdNotifyMonotonicUsec())
}

// changed notes that an account stands otherwise. It never waits.
func (u *unit) changed() {
	select {
	case u.alarm <- struct{}{}:
	default:
	}
}

// attend keeps systemd told of how the daemon stands until ctx ends: the line
// that systemctl status shows, and that it lives.
func (d *daemon) attend(ctx context.Context, socket string) {
	if !d.unit.there {
		return
	}
	var pulse <-chan time.Time
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		d.log.Warn("systemd's watchdog", "error", err)
	}
	if interval > 0 {
		tick := time.NewTicker(max(interval/3, time.Millisecond))
		defer tick.Stop()
		pulse = tick.C
	}
	shown := ""
	for {
		if text := statusLine(d.duties()); text != shown {
			shown = text
			d.unit.say("STATUS=" + text)
		}
		select {
		case <-ctx.Done():
			return
		case <-d.unit.alarm:
		case <-pulse:
			if err := d.lives(ctx, socket); err == nil {
				d.unit.say(sd.SdNotifyWatchdog)
			} else if ctx.Err() == nil {
				d.log.Error("systemd is not told that the daemon lives", "error", err)
			}
		}
	}
}

// lives fails if a loop of the daemon no longer turns. It asks the daemon as a
// command does; should that never be answered, it never returns, and systemd
// hears nothing either.
func (d *daemon) lives(ctx context.Context, socket string) error {
	call := control.Call{Version: versionText(), Config: d.file, Command: "status"}
	_, err := control.Do(ctx, socket, call, func(json.RawMessage) error { return nil })
	if err != nil && !errors.Is(err, control.ErrRefused) { // a refusal is an answer
		return err
	}
	if at := d.looked.Load(); at != nil && time.Since(*at) > stalled {
		return fmt.Errorf("the configuration was not looked at for %v", time.Since(*at).Round(time.Second))
	}
	for _, t := range d.duties() {
		if at := t.worker.Turned(); !at.IsZero() && time.Since(at) > stalled {
			return fmt.Errorf("the worker of %s has not turned for %v", t.acc.Name, time.Since(at).Round(time.Second))
		}
	}
	return nil
}

// statusLine tells in one line how all accounts stand.
func statusLine(all []*duty) string {
	fresh := 0
	var failing []string
	for _, t := range all {
		switch s := t.worker.Status(); {
		case s.Err != nil:
			failing = append(failing, fmt.Sprintf("%s: %v", s.Account, s.Err))
		case s.Runs == 0 && s.State != worker.Stopped:
			fresh++
		}
	}
	text := count(len(all), "account")
	if fresh > 0 {
		text += fmt.Sprintf(", %d at the first run", fresh)
	}
	if len(failing) == 0 {
		return text + ", none fails"
	}
	line := strings.Join(strings.Fields(strings.Join(failing, "; ")), " ")
	if len(line) > mostStatus {
		line = strings.ToValidUTF8(line[:mostStatus], "") + " …"
	}
	return fmt.Sprintf("%s, %d failing: %s", text, len(failing), clean(line))
}
