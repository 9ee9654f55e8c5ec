package engine

import (
	"bytes"
	"context"
	"io"

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
	body   bool // past the header
	blank  int  // consecutive line ends seen, to find the end of the header
	length int64
}

func (s *shape) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.look(p[:n])
	return n, err
}

func (s *shape) look(p []byte) {
	for _, c := range p {
		switch {
		case c == 0, s.last == '\r' && c != '\n', c == '\n' && s.last != '\r', c >= 0x80 && !s.body:
			s.odd = true
		}
		switch c {
		case '\n':
			s.blank++
			s.body = s.body || s.blank == 2
		case '\r':
		default:
			s.blank = 0
		}
		s.last = c
	}
	s.length += int64(len(p))
}

// suspicious tells, after the end, whether the message is worth reading back.
func (s *shape) suspicious() bool { return s.odd || s.last != '\n' || !s.body }

// readBack learns how the server stored what it may have rewritten, so that
// the message is recognised there later: the suspicious ones, and once one
// that is plain. It changes the identity of rows that are about to be settled.
func (r *run) readBack(ctx context.Context, t *transfer, rows map[int]*plan.Row) {
	to := t.gains[0].To
	if to == plan.Local || len(rows) == 0 {
		return
	}
	plain, refs, byRef := -1, []mail.Ref(nil), map[mail.Ref]*plan.Row{}
	for tag, row := range rows {
		if sh := t.shapes[tag]; sh != nil && sh.suspicious() {
			refs = append(refs, row.At[to].Ref)
			byRef[row.At[to].Ref] = row
		} else if sh != nil {
			plain = tag
		}
	}
	if plain >= 0 && r.meta[metaFaithful] != "1" {
		row := rows[plain]
		refs = append(refs, row.At[to].Ref)
		byRef[row.At[to].Ref] = row
	}
	if len(refs) == 0 || !r.asStored(ctx, t.gains[0].Box, refs, byRef) || plain < 0 {
		return
	}
	if sent := rows[plain]; r.meta[metaFaithful] != "1" && sameBytes(sent.Ident[to], sent.Ident[to.Other()]) {
		r.meta[metaFaithful] = "1"
		r.learned[metaFaithful] = "1"
		return
	}
	if r.meta[metaFaithful] == "1" {
		return
	}
	refs = refs[:0] // it rewrites even plain messages: read all of them back
	for _, row := range rows {
		if _, done := byRef[row.At[to].Ref]; !done {
			refs = append(refs, row.At[to].Ref)
			byRef[row.At[to].Ref] = row
		}
	}
	r.asStored(ctx, t.gains[0].Box, refs, byRef)
}

func sameBytes(a, b mail.Identity) bool {
	return bytes.Equal(a.Body[:], b.Body[:]) || a.Body.IsZero() || b.Body.IsZero()
}

// asStored puts the identity that the server's copy has into the rows. What
// cannot be learned now stays as it was sent.
func (r *run) asStored(ctx context.Context, box mail.BoxID, refs []mail.Ref, byRef map[mail.Ref]*plan.Row) bool {
	if len(refs) == 0 {
		return true
	}
	err := r.side[plan.Remote].Identify(ctx, box, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		if row := byRef[ref]; row != nil && err == nil {
			id.GlobalID = row.Ident[plan.Remote].GlobalID
			row.Ident[plan.Remote] = id
		}
		return nil
	})
	return err == nil
}
