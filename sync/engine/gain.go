package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// gain copies messages, mailbox by mailbox, in chunks that are durable before
// the next begins.
func (r *run) gain(ctx context.Context, p *plan.Plan) error {
	gains := p.Gains
	slices.SortStableFunc(gains, func(a, b plan.Gain) int {
		if a.To != b.To {
			return int(a.To) - int(b.To)
		}
		if a.Box != b.Box {
			return int(a.Box - b.Box)
		}
		return int(a.From.Box - b.From.Box)
	})
	for len(gains) > 0 {
		n := chunkOf(gains)
		if err := r.gainChunk(ctx, gains[:n]); err != nil {
			for _, g := range gains {
				r.gainFailed(g)
			}
			return err
		}
		gains = gains[n:]
	}
	return nil
}

// chunkOf is how many of the first gains go together: one mailbox to one
// mailbox, bounded in number and bytes.
func chunkOf(gains []plan.Gain) int {
	first := gains[0]
	var bytes int64
	for i, g := range gains {
		bytes += g.Item.Ident.Size
		if i > 0 && (g.To != first.To || g.Box != first.Box || g.From.Box != first.From.Box || i >= chunkMessages || bytes > chunkBytes) {
			return i
		}
	}
	return len(gains)
}

// gainChunk copies the messages of one chunk, and tries again what a broken
// connection left undone: together while that helps, else one by one, so
// that a single bad message is found and stops nobody else.
func (r *run) gainChunk(ctx context.Context, gains []plan.Gain) error {
	for len(gains) > 0 {
		left, err := r.gainOnce(ctx, gains)
		if err != nil {
			return err
		}
		if len(left) == len(gains) {
			break
		}
		gains = left
	}
	if len(gains) <= 1 {
		for _, g := range gains {
			r.gainGivenUp(g)
		}
		return nil
	}
	for i := range gains {
		left, err := r.gainOnce(ctx, gains[i:i+1])
		if err != nil {
			return err
		}
		for _, g := range left {
			r.gainGivenUp(g)
		}
	}
	return nil
}

// gainGivenUp reports a message that could not be read from its side.
func (r *run) gainGivenUp(g plan.Gain) {
	r.gainFailed(g)
	from := g.To.Other()
	err := mail.NewFault(mail.GradeMessage, mail.ClassServer,
		fmt.Errorf("message %s in %s cannot be read %s", g.From.Ref, r.name(from, g.From.Box), where(from)), "it is tried again at the next run")
	r.fault(from, r.name(from, g.From.Box), err, false)
	for _, ref := range g.Settle {
		r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Why: plan.ReasonError, Text: err.Error(), Ident: g.Item.Ident})
	}
}

// gainFailed keeps the losses that could be the other half of a move waiting.
func (r *run) gainFailed(g plan.Gain) {
	r.unsettle(g.Settle)
	r.failed.add(g.Item.Ident)
}

// transfer is one chunk on its way.
type transfer struct {
	run     *run
	gains   []plan.Gain
	byRef   map[mail.Ref]int
	given   []bool // handed to the batch
	intents []plan.Intent
	shapes  map[int]*shape        // of messages that go to the server
	plain   int                   // one more than the tag of a plain one that is read back
	stored  map[int]mail.Identity // what was read back
	batch   Batch
	addErr  error
}

// gainOnce copies one chunk once. It returns the gains whose message was not
// handed over by their side, though it may still be there.
func (r *run) gainOnce(ctx context.Context, gains []plan.Gain) (left []plan.Gain, err error) {
	to := gains[0].To
	from := to.Other()
	if err := r.recognisable(ctx, gains); err != nil {
		return nil, err
	}
	t := transfer{run: r, gains: gains, byRef: map[mail.Ref]int{}, given: make([]bool, len(gains)), shapes: map[int]*shape{}, stored: map[int]mail.Identity{}}
	refs := make([]mail.Ref, len(gains))
	for i, g := range gains {
		refs[i] = g.From.Ref
		t.byRef[g.From.Ref] = i
		t.intents = append(t.intents, r.intentFor(g))
	}
	if err := r.begin(ctx, t.intents); err != nil {
		return nil, err
	}
	if t.batch, err = r.side[to].Put(ctx, gains[0].Box); err != nil {
		return nil, r.putFailed(ctx, &t, err)
	}
	fetchErr := r.side[from].Fetch(ctx, gains[0].From.Box, refs, t.add(ctx))
	finish, done := finishing(ctx)
	placed, commitErr := t.batch.Commit(finish)
	done()
	t.batch.Abort()
	if err := r.placed(ctx, &t, placed); err != nil {
		return nil, err
	}
	return t.rest(ctx, from, to, fetchErr, commitErr)
}

// grace is how long the step in hand may go on when the run is told to stop.
const grace = 5 * time.Second

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

