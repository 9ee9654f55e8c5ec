package sidetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// patience is how long one promise may take before it counts as hanging.
const patience = 2 * time.Minute

// A bench is where one promise is checked: an account and a Side over it.
type bench struct {
	*testing.T
	h    Harness
	ctx  context.Context
	side engine.Writer
	ids  map[mail.MailboxName]mail.BoxID
}

func newBench(t *testing.T, h Harness) *bench {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	b := &bench{T: t, h: h, ctx: ctx, ids: map[mail.MailboxName]mail.BoxID{}}
	b.reopen()
	t.Cleanup(func() { _ = b.side.Close() })
	b.need(mail.Inbox)
	return b
}

// reopen goes on with a new Side, as the next run does: it has surveyed and
// bound what the bench knows.
func (b *bench) reopen() {
	b.Helper()
	if b.side != nil {
		if err := b.side.Close(); err != nil {
			b.Fatalf("close: %v", err)
		}
	}
	b.side = b.h.Open(b.T)
	b.survey(nil)
	b.bind()
}

func (b *bench) bind() {
	bound := map[mail.BoxID]mail.MailboxName{}
	for name, id := range b.ids {
		bound[id] = name
	}
	b.side.Bind(bound)
}

func (b *bench) survey(since map[mail.MailboxName]plan.Since) map[mail.MailboxName]plan.Box {
	b.Helper()
	list, err := b.side.Survey(b.ctx, since)
	if err != nil {
		b.Fatalf("survey: %v", err)
	}
	out := map[mail.MailboxName]plan.Box{}
	for _, box := range list {
		if _, twice := out[box.Name]; twice {
			b.Errorf("survey lists %q twice", box.Name)
		}
		out[box.Name] = box
	}
	return out
}

// need makes mailboxes, and binds them.
func (b *bench) need(names ...mail.MailboxName) {
	b.Helper()
	for _, name := range names {
		if _, err := b.side.Create(b.ctx, name); err != nil {
			b.Fatalf("create %q: %v", name, err)
		}
		if b.ids[name] == 0 {
			b.ids[name] = mail.BoxID(len(b.ids) + 1)
		}
	}
	b.bind()
}

// A letter is a message for Put.
type letter struct {
	body  []byte
	flags mail.FlagSet
	date  time.Time
	token string
}

// plain makes an ordinary message, different for every n.
func plain(n int) letter {
	body := fmt.Sprintf("From: Ada <ada@example.org>\r\nTo: Bob <bob@example.org>\r\nSubject: number %d\r\n"+
		"Date: Thu, 04 Mar 2021 05:06:07 +0000\r\nMessage-ID: <%d@example.org>\r\n\r\nThis is message %d.\r\n", n, n, n)
	return letter{body: []byte(body), date: time.Date(2021, time.March, 4, 5, 6, 7+n, 0, time.UTC)}
}

// once opens a body one time only, as a body that streams does.
func once(r io.Reader) func() (io.ReadCloser, error) {
	opened := false
	return func() (io.ReadCloser, error) {
		if opened {
			return nil, errors.New("a body that streams was opened twice")
		}
		opened = true
		return io.NopCloser(r), nil
	}
}

// incoming is the letter as the engine hands it to a batch.
func (l letter) incoming(tag int) plan.Incoming {
	id := newText(l.body).ident
	return plan.Incoming{
		Tag:  tag,
		Item: mail.Item{Flags: l.flags, Date: l.date, Ident: mail.Identity{Size: id.Size}, Token: l.token},
		Open: once(bytes.NewReader(l.body)),
	}
}

// tryPut puts letters in one batch; tags are their numbers.
func (b *bench) tryPut(box mail.MailboxName, letters ...letter) []plan.Placed {
	b.Helper()
	batch, err := b.side.Put(b.ctx, b.ids[box])
	if err != nil {
		b.Fatalf("put into %q: %v", box, err)
	}
	defer batch.Abort()
	for i, l := range letters {
		if err := batch.Add(b.ctx, l.incoming(i)); err != nil {
			b.Fatalf("add: %v", err)
		}
	}
	placed, err := batch.Commit(b.ctx)
	if err != nil {
		b.Fatalf("commit: %v", err)
	}
	return b.byTag(placed, len(letters))
}

