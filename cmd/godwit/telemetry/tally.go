package telemetry

import (
	"fmt"
	"io"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// A Run is what a run of an account came to. Pairs are by the side that was
// changed.
type Run struct {
	Took time.Duration
	// Failed: it ended with an error, of this class.
	Failed bool
	Class  string

	Copied, Flagged, Moved, Deleted [2]int
	Bytes                           [2]int64 // of what was copied
}

// A Standing is how an account stands now.
type Standing struct {
	Account string
	// Working: the last run of the account as a whole did not fail. Error says
	// why it is not.
	Working bool
	Error   string
	State   string // one of States
	// LastOK is when it was last in step, zero if never.
	LastOK   time.Time
	Failures int // in a row
	// HeldMessages and HeldMailboxes wait for the user, Pending for a later run.
	HeldMessages, HeldMailboxes, Pending int
	Watches                              []Watch
	Backup                               *Backup // nil if none is kept
}

// A Backup is how the archive of an account stands.
type Backup struct {
	// Alone: the account has nothing else, so that it is not out of step
	// between its backups.
	Alone bool
	// LastOK is when the archive was last found to hold all that the server
	// had, zero if never; Generation the number of the newest complete one, 0 if
	// there is none, Made when it ended.
	LastOK, Made time.Time
	Generation   int64
	Stored       int64 // bytes of all message files
	Incomplete   bool  // the last backup was
	Quarantined  int   // messages that the server would not give
	// Verified is when the archive was last verified, Sound when no damage was
	// found last, and Damage how much of what was found is not mended. Drilled
	// is when a sample was last restored, DrillOK when all of one was right.
	Verified, Sound, Drilled, DrillOK time.Time
	Damage                            int
}

// A Watch is one side that is watched, or is not.
type Watch struct {
	Name string
	Up   bool
}

// States are what an account may be doing.
var States = [...]string{"idle", "running", "waiting", "stopped"}

// sides are the values of the label side.
var sides = [2]string{"local", "remote"}

// A Tally counts what has happened since the daemon began.
type Tally struct{ set *metrics.Set }

// NewTally begins to count.
func NewTally(version string) *Tally {
	metrics.ExposeMetadata(true) // the types of metrics, for those who read the text
	t := &Tally{metrics.NewSet()}
	t.set.NewGauge(fmt.Sprintf("godwit_build_info{version=%q}", version), nil).Set(1)
	return t
}

// Ran counts a run of an account.
func (t *Tally) Ran(account string, r Run) {
	t.count("godwit_runs_total", 1, "account", account)
	t.count("godwit_run_seconds_total", r.Took.Seconds(), "account", account)
	failed := 0.0
	if r.Failed {
		failed = 1
		t.count("godwit_errors_total", 1, "account", account, "class", r.Class)
	}
	t.count("godwit_runs_failed_total", failed, "account", account)
	for i, side := range sides {
		for name, n := range map[string]int{"copied": r.Copied[i], "flagged": r.Flagged[i], "moved": r.Moved[i], "deleted": r.Deleted[i]} {
			t.count("godwit_messages_"+name+"_total", float64(n), "account", account, "side", side)
		}
		t.count("godwit_copied_bytes_total", float64(r.Bytes[i]), "account", account, "side", side)
	}
}

// Hooked counts a hook that ended.
func (t *Tally) Hooked(account, hook string, failed bool) {
	t.count("godwit_hooks_total", 1, "account", account, "hook", hook)
	n := 0.0
	if failed {
		n = 1
	}
	t.count("godwit_hooks_failed_total", n, "account", account, "hook", hook)
}

// count adds to a counter, which comes to be with 0.
func (t *Tally) count(name string, n float64, labels ...string) {
	t.set.GetOrCreateFloatCounter(labelled(name, labels...)).Add(n)
}

// labelled is the name of a metric with its labels, pairs of name and value.
func labelled(name string, labels ...string) string {
	text := name + "{"
	for i := 0; i < len(labels); i += 2 {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf("%s=%q", labels[i], labels[i+1])
	}
	return text + "}"
}

// Write writes what was counted, how all accounts stand, and what the process
// takes.
func (t *Tally) Write(w io.Writer, all []Standing) {
	t.set.WritePrometheus(w)
	now := metrics.NewSet()
	gauge := func(name string, v float64, labels ...string) {
		now.GetOrCreateGauge(labelled(name, labels...), nil).Set(v)
	}
	for _, s := range all {
		gauge("godwit_account_working", number(s.Working), "account", s.Account)
		for _, state := range States {
			gauge("godwit_account_state", number(s.State == state), "account", s.Account, "state", state)
		}
		if s.Backup == nil || !s.Backup.Alone {
			gauge("godwit_last_success_timestamp_seconds", seconds(s.LastOK), "account", s.Account)
		}
		if b := s.Backup; b != nil {
			gauge("godwit_backup_last_success_timestamp_seconds", seconds(b.LastOK), "account", s.Account)
			gauge("godwit_backup_generation", float64(b.Generation), "account", s.Account)
			gauge("godwit_backup_generation_timestamp_seconds", seconds(b.Made), "account", s.Account)
			gauge("godwit_backup_archive_bytes", float64(b.Stored), "account", s.Account)
			gauge("godwit_backup_incomplete", number(b.Incomplete), "account", s.Account)
			gauge("godwit_backup_quarantined_messages", float64(b.Quarantined), "account", s.Account)
			gauge("godwit_backup_verified_timestamp_seconds", seconds(b.Verified), "account", s.Account)
			gauge("godwit_backup_verified_sound_timestamp_seconds", seconds(b.Sound), "account", s.Account)
			gauge("godwit_backup_damage", float64(b.Damage), "account", s.Account)
			gauge("godwit_backup_drill_timestamp_seconds", seconds(b.Drilled), "account", s.Account)
			gauge("godwit_backup_drill_success_timestamp_seconds", seconds(b.DrillOK), "account", s.Account)
		}
		gauge("godwit_consecutive_failures", float64(s.Failures), "account", s.Account)
		gauge("godwit_held_deletions", float64(s.HeldMessages), "account", s.Account)
		gauge("godwit_held_mailboxes", float64(s.HeldMailboxes), "account", s.Account)
		gauge("godwit_pending_changes", float64(s.Pending), "account", s.Account)
		for _, x := range s.Watches {
			gauge("godwit_watch_up", number(x.Up), "account", s.Account, "watch", x.Name)
		}
	}
	now.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
	metrics.WriteFDMetrics(w)
}

// seconds is a moment as Prometheus has it, 0 for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
