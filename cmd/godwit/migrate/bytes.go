package migrate

import (
	"context"
	"fmt"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A Compared is what a comparison of all bytes came to.
type Compared struct {
	Messages  int // read at the target
	Bytes     int64
	Rewritten int // that the target keeps otherwise than they were sent, as was seen then
	Gone      int // that the target does not have any more
	Differ    []Failed
}

// compareAtOnce is how many messages are asked for together.
const compareAtOnce = 500

// CompareBytes reads every message that the target has of the origin, and
// compares its digest with that of what the origin gave. What was matched
// without being read is read at the origin, too.
func CompareBytes(ctx context.Context, o Options) (c Compared, err error) {
	records, err := o.Index.Boxes(ctx)
	if err != nil {
		return c, err
	}
	p, sides, err := look(ctx, o, true)
	if err != nil {
		return c, err
	}
	defer func() {
		if e := sides.Close(); err == nil {
			err = e
		}
	}()
	p.bind(records)
	for i := range records {
		rec := &records[i]
		if rec.Dormant || rec.Side[plan.Remote].Name == "" {
			continue
		}
		rows, err := o.Index.RowsIn(ctx, rec.ID)
		if err != nil {
			return c, err
		}
		rows = slices.DeleteFunc(rows, func(r plan.Row) bool {
			return r.State != plan.Paired || r.At[plan.Remote].Box != rec.ID || r.At[plan.Local].IsZero()
		})
		for chunk := range slices.Chunk(rows, compareAtOnce) {
			if err := p.compare(ctx, rec, chunk, &c); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

// bind tells both sides the numbers of the mailboxes that are there.
func (p *pair) bind(records []plan.BoxRecord) {
	var names [2]map[mail.BoxID]mail.MailboxName
	for _, s := range plan.Sides {
		names[s] = map[mail.BoxID]mail.MailboxName{}
	}
	for _, rec := range records {
		if !rec.Dormant && p.scope[rec.Side[plan.Local].Name] {
			names[plan.Local][rec.ID] = rec.Side[plan.Local].Name
			names[plan.Remote][rec.ID] = rec.Side[plan.Remote].Name
		}
	}
	p.origin.Bind(names[plan.Local])
	p.target.Bind(names[plan.Remote])
}

// compare compares some messages of one mailbox of the target.
func (p *pair) compare(ctx context.Context, rec *plan.BoxRecord, rows []plan.Row, c *Compared) error {
	there, err := bodies(ctx, p.target, rec.ID, refsOf(rows, plan.Remote))
	if err != nil {
		return err
	}
	unread := map[mail.BoxID][]mail.Ref{}
	for i := range rows {
		if at := rows[i].At[plan.Local]; rows[i].Ident[plan.Local].Body.IsZero() {
			unread[at.Box] = append(unread[at.Box], at.Ref)
		}
	}
	here := map[plan.Place]mail.Identity{}
	for box, refs := range unread {
		got, err := bodies(ctx, p.origin, box, refs)
		if err != nil {
			return err
		}
		for ref, id := range got {
			here[plan.Place{Box: box, Ref: ref}] = id
		}
	}
	for i := range rows {
		row := &rows[i]
		got, ok := there[row.At[plan.Remote].Ref]
		if !ok {
			c.Gone++
			continue
		}
		c.Messages, c.Bytes = c.Messages+1, c.Bytes+got.Size
		want := row.Ident[plan.Local].Body
		if want.IsZero() {
			want = here[row.At[plan.Local]].Body
		}
		switch {
		case got.Body == want:
		case got.Body == row.Ident[plan.Remote].Body:
			c.Rewritten++
		default:
			_, uid := partOf(row.At[plan.Local].Ref)
			c.Differ = append(c.Differ, Failed{Mailbox: rec.Side[plan.Remote].Name, UID: uid, Digest: want, Size: got.Size,
				Why: fmt.Sprintf("the target's copy (UID %s) has other bytes", row.At[plan.Remote].Ref)})
		}
	}
	return nil
}

func refsOf(rows []plan.Row, s plan.Side) []mail.Ref {
	refs := make([]mail.Ref, len(rows))
	for i := range rows {
		refs[i] = rows[i].At[s].Ref
	}
	return refs
}

// bodies reads messages and gives what they are. One that is not there, or
// cannot be read, is left out.
func bodies(ctx context.Context, side engine.Side, box mail.BoxID, refs []mail.Ref) (map[mail.Ref]mail.Identity, error) {
	out := make(map[mail.Ref]mail.Identity, len(refs))
	err := side.Identify(ctx, box, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
		if err == nil {
			out[ref] = id
		}
		return nil
	})
	return out, err
}
