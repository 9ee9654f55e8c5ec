package sidetest_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// outpour is an account in which much new mail was written here: a chunk is
// four packets of two messages, and one message is too large to be held.
func outpour(t *testing.T, traits sidetest.Traits, large bool) *world {
	t.Helper()
	w := &world{sidetest.NewMemory(sidetest.Maildir), sidetest.NewMemory(sidetest.Server), sidetest.NewMemoryIndex(),
		time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), 8}
	w.remote.Traits = traits
	w.remote.Traits.SendsAtOnce = true
	day := time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)
	w.remote.Deliver("INBOX", text(100), mail.NewFlagSet(mail.Seen), day)
	w.remote.CreateBox("Work")
	if rep, err := w.settle(4); err != nil || rep.Exit() != 0 {
		t.Fatalf("first run: %v, %v", err, rep.Faults)
	}
	for i := range 10 {
		body := text(i)
		if large && i == 3 {
			body += strings.Repeat(strings.Repeat("x", 998)+"\r\n", 530)
		}
		w.local.Deliver("INBOX", body, mail.NewFlagSet(mail.Flagged), day)
	}
	for i := range 3 {
		w.local.Deliver("Work", text(20+i), mail.FlagSet{}, day)
	}
	return w
}

// One packet is sent while the next is read. Wherever the run is interrupted,
// and whichever was ahead, the next run makes it good: nothing is lost, nothing doubled.
func TestInterruptedBetweenPackets(t *testing.T) {
	for server, traits := range map[string]sidetest.Traits{"full": sidetest.FullServer(), "bare": sidetest.BareServer()} {
		start := outpour(t, traits, server == "full")
		want := start.clone()
		if rep, err := want.settle(4); err != nil || rep.Exit() != 0 || want.remote.Snapshot().Messages() != 14 {
			t.Fatalf("uninterrupted: %v, %v", err, rep.Faults)
		}
		for name, of := range orders {
			t.Run(server+" "+name, func(t *testing.T) {
				steps := &sidetest.Faults{}
				synctest.Test(t, func(t *testing.T) { _, _ = start.clone().ordered(steps, of()) })
				ahead(t, steps.Names(), name)
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
}

// ahead fails unless messages of the second packet were read before the first
// was sent just when the order is one that lets them.
func ahead(t *testing.T, steps []string, name string) {
	t.Helper()
	first := slices.Index(steps, "remote add")
	n := 0
	for _, s := range steps[:first] {
		if strings.HasPrefix(s, "local fetch") {
			n++
		}
	}
	t.Logf("%d read before the first is sent", n)
	if want := name != "committed before the next is begun"; want != (n > 3) && !strings.HasPrefix(name, "by chance") {
		t.Fatalf("%d messages were read before the first was sent:\n%s", n, strings.Join(steps, "\n"))
	}
}

// What dies between two packets of a chunk is looked for, one by one: what
// was sent is bound, and what was not is sent.
func TestDiesBetweenPackets(t *testing.T) {
	start := outpour(t, sidetest.FullServer(), false)
	synctest.Test(t, func(t *testing.T) {
		f, w := &sidetest.Faults{}, start.clone()
		f.FailNamed("remote add", 5, sidetest.DieAfter)
		if _, err := w.ordered(f, inTurn(4)()); err == nil {
			t.Fatal("the run did not die")
		}
		if n := len(w.remote.Snapshot()["INBOX"]); n != 1+5 {
			t.Fatalf("%d messages are on the server, not %d", n, 1+5)
		}
		intents, _ := w.index.Intents(t.Context())
		if len(intents) != 6 || len(w.index.AllRows()) != 1 {
			t.Fatalf("%d intents and %d rows are recorded, not 6 and 1", len(intents), len(w.index.AllRows()))
		}
		for _, in := range intents {
			if in.Item.Ident.Body.IsZero() {
				t.Errorf("the intent of %s would recognise nothing", in.From.Ref)
			}
		}
		if rep, err := w.run(&sidetest.Faults{}); err != nil || rep.Copied[plan.Remote] != 8 {
			t.Fatalf("the next run copied %v: %v", rep.Copied, err)
		}
	})
}

// An index that fails stops the run before more is sent.
func TestIndexFailsBetweenPackets(t *testing.T) {
	start := outpour(t, sidetest.FullServer(), false)
	for name, of := range orders {
		t.Run(name, func(t *testing.T) {
			clean := &sidetest.Faults{}
			synctest.Test(t, func(t *testing.T) { _, _ = start.clone().ordered(clean, of()) })
			at := 0 // which transaction comes behind the first packet
			for _, s := range clean.Names()[:slices.Index(clean.Names(), "remote add")] {
				if strings.HasPrefix(s, "index begin") {
					at++
				}
			}
			synctest.Test(t, func(t *testing.T) {
				f, w := &sidetest.Faults{}, start.clone()
				f.FailNamed("index begin", at+1, sidetest.ErrorBefore)
				rep, err := w.ordered(f, of())
				if mail.GradeOf(err, mail.GradeMessage) < mail.GradeAccount || rep.Exit() == 0 {
					t.Fatalf("the run ends with %d, %v (%s):\n%s", rep.Exit(), err, f.Hit(), strings.Join(f.Names(), "\n"))
				}
				if n := len(w.remote.Snapshot()["INBOX"]); n != 1+2 {
					t.Fatalf("%d messages were sent, not those of the first packet (%s):\n%s", n, f.Hit(), strings.Join(f.Names(), "\n"))
				}
			})
		})
	}
}
