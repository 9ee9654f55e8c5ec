package sidetest_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// loads tells whether a step belongs to the filling of a chunk, or packet, and
// not to the committing, or sending, and recording of the one before.
func loads(step string) bool {
	return strings.HasPrefix(step, "remote fetch") || step == "local put" || step == "local add" ||
		strings.HasPrefix(step, "local fetch") || strings.HasPrefix(step, "local identify")
}

// An order picks the next step among those that wait.
type order func(waiting []string) int

// prefer takes steps of one kind as long as there are any.
func prefer(loading bool) func() order {
	return func() order {
		return func(waiting []string) int {
			return max(0, slices.IndexFunc(waiting, func(s string) bool { return loads(s) == loading }))
		}
	}
}

// inTurn takes so many steps of loading, then one of committing.
func inTurn(n int) func() order {
	return func() order {
		turn := 0
		return func(waiting []string) int {
			turn++
			return max(0, slices.IndexFunc(waiting, func(s string) bool { return loads(s) == (turn%(n+1) != 0) }))
		}
	}
}

func atRandom(seed uint64) func() order {
	return func() order {
		rng := rand.New(rand.NewPCG(seed, 2))
		return func(waiting []string) int { return rng.IntN(len(waiting)) }
	}
}

// orders are ways in which the filling of one chunk and the committing of the
// one before can go side by side.
var orders = map[string]func() order{
	"committed before the next is begun": prefer(false),
	"the next is full before":            prefer(true),
	"in turn":                            inTurn(1),
	"the next is half full":              inTurn(4),
	"by chance 1":                        atRandom(1),
	"by chance 2":                        atRandom(2),
}

// ordered runs once, with the steps in that order. It must be in a bubble.
func (w *world) ordered(f *sidetest.Faults, o order) (rep *engine.Report, err error) {
	s := sidetest.NewSchedule(o)
	f.Begin = s.Begin
	over := make(chan struct{})
	go func() {
		defer close(over)
		rep, err = w.run(f)
	}()
	s.Run(synctest.Wait, over)
	return rep, err
}

// flood is an account to which much new mail came on the server.
func flood(t *testing.T) *world {
	t.Helper()
	w := &world{sidetest.NewMemory(sidetest.Maildir), sidetest.NewMemory(sidetest.Server), sidetest.NewMemoryIndex(),
		time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 3}
	day := time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)
	w.remote.Deliver("INBOX", text(100), mail.NewFlagSet(mail.Seen), day)
	w.remote.CreateBox("Work")
	if rep, err := w.settle(4); err != nil || rep.Exit() != 0 {
		t.Fatalf("first run: %v, %v", err, rep.Faults)
	}
	for i := range 8 {
		w.remote.Deliver("INBOX", text(i), mail.NewFlagSet(mail.Flagged), day)
	}
	for i := range 2 {
		w.remote.Deliver("Work", text(10+i), mail.FlagSet{}, day)
		w.local.Deliver("Work", text(20+i), mail.FlagSet{}, day)
	}
	return w
}

// One chunk is committed and recorded while the next is fetched. Wherever the
// run is interrupted, and whichever was ahead, the next run makes it good.
func TestInterruptedBetweenChunks(t *testing.T) {
	start := flood(t)
	want := start.clone()
	if rep, err := want.settle(4); err != nil || rep.Exit() != 0 {
		t.Fatalf("uninterrupted: %v, %v", err, rep.Faults)
	}
	for name, of := range orders {
		t.Run(name, func(t *testing.T) {
			steps := &sidetest.Faults{}
			synctest.Test(t, func(t *testing.T) { _, _ = start.clone().ordered(steps, of()) })
			overlap(t, steps.Names(), name)
			for n, mode := range sidetest.Points(steps.Steps(), sidetest.Modes[:]...) {
				synctest.Test(t, func(t *testing.T) {
					f, w := &sidetest.Faults{}, start.clone()
					f.FailAt(n, mode)
					_, _ = w.ordered(f, of())
					mended(t, f, w, want, 1)
				})
			}
		})
	}
}

// overlap fails unless messages were added to a chunk before the one before
// was committed just when the order is one that lets them.
func overlap(t *testing.T, steps []string, name string) {
	t.Helper()
	first := slices.Index(steps, "local commit")
	n := -3 // the first chunk
	for _, s := range steps[:first] {
		if s == "local add" {
			n++
		}
	}
	for i := first; i < len(steps); i++ {
		next := slices.IndexFunc(steps[i:], func(s string) bool { return s == "local commit" || s == "index settle" })
		if steps[i] == "local add" && next >= 0 && steps[i+next] == "local commit" {
			n++
		}
	}
	if want := name != "committed before the next is begun"; want != (n > 0) && !strings.HasPrefix(name, "by chance") {
		t.Fatalf("%d messages were added before the commit of the chunk before:\n%s", n, strings.Join(steps, "\n"))
	}
}

// What dies between a commit and its record, while the next chunk is half
// full, is found where it lies; what was half full is fetched again.
func TestDiesBetweenCommitAndRecord(t *testing.T) {
	start := flood(t)
	synctest.Test(t, func(t *testing.T) {
		f, w := &sidetest.Faults{}, start.clone()
		f.FailNamed("local commit", 3, sidetest.DieAfter) // a commit is a step a message
		_, err := w.ordered(f, inTurn(4)())
		if err == nil {
			t.Fatal("the run did not die")
		}
		if n := len(w.local.Snapshot()["INBOX"]); n != 1+3 {
			t.Fatalf("%d messages are in the maildir, not %d", n, 1+3)
		}
		intents, _ := w.index.Intents(t.Context())
		if len(intents) != 3 || len(w.index.AllRows()) != 1 {
			t.Fatalf("%d intents and %d rows are recorded, not 3 and 1", len(intents), len(w.index.AllRows()))
		}
		w.remote.ResetCounts()
		if rep, err := w.run(&sidetest.Faults{}); err != nil || rep.Copied[plan.Local] != 7 {
			t.Fatalf("the next run copied %v: %v", rep.Copied, err)
		}
	})
}

// An index that fails stops the run before anything else can be seen.
func TestIndexFailsBetweenChunks(t *testing.T) {
	start := flood(t)
	for name, of := range orders {
		t.Run(name, func(t *testing.T) {
			clean := &sidetest.Faults{}
			synctest.Test(t, func(t *testing.T) { _, _ = start.clone().ordered(clean, of()) })
			at := 0 // which settlement comes before the first commit
			for _, s := range clean.Names()[:slices.Index(clean.Names(), "local commit")] {
				if s == "index settle" {
					at++
				}
			}
			synctest.Test(t, func(t *testing.T) {
				f, w := &sidetest.Faults{}, start.clone()
				f.FailNamed("index settle", at+1, sidetest.ErrorBefore)
				rep, err := w.ordered(f, of())
				if mail.GradeOf(err, mail.GradeMessage) < mail.GradeAccount || rep.Exit() == 0 {
					t.Fatalf("the run ends with %d, %v", rep.Exit(), err)
				}
				if n := len(w.local.Snapshot()["INBOX"]); n != 1+3 {
					t.Fatalf("%d messages can be seen, not those of the first chunk (%s):\n%s", n, f.Hit(), strings.Join(f.Names(), "\n"))
				}
				fmt.Fprintln(t.Output(), f.Hit())
			})
		})
	}
}
