package worker

import (
	"time"

	"github.com/robfig/cron/v3"
)

// A Schedule says when the next run is due after a moment.
type Schedule = cron.Schedule

// ParseSchedule reads a line of cron, five fields, or a word such as "@hourly"
// or "@every 10m". The empty text is no schedule: nil.
func ParseSchedule(text string) (Schedule, error) {
	if text == "" {
		return nil, nil
	}
	return cron.ParseStandard(text)
}

// lookEvery is how often the wall clock is looked at: it may be set, and the
// machine may sleep, at any time.
const lookEvery = 5 * time.Second

// leap is how far the wall clock may be off what the monotonic clock makes of
// it before that counts as a jump.
const leap = 10 * time.Second

// stall is how much later than it asked for a look may come before that counts
// as a jump, too: the process was stopped or frozen, and both clocks went on.
const stall = 30 * time.Second

// A calendar keeps a schedule by a wall clock that may jump.
type calendar struct {
	schedule Schedule // nil: never due
	next     time.Time
	seen     time.Time     // the wall clock at the last look
	mono     time.Duration // the monotonic clock at the last look
}

func newCalendar(s Schedule, wall time.Time, mono time.Duration) *calendar {
	c := &calendar{schedule: s, seen: wall, mono: mono}
	c.plan(wall)
	return c
}

func (c *calendar) plan(from time.Time) {
	if c.schedule != nil {
		c.next = c.schedule.Next(from)
	}
}

// look tells whether the schedule is due, and whether the wall clock jumped
// since the last look, or nothing was done for long. A moment that was jumped over is due once.
func (c *calendar) look(wall time.Time, mono time.Duration) (due, jumped bool) {
	// Round strips the monotonic reading: only the wall clock's own view counts.
	wall = wall.Round(0)
	off := wall.Sub(c.seen.Round(0)) - (mono - c.mono)
	jumped = off > leap || off < -leap || mono-c.mono > lookEvery+stall
	if jumped && off < 0 {
		c.plan(wall) // set back: what was planned may be far away
	}
	c.seen, c.mono = wall, mono
	if c.schedule == nil || c.next.IsZero() || wall.Before(c.next) {
		return false, jumped
	}
	c.plan(wall)
	return true, jumped
}

// wait is how long until the next look.
func (c *calendar) wait(wall time.Time) time.Duration {
	if c.schedule == nil || c.next.IsZero() {
		return lookEvery
	}
	return max(min(c.next.Sub(wall.Round(0)), lookEvery), time.Millisecond)
}