// recognisable learns enough of messages that go to the server for their
// copies to be recognised there, should the answer never come. Files need
// none of it: they bear a name.
func (r *run) recognisable(ctx context.Context, gains []plan.Gain) error {
	if gains[0].To == plan.Local {
		return nil
	}
	level := mail.LevelBody // reading a file is cheap
	if !r.KeepsRef[plan.Local] {
		level = mail.LevelLight
	}
	byRef := map[mail.Ref]int{}
	var refs []mail.Ref
	for i, g := range gains {
		if g.Item.Ident.Level() < level {
			byRef[g.From.Ref] = i
			refs = append(refs, g.From.Ref)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	err := r.side[plan.Local].Identify(ctx, gains[0].From.Box, refs, level, func(ref mail.Ref, id mail.Identity, err error) error {
		if i, ok := byRef[ref]; ok && err == nil {
			id.GlobalID = gains[i].Item.Ident.GlobalID
			gains[i].Item.Ident = id
		}
		return nil // the copy itself will meet and tell any error
	})
	if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount) {
		return err
	}
	return nil
}

// rest sorts out what was not handed over.
func (t *transfer) rest(ctx context.Context, from, to plan.Side, fetchErr, commitErr error) (left []plan.Gain, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if t.addErr != nil {
		fetchErr = nil // it is the same error
	}
	for _, e := range []error{t.addErr, commitErr, fetchErr} {
		if e != nil && mail.GradeOf(e, mail.GradeMailbox) >= mail.GradeAccount {
			return nil, e
		}
	}
	r := t.run
	if e := errors.Join(t.addErr, commitErr); e != nil {
		r.fault(to, r.name(to, t.gains[0].Box), e, false)
	}
	for i, g := range t.gains {
		switch {
		case t.given[i]:
		case t.addErr != nil || commitErr != nil:
			r.gainFailed(g)
		case fetchErr == nil: // no longer there: the next scan tells
			r.gainFailed(g)
			r.unsettled[plan.SideBox{Side: from, Box: g.From.Box}] = true
		default:
			left = append(left, g)
		}
	}
	if len(left) == len(t.gains) && fetchErr != nil {
		r.fault(from, r.name(from, t.gains[0].From.Box), fetchErr, false)
	}
	return left, nil
}

// intentFor is what is remembered of a copy before it is begun.
func (r *run) intentFor(g plan.Gain) plan.Intent {
	return plan.Intent{
		Kind: plan.IntentPut, Side: g.To, To: g.Box, From: g.From, FromEpoch: g.Epoch, Row: rowID(g),
		Epoch: r.epoch(g.To, g.Box), Next: r.next(g.To, g.Box), Item: r.itemFor(g), At: r.Clock(),
	}
}

// itemFor is the item as it is to be placed.
func (r *run) itemFor(g plan.Gain) mail.Item {
	item := g.Item
	item.Token, item.HintUID = "", 0
	if g.To == plan.Local {
		item.Stat = ""
		item.Token = r.token(g.From, g.Epoch)
	}
	if item.Date.IsZero() && g.Row != nil {
		item.Date = g.Row.Date
	}
	return item
}

// putFailed settles a chunk that could not even be begun.
func (r *run) putFailed(ctx context.Context, t *transfer, err error) error {
	st := plan.Settlement{}
	for i, g := range t.gains {
		st.Done = append(st.Done, t.intents[i].ID)
		r.gainFailed(g)
		for _, ref := range g.Settle {
			r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Why: plan.ReasonError, Text: err.Error(), Ident: g.Item.Ident})
		}
	}
	if e := r.settle(ctx, &st); e != nil {
		return e
	}
	to := t.gains[0].To
	if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
		return err
	}
	r.fault(to, r.name(to, t.gains[0].Box), err, false)
	return nil
}

// add hands one fetched message to the batch.
func (t *transfer) add(ctx context.Context) func(mail.Ref, mail.Item, io.Reader) error {
	return func(ref mail.Ref, seen mail.Item, body io.Reader) error {
		i, ok := t.byRef[ref]
		if !ok || t.given[i] {
			return nil // not asked for
		}
		t.given[i] = true
		g := &t.gains[i]
		if g.Item.Date.IsZero() {
			g.Item.Date = seen.Date
		}
		item := t.run.itemFor(*g)
		item.Ident = g.Item.Ident
		item.Ident.Size = seen.Ident.Size
		if g.To == plan.Remote {
			t.shapes[i] = &shape{r: body}
			body = t.shapes[i]
		}
		opened := false
		t.addErr = t.batch.Add(ctx, plan.Incoming{Tag: i, Item: item, Echo: t.echo(i), Open: func() (io.ReadCloser, error) {
			if opened {
				return nil, errors.New("the body was read already")
			}
			opened = true
			return io.NopCloser(body), nil
		}})
		return t.addErr
	}
}

