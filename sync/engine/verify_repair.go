package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// mend replaces a damaged file by the server's message. The order is the
// promise: the server's message is proved, the damaged bytes are kept, and
// the row waits for its file (plan.Unbound), before the file goes. A run that
// dies anywhere after that leaves a row that the next sync completes.
func (c *boxCheck) mend(ctx context.Context, x toRead) error {
	row := *x.row
	if err := c.mayMend(&row); err != nil {
		return err
	}
	if err := c.proveRemote(ctx, &row); err != nil {
		return err
	}
	if err := c.keepDamaged(ctx, x); err != nil {
		return err
	}
	if err := c.stamp(ctx); err != nil {
		return err
	}
	bound := row
	row.At[plan.Local], row.Epoch[plan.Local], row.Stat, row.State = plan.Place{}, "", "", plan.Unbound
	rec := *c.rec
	rec.Side[plan.Local].Cursor = ""
	if err := c.settle(ctx, &plan.Settlement{Put: []*plan.Row{&row}, Boxes: []*plan.BoxRecord{&rec}}); err != nil {
		return err
	}
	if left, err := c.removeDamaged(ctx, x); left {
		return errors.Join(err, c.settle(ctx, &plan.Settlement{Put: []*plan.Row{&bound}}))
	} else if err != nil {
		return err
	}
	return c.place(ctx, &row, x.now.flags)
}

// mayMend tells why a file cannot be mended.
func (c *boxCheck) mayMend(row *plan.Row) error {
	switch {
	case c.broken:
		return errors.New("the index is damaged: mend it first")
	case c.Keeper == nil:
		return errors.New("there is nowhere to keep the damaged file")
	case c.report.Adopt != "":
		return errors.New("the next sync matches both sides anew: run it first")
	case row.At[plan.Remote].IsZero() || row.State != plan.Paired:
		return errors.New("the server has no copy of it")
	case row.Ident[plan.Remote].Body.IsZero():
		return errors.New("the index does not know the digest of the server's message")
	case c.sum.Unmatched[plan.Remote] > 0:
		return errors.New("the server numbers its messages anew: run sync first")
	}
	return nil
}

// proveRemote fetches the server's message and compares its digest.
func (c *boxCheck) proveRemote(ctx context.Context, row *plan.Row) error {
	at, got := row.At[plan.Remote], mail.Identity{}
	err := c.Remote.Fetch(ctx, at.Box, []mail.Ref{at.Ref}, func(_ mail.Ref, _ mail.Item, body io.Reader) (err error) {
		got, err = mail.Identify(body)
		return err
	})
	switch {
	case err != nil:
		return err
	case got.Body.IsZero():
		return errors.New("the server has it no more")
	case got.Body != row.Ident[plan.Remote].Body:
		return errors.New("the server's copy is not what it was either")
	}
	return nil
}

// keepDamaged stores the damaged bytes in the undo store.
func (c *boxCheck) keepDamaged(ctx context.Context, x toRead) error {
	at, kept := x.row.At[plan.Local], false
	err := c.Local.Fetch(ctx, at.Box, []mail.Ref{at.Ref}, func(_ mail.Ref, item mail.Item, body io.Reader) error {
		what := Kept{Side: plan.Local, Mailbox: c.sum.Mailbox, Item: item, Why: "damaged, replaced by the server's copy"}
		err := c.Keeper.Keep(ctx, what, mail.Identity{}, body)
		kept = err == nil
		return err
	})
	if err == nil && !kept {
		err = errors.New("the file is no longer there")
	}
	return err
}

// removeDamaged takes away the file, if it is still the one that was kept.
// left says that the file is certainly still there.
func (c *boxCheck) removeDamaged(ctx context.Context, x toRead) (left bool, err error) {
	err = errors.New("nobody knows whether the damaged file is gone: the next sync sees to it")
	op := plan.Op{Kind: plan.OpDelete, From: x.row.At[plan.Local], Stat: x.now.stat}
	e := c.Local.Do(ctx, []plan.Op{op}, func(out []plan.Outcome) error {
		for _, o := range out {
			switch o.Result {
			case plan.Done:
				err = nil
			case plan.Failed:
				left, err = true, o.Err
			case plan.Missing, plan.Declined:
				left, err = true, errors.New("the file changed while it was looked at")
			}
		}
		return nil
	})
	return left, errors.Join(err, e)
}

