package worker

import (
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A State is what a worker does.
type State string

// The states of a worker.
const (
	Idle    State = "idle"    // all is done; waits for what comes
	Running State = "running" // a run is under way
	Waiting State = "waiting" // the last run failed; the next one is due at Status.Next
	Stopped State = "stopped"
)

// A Status is how a worker stands. Times are those of Options.Clock.
type Status struct {
	Account string
	State   State
	// Why is what made the run under way, or the last one.
	Why Trigger
	// Next is when the account runs next without anything new: by its
	// schedule, or again after a failure. Zero if never.
	Next time.Time
	Runs int // that ended
	// Last is when the last run ended, LastOK the last one that did all it had to.
	Last, LastOK time.Time
	// Failures in a row, and since when; Err is the last one's error.
	Failures int
	Since    time.Time
	Err      error
	// Partial, beside Err: the account works, and something in it did not.
	Partial bool
	Watches []WatchStatus
}

// Class is the kind of trouble the account is in, "" if none.
func (s Status) Class() mail.Class {
	if s.Err == nil {
		return ""
	}
	return mail.ClassOf(s.Err)
}

// A WatchStatus is how one watch stands.
type WatchStatus struct {
	Name string
	// Up: changes are told. Since when it is up, or down.
	Up    bool
	Since time.Time
	Err   error  // why it is not up; nil while it is coming up
	Note  string // what a person should know of a watch that is up, e.g. that it polls
}
