package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// gain copies messages, mailbox by mailbox, in chunks. What became of a chunk
// that is durable on its side is due: it goes into the index in one
// transaction with the intents of the next.
func (r *run) gain(ctx context.Context, p *plan.Plan) error {
	list := make([]*plan.Gain, len(p.Gains))
	for i := range p.Gains {
		list[i] = &p.Gains[i]
	}
	slices.SortStableFunc(list, func(a, b *plan.Gain) int {
		return cmp.Or(cmp.Compare(a.To, b.To), cmp.Compare(a.Box, b.Box), cmp.Compare(a.From.Box, b.From.Box))
	})
	staged := 0 // how many go to a side that shows nothing before Commit
	for staged < len(list) && r.stages(list[staged].To) {
		staged++
	}
	err := r.gainStaged(ctx, pairsOf(list[:staged]))
	if err == nil {
		err = r.gainSent(ctx, pairsOf(list[staged:]))
	}
	if len(p.Losses)+len(r.doubles)+len(r.removes) > 0 { // they look into the index
		err = errors.Join(err, r.flush(ctx))
	}
	return err
}

// stages tells whether nothing of a batch can be seen on a side before its
// Commit. A Maildir, which alone has a root, renames files to where they are
// seen; a server may show each message as it is sent.
func (r *run) stages(s plan.Side) bool {
	_, rooted := r.side[s].(Rooted)
	return s == plan.Local && rooted
}

// A pair is what goes from one mailbox to another.
type pair struct {
	to        plan.Side
	box, from mail.BoxID
	name      mail.MailboxName // on the server, see newLoader
	gains     []*plan.Gain
	large     bool // one message that is not held in memory: see packing
}

// pairsOf divides gains that are sorted by their mailboxes.
func pairsOf(list []*plan.Gain) (pairs []pair) {
	for len(list) > 0 {
		g := list[0]
		n := slices.IndexFunc(list, func(o *plan.Gain) bool { return o.To != g.To || o.Box != g.Box || o.From.Box != g.From.Box })
		if n < 0 {
			n = len(list)
		}
		pairs = append(pairs, pair{to: g.To, box: g.Box, from: g.From.Box, gains: list[:n]})
		list = list[n:]
	}
	return pairs
}

// refsOf are the names of messages where they come from.
func refsOf(gains []*plan.Gain) []mail.Ref {
	refs := make([]mail.Ref, len(gains))
	for i, g := range gains {
		refs[i] = g.From.Ref
	}
	return refs
}

// tokenFor is the name that a copy here gets; on a server it has none.
func (r *run) tokenFor(g *plan.Gain) string {
	if g.To != plan.Local {
		return ""
	}
	return r.token(g.From, g.Epoch)
}

// gainGone is about a message that is there no longer: the next scan tells.
func (r *run) gainGone(g *plan.Gain) {
	r.gainFailed(g)
	r.unsettled[plan.SideBox{Side: g.To.Other(), Box: g.From.Box}] = true
}

// gainGivenUp reports a message that could not be read from its side.
func (r *run) gainGivenUp(g *plan.Gain) {
	r.gainFailed(g)
	from := g.To.Other()
	err := mail.NewFault(mail.GradeMessage, mail.ClassServer,
		fmt.Errorf("message %s in %s cannot be read %s", g.From.Ref, r.name(from, g.From.Box), r.where(from)), "it is tried again at the next run")
	r.fault(from, r.name(from, g.From.Box), err, false)
	for _, ref := range g.Settle() {
		r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Why: plan.ReasonError, Text: err.Error(), Ident: g.Ident()})
	}
}

// gainFailed keeps the losses that could be the other half of a move waiting.
func (r *run) gainFailed(g *plan.Gain) {
	r.unsettle(g.Settle())
	r.failed.add(g.Ident())
}

// grace is how long the step in hand may go on when the run is told to stop:
// whoever stops it may have 5 s in all.
const grace = 3 * time.Second

// finishing is a context for what should be brought to its end though ctx
// ended, and must not wait for a silent server: it ends grace after ctx.
func finishing(ctx context.Context) (context.Context, func()) {
	finish, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	timer := time.AfterFunc(1<<62, func() { cancel(context.Cause(ctx)) })
	stop := context.AfterFunc(ctx, func() { timer.Reset(grace) })
	return finish, func() {
		stop()
		timer.Stop()
		cancel(nil)
	}
}

// intentFor is what is remembered of a copy before it is begun.
func (r *run) intentFor(g *plan.Gain, item mail.Item) plan.Intent {
	return plan.Intent{
		Kind: plan.IntentPut, Side: g.To, To: g.Box, From: g.From, FromEpoch: g.Epoch, Row: rowID(g),
		Epoch: r.epoch(g.To, g.Box), Next: r.next(g.To, g.Box), Item: item, At: r.Clock(),
	}
}