// byTag puts placed into the order of their tags and checks that each came once.
func (b *bench) byTag(placed []plan.Placed, n int) []plan.Placed {
	b.Helper()
	out := make([]plan.Placed, n)
	seen := map[int]bool{}
	for _, p := range placed {
		if p.Tag < 0 || p.Tag >= n || seen[p.Tag] {
			b.Fatalf("commit gave the tag %d, once too often or never added", p.Tag)
		}
		seen[p.Tag], out[p.Tag] = true, p
	}
	if len(seen) != n {
		b.Fatalf("commit told of %d messages, %d were added", len(seen), n)
	}
	return out
}

// put puts letters that must all be stored, and gives their Refs in order,
// found by their bytes where the side does not tell them.
func (b *bench) put(box mail.MailboxName, letters ...letter) []mail.Ref {
	b.Helper()
	before := map[mail.Ref]plan.Seen{}
	if b.h.Claims.Forgets {
		before, _ = b.everything(box)
	}
	placed := b.tryPut(box, letters...)
	refs := make([]mail.Ref, len(placed))
	var untold map[mail.Digest][]mail.Ref
	for i, p := range placed {
		switch {
		case p.Err != nil:
			b.Fatalf("message %d was not stored: %v", i, p.Err)
		case p.Ref == "" && (!p.Unknown || !b.h.Claims.Forgets):
			b.Fatalf("message %d was stored, and its place is not told", i)
		}
		if refs[i] = p.Ref; p.Ref != "" {
			continue
		}
		if untold == nil {
			untold = b.arrived(box, before)
		}
		refs[i] = b.only(box, untold[newText(b.want(letters[i].body)).ident.Body])
	}
	return refs
}

// find gives the one message in box with these bytes.
func (b *bench) find(box mail.MailboxName, body []byte) mail.Ref {
	b.Helper()
	return b.only(box, b.arrived(box, nil)[newText(b.want(body)).ident.Body])
}

// arrived gives what is in box and was not there before, by its bytes.
func (b *bench) arrived(box mail.MailboxName, before map[mail.Ref]plan.Seen) map[mail.Digest][]mail.Ref {
	b.Helper()
	out := map[mail.Digest][]mail.Ref{}
	for ref, f := range b.fetchAll(box) {
		if _, old := before[ref]; !old {
			id := newText(f.body).ident.Body
			out[id] = append(out[id], ref)
		}
	}
	return out
}

func (b *bench) only(box mail.MailboxName, found []mail.Ref) mail.Ref {
	b.Helper()
	if len(found) != 1 {
		b.Fatalf("%q holds a message %d times that should be there once", box, len(found))
	}
	return found[0]
}

// want is what is there after body was put.
func (b *bench) want(body []byte) []byte {
	stored, ok := b.h.Claims.stored(body)
	if !ok {
		b.Fatalf("the harness claims that an ordinary message is refused")
	}
	return stored
}

// scan scans from since and checks what holds of every scan.
func (b *bench) scan(box mail.MailboxName, since plan.Since) (map[mail.Ref]plan.Seen, plan.Scanned) {
	b.Helper()
	seen := map[mail.Ref]plan.Seen{}
	end, err := b.side.Scan(b.ctx, b.ids[box], since, func(s plan.Seen) error {
		if _, twice := seen[s.Ref]; twice {
			b.Errorf("scan of %q yields %q twice", box, s.Ref)
		}
		if s.Ref == "" {
			b.Errorf("scan of %q yields a message without a Ref", box)
		}
		seen[s.Ref] = s
		return nil
	})
	if err != nil {
		b.Fatalf("scan of %q: %v", box, err)
	}
	if !end.Complete {
		b.Errorf("scan of %q, which stands still, is not complete", box)
	}
	if end.Epoch == "" {
		b.Errorf("scan of %q gives no epoch", box)
	}
	return seen, end
}

