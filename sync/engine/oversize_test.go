package engine_test

import (
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A message that is larger than the server takes is told of once and left,
// until the limit changes.
func TestMessageLargerThanTheServerTakes(t *testing.T) {
	for _, size := range []int{2000, 600 << 10} { // held in memory, and not
		w := newWorld()
		w.fill(t, "INBOX", 1, 3)
		w.remote.Traits.Limit = 1000
		w.local.Deliver("INBOX", letter(9)+strings.Repeat(strings.Repeat("x", 98)+"\r\n", size/100), mail.FlagSet{}, day)
		w.local.Deliver("INBOX", letter(10), mail.FlagSet{}, day)
		rep := w.run(t)
		need(t, rep.Exit() == 0 && rep.Declined == 1 && rep.Copied[plan.Remote] == 1, "exit %d, %d declined, copied %v: %v", rep.Exit(), rep.Declined, rep.Copied, w.actions())
		said := strings.Join(w.actions(), "\n")
		need(t, strings.Contains(said, "messages of more than 1000 bytes") && strings.Contains(said, "larger than the server takes (1000)"), "%s", said)
		intents, _ := w.index.Intents(t.Context())
		kept, _ := w.index.RowsByState(t.Context(), plan.Kept)
		need(t, len(intents) == 0 && len(kept) == 1 && !kept[0].Ident[plan.Local].Body.IsZero(), "%d intents, kept %+v", len(intents), kept)

		w.local.ResetCounts()
		rep = w.run(t)
		need(t, rep.Exit() == 0 && len(w.actions()) == 0 && w.local.Bodies() == 0, "told or read again: exit %d %v", rep.Exit(), w.actions())

		for _, limit := range []int64{1500, 0} {
			w.remote.Traits.Limit = limit
			rep = w.run(t)
			need(t, rep.Exit() == 0 && rep.Copied[plan.Remote] == map[int64]int{1500: 0, 0: 1}[limit], "limit %d: exit %d, copied %v: %v", limit, rep.Exit(), rep.Copied, w.actions())
			need(t, rep.Declined == map[int64]int{1500: 1, 0: 0}[limit], "limit %d: %d declined", limit, rep.Declined)
		}
		w.agree(t)
		need(t, sidetest.Compare(w.local.Snapshot(), w.remote.Snapshot()) == "", "the sides differ")
	}
}
