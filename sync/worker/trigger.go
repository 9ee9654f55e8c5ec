package worker

import "time"

// A Trigger is what makes a run.
type Trigger string

// The triggers.
const (
	AtStart    Trigger = "start"
	BySchedule Trigger = "schedule"
	ByRemote   Trigger = "server"  // a watch of the server
	ByLocal    Trigger = "maildir" // a watch of the Maildir
	ByRequest  Trigger = "request" // a person asked
	ByRetry    Trigger = "retry"
	ByWake     Trigger = "wake"     // the machine slept, its clock was set, or the network changed
	ByBackstop Trigger = "backstop" // nothing else came for long
)

// Bursts of changes are gathered: a run begins when no change came for quiet,
// at the latest when the first has waited for patience. While runs follow each
// other without a rest, patience doubles up to mostPatience. Mail programs
// take several steps to change a Maildir; servers tell of what is done, in one
// breath, and often have held it back for long.
const (
	quiet        = 40 * time.Millisecond
	quietRemote  = 10 * time.Millisecond
	patience     = 200 * time.Millisecond
	mostPatience = 800 * time.Millisecond
	rest         = 2 * time.Second
)

// A gathering is changes that wait for their run.
type gathering struct {
	why      Trigger   // "" if nothing waits
	first    time.Time // when the first one came
	quiet    time.Time // when all is quiet, if no more comes
	patience time.Duration
	ended    time.Time // when the last run ended
	notYet   time.Time // nothing is due before; zero: at any time
}

// add notes a change.
func (g *gathering) add(why Trigger, now time.Time) {
	if g.why == "" {
		g.why, g.first = why, now
		if g.patience == 0 || now.Sub(g.ended) > rest {
			g.patience = patience
		}
	}
	breath := quiet
	if why == ByRemote {
		breath = quietRemote
	}
	if until := now.Add(breath); until.After(g.quiet) {
		g.quiet = until
	}
}

// due is how long to wait before the run; ok is false if nothing waits.
func (g *gathering) due(now time.Time) (wait time.Duration, ok bool) {
	if g.why == "" {
		return 0, false
	}
	at := g.quiet
	if latest := g.first.Add(g.patience); latest.Before(at) {
		at = latest
	}
	if at.Before(g.notYet) {
		at = g.notYet
	}
	return max(at.Sub(now), 0), true
}

// take hands over what waits, as a run begins.
func (g *gathering) take() Trigger {
	why := g.why
	g.why = ""
	return why
}

// rested notes the end of a run.
func (g *gathering) rested(now time.Time) {
	g.ended = now
	if g.why != "" { // changes came while it ran
		g.patience = min(2*max(g.patience, patience), mostPatience)
	}
}
