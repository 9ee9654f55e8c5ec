package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Surplus is a message that a target has and the selection has not, or has
// with other flags.
type Surplus struct {
	Mailbox mail.MailboxName
	Epoch   string
	Ref     mail.Ref
	Date    time.Time
	Ident   mail.Identity // as far as it is known
	// Add and Remove are how its flags are to change; both empty for one that
	// the selection does not have.
	Add, Remove mail.FlagSet
}

// A Difference is by what the mailboxes of a target differ from a selection,
// beyond what they lack.
type Difference struct {
	Missing int // messages
	Delete  []Surplus
	Flags   []Surplus
}

// Compare tells by what a target differs from a selection. It changes
// nothing; the index must be empty, and is of no use afterwards.
func Compare(ctx context.Context, s *Selection, t Target, o Options) (Difference, error) {
	var d Difference
	report, err := run(ctx, s, t, o, plan.Policy{})
	if err == nil && report.Exit() != 0 {
		err = errors.New("not all of it could be compared, so nothing is changed: mend what is told above, and try again")
	}
	if err != nil {
		return d, err
	}
	records, err := t.Index.Boxes(ctx)
	if err != nil {
		return d, err
	}
	for _, rec := range records {
		rows, err := t.Index.RowsIn(ctx, rec.ID)
		if err != nil {
			return d, err
		}
		for i := range rows {
			d.take(&rows[i], t.On, rec.Side[t.On].Name)
		}
	}
	for _, list := range [][]Surplus{d.Delete, d.Flags} {
		slices.SortStableFunc(list, func(a, b Surplus) int {
			return cmp.Or(cmp.Compare(a.Mailbox, b.Mailbox), a.Date.Compare(b.Date))
		})
	}
	return d, nil
}

func (d *Difference) take(row *plan.Row, on plan.Side, name mail.MailboxName) {
	at, from := row.At[on], row.At[on.Other()]
	if at.IsZero() {
		d.Missing++
		return
	}
	x := Surplus{Mailbox: name, Epoch: row.Epoch[on], Ref: at.Ref, Date: row.Date, Ident: row.Ident[on]}
	if from.IsZero() {
		d.Delete = append(d.Delete, x)
		return
	}
	x.Add, x.Remove = row.Flags[on.Other()].Minus(row.Flags[on]), row.Flags[on].Minus(row.Flags[on.Other()])
	if !x.Add.Empty() || !x.Remove.Empty() {
		d.Flags = append(d.Flags, x)
	}
}

// A Done is what Level did.
type Done struct {
	Flagged int
	Deleted []Surplus
	Faults  []error
}

// Level takes from a target what a Difference says, once Add has brought what
// is missing: it sets flags, and deletes exactly the messages that are named,
// after keep has them. What came to the target since Compare stays.
func Level(ctx context.Context, t Target, d Difference, keep engine.Keeper, why string) (Done, error) {
	l := leveller{target: t, keep: keep, why: why, boxes: map[mail.MailboxName]mail.BoxID{}}
	boxes, err := t.Side.Survey(ctx, nil)
	if err != nil {
		return l.done, err
	}
	epochs, ids := map[mail.MailboxName]string{}, map[mail.BoxID]mail.MailboxName{}
	for i, b := range boxes {
		id := mail.BoxID(i + 1)
		epochs[b.Name], l.boxes[b.Name], ids[id] = b.Epoch, id, b.Name
	}
	t.Side.Bind(ids)
	for _, flags := range []bool{true, false} {
		list := d.Delete
		if flags {
			list = d.Flags
		}
		for len(list) > 0 {
			name := list[0].Mailbox
			n := slices.IndexFunc(list, func(x Surplus) bool { return x.Mailbox != name })
			if n < 0 {
				n = len(list)
			}
			some := list[:n]
			list = list[n:]
			if now, there := epochs[name]; !there || now != "" && now != some[0].Epoch {
				l.done.Faults = append(l.done.Faults, fmt.Errorf("mailbox %s is another one now: left as it is", name))
				continue
			}
			if err := l.mailbox(ctx, name, some, flags); err != nil {
				if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount {
					return l.done, err
				}
				l.done.Faults = append(l.done.Faults, fmt.Errorf("mailbox %s: %w", name, err))
			}
		}
	}
	return l.done, nil
}

// A leveller carries out a Difference.
type leveller struct {
	target Target
	keep   engine.Keeper
	why    string
	boxes  map[mail.MailboxName]mail.BoxID
	done   Done
}

func (l *leveller) mailbox(ctx context.Context, name mail.MailboxName, list []Surplus, flags bool) error {
	box := l.boxes[name]
	if !flags {
		kept, err := l.keepAll(ctx, name, list)
		if err != nil {
			return err
		}
		list = kept
	}
	ops := make([]plan.Op, len(list))
	for i, x := range list {
		ops[i] = plan.Op{Tag: i, Kind: plan.OpDelete, From: plan.Place{Box: box, Ref: x.Ref}, Expect: x.Ident}
		if flags {
			ops[i].Kind, ops[i].Add, ops[i].Remove = plan.OpFlags, x.Add, x.Remove
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return l.target.Side.Do(ctx, ops, func(out []plan.Outcome) error {
		for _, o := range out {
			switch {
			case o.Result == plan.Missing:
			case o.Result != plan.Done:
				err := o.Err
				if err == nil {
					err = errors.New(o.Result.String())
				}
				l.done.Faults = append(l.done.Faults, fmt.Errorf("mailbox %s, message %s: %w", name, list[o.Tag].Ref, err))
			case flags:
				l.done.Flagged++
			default:
				l.done.Deleted = append(l.done.Deleted, list[o.Tag])
			}
		}
		return nil
	})
}

// keepAll keeps messages that are about to be deleted, and returns those of
// which that is certain.
func (l *leveller) keepAll(ctx context.Context, name mail.MailboxName, list []Surplus) (kept []Surplus, err error) {
	refs, at := make([]mail.Ref, len(list)), map[mail.Ref]int{}
	for i, x := range list {
		refs[i], at[x.Ref] = x.Ref, i
	}
	err = l.target.Side.Fetch(ctx, l.boxes[name], refs, func(ref mail.Ref, item mail.Item, body io.Reader) error {
		what := engine.Kept{Side: l.target.On, Mailbox: name, Item: item, Why: l.why}
		if err := l.keep.Keep(ctx, what, mail.Identity{}, body); err != nil {
			return err
		}
		kept = append(kept, list[at[ref]])
		return nil
	})
	if err != nil && ctx.Err() == nil && mail.GradeOf(err, mail.GradeMailbox) == mail.GradeMessage {
		l.done.Faults = append(l.done.Faults, fmt.Errorf("mailbox %s: %w", name, err))
		err = nil
	}
	return kept, err
}
