package migrate

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// errOnlyRead is what the origin answers to whoever wants to change it.
var errOnlyRead = errors.New("a migration only reads the account that it copies")

// An origin is the server that mail comes from. Its mailboxes bear the names of
// the target's, and several may be parts of one. It cannot be changed.
type origin struct {
	inner engine.Writer
	pair  *pair

	parts  map[mail.BoxID][]part
	nextID mail.BoxID // for parts that have no number of the engine's
	counts map[mail.MailboxName]int
	hidden map[mail.MailboxName]int // messages that are not selected
	large  map[plan.Place]bool      // messages that are digested before they are sent
	spool  *spooled                 // one of them, nil if none
}

// A part is a mailbox of the origin that a mailbox of the target is made of.
type part struct {
	name mail.MailboxName
	no   int // see Used.Part
	id   mail.BoxID
}

// firstPartID is where the numbers begin that the engine does not give.
const firstPartID mail.BoxID = -1 << 50

// largeBytes is the size from which on the engine digests a message before it
// is sent: it is kept then, so that it need not be fetched again.
const largeBytes = 512 << 10

var (
	_ engine.Writer      = (*origin)(nil)
	_ engine.Expecter    = (*origin)(nil)
	_ engine.Remembering = (*origin)(nil)
)

func newOrigin(inner engine.Writer, p *pair) *origin {
	return &origin{
		inner: inner, pair: p, parts: map[mail.BoxID][]part{}, nextID: firstPartID,
		counts: map[mail.MailboxName]int{}, hidden: map[mail.MailboxName]int{}, large: map[plan.Place]bool{},
	}
}

// sources are the mailboxes that go to one of the target; there says which are
// to be looked at, nil for all.
func (o *origin) sources(to mail.MailboxName, there func(mail.MailboxName) bool) []part {
	var out []part
	for name, u := range o.pair.used {
		if u.To == to && (there == nil || there(name)) {
			out = append(out, part{name: name, no: u.Part})
		}
	}
	slices.SortFunc(out, func(a, b part) int { return cmp.Compare(a.no, b.no) })
	return out
}

// whole tells whether a mailbox is no more than its first part: Refs and
// cursors are the server's then.
func whole(parts []part) bool { return len(parts) == 1 && parts[0].no == 0 }

// routed tells whether a mailbox takes part in this run.
func (o *origin) routed(name mail.MailboxName) bool {
	b, listed := o.pair.here[name]
	return listed && !b.Container && slices.ContainsFunc(o.pair.routes, func(r Route) bool { return r.From == name && r.To != "" })
}

// Survey implements engine.Side.
func (o *origin) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	inner := make(map[mail.MailboxName]plan.Since, len(since))
	for to, s := range since {
		parts := o.sources(to, nil)
		for i, one := range split(s, parts) {
			inner[parts[i].name] = one
		}
	}
	boxes, err := o.inner.Survey(ctx, inner)
	if err != nil {
		return nil, err
	}
	if err := o.pair.route(ctx, boxes); err != nil {
		return nil, err
	}
	seen := map[mail.MailboxName]bool{}
	var list []plan.Box
	for _, r := range o.pair.routes {
		if r.To == "" || seen[r.To] {
			continue
		}
		seen[r.To] = true
		b := o.together(r.To, o.sources(r.To, o.routed))
		o.counts[r.To] = b.Count
		list = append(list, b)
	}
	return list, nil
}

// together is a mailbox of the target as its parts show it. It has no ID: that a
// mailbox of the origin was given another name is nothing to follow.
func (o *origin) together(to mail.MailboxName, parts []part) plan.Box {
	if whole(parts) {
		b := o.pair.here[parts[0].name]
		b.Name, b.ID = to, ""
		return b
	}
	out := plan.Box{Name: to, State: plan.Same}
	var marks []mark
	for i, p := range parts {
		b := o.pair.here[p.name]
		marks = append(marks, mark{Part: p.no, Epoch: b.Epoch, Cursor: b.Cursor, Count: b.Count})
		out.Count = sum(out.Count, b.Count)
		if b.State != plan.Same {
			out.State = plan.Unknown
		}
		if i == 0 || out.Role == mail.RoleNone {
			out.Role = b.Role
		}
	}
	out.Epoch, out.Cursor = epochOf(marks), cursorOf(marks)
	return out
}

// sum adds numbers of which -1 is one that is not known.
func sum(a, b int) int {
	if a < 0 || b < 0 {
		return -1
	}
	return a + b
}

// Bind implements engine.Side.
func (o *origin) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	inner := map[mail.BoxID]mail.MailboxName{}
	for id, to := range boxes {
		parts := o.sources(to, o.routed)
		for i := range parts {
			if parts[i].id = id; !whole(parts) {
				parts[i].id = o.nextID
				o.nextID--
			}
			inner[parts[i].id] = parts[i].name
		}
		o.parts[id] = parts
	}
	o.inner.Bind(inner)
}

// Scan implements engine.Side.
func (o *origin) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	if o.pair.selects != nil {
		return o.scanSelected(ctx, box, yield)
	}
	return o.scan(ctx, box, since, yield)
}

