package engine

import (
	"context"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// gainStaged copies messages to a side that shows nothing of a batch before
// its Commit: while one chunk is committed and recorded, the next is fetched
// and written.
//
// Two goroutines share the work. This one, which runs the account and owns all
// that the run knows, commits the chunks and records them. The other, a
// loader, fetches and fills the batches; it reads the options and its pairs,
// and calls the sides, but what it has to say of the run it sends here, in
// order with the chunks. Nothing is buffered between them, so that at most
// one chunk is filled while one is committed.
//
// When ctx ends, or the fetching side fails for good, what has arrived is
// still committed and recorded. When this side or the index fails for good,
// nothing more is committed.
func (r *run) gainStaged(ctx context.Context, pairs []pair) error {
	if len(pairs) == 0 {
		return nil
	}
	loading, stop := context.WithCancel(ctx)
	finish, finished := finishing(ctx)
	defer finished()
	defer stop()
	l := r.newLoader(pairs)
	l.fill = &staging{loader: l, to: r.side[pairs[0].to]}
	go l.load(loading)
	var failed error
	for s := range l.out { // ends when the loader does
		switch {
		case failed != nil && s.say != nil:
		case failed != nil:
			s.chunk.batch.Abort()
		case s.say != nil:
			s.say()
		default:
			if failed = r.commit(finish, s.chunk); failed != nil {
				stop()
			}
		}
	}
	switch {
	case failed != nil:
		return failed
	case l.err != nil:
		return l.err
	}
	return ctx.Err()
}

// commit makes a chunk durable on its side, after its intents, and prepares
// the record of it.
func (r *run) commit(ctx context.Context, t *transfer) error {
	defer t.batch.Abort()
	t.intents = r.spare[:0] // of the chunk before, which needs them no more
	defer func() { r.spare, t.intents = t.intents, nil }()
	if err := r.beginChunk(ctx, t); err != nil {
		return err
	}
	placed, err := t.batch.Commit(ctx)
	r.placed(ctx, t, placed)
	switch {
	case err == nil:
	case mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount:
		return err
	case ctx.Err() == nil:
		r.fault(t.gains[0].To, r.name(t.gains[0].To, t.gains[0].Box), err, false)
	}
	return nil
}

// A step is what a loader sends: a chunk to commit, messages to send, or
// something to say.
type step struct {
	chunk  *transfer
	packet *packet
	say    func()
}

// A loader fetches messages and fills with them what goes to the other side.
type loader struct {
	run      *run // for steps, and for what never changes during a run
	from     Writer
	instance string // see mail.Token
	pairs    []pair
	out      chan step // closed at the end
	err      error     // why it ended, if the account cannot go on; read after out is closed
	fill     filler

	pair  *pair
	left  waiting // of pair, not handed over yet
	toErr error   // of the side that is filled: no more of this pair is tried
}

// A filler gathers what a loader fetches, and hands it on.
type filler interface {
	// begin makes sure that there is something to fill.
	begin(ctx context.Context) error
	// add puts a message into it; the body is read when it returns.
	add(ctx context.Context, g *plan.Gain, seen mail.Item, body io.Reader) error
	// hand passes on what was gathered, if anything.
	hand()
}

func (r *run) newLoader(pairs []pair) *loader {
	for i := range pairs {
		pairs[i].name = r.name(plan.Remote, pairs[i].from)
	}
	return &loader{run: r, from: r.side[pairs[0].to.Other()], instance: r.meta[metaInstance], pairs: pairs, out: make(chan step)}
}

// load goes through the pairs.
func (l *loader) load(ctx context.Context) {
	defer close(l.out)
	for i := 0; i < len(l.pairs); i++ {
		p := l.pairs[i] // the list may grow
		l.pair, l.toErr = &p, nil
		if ahead, ok := l.from.(Expecter); ok && i+1 < len(l.pairs) {
			ahead.ExpectFetch(l.pairs[i+1].from, refsOf(l.pairs[i+1].gains))
		}
		l.err = l.loadPair(ctx)
		l.fill.hand()
		if l.err != nil || ctx.Err() != nil {
			return
		}
		l.pairs[i].gains = nil
	}
}

// loadPair fetches the messages of a mailbox, and tries again what a broken
// connection left undone: together while that helps, else one by one, so
// that a single bad message is found and stops nobody else.
func (l *loader) loadPair(ctx context.Context) error {
	gains := l.pair.gains
	if l.toErr = l.fill.begin(ctx); l.toErr != nil {
		l.left = waitFor(gains)
		return l.sort(ctx, gains, l.toErr)
	}
	for {
		n := len(gains)
		if err := l.fetch(ctx, gains); err != nil {
			return err
		}
		if gains = l.rest(gains); len(gains) == 0 {
			return nil
		}
		if len(gains) == n {
			break
		}
	}
	for i, g := range gains {
		if len(gains) > 1 {
			if err := l.fetch(ctx, gains[i:i+1]); err != nil {
				return err
			}
		}
		if l.left.take(g.From.Ref) != nil {
			l.out <- step{say: func() { l.run.gainGivenUp(g) }}
		}
	}
	return nil
}

// fetch asks for messages once. Those that may still be there and were not
// handed over are in l.left then. Its error is one that ends the run.
func (l *loader) fetch(ctx context.Context, gains []*plan.Gain) error {
	l.left = waitFor(gains)
	err := l.from.Fetch(ctx, l.pair.from, refsOf(gains), func(ref mail.Ref, seen mail.Item, body io.Reader) error {
		if !l.left.has(ref) {
			return nil // not asked for
		}
		if l.toErr = l.fill.begin(ctx); l.toErr == nil {
			g := l.left.take(ref)
			l.toErr = l.fill.add(ctx, g, seen, body)
		}
		return l.toErr
	})
	return l.sort(ctx, gains, err)
}

// sort decides about what a fetch left, by how it ended.
func (l *loader) sort(ctx context.Context, gains []*plan.Gain, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if l.toErr != nil {
		err = l.toErr // it is the same error
	}
	if err != nil && mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
		return err
	}
	r, p, rest := l.run, l.pair, l.rest(gains)
	switch {
	case l.toErr != nil:
		l.out <- step{say: func() {
			r.fault(p.to, r.name(p.to, p.box), err, false)
			for _, g := range rest {
				r.gainFailed(g)
				r.pendGain(g, plan.ReasonError, err.Error())
			}
		}}
		l.left = waiting{}
	case err == nil:
		l.out <- step{say: func() {
			for _, g := range rest {
				r.gainGone(g)
			}
		}}
		l.left = waiting{}
	case len(rest) == len(gains):
		l.out <- step{say: func() { r.fault(p.to.Other(), r.name(p.to.Other(), p.from), err, false) }}
	}
	return nil
}

