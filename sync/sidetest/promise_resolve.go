package sidetest

import (
	"slices"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var resolvePromises = []promise{
	{"a put that happened is found", func(b *bench) {
		in, old := b.intent(plan.IntentPut, "Work", flagged(plain(1), mail.Seen))
		ref := b.put("Work", flagged(plain(1), mail.Seen))[0]
		b.resolves(in, old, ref)
	}},
	{"a put that did not happen is absent", func(b *bench) {
		in, old := b.intent(plan.IntentPut, "Work", plain(1))
		b.put("Work", plain(2))
		b.resolves(in, old, "")
	}},
	{"a put into an empty mailbox that did not happen is absent", func(b *bench) {
		in, old := b.intent(plan.IntentPut, "Work", plain(1))
		b.resolves(in, old, "")
	}},
	{"an equal message that was known before is not taken for it", func(b *bench) {
		b.need("Work")
		b.put("Work", plain(1))
		in, old := b.intent(plan.IntentPut, "Work", plain(1))
		b.resolves(in, old, "")
	}},
	{"a put beside an equal message is found as the new one", func(b *bench) {
		b.need("Work")
		b.put("Work", plain(1), plain(2))
		in, old := b.intent(plan.IntentPut, "Work", plain(1))
		b.put("Work", plain(1))
		seen, _ := b.everything("Work")
		var fresh mail.Ref
		for ref := range seen {
			if !slices.Contains(old, ref) {
				fresh = ref
			}
		}
		b.resolves(in, old, fresh)
	}},
	{"one put of a batch is found among the others", func(b *bench) {
		in, old := b.intent(plan.IntentPut, "Work", plain(2))
		refs := b.put("Work", plain(1), plain(2), plain(3))
		b.resolves(in, old, refs[1])
	}},
	{"a put is found after its flags were changed", func(b *bench) {
		in, old := b.intent(plan.IntentPut, "Work", plain(1))
		ref := b.put("Work", plain(1))[0]
		b.reflag("Work", ref, mail.NewFlagSet(mail.Seen, mail.Flagged))
		b.resolves(in, old, ref)
	}},
	{"a move that happened is found", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		in, old := b.intent(plan.IntentMove, "Work", plain(1))
		in.From, in.FromEpoch = b.at(mail.Inbox, ref), in.Epoch
		out := b.must(plan.Op{Kind: plan.OpMove, From: in.From, To: in.To})[0]
		if out.At.Ref == "" {
			out.At.Ref = b.find("Work", plain(1).body)
		}
		b.resolves(in, old, out.At.Ref)
	}},
	{"a move that did not happen is absent", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1), plain(2))[0]
		in, old := b.intent(plan.IntentMove, "Work", plain(1))
		in.From, in.FromEpoch = b.at(mail.Inbox, ref), in.Epoch
		b.resolves(in, old, "")
		b.holds(mail.Inbox, plain(1), plain(2))
	}},
}

// intent makes mailbox box and an intent about l in it, and tells which Refs
// were there before.
func (b *bench) intent(kind plan.IntentKind, box mail.MailboxName, l letter) (plan.Intent, []mail.Ref) {
	b.Helper()
	b.need(box)
	b.reopen()
	seen, pos := b.everything(box)
	var old []mail.Ref
	for ref := range seen {
		old = append(old, ref)
	}
	return plan.Intent{
		ID: 1, Kind: kind, Side: plan.Remote, To: b.ids[box],
		Epoch: pos.Epoch, Next: b.next(box), At: time.Now(),
		Item: mail.Item{Flags: l.flags, Date: l.date, Ident: newText(l.body).ident, Token: l.token},
	}, old
}

// resolves checks, on a new Side, that the intent is found at ref, or is
// absent if ref is "". Nothing may be claimed that is not so.
func (b *bench) resolves(in plan.Intent, old []mail.Ref, ref mail.Ref) {
	b.Helper()
	b.reopen()
	found, err := b.side.Resolve(b.ctx, in, func(r mail.Ref) bool { return slices.Contains(old, r) })
	switch {
	case err != nil:
		b.Fatalf("resolve: %v", err)
	case ref == "" && found.State != plan.FoundAbsent:
		b.Errorf("it is not absent: %+v", found)
	case ref != "" && (found.State != plan.FoundThere || found.At != plan.Place{Box: in.To, Ref: ref}):
		b.Errorf("it is at %q, found was %+v", ref, found)
	case ref != "":
		name := mail.MailboxName("Work")
		seen, pos := b.everything(name)
		if !found.Flags.Equal(seen[ref].Item.Flags) || found.Epoch != pos.Epoch || found.Stat != seen[ref].Item.Stat {
			b.Errorf("found %+v, seen %+v in %q", found, seen[ref], pos.Epoch)
		}
	}
}
