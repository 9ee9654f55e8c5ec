package migrate

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A pair is both servers as one run of the engine sees them. The mailboxes of
// the origin bear the names of where they go: so the engine pairs them.
//
// The engine surveys both sides at once, from two goroutines; the origin's
// waits for the target's, since where its mailboxes go depends on what is
// there. What the survey found is not changed after it.
type pair struct {
	router  Router
	memory  Memory
	index   engine.Index
	selects func(mail.Item) bool // nil: all
	dry     bool
	records []plan.BoxRecord // of the index, when the run began

	origin *origin
	target *target

	listed chan struct{} // closed when the target is listed
	once   sync.Once

	used    map[mail.MailboxName]Used
	refused []mail.MailboxName // names that the target would not make
	routes  []Route
	notes   []string
	// scope are the names of mailboxes that take part: of the routes, and those
	// that such mailboxes were given at the target since.
	scope map[mail.MailboxName]bool
	// removed are mailboxes of the routes that the target had and has no more.
	removed map[mail.MailboxName]bool
	here    map[mail.MailboxName]plan.Box // of the origin, under its own names
	there   map[mail.MailboxName]plan.Box // of the target
}

func newPair(o Options, sides Sides, records []plan.BoxRecord, refused []mail.MailboxName, dry bool) (*pair, error) {
	used, err := o.Memory.Used()
	if err != nil {
		return nil, err
	}
	p := &pair{router: o.Router, memory: o.Memory, index: o.Index, selects: o.Select, dry: dry, records: records, listed: make(chan struct{}), used: used, refused: refused}
	p.origin = newOrigin(sides.Origin, p)
	p.target = &target{Writer: sides.Target, pair: p, made: map[mail.MailboxName]bool{}}
	return p, nil
}

// list takes over what the target lists, and lets the origin's survey go on.
func (p *pair) list(boxes []plan.Box) {
	p.once.Do(func() {
		p.there = byName(boxes)
		close(p.listed)
	})
}

// sortedNames are the names of mailboxes in their order.
func sortedNames[T any](m map[mail.MailboxName]T) []mail.MailboxName {
	return slices.Sorted(maps.Keys(m))
}

func byName(boxes []plan.Box) map[mail.MailboxName]plan.Box {
	m := make(map[mail.MailboxName]plan.Box, len(boxes))
	for _, b := range boxes {
		m[b.Name] = b
	}
	return m
}

// route finds out where the mailboxes of the origin go, once both sides are
// listed, and keeps it.
func (p *pair) route(ctx context.Context, boxes []plan.Box) error {
	select {
	case <-p.listed:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	p.here = byName(boxes)
	target := make([]plan.Box, 0, len(p.there))
	for _, name := range sortedNames(p.there) {
		target = append(target, p.there[name])
	}
	p.routes, p.notes = p.router(Question{Origin: boxes, Target: target, Used: p.used, Refused: p.refused})
	if err := rerouted(p.routes); err != nil {
		return err
	}
	p.takePart()
	return p.remember()
}

// takePart finds which mailboxes take part.
func (p *pair) takePart() {
	p.scope, p.removed = map[mail.MailboxName]bool{}, map[mail.MailboxName]bool{}
	known := make(map[mail.MailboxName]plan.BoxSide, len(p.records))
	for _, rec := range p.records {
		if h := rec.Side[plan.Remote]; h.Name != "" && rec.Side[plan.Local].Name != "" {
			known[rec.Side[plan.Local].Name] = h
		}
	}
	for _, r := range p.routes {
		if r.To == "" {
			continue
		}
		h, was := known[r.To]
		switch b, there := p.there[h.Name]; {
		case !was || there && !b.Container:
			p.scope[r.To] = true
			if was {
				p.scope[h.Name] = true
			}
		default:
			if name := p.renamed(h); name != "" {
				p.scope[r.To], p.scope[name] = true, true
			} else {
				p.removed[r.To] = true
			}
		}
	}
}

// renamed finds the name that a mailbox may have been given at the target.
func (p *pair) renamed(h plan.BoxSide) mail.MailboxName {
	taken := map[mail.MailboxName]bool{}
	for _, rec := range p.records {
		taken[rec.Side[plan.Remote].Name] = true
	}
	for _, r := range p.routes {
		taken[r.To] = true
	}
	for _, name := range sortedNames(p.there) {
		if b := p.there[name]; !b.Container && !taken[name] && h.ID != "" && b.ID == h.ID && b.Epoch == h.Epoch {
			return name
		}
	}
	return ""
}

// remember keeps where mailboxes go, if that is news.
func (p *pair) remember() error {
	next := maps.Clone(p.used)
	if next == nil {
		next = map[mail.MailboxName]Used{}
	}
	for _, r := range p.routes {
		if r.To == "" {
			continue
		}
		was, known := next[r.From]
		now := Used{To: r.To, Asked: r.Asked, Subscribed: was.Subscribed, Part: was.Part}
		if !known || was.To != r.To {
			now.Part = freePart(next, r.To)
		}
		next[r.From] = now
	}
	return p.keep(next)
}

// keep remembers what is known of mailboxes, if it is news.
func (p *pair) keep(next map[mail.MailboxName]Used) error {
	if maps.Equal(next, p.used) {
		return nil
	}
	p.used = next
	if p.dry {
		return nil
	}
	return p.memory.Keep(next)
}

// freePart is a number that no mailbox has of those that go to one.
func freePart(used map[mail.MailboxName]Used, to mail.MailboxName) int {
	n := 0
	for _, u := range used {
		if u.To == to {
			n = max(n, u.Part+1)
		}
	}
	return n
}

// inScope is engine.Options.Scope.
func (p *pair) inScope(name mail.MailboxName, _ mail.Role) bool { return p.scope[name] }
