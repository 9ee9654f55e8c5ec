package imap

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// What a row has been told.
const (
	haveFlags = 1 << iota
	haveDate
	haveSize
	haveHeader

	haveAll = haveFlags | haveDate | haveSize
)

// A row is what FETCH told of one message, without its body.
type row struct {
	uid   uint32
	have  uint8
	flags mail.FlagSet
	date  time.Time
	size  int64
	gid   string
	ident mail.Identity // haveHeader: Light, and Header where it was asked for
	tuid  int64         // bytes of TraceFields in the header
}

// identity is what the row says of the message's identity.
func (r *row) identity() mail.Identity {
	id := r.ident
	id.GlobalID, id.Size = r.gid, r.size-r.tuid
	return id
}

// metaItems asks for what have names.
func metaItems(have uint8) *goimap.FetchOptions {
	return &goimap.FetchOptions{UID: true, Flags: have&haveFlags != 0, InternalDate: have&haveDate != 0, RFC822Size: have&haveSize != 0}
}

// readRow reads one answer to a FETCH. Header literals are digested.
func readRow(s *session, msg *imapclient.FetchMessageData) (row, error) {
	var r row
	for item := msg.Next(); item != nil; item = msg.Next() {
		if err := r.take(s, item); err != nil {
			return r, err
		}
	}
	return r, nil
}

// An answering is told of each FETCH response.
type answering func(*session, *imapclient.FetchMessageData) error

// fetch sends a UID FETCH and hands over the answers. An error of each ends
// the connection, since the rest of the answer could be long.
func (s *session) fetch(set goimap.UIDSet, opt *goimap.FetchOptions, each answering) error {
	return s.drain(s.client.Fetch(set, opt), each)
}

func (s *session) drain(cmd *imapclient.FetchCommand, each answering) error {
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		if err := each(s, msg); err != nil {
			s.kill()
			_ = cmd.Close() // the error that counts is that of each
			return err
		}
	}
	return cmd.Close()
}

// take adds one item of an answer to the row.
func (r *row) take(s *session, item imapclient.FetchItemData) error {
	switch d := item.(type) {
	case imapclient.FetchItemDataUID:
		r.uid = uint32(d.UID)
	case imapclient.FetchItemDataFlags:
		r.flags, r.have = flagsOf(d.Flags), r.have|haveFlags
	case imapclient.FetchItemDataInternalDate:
		if !wire.IsBadDate(d.Time) {
			r.date = d.Time
		}
		r.have |= haveDate
	case imapclient.FetchItemDataRFC822Size:
		r.size, r.have = d.Size, r.have|haveSize
	case imapclient.FetchItemDataBodySection:
		if d.Literal == nil {
			return nil
		}
		// The limit lets it be copied with a buffer of its size, not of 32 kB.
		id, tuid, err := mail.IdentifyHeader(io.LimitReader(s.literal(d.Literal), d.Literal.Size()))
		if err != nil {
			return err
		}
		if len(d.Section.HeaderFields) > 0 || !strings.EqualFold(string(d.Section.Specifier), "HEADER") {
			id.Header, id.Folded, id.HeaderSize = mail.Digest{}, mail.Digest{}, 0
		}
		r.ident, r.tuid, r.have = id, tuid, r.have|haveHeader
	}
	return nil
}

// flagsOf leaves out what cannot be carried (\Recent).
func flagsOf(flags []goimap.Flag) mail.FlagSet {
	list := make([]mail.Flag, len(flags))
	for i, f := range flags {
		list[i] = mail.Flag(f)
	}
	return mail.NewFlagSet(list...)
}

// wireFlags is the other way round.
func wireFlags(set mail.FlagSet) []goimap.Flag {
	flags := set.Flags()
	list := make([]goimap.Flag, len(flags))
	for i, f := range flags {
		list[i] = goimap.Flag(f)
	}
	return list
}

// An exact reader gives as many bytes as were announced, or ErrShort.
type exact struct {
	r      io.Reader
	left   int64
	err    error  // why it ended early
	failed func() // called when it ends early; may be nil
}

// literal reads a literal of an answer. The library's decoder reads on as soon
// as a read of the literal has failed, while whoever looks at the answer next
// makes it read the literal too: so it is waited for until it has stopped.
func (s *session) literal(l goimap.LiteralReader) *exact {
	return &exact{r: l, left: l.Size(), failed: func() {
		s.wire.Kill()
		<-s.client.Closed()
	}}
}

func (e *exact) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	if e.err != nil {
		return 0, e.err
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.r.Read(p)
	e.left -= int64(n)
	if err != nil && e.left > 0 {
		if !errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: %w", mail.ErrShort, err)
		} else {
			err = mail.ErrShort
		}
		e.err = err
		if e.failed != nil {
			e.failed()
		}
		return n, err
	}
	return n, nil
}

// A table collects rows by UID; answers to several commands merge.
type table struct {
	rows []row
	// sorted: rows are in order of their UIDs, none twice.
	sorted bool
}

// collect adds one answer to a FETCH; one that names no UID is passed over.
func (t *table) collect(s *session, msg *imapclient.FetchMessageData) error {
	r, err := readRow(s, msg)
	if err != nil || r.uid == 0 {
		return err
	}
	t.rows = append(t.rows, r)
	t.sorted = false
	return nil
}

// sort orders the rows and merges those of one message, the later ones over
// the earlier.
func (t *table) sort() {
	if t.sorted {
		return
	}
	slices.SortStableFunc(t.rows, func(a, b row) int { return int(int64(a.uid) - int64(b.uid)) })
	out := t.rows[:0]
	for _, r := range t.rows {
		if n := len(out); n > 0 && out[n-1].uid == r.uid {
			out[n-1].merge(&r)
			continue
		}
		out = append(out, r)
	}
	t.rows, t.sorted = out, true
}

func (r *row) merge(s *row) {
	if s.have&haveFlags != 0 {
		r.flags = s.flags
	}
	if s.have&haveDate != 0 {
		r.date = s.date
	}
	if s.have&haveSize != 0 {
		r.size = s.size
	}
	if s.have&haveHeader != 0 {
		r.ident, r.tuid = s.ident, s.tuid
	}
	if s.gid != "" {
		r.gid = s.gid
	}
	r.have |= s.have
}

// find gives the row of a message, nil if there is none. The table is sorted.
func (t *table) find(uid uint32) *row {
	i, ok := slices.BinarySearchFunc(t.rows, uid, func(r row, uid uint32) int { return int(int64(r.uid) - int64(uid)) })
	if !ok {
		return nil
	}
	return &t.rows[i]
}

// global adds the identifiers that the wire collected.
func (t *table) global(ids map[uint32]string) {
	if len(ids) == 0 {
		return
	}
	for i := range t.rows {
		if id, ok := ids[t.rows[i].uid]; ok {
			t.rows[i].gid = id
		}
	}
}

// drop removes the rows for which f holds.
func (t *table) drop(f func(*row) bool) {
	t.rows = slices.DeleteFunc(t.rows, func(r row) bool { return f(&r) })
}
