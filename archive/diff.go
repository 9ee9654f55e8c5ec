package archive

import (
	"context"
	"database/sql"
	"maps"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// A Change says what a Difference is.
type Change string

// The changes. Their texts are part of the JSON output.
const (
	Came    Change = "came"
	Went    Change = "went"
	Flagged Change = "flags"
	Moved   Change = "moved"
	Made    Change = "created" // a mailbox
	Removed Change = "removed" // a mailbox
	Renamed Change = "renamed" // a mailbox
)

// A Difference is one thing that differs between two generations.
type Difference struct {
	What    Change
	Mailbox mail.MailboxName // where it is in the later generation; where it was, for Went and Removed
	Was     mail.MailboxName // Moved, Renamed: where it was, what it was called
	Message Message          // zero for mailboxes
	Flags   mail.FlagSet     // in the later generation; of what Went, in the earlier one
	Before  mail.FlagSet     // Flagged, Moved: in the earlier one
}

// Diff yields what differs between two generations: mailboxes first, then
// messages, by their numbers. from 0 is before the first; where to is the
// earlier one, they are exchanged. What came and went between the two is not
// told. Errors: ErrNoGeneration, ErrRetired.
func (a *Archive) Diff(ctx context.Context, from, to int64, yield func(Difference) error) error {
	from, to = min(from, to), max(from, to)
	for _, n := range []int64{from, to} {
		if n == 0 {
			continue
		}
		g, err := a.Generation(ctx, n)
		if err == nil && !g.Retired.IsZero() {
			err = retiredError(n, g.Retired)
		}
		if err != nil {
			return err
		}
	}
	var own error
	err := a.view(ctx, func(tx *sqlite.Tx) error {
		d := differ{tx: tx, from: from, to: to, yield: func(d Difference) error {
			own = yield(d)
			return own
		}}
		if err := d.mailboxes(); err != nil {
			return err
		}
		return d.messages()
	})
	return either(own, err)
}

type differ struct {
	tx       *sqlite.Tx
	from, to int64
	was, is  map[int64]mail.MailboxName // by number, in both generations
	moved    map[int64]*pairing         // by the placement in the later one, what it was in the earlier
	left     map[int64]bool             // those in the earlier one that moved
	yield    func(Difference) error
}

func (d *differ) names(n int64) (map[int64]mail.MailboxName, error) {
	out := map[int64]mail.MailboxName{}
	err := d.tx.Each("SELECT mailbox, name FROM mailbox_name n WHERE "+there("n")+" ORDER BY name", []any{n, n}, func(rows *sql.Rows) error {
		var id int64
		var name mail.MailboxName
		err := rows.Scan(&id, &name)
		out[id] = name
		return err
	})
	return out, err
}

func (d *differ) mailboxes() (err error) {
	if d.was, err = d.names(d.from); err != nil {
		return err
	}
	if d.is, err = d.names(d.to); err != nil {
		return err
	}
	for _, id := range sortedKeys(d.was, d.is) {
		was, before := d.was[id]
		is, after := d.is[id]
		switch {
		case !before:
			err = d.yield(Difference{What: Made, Mailbox: is})
		case !after:
			err = d.yield(Difference{What: Removed, Mailbox: was})
		case was != is:
			err = d.yield(Difference{What: Renamed, Mailbox: is, Was: was})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A pairing is a placement in both generations.
type pairing struct {
	id, mailbox, origin int64
	before, after       bool
	flagsBefore, flags  sql.NullString
	message             Message
}

// eachPairing gives the placements that are not the same in both generations.
func (d *differ) eachPairing(where string, args []any, each func(*pairing) error) error {
	query := `SELECT p.id, p.mailbox, coalesce(p.origin, 0), ` + there("p") + `, ` + there("p") + `,
		` + flagsThen + `, ` + flagsThen + `, ` + messageColumns + `
		FROM placement p JOIN message m ON m.id = p.message WHERE ` + where + ` ORDER BY p.id`
	all := append([]any{d.from, d.from, d.to, d.to, d.from, d.from, d.from, d.to, d.to, d.to}, args...)
	return d.tx.Each(query, all, func(rows *sql.Rows) error {
		var p pairing
		var m messageRow
		if err := rows.Scan(append([]any{&p.id, &p.mailbox, &p.origin, &p.before, &p.after, &p.flagsBefore, &p.flags}, m.dest()...)...); err != nil {
			return err
		}
		var err error
		if p.message, err = m.message(); err != nil {
			return err
		}
		return each(&p)
	})
}

// messages pairs what went with what came of it by a move, and tells the rest.
func (d *differ) messages() error {
	if err := d.moves(); err != nil {
		return err
	}
	touched := "(p.gen_from > ? AND p.gen_from <= ?) OR (p.gen_to > ? AND p.gen_to <= ?) OR (p.flags_from > ? AND p.gen_from <= ?)"
	return d.eachPairing(touched, []any{d.from, d.to, d.from, d.to, d.from, d.from}, func(p *pairing) error {
		out := Difference{Mailbox: d.is[p.mailbox], Message: p.message, Flags: mail.ParseFlagSet(p.flags.String), Before: mail.ParseFlagSet(p.flagsBefore.String)}
		origin := d.moved[p.id]
		if origin != nil {
			out.Was, out.Before = d.was[origin.mailbox], mail.ParseFlagSet(origin.flagsBefore.String)
		}
		switch {
		case !p.before && !p.after, d.left[p.id]:
			return nil
		case origin != nil && origin.mailbox != p.mailbox:
			out.What = Moved
		case origin != nil || p.before && p.after:
			if out.What, out.Was = Flagged, ""; out.Flags.Equal(out.Before) {
				return nil
			}
		case p.after:
			out.What, out.Before = Came, mail.FlagSet{}
		default:
			out.What, out.Mailbox, out.Flags, out.Before = Went, d.was[p.mailbox], out.Before, mail.FlagSet{}
		}
		return d.yield(out)
	})
}

// moves finds out where those came from that a move brought.
func (d *differ) moves() error {
	d.moved, d.left = map[int64]*pairing{}, map[int64]bool{}
	origins := map[int64]int64{}
	err := d.eachPairing("p.origin IS NOT NULL AND p.gen_from > ? AND p.gen_from <= ?", []any{d.from, d.to}, func(p *pairing) error {
		if p.after {
			origins[p.id] = p.origin
		}
		return nil
	})
	if err != nil {
		return err
	}
	for id, origin := range origins {
		if origin, err = originBefore(d.tx, d.from+1, origin); err != nil {
			return err
		}
		err := d.eachPairing("p.id = ?", []any{origin}, func(p *pairing) error {
			if p.before {
				d.moved[id], d.left[p.id] = p, true
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sortedKeys are the keys of both maps, each once.
func sortedKeys(a, b map[int64]mail.MailboxName) []int64 {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
