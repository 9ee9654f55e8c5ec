package when

import (
	"strconv"
	"strings"
	"time"
)

// numbers are those that people write in words.
var numbers = map[string]int{
	"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
}

// most is the most of a unit that anybody can mean.
const most = 1_000_000

// ago reads "3 days ago". If that is not what the words say, they stay.
func (p *parser) ago() (n int, unit string, ok bool) {
	words := p.words
	if len(words) != 3 || words[2] != "ago" {
		return 0, "", false
	}
	n, named := numbers[words[0]]
	if !named {
		var err error
		if n, err = strconv.Atoi(words[0]); err != nil || n < 0 || n > most {
			return 0, "", false
		}
	}
	p.words = nil
	return n, strings.TrimSuffix(words[1], "s"), true
}

// before is the moment n units before now. Hours and less are counted on a
// stopwatch, days and more on the calendar: the clocks show what they show now.
func (p *parser) before(n int, unit string) (time.Time, bool) {
	switch unit {
	case "second", "sec":
		return p.now.Add(-time.Duration(n) * time.Second), true
	case "minute", "min":
		return p.now.Add(-time.Duration(n) * time.Minute), true
	case "hour":
		return p.now.Add(-time.Duration(n) * time.Hour), true
	case "day":
		return p.sameClock(dateOf(p.now).plus(-n)), true
	case "week":
		return p.sameClock(dateOf(p.now).plus(-7 * n)), true
	case "month":
		return p.sameClock(dateOf(p.now).minusMonths(n)), true
	case "year":
		return p.sameClock(dateOf(p.now).minusMonths(12 * n)), true
	}
	return time.Time{}, false
}

// sameClock is the moment of a day at which the clocks show what they show now.
func (p *parser) sameClock(d date) time.Time {
	wall := time.Date(d.year, d.month, d.day, p.now.Hour(), p.now.Minute(), p.now.Second(), p.now.Nanosecond(), time.UTC)
	return in(p.now.Location(), wall, true)
}

// minusMonths is the same day n months earlier, or the last of that month
// where it has no such day.
func (d date) minusMonths(n int) date {
	first := time.Date(d.year, d.month-time.Month(n), 1, 12, 0, 0, 0, time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return date{first.Year(), first.Month(), min(d.day, last)}
}
