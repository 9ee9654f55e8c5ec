package when

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata"
)

func load(t *testing.T, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func TestParse(t *testing.T) {
	berlin := load(t, "Europe/Berlin")
	// A Friday, in winter time.
	now := time.Date(2026, 11, 20, 19, 14, 30, 500, berlin)
	day := "23:59:59.999999999"
	for _, c := range []struct{ text, want string }{
		{"2026-11-17 18:00", "2026-11-17T18:00:00+01:00"},
		{"2026-11-17T18:00:00", "2026-11-17T18:00:00+01:00"},
		{"2026-11-17t18:00:05.25", "2026-11-17T18:00:05.25+01:00"},
		{"2026-07-17 9:30", "2026-07-17T09:30:00+02:00"},
		{"2026-11-17 at 18:00", "2026-11-17T18:00:00+01:00"},
		{"  2026-11-17   18:00  ", "2026-11-17T18:00:00+01:00"},
		{"2026-11-17T18:00:00Z", "2026-11-17T19:00:00+01:00"},
		{"2026-11-17 18:00 UTC", "2026-11-17T19:00:00+01:00"},
		{"2026-11-17T18:00:00-05:00", "2026-11-18T00:00:00+01:00"},
		{"2026-11-17 18:00 +0530", "2026-11-17T13:30:00+01:00"},
		{"2026-11-17 18:00+02", "2026-11-17T17:00:00+01:00"},
		{"2026-11-17", "2026-11-17T" + day + "+01:00"},
		{"2024-02-29", "2024-02-29T" + day + "+01:00"},
		{"now", "2026-11-20T19:14:30.0000005+01:00"},
		{"today", "2026-11-20T" + day + "+01:00"},
		{"today 9:00", "2026-11-20T09:00:00+01:00"},
		{"Yesterday", "2026-11-19T" + day + "+01:00"},
		{"yesterday at 08:15", "2026-11-19T08:15:00+01:00"},
		{"last tuesday", "2026-11-17T" + day + "+01:00"},
		{"tuesday", "2026-11-17T" + day + "+01:00"},
		{"Last Tue 18:00", "2026-11-17T18:00:00+01:00"},
		{"last friday", "2026-11-13T" + day + "+01:00"}, // never today
		{"last saturday", "2026-11-14T" + day + "+01:00"},
		{"last thursday", "2026-11-19T" + day + "+01:00"},
		{"3 days ago", "2026-11-17T19:14:30.0000005+01:00"},
		{"an hour ago", "2026-11-20T18:14:30.0000005+01:00"},
		{"90 minutes ago", "2026-11-20T17:44:30.0000005+01:00"},
		{"two weeks ago", "2026-11-06T19:14:30.0000005+01:00"},
		{"1 month ago", "2026-10-20T19:14:30.0000005+02:00"}, // summer time: the clock shows the same
		{"a year ago", "2025-11-20T19:14:30.0000005+01:00"},

		// The clocks went back on 2026-10-25: 02:30 was twice, the later counts.
		{"2026-10-25 01:59:59", "2026-10-25T01:59:59+02:00"},
		{"2026-10-25 02:00", "2026-10-25T02:00:00+01:00"},
		{"2026-10-25 02:30", "2026-10-25T02:30:00+01:00"},
		{"2026-10-25 02:30 +02:00", "2026-10-25T02:30:00+02:00"},
		{"2026-10-25 03:00", "2026-10-25T03:00:00+01:00"},
		{"2026-10-25", "2026-10-25T" + day + "+01:00"},
		{"2026-10-24", "2026-10-24T" + day + "+02:00"},
		// They went forward on 2026-03-29: 02:30 never was.
		{"2026-03-29 01:59", "2026-03-29T01:59:00+01:00"},
		{"2026-03-29 02:30", "2026-03-29T03:30:00+02:00"},
		{"2026-03-29 03:00", "2026-03-29T03:00:00+02:00"},
		{"2026-03-29", "2026-03-29T" + day + "+02:00"},
	} {
		got, err := Parse(c.text, now)
		if err != nil || got.Generation != 0 {
			t.Errorf("%q: %+v, %v", c.text, got, err)
			continue
		}
		if text := got.Time.In(berlin).Format(time.RFC3339Nano); text != c.want {
			t.Errorf("%q is %s, want %s", c.text, text, c.want)
		}
	}
}

// Where the clocks change at midnight, a day still ends with its last moment.
func TestDayThatEndsOddly(t *testing.T) {
	for _, c := range []struct{ zone, day, want string }{
		{"America/Asuncion", "2024-10-05", "2024-10-05T23:59:59.999999999-04:00"}, // 00:00 of the next never was
		{"America/Havana", "2026-10-31", "2026-10-31T23:59:59.999999999-04:00"},
		{"America/Havana", "2026-11-01", "2026-11-01T23:59:59.999999999-05:00"},  // began twice at 00:00
		{"Atlantic/Azores", "2026-10-25", "2026-10-25T23:59:59.999999999-01:00"}, // 00:00 was twice
		{"Atlantic/Azores", "2026-10-24", "2026-10-24T23:59:59.999999999Z"},
		{"Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-05T01:45:00+10:30"}, // half an hour back
		{"Pacific/Apia", "2011-12-29", "2011-12-29T23:59:59.999999999-10:00"},    // the 30th was left out
		{"UTC", "2026-06-30", "2026-06-30T23:59:59.999999999Z"},
	} {
		loc := load(t, c.zone)
		got, err := Parse(c.day, time.Date(2026, 11, 20, 12, 0, 0, 0, loc))
		if err != nil {
			t.Errorf("%s %s: %v", c.zone, c.day, err)
			continue
		}
		if text := got.Time.In(loc).Format(time.RFC3339Nano); text != c.want {
			t.Errorf("%s %s is %s, want %s", c.zone, c.day, text, c.want)
		}
	}
}

func TestShortMonth(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"1 month ago": "2026-02-28T12:00:00Z", "13 months ago": "2025-02-28T12:00:00Z", "25 months ago": "2024-02-29T12:00:00Z", "2 months ago": "2026-01-31T12:00:00Z",
	} {
		if got, err := Parse(text, now); err != nil || got.Time.Format(time.RFC3339) != want {
			t.Errorf("%q: %v, %v, want %s", text, got.Time, err, want)
		}
	}
}

