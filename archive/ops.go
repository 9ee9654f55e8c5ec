package archive

import (
	"context"
	"fmt"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Do carries out ops, some hundreds in one transaction. A deletion ends the
// interval of the message in its mailbox; its bytes stay.
func (r *Recording) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	for len(ops) > 0 {
		n := min(len(ops), atOnce)
		out := make([]plan.Outcome, 0, n)
		err := r.effect(ctx, func(e *effect) error {
			for _, op := range ops[:n] {
				o, err := e.one(op)
				if err != nil {
					return err
				}
				o.Tag = op.Tag
				out = append(out, o)
			}
			return nil
		})
		if err != nil {
			return giveUp(ops, fault(err), done)
		}
		ops = ops[n:]
		if err := done(out); err != nil {
			return err
		}
	}
	return nil
}

// giveUp gives every op that was not done its outcome.
func giveUp(ops []plan.Op, err error, done func([]plan.Outcome) error) error {
	out := make([]plan.Outcome, len(ops))
	for i, op := range ops {
		out[i] = plan.Outcome{Tag: op.Tag, Result: plan.Failed, Err: err}
	}
	if e := done(out); e != nil {
		return e
	}
	return err
}

// one carries out one op. An error is one of the catalogue.
func (e *effect) one(op plan.Op) (plan.Outcome, error) {
	from, err := e.boundBox(op.From.Box)
	if err != nil {
		return plan.Outcome{}, err
	}
	var p *lying
	if from.id > 0 {
		if p, err = e.lying(op.From.Ref, from.id); err != nil {
			return plan.Outcome{}, err
		}
	}
	switch {
	case p == nil && op.Kind == plan.OpDelete:
		return plan.Outcome{Result: plan.Done, Epoch: Epoch}, nil
	case p == nil:
		return plan.Outcome{Result: plan.Missing, Epoch: Epoch}, nil
	}
	switch op.Kind {
	case plan.OpFlags:
		return plan.Outcome{Result: plan.Done, At: op.From, Epoch: Epoch, Accepted: op.Add}, e.reflag(p, op)
	case plan.OpMove:
		return e.move(p, op)
	case plan.OpDelete:
		return plan.Outcome{Result: plan.Done, Epoch: Epoch}, e.lift(p, false)
	}
	return plan.Outcome{Result: plan.Failed, Err: fmt.Errorf("op of an unknown kind %d", op.Kind)}, nil
}

// boundBox finds a mailbox by its number; one that is not there has number 0.
func (e *effect) boundBox(id mail.BoxID) (box, error) {
	name, ok := e.rec.bound[id]
	if !ok {
		return box{}, nil
	}
	return e.rec.ifThere(e, name)
}

func (e *effect) reflag(p *lying, op plan.Op) error {
	was := mail.ParseFlagSet(p.flags)
	if flags := was.Minus(op.Remove).Union(op.Add); !flags.Equal(was) {
		return e.flag(p, flags.String())
	}
	return nil
}

func (e *effect) move(p *lying, op plan.Op) (plan.Outcome, error) {
	to, err := e.boundBox(op.To)
	if err != nil {
		return plan.Outcome{}, err
	}
	if to.id == 0 {
		err := boxFault("the mailbox that it should move to is not in the archive")
		return plan.Outcome{Result: plan.Failed, Epoch: Epoch, Err: err}, nil
	}
	if err := e.lift(p, true); err != nil {
		return plan.Outcome{}, err
	}
	moved := *p
	moved.mailbox, moved.origin = to.id, p.id
	if err := e.place(&moved, ""); err != nil {
		return plan.Outcome{}, err
	}
	return plan.Outcome{Result: plan.Done, At: plan.Place{Box: op.To, Ref: refOf(moved.id)}, Epoch: Epoch}, nil
}
