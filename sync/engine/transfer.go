package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// transfer is one chunk on its way. Its lists go side by side; a message is
// known to the batch by its place in them.
type transfer struct {
	run     *run
	gains   []*plan.Gain
	items   []mail.Item // as they are given to the side
	given   []bool      // handed to the batch
	intents []plan.Intent
	shapes  map[int]*shape        // of messages that go to the server
	plain   int                   // one more than the tag of a plain one that is read back
	stored  map[int]mail.Identity // what was read back
	failed  error                 // why no more was given to the batch
	batch   Batch
}

// take makes a message part of the chunk; token is the name for its file.
func (t *transfer) take(g *plan.Gain, token string) {
	item := g.Item()
	item.Token, item.HintUID = token, 0
	if g.To == plan.Local {
		item.Stat = ""
	}
	if item.Date.IsZero() && g.Row != nil {
		item.Date = g.Row.Date
	}
	t.gains, t.items, t.given = append(t.gains, g), append(t.items, item), append(t.given, false)
}

// add hands one fetched message to the batch.
func (t *transfer) add(ctx context.Context, i int, seen mail.Item, body io.Reader) error {
	t.given[i] = true
	g, item := t.gains[i], &t.items[i]
	if g.Date.IsZero() && !seen.Date.IsZero() {
		g.Date, item.Date = seen.Date, seen.Date
	}
	item.Ident = g.Ident()
	item.Ident.Size = seen.Ident.Size
	return t.batch.Add(ctx, t.incoming(i, *item, body))
}

// incoming is a message for the batch, with a body that is read once.
func (t *transfer) incoming(i int, item mail.Item, body io.Reader) plan.Incoming {
	g, opened := t.gains[i], false
	return plan.Incoming{Tag: i, Item: item, From: g.From.Ref, FromEpoch: g.Epoch, Echo: t.echo(i), Open: func() (io.ReadCloser, error) {
		if opened {
			return nil, errors.New("the body was read already")
		}
		opened = true
		return io.NopCloser(body), nil
	}}
}

// takeLetter makes a message that was read part of the chunk.
func (t *transfer) takeLetter(l *letter) {
	if l.gain.Date.IsZero() {
		l.gain.Date = l.seen.Date
	}
	t.take(l.gain, t.run.tokenFor(l.gain))
	item := &t.items[len(t.items)-1]
	if id := &item.Ident; l.ident.Level() > mail.LevelNone { // whatever it was when it was scanned: this is what is sent
		global := id.GlobalID
		*id = l.ident
		id.GlobalID = global
	}
}

// give hands a letter to the batch.
func (t *transfer) give(ctx context.Context, i int, l *letter) error {
	t.given[i] = true
	if l.gain.To == plan.Remote {
		t.shapes[i] = l.shape
	}
	in := t.incoming(i, t.items[i], l.body)
	in.Item.Ident.Size, in.Body = l.seen.Ident.Size, l.held
	return t.batch.Add(ctx, in)
}

// intend says what is about to be done with the messages of the chunk, from
// the first on of which it was not said yet.
func (t *transfer) intend(first int) []plan.Intent {
	t.intents = slices.Grow(t.intents, len(t.gains)-first)
	for i := first; i < len(t.gains); i++ {
		t.intents = append(t.intents, t.run.intentFor(t.gains[i], t.items[i]))
	}
	return t.intents[first:]
}

// fail notes that a message was not copied, with all that is known of it now.
func (t *transfer) fail(i int) {
	t.learn(i)
	t.run.gainFailed(t.gains[i])
}

// learn keeps what is known of a message beyond the chunk. Of what was copied
// the row tells.
func (t *transfer) learn(i int) {
	if id := t.items[i].Ident; id.Level() > t.gains[i].Ident().Level() {
		t.gains[i].Learn(id)
	}
}

// placed prepares the record of what became of a chunk; it is due then.
func (r *run) placed(ctx context.Context, t *transfer, placed []plan.Placed) {
	var st plan.Settlement
	st.Put, st.Done = make([]*plan.Row, 0, len(placed)), make([]int64, 0, len(t.gains))
	r.events = slices.Grow(r.events, len(placed))
	keep, told, rows := map[int]bool{}, make([]bool, len(t.gains)), map[int]*plan.Row{}
	for _, pl := range placed {
		g := t.gains[pl.Tag]
		told[pl.Tag] = true
		switch {
		case pl.Unknown || pl.Err == nil && pl.Ref == "":
			keep[pl.Tag] = true
			t.fail(pl.Tag)
			r.pendGain(g, plan.ReasonUnknown, "sent, but it is not known yet whether it arrived")
		case errors.Is(pl.Err, mail.ErrDenied):
			t.learn(pl.Tag)
			st.Put = append(st.Put, r.denied(g, pl.Err))
		case pl.Err != nil:
			t.fail(pl.Tag)
			r.fault(g.To, r.name(g.To, g.Box), fmt.Errorf("message %s: %w", g.From.Ref, pl.Err), false)
			r.pendGain(g, plan.ReasonError, pl.Err.Error())
		default:
			row := r.gained(g, pl)
			if r.alias(ctx, g, pl, t.intents[pl.Tag].Next) {
				row.At[g.To], row.Epoch[g.To], row.State = plan.Place{}, "", plan.Kept
			} else {
				rows[pl.Tag] = row
				t.note(pl)
			}
			st.Put = append(st.Put, row)
		}
	}
	for i := range t.gains {
		if t.given[i] && !told[i] { // it was never stored
			t.fail(i)
		}
		if !keep[i] {
			st.Done = append(st.Done, t.intents[i].ID)
		}
	}
	r.readBack(ctx, t, rows)
	st.Events, st.Loose = r.takeEvents(), r.mayBeLost(t)
	r.dueAlso(&st)
}

