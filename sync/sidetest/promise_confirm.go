package sidetest

import (
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var confirmPromises = []promise{
	{"a message that is gone for good is sure", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		b.expunge(mail.Inbox, ref)
		b.look()
		b.confirms(mail.Inbox, ref, plain(1), true)
	}},
	{"many that are gone are sure, all of them", func(b *bench) {
		b.need("Work")
		refs := b.put(mail.Inbox, plain(1), plain(2), plain(3))
		work := b.put("Work", plain(4), plain(5))
		b.expunge(mail.Inbox, refs[0])
		b.expunge(mail.Inbox, refs[2])
		b.expunge("Work", work[1])
		b.look()
		var gone []plan.Gone
		for _, g := range []plan.Place{b.at(mail.Inbox, refs[0]), b.at(mail.Inbox, refs[2]), b.at("Work", work[1])} {
			gone = append(gone, plan.Gone{At: g})
		}
		for i, n := range []int{1, 3, 5} {
			gone[i].Ident = newText(b.want(plain(n).body)).ident
		}
		sure, outside, err := b.side.Confirm(b.ctx, gone)
		if err != nil || len(outside) > 0 || len(sure) != len(gone) {
			b.Errorf("sure %v, outside %v, error %v", sure, outside, err)
		}
	}},
	{"nothing is asked, nothing is sure", func(b *bench) {
		sure, outside, err := b.side.Confirm(b.ctx, nil)
		if len(sure)+len(outside) > 0 || err != nil {
			b.Errorf("sure %v, outside %v, error %v", sure, outside, err)
		}
	}},
	{"a message that is there is not sure", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1))[0]
		b.look()
		b.confirms(mail.Inbox, ref, plain(1), false)
	}},
	{"a message that moved after the survey is not sure", func(b *bench) {
		b.need("Work")
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		b.look()
		b.carry(mail.Inbox, ref, "Work")
		b.confirms(mail.Inbox, ref, plain(1), false)
	}},
	{"a message that moved between two scans is not sure", func(b *bench) {
		b.need("A", "Z")
		ref := b.put("Z", plain(1), plain(2))[0]
		b.reopen()
		b.everything("A")
		b.carry("Z", ref, "A")
		b.everything("Z")
		b.confirms("Z", ref, plain(1), false)
	}},
	{"a message that moved back is not sure", func(b *bench) {
		b.need("Work")
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		b.carry(mail.Inbox, ref, "Work")
		b.look()
		b.carry("Work", b.find("Work", plain(1).body), mail.Inbox)
		b.confirms(mail.Inbox, ref, plain(1), false)
	}},
	{"a message whose equal arrived after the survey is not sure", func(b *bench) {
		b.need("Work")
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		b.expunge(mail.Inbox, ref)
		b.look()
		b.deliver("Work", plain(1))
		b.confirms(mail.Inbox, ref, plain(1), false)
	}},
	{"a message whose equal came to a new mailbox is not sure", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		b.expunge(mail.Inbox, ref)
		b.look()
		b.behind(func(o *bench) {
			o.need("Brand new")
			o.put("Brand new", plain(1))
		})
		delete(b.ids, "Brand new")
		b.confirms(mail.Inbox, ref, plain(1), false)
	}},
	{"what this side brought itself does not count against it", func(b *bench) {
		b.need("Work")
		refs := b.put(mail.Inbox, plain(1), plain(2))
		b.expunge(mail.Inbox, refs[0])
		b.look()
		b.put("Work", plain(3))
		b.must(plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, refs[1]), To: b.ids["Work"]})
		b.confirms(mail.Inbox, refs[0], plain(1), true)
	}},
	{"a change of flags meanwhile does not count against it", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2))
		b.expunge(mail.Inbox, refs[0])
		b.look()
		b.reflag(mail.Inbox, refs[1], mail.NewFlagSet(mail.Seen))
		b.confirms(mail.Inbox, refs[0], plain(1), true)
	}},
	{"a mailbox that vanished after the survey makes nothing sure that moved", func(b *bench) {
		b.need("Work", "Kept")
		ref := b.put("Work", plain(1))[0]
		b.look()
		b.carry("Work", ref, "Kept")
		b.demolish("Work")
		b.confirms("Work", ref, plain(1), false)
	}},
	{"a file that moved to a mailbox that is not bound is outside", func(b *bench) {
		if !b.h.Claims.KeepsKeys {
			return
		}
		b.need("Unbound")
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		b.carry(mail.Inbox, ref, "Unbound")
		delete(b.ids, "Unbound")
		b.look()
		gone := plan.Gone{At: b.at(mail.Inbox, ref), Ident: newText(b.want(plain(1).body)).ident}
		sure, outside, err := b.side.Confirm(b.ctx, []plan.Gone{gone})
		if err != nil || len(sure) > 0 || !slices.Equal(outside, []plan.Place{gone.At}) {
			b.Errorf("sure %v, outside %v, error %v", sure, outside, err)
		}
	}},
}

// look is a new run that has surveyed and scanned all that is bound.
func (b *bench) look() {
	b.Helper()
	b.reopen()
	for name := range b.ids {
		b.everything(name)
	}
}

// confirms asks for one message and checks whether it is sure to be gone.
func (b *bench) confirms(box mail.MailboxName, ref mail.Ref, l letter, want bool) {
	b.Helper()
	gone := plan.Gone{At: b.at(box, ref), Ident: newText(b.want(l.body)).ident}
	sure, outside, err := b.side.Confirm(b.ctx, []plan.Gone{gone})
	switch {
	case err != nil && want:
		b.Fatalf("confirm: %v", err)
	case want && (len(outside) > 0 || !slices.Equal(sure, []plan.Place{gone.At})):
		b.Errorf("it is not sure: sure %v, outside %v", sure, outside)
	case !want && len(sure) > 0:
		b.Errorf("it is sure: %v", sure)
	}
}
