package imap

import (
	"fmt"
	"testing"
	"time"
)

// What is remembered is believed for its time, and within what is allowed.
func TestAWorthIsRemembered(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	in := func(d time.Duration) string { return fmt.Sprint(now.Add(d).Unix()) }
	for word, want := range map[string]int{
		"": 1, "3": 3, "9": 4, "0": 1, "-1": 1, "x": 1, "3 x": 1, "3 ": 1,
		"3 " + in(time.Hour): 3, "1 " + in(time.Hour): 1, "9 " + in(believed): 4,
		"3 " + in(0): 1, "3 " + in(-time.Hour): 1, // over
		"3 " + in(believed+time.Second): 1, // the clock was set back
	} {
		w := worth{most: 4}
		if w.recall(word, now); w.now != want || w.word() != word {
			t.Errorf("%q: %d, remembered as %q", word, w.now, w.word())
		}
	}
}

// Each step of a judgement, as bytes come in windows of two seconds.
func TestAWorthJudges(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	const plenty = 1 << 30
	bytes, w := int64(0), worth{most: 6, now: 1}
	w.begin(now, bytes)
	for i, step := range []struct {
		waited time.Duration
		came   int64
		n      int
		left   int64
		want   advice
		word   string
	}{
		{time.Second, 1000, 1, plenty, goOn, ""},         // we are what is slow
		{2 * time.Second, 1000, 1, 1499, goOn, ""},       // it is over soon
		{2 * time.Second, 1000, 1, plenty, addMore, ""},  // on trial
		{2 * time.Second, 1300, 2, 0, goOn, ""},          // nothing left to tell by
		{2 * time.Second, 1300, 2, plenty, goOn, "2"},    // worth it
		{2 * time.Second, 1300, 2, plenty, addMore, "2"}, // two more
		{2 * time.Second, 1689, 4, plenty, goBack, "2 1700604814"},
		{2 * time.Second, 1300, 4, plenty, goOn, "2 1700604814"}, // some are leaving
		{2 * time.Second, 1300, 2, plenty, goOn, "2 1700604814"}, // it is settled
	} {
		bytes, now, w.waited = bytes+step.came, now.Add(window), step.waited
		if got := w.judge(now, bytes, step.n, step.left); got != step.want || w.word() != step.word {
			t.Errorf("step %d: %v, remembered as %q", i, got, w.word())
		}
	}
	w.refused(now, 1)
	if w.now != 1 || w.until != now.Add(refusedFor) {
		t.Errorf("%+v", w)
	}
}