// scan scans all parts of a mailbox.
func (o *origin) scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	parts := o.parts[box]
	out := plan.Scanned{Full: true, Complete: true}
	var marks []mark
	for i, one := range split(since, parts) {
		p := parts[i]
		sc, err := o.inner.Scan(ctx, p.id, one, func(m plan.Seen) error {
			m.Ref = p.ref(m.Ref)
			if m.Item.Ident.Size > largeBytes {
				o.large[plan.Place{Box: box, Ref: m.Ref}] = true
			}
			return yield(m)
		})
		if err != nil {
			return plan.Scanned{}, err
		}
		if whole(parts) {
			o.counts[o.pair.used[p.name].To] = sc.Count
			return sc, nil
		}
		marks = append(marks, mark{Part: p.no, Epoch: sc.Epoch, Cursor: sc.Cursor, Count: sc.Count})
		out.Full, out.Complete = out.Full && sc.Full, out.Complete && sc.Complete
		out.Count, out.Rights = sum(out.Count, sc.Count), sc.Rights
	}
	if len(parts) > 0 {
		o.counts[o.pair.used[parts[0].name].To] = out.Count
	}
	out.Epoch, out.Cursor = epochOf(marks), cursorOf(marks)
	return out, nil
}

// Identify implements engine.Side. A large message whose bytes are asked for is
// about to be sent: it is kept until it is.
func (o *origin) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	for i, own := range o.divide(box, refs) {
		p := o.parts[box][i]
		if at := (plan.Place{Box: box, Ref: refs[0]}); len(refs) == 1 && len(own) == 1 && level == mail.LevelBody && o.large[at] {
			return o.keep(ctx, at, p, own, yield)
		}
		if len(own) == 0 {
			continue
		}
		err := o.inner.Identify(ctx, p.id, own, level, func(ref mail.Ref, id mail.Identity, err error) error { return yield(p.ref(ref), id, err) })
		if err != nil {
			return err
		}
	}
	return nil
}

// Fetch implements engine.Side.
func (o *origin) Fetch(ctx context.Context, box mail.BoxID, refs []mail.Ref, each func(mail.Ref, mail.Item, io.Reader) error) error {
	if len(refs) == 1 && o.spool.is(plan.Place{Box: box, Ref: refs[0]}) {
		defer o.discard()
		return o.spool.give(refs[0], each)
	}
	var fault error // of single messages: the others go on
	for i, own := range o.divide(box, refs) {
		if len(own) == 0 {
			continue
		}
		p := o.parts[box][i]
		err := o.inner.Fetch(ctx, p.id, own, func(ref mail.Ref, item mail.Item, body io.Reader) error { return each(p.ref(ref), item, body) })
		if err != nil && mail.GradeOf(err, mail.GradeMailbox) != mail.GradeMessage {
			return err
		}
		if fault == nil {
			fault = err
		}
	}
	return fault
}

// ExpectScans implements engine.Expecter.
func (o *origin) ExpectScans(next []plan.Expected) {
	inner, is := o.inner.(engine.Expecter)
	if !is {
		return
	}
	var list []plan.Expected
	for _, e := range next {
		parts := o.parts[e.Box]
		if o.pair.selects != nil {
			e.Since = plan.Since{}
		}
		for i, one := range split(e.Since, parts) {
			list = append(list, plan.Expected{Box: parts[i].id, Since: one})
		}
	}
	inner.ExpectScans(list)
}

// ExpectFetch implements engine.Expecter. What is digested first will not be
// fetched by itself.
func (o *origin) ExpectFetch(box mail.BoxID, refs []mail.Ref) {
	inner, is := o.inner.(engine.Expecter)
	if !is || len(refs) == 1 && o.large[plan.Place{Box: box, Ref: refs[0]}] {
		return
	}
	for i, own := range o.divide(box, refs) {
		if len(own) > 0 {
			inner.ExpectFetch(o.parts[box][i].id, own)
		}
	}
}

// ExpectResolves implements engine.Expecter: nothing was ever sent here.
func (o *origin) ExpectResolves([]plan.Intent) {}

// Recall implements engine.Remembering.
func (o *origin) Recall(words map[string]string) { recall(o.inner, words) }

// Learned implements engine.Remembering.
func (o *origin) Learned() map[string]string { return learned(o.inner) }

func recall(side engine.Writer, words map[string]string) {
	if s, is := side.(engine.Remembering); is {
		s.Recall(words)
	}
}

func learned(side engine.Writer) map[string]string {
	if s, is := side.(engine.Remembering); is {
		return s.Learned()
	}
	return nil
}

// Confirm implements engine.Side: nothing is lost for what is gone here.
func (o *origin) Confirm(context.Context, []plan.Gone) (sure, outside []plan.Place, err error) {
	return nil, nil, nil
}

// Create implements engine.Writer.
func (o *origin) Create(context.Context, mail.MailboxName) (plan.Box, error) {
	return plan.Box{}, errOnlyRead
}

// Rename implements engine.Writer.
func (o *origin) Rename(context.Context, mail.MailboxName, mail.MailboxName) error {
	return errOnlyRead
}

// Remove implements engine.Writer.
func (o *origin) Remove(context.Context, mail.MailboxName) error { return errOnlyRead }

// Put implements engine.Writer.
func (o *origin) Put(context.Context, mail.BoxID) (engine.Batch, error) { return nil, errOnlyRead }

// Do implements engine.Writer.
func (o *origin) Do(_ context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	out := make([]plan.Outcome, len(ops))
	for i, op := range ops {
		out[i] = plan.Outcome{Tag: op.Tag, Result: plan.Declined, Err: errOnlyRead}
	}
	return done(out)
}

// Resolve implements engine.Writer.
func (o *origin) Resolve(context.Context, plan.Intent, func(mail.Ref) bool) (plan.Found, error) {
	return plan.Found{}, errOnlyRead
}

// Close implements engine.Side.
func (o *origin) Close() error {
	o.discard()
	return o.inner.Close()
}