// rest are those of gains that are left.
func (l *loader) rest(gains []*plan.Gain) (rest []*plan.Gain) {
	for _, g := range gains {
		if l.left.has(g.From.Ref) {
			rest = append(rest, g)
		}
	}
	return rest
}

// staging fills batches, each of them a chunk.
type staging struct {
	*loader
	to    Writer
	chunk *transfer // being filled, nil if none
	bytes int64     // in chunk
}

// begin makes sure that there is a chunk to fill.
func (l *staging) begin(ctx context.Context) error {
	if l.chunk != nil {
		return nil
	}
	batch, err := l.to.Put(ctx, l.pair.box)
	if err == nil {
		n := min(len(l.pair.gains), l.run.chunk())
		l.chunk = &transfer{run: l.run, batch: batch,
			gains: make([]*plan.Gain, 0, n), items: make([]mail.Item, 0, n), given: make([]bool, 0, n)}
	}
	return err
}

// add puts a message into the chunk.
func (l *staging) add(ctx context.Context, g *plan.Gain, seen mail.Item, body io.Reader) error {
	t := l.chunk
	t.take(g, mail.Token(l.instance, l.pair.name, g.Epoch, g.From.Ref))
	if err := t.add(ctx, len(t.gains)-1, seen, body); err != nil {
		return err
	}
	if l.bytes += seen.Ident.Size; len(t.gains) >= l.run.chunk() || l.bytes >= chunkBytes {
		l.hand()
	}
	return nil
}

// hand passes the chunk on, if there is anything in it. It waits until the
// one before is committed.
func (l *staging) hand() {
	t := l.chunk
	l.chunk, l.bytes = nil, 0
	switch {
	case t == nil:
	case len(t.gains) == 0:
		t.batch.Abort()
	default:
		l.out <- step{chunk: t}
	}
}
