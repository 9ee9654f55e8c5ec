package engine_test

import (
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// An intent that nothing can be found out about holds its mailbox up for a
// day, not for ever.
func TestIntentThatStaysUnknownIsGivenUp(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		ref := w.local.Deliver("INBOX", letter(50), mail.FlagSet{}, day)
		w.remote.Deliver("INBOX", letter(51), mail.FlagSet{}, day)
		boxes, err := w.index.Boxes(t.Context())
		need(t, err == nil && len(boxes) == 1, "%v, %v", boxes, err)
		err = w.index.Begin(t.Context(), []plan.Intent{{
			Kind: plan.IntentPut, Side: plan.Remote, To: boxes[0].ID, From: plan.Place{Box: boxes[0].ID, Ref: ref},
			FromEpoch: boxes[0].Side[plan.Local].Epoch, Epoch: boxes[0].Side[plan.Remote].Epoch, At: w.now,
		}})
		need(t, err == nil, "%v", err)
		rep := w.run(t)
		need(t, rep.Exit() == 1 && !rep.Changed(), "exit %d: %v", rep.Exit(), w.actions())
		w.now = w.now.Add(25 * time.Hour)
		rep = w.run(t)
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{1, 1}, "exit %d, copied %v: %v %v", rep.Exit(), rep.Copied, rep.Faults, w.actions())
		w.agree(t)
	})
}
