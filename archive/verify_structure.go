package archive

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// mostShown is how many rows of one kind a finding shows.
const mostShown = 5

// rules are what must hold in a catalogue beyond what SQLite sees to. Each
// query gives a row of text for everything that breaks it. Rows that no
// generation shows any more are not looked at: retention may have taken what
// they belong to.
var rules = []struct{ what, query string }{
	{"a generation never ended", `SELECT '#' || n FROM generation WHERE ended = 0 AND n < (SELECT max(n) FROM generation)`},
	{"a generation ended before it began", `SELECT '#' || n FROM generation WHERE ended <> 0 AND ended < began`},
	{"something begins or ends with a generation that there is not", `SELECT DISTINCT '#' || n FROM (
		SELECT gen_from n FROM placement UNION SELECT gen_to FROM placement WHERE gen_to NOTNULL UNION SELECT flags_from FROM placement
		UNION SELECT gen_from FROM mailbox_name UNION SELECT gen_to FROM mailbox_name WHERE gen_to NOTNULL
		UNION SELECT gen_from FROM quarantine UNION SELECT gen_to FROM quarantine WHERE gen_to NOTNULL
		UNION SELECT gen_to FROM past_flags) WHERE n > (SELECT max(n) FROM generation) OR n < 1`},
	{"an interval ends before it begins", `SELECT 'mailbox ' || mailbox FROM mailbox_name WHERE gen_to < gen_from
		UNION ALL SELECT 'message ' || id FROM placement WHERE gen_to < gen_from OR flags_from < gen_from OR flags_from > gen_to
		UNION ALL SELECT 'quarantined ' || uid FROM quarantine WHERE gen_to < gen_from`},
	{"two mailboxes have one name", `SELECT a.name || ' from #' || b.gen_from FROM mailbox_name a JOIN mailbox_name b
		ON a.name = b.name AND a.mailbox <> b.mailbox AND (a.gen_from < b.gen_from OR a.gen_from = b.gen_from AND a.mailbox < b.mailbox)
		WHERE coalesce(a.gen_to, 1 << 62) > b.gen_from AND b.gen_from <> coalesce(b.gen_to, 0) AND a.gen_from <> coalesce(a.gen_to, 0)`},
	{"the names of a mailbox overlap", `SELECT 'mailbox ' || mailbox || ' from #' || gen_from FROM (
		SELECT mailbox, gen_from, lag(coalesce(gen_to, 1 << 62)) OVER (PARTITION BY mailbox ORDER BY gen_from) AS before FROM mailbox_name) WHERE before > gen_from`},
	{"a message lies in a mailbox when that is not there", `SELECT 'message ' || p.id || ' in mailbox ' || p.mailbox FROM placement p
		LEFT JOIN (SELECT mailbox, min(gen_from) AS made, max(coalesce(gen_to, 1 << 62)) AS removed FROM mailbox_name GROUP BY mailbox) b ON b.mailbox = p.mailbox
		WHERE EXISTS (SELECT 1 FROM generation g WHERE g.retired = 0 AND g.n >= p.gen_from AND g.n < coalesce(p.gen_to, 1 << 62)
			AND (b.mailbox IS NULL OR g.n < b.made OR g.n >= b.removed))`},
	{"the flags of a message have no value in a generation, or two", `SELECT 'message ' || placement || ' from #' || gen_from FROM (
		SELECT placement, gen_from, coalesce(lag(gen_to) OVER (PARTITION BY placement ORDER BY gen_from, gen_to IS NULL), first) AS before FROM (
			SELECT f.placement, f.gen_from, f.gen_to, p.gen_from AS first FROM past_flags f JOIN placement p ON p.id = f.placement
			UNION ALL SELECT id, flags_from, NULL, gen_from FROM placement))
		WHERE gen_from < before OR gen_from > before AND EXISTS (SELECT 1 FROM generation WHERE retired = 0 AND n >= before AND n < gen_from)`},
	{"a mailbox counts other than it holds", `SELECT 'mailbox ' || m.id FROM mailbox m
		WHERE m.messages <> (SELECT count(*) FROM placement p WHERE p.mailbox = m.id AND p.gen_to IS NULL)`},
	{"something changed later than it can have", `SELECT 'message ' || p.id FROM placement p JOIN mailbox m ON m.id = p.mailbox WHERE p.change > m.change
		UNION ALL SELECT 'mailbox ' || id FROM mailbox WHERE change >= (SELECT next FROM sequence WHERE name = 'change')`},
	{"a number would be given twice", `SELECT name FROM sequence WHERE next <= CASE name
		WHEN 'mailbox' THEN (SELECT coalesce(max(id), 0) FROM mailbox) WHEN 'message' THEN (SELECT coalesce(max(id), 0) FROM message)
		WHEN 'placement' THEN (SELECT coalesce(max(id), 0) FROM placement) ELSE 0 END
		UNION ALL SELECT 'one of four is missing' WHERE (SELECT count(*) FROM sequence WHERE name IN ('mailbox', 'message', 'placement', 'change')) <> 4`},
}

// structure looks whether the rules hold.
func (v *verifier) structure(ctx context.Context) error {
	for _, rule := range rules {
		var rows []string
		n := 0
		err := v.a.each(ctx, rule.query, nil, func(r *sql.Rows) error {
			var text sql.NullString
			err := r.Scan(&text)
			if n++; n <= mostShown {
				rows = append(rows, text.String)
			}
			return err
		})
		if err != nil {
			return err
		}
		if n > mostShown {
			rows = append(rows, fmt.Sprintf("and %d more", n-mostShown))
		}
		if n > 0 {
			v.tellBooks(rule.what + ": " + strings.Join(rows, ", "))
		}
	}
	return nil
}
