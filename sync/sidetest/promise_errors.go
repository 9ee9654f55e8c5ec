package sidetest

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// soon is how long a cancelled call may take to end.
const soon = 20 * time.Second

var errorPromises = []promise{
	{"a mailbox that is gone is an error of that mailbox alone", func(b *bench) {
		b.need("Gone", "Kept")
		b.put("Kept", plain(1))
		b.demolish("Gone")
		for name, call := range b.calls("Gone", "1") {
			err := call(b.ctx)
			if err != nil && mail.GradeOf(err, mail.GradeMailbox) == mail.GradeAccount {
				b.Errorf("%s: the fault concerns the account: %v", name, err)
			}
			if err == nil && name != "fetch" && name != "identify" && name != "do" {
				b.Errorf("%s: no error", name)
			}
			b.holds("Kept", plain(1))
		}
	}},
	{"a cancelled call ends with the context's error", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1))[0]
		b.reopen()
		for name, call := range b.calls(mail.Inbox, ref) {
			ctx, cancel := context.WithCancel(b.ctx)
			cancel()
			began := time.Now()
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				b.Errorf("%s: error %v", name, err)
			}
			if d := time.Since(began); d > soon {
				b.Errorf("%s: it took %v", name, d)
			}
			b.holds(mail.Inbox, plain(1))
		}
	}},
	{"a fetch that is cancelled midway ends", func(b *bench) {
		letters := []letter{{body: Large(2 << 20), date: plain(0).date}, plain(1), plain(2)}
		refs := b.put(mail.Inbox, letters...)
		b.reopen()
		ctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		began := time.Now()
		err := b.side.Fetch(ctx, b.ids[mail.Inbox], refs, func(_ mail.Ref, _ mail.Item, r io.Reader) error {
			cancel()
			_, err := io.Copy(io.Discard, r)
			return err
		})
		if !errors.Is(err, context.Canceled) {
			b.Errorf("error %v", err)
		}
		if d := time.Since(began); d > soon {
			b.Errorf("it took %v", d)
		}
		b.holds(mail.Inbox, letters...)
	}},
	{"a scan that is cancelled midway ends", func(b *bench) {
		b.put(mail.Inbox, plain(1), plain(2), plain(3))
		b.reopen()
		ctx, cancel := context.WithCancel(b.ctx)
		defer cancel()
		_, err := b.side.Scan(ctx, b.ids[mail.Inbox], plan.Since{}, func(plan.Seen) error {
			cancel()
			return ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			b.Errorf("error %v", err)
		}
		b.holds(mail.Inbox, plain(1), plain(2), plain(3))
	}},
	{"every op gets an outcome when the call is cancelled", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2))
		b.reopen()
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		var got []plan.Outcome
		err := b.side.Do(ctx, []plan.Op{
			{Tag: 7, Kind: plan.OpFlags, From: b.at(mail.Inbox, refs[0]), Add: mail.NewFlagSet(mail.Seen)},
			{Tag: 8, Kind: plan.OpDelete, From: b.at(mail.Inbox, refs[1])},
		}, func(list []plan.Outcome) error { got = append(got, list...); return nil })
		if !errors.Is(err, context.Canceled) || len(got) != 2 {
			b.Errorf("error %v, outcomes %v", err, got)
		}
		for _, o := range got {
			if o.Result == plan.Done {
				b.Errorf("the op %d is done", o.Tag)
			}
		}
		b.reopen()
		b.holds(mail.Inbox, plain(1), plain(2))
	}},
	{"every message of a batch is told of when the commit is cancelled", func(b *bench) {
		batch := b.begin()
		for i := range 2 {
			if err := batch.Add(b.ctx, plain(i).incoming(i)); err != nil {
				b.Fatalf("add: %v", err)
			}
		}
		ctx, cancel := context.WithCancel(b.ctx)
		cancel()
		placed, err := batch.Commit(ctx)
		b.reopen()
		seen, _ := b.everything(mail.Inbox)
		for _, p := range b.byTag(placed, 2) {
			if _, there := seen[p.Ref]; p.Ref != "" && !there {
				b.Errorf("told to be at %q, where it is not", p.Ref)
			}
			if p.Ref == "" && p.Err == nil && !p.Unknown {
				b.Errorf("message %d: neither stored, nor unknown, nor failed: %v", p.Tag, err)
			}
		}
	}},
	{"a side can be closed twice and at any time", func(b *bench) {
		b.put(mail.Inbox, plain(1))
		side := b.h.Open(b.T)
		for range 2 {
			if err := side.Close(); err != nil {
				b.Errorf("close: %v", err)
			}
		}
		b.holds(mail.Inbox, plain(1))
	}},
}

// calls are all calls about one mailbox and one message in it.
func (b *bench) calls(box mail.MailboxName, ref mail.Ref) map[string]func(context.Context) error {
	id := b.ids[box]
	return map[string]func(context.Context) error{
		"scan": func(ctx context.Context) error {
			_, err := b.side.Scan(ctx, id, plan.Since{}, func(plan.Seen) error { return nil })
			return err
		},
		"identify": func(ctx context.Context) error {
			return b.side.Identify(ctx, id, []mail.Ref{ref}, mail.LevelBody, func(mail.Ref, mail.Identity, error) error { return nil })
		},
		"fetch": func(ctx context.Context) error {
			return b.side.Fetch(ctx, id, []mail.Ref{ref}, func(mail.Ref, mail.Item, io.Reader) error { return nil })
		},
		"do": func(ctx context.Context) error {
			op := plan.Op{Kind: plan.OpFlags, From: b.at(box, ref), Remove: mail.NewFlagSet(mail.Flagged)}
			return b.side.Do(ctx, []plan.Op{op}, func([]plan.Outcome) error { return nil })
		},
		"put": func(ctx context.Context) error {
			batch, err := b.side.Put(ctx, id)
			if err != nil {
				return err
			}
			defer batch.Abort()
			return b.fill(ctx, batch)
		},
	}
}

// fill adds a message whose body is large enough to be noticed, and commits.
func (b *bench) fill(ctx context.Context, batch engine.Batch) error {
	if err := batch.Add(ctx, plain(5).incoming(0)); err != nil {
		return err
	}
	placed, err := batch.Commit(ctx)
	if err == nil {
		err = placed[0].Err
	}
	return err
}
