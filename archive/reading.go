package archive

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Epoch is the epoch of every mailbox of an archive: the Refs in it, numbers
// of placements, are never given twice.
const Epoch = "archive"

// now is the generation that shows what still holds.
const now = math.MaxInt64

// A reading is the reading half of a side: the mail as of one generation.
type reading struct {
	a     *Archive
	gen   int64 // now, or a generation that has ended
	bound map[mail.BoxID]mail.MailboxName
}

// there is the condition that something of a table shows in a generation,
// which is given twice.
func there(table string) string {
	return table + ".gen_from <= ? AND (" + table + ".gen_to IS NULL OR " + table + ".gen_to > ?)"
}

// A box is a mailbox as of a generation.
type box struct {
	id, change int64
	pruned     int64 // the last change of which rows were removed
	messages   int
	name       mail.MailboxName
}

// eachBox gives the mailboxes that there are.
func (r *reading) eachBox(tx *sqlite.Tx, where string, args []any, each func(box) error) error {
	query := `SELECT m.id, m.change, coalesce(x.change, 0), m.messages, n.name FROM mailbox_name n JOIN mailbox m ON m.id = n.mailbox
		LEFT JOIN pruned x ON x.mailbox = m.id WHERE ` + there("n") + where
	return tx.Each(query, append([]any{r.gen, r.gen}, args...), func(rows *sql.Rows) error {
		var b box
		if err := rows.Scan(&b.id, &b.change, &b.pruned, &b.messages, &b.name); err != nil {
			return err
		}
		return each(b)
	})
}

// boxNamed finds a mailbox by its name.
func (r *reading) boxNamed(tx *sqlite.Tx, name mail.MailboxName) (b box, err error) {
	err = r.eachBox(tx, " AND n.name = ?", []any{string(name)}, func(found box) error {
		b = found
		return nil
	})
	if err == nil && b.id == 0 {
		err = mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("%s: no such mailbox in the archive", name), "")
	}
	return b, err
}

// box finds a mailbox by the number that Bind gave it.
func (r *reading) box(tx *sqlite.Tx, id mail.BoxID) (box, error) {
	name, ok := r.bound[id]
	if !ok {
		return box{}, mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("mailbox number %d was never bound", id), "")
	}
	if err := r.offered(tx); err != nil {
		return box{}, err
	}
	return r.boxNamed(tx, name)
}

// offered is ErrRetired for a generation that cannot be shown any more.
func (r *reading) offered(tx *sqlite.Tx) error {
	if r.gen == now {
		return nil
	}
	var retired int64
	err := tx.Each("SELECT retired FROM generation WHERE n = ?", []any{r.gen}, func(rows *sql.Rows) error { return rows.Scan(&retired) })
	if err == nil && retired != 0 {
		err = mail.NewFault(mail.GradeAccount, mail.ClassLocal, retiredError(r.gen, fromMoment(retired)), "choose another generation: godwit history lists them")
	}
	return err
}

// any is the error of whoever looks into a mailbox of an archive that was not
// made yet.
func (r *reading) any() error {
	if r.a.catalogue.Load() != nil {
		return nil
	}
	return mail.NewFault(mail.GradeMailbox, mail.ClassLocal, fmt.Errorf("%w in %s", ErrNone, r.a.opt.Dir), "")
}

// Bind tells the numbers of mailboxes.
func (r *reading) Bind(boxes map[mail.BoxID]mail.MailboxName) {
	if r.bound == nil {
		r.bound = make(map[mail.BoxID]mail.MailboxName, len(boxes))
	}
	for id, name := range boxes {
		r.bound[id] = name
	}
}

// cursor is where a mailbox stands: what is now by its last change, what was
// by its generation.
func (r *reading) cursor(b box) plan.Cursor {
	if r.gen == now {
		return plan.Cursor(fmt.Sprintf("%d:%d", b.id, b.change))
	}
	return plan.Cursor(fmt.Sprintf("%d:#%d", b.id, r.gen))
}

// knows reads a cursor: everything of b up to a change is known. ok is false
// if the cursor is of no use for b.
func (r *reading) knows(b box, since plan.Since) (change int64, ok bool) {
	id, at, _ := strings.Cut(string(since.Cursor), ":")
	change, err := strconv.ParseInt(at, 10, 64)
	ok = err == nil && r.gen == now && since.Epoch == Epoch && id == strconv.FormatInt(b.id, 10) && change <= b.change && change >= b.pruned
	return change, ok
}

