package engine

import (
	"bytes"
	"context"
	"io"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// metaFaithful is "1" once a plain message was read back from the server of
// metaBound as it was sent.
const metaFaithful = "faithful"

// A shape watches a message go by for what some servers are known to rewrite:
// NUL, a CR or LF of its own, 8-bit bytes in the header, a missing line end at
// the end.
type shape struct {
	r      io.Reader
	last   byte
	odd    bool
	bareLF bool // there is an LF of its own
	body   bool // past the header
	blank  int  // consecutive line ends seen, to find the end of the header
}

func (s *shape) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.look(p[:n])
	return n, err
}

func (s *shape) look(p []byte) {
	for i, c := range p {
		if s.body {
			s.lookOn(p[i:])
			return
		}
		switch {
		case c == '\n' && s.last != '\r':
			s.odd, s.bareLF = true, true
		case c == 0, s.last == '\r' && c != '\n', c >= 0x80:
			s.odd = true
		}
		switch c {
		case '\n':
			s.blank++
			s.body = s.blank == 2
		case '\r':
		default:
			s.blank = 0
		}
		s.last = c
	}
}

// lookOn is look past the header, where many bytes can be taken at once.
func (s *shape) lookOn(p []byte) {
	count := func(text string) int { return bytes.Count(p, []byte(text)) }
	lf, cr, pairs := count("\n"), count("\r"), count("\r\n")
	if s.last == '\r' { // the one before p
		cr++
		if p[0] == '\n' {
			pairs++
		}
	}
	if s.last = p[len(p)-1]; s.last == '\r' { // what follows is not known yet
		cr--
	}
	s.bareLF = s.bareLF || lf != pairs
	s.odd = s.odd || lf != pairs || cr != pairs || bytes.IndexByte(p, 0) >= 0
}

// suspicious tells, after the end, whether the message is worth reading back.
func (s *shape) suspicious() bool { return s.odd || s.last != '\n' || !s.body }

// echo tells of a message that goes to the server, once its body was read,
// whether it is to be read back: a suspicious one, and one that is plain while
// it is not known whether this server stores those as they are.
func (t *transfer) echo(tag int) func() bool {
	sh := t.shapes[tag]
	if sh == nil {
		return nil
	}
	return func() bool {
		if !sh.suspicious() && t.plain == 0 && t.run.meta[metaFaithful] != "1" {
			t.plain = tag + 1
		}
		return sh.suspicious() || t.plain == tag+1
	}
}

// readBack learns how the server stored what it may have rewritten, so that
// the message is recognised there later: the suspicious ones, and once one
// that is plain. It changes the identity of rows that are about to be settled.
// What the side did not echo is asked for.
func (r *run) readBack(ctx context.Context, t *transfer, rows map[int]*plan.Row) {
	to := t.gains[0].To
	if to == plan.Local || len(rows) == 0 {
		return
	}
	plain := t.plain - 1
	if rows[plain] == nil {
		plain = -1
	}
	for tag := range rows {
		if sh := t.shapes[tag]; plain < 0 && sh != nil && !sh.suspicious() {
			plain = tag
		}
	}
	var asked []int
	for tag := range rows {
		if sh := t.shapes[tag]; sh != nil && (sh.suspicious() || tag == plain && r.meta[metaFaithful] != "1") {
			asked = append(asked, tag)
		}
	}
	if len(asked) == 0 || !r.asStored(ctx, t, rows, asked) || plain < 0 || r.meta[metaFaithful] == "1" {
		return
	}
	if sent := rows[plain]; sameBytes(sent.Ident[to], sent.Ident[to.Other()]) {
		r.meta[metaFaithful] = "1"
		r.learned[metaFaithful] = "1"
		return
	}
	var rest []int // it rewrites even plain messages: read all of them back
	for tag := range rows {
		if !slices.Contains(asked, tag) {
			rest = append(rest, tag)
		}
	}
	r.asStored(ctx, t, rows, rest)
}

func sameBytes(a, b mail.Identity) bool {
	return bytes.Equal(a.Body[:], b.Body[:]) || a.Body.IsZero() || b.Body.IsZero()
}

// asStored puts the identity that the server's copy has into the rows of some
// messages. What cannot be learned now stays as it was sent.
func (r *run) asStored(ctx context.Context, t *transfer, rows map[int]*plan.Row, tags []int) bool {
	put := func(row *plan.Row, id mail.Identity) {
		id.GlobalID = row.Ident[plan.Remote].GlobalID
		row.Ident[plan.Remote] = id
	}
	var refs []mail.Ref
	byRef := map[mail.Ref]*plan.Row{}
	for _, tag := range tags {
		row := rows[tag]
		if id := t.stored[tag]; id.Level() >= mail.LevelBody {
			put(row, id)
			continue
		}
		refs = append(refs, row.At[plan.Remote].Ref)
		byRef[row.At[plan.Remote].Ref] = row
	}
	if len(refs) == 0 {
		return true
	}
	err := r.side[plan.Remote].Identify(ctx, t.gains[0].Box, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		if row := byRef[ref]; row != nil && err == nil {
			put(row, id)
		}
		return nil
	})
	return err == nil
}