func TestGenerations(t *testing.T) {
	if got, err := Parse(" #42 ", time.Unix(0, 0)); err != nil || got != (Moment{Generation: 42}) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRefused(t *testing.T) {
	now := time.Date(2026, 11, 20, 19, 14, 30, 0, time.UTC)
	for _, text := range []string{
		"", " ", "#", "#0", "#-1", "#x", "#99999999999999999999", "soon", "last", "last now", "last 2026-11-17", "2026-13-01", "2026-02-30",
		"17.11.2026", "11/17/2026", "2026-11-17 25:00", "2026-11-17 18", "2026-11-17 18:00 18:00", "2026-11-17 18:00 CET", "yesterday tuesday",
		"3 days", "x days ago", "-3 days ago", "3 fortnights ago", "3 days ago 18:00", "2000001 days ago", "99999999999999999999 days ago", "9999 years ago",
		"2026-11-17T", "18:00", "at", "2026-11-17 18:00 +99:99",
	} {
		got, err := Parse(text, now)
		if err == nil {
			t.Errorf("%q was read as %+v", text, got)
			continue
		}
		if !strings.Contains(err.Error(), "write ") {
			t.Errorf("%q: the error does not say what to write: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"2026-11-17 18:00", "2026-10-25T02:30:00+02:00", "last tuesday at 9:00", "3 days ago", "a month ago", "#42", "yesterday"} {
		f.Add(text, int64(1795195000))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		now := time.Unix(unix%10_000_000_000, 0).In(berlin)
		got, err := Parse(text, now)
		if err != nil {
			return
		}
		if (got.Generation > 0) == !got.Time.IsZero() {
			t.Fatalf("%q is both or neither: %+v", text, got)
		}
		if got.Generation == 0 {
			// What was read is read again from how it is written.
			again, err := Parse(got.Time.UTC().Format("2006-01-02T15:04:05.999999999Z07:00"), now)
			if err != nil || !again.Time.Equal(got.Time) {
				t.Fatalf("%q is %v, which is read as %v, %v", text, got.Time, again.Time, err)
			}
		}
	})
}
