package archive

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// berlin has its clocks changed on 2026-03-29 and 2026-10-25.
func berlin(t interface{ Fatal(...any) }) *time.Location {
	loc, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

// at makes complete generations that ended at local times; a "!" makes one
// that is not complete.
func at(t *testing.T, loc *time.Location, times ...string) (list []Generation) {
	for i, text := range times {
		text, incomplete := strings.CutPrefix(text, "!")
		when, err := time.ParseInLocation("2006-01-02 15:04", text, loc)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, Generation{Number: int64(i + 1), Ended: when, Complete: !incomplete})
	}
	return list
}

const day = 24 * time.Hour

func TestPolicy(t *testing.T) {
	loc := berlin(t)
	for _, c := range []struct {
		name   string
		policy Policy
		times  []string
		held   map[int64]string
		want   string // number and reasons of those that are kept
	}{
		{"none", Policy{}, []string{"2026-01-01 00:00", "2026-01-02 00:00"}, nil, "1 all are kept; 2 all are kept"},
		{"no generation", Policy{Last: 3}, nil, nil, ""},
		{"the newest always", Policy{Within: time.Hour}, []string{"2026-01-01 00:00", "2026-01-02 00:00"}, nil,
			"1 as it was when within 1h began; 2 the newest, within 1h"},
		{"last", Policy{Last: 2}, []string{"2026-01-01 10:00", "2026-01-01 11:00", "2026-01-01 12:00"}, nil, "2 last 2; 3 the newest, last 1"},
		{"daily: the newest of each local day, days without one do not count", Policy{Daily: 3},
			[]string{"2026-01-01 01:00", "2026-01-02 00:00", "2026-01-02 23:59", "2026-01-09 00:30", "2026-01-12 12:00"}, nil,
			"3 daily 3; 4 daily 2; 5 the newest, daily 1"},
		{"the day on which the clocks go back has 25 hours", Policy{Daily: 2},
			[]string{"2026-10-24 23:59", "2026-10-25 00:00", "2026-10-25 23:59", "2026-10-26 00:00"}, nil, "3 daily 2; 4 the newest, daily 1"},
		{"the day on which they go forward has 23", Policy{Daily: 3},
			[]string{"2026-03-28 23:30", "2026-03-29 00:30", "2026-03-29 23:30", "2026-03-30 00:15"}, nil,
			"1 daily 3; 3 daily 2; 4 the newest, daily 1"},
		{"weeks begin on Monday, that of the new year too", Policy{Weekly: 2},
			[]string{"2026-12-27 23:00", "2026-12-28 01:00", "2027-01-03 23:00", "2027-01-04 01:00"}, nil, "3 weekly 2; 4 the newest, weekly 1"},
		{"months", Policy{Monthly: 2}, []string{"2026-01-31 23:59", "2026-02-01 00:00", "2026-02-28 23:00", "2026-03-01 00:00"}, nil,
			"3 monthly 2; 4 the newest, monthly 1"},
		{"years, and the oldest while there are too few", Policy{Yearly: 3},
			[]string{"2025-12-31 22:00", "2025-12-31 23:59", "2026-01-01 00:00"}, nil, "1 yearly: the oldest; 2 yearly 2; 3 the newest, yearly 1"},
		{"within, and what showed the mail when that began", Policy{Within: 2 * day},
			[]string{"2026-01-01 00:00", "2026-01-05 00:00", "2026-01-10 00:00", "2026-01-11 00:00", "2026-01-12 00:00"}, nil,
			"2 as it was when within 2d began; 3 within 2d; 4 within 2d; 5 the newest, within 2d"},
		{"incomplete ones go when a complete one came", Policy{Last: 1}, []string{"!2026-01-01 00:00", "2026-01-02 00:00", "!2026-01-03 00:00"}, nil,
			"2 the newest, last 1; 3 no later one is complete"},
		{"but within", Policy{Within: 2 * day}, []string{"!2026-01-01 00:00", "!2026-01-09 00:00", "2026-01-10 00:00"}, nil,
			"2 within 2d; 3 the newest, within 2d"},
		{"incomplete ones alone", Policy{Daily: 1}, []string{"!2026-01-01 00:00", "!2026-01-02 00:00"}, nil,
			"1 no later one is complete; 2 no later one is complete"},
		{"held", Policy{Last: 1}, []string{"2026-01-01 00:00", "2026-01-02 00:00", "2026-01-03 00:00"}, map[int64]string{2: "held"},
			"2 held; 3 the newest, last 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, v := range c.policy.Decide(at(t, loc, c.times...), c.held, loc) {
				if len(v.Why) == 0 {
					t.Errorf("generation %d: no reason", v.Generation.Number)
				}
				if v.Keep {
					got = append(got, fmt.Sprintf("%d %s", v.Generation.Number, strings.Join(v.Why, ", ")))
				}
			}
			if text := strings.Join(got, "; "); text != c.want {
				t.Errorf("kept: %s\nwant: %s", text, c.want)
			}
		})
	}
}

// TestPolicyProperties: whatever the policy and the life, the newest complete
// generation stays; to decide again changes nothing; and to decide after every
// generation leaves what to decide once in the end does.
func TestPolicyProperties(t *testing.T) {
	loc := berlin(t)
	rapid.Check(t, func(t *rapid.T) {
		few := func(name string) int { return rapid.IntRange(0, 4).Draw(t, name) }
		p := Policy{Last: few("last"), Daily: few("daily"), Weekly: few("weekly"), Monthly: few("monthly"), Yearly: few("yearly"),
			Within: time.Duration(few("within")) * 20 * time.Hour}
		when := time.Date(2026, time.March, 20, 12, 0, 0, 0, loc)
		var all []Generation
		alive := map[int64]Generation{}
		for n := range rapid.IntRange(1, 40).Draw(t, "generations") {
			when = when.Add(time.Duration(rapid.IntRange(0, 24*int(few("gap")*few("gap"))+1).Draw(t, "hours")) * time.Hour)
			g := Generation{Number: int64(n + 1), Ended: when, Complete: rapid.IntRange(0, 4).Draw(t, "complete") > 0}
			all = append(all, g)
			alive[g.Number] = g
			alive = keptOf(p, sorted(alive), loc)
		}
		once := keptOf(p, all, loc)
		if !maps.Equal(alive, once) {
			t.Fatalf("each time: %v\nonce: %v", sorted(alive), sorted(once))
		}
		if again := keptOf(p, sorted(once), loc); !maps.Equal(again, once) {
			t.Fatalf("again: %v\nonce: %v", sorted(again), sorted(once))
		}
		for _, g := range slices.Backward(all) {
			if g.Complete {
				if _, kept := once[g.Number]; !kept {
					t.Fatalf("the newest complete generation, %d, is not kept: %v", g.Number, sorted(once))
				}
				break
			}
		}
	})
}

func keptOf(p Policy, list []Generation, loc *time.Location) map[int64]Generation {
	out := map[int64]Generation{}
	for _, v := range p.Decide(list, nil, loc) {
		if v.Keep {
			out[v.Generation.Number] = v.Generation
		}
	}
	return out
}

func sorted(set map[int64]Generation) (list []Generation) {
	for _, n := range slices.Sorted(maps.Keys(set)) {
		list = append(list, set[n])
	}
	return list
}
