package restore

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// fewMessages is up to how many messages a target is looked at for these
// alone.
const fewMessages = 1000

// A narrowed target shows only messages that have about the size of one that
// is to be restored: of all others no header need be read to know that they
// are not it. Sizes are hints (Exchange estimates them), so that it is generous.
type narrowed struct {
	engine.Writer
	names map[mail.BoxID]mail.MailboxName
	sizes map[mail.MailboxName][]int64 // sorted
}

// narrow narrows a target that no index knows anything of, if the selection
// is single messages, and few.
func narrow(ctx context.Context, s *Selection, t Target) (engine.Writer, error) {
	single := false
	for _, pieces := range s.boxes {
		single = single || slices.ContainsFunc(pieces, func(p *piece) bool { return p.Wanted != nil })
	}
	counts, err := t.Index.Counts(ctx)
	if err != nil || !single || t.On == plan.Local || len(counts) > 0 {
		return t.Side, err
	}
	n := &narrowed{Writer: t.Side, names: map[mail.BoxID]mail.MailboxName{}, sizes: map[mail.MailboxName][]int64{}}
	all := 0
	err = s.each(ctx, func(name mail.MailboxName, m plan.Seen) {
		n.sizes[name] = append(n.sizes[name], m.Item.Ident.Size)
		all++
	})
	if err != nil {
		return nil, err
	}
	for _, sizes := range n.sizes {
		slices.Sort(sizes)
	}
	if all > fewMessages {
		return t.Side, nil
	}
	return n, nil
}

// Bind implements engine.Side.
func (n *narrowed) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	for id, name := range boxes {
		n.names[id] = name
	}
	n.Writer.Bind(boxes)
}

// Scan implements engine.Side.
func (n *narrowed) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	sizes := n.sizes[n.names[box]]
	return n.Writer.Scan(ctx, box, since, func(m plan.Seen) error {
		if size := m.Item.Ident.Size; size > 0 && !near(sizes, size) {
			return nil
		}
		return yield(m)
	})
}

// near tells whether one of these sizes, which are sorted, is about as large.
// One that is not known is 0.
func near(sizes []int64, size int64) bool {
	slack := 1024 + size/8
	k, _ := slices.BinarySearch(sizes, size-slack)
	return k < len(sizes) && sizes[k] <= size+slack || len(sizes) > 0 && sizes[0] == 0
}

// ExpectScans implements engine.Expecter.
func (n *narrowed) ExpectScans(next []plan.Expected) {
	if e, is := n.Writer.(engine.Expecter); is {
		e.ExpectScans(next)
	}
}

// ExpectFetch implements engine.Expecter.
func (n *narrowed) ExpectFetch(box mail.BoxID, refs []mail.Ref) {
	if e, is := n.Writer.(engine.Expecter); is {
		e.ExpectFetch(box, refs)
	}
}

// ExpectResolves implements engine.Expecter.
func (n *narrowed) ExpectResolves(next []plan.Intent) {
	if e, is := n.Writer.(engine.Expecter); is {
		e.ExpectResolves(next)
	}
}
