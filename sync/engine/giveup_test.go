package engine_test

import (
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
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

// To look for a move may finish it. Where the mode moves nothing, nobody looks,
// and the message waits.
func TestMoveIsNotFinishedAgainstTheMode(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.fill(t, "INBOX", 0, 5)
		w.fill(t, "Work", 10, 1)
		rows, err := w.index.RowsByState(t.Context(), plan.Paired)
		need(t, err == nil && len(rows) == 6, "%d rows, %v", len(rows), err)
		row, to := rows[0], rows[5].At[plan.Remote].Box
		err = w.index.Begin(t.Context(), []plan.Intent{{
			Kind: plan.IntentMove, Side: plan.Remote, To: to, From: row.At[plan.Remote], FromEpoch: row.Epoch[plan.Remote],
			Row: row.ID, Epoch: rows[5].Epoch[plan.Remote], Item: mail.Item{Ident: row.Ident[plan.Remote]}, At: w.now,
		}})
		need(t, err == nil, "%v", err)
		asked := 0
		w.remote.Hook = func(call string) {
			if call == "resolve" {
				asked++
			}
		}
		rep := w.run(t, func(o *engine.Options) { o.Mode, o.Policy = "pull", plan.Pull() })
		need(t, asked == 0 && rep.Exit() == 1 && !rep.Changed(), "asked %d times, exit %d: %v", asked, rep.Exit(), w.actions())
		rep = w.run(t)
		need(t, asked == 1 && rep.Exit() == 0, "asked %d times, exit %d: %v %v", asked, rep.Exit(), rep.Faults, w.actions())
		w.agree(t)
	})
}
