package engine

import (
	"context"
	"errors"
	"io"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// gainSent copies messages to a side that may show each as it is sent: the
// intents of a chunk are durable before the first of them, and one chunk is
// over before the next begins.
func (r *run) gainSent(ctx context.Context, pairs []pair) error {
	for _, p := range pairs {
		for gains := p.gains; len(gains) > 0; {
			n := r.chunkOf(gains)
			if err := r.gainChunk(ctx, gains[:n]); err != nil {
				return err
			}
			gains = gains[n:]
		}
	}
	return nil
}

// chunkOf is how many of the first gains go together.
func (r *run) chunkOf(gains []*plan.Gain) int {
	var bytes int64
	for i, g := range gains {
		bytes += g.Ident().Size
		if i > 0 && (i >= r.chunk() || bytes > chunkBytes) {
			return i
		}
	}
	return len(gains)
}

// gainChunk copies the messages of one chunk, and tries again what a broken
// connection left undone: together while that helps, else one by one, so
// that a single bad message is found and stops nobody else.
func (r *run) gainChunk(ctx context.Context, gains []*plan.Gain) error {
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

// gainOnce copies one chunk once. It returns the gains whose message was not
// handed over by their side, though it may still be there.
func (r *run) gainOnce(ctx context.Context, gains []*plan.Gain) (left []*plan.Gain, err error) {
	to := gains[0].To
	if err := r.recognisable(ctx, gains); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	t := &transfer{run: r, shapes: map[int]*shape{}}
	for _, g := range gains {
		t.take(g, r.tokenFor(g))
	}
	if err := r.begin(ctx, t.intend()); err != nil {
		return nil, err
	}
	if t.batch, err = r.side[to].Put(ctx, gains[0].Box); err != nil {
		return nil, r.putFailed(ctx, t, err)
	}
	t.byRef = make(map[mail.Ref]int, len(gains))
	for i, g := range gains {
		t.byRef[g.From.Ref] = i
	}
	var addErr error
	fetchErr := r.side[to.Other()].Fetch(ctx, gains[0].From.Box, refsOf(gains), func(ref mail.Ref, seen mail.Item, body io.Reader) error {
		i, ok := t.byRef[ref]
		if !ok || t.given[i] {
			return nil // not asked for
		}
		addErr = t.add(ctx, i, seen, body)
		return addErr
	})
	finish, done := finishing(ctx)
	placed, commitErr := t.batch.Commit(finish)
	done()
	t.batch.Abort()
	r.placed(ctx, t, placed)
	return t.rest(ctx, addErr, commitErr, fetchErr)
}

// putFailed records of a chunk that it could not even be begun.
func (r *run) putFailed(ctx context.Context, t *transfer, err error) error {
	var st plan.Settlement
	for i, g := range t.gains {
		st.Done = append(st.Done, t.intents[i].ID)
		r.gainFailed(g)
		r.pendGain(g, plan.ReasonError, err.Error())
	}
	r.dueAlso(&st)
	to := t.gains[0].To
	if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
		return err
	}
	r.fault(to, r.name(to, t.gains[0].Box), err, false)
	return nil
}

// rest sorts out what was not handed over.
func (t *transfer) rest(ctx context.Context, addErr, commitErr, fetchErr error) (left []*plan.Gain, err error) {
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if addErr != nil {
		fetchErr = nil // it is the same error
	}
	for _, e := range []error{addErr, commitErr, fetchErr} {
		if e != nil && mail.GradeOf(e, mail.GradeMailbox) >= mail.GradeAccount {
			return nil, e
		}
	}
	r, to := t.run, t.gains[0].To
	if e := errors.Join(addErr, commitErr); e != nil {
		r.fault(to, r.name(to, t.gains[0].Box), e, false)
	}
	for i, g := range t.gains {
		switch {
		case t.given[i]:
		case addErr != nil || commitErr != nil:
			r.gainFailed(g)
		case fetchErr == nil:
			r.gainGone(g)
		default:
			left = append(left, g)
		}
	}
	if len(left) == len(t.gains) && fetchErr != nil {
		from := to.Other()
		r.fault(from, r.name(from, t.gains[0].From.Box), fetchErr, false)
	}
	return left, nil
}

// recognisable learns enough of messages that go to the server for their
// copies to be recognised there, should the answer never come. Files need
// none of it: they bear a name.
func (r *run) recognisable(ctx context.Context, gains []*plan.Gain) error {
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
		if g.Ident().Level() < level {
			byRef[g.From.Ref] = i
			refs = append(refs, g.From.Ref)
		}
	}
	if len(refs) == 0 {
		return nil
	}
	err := r.side[plan.Local].Identify(ctx, gains[0].From.Box, refs, level, func(ref mail.Ref, id mail.Identity, err error) error {
		if i, ok := byRef[ref]; ok && err == nil {
			id.GlobalID = gains[i].Ident().GlobalID
			gains[i].Learn(id)
		}
		return nil // the copy itself will meet and tell any error
	})
	if err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount) {
		return err
	}
	return nil
}
