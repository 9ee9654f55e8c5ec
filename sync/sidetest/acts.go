package sidetest

import (
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// behind runs act on a second bench over the same account, whose Side is
// another than the one under test.
func (b *bench) behind(act func(other *bench)) {
	b.Helper()
	other := &bench{T: b.T, h: b.h, ctx: b.ctx, ids: b.ids}
	other.reopen()
	act(other)
	if err := other.side.Close(); err != nil {
		b.Fatalf("close: %v", err)
	}
}

// deliver brings a letter to box from the outside.
func (b *bench) deliver(box mail.MailboxName, l letter) {
	b.Helper()
	if b.h.User.Deliver != nil {
		b.h.User.Deliver(b.T, box, l.body, l.flags, l.date)
		return
	}
	b.behind(func(o *bench) { o.put(box, l) })
}

// reflag gives a message exactly these flags, from the outside.
func (b *bench) reflag(box mail.MailboxName, ref mail.Ref, flags mail.FlagSet) {
	b.Helper()
	if b.h.User.SetFlags != nil {
		b.h.User.SetFlags(b.T, box, ref, flags)
		return
	}
	b.behind(func(o *bench) {
		seen, _ := o.everything(box)
		has := seen[ref].Item.Flags
		o.must(plan.Op{Kind: plan.OpFlags, From: o.at(box, ref), Add: flags.Minus(has), Remove: has.Minus(flags)})
	})
}

// carry moves a message from the outside, into a mailbox that must be bound
// if the harness has no User.Move.
func (b *bench) carry(from mail.MailboxName, ref mail.Ref, to mail.MailboxName) {
	b.Helper()
	if b.h.User.Move != nil {
		b.h.User.Move(b.T, from, ref, to)
		return
	}
	b.behind(func(o *bench) {
		o.must(plan.Op{Kind: plan.OpMove, From: o.at(from, ref), To: o.ids[to]})
	})
}

// expunge removes a message from the outside.
func (b *bench) expunge(box mail.MailboxName, ref mail.Ref) {
	b.Helper()
	if b.h.User.Expunge != nil {
		b.h.User.Expunge(b.T, box, ref)
		return
	}
	b.behind(func(o *bench) { o.must(plan.Op{Kind: plan.OpDelete, From: o.at(box, ref)}) })
}

// demolish removes an empty mailbox from the outside.
func (b *bench) demolish(box mail.MailboxName) {
	b.Helper()
	if b.h.User.DeleteBox != nil {
		b.h.User.DeleteBox(b.T, box)
		return
	}
	b.behind(func(o *bench) {
		if err := o.side.Remove(o.ctx, box); err != nil {
			b.Fatalf("remove %q: %v", box, err)
		}
	})
}
