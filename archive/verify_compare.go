package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/godwit-mail/godwit/store/sqlite"
)

// schemaRow is a row of the schema: where that is another, nothing can be
// relied on.
const schemaRow = "schema"

// compared are the queries that give what a catalogue says, as far as
// manifests say it, too. They answer in the order of a key, as an index has
// it, so that nothing is sorted in memory: the key, the generations in which the
// row shows (to is NULL if it still does), and what it says.
var compared = []struct {
	what, query string
	origin      bool // what it says is the number of a placement to follow back
}{
	{"generation", `SELECT printf('#%010d', n), n, n + 1,
		began || ' ' || ended || ' ' || complete || ' ' || came || ' ' || went || ' ' || changed || ' ' || moved || ' '
			|| mailboxes || ' ' || messages || ' ' || bytes || ' ' || stored || ' ' || why
		FROM generation ORDER BY 1`, false},
	{schemaRow, `SELECT type || ' ' || name, 1, NULL, coalesce(sql, '') FROM sqlite_schema ORDER BY 1`, false},
	{"retired generation", `SELECT printf('#%010d', n), n, NULL, retired FROM generation WHERE retired <> 0 ORDER BY 1`, false},
	{"hold", `SELECT kind || ' ' || what, 1, NULL, since FROM hold ORDER BY 1`, false},
	{"mailbox", `SELECT printf('%010d from #%010d', mailbox, gen_from), gen_from, gen_to, name FROM mailbox_name
		WHERE gen_from <> coalesce(gen_to, 0) ORDER BY 1`, false},
	{"size of message", `SELECT lower(hex(digest)), (SELECT min(gen_from) FROM placement p WHERE p.message = m.id AND gen_from <> coalesce(gen_to, 0)),
		CASE WHEN EXISTS (SELECT 1 FROM placement p WHERE p.message = m.id AND gen_to IS NULL) THEN NULL
			ELSE (SELECT max(gen_to) FROM placement p WHERE p.message = m.id) END, size FROM message m ORDER BY digest`, false},
	{"message", `SELECT printf('%012d', p.id), p.gen_from, p.gen_to, p.mailbox || ' ' || p.uidvalidity || ' ' || p.uid || ' ' || p.token || ' '
			|| coalesce(p.date, '-') || ' ' || p.date_nsec || ' ' || p.date_zone || ' ' || p.gen_from || ' ' || coalesce(p.gen_to, '-') || ' ' || hex(m.digest)
		FROM placement p JOIN message m ON m.id = p.message WHERE p.gen_from <> coalesce(p.gen_to, 0) ORDER BY p.id`, false},
	{"flags of message", `SELECT printf('%012d from #%010d', placement, gen_from), gen_from, gen_to, flags || ' to ' || gen_to, placement FROM past_flags
		UNION ALL SELECT printf('%012d from #%010d', id, flags_from), flags_from, gen_to, flags || ' to ' || coalesce(gen_to, '-'), id
			FROM placement WHERE flags_from <> coalesce(gen_to, 0)
		ORDER BY 5, 2`, false},
	{"origin of message", `SELECT printf('%012d', id), gen_from, gen_to, coalesce(origin, 0) FROM placement
		WHERE gen_from <> coalesce(gen_to, 0) ORDER BY id`, true},
	{"quarantined", `SELECT mailbox || ' ' || uidvalidity || ' ' || uid || printf(' from #%010d', gen_from), gen_from, gen_to, why FROM quarantine
		WHERE gen_from <> coalesce(gen_to, 0) ORDER BY 1`, false},
}

// A comparedRow is one row of such an answer.
type comparedRow struct {
	key, says string
	from, to  sql.NullInt64
}

// unknown is what a row says that cannot be compared: what it hangs on was
// given up.
const unknown = "?"

// compareBooks compares the catalogue with what the manifests make of it. One
// that is older than they are is brought up to date first, or not compared.
func (v *verifier) compareBooks(ctx context.Context) error {
	if v.a == nil || !v.sound {
		return nil
	}
	if v.stale {
		caught, err := v.catchUp(ctx)
		if err != nil || !caught {
			return err
		}
	}
	err := v.compare(ctx)
	if v.hurt(ctx, err) {
		v.tellBooks(err.Error())
		v.sound = false
		return nil
	}
	return err
}

