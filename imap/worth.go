package imap

import (
	"strconv"
	"strings"
	"time"
)

const (
	// window is how long a pull is measured before anything is concluded.
	window = 2 * time.Second
	// saturated is the part of a window in which a pull must have waited for the
	// server: otherwise more connections would bring nothing sooner.
	saturated = 0.8
	// gain is how many times as fast a pull must become for the connections that
	// were added to be kept.
	gain = 1.3
	// leastAsked is how many bytes are asked for at once at least.
	leastAsked = 2 << 20
	// maxCrew is how many connections a pull uses at most: each of them may hold
	// a large message in memory.
	maxCrew = 8
	// What was measured is believed for a week, what a server refused for a day.
	believed   = 7 * 24 * time.Hour
	refusedFor = 24 * time.Hour
)

// A worth decides how many connections a pull is worth. It begins with one, and
// doubles them on trial while a pull does nothing but wait for the server and
// there is enough left to tell by. It keeps no time by itself.
type worth struct {
	most int // connections that there may be
	now  int // those that are worth it, as far as is known
	// until is when more may be tried again; zero: at once.
	until time.Time
	told  string // what the run before knew
	knows bool   // more than told

	// tried is how many connections there were before those that are on trial, 0
	// if none are; rate is how many bytes a second came over them.
	tried int
	rate  float64

	pace float64 // bytes a second in the last window; 0: none was judged

	// The window that is measured: since when, how long of it was waited, and
	// how many bytes had come when it began.
	from   time.Time
	waited time.Duration
	bytes  int64
}

// An advice is what follows from a window.
type advice uint8

const (
	goOn advice = iota
	addMore
	goBack // to worth.now
)

// recall takes over what a run before learned; what is too old, or makes no
// sense, is learned anew.
func (w *worth) recall(word string, now time.Time) {
	w.now, w.until, w.told, w.knows = 1, time.Time{}, word, false
	number, moment, timed := strings.Cut(word, " ")
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 {
		return
	}
	if timed {
		sec, err := strconv.ParseInt(moment, 10, 64)
		until := time.Unix(sec, 0)
		if err != nil || !now.Before(until) || until.Sub(now) > believed {
			return
		}
		w.until = until
	}
	w.now = min(n, w.most)
}

// word is what the next run is to know, "" if there is nothing.
func (w *worth) word() string {
	switch {
	case !w.knows:
		return w.told
	case w.until.IsZero():
		return strconv.Itoa(w.now)
	}
	return strconv.Itoa(w.now) + " " + strconv.FormatInt(w.until.Unix(), 10)
}

// learn notes what is known from now on.
func (w *worth) learn(n int, until time.Time) { w.now, w.until, w.knows = n, until, true }

// begin begins a window.
func (w *worth) begin(now time.Time, bytes int64) { w.from, w.waited, w.bytes = now, 0, bytes }

// ahead is how many bytes may be asked for at once, over all connections: until
// the pace is known, as many as ever; then what comes in a second, so that
// something is left for others to bring.
func (w *worth) ahead() int64 {
	if w.pace == 0 {
		return maxAsked
	}
	return int64(min(max(w.pace, leastAsked), maxAsked))
}

// over tells whether the window can be judged.
func (w *worth) over(now time.Time) bool { return now.Sub(w.from) >= window }

// judge ends a window in which n connections took part, and begins the next.
// left is how many bytes are still to be asked for.
func (w *worth) judge(now time.Time, bytes int64, n int, left int64) advice {
	took, waited := now.Sub(w.from), w.waited
	rate := float64(bytes-w.bytes) / took.Seconds()
	w.pace = rate
	w.begin(now, bytes)
	switch {
	case left == 0: // some have nothing to do any more
		return goOn
	case w.tried > 0 && rate >= gain*w.rate:
		until := w.until // a refusal counts
		if n == w.most {
			until = now.Add(believed)
		}
		w.tried = 0
		w.learn(n, until)
		return goOn
	case w.tried > 0:
		w.learn(w.tried, now.Add(believed))
		w.tried = 0
		return goBack
	case n != w.now || n >= w.most || now.Before(w.until),
		waited.Seconds() < saturated*took.Seconds(),
		float64(left) < 1.5*window.Seconds()*rate: // they would have too little to do to tell
		return goOn
	}
	w.tried, w.rate = n, rate
	return addMore
}

// refused notes that not all came that were called, so that there are n.
func (w *worth) refused(now time.Time, n int) {
	if w.tried >= n {
		w.tried = 0
	}
	if w.tried > 0 { // those that came are on trial
		n = w.now
	}
	w.learn(n, now.Add(refusedFor))
}

// lost notes that one was lost, so that there are n.
func (w *worth) lost(now time.Time, n int) {
	w.tried = 0
	w.learn(n, now.Add(refusedFor))
}