// placed settles what became of a chunk.
func (r *run) placed(ctx context.Context, t *transfer, placed []plan.Placed) error {
	var st plan.Settlement
	keep, rows := map[int]bool{}, map[int]*plan.Row{}
	for _, pl := range placed {
		g := t.gains[pl.Tag]
		switch {
		case pl.Unknown || pl.Err == nil && pl.Ref == "":
			keep[pl.Tag] = true
			r.gainFailed(g)
			for _, ref := range g.Settle {
				r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Row: rowID(g), Why: plan.ReasonUnknown, Text: "sent, but it is not known yet whether it arrived", Ident: g.Item.Ident})
			}
		case errors.Is(pl.Err, mail.ErrDenied):
			st.Put = append(st.Put, r.denied(g))
		case pl.Err != nil:
			r.gainFailed(g)
			err := fmt.Errorf("message %s: %w", g.From.Ref, pl.Err)
			r.fault(g.To, r.name(g.To, g.Box), err, false)
			for _, ref := range g.Settle {
				r.pend(plan.Pending{Side: ref.Side, At: ref.At, Kind: ref.Kind, Row: rowID(g), Why: plan.ReasonError, Text: pl.Err.Error(), Ident: g.Item.Ident})
			}
		default:
			row := r.gained(g, pl)
			if r.alias(ctx, g, pl, t.intents[pl.Tag].Next) {
				row.At[g.To], row.Epoch[g.To], row.State = plan.Place{}, "", plan.Kept
			} else {
				rows[pl.Tag], t.stored[pl.Tag] = row, pl.Stored
			}
			st.Put = append(st.Put, row)
		}
	}
	for i := range t.intents {
		if !keep[i] {
			st.Done = append(st.Done, t.intents[i].ID)
		}
	}
	r.readBack(ctx, t, rows)
	st.Events = r.takeEvents()
	return r.settle(ctx, &st)
}

// denied is the row of a message that the other side will not take: it stays
// where it is, told once, until the rights change.
func (r *run) denied(g plan.Gain) *plan.Row {
	from, row := g.To.Other(), rowOf(g)
	row.ID, row.NoBase, row.State, row.Date = max(row.ID, 0), false, plan.Kept, g.Item.Date
	row.At[from], row.Epoch[from], row.Flags[from] = g.From, g.Epoch, g.Item.Flags
	row.At[g.To], row.Epoch[g.To] = plan.Place{}, ""
	r.noteOf(plan.Note{Side: g.To, At: plan.Place{Box: g.Box}, Why: plan.ReasonRights, Text: "the mailbox takes no messages"})
	return &row
}

// alias tells whether the server answered with a message that it had already
// and that another row is bound to: it keeps one copy of what it was given
// twice. The other side's second copy is then its own affair.
func (r *run) alias(ctx context.Context, g plan.Gain, pl plan.Placed, next uint32) bool {
	at := plan.Place{Box: g.Box, Ref: pl.Ref}
	fresh := !r.placedAt[at]
	r.placedAt[at] = true
	if g.To == plan.Local || fresh && !olderThan(pl.Ref, next) {
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
func rowOf(g plan.Gain) plan.Row {
	if g.Row != nil {
		return *g.Row
	}
	return plan.NewRow(g.To.Other(), g.From, g.Epoch, g.Item)
}

// rowID is its ID, 0 for a new one.
func rowID(g plan.Gain) int64 {
	if g.Row == nil {
		return 0
	}
	return max(g.Row.ID, 0)
}

// gained completes the row of a message that is now on both sides.
func (r *run) gained(g plan.Gain, pl plan.Placed) *plan.Row {
	from := g.To.Other()
	row := rowOf(g)
	row.ID = max(row.ID, 0)
	row.NoBase = false
	row.State = plan.Paired
	row.Date = g.Item.Date
	row.At[from], row.Epoch[from] = g.From, g.Epoch
	row.At[g.To], row.Epoch[g.To] = plan.Place{Box: g.Box, Ref: pl.Ref}, orElse(pl.Epoch, r.epoch(g.To, g.Box))
	row.Flags[from], row.Flags[g.To] = g.Item.Flags, pl.Flags
	for _, s := range plan.Sides {
		id := row.Ident[s].GlobalID
		row.Ident[s] = pl.Ident
		row.Ident[s].GlobalID, row.Ident[s].MessageID = id, ""
	}
	if g.To == plan.Local {
		row.Stat = pl.Stat
	}
	if refused := g.Item.Flags.Minus(pl.Flags); !refused.Empty() {
		r.declined(g.To, g.Box, "flags "+refused.String(), true)
	}
	r.report.Copied[g.To]++
	r.report.CopiedBytes[g.To] += pl.Ident.Size
	r.did(Event{Verb: VerbCopied, Side: g.To, Mailbox: r.name(g.To, g.Box), Ref: pl.Ref, Row: row.ID, Digest: pl.Ident.Body, MessageID: pl.Ident.MessageID, Size: pl.Ident.Size, Reason: g.Why})
	return &row
}
