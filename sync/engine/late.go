package engine

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A server may carry out an APPEND long after the connection it came by is
// dead. The next run looks, finds nothing, and sends the message again; then
// both copies turn up. For lateWindow after such a repetition, a message that
// is new on the server, above the UIDNEXT of before, and the same byte for
// byte as one that is bound in the same mailbox, is that first copy: our own
// double, which is removed by way of the undo store.
const lateWindow = 24 * time.Hour

// A double is a late copy that has turned up.
type double struct {
	intent plan.Intent
	at     plan.Place
	ident  mail.Identity
}

// expectLate remembers, in place of intents whose effect is not to be found,
// that it may turn up late.
func (r *run) expectLate(ctx context.Context, absent []plan.Intent) error {
	var st plan.Settlement
	for _, in := range absent {
		st.Done = append(st.Done, in.ID)
		if in.Side == plan.Remote && in.Kind == plan.IntentPut && !in.Item.Ident.Body.IsZero() {
			in.ID, in.Kind, in.At = 0, plan.IntentLate, r.Clock()
			st.Begin = append(st.Begin, in)
		}
	}
	if err := r.settle(ctx, &st); err != nil {
		return err
	}
	r.late = append(r.late, st.Begin...)
	return nil
}

// findDoubles takes late copies out of what is new on the server.
func (r *run) findDoubles(ctx context.Context) error {
	var leaving []mail.Identity
	bodies := map[mail.BoxID]map[mail.Digest]bool{}
	for _, in := range r.late {
		if !r.mayDropDouble(in.To) {
			continue // then it is mail like any other
		}
		c := r.lateCandidates(in)
		if len(c) == 0 {
			continue
		}
		if leaving == nil {
			var err error
			if leaving, err = r.leaving(ctx); err != nil {
				return err
			}
		}
		if slices.ContainsFunc(leaving, func(id mail.Identity) bool { return couldBe(id, in.Item.Ident) }) {
			continue // it may be that message, in its new place
		}
		if err := r.identifyDoubles(ctx, in, c, bodies); err != nil {
			return err
		}
	}
	r.changes = slices.DeleteFunc(r.changes, func(c plan.Change) bool {
		return c.Kind == plan.KindNew && c.Side == plan.Remote && r.isDouble(c.At)
	})
	return nil
}

// leaving are the identities of what has left its place on the server, or may
// have: a message that turns up may be one of them, moved.
func (r *run) leaving(ctx context.Context) ([]mail.Identity, error) {
	out := []mail.Identity{}
	add := func(rows []plan.Row) {
		for i := range rows {
			out = append(out, rows[i].Ident[plan.Remote])
			if rows[i].Ident[plan.Remote].Body != rows[i].Ident[plan.Local].Body {
				out = append(out, rows[i].Ident[plan.Local])
			}
		}
	}
	var ids []int64
	for i := range r.changes {
		if c := &r.changes[i]; c.Side == plan.Remote && c.Kind == plan.KindGone {
			ids = append(ids, c.Row)
		}
	}
	slices.Sort(ids)
	gone, err := r.Index.Rows(ctx, slices.Compact(ids))
	if err != nil {
		return nil, indexFault(err)
	}
	waiting, err := r.Index.RowsByState(ctx, plan.Unbound)
	if err != nil {
		return nil, indexFault(err)
	}
	add(gone)
	add(waiting)
	add(r.unbind)
	for i := range r.records {
		rec := &r.records[i]
		if rec.ID <= 0 || rec.Dormant || r.there[rec.ID][plan.Remote] && r.view[plan.SideBox{Side: plan.Remote, Box: rec.ID}] == plan.Complete {
			continue
		}
		unseen, err := r.Index.RowsIn(ctx, rec.ID)
		if err != nil {
			return nil, indexFault(err)
		}
		add(unseen)
	}
	return out, nil
}

// couldBe tells whether nothing known of two messages tells them apart.
func couldBe(a, b mail.Identity) bool {
	if !a.Body.IsZero() && !b.Body.IsZero() {
		return a.Body == b.Body
	}
	return a.Light.IsZero() || b.Light.IsZero() || a.Light == b.Light
}

func (r *run) isDouble(at plan.Place) bool {
	return slices.ContainsFunc(r.doubles, func(d double) bool { return d.at == at })
}

// mayDropDouble tells whether this run may delete on the server at all, and in
// that mailbox: by its mode, its rights and what it is restricted to. An
// adoption deletes nothing.
func (r *run) mayDropDouble(box mail.BoxID) bool {
	rec := r.record(box)
	return !r.adopt && (r.Policy.Lose[plan.Remote] || r.OwnDoubles) && rec != nil && !rec.Side[plan.Remote].Rights.NoDelete &&
		(r.Only == nil || r.Only(r.name(plan.Remote, box)))
}

