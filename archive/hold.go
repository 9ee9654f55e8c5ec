package archive

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// A Hold keeps retention away from a mailbox or from a generation; one of the
// two is given. Of a mailbox, also after it was renamed or removed, every
// state stays that was not given up before: the first complete generation
// after each of its changes is kept.
type Hold struct {
	Mailbox    mail.MailboxName
	Generation int64
	Since      time.Time // when it was set
}

// The kinds of holds, in the catalogue.
const (
	holdMailbox    = "mailbox"
	holdGeneration = "generation"
)

// hold is what a record of a note holds or frees.
func (r *record) hold() (kind, what string) {
	if r.Mailbox != nil {
		return holdMailbox, string(*r.Mailbox)
	}
	return holdGeneration, strconv.FormatInt(r.N, 10)
}

// Holds lists the holds: mailboxes by their names, then generations.
func (a *Archive) Holds(ctx context.Context) (list []Hold, err error) {
	err = a.view(ctx, func(tx *sqlite.Tx) error {
		list, err = holds(tx)
		return err
	})
	return list, fault(err)
}

func holds(tx *sqlite.Tx) (list []Hold, err error) {
	err = tx.Each("SELECT kind, what, since FROM hold ORDER BY kind DESC, length(what) * (kind = 'generation'), what", nil, func(rows *sql.Rows) error {
		var kind, what string
		var since int64
		err := rows.Scan(&kind, &what, &since)
		h := Hold{Since: fromMoment(since)}
		if kind == holdMailbox {
			h.Mailbox = mail.MailboxName(what)
		} else if h.Generation, err = strconv.ParseInt(what, 10, 64); err != nil {
			return fmt.Errorf("%w: a hold on the generation %q", sqlite.ErrDamaged, what)
		}
		list = append(list, h)
		return err
	})
	return list, err
}

// Hold sets a hold, durably; one that is set already is left as it is. The
// caller holds the account's lock, and no run is under way.
//
// Errors: ErrNoGeneration; a mailbox that no generation has is an error too.
func (a *Archive) Hold(ctx context.Context, h Hold) error {
	return a.setHold(ctx, h, recordHeld)
}

// Release ends a hold. The next Retain decides anew.
func (a *Archive) Release(ctx context.Context, h Hold) error {
	return a.setHold(ctx, h, recordFreed)
}

func (a *Archive) setHold(ctx context.Context, h Hold, as string) error {
	h.Since = time.Time{}
	list, err := a.Holds(ctx)
	if err != nil {
		return err
	}
	known := slices.ContainsFunc(list, func(x Hold) bool { return x.Mailbox == h.Mailbox && x.Generation == h.Generation })
	switch {
	case as == recordHeld && known:
		return nil
	case as == recordHeld:
		err = a.canHold(ctx, h)
	case !known:
		err = mail.NewFault(mail.GradeAccount, mail.ClassConfig, fmt.Errorf("%s is not held", h), "")
	}
	if err == nil {
		err = a.settled(ctx)
	}
	if err != nil {
		return fault(err)
	}
	return fault(a.decide(ctx, []record{h.record(as)}))
}

// String says what is held.
func (h Hold) String() string {
	if h.Mailbox != "" {
		return string(h.Mailbox)
	}
	return fmt.Sprintf("generation #%d", h.Generation)
}

func (a *Archive) canHold(ctx context.Context, h Hold) error {
	if h.Mailbox == "" {
		g, err := a.Generation(ctx, h.Generation)
		if err == nil && !g.Retired.IsZero() {
			err = retiredError(g.Number, g.Retired)
		}
		return err
	}
	there := false
	err := a.each(ctx, "SELECT EXISTS (SELECT 1 FROM mailbox_name WHERE name = ?)", []any{string(h.Mailbox)}, func(rows *sql.Rows) error {
		return rows.Scan(&there)
	})
	if err == nil && !there {
		err = boxFault("%s: no generation has such a mailbox", h.Mailbox)
	}
	return err
}

// held are the generations that holds keep, and why.
func held(tx *sqlite.Tx) (map[int64]string, error) {
	list, err := holds(tx)
	if err != nil {
		return nil, err
	}
	out := map[int64]string{}
	for _, h := range list {
		if h.Mailbox == "" {
			out[h.Generation] = "held"
			continue
		}
		// The first complete generation at or after each change that such a one
		// shows is as the mailbox was until the next change.
		err := tx.Each(`WITH box (id) AS (SELECT DISTINCT mailbox FROM mailbox_name WHERE name = ?), span (a, b) AS (
				SELECT gen_from, gen_to FROM mailbox_name WHERE mailbox IN box
				UNION SELECT gen_from, gen_to FROM placement WHERE mailbox IN box
				UNION SELECT flags_from, gen_to FROM placement WHERE mailbox IN box
				UNION SELECT f.gen_from, f.gen_to FROM past_flags f JOIN placement p ON p.id = f.placement WHERE p.mailbox IN box),
			seen (a, b) AS (SELECT a, b FROM span WHERE b IS NULL
				OR EXISTS (SELECT 1 FROM generation g WHERE g.retired = 0 AND g.complete AND g.n >= a AND g.n < b))
			SELECT DISTINCT (SELECT min(g.n) FROM generation g WHERE g.retired = 0 AND g.complete AND g.n >= change.n)
			FROM (SELECT a AS n FROM seen UNION SELECT b FROM seen) AS change WHERE change.n IS NOT NULL`,
			[]any{string(h.Mailbox)}, func(rows *sql.Rows) error {
				var n sql.NullInt64
				err := rows.Scan(&n)
				if n.Valid {
					out[n.Int64] = fmt.Sprintf("%s, which is held, changed", h.Mailbox)
				}
				return err
			})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
