package migrate

import (
	"context"
	"maps"

	"github.com/godwit-mail/godwit/mail"
)

// A Subscriber is a side that knows which mailboxes a user has subscribed to.
type Subscriber interface {
	Subscribed(ctx context.Context) (map[mail.MailboxName]bool, error)
	Subscribe(ctx context.Context, names []mail.MailboxName, on bool) error
}

// subscribe carries over which mailboxes are subscribed to: what the origin
// changed since the last run, and all of a mailbox that was made. What the user
// changed at the target since stays.
func (p *pair) subscribe(ctx context.Context) error {
	from, ok := p.origin.inner.(Subscriber)
	to, also := p.target.Writer.(Subscriber)
	if !ok || !also {
		return nil
	}
	subscribed, err := from.Subscribed(ctx)
	if err != nil {
		return err
	}
	next := maps.Clone(p.used)
	want := map[mail.MailboxName]bool{}
	changed := map[mail.MailboxName]bool{}
	for _, r := range p.routes {
		if r.To == "" || !p.scope[r.To] {
			continue
		}
		u, on := next[r.From], subscribed[r.From]
		want[r.To] = want[r.To] || on
		changed[r.To] = changed[r.To] || on && !u.Subscribed || !on && u.Subscribed || p.target.made[r.To]
		u.Subscribed = on
		next[r.From] = u
	}
	var lists [2][]mail.MailboxName // off, on
	for _, name := range sortedNames(changed) {
		switch {
		case changed[name] && want[name]:
			lists[1] = append(lists[1], name)
		case changed[name] && p.target.made[name]: // it was subscribed to when it was made
			lists[0] = append(lists[0], name)
		}
	}
	for i, list := range lists {
		if len(list) == 0 {
			continue
		}
		if err := to.Subscribe(ctx, list, i == 1); err != nil {
			return err
		}
	}
	return p.keep(next)
}
