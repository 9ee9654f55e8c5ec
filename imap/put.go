package imap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A batch sends messages by APPEND as they are added and takes the answers
// later: see parcels. UIDs come with APPENDUID (RFC 4315); else Commit looks
// for the messages among those from the UIDNEXT on that was told before the
// first of them.
type batch struct {
	a    *Account
	box  mail.BoxID
	wire string
	v    *view

	begun  bool
	multi  bool  // the server takes several messages in one APPEND, unasked
	before mark  // of the mailbox, before the first APPEND
	limit  int64 // the largest message that the server takes, in bytes; 0 if not known
	placed []plan.Placed
	lost   []int // of placed: stored, or perhaps stored, under a UID not known
	// without are keywords, by place in placed, that a message was stored
	// without since it had been refused with them.
	without map[int]mail.FlagSet
	stored  uint32 // how many this batch has stored
	echoes  []int  // of placed: to be read back
	parcels
	held bytes.Buffer
	over bool
}

// A Batch is the engine's: the same type, told in words that a side may know.
type Batch = interface {
	Add(ctx context.Context, in plan.Incoming) error
	Commit(ctx context.Context) ([]plan.Placed, error)
	Abort()
}

// Put implements engine.Writer.
func (a *Account) Put(ctx context.Context, box mail.BoxID) (Batch, error) {
	a.batches.Lock()
	defer a.batches.Unlock()
	a.forget()
	wire, err := a.wireName(box)
	if err != nil {
		return nil, err
	}
	return &batch{a: a, box: box, wire: wire, v: a.view(wire), without: map[int]mail.FlagSet{}}, nil
}