// lateCandidates are the new messages that can be the late copy, by mailbox,
// UID and size.
func (r *run) lateCandidates(in plan.Intent) []mail.Ref {
	var refs []mail.Ref
	for i := range r.changes {
		c := &r.changes[i]
		if c.Kind == plan.KindNew && c.Side == plan.Remote && c.At.Box == in.To && !olderThan(c.At.Ref, in.Next) &&
			(c.Ident().Size == 0 || c.Ident().Size == in.Item.Ident.Size) && !r.isDouble(c.At) {
			refs = append(refs, c.At.Ref)
		}
	}
	return refs
}

// identifyDoubles compares the candidates with what was sent. Only while the
// repeated copy is bound in the mailbox is another one a double; otherwise it
// is the very message, come late, and joined as any other. What is bound in a
// mailbox is read once, into bodies.
func (r *run) identifyDoubles(ctx context.Context, in plan.Intent, refs []mail.Ref, bodies map[mail.BoxID]map[mail.Digest]bool) error {
	if bodies[in.To] == nil {
		rows, err := r.Index.RowsIn(ctx, in.To)
		if err != nil {
			return indexFault(err)
		}
		bodies[in.To] = map[mail.Digest]bool{}
		for i := range rows {
			if row := &rows[i]; row.State == plan.Paired && row.At[plan.Remote].Box == in.To {
				bodies[in.To][row.Ident[plan.Local].Body] = true
			}
		}
	}
	if !bodies[in.To][in.Item.Ident.Body] {
		return nil
	}
	found := false
	err := r.side[plan.Remote].Identify(ctx, in.To, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		if err == nil && !found && id.Body == in.Item.Ident.Body {
			found = true
			r.doubles = append(r.doubles, double{in, plan.Place{Box: in.To, Ref: ref}, id})
		}
		return nil // one that cannot be read is new mail, and told of as such
	})
	if err != nil && ctx.Err() == nil && mail.GradeOf(err, mail.GradeMailbox) < mail.GradeAccount {
		return nil
	}
	return err
}

// dropDoubles removes late copies from the server, after their bytes are safe.
func (r *run) dropDoubles(ctx context.Context, _ *plan.Plan) error {
	for _, d := range r.doubles {
		key := plan.SideBox{Side: plan.Remote, Box: d.at.Box}
		kept, err := r.keepDouble(ctx, d)
		if err != nil {
			return err
		}
		if !kept {
			r.unsettled[key] = true
			continue
		}
		op := []plan.Op{{Kind: plan.OpDelete, From: d.at, Expect: d.ident}}
		ref := []plan.Ref{{Side: plan.Remote, Kind: plan.KindNew, At: d.at}}
		err = r.do(ctx, plan.Remote, op, func(out []plan.Outcome) error { return r.doubleGone(ctx, d, out) }, func(int) []plan.Ref { return ref })
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *run) keepDouble(ctx context.Context, d double) (kept bool, err error) {
	if r.Keeper == nil {
		return true, nil
	}
	name := r.name(plan.Remote, d.at.Box)
	err = r.side[plan.Remote].Fetch(ctx, d.at.Box, []mail.Ref{d.at.Ref}, func(_ mail.Ref, item mail.Item, body io.Reader) error {
		e := r.Keeper.Keep(ctx, Kept{Side: plan.Remote, Mailbox: name, Item: item, Why: lateText}, mail.Identity{}, body)
		kept = e == nil
		return e
	})
	if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount) {
		return false, err
	}
	if err != nil {
		r.fault(plan.Remote, name, err, false)
	}
	return kept, nil
}

const lateText = "a second copy of what an interrupted run had sent turned up late"

func (r *run) doubleGone(ctx context.Context, d double, out []plan.Outcome) error {
	for _, o := range out {
		if o.Result != plan.Done {
			r.notDone(plan.Remote, d.at.Box, []plan.Ref{{Side: plan.Remote, Kind: plan.KindNew, At: d.at}}, o)
			continue
		}
		r.report.Deleted[plan.Remote]++
		r.did(Event{Verb: VerbDeleted, Side: plan.Remote, Mailbox: r.name(plan.Remote, d.at.Box), Ref: d.at.Ref, Digest: d.ident.Body, Size: d.ident.Size, Text: lateText})
		return r.settle(ctx, &plan.Settlement{Done: []int64{d.intent.ID}, Events: r.takeEvents()})
	}
	return nil
}