// everything scans from the beginning of time.
func (b *bench) everything(box mail.MailboxName) (map[mail.Ref]plan.Seen, plan.Since) {
	b.Helper()
	seen, end := b.scan(box, plan.Since{})
	if !end.Full {
		b.Errorf("scan of %q without a cursor is not full", box)
	}
	if end.Count >= 0 && end.Count != len(seen) {
		b.Errorf("scan of %q yields %d messages and counts %d", box, len(seen), end.Count)
	}
	return seen, plan.Since{Cursor: end.Cursor, Epoch: end.Epoch, Known: len(seen)}
}

// A fetched message is what Fetch handed over.
type fetched struct {
	item mail.Item
	body []byte
}

func (b *bench) fetch(box mail.MailboxName, refs ...mail.Ref) map[mail.Ref]fetched {
	b.Helper()
	out := map[mail.Ref]fetched{}
	err := b.side.Fetch(b.ctx, b.ids[box], refs, func(ref mail.Ref, item mail.Item, r io.Reader) error {
		body, err := io.ReadAll(r)
		if _, twice := out[ref]; twice {
			b.Errorf("fetch gives %q twice", ref)
		}
		out[ref] = fetched{item, body}
		return err
	})
	if err != nil {
		b.Fatalf("fetch from %q: %v", box, err)
	}
	return out
}

func (b *bench) fetchAll(box mail.MailboxName) map[mail.Ref]fetched {
	b.Helper()
	seen, _ := b.everything(box)
	var refs []mail.Ref
	for ref := range seen {
		refs = append(refs, ref)
	}
	return b.fetch(box, refs...)
}

// holds checks that box holds exactly these letters: bytes, flags, dates.
func (b *bench) holds(box mail.MailboxName, letters ...letter) {
	b.Helper()
	var want, have []Message
	for _, l := range letters {
		want = append(want, Message{Body: b.want(l.body), Flags: l.flags, Date: l.date})
	}
	for ref, f := range b.fetchAll(box) {
		have = append(have, Message{Ref: ref, Body: f.body, Flags: f.item.Flags, Date: f.item.Date})
	}
	if diff := Compare(Snapshot{box: want}, Snapshot{box: have}); diff != "" {
		b.Errorf("first what should be there, second what is:\n%s", diff)
	}
}

// do carries out ops, with their index as tag, and gives the outcomes in order.
func (b *bench) do(ops ...plan.Op) []plan.Outcome {
	b.Helper()
	for i := range ops {
		ops[i].Tag = i
	}
	seen := map[int]plan.Outcome{}
	err := b.side.Do(b.ctx, ops, func(list []plan.Outcome) error {
		for _, o := range list {
			if _, twice := seen[o.Tag]; twice || o.Tag < 0 || o.Tag >= len(ops) {
				b.Errorf("the op %d got an outcome twice, or does not exist", o.Tag)
			}
			seen[o.Tag] = o
		}
		return nil
	})
	if err != nil {
		b.Fatalf("do: %v", err)
	}
	out := make([]plan.Outcome, len(ops))
	for i := range ops {
		o, ok := seen[i]
		if !ok {
			b.Fatalf("the op %d got no outcome", i)
		}
		out[i] = o
	}
	return out
}

// must carries out ops that all must be Done.
func (b *bench) must(ops ...plan.Op) []plan.Outcome {
	b.Helper()
	out := b.do(ops...)
	for i, o := range out {
		if o.Result != plan.Done {
			b.Fatalf("%s is %s: %v", ops[i].Kind, o.Result, o.Err)
		}
	}
	return out
}

func (b *bench) at(box mail.MailboxName, ref mail.Ref) plan.Place {
	return plan.Place{Box: b.ids[box], Ref: ref}
}

// since maps a position to its mailbox, for a survey.
func since(box mail.MailboxName, s plan.Since) map[mail.MailboxName]plan.Since {
	return map[mail.MailboxName]plan.Since{box: s}
}

// age lets time pass where the harness needs it.
func (b *bench) age() {
	if b.h.Age != nil {
		b.h.Age(b.T)
	}
}