// note keeps what was read back.
func (t *transfer) note(pl plan.Placed) {
	if pl.Stored.Level() == mail.LevelNone {
		return
	}
	if t.stored == nil {
		t.stored = map[int]mail.Identity{}
	}
	t.stored[pl.Tag] = pl.Stored
}

// pendGain tells that a copy waits, and why.
func (r *run) pendGain(g *plan.Gain, why plan.Reason, text string) {
	for _, ref := range g.Settle() {
		r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Row: rowID(g), Why: why, Text: text, Ident: g.Ident()})
	}
}

// denied is the row of a message that the other side will not take: it stays
// where it is, told once, until the rights change, or the limit.
func (r *run) denied(g *plan.Gain, err error) *plan.Row {
	from, row := g.To.Other(), rowOf(g)
	row.ID, row.NoBase, row.State, row.Date = max(row.ID, 0), false, plan.Kept, g.Date
	row.At[from], row.Epoch[from], row.Flags[from] = g.From, g.Epoch, g.Flags
	row.At[g.To], row.Epoch[g.To] = plan.Place{}, ""
	if large := (*mail.TooLarge)(nil); errors.As(err, &large) {
		r.oversize(g, large)
		return &row
	}
	r.noteOf(plan.Note{Side: g.To, At: plan.Place{Box: g.Box}, Why: plan.ReasonRights, Text: "the mailbox takes no messages"})
	return &row
}

// alias tells whether the server answered with a message that it had already
// and that another row is bound to: it keeps one copy of what it was given
// twice. The other side's second copy is then its own affair.
func (r *run) alias(ctx context.Context, g *plan.Gain, pl plan.Placed, next uint32) bool {
	if g.To == plan.Local {
		return false
	}
	at := plan.Place{Box: g.Box, Ref: pl.Ref}
	fresh := !r.placedAt[at]
	r.placedAt[at] = true
	if fresh && !olderThan(pl.Ref, next) {
		return false
	}
	if r.boundBefore == nil { // what this run binds is in placedAt
		r.boundBefore = r.boundOn(ctx, g.To)
	}
	if fresh && !r.boundBefore(at) {
		return false
	}
	r.noteOf(plan.Note{Side: g.To, At: at, Why: plan.ReasonDeclined, Text: "the server keeps one copy of a message that is here twice"})
	return true
}

// olderThan tells whether a UID is one that was given before next.
func olderThan(ref mail.Ref, next uint32) bool {
	uid, err := strconv.ParseUint(string(ref), 10, 32)
	return next == 0 || err != nil || uint32(uid) < next
}

// rowOf is the row that a gain completes.
func rowOf(g *plan.Gain) plan.Row {
	if g.Row != nil {
		return *g.Row
	}
	return plan.NewRow(g.To.Other(), g.From, g.Epoch, g.Item())
}

// rowID is its ID, 0 for a new one.
func rowID(g *plan.Gain) int64 {
	if g.Row == nil {
		return 0
	}
	return max(g.Row.ID, 0)
}

// gained completes the row of a message that is now on both sides.
func (r *run) gained(g *plan.Gain, pl plan.Placed) *plan.Row {
	from := g.To.Other()
	row := rowOf(g)
	row.ID = max(row.ID, 0)
	row.NoBase = false
	row.State = plan.Paired
	row.Date = g.Date
	row.At[from], row.Epoch[from] = g.From, g.Epoch
	row.At[g.To], row.Epoch[g.To] = plan.Place{Box: g.Box, Ref: pl.Ref}, orElse(pl.Epoch, r.epoch(g.To, g.Box))
	row.Flags[from], row.Flags[g.To] = g.Flags, pl.Flags
	for _, s := range plan.Sides {
		id := row.Ident[s].GlobalID
		row.Ident[s] = pl.Ident
		row.Ident[s].GlobalID, row.Ident[s].MessageID = id, ""
	}
	if g.To == plan.Local {
		row.Stat = pl.Stat
	}
	if refused := g.Flags.Minus(pl.Flags); !refused.Empty() {
		r.declined(g.To, g.Box, "flags "+refused.String(), true)
	}
	r.report.Copied[g.To]++
	r.report.CopiedBytes[g.To] += pl.Ident.Size
	r.did(Event{Verb: VerbCopied, Side: g.To, Mailbox: r.name(g.To, g.Box), Ref: pl.Ref, Row: row.ID, Digest: pl.Ident.Body, MessageID: pl.Ident.MessageID, Size: pl.Ident.Size, Reason: g.Why})
	return &row
}
