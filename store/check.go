package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/godwit-mail/godwit/store/sqlite"
)

// An invariant is what must always be so of the index, in words and as a
// query that finds whatever breaks it, one line of text a row.
type invariant struct {
	prose, query string
}

// Some are enforced by the schema as well. That no ref is bound twice, that no
// two mailboxes have one name, and that whatever refers to a mailbox or
// message refers to one that exists, the schema enforces alone:
// sqlite.DB.Integrity checks it.
var invariants = [...]invariant{
	{"a message is paired if and only if it has a place on both sides",
		`SELECT 'message ' || id || ' has state ' || state FROM message
		WHERE (state = 0) <> (local_box IS NOT NULL AND remote_box IS NOT NULL)`},
	{"a message has a place on at least one side",
		"SELECT 'message ' || id FROM message WHERE local_box IS NULL AND remote_box IS NULL"},
	{"a mailbox pair has a name on at least one side",
		"SELECT 'mailbox ' || mailbox FROM mailbox_side GROUP BY mailbox HAVING max(name) = ''"},
	{"the place of a message is whole: mailbox, epoch and ref, or none of them",
		`SELECT 'message ' || id FROM message
		WHERE (local_box IS NULL) + (local_epoch IS NULL) + (local_ref IS NULL) NOT IN (0, 3)
		OR (remote_box IS NULL) + (remote_epoch IS NULL) + (remote_ref IS NULL) NOT IN (0, 3)`},
	{"the epoch of a place is that of its mailbox on that side",
		`SELECT 'message ' || m.id || ' lies in epoch ' || m.local_epoch || ' of local mailbox ' || s.mailbox || ', which has ' || s.epoch
		FROM message AS m JOIN mailbox_side AS s ON s.mailbox = m.local_box AND s.side = 0 WHERE s.epoch <> m.local_epoch
		UNION ALL SELECT 'message ' || m.id || ' lies in epoch ' || m.remote_epoch || ' of remote mailbox ' || s.mailbox || ', which has ' || s.epoch
		FROM message AS m JOIN mailbox_side AS s ON s.mailbox = m.remote_box AND s.side = 1 WHERE s.epoch <> m.remote_epoch`},
	{"a mailbox that a side never had holds no message of that side",
		`SELECT 'message ' || m.id || ' lies in local mailbox ' || s.mailbox
		FROM message AS m JOIN mailbox_side AS s ON s.mailbox = m.local_box AND s.side = 0 WHERE s.name = ''
		UNION ALL SELECT 'message ' || m.id || ' lies in remote mailbox ' || s.mailbox
		FROM message AS m JOIN mailbox_side AS s ON s.mailbox = m.remote_box AND s.side = 1 WHERE s.name = ''`},
	{"the count of messages bound in a mailbox is right",
		`SELECT 'mailbox ' || box || ' on side ' || side FROM (
			SELECT local_box AS box, 0 AS side, count(*) AS n FROM message WHERE local_box IS NOT NULL GROUP BY local_box
			UNION ALL SELECT remote_box, 1, count(*) FROM message WHERE remote_box IS NOT NULL GROUP BY remote_box
		) AS c WHERE n <> coalesce((SELECT n FROM bound AS b WHERE b.box = c.box AND b.side = c.side), 0)
		UNION ALL SELECT 'mailbox ' || box || ' on side ' || side FROM bound AS b WHERE n <> (
			SELECT count(*) FROM message WHERE (side = 0 AND local_box = b.box) OR (side = 1 AND remote_box = b.box))`},
	{"a mailbox pair has both its halves",
		`SELECT 'mailbox ' || id FROM mailbox WHERE (SELECT count(*) FROM mailbox_side WHERE mailbox = id) <> 2`},
	{"digests have 32 bytes",
		`SELECT 'message ' || id FROM message WHERE length(local_light) <> 32 OR length(local_header) <> 32
		OR length(local_body) <> 32 OR length(local_wire) <> 32
		OR length(remote_light) NOT IN (0, 32) OR length(remote_header) NOT IN (0, 32)
		OR length(remote_body) NOT IN (0, 32) OR length(remote_wire) NOT IN (0, 32)`},
	{"the remote identity is stored only where it differs",
		`SELECT 'message ' || id FROM message WHERE remote_global = local_global OR remote_size = local_size
		OR remote_light = local_light OR remote_header = local_header OR remote_body = local_body OR remote_wire = local_wire`},
	{"a mailbox side with a pending change has no cursor",
		`SELECT 'mailbox ' || s.mailbox || ' on side ' || s.side FROM mailbox_side AS s
		WHERE s.cursor <> '' AND EXISTS (SELECT 1 FROM pending AS p WHERE p.box = s.mailbox AND p.side = s.side)`},
	{"pending changes, held deletions and declines belong to mailboxes that exist",
		`SELECT kind || ' in mailbox ' || box FROM (SELECT 'pending' AS kind, box FROM pending UNION ALL SELECT 'held', box FROM held
		UNION ALL SELECT 'declined', box FROM decline) WHERE box <> 0 AND box NOT IN (SELECT id FROM mailbox)`},
	{"a held deletion is of a message that exists",
		`SELECT 'message ' || row FROM held WHERE row NOT IN (SELECT id FROM message)`},
	{"flags that changed are those of a message that exists",
		"SELECT 'message ' || id FROM changed WHERE id NOT IN (SELECT id FROM message)"},
	{"numbers are given once",
		`SELECT name || ' ' || next FROM sequence WHERE next <= CASE name
		WHEN 'message' THEN (SELECT coalesce(max(id), 0) FROM message) WHEN 'mailbox' THEN (SELECT coalesce(max(id), 0) FROM mailbox)
		WHEN 'intent' THEN (SELECT coalesce(max(id), 0) FROM intent) WHEN 'run' THEN (SELECT coalesce(max(id), 0) FROM run) END`},
	{"the four sequences are there",
		`SELECT count(*) || ' sequences' FROM sequence WHERE name IN ('message', 'mailbox', 'intent', 'run') HAVING count(*) <> 4`},
}

// maxFindings is how many lines one invariant may add to an error.
const maxFindings = 10

// CheckConsistency checks the file (sqlite.DB.Integrity) and every invariant
// of the index, all against one state of it. The error names whatever breaks
// them. It reads the whole index.
func (s *Store) CheckConsistency(ctx context.Context) error {
	var broken []error
	if err := s.db.Integrity(ctx); err != nil {
		broken = append(broken, fault(err))
	}
	err := s.db.View(ctx, func(tx *sqlite.Tx) error {
		for _, inv := range invariants {
			found := 0
			err := tx.Each(inv.query, nil, func(rows *sql.Rows) error {
				var line string
				if err := rows.Scan(&line); err != nil {
					return err
				}
				if found++; found <= maxFindings {
					broken = append(broken, fmt.Errorf("not so: %s: %s", inv.prose, line))
				}
				return nil
			})
			if err != nil {
				return fmt.Errorf("checking that %s: %w", inv.prose, err)
			}
			if found > maxFindings {
				broken = append(broken, fmt.Errorf("not so: %s: and %d more", inv.prose, found-maxFindings))
			}
		}
		return nil
	})
	if err != nil {
		broken = append(broken, fault(err))
	}
	return errors.Join(broken...)
}
