package restore

import (
	"context"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// asked counts the messages of which a side is asked what they are.
type asked struct {
	engine.Writer
	messages int
}

func (a *asked) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	a.messages += len(refs)
	return a.Writer.Identify(ctx, box, refs, level, yield)
}

// long is letter n, with a body of so many thousand bytes.
func long(n, thousands int) string {
	return letter(n) + strings.Repeat("All work and no play. ...\r\n", thousands*37)
}

// To find out that three messages are there, or are not, a mailbox of hundreds
// is not read: only what could be one of them by its size.
func TestFewAreLookedForAmongMany(t *testing.T) {
	w := newWorld(plan.Remote)
	for n := range 300 {
		w.past.Deliver("INBOX", long(n, n), mail.FlagSet{}, day)
		if n%100 != 50 {
			w.target.Deliver("INBOX", long(n, n), mail.NewFlagSet(mail.Seen), day)
		}
	}
	wanted := map[mail.Digest]bool{}
	for _, n := range []int{50, 150, 200} {
		wanted[wireOf(t, long(n, n))] = true
	}
	parts := []Part{{From: w.past.Open(), Mailbox: "INBOX", To: "INBOX", Wanted: func(id mail.Identity) bool { return wanted[id.Wire] }}}
	target := &asked{Writer: w.target.Open()}
	add := func() Sum {
		t.Helper()
		w.index, target.messages = sidetest.NewMemoryIndex(), 0
		sum, err := Add(t.Context(), Select(parts, false), Target{Side: target, On: plan.Remote, Index: w.index, Bound: "target"}, w.options())
		if err != nil || sum.Exit != 0 || sum.Chosen != 3 {
			t.Fatalf("%+v, %v", sum, err)
		}
		return sum
	}
	before := w.target.Snapshot()["INBOX"]
	if sum := add(); sum.Written != 2 || sum.There() != 1 {
		t.Errorf("%+v", sum)
	}
	if target.messages > 150 {
		t.Errorf("the target was asked about %d messages", target.messages)
	}
	for _, n := range []int{50, 150} {
		before = append(before, sidetest.Message{Body: []byte(long(n, n)), Date: day})
	}
	w.want(t, sidetest.Snapshot{"INBOX": before})
	if sum := add(); sum.Written != 0 || sum.There() != 3 {
		t.Errorf("again: %+v", sum)
	}
	w.want(t, sidetest.Snapshot{"INBOX": before})

	// A server that does not tell sizes is asked about all.
	w.target.Traits.NoSizes = true
	if sum := add(); sum.Written != 0 || sum.There() != 3 {
		t.Errorf("without sizes: %+v", sum)
	}
	w.want(t, sidetest.Snapshot{"INBOX": before})
}
