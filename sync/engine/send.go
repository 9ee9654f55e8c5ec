package engine

import (
	"context"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// gainSent copies messages to a side that may show each as it is sent: the
// intents of a packet are durable before the first byte of it leaves. While
// one packet is sent, and the side works on it, the next is read and digested.
//
// Two goroutines share the work, as in gainStaged: a loader reads the messages
// into packets, this one writes the intents, sends, and records. Several
// packets make a chunk, whose answers are waited for together: a link with a
// round-trip time is idle once a chunk.
//
// When ctx ends, no more is sent, and the answers to what was sent are waited
// for and recorded. When this side or the index fails for good, nothing more is sent.
func (r *run) gainSent(ctx context.Context, pairs []pair) error {
	if len(pairs) == 0 {
		return nil
	}
	loading, stop := context.WithCancel(ctx)
	finish, finished := finishing(ctx)
	defer finished()
	defer stop()
	l := r.newLoader(apart(pairs))
	l.fill = newPacking(l)
	go l.load(loading)
	s := &sender{run: r, side: r.side[pairs[0].to], finish: finish}
	var failed error
	for st := range l.out { // ends when the loader does
		switch {
		case failed == nil && st.say != nil:
			st.say()
		case failed == nil:
			if failed = s.send(ctx, st.packet); failed != nil {
				stop()
			}
		}
		st.packet.sent()
	}
	switch err := s.commit(ctx); {
	case failed != nil:
		return failed
	case err != nil:
		return err
	case l.err != nil:
		return l.err
	}
	return ctx.Err()
}

// A sender gives packets to a side.
type sender struct {
	run    *run
	side   Writer
	finish context.Context // see finishing
	chunk  *transfer       // sent and not waited for, nil if none
	bytes  int64           // in chunk
}

// send writes the intents of a packet and sends it. Its error is one that
// ends the run.
func (s *sender) send(ctx context.Context, p *packet) error {
	if t := s.chunk; t != nil && (t.gains[0].Box != p.box() || t.gains[0].From.Box != p.from()) {
		if err := s.commit(ctx); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.chunk == nil {
		s.chunk, s.bytes = &transfer{run: s.run, shapes: map[int]*shape{}}, 0
	}
	t := s.chunk
	first := len(t.gains)
	for i := range p.letters {
		t.takeLetter(&p.letters[i])
		s.bytes += p.letters[i].seen.Ident.Size
	}
	if err := s.run.begin(ctx, t.intend(first)); err != nil {
		t.intents = t.intents[:first]
		s.drop(first)
		return err
	}
	if t.batch == nil {
		batch, err := s.side.Put(ctx, p.box())
		if err != nil {
			s.chunk = nil
			return s.run.putFailed(ctx, t, err)
		}
		t.batch = batch
	}
	for i := range p.letters {
		if t.failed = t.give(ctx, first+i, &p.letters[i]); t.failed != nil {
			return s.commit(ctx)
		}
	}
	if len(t.gains) >= s.run.chunk() || s.bytes >= chunkBytes {
		return s.commit(ctx)
	}
	return nil
}

// drop takes the messages from the first on, of which none was sent, out of the chunk.
func (s *sender) drop(first int) {
	t := s.chunk
	if t.gains, t.items, t.given = t.gains[:first], t.items[:first], t.given[:first]; first == 0 {
		s.chunk = nil
	}
}

// commit waits for the answers to what was sent, and prepares the record of it.
func (s *sender) commit(ctx context.Context) error {
	t, r := s.chunk, s.run
	if s.chunk = nil; t == nil {
		return nil
	}
	placed, err := t.batch.Commit(s.finish)
	t.batch.Abort()
	r.placed(ctx, t, placed)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, e := range []error{t.failed, err} {
		if e != nil && mail.GradeOf(e, mail.GradeMailbox) >= mail.GradeAccount {
			return e
		}
	}
	if t.failed == nil {
		t.failed = err
	}
	if t.failed == nil {
		return nil
	}
	to := t.gains[0].To
	r.fault(to, r.name(to, t.gains[0].Box), t.failed, false)
	for i := range t.gains {
		if !t.given[i] {
			t.fail(i)
		}
	}
	return nil
}

// putFailed records of a chunk that it could not even be begun.
func (r *run) putFailed(ctx context.Context, t *transfer, err error) error {
	var st plan.Settlement
	for i, g := range t.gains {
		st.Done = append(st.Done, t.intents[i].ID)
		t.fail(i)
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
