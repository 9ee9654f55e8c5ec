package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// boxCheck is the verification of one mailbox.
type boxCheck struct {
	*verifier
	rec  *plan.BoxRecord
	sum  VerifiedBox
	read [2][]toRead
	// bodies are what the files turned out to be, for rows whose identity the
	// index does not know.
	bodies map[int64]mail.Digest
}

// shown is what a scan tells of a message, without its identity: a mailbox
// may have many.
type shown struct {
	flags mail.FlagSet
	date  time.Time
	stat  string
	size  int64
}

// toRead is a message whose bytes are to be compared with what the index knows.
type toRead struct {
	row     *plan.Row
	now     shown
	suspect bool // the mark of the file is another one
}

// verifyBox compares one mailbox. What it counted is reported also beside an error.
func (v *verifier) verifyBox(ctx context.Context, rec *plan.BoxRecord) error {
	c := &boxCheck{verifier: v, rec: rec, bodies: map[int64]mail.Digest{}}
	c.sum = VerifiedBox{Mailbox: boxName(rec), Held: v.held[rec.ID], Pending: v.pending[rec.ID]}
	rows, err := v.Index.RowsIn(ctx, rec.ID)
	if err != nil {
		return indexFault(err)
	}
	for _, row := range rows {
		c.count(&row)
	}
	var errs []error
	for _, s := range plan.Sides {
		errs = append(errs, c.compare(ctx, s, rows))
	}
	errs = append(errs, c.readLocal(ctx), c.readRemote(ctx))
	v.report.Boxes = append(v.report.Boxes, c.sum)
	if v.Done != nil {
		v.Done(c.sum)
	}
	return errors.Join(errs...)
}

// count counts a row that has a place in the mailbox.
func (c *boxCheck) count(row *plan.Row) {
	for _, s := range plan.Sides {
		if !row.At[s].IsZero() && row.At[s].Box == c.rec.ID {
			c.sum.Rows[s]++
		}
	}
	switch row.State {
	case plan.Unbound:
		c.sum.Waiting++
	case plan.Kept, plan.Outside:
		c.sum.OneSided++
	}
}

// compare looks at what one side has, and at the rows that say so.
func (c *boxCheck) compare(ctx context.Context, s plan.Side, rows []plan.Row) error {
	h := c.rec.Side[s]
	if b, there := c.survey[s][h.Name]; h.Name == "" || !there || b.Container {
		c.sum.Vanished[s] = h.Name != ""
		c.partial = c.partial || c.sum.Rows[s] > 0 // nobody can say where its messages are
		return nil
	}
	seen := map[mail.Ref]shown{}
	sc, err := c.side[s].Scan(ctx, c.rec.ID, plan.Since{}, func(m plan.Seen) error {
		if !m.Gone {
			seen[m.Ref] = shown{m.Item.Flags, m.Item.Date, m.Item.Stat, m.Item.Ident.Size}
		}
		return nil
	})
	if err != nil {
		c.partial = true
		return err
	}
	c.sum.There[s] = len(seen)
	if c.rebind && s == plan.Remote || h.Epoch != "" && sc.Epoch != h.Epoch {
		c.sum.Unmatched[s], c.partial = c.sum.Rows[s], true
		return nil
	}
	for i := range rows {
		row := &rows[i]
		if row.At[s].IsZero() || row.At[s].Box != c.rec.ID {
			continue
		}
		now, ok := seen[row.At[s].Ref]
		delete(seen, row.At[s].Ref)
		if ok {
			c.present(s, row, now)
		} else if sc.Complete {
			c.missing(s, row)
		}
	}
	c.sum.New[s] = len(seen)
	for ref, now := range seen {
		if s == plan.Local {
			c.newRefs[ref] = true
		} else {
			c.newSizes[now.size] = true
		}
	}
	if !sc.Complete {
		c.partial = true
		return errors.New("it never stood still while it was listed: verify again when nothing else uses it")
	}
	return nil
}

// present compares a message that is where its row says.
func (c *boxCheck) present(s plan.Side, row *plan.Row, now shown) {
	if !now.flags.Equal(row.Flags[s]) {
		c.sum.Flags[s]++
	}
	suspect := s == plan.Local && now.stat != row.Stat
	if s == plan.Remote && now.size != 0 && row.Ident[s].Size != 0 && now.size != row.Ident[s].Size {
		c.sum.Sizes++
	}
	if suspect || c.ReadData {
		c.read[s] = append(c.read[s], toRead{row, now, suspect})
	}
}

func (c *boxCheck) missing(s plan.Side, row *plan.Row) {
	c.sum.Gone[s]++
	g := c.gone[row.ID]
	if g == nil {
		g = &goneRow{row: *row, mailbox: c.sum.Mailbox}
		c.gone[row.ID] = g
	}
	g.missing[s] = true
}

// readLocal reads files, and tells those that hold another message.
func (c *boxCheck) readLocal(ctx context.Context) error {
	var errs []error
	for chunk := range slices.Chunk(c.read[plan.Local], chunkMessages) {
		byRef := make(map[mail.Ref]toRead, len(chunk))
		refs := make([]mail.Ref, len(chunk))
		for i, x := range chunk {
			refs[i] = x.row.At[plan.Local].Ref
			byRef[refs[i]] = x
		}
		type other struct {
			x  toRead
			id mail.Identity
		}
		var others []other
		err := c.Local.Identify(ctx, c.rec.ID, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
			x := byRef[ref]
			want := x.row.Ident[plan.Local].Body
			if err != nil {
				c.found(c.finding(FoundUnreadable, plan.Local, x.row, id, "the file cannot be read: "+err.Error()))
				return nil
			}
			c.sum.Read[plan.Local]++
			c.bodies[x.row.ID] = id.Body
			switch {
			case !want.IsZero() && want != id.Body:
				others = append(others, other{x, id})
			case x.suspect:
				c.sum.Touched++
			}
			return nil
		})
		for _, o := range others {
			if e := c.otherBytes(ctx, o.x, o.id); e != nil {
				errs = append(errs, e)
			}
		}
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
	}
	return errors.Join(errs...)
}