func (r *reading) survey(ctx context.Context, tx *sqlite.Tx, since map[mail.MailboxName]plan.Since, rights plan.Rights) (boxes []plan.Box, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := r.offered(tx); err != nil {
		return nil, err
	}
	parents := map[mail.MailboxName]bool{}
	err = r.eachBox(tx, " ORDER BY n.name", nil, func(b box) error {
		out := plan.Box{
			Name: b.name, Epoch: Epoch, ID: strconv.FormatInt(b.id, 10), State: plan.Unknown,
			Count: -1, Cursor: r.cursor(b), Rights: rights,
		}
		if r.gen == now {
			out.Count = b.messages
		}
		if was := since[b.name]; was.Cursor != "" {
			out.State = plan.Changed
			if was.Cursor == out.Cursor && was.Epoch == Epoch {
				out.State = plan.Same
			}
		}
		boxes = append(boxes, out)
		for p := b.name.Parent(); p != ""; p = p.Parent() {
			if _, known := parents[p]; known {
				break
			}
			parents[p] = true
		}
		return nil
	})
	for _, b := range boxes {
		delete(parents, b.Name)
	}
	for _, p := range slices.Sorted(maps.Keys(parents)) {
		boxes = append(boxes, plan.Box{Name: p, Container: true, Count: -1, Rights: rights})
	}
	return boxes, err
}

// flagsThen is the expression for the flags of placement p as of a generation,
// which is given three times.
const flagsThen = `CASE WHEN p.flags_from <= ? THEN p.flags ELSE
	(SELECT f.flags FROM past_flags f WHERE f.placement = p.id AND f.gen_from <= ? AND f.gen_to > ?) END`

// A seat is a placement as it is read.
type seat struct {
	id, change int64
	gone       bool
	flags      string
	date       dateColumns
	token      string
	canonical  int64
}

const seatColumns = "p.id, p.change, p.gen_to IS NOT NULL, " + flagsThen + ", p.date, p.date_nsec, p.date_zone, p.token, m.canonical"

func (s *seat) dest() []any {
	return []any{&s.id, &s.change, &s.gone, &s.flags, &s.date.seconds, &s.date.nsec, &s.date.zone, &s.token, &s.canonical}
}

// item is what a scan shows of it.
func (s *seat) item() mail.Item {
	return mail.Item{Flags: mail.ParseFlagSet(s.flags), Date: s.date.time(), Token: s.token, Ident: mail.Identity{Size: s.canonical}}
}

// Scan yields what changed in a mailbox since the cursor, by its change numbers.
func (r *reading) Scan(ctx context.Context, id mail.BoxID, since plan.Since, yield func(plan.Seen) error) (end plan.Scanned, err error) {
	if err := ctx.Err(); err != nil {
		return end, err
	}
	if err := r.any(); err != nil {
		return end, err
	}
	var stopped error
	yield = stopping(yield, &stopped)
	err = r.a.view(ctx, func(tx *sqlite.Tx) error {
		b, err := r.box(tx, id)
		if err != nil {
			return err
		}
		known, ok := r.knows(b, since)
		end = plan.Scanned{Epoch: Epoch, Cursor: r.cursor(b), Full: !ok || since.Compare, Complete: true, Count: -1}
		if r.gen == now {
			end.Count = b.messages
		}
		if end.Full {
			return r.scanAll(tx, b, known, ok, yield)
		}
		return r.scanSince(tx, b, known, yield)
	})
	if err != nil {
		return plan.Scanned{}, either(stopped, err)
	}
	return end, nil
}

// stopping notes the error with which yield ends an answer.
func stopping(yield func(plan.Seen) error, stopped *error) func(plan.Seen) error {
	return func(s plan.Seen) error {
		*stopped = yield(s)
		return *stopped
	}
}

// either is the caller's own error as it is, or that of the catalogue.
func either(own, err error) error {
	if own != nil {
		return own
	}
	return fault(err)
}

// scanAll yields everything; of what is known by that change, the flags alone.
func (r *reading) scanAll(tx *sqlite.Tx, b box, known int64, bare bool, yield func(plan.Seen) error) error {
	query := "SELECT " + seatColumns + " FROM placement p JOIN message m ON m.id = p.message WHERE p.mailbox = ? AND " + there("p")
	return tx.Each(query, []any{r.gen, r.gen, r.gen, b.id, r.gen, r.gen}, func(rows *sql.Rows) error {
		var s seat
		if err := rows.Scan(s.dest()...); err != nil {
			return err
		}
		seen := plan.Seen{Ref: refOf(s.id), Item: s.item()}
		if bare && s.change <= known {
			seen.Item, seen.Bare = mail.Item{Flags: seen.Item.Flags}, true
		}
		return yield(seen)
	})
}

// scanSince yields what changed after a change.
func (r *reading) scanSince(tx *sqlite.Tx, b box, known int64, yield func(plan.Seen) error) error {
	query := "SELECT " + seatColumns + " FROM placement p JOIN message m ON m.id = p.message WHERE p.mailbox = ? AND p.change > ?"
	return tx.Each(query, []any{r.gen, r.gen, r.gen, b.id, known}, func(rows *sql.Rows) error {
		var s seat
		if err := rows.Scan(s.dest()...); err != nil {
			return err
		}
		if s.gone {
			return yield(plan.Seen{Ref: refOf(s.id), Gone: true})
		}
		return yield(plan.Seen{Ref: refOf(s.id), Item: s.item()})
	})
}
