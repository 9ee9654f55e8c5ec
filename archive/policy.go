package archive

import (
	"fmt"
	"slices"
	"time"
)

// A Policy says which generations are kept. Each rule keeps some; a generation
// that no rule keeps is retired. The zero Policy keeps all.
//
// Last, Daily, Weekly, Monthly and Yearly count generations, or the days, weeks
// (from Monday), months and years that have one: of each the newest is kept.
// While a rule has not used up its number, it keeps the oldest generation, too.
type Policy struct {
	// Within keeps all of this time before the newest complete generation, and
	// the one that showed the mail when it began.
	Within                               time.Duration
	Last, Daily, Weekly, Monthly, Yearly int
}

// A Verdict is what becomes of a generation, and why.
type Verdict struct {
	Generation Generation
	Keep       bool
	Why        []string // for a person: each rule that keeps it, or what retires it
}

// Decide gives a verdict on each generation that is not retired, in their
// order, which is by number. Days and the like are those of loc. held are
// generations that are kept whatever the rules say, and why.
//
// The newest complete generation is always kept. One that is not complete is
// kept within Within, and as long as none that is complete came after it; it
// counts for no other rule.
//
// What is retired today would be retired tomorrow, too: to decide each day
// leaves the same generations as to decide once.
func (p Policy) Decide(all []Generation, held map[int64]string, loc *time.Location) []Verdict {
	var out []Verdict
	for _, g := range all {
		if g.Retired.IsZero() {
			out = append(out, Verdict{Generation: g})
		}
	}
	var complete []*Verdict // the newest first
	for i := range slices.Backward(out) {
		if out[i].Generation.Complete {
			complete = append(complete, &out[i])
		}
	}
	if p == (Policy{}) {
		for i := range out {
			out[i].keep("all are kept")
		}
		return out
	}
	if len(complete) > 0 {
		complete[0].keep("the newest")
		p.within(complete)
		for _, r := range p.rules() {
			r.keep(complete, loc)
		}
	}
	for i := range out {
		v := &out[i]
		if why, ok := held[v.Generation.Number]; ok {
			v.keep(why)
		}
		if !v.Generation.Complete {
			p.incomplete(v, complete)
		}
		if !v.Keep {
			v.Why = []string{v.retired()}
		}
	}
	return out
}

func (v *Verdict) keep(why string) {
	v.Keep, v.Why = true, append(v.Why, why)
}

func (v *Verdict) retired() string {
	if !v.Generation.Complete {
		return "not complete, and a later one is"
	}
	return "no rule keeps it"
}

func (p Policy) withinText() string { return "within " + spanText(p.Within) }

// spanText is a span of time in days and hours.
func spanText(d time.Duration) string {
	const day = 24 * time.Hour
	if d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dh", d/time.Hour)
}

func (p Policy) within(complete []*Verdict) {
	if p.Within <= 0 {
		return
	}
	start := complete[0].Generation.Ended.Add(-p.Within)
	for _, v := range complete {
		if v.Generation.Ended.Before(start) {
			v.keep("as it was when " + p.withinText() + " began")
			return
		}
		v.keep(p.withinText())
	}
}

// incomplete decides on a generation that is not complete.
func (p Policy) incomplete(v *Verdict, complete []*Verdict) {
	switch {
	case v.Generation.Ended.IsZero():
		v.keep("under way")
	case len(complete) == 0 || complete[0].Generation.Number < v.Generation.Number:
		v.keep("no later one is complete")
	case p.Within > 0 && !v.Generation.Ended.Before(complete[0].Generation.Ended.Add(-p.Within)):
		v.keep(p.withinText())
	}
}

// A rule keeps the newest generation of each of so many periods.
type rule struct {
	name   string
	count  int
	period func(Generation, time.Time) [2]int // equal for those of one period
}

func (p Policy) rules() []rule {
	return []rule{
		{"last", p.Last, func(g Generation, _ time.Time) [2]int { return [2]int{int(g.Number)} }},
		{"daily", p.Daily, func(_ Generation, t time.Time) [2]int { return [2]int{t.Year(), t.YearDay()} }},
		{"weekly", p.Weekly, func(_ Generation, t time.Time) [2]int { y, w := t.ISOWeek(); return [2]int{y, w} }},
		{"monthly", p.Monthly, func(_ Generation, t time.Time) [2]int { return [2]int{t.Year(), int(t.Month())} }},
		{"yearly", p.Yearly, func(_ Generation, t time.Time) [2]int { return [2]int{t.Year()} }},
	}
}

func (r rule) keep(complete []*Verdict, loc *time.Location) {
	// Clocks are set back at times: a period that comes again is the same.
	seen := map[[2]int]bool{}
	for i, v := range complete {
		if len(seen) == r.count {
			return
		}
		period := r.period(v.Generation, v.Generation.Ended.In(loc))
		if !seen[period] {
			seen[period] = true
			v.keep(fmt.Sprintf("%s %d", r.name, len(seen)))
		} else if i == len(complete)-1 {
			v.keep(r.name + ": the oldest")
		}
	}
}
