package telemetry

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

var silent = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestOnlyThisMachine(t *testing.T) {
	for _, at := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		if s, err := Listen(netip.MustParseAddrPort(at), NewTally("x"), nil, silent); err == nil {
			s.Close()
			t.Errorf("it listens at %s", at)
		}
	}
}

// serve answers until the test ends.
func serve(t *testing.T, tally *Tally, all func() []Standing) (base string) {
	t.Helper()
	s, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), tally, all, silent)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r, string(text)
}

func TestMetrics(t *testing.T) {
	tally := NewTally("1.0")
	tally.Ran("a.b", Run{Took: 1500 * time.Millisecond, Copied: [2]int{1, 2}, Bytes: [2]int64{10, 20}})
	tally.Ran("a.b", Run{Took: 500 * time.Millisecond, Failed: true, Class: "network", Copied: [2]int{3, 0}})
	tally.Hooked("a.b", "on_change", true)
	all := []Standing{{
		Account: "a.b", Working: true, State: "running", LastOK: time.UnixMilli(1_700_000_000_500), HeldMessages: 4, HeldMailboxes: 5, Pending: 6,
		Watches: []Watch{{"server", true}, {"maildir", false}},
		Backup: &Backup{LastOK: time.UnixMilli(1_700_000_001_000), Made: time.UnixMilli(1_700_000_000_000), Generation: 7, Stored: 8, Incomplete: true, Quarantined: 9,
			Verified: time.UnixMilli(1_700_000_002_000), Sound: time.UnixMilli(1_700_000_003_000), Damage: 11, Drilled: time.UnixMilli(1_700_000_004_000)},
	}, {Account: "new", Working: true, State: "idle"}, {Account: "kept", Working: true, State: "idle", Backup: &Backup{Alone: true}}}
	r, text := get(t, serve(t, tally, func() []Standing { return all })+"/metrics")
	if r.StatusCode != 200 || !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("%s, %s", r.Status, r.Header)
	}
	for _, want := range []string{
		`godwit_build_info{version="1.0"} 1`,
		`# TYPE godwit_runs_total counter`,
		`godwit_runs_total{account="a.b"} 2`,
		`godwit_runs_failed_total{account="a.b"} 1`,
		`godwit_run_seconds_total{account="a.b"} 2`,
		`godwit_errors_total{account="a.b",class="network"} 1`,
		`godwit_messages_copied_total{account="a.b",side="local"} 4`,
		`godwit_messages_copied_total{account="a.b",side="remote"} 2`,
		`godwit_messages_moved_total{account="a.b",side="remote"} 0`,
		`godwit_copied_bytes_total{account="a.b",side="remote"} 20`,
		`godwit_hooks_failed_total{account="a.b",hook="on_change"} 1`,
		`# TYPE godwit_held_deletions gauge`,
		`godwit_held_deletions{account="a.b"} 4`,
		`godwit_held_mailboxes{account="a.b"} 5`,
		`godwit_pending_changes{account="a.b"} 6`,
		`godwit_account_state{account="a.b",state="running"} 1`,
		`godwit_account_state{account="a.b",state="idle"} 0`,
		`godwit_watch_up{account="a.b",watch="server"} 1`,
		`godwit_watch_up{account="a.b",watch="maildir"} 0`,
		`godwit_last_success_timestamp_seconds{account="new"} 0`,
		`godwit_backup_generation{account="a.b"} 7`,
		`godwit_backup_archive_bytes{account="a.b"} 8`,
		`godwit_backup_incomplete{account="a.b"} 1`,
		`godwit_backup_quarantined_messages{account="a.b"} 9`,
		`godwit_backup_last_success_timestamp_seconds{account="kept"} 0`,
		`godwit_backup_damage{account="a.b"} 11`,
		`godwit_backup_verified_timestamp_seconds{account="kept"} 0`,
		`godwit_backup_drill_success_timestamp_seconds{account="a.b"} 0`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %s", want)
		}
	}
	if !strings.Contains(text, `godwit_last_success_timestamp_seconds{account="a.b"} 1.7000000005e+09`) &&
		!strings.Contains(text, `godwit_last_success_timestamp_seconds{account="a.b"} 1700000000.5`) {
		t.Errorf("when was the last success? %s", text)
	}
}

func TestHealth(t *testing.T) {
	var all atomic.Value
	all.Store([]Standing{{Account: "a", Working: true, Error: "one message"}, {Account: "b", Working: true}})
	base := serve(t, NewTally("x"), func() []Standing { return all.Load().([]Standing) })
	if r, text := get(t, base+"/healthz"); r.StatusCode != 200 || text != "ok\n" {
		t.Errorf("%s: %s", r.Status, text)
	}
	all.Store([]Standing{{Account: "a", Error: "two\n  lines"}, {Account: "b", Working: true}, {Account: "c", Error: "x"}})
	if r, text := get(t, base+"/healthz"); r.StatusCode != 503 || text != "a: two lines\nc: x\n" {
		t.Errorf("%s: %s", r.Status, text)
	}
	if r, _ := get(t, base+"/"); r.StatusCode != 404 {
		t.Errorf("/ is %s", r.Status)
	}
}
