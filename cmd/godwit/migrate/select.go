package migrate

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A selecting scan passes on what is to be moved, and what was moved already,
// whatever it is like now. The rest is passed over as if it were not there, and
// the mailbox is looked at from its beginning each time, so that it is found
// by a run that wants it.
type selecting struct {
	origin *origin
	box    mail.BoxID
	yield  func(plan.Seen) error
	doubt  []plan.Seen // not selected; known perhaps
	hidden int
}

// doubtMost is of how many messages at once the index is asked.
const doubtMost = 1000

func (s *selecting) seen(ctx context.Context, m plan.Seen) error {
	if m.Gone || s.origin.pair.selects(m.Item) {
		return s.yield(m)
	}
	if s.doubt = append(s.doubt, m); len(s.doubt) < doubtMost {
		return nil
	}
	return s.ask(ctx)
}

// ask passes on what was moved already.
func (s *selecting) ask(ctx context.Context) error {
	if len(s.doubt) == 0 {
		return nil
	}
	refs := make([]mail.Ref, len(s.doubt))
	for i := range s.doubt {
		refs[i] = s.doubt[i].Ref
	}
	known := map[mail.Ref]bool{}
	_, err := s.origin.pair.index.KnownAt(ctx, plan.Local, s.box, refs, func(k plan.Known) error {
		known[k.Ref] = true
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range s.doubt {
		if !known[m.Ref] {
			s.hidden++
		} else if err := s.yield(m); err != nil {
			return err
		}
	}
	s.doubt = s.doubt[:0]
	return nil
}

// scanSelected is Scan where not all is wanted.
func (o *origin) scanSelected(ctx context.Context, box mail.BoxID, yield func(plan.Seen) error) (plan.Scanned, error) {
	s := &selecting{origin: o, box: box, yield: yield}
	sc, err := o.scan(ctx, box, plan.Since{}, func(m plan.Seen) error { return s.seen(ctx, m) })
	if err == nil {
		err = s.ask(ctx)
	}
	if err != nil {
		return plan.Scanned{}, err
	}
	if s.hidden > 0 {
		sc.Cursor = ""
	}
	if parts := o.parts[box]; len(parts) > 0 {
		o.hidden[o.pair.used[parts[0].name].To] = s.hidden
	}
	return sc, nil
}
