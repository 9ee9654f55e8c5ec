package engine

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// differ compares what a scan yields with what the index knows. Only when the
// scan has ended is it known whether it showed everything; so what it yields
// is put aside at first, and if it was a delta and small, the index is asked
// about those messages alone. Otherwise all that it knows is loaded.
type differ struct {
	run      *run
	side     plan.Side
	box      mail.BoxID
	about    int         // how many messages the index had there when the run began
	early    []plan.Seen // put aside until known is there
	known    *knownSet
	unknown  map[mail.Ref]bool // see run.unknown
	expected int               // messages there must be now, by what was seen
	hidden   bool              // something was left out because of unknown
	compare  bool              // see plan.Since
	strange  bool              // it showed a message that only the cursor knows
	changes  []plan.Change
	suspects []suspect
}

// earlyMost is how many messages are put aside before all that the index
// knows is loaded: about a megabyte.
const earlyMost = 2000

// diff scans a mailbox and compares what is there with the index.
func (r *run) diff(ctx context.Context, s plan.Side, box mail.BoxID, since plan.Since) (*differ, plan.Scanned, error) {
	key := plan.SideBox{Side: s, Box: box}
	d := &differ{run: r, side: s, box: box, about: since.Known, unknown: r.unknown[key], compare: since.Compare}
	d.changes = make([]plan.Change, 0, r.newIn(s, box, since))
	switch {
	case r.reset[key] || box <= 0:
		d.known = newKnownSet(0) // nothing that means anything
	case since.Cursor == "" || since.Compare:
		if err := d.load(ctx); err != nil {
			return nil, plan.Scanned{}, err
		}
	}
	sc, err := r.side[s].Scan(ctx, box, since, func(m plan.Seen) error { return d.seen(ctx, m) })
	if err == nil && d.known == nil {
		if sc.Full {
			err = d.load(ctx)
		} else {
			err = d.lookUp(ctx)
		}
	}
	return d, sc, err
}

// newIn is a guess how many messages of a mailbox are new, by the survey.
func (r *run) newIn(s plan.Side, box mail.BoxID, since plan.Since) int {
	for i := range r.records {
		if r.records[i].ID == box {
			return min(max(r.survey[s][r.records[i].Side[s].Name].Count-since.Known, 0), 100_000)
		}
	}
	return 0
}

// load reads all that the index knows of the mailbox, and then what was put
// aside.
func (d *differ) load(ctx context.Context) error {
	d.known = newKnownSet(d.about)
	err := d.run.Index.Known(ctx, d.side, d.box, func(k plan.Known) error {
		d.add(k)
		return nil
	})
	if err != nil {
		return indexFault(err)
	}
	d.expected = len(d.known.rows)
	return d.replay(ctx)
}

// lookUp asks the index about what was put aside, and nothing else.
func (d *differ) lookUp(ctx context.Context) error {
	d.known = newKnownSet(len(d.early))
	refs := make([]mail.Ref, len(d.early))
	for i := range d.early {
		refs[i] = d.early[i].Ref
	}
	bound, err := d.run.Index.KnownAt(ctx, d.side, d.box, refs, func(k plan.Known) error {
		d.add(k)
		return nil
	})
	if err != nil {
		return indexFault(err)
	}
	d.expected = bound
	return d.replay(ctx)
}

func (d *differ) add(k plan.Known) { d.known.add(k) }

func (d *differ) replay(ctx context.Context) error {
	early := d.early
	d.early = nil
	for _, m := range early {
		if err := d.seen(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// addsUp tells whether a delta accounts for every message that is there.
func (d *differ) addsUp(sc plan.Scanned) bool {
	return sc.Full || sc.Count < 0 || sc.Count == d.expected
}

func (d *differ) seen(ctx context.Context, m plan.Seen) error {
	if d.known == nil {
		d.early = append(d.early, m)
		if len(d.early) < earlyMost {
			return nil
		}
		return d.load(ctx)
	}
	k, marked, ok := d.known.take(m.Ref, m.Item.Stat)
	at := plan.Place{Box: d.box, Ref: m.Ref}
	switch {
	case m.Gone && ok:
		d.changes = append(d.changes, plan.Change{Side: d.side, Kind: plan.KindGone, At: at, Row: k.Row})
		d.expected--
		return nil
	case m.Gone:
		return nil
	case !ok && d.unknown[m.Ref], !ok && d.unknown[anyRef]:
		d.expected++
		d.hidden = true
		return nil // it may be what an intent is about: the next run asks again
	case !ok:
		d.expected++
		d.strange = d.strange || d.compare && m.Bare
		d.changes = append(d.changes, plan.Change{Side: d.side, Kind: plan.KindNew, At: at}.Of(m.Item))
		return nil
	}
	if d.side == plan.Local && !marked {
		d.suspects = append(d.suspects, suspect{row: k.Row, at: at, item: m.Item})
		return nil
	}
	if !m.NoFlags && (d.run.adopt || !m.Item.Flags.Equal(k.Flags)) {
		d.changes = append(d.changes, plan.Change{Side: d.side, Kind: plan.KindFlags, At: at, Row: k.Row}.Of(m.Item))
	}
	return nil
}

// end decides what absence means, and adds what was found to out.
func (d *differ) end(sc plan.Scanned, out *sideScan) {
	view := plan.Partial
	if sc.Complete && !d.hidden {
		view = plan.Complete // what was left out could be where something went
	}
	out.view[d.box] = view
	if sc.Full && sc.Complete {
		d.known.unmet(func(k plan.Known) {
			d.changes = append(d.changes, plan.Change{Side: d.side, Kind: plan.KindGone, At: plan.Place{Box: d.box, Ref: k.Ref}, Row: k.Row})
		})
	}
	kept := d.changes[:0]
	for _, c := range d.changes {
		c.Epoch = sc.Epoch
		if c.Kind == plan.KindGone && d.run.adopt {
			out.unbound = append(out.unbound, c.Row)
			continue
		}
		kept = append(kept, c)
	}
	out.changes = joined(out.changes, kept)
	out.suspects = append(out.suspects, d.suspects...)
}

// joined is append that takes the second list as it is when the first is
// empty: a first sync has many changes, in few mailboxes. What follows the
// second list in memory stays as it is.
func joined[T any](a, b []T) []T {
	if len(a) == 0 {
		return slices.Clip(b)
	}
	return append(a, b...)
}
