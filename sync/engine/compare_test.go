package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// watchedScans is a side whose scans are noted.
type watchedScans struct {
	engine.Writer
	asked []plan.Since
	seen  []plan.Seen
}

func (w *watchedScans) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	w.asked = append(w.asked, since)
	return w.Writer.Scan(ctx, box, since, func(m plan.Seen) error {
		w.seen = append(w.seen, m)
		return yield(m)
	})
}

// TestFullComparisonAsksForFlagsAlone: what the cursor knows is compared
// without its dates and sizes; what the index does not know gets them still.
func TestFullComparisonAsksForFlagsAlone(t *testing.T) {
	w := newWorld()
	w.remote.Traits.CondStore = true
	w.fill(t, "INBOX", 0, 20)
	w.agree(t)
	watched := &watchedScans{}
	compare := func() {
		t.Helper()
		w.now = w.now.Add(8 * 24 * time.Hour)
		watched.asked, watched.seen = nil, nil
		rep := w.run(t, func(o *engine.Options) {
			watched.Writer = o.Remote
			o.Remote = watched
		})
		need(t, rep.Exit() == 0 && rep.Copied == [2]int{} && rep.Deleted == [2]int{}, "exit %d: %v", rep.Exit(), w.actions())
	}
	compare()
	need(t, len(watched.asked) == 1 && watched.asked[0].Compare && watched.asked[0].Cursor != "" && len(watched.seen) == 20, "%+v, %d seen", watched.asked, len(watched.seen))
	for _, m := range watched.seen {
		need(t, m.Bare && m.Item.Date.IsZero(), "%+v", m)
	}
	w.run(t)
	rows, err := w.index.RowsByState(t.Context(), plan.Paired)
	need(t, err == nil && len(rows) == 20, "%d rows, %v", len(rows), err)
	err = w.index.Settle(t.Context(), &plan.Settlement{Drop: []int64{rows[7].ID}})
	need(t, err == nil, "%v", err)
	compare()
	need(t, len(watched.asked) == 2 && watched.asked[1] == plan.Since{Epoch: watched.asked[0].Epoch, Known: 19}, "%+v", watched.asked)
	again, err := w.index.RowsByState(t.Context(), plan.Paired)
	need(t, err == nil && len(again) == 20, "%d rows, %v", len(again), err)
	for _, row := range again {
		if row.At == rows[7].At {
			need(t, row.Date.Equal(rows[7].Date) && row.Ident[plan.Remote].Size == rows[7].Ident[plan.Remote].Size, "%+v, was %+v", row, rows[7])
		}
	}
	w.agree(t)
}
