package migrate

import (
	"context"
	"errors"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// look opens both sides and finds out where mailboxes go.
func look(ctx context.Context, o Options, dry bool) (*pair, Sides, error) {
	sides, err := o.Open(ctx)
	if err != nil {
		return nil, sides, err
	}
	records, err := o.Index.Boxes(ctx)
	if err != nil {
		return nil, sides, errors.Join(err, sides.Close())
	}
	p, err := newPair(o, sides, records, nil, dry)
	if err == nil {
		_, err = p.target.Survey(ctx, nil)
	}
	if err == nil {
		_, err = p.origin.Survey(ctx, nil)
	}
	if err != nil {
		return nil, sides, errors.Join(err, sides.Close())
	}
	return p, sides, nil
}

// MakeFolders makes the mailboxes that the target lacks, and moves no mail.
func MakeFolders(ctx context.Context, o Options) (*Result, error) {
	res := &Result{Began: o.Clock(), DryRun: o.DryRun, tally: newTally()}
	p, sides, err := look(ctx, o, o.DryRun)
	if err != nil {
		return res, err
	}
	report := &engine.Report{}
	for _, r := range p.routes {
		if b, there := p.there[r.To]; r.To == "" || there && !b.Container || p.removed[r.To] || p.target.made[r.To] {
			continue
		}
		if o.DryRun {
			p.target.made[r.To] = true
			continue
		}
		if _, err := p.target.Create(ctx, r.To); err != nil {
			if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
				return res, errors.Join(err, sides.Close())
			}
			report.Faults = append(report.Faults, err)
		}
	}
	if o.Subscriptions && !o.DryRun {
		if err := p.subscribe(ctx); err != nil {
			res.tally.note("subscriptions were not carried over: " + err.Error())
		}
	}
	res.take(p, report)
	res.Notes = append(res.Notes, res.tally.notes...)
	res.Ended = o.Clock()
	return res, sides.Close()
}

// A Size is how much a mailbox holds on each side.
type Size struct {
	To       mail.MailboxName
	From     []mail.MailboxName
	Messages [2]int // by plan.Side
	Bytes    [2]int64
}

// Sizes tells how much mail there is on each side, by mailbox. Of each message
// it asks for the size.
func Sizes(ctx context.Context, o Options) (list []Size, err error) {
	p, sides, err := look(ctx, o, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, sides.Close()) }()
	at := map[mail.MailboxName]int{}
	for _, r := range p.routes {
		if r.To == "" {
			continue
		}
		i, known := at[r.To]
		if !known {
			i = len(list)
			at[r.To] = i
			list = append(list, Size{To: r.To})
		}
		list[i].From = append(list[i].From, r.From)
	}
	for i := range list {
		id := mail.BoxID(-1 - i) // none of the index
		name := map[mail.BoxID]mail.MailboxName{id: list[i].To}
		for s, side := range [2]engine.Side{plan.Local: p.origin, plan.Remote: p.target} {
			if b, there := p.there[list[i].To]; plan.Side(s) == plan.Remote && (!there || b.Container) {
				continue
			}
			side.Bind(name)
			_, err := side.Scan(ctx, id, plan.Since{}, func(m plan.Seen) error {
				list[i].Messages[s]++
				list[i].Bytes[s] += m.Item.Ident.Size
				return nil
			})
			if err != nil {
				return list, err
			}
		}
	}
	return list, nil
}