func (v *verifier) compare(ctx context.Context) error {
	shows, err := v.showing(ctx)
	if err != nil {
		return err
	}
	for _, c := range compared {
		n, first := 0, ""
		differ := func(is, should *comparedRow) {
			if shows(is) || shows(should) {
				if n++; n == 1 {
					first = differenceText(is, should)
				}
			}
		}
		err := v.a.view(ctx, func(here *sqlite.Tx) error {
			return v.shadow.view(ctx, func(there *sqlite.Tx) error {
				return differing(rowsOf(here, c.query, c.origin), rowsOf(there, c.query, c.origin), differ)
			})
		})
		if err != nil {
			return err
		}
		if n > 0 {
			v.sound = v.sound && c.what != schemaRow
			v.tellBooks(fmt.Sprintf("it says other than the manifests in %s: %s %s", number(n, "row"), c.what, first))
		}
	}
	return nil
}

// showing tells of what intervals a generation shows that was not given up.
func (v *verifier) showing(ctx context.Context) (func(*comparedRow) bool, error) {
	var retired []int64
	err := v.a.each(ctx, "SELECT n FROM generation WHERE retired <> 0 ORDER BY n", nil, func(rows *sql.Rows) error {
		var n int64
		err := rows.Scan(&n)
		retired = append(retired, n)
		return err
	})
	return func(r *comparedRow) bool {
		if r == nil || !r.from.Valid {
			return false
		}
		if !r.to.Valid {
			return true
		}
		i, _ := slices.BinarySearch(retired, r.from.Int64)
		j, _ := slices.BinarySearch(retired, r.to.Int64)
		return int64(j-i) < r.to.Int64-r.from.Int64
	}, fault(err)
}

// rowsOf gives the rows of an answer.
func rowsOf(tx *sqlite.Tx, query string, origin bool) iter.Seq2[*comparedRow, error] {
	return func(yield func(*comparedRow, error) bool) {
		stopped := errors.New("stopped")
		err := tx.Each(query, nil, func(rows *sql.Rows) error {
			r := &comparedRow{}
			var says sql.NullString // NULL only where something is damaged
			dest := []any{&r.key, &r.from, &r.to, &says, new(sql.RawBytes)}
			columns, err := rows.Columns()
			if err == nil {
				err = rows.Scan(dest[:len(columns)]...) // a fifth is what they are in the order of
			}
			if r.says = says.String; err == nil && origin {
				r.says, err = originText(tx, r)
			}
			if err == nil && !yield(r, nil) {
				err = stopped
			}
			return err
		})
		if err != nil && err != stopped {
			yield(nil, err)
		}
	}
}

// originText is where a message lay before, whichever way it went.
func originText(tx *sqlite.Tx, r *comparedRow) (string, error) {
	origin, err := strconv.ParseInt(r.says, 10, 64)
	if err != nil || origin == 0 {
		return r.says, nil
	}
	if origin, err = originBefore(tx, r.from.Int64, origin); err != nil {
		return "", err
	}
	text := unknown
	if origin == 0 {
		return "0", nil
	}
	err = tx.Each("SELECT id FROM placement WHERE id = ?", []any{origin}, func(rows *sql.Rows) error { return rows.Scan(&text) })
	return text, err
}

// differing gives the rows of two answers, each in the order of its keys, that
// differ. Either is nil if there is none.
func differing(here, there iter.Seq2[*comparedRow, error], differ func(is, should *comparedRow)) error {
	next, stop := iter.Pull2(here)
	defer stop()
	other, end := iter.Pull2(there)
	defer end()
	is, err, _ := next()
	should, err2, _ := other()
	for err == nil && err2 == nil && (is != nil || should != nil) {
		order := 0
		switch {
		case is == nil:
			order = 1
		case should == nil:
			order = -1
		default:
			order = strings.Compare(is.key, should.key)
		}
		switch {
		case order < 0:
			differ(is, nil)
		case order > 0:
			differ(nil, should)
		case is.says != should.says && is.says != unknown && should.says != unknown:
			differ(is, should)
		}
		if order <= 0 {
			is, err, _ = next()
		}
		if order >= 0 {
			should, err2, _ = other()
		}
	}
	return errors.Join(err, err2)
}

// differenceText says by what a row differs.
func differenceText(is, should *comparedRow) string {
	switch {
	case is == nil:
		return should.key + " is missing"
	case should == nil:
		return is.key + " should not be there"
	}
	return fmt.Sprintf("%s is %q, not %q", is.key, is.says, should.says)
}

func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
