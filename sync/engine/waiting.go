package engine

import (
	"cmp"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// waiting are the gains of one mailbox whose message has not come yet. A first
// run waits for all there are, so a message costs nine bytes.
type waiting struct {
	gains []*plan.Gain // by Ref
	came  []bool
}

func waitFor(gains []*plan.Gain) waiting {
	w := waiting{gains: slices.Clone(gains), came: make([]bool, len(gains))}
	slices.SortFunc(w.gains, func(a, b *plan.Gain) int { return cmp.Compare(a.From.Ref, b.From.Ref) })
	return w
}

func (w *waiting) find(ref mail.Ref) (at int, waits bool) {
	at, there := slices.BinarySearchFunc(w.gains, ref, func(g *plan.Gain, ref mail.Ref) int { return cmp.Compare(g.From.Ref, ref) })
	return at, there && !w.came[at]
}

// has tells whether a message is waited for.
func (w *waiting) has(ref mail.Ref) bool {
	_, waits := w.find(ref)
	return waits
}

// take gives the gain of a message that is waited for, and waits for it no
// longer; nil if it is not.
func (w *waiting) take(ref mail.Ref) *plan.Gain {
	at, waits := w.find(ref)
	if !waits {
		return nil
	}
	w.came[at] = true
	return w.gains[at]
}