// Add implements engine.Batch.
func (b *batch) Add(ctx context.Context, in plan.Incoming) error {
	b.a.batches.Lock()
	defer b.a.batches.Unlock()
	if b.over {
		return errors.New("the batch was committed already")
	}
	b.a.forget()
	at := len(b.placed)
	b.placed = append(b.placed, plan.Placed{Tag: in.Tag})
	p := &b.placed[at]
	if err := b.begin(ctx, in.Item.Flags); err != nil {
		p.Err = refusal(mail.GradeMailbox, err)
		return p.Err
	}
	p.Epoch = epochOf(b.before.validity)
	body, file, err := in.Body, (*spool)(nil), error(nil)
	if b.tooLarge(p, in.Item.Ident) {
		return nil
	}
	if body != nil {
		p.Ident = in.Item.Ident
		p.Ident.GlobalID = ""
	} else if body, file, err = b.spool(in, p); err != nil {
		p.Err = err
		return nil
	}
	if b.tooLarge(p, p.Ident) {
		file.close()
		return nil
	}
	if in.Echo != nil && in.Echo() {
		b.echoes = append(b.echoes, at)
	}
	b.load(ctx, at, in.Item, body, file)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// tooLarge refuses a message that the server said it would: nothing of it is
// sent. Where no more than its size is known, that may be an estimate.
func (b *batch) tooLarge(p *plan.Placed, id mail.Identity) bool {
	if b.limit == 0 || id.Size <= b.limit || id.Level() < mail.LevelBody {
		return false
	}
	p.Err = &mail.TooLarge{Size: id.Size, Limit: b.limit}
	return true
}

// begin learns what is needed before the first APPEND: the bound above which
// its UID lies, and, where there are keywords, whether they can be kept.
func (b *batch) begin(ctx context.Context, flags mail.FlagSet) error {
	selectIt := b.v.perm == nil && len(flags.Keywords()) > 0
	if b.begun && !selectIt {
		return nil
	}
	return b.a.retry(ctx, func(s *session) error {
		if selectIt {
			if _, err := b.a.enterKnown(s, b.wire, true); err != nil {
				return err
			}
		}
		if b.begun {
			return nil
		}
		b.before = mark{validity: b.v.validity, next: b.v.next}
		if b.before.validity == 0 || b.before.next == 0 || !s.has(goimap.CapUIDPlus) {
			m, err := s.status(b.wire)
			if err != nil {
				return fmt.Errorf("opening mailbox %q: %w", b.wire, err)
			}
			if b.v.validity != 0 && b.v.validity != m.validity {
				return epochFault(b.wire)
			}
			b.before = m
		}
		b.multi = s.has(goimap.CapLiteralPlus) && s.has(goimap.CapMultiAppend)
		if b.limit, _ = s.appendLimit(); b.limit == 0 {
			b.limit = int64(max(b.v.limit, b.before.limit))
		}
		b.begun = true
		return nil
	})
}

// spool reads the body, with line ends as a server must have them, and learns
// its identity. It gives the bytes, or if they are many a file. What is not the
// message that was to be sent is not: nobody would recognise it.
func (b *batch) spool(in plan.Incoming, p *plan.Placed) ([]byte, *spool, error) {
	body, err := in.Open()
	if err != nil {
		return nil, nil, messageFault(mail.ClassLocal, fmt.Errorf("opening the message: %w", err), "")
	}
	defer body.Close()
	h := mail.NewHasher()
	sp, err := newSpool(b.a.opt.Spool, io.TeeReader(&canonical{r: body}, h), &b.held)
	if err != nil {
		return nil, nil, messageFault(mail.ClassLocal, fmt.Errorf("reading the message: %w", err), "")
	}
	p.Ident = h.Sum()
	if want := in.Item.Ident.Body; !want.IsZero() && want != p.Ident.Body {
		sp.close()
		return nil, nil, messageFault(mail.ClassLocal, errors.New("reading the message: it changed meanwhile"), "it is tried again at the next run")
	}
	if sp.file != nil {
		return nil, sp, nil
	}
	return sp.mem.Bytes(), nil, nil
}

// mayBeKeywords tells whether err is a refusal that may be about the keywords.
func mayBeKeywords(err error) bool {
	switch codeOf(err) {
	case "", goimap.ResponseCodeCannot, goimap.ResponseCodeLimit, goimap.ResponseCodeClientBug:
		return refusedByServer(err)
	}
	return false
}

// nothingCame tells whether the mailbox got no message but those that are
// known to be this run's: a server that refused one may have kept it all the
// same, and would be given it twice. Nothing may be on its way.
func (b *batch) nothingCame(ctx context.Context) bool {
	var now mark
	err := b.a.use(ctx, func(s *session) (err error) {
		if err = s.leave(); err == nil {
			now, err = s.status(b.wire)
		}
		return err
	})
	ours := max(b.stored, b.v.ownSince(b.before.next))
	return err == nil && now.validity == b.before.validity && now.next != 0 && now.next == b.before.next+ours
}

// record notes that a message was stored, under a UID if that was told.
func (b *batch) record(at int, validity, uid uint32) {
	b.stored++
	if uid == 0 || validity == 0 {
		b.lost = append(b.lost, at)
		return
	}
	p := &b.placed[at]
	p.Ref, p.Epoch = refOf(uid), epochOf(validity)
	if b.v.validity == validity {
		b.v.own(uid)
	}
}

// Commit implements engine.Batch.
func (b *batch) Commit(ctx context.Context) ([]plan.Placed, error) {
	b.a.batches.Lock()
	defer b.a.batches.Unlock()
	b.over = true
	b.a.forget()
	b.dispatch(ctx)
	echoed := b.echoAhead(ctx)
	b.receiveAll(ctx)
	b.sendAgain(ctx)
	var err error
	if len(b.lost) > 0 {
		err = b.find(ctx, b.lost)
		for _, i := range b.lost {
			b.placed[i].Unknown = b.placed[i].Ref == ""
		}
	}
	if e := b.addKeywords(ctx); err == nil {
		err = e
	}
	b.echo(ctx, echoed)
	if b.a.heed(b.a.session); err == nil {
		err = b.a.unwelcome
	}
	return b.placed, err
}

// addKeywords gives messages the keywords with which they were refused: only
// if those are refused too, the server does not take them.
func (b *batch) addKeywords(ctx context.Context) error {
	var ops []plan.Op
	for i, keywords := range b.without {
		if p := &b.placed[i]; p.Ref != "" {
			ops = append(ops, plan.Op{Tag: i, Kind: plan.OpFlags, From: plan.Place{Box: b.box, Ref: p.Ref}, Add: keywords})
		}
	}
	if len(ops) == 0 {
		return nil
	}
	return b.a.Do(ctx, ops, func(out []plan.Outcome) error {
		for _, o := range out {
			if p := &b.placed[o.Tag]; o.Result == plan.Done {
				p.Flags = p.Flags.Union(o.Accepted)
			}
		}
		return nil
	})
}

// find gives messages of placed that have no UID yet theirs.
func (b *batch) find(ctx context.Context, which []int) error {
	n, err := b.a.newcomers(ctx, b.wire, b.before.next)
	if err != nil {
		return refusal(mail.GradeMailbox, err)
	}
	if n.validity != b.before.validity {
		return epochFault(b.wire)
	}
	known := map[uint32]bool{}
	for i := range b.placed {
		if uid, err := parseUID(b.placed[i].Ref); err == nil {
			known[uid] = true
		}
	}
	wants := make([]mail.Identity, len(which))
	for i, at := range which {
		wants[i] = b.placed[at].Ident
	}
	got, err := b.a.match(ctx, n, func(uid uint32) bool { return !known[uid] && !b.v.mine[uid] }, wants)
	if err != nil {
		return err
	}
	for i, at := range which {
		if got[i] == 0 {
			continue
		}
		p := &b.placed[at]
		p.Ref, p.Epoch = refOf(got[i]), epochOf(n.validity)
		if r := n.find(got[i]); r.have&haveFlags != 0 {
			p.Flags = p.Flags.Intersect(r.flags)
		}
		if b.v.validity == n.validity {
			b.v.own(got[i])
		}
	}
	return nil
}

// Abort implements engine.Batch. What was sent cannot be taken back: the next
// scan finds it.
func (b *batch) Abort() {
	b.a.batches.Lock()
	defer b.a.batches.Unlock()
	b.over = true
	b.discard()
}
