package store

import (
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
	"github.com/godwit-mail/godwit/sync/plan"
)

// messageColumns are the columns of the table message, in its order.
var messageColumns = [...]string{
	"id",
	"local_box", "local_epoch", "local_ref", "local_flags",
	"remote_box", "remote_epoch", "remote_ref", "remote_flags",
	"stat", "state", "date", "date_nsec", "date_zone",
	"local_global", "local_size", "local_light", "local_header", "local_body", "local_wire",
	"remote_global", "remote_size", "remote_light", "remote_header", "remote_body", "remote_wire",
}

// selectMessages is completed by a WHERE clause.
var selectMessages = func() string {
	columns := slices.Clone(messageColumns[:])
	for i, c := range columns {
		columns[i] = latest(c)
	}
	return "SELECT " + strings.Join(columns, ", ") + " FROM " + withChanged + " "
}()

// addMessages puts rows that are new.
var addMessages = sqlite.Insert{Into: "message (" + strings.Join(messageColumns[:], ", ") + ")"}

// putMessages puts rows, new or not. ON CONFLICT names the id alone: INSERT
// OR REPLACE would delete another row that has the same place.
var putMessages = sqlite.Insert{Into: addMessages.Into, Else: func() string {
	var set []string
	for _, c := range messageColumns[1:] {
		set = append(set, c+" = excluded."+c)
	}
	return "ON CONFLICT (id) DO UPDATE SET " + strings.Join(set, ", ")
}()}

// appendMessage appends the columns of a row to the arguments of addMessages
// or putMessages.
func appendMessage(args []any, id int64, r *plan.Row, flags flagTexts) []any {
	args = append(args, id)
	for _, side := range plan.Sides {
		if at := r.At[side]; at.IsZero() {
			args = append(args, nil, nil, nil)
		} else {
			args = append(args, int64(at.Box), r.Epoch[side], string(at.Ref))
		}
		args = append(args, flags.text(r.Flags[side]))
	}
	args = append(args, r.Stat, int64(r.State))
	args = appendDate(args, r.Date)
	args = appendIdent(args, &r.Ident[plan.Local])
	return appendDifferences(args, &r.Ident[plan.Local], &r.Ident[plan.Remote])
}

// appendDifferences appends the columns remote_global to remote_wire: NULL
// where the remote identity is the local one.
func appendDifferences(args []any, local, remote *mail.Identity) []any {
	var out [6]any
	if remote.GlobalID != local.GlobalID {
		out[0] = remote.GlobalID
	}
	if remote.Size != local.Size {
		out[1] = remote.Size
	}
	theirs := [...]*mail.Digest{&remote.Light, &remote.Header, &remote.Body, &remote.Wire}
	for i, ours := range [...]*mail.Digest{&local.Light, &local.Header, &local.Body, &local.Wire} {
		switch {
		case *ours == *theirs[i]:
		case theirs[i].IsZero():
			out[2+i] = []byte{}
		default:
			out[2+i] = theirs[i][:]
		}
	}
	return append(args, out[:]...)
}

// messageScanner reads rows of selectMessages; its buffers serve for all.
type messageScanner struct {
	flags flagSets
	zones map[int64]*time.Location

	id, state int64
	box       [2]sql.NullInt64
	epoch     [2]sql.NullString
	ref       [2]sql.NullString
	flag      [2]sql.RawBytes
	stat      string
	date      dateColumns
	local     identColumns
	global    sql.NullString
	size      sql.NullInt64
	digest    [4]sql.RawBytes
	dest      []any
}

func newMessageScanner() *messageScanner {
	m := &messageScanner{flags: flagSets{}, zones: map[int64]*time.Location{}}
	m.dest = []any{&m.id}
	for side := range plan.Sides {
		m.dest = append(m.dest, &m.box[side], &m.epoch[side], &m.ref[side], &m.flag[side])
	}
	m.dest = append(m.dest, &m.stat, &m.state, &m.date.seconds, &m.date.nsec, &m.date.zone)
	m.dest = append(m.dest, m.local.dest()...)
	m.dest = append(m.dest, &m.global, &m.size, &m.digest[0], &m.digest[1], &m.digest[2], &m.digest[3])
	return m
}

func (m *messageScanner) scan(rows *sql.Rows) (plan.Row, error) {
	var r plan.Row
	if err := rows.Scan(m.dest...); err != nil {
		return r, err
	}
	r.ID, r.State, r.Stat, r.Date = m.id, plan.RowState(m.state), m.stat, m.date.time(m.zones)
	for side := range plan.Sides {
		r.At[side] = plan.Place{Box: mail.BoxID(m.box[side].Int64), Ref: mail.Ref(m.ref[side].String)}
		r.Epoch[side] = m.epoch[side].String
		r.Flags[side] = m.flags.parse(m.flag[side])
	}
	err := m.identities(&r.Ident)
	if err != nil {
		err = fmt.Errorf("message %d: %w", r.ID, err)
	}
	return r, err
}

func (m *messageScanner) identities(ids *[2]mail.Identity) error {
	local, err := m.local.identity()
	if err != nil {
		return err
	}
	remote := local
	if m.global.Valid {
		remote.GlobalID = m.global.String
	}
	if m.size.Valid {
		remote.Size = m.size.Int64
	}
	for i, to := range [...]*mail.Digest{&remote.Light, &remote.Header, &remote.Body, &remote.Wire} {
		if m.digest[i] == nil { // NULL: as the local side has it
			continue
		}
		if err := setDigest(to, m.digest[i]); err != nil {
			return err
		}
	}
	ids[plan.Local], ids[plan.Remote] = local, remote
	return nil
}