// place puts the server's message where the file was, and binds the row to it.
func (c *boxCheck) place(ctx context.Context, row *plan.Row, flags mail.FlagSet) error {
	from := row.At[plan.Remote]
	item := mail.Item{Flags: flags, Date: row.Date, Ident: row.Ident[plan.Remote]}
	item.Token = mail.Token(c.meta[metaInstance], c.rec.Side[plan.Remote].Name, row.Epoch[plan.Remote], from.Ref)
	if from.Box != c.rec.ID {
		item.Token = "" // it bears the name of another mailbox's message
	}
	intents := []plan.Intent{{Kind: plan.IntentPut, Side: plan.Local, To: c.rec.ID, From: from, FromEpoch: row.Epoch[plan.Remote],
		Row: row.ID, Epoch: c.rec.Side[plan.Local].Epoch, Item: item, At: c.Clock()}}
	if err := c.Index.Begin(ctx, intents); err != nil {
		return indexFault(err)
	}
	placed, err := c.copyHere(ctx, row, item)
	if err != nil {
		return errors.Join(fmt.Errorf("the damaged file is kept and gone, the next sync fetches the message: %w", err),
			c.settle(ctx, &plan.Settlement{Done: []int64{intents[0].ID}}))
	}
	row.At[plan.Local], row.Epoch[plan.Local] = plan.Place{Box: c.rec.ID, Ref: placed.Ref}, placed.Epoch
	row.Ident[plan.Local], row.Stat, row.State = placed.Ident, placed.Stat, plan.Paired
	return c.settle(ctx, &plan.Settlement{Put: []*plan.Row{row}, Done: []int64{intents[0].ID}, Events: []plan.Event{{
		Verb: string(VerbRepaired), Side: plan.Local, Mailbox: c.sum.Mailbox, Row: row.ID, Ident: bodyOf(row),
		Text: "the damaged file was kept and replaced by the server's copy",
	}}})
}

// copyHere copies the server's message into the Maildir, if it is still the same.
func (c *boxCheck) copyHere(ctx context.Context, row *plan.Row, item mail.Item) (plan.Placed, error) {
	batch, err := c.Local.Put(ctx, c.rec.ID)
	if err != nil {
		return plan.Placed{}, err
	}
	defer batch.Abort()
	from, hash, given := row.At[plan.Remote], mail.NewHasher(), false
	err = c.Remote.Fetch(ctx, from.Box, []mail.Ref{from.Ref}, func(_ mail.Ref, seen mail.Item, body io.Reader) error {
		item.Ident.Size, given = seen.Ident.Size, true
		return batch.Add(ctx, plan.Incoming{Item: item, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.TeeReader(body, hash)), nil
		}})
	})
	if err != nil {
		return plan.Placed{}, err
	}
	if got := hash.Sum().Body; !given || !bytes.Equal(got[:], row.Ident[plan.Remote].Body[:]) {
		return plan.Placed{}, errors.New("the server's message changed while it was copied")
	}
	finish, done := finishing(ctx)
	placed, err := batch.Commit(finish)
	done()
	switch {
	case err != nil:
		return plan.Placed{}, err
	case len(placed) != 1:
		return plan.Placed{}, errors.New("the Maildir did not say where the message is")
	case placed[0].Err != nil:
		return plan.Placed{}, placed[0].Err
	case placed[0].Ref == "":
		return plan.Placed{}, errors.New("the Maildir did not say where the message is")
	}
	return placed[0], nil
}

// stamp marks the root as that of this run before the index says so, as a
// sync does: a Maildir restored from before the repair is then known for one.
func (v *verifier) stamp(ctx context.Context) error {
	rooted, is := v.Local.(Rooted)
	if !is || v.stamped || v.meta[metaInstance] == "" {
		return nil
	}
	runs, _ := strconv.ParseInt(v.meta[metaRuns], 10, 64)
	if v.root != nil && died(v.meta, *v.root, runs) {
		runs++
		if err := v.settle(ctx, &plan.Settlement{Meta: map[string]string{metaRuns: strconv.FormatInt(runs, 10)}}); err != nil {
			return err
		}
	}
	if err := rooted.Stamp(ctx, v.meta[metaInstance], runs+1); err != nil {
		return err
	}
	v.stamped = true
	meta := map[string]string{metaRuns: strconv.FormatInt(runs+1, 10)}
	if v.root != nil && v.root.Unsynced && !crashed(v.meta, *v.root) { // a crash is for the next sync to mend
		meta[metaUnsynced] = v.root.Boot
	}
	return v.settle(ctx, &plan.Settlement{Meta: meta})
}

func (v *verifier) settle(ctx context.Context, s *plan.Settlement) error {
	for i := range s.Events {
		s.Events[i].At = v.Clock()
	}
	if err := v.Index.Settle(context.WithoutCancel(ctx), s); err != nil {
		return indexFault(err)
	}
	return nil
}