func (c *boxCheck) finding(kind FindingKind, s plan.Side, row *plan.Row, got mail.Identity, text string) Finding {
	return Finding{Kind: kind, Side: s, Mailbox: c.sum.Mailbox, Ref: row.At[s].Ref, Row: row.ID, Digest: bodyOf(row), Got: got.Body, Text: text}
}

// otherBytes decides what became of a file that holds other bytes than its
// message. Damage is what nobody would do on purpose: bytes that changed
// under the same mark, or with the time of modification of the message itself,
// as when a damaged file was copied; or the mere beginning of the message.
// Everything else is an edit, which a sync carries over.
func (c *boxCheck) otherBytes(ctx context.Context, x toRead, id mail.Identity) error {
	var f Finding
	switch {
	case !x.suspect:
		f = c.finding(FoundDamaged, plan.Local, x.row, id, "the file has other bytes than its message, although its size and time are as they were")
	case id.Size == 0:
		f = c.finding(FoundTruncated, plan.Local, x.row, id, "the file is empty")
	default:
		cut, err := c.isBeginning(ctx, x.row, id)
		if err != nil {
			return err
		}
		switch {
		case cut:
			f = c.finding(FoundTruncated, plan.Local, x.row, id, "the file ends before its message does")
		case sameSecond(x.now.date, x.row.Date):
			f = c.finding(FoundDamaged, plan.Local, x.row, id, "the file has other bytes than its message, although its time is as it was")
		default:
			c.sum.Edited++
			return nil
		}
	}
	if c.Repair {
		f.Why = c.mend(ctx, x)
		f.Repaired = f.Why == nil
		if f.Why != nil && (ctx.Err() != nil || mail.GradeOf(f.Why, mail.GradeMessage) >= mail.GradeAccount) {
			c.found(f)
			return f.Why
		}
	}
	c.found(f)
	return nil
}

func sameSecond(a, b time.Time) bool { return !a.IsZero() && a.Unix() == b.Unix() }

// isBeginning tells whether a file holds the first bytes of the server's message.
func (c *boxCheck) isBeginning(ctx context.Context, row *plan.Row, id mail.Identity) (bool, error) {
	at := row.At[plan.Remote]
	if at.IsZero() || id.Size >= row.Ident[plan.Local].Size {
		return false, nil
	}
	same := false
	err := c.Remote.Fetch(ctx, at.Box, []mail.Ref{at.Ref}, func(_ mail.Ref, _ mail.Item, body io.Reader) error {
		start, err := mail.Identify(io.LimitReader(body, id.Size))
		same = err == nil && start.Body == id.Body
		return err
	})
	if err != nil && ctx.Err() == nil && mail.GradeOf(err, mail.GradeMessage) < mail.GradeAccount {
		err = nil // nobody can tell: then it counts as edited, and is left alone
	}
	return same, err
}

// readRemote fetches messages, and tells those that are not what they were.
func (c *boxCheck) readRemote(ctx context.Context) error {
	for chunk := range slices.Chunk(c.read[plan.Remote], chunkMessages) {
		byRef := make(map[mail.Ref]toRead, len(chunk))
		refs := make([]mail.Ref, len(chunk))
		for i, x := range chunk {
			refs[i] = x.row.At[plan.Remote].Ref
			byRef[refs[i]] = x
		}
		err := c.Remote.Fetch(ctx, c.rec.ID, refs, func(ref mail.Ref, _ mail.Item, body io.Reader) error {
			x, asked := byRef[ref]
			if !asked {
				return nil
			}
			id, err := mail.Identify(body)
			if err != nil {
				return nil // the fetch itself tells
			}
			delete(byRef, ref)
			c.sum.Read[plan.Remote]++
			c.remoteBytes(x.row, id)
			return nil
		})
		if err == nil {
			continue // what did not come is gone meanwhile
		}
		if ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) > mail.GradeMessage {
			return err
		}
		for _, ref := range sortedKeys(byRef) {
			x := byRef[ref]
			c.found(c.finding(FoundUnreadable, plan.Remote, x.row, mail.Identity{}, "the server does not give the message: "+err.Error()))
		}
	}
	return nil
}

// remoteBytes compares what the server gave with what the index knows, or
// with the file where the index knows nothing.
func (c *boxCheck) remoteBytes(row *plan.Row, id mail.Identity) {
	want := row.Ident[plan.Remote].Body
	here, read := c.bodies[row.ID]
	switch {
	case !want.IsZero() && want != id.Body:
		text := "the server gives other bytes than it did"
		if here == want {
			text += "; the Maildir has the message as it was"
		}
		c.found(c.finding(FoundServer, plan.Remote, row, id, text))
	case want.IsZero() && read && here != id.Body:
		c.found(c.finding(FoundDiffers, plan.Remote, row, id, "the Maildir and the server have different bytes, and the index knows neither: look at both"))
	}
}
