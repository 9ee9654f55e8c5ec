package when

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Moment is a time or a generation.
type Moment struct {
	Time       time.Time
	Generation int64 // 0: Time counts
}

// Forms says, for a person, what Parse reads.
const Forms = `"2026-11-17 18:00", "2026-11-17" (its end), "yesterday", "last tuesday 9:30", "3 days ago", "now", or a generation: "#42"`

// Parse reads a moment. Times without a zone are in that of now, to which
// words like "yesterday" refer, too.
func Parse(text string, now time.Time) (Moment, error) {
	trimmed := strings.TrimSpace(text)
	if number, ok := strings.CutPrefix(trimmed, "#"); ok {
		n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
		if err != nil || n <= 0 {
			return Moment{}, fmt.Errorf("%q is no generation: write #42", text)
		}
		return Moment{Generation: n}, nil
	}
	p := parser{words: words(trimmed), now: now}
	if t, ok := p.moment(); ok && len(p.words) == 0 && t.Year() > 0 && t.Year() < 10000 {
		return Moment{Time: t}, nil
	}
	return Moment{}, fmt.Errorf("%q is not understood: write %s", text, Forms)
}

// words takes a text apart. A T between date and time is a blank.
func words(text string) []string {
	list := strings.Fields(strings.ToLower(text))
	if len(list) == 0 {
		return nil
	}
	if date, clock, ok := strings.Cut(list[0], "t"); ok && len(date) == len(time.DateOnly) && clock != "" {
		list = append([]string{date, clock}, list[1:]...)
	}
	return list
}

// A parser holds the words that are not read yet.
type parser struct {
	words []string
	now   time.Time
}

// next reads a word if it is one of these.
func (p *parser) next(any ...string) bool {
	for _, w := range any {
		if len(p.words) > 0 && p.words[0] == w {
			p.words = p.words[1:]
			return true
		}
	}
	return false
}

// take reads a word, "" if there is none.
func (p *parser) take() (word string) {
	if len(p.words) > 0 {
		word, p.words = p.words[0], p.words[1:]
	}
	return word
}

func (p *parser) moment() (time.Time, bool) {
	if p.next("now") {
		return p.now, true
	}
	if n, unit, ok := p.ago(); ok {
		return p.before(n, unit)
	}
	day, ok := p.day()
	if !ok {
		return time.Time{}, false
	}
	p.next("at")
	if len(p.words) == 0 {
		return endOf(day, p.now.Location()), true
	}
	return p.clock(day)
}

// A date is a day of the calendar, wherever.
type date struct {
	year  int
	month time.Month
	day   int
}

func dateOf(t time.Time) date {
	y, m, d := t.Date()
	return date{y, m, d}
}

// plus is the day n days later.
func (d date) plus(n int) date {
	return dateOf(time.Date(d.year, d.month, d.day+n, 12, 0, 0, 0, time.UTC))
}

func (d date) weekday() time.Weekday {
	return time.Date(d.year, d.month, d.day, 12, 0, 0, 0, time.UTC).Weekday()
}

// day reads a day.
func (p *parser) day() (date, bool) {
	today := dateOf(p.now)
	switch {
	case p.next("today"):
		return today, true
	case p.next("yesterday"):
		return today.plus(-1), true
	}
	last := p.next("last")
	word := p.take()
	if word == "" {
		return date{}, false
	}
	for w := time.Sunday; w <= time.Saturday; w++ {
		if name := strings.ToLower(w.String()); word == name || word == name[:3] {
			return today.plus(-1 - (int(today.weekday())-int(w)+6)%7), true
		}
	}
	t, err := time.Parse(time.DateOnly, word)
	return dateOf(t), err == nil && !last
}

// clock reads a time of day, with or without a zone.
func (p *parser) clock(day date) (time.Time, bool) {
	word := p.take()
	end := strings.IndexAny(word, "z+-")
	if end >= 0 { // the zone follows at once
		p.words = append([]string{word[end:]}, p.words...)
		word = word[:end]
	}
	var of time.Time
	var err error
	for _, layout := range []string{"15:04", "15:04:05"} { // the latter with a fraction, too
		if of, err = time.Parse(layout, word); err == nil {
			break
		}
	}
	if err != nil {
		return time.Time{}, false
	}
	wall := time.Date(day.year, day.month, day.day, of.Hour(), of.Minute(), of.Second(), of.Nanosecond(), time.UTC)
	if len(p.words) == 0 {
		return in(p.now.Location(), wall, true), true
	}
	offset, ok := zone(p.take())
	return wall.Add(-offset), ok
}

// zone reads the distance of a zone from UTC.
func zone(word string) (time.Duration, bool) {
	if word == "z" || word == "utc" || word == "gmt" {
		return 0, true
	}
	for _, layout := range []string{"-07:00", "-0700", "-07"} {
		if t, err := time.Parse(layout, word); err == nil {
			_, seconds := t.Zone()
			return time.Duration(seconds) * time.Second, true
		}
	}
	return 0, false
}

// in is the moment at which the clocks of a zone show wall, a time in UTC. If
// they show it twice it is the later or the earlier one; if they never do,
// because they were put forward, the moment at which they would have.
func in(loc *time.Location, wall time.Time, later bool) time.Time {
	var found time.Time
	for _, near := range []time.Duration{-30 * time.Hour, 30 * time.Hour} {
		_, seconds := wall.Add(near).In(loc).Zone()
		t := wall.Add(-time.Duration(seconds) * time.Second).In(loc)
		if !shows(t, wall) {
			continue
		}
		if found.IsZero() || later == t.After(found) {
			found = t
		}
	}
	if found.IsZero() {
		_, seconds := wall.Add(-30 * time.Hour).In(loc).Zone()
		found = wall.Add(-time.Duration(seconds) * time.Second).In(loc)
	}
	return found
}

// shows tells whether the clocks show wall at t.
func shows(t, wall time.Time) bool {
	_, seconds := t.Zone()
	return t.Add(time.Duration(seconds) * time.Second).Equal(wall)
}

// endOf is the last moment of a day.
func endOf(d date, loc *time.Location) time.Time {
	n := d.plus(1)
	return in(loc, time.Date(n.year, n.month, n.day, 0, 0, 0, 0, time.UTC), false).Add(-1)
}
