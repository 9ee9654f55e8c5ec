package engine_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// TestClockJumps: the clock goes back and forward by days and years, between
// runs and within them. Nothing is lost or doubled, and no mailbox is compared
// again and again because of it.
func TestClockJumps(t *testing.T) {
	const day24 = 24 * time.Hour
	jumps := []time.Duration{40 * day24, -80 * day24, day24, -3 * day24, 30 * 365 * day24, -30 * 365 * day24, -time.Minute}
	for _, within := range []string{"", "fetch", "commit"} {
		t.Run("within "+within, func(t *testing.T) {
			w := newWorld()
			w.opts.GuardPercent = 0
			w.fill(t, "INBOX", 0, 20)
			for i, jump := range jumps {
				w.remote.Deliver("INBOX", letter(100+i), mail.FlagSet{}, day)
				w.local.Deliver("INBOX", letter(200+i), mail.FlagSet{}, day)
				w.remote.Expunge("INBOX", find(w.remote, "INBOX", i))
				w.local.Expunge("INBOX", find(w.local, "INBOX", 10+i))
				if within == "" {
					w.now = w.now.Add(jump)
				} else {
					jumped := false
					w.remote.Hook = func(call string) {
						if call == within && !jumped {
							jumped = true
							w.now = w.now.Add(jump)
						}
					}
				}
				rep, err := w.try()
				w.remote.Hook = nil
				need(t, err == nil && rep.Exit() == 0, "after %v: %v, %v", jump, err, rep.Faults)
				w.agree(t)
				need(t, find(w.local, "INBOX", 100+i) != "" && find(w.remote, "INBOX", 200+i) != "", "after %v: something did not arrive", jump)
				need(t, find(w.local, "INBOX", i) == "" && find(w.remote, "INBOX", 10+i) == "", "after %v: something was not deleted", jump)
			}
			need(t, len(w.local.Snapshot()["INBOX"]) == 20, "%d messages", len(w.local.Snapshot()["INBOX"]))
		})
	}
}

// TestClockThatWasAhead: one run with a clock that was years ahead neither puts
// off the next full comparison, nor arms the guard, for years.
func TestClockThatWasAhead(t *testing.T) {
	w := newWorld()
	now := w.now
	w.now = now.AddDate(60, 0, 0)
	w.fill(t, "INBOX", 0, 100)
	for n := range 10 {
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", n))
	}
	need(t, w.run(t).Exit() == 0, "ten deletions are held")
	w.now = now
	w.remote.ResetCounts()
	compared := 0
	for range 3 {
		w.run(t, func(*engine.Options) {
			w.remote.Hook = func(call string) {
				if call == "scan" {
					compared++
				}
			}
		})
	}
	w.remote.Hook = nil
	need(t, compared == 1, "the mailbox was compared %d times in three runs", compared)
	for n := range 20 {
		w.remote.Expunge("INBOX", find(w.remote, "INBOX", 20+n))
	}
	rep := w.run(t)
	need(t, rep.Exit() == 0, "%s", fmt.Sprint(rep.Exit(), rep.Held, rep.Hints))
	w.agree(t)
}
