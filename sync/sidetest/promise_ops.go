package sidetest

import (
	"errors"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var opPromises = []promise{
	{"flags are added and removed one by one", func(b *bench) {
		l := flagged(plain(1), mail.Seen, mail.Flagged)
		other := flagged(plain(2), mail.Seen)
		ref := b.put(mail.Inbox, l, other)[0]
		out := b.must(plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref),
			Add: mail.NewFlagSet(mail.Answered, mail.Draft), Remove: mail.NewFlagSet(mail.Seen)})
		if want := mail.NewFlagSet(mail.Answered, mail.Draft); !out[0].Accepted.Equal(want) {
			b.Errorf("accepted %q of %q", out[0].Accepted, want)
		}
		b.reopen()
		b.holds(mail.Inbox, flagged(plain(1), mail.Flagged, mail.Answered, mail.Draft), other)
	}},
	{"flags that are so already can be asked for again", func(b *bench) {
		ref := b.put(mail.Inbox, flagged(plain(1), mail.Seen))[0]
		b.must(plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref),
			Add: mail.NewFlagSet(mail.Seen), Remove: mail.NewFlagSet(mail.Flagged)})
		b.holds(mail.Inbox, flagged(plain(1), mail.Seen))
	}},
	{"what a user did to other flags meanwhile stays", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1))[0]
		b.everything(mail.Inbox)
		b.reflag(mail.Inbox, ref, mail.NewFlagSet(mail.Flagged))
		b.must(plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref), Add: mail.NewFlagSet(mail.Seen)})
		b.reopen()
		b.holds(mail.Inbox, flagged(plain(1), mail.Flagged, mail.Seen))
	}},
	{"keywords are accepted or not, and told truly", func(b *bench) {
		ref := b.put(mail.Inbox, plain(1))[0]
		want := mail.NewFlagSet("$Forwarded", "todo", "NonJunk")
		out := b.do(plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref), Add: want})[0]
		if out.Result != plan.Done && (out.Result != plan.Declined || b.h.Claims.Keywords == 0) {
			b.Fatalf("keywords: %s, %v", out.Result, out.Err)
		}
		b.reopen()
		seen, _ := b.everything(mail.Inbox)
		if got := seen[ref].Item.Flags; !got.Equal(out.Accepted) || b.h.Claims.Keywords == 0 && !got.Equal(want) {
			b.Errorf("asked for %q, told %q, seen %q", want, out.Accepted, got)
		}
	}},
	{"keywords are taken away", func(b *bench) {
		if b.h.Claims.Keywords < 0 {
			return
		}
		ref := b.put(mail.Inbox, flagged(plain(1), "$Forwarded", "todo"))[0]
		b.must(plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref), Remove: mail.NewFlagSet("TODO", "$forwarded")})
		b.reopen()
		b.holds(mail.Inbox, plain(1))
	}},
	{"what is missing is told so, and a deletion of it is done", func(b *bench) {
		b.need("Work")
		refs := b.put(mail.Inbox, plain(1), plain(2))
		b.everything(mail.Inbox)
		b.expunge(mail.Inbox, refs[0])
		at := b.at(mail.Inbox, refs[0])
		out := b.do(
			plan.Op{Kind: plan.OpFlags, From: at, Add: mail.NewFlagSet(mail.Seen)},
			plan.Op{Kind: plan.OpMove, From: at, To: b.ids["Work"]},
			plan.Op{Kind: plan.OpDelete, From: at},
		)
		for i, want := range []plan.Result{plan.Missing, plan.Missing, plan.Done} {
			if out[i].Result != want {
				b.Errorf("op %d is %s: %v", i, out[i].Result, out[i].Err)
			}
		}
		b.reopen()
		b.holds(mail.Inbox, plain(2))
		b.holds("Work")
	}},
	{"a moved message keeps its bytes, flags and date", func(b *bench) {
		b.need("Work/Deep")
		l := flagged(plain(1), mail.Seen, mail.Answered)
		if b.h.Claims.Keywords >= 0 {
			l = flagged(plain(1), mail.Seen, mail.Answered, "todo")
		}
		ref := b.put(mail.Inbox, plain(2), l)[1]
		b.must(plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, ref), To: b.ids["Work/Deep"]})
		b.reopen()
		b.holds(mail.Inbox, plain(2))
		b.holds("Work/Deep", l)
	}},
	{"the new place of a moved message is told", func(b *bench) {
		b.need("Work")
		ref := b.put(mail.Inbox, plain(1))[0]
		b.put("Work", plain(2))
		out := b.must(plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, ref), To: b.ids["Work"]})[0]
		if out.At.Ref == "" && b.h.Claims.Forgets {
			return
		}
		there := b.find("Work", plain(1).body)
		_, pos := b.everything("Work")
		if out.At != b.at("Work", there) || out.Epoch != pos.Epoch {
			b.Errorf("told %v in %q, it is %q in %q", out.At, out.Epoch, there, pos.Epoch)
		}
		if b.h.Claims.KeepsKeys && out.At.Ref != ref {
			b.Errorf("the key was %q and is %q", ref, out.At.Ref)
		}
	}},
	{"a moved message is changed again at its new place", func(b *bench) {
		b.need("Work", "More")
		ref := b.put(mail.Inbox, plain(1))[0]
		for _, step := range []struct{ from, to mail.MailboxName }{{mail.Inbox, "Work"}, {"Work", "More"}, {"More", mail.Inbox}} {
			out := b.must(plan.Op{Kind: plan.OpMove, From: b.at(step.from, ref), To: b.ids[step.to]})[0]
			if ref = out.At.Ref; ref == "" {
				ref = b.find(step.to, plain(1).body)
			}
		}
		b.must(plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref), Add: mail.NewFlagSet(mail.Seen)})
		b.holds(mail.Inbox, flagged(plain(1), mail.Seen))
	}},
	{"a move beside an equal message doubles and loses nothing", func(b *bench) {
		b.need("Work")
		ref := b.put(mail.Inbox, plain(1))[0]
		b.put("Work", plain(1))
		b.must(plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, ref), To: b.ids["Work"]})
		b.reopen()
		b.holds(mail.Inbox)
		b.holds("Work", plain(1), plain(1))
	}},
	{"a move into a mailbox that is gone fails and loses nothing", func(b *bench) {
		b.need("Work")
		ref := b.put(mail.Inbox, plain(1))[0]
		b.demolish("Work")
		if out := b.do(plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, ref), To: b.ids["Work"]})[0]; out.Result != plan.Failed {
			b.Errorf("it is %s: %v", out.Result, out.Err)
		}
		delete(b.ids, "Work")
		b.reopen()
		b.holds(mail.Inbox, plain(1))
	}},
	{"a deletion removes what was named", func(b *bench) {
		refs := b.put(mail.Inbox, plain(1), plain(2), plain(3))
		b.must(plan.Op{Kind: plan.OpDelete, From: b.at(mail.Inbox, refs[1]), Expect: newText(b.want(plain(2).body)).ident})
		b.reopen()
		b.holds(mail.Inbox, plain(1), plain(3))
	}},
	{"a deletion removes nothing else that is marked deleted", func(b *bench) {
		marked, other := flagged(plain(1), mail.Deleted, mail.Seen), plain(3)
		refs := b.put(mail.Inbox, marked, plain(2), other)
		out := b.do(plan.Op{Kind: plan.OpDelete, From: b.at(mail.Inbox, refs[1])})[0]
		b.reopen()
		seen, _ := b.everything(mail.Inbox)
		if _, there := seen[refs[1]]; there != (out.Result != plan.Done) {
			b.Errorf("the deletion is %s, the message is there: %v", out.Result, there)
		}
		if _, there := seen[refs[0]]; !there {
			b.Error("another message that was marked is gone")
		}
		if _, there := seen[refs[2]]; !there {
			b.Error("a message that was not marked is gone")
		}
	}},
	{"one call changes many mailboxes", func(b *bench) {
		b.need("One", "Two", "Three")
		in := b.put(mail.Inbox, plain(1), plain(2), plain(3))
		one := b.put("One", plain(4), plain(5))
		two := b.put("Two", plain(6))
		seen := mail.NewFlagSet(mail.Seen)
		b.must(
			plan.Op{Kind: plan.OpFlags, From: b.at("One", one[0]), Add: seen},
			plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, in[0]), To: b.ids["Two"]},
			plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, in[1]), Add: seen},
			plan.Op{Kind: plan.OpMove, From: b.at("Two", two[0]), To: b.ids["Three"]},
			plan.Op{Kind: plan.OpDelete, From: b.at("One", one[1])},
			plan.Op{Kind: plan.OpMove, From: b.at(mail.Inbox, in[2]), To: b.ids["Two"]},
		)
		b.reopen()
		b.holds(mail.Inbox, flagged(plain(2), mail.Seen))
		b.holds("One", flagged(plain(4), mail.Seen))
		b.holds("Two", plain(1), plain(3))
		b.holds("Three", plain(6))
	}},
	{"hundreds of ops get one outcome each", func(b *bench) {
		var letters []letter
		for i := range 300 {
			letters = append(letters, plain(i))
		}
		var ops []plan.Op
		for i, ref := range b.put(mail.Inbox, letters...) {
			op := plan.Op{Kind: plan.OpFlags, From: b.at(mail.Inbox, ref), Add: mail.NewFlagSet(mail.Seen)}
			if i%3 == 0 {
				op = plan.Op{Kind: plan.OpDelete, From: b.at(mail.Inbox, ref)}
			}
			ops = append(ops, op)
		}
		b.must(ops...)
		seen, _ := b.everything(mail.Inbox)
		for ref, s := range seen {
			if !s.Item.Flags.Has(mail.Seen) {
				b.Errorf("%s has the flags %q", ref, s.Item.Flags)
			}
		}
		if len(seen) != 200 {
			b.Errorf("%d messages are left of 200", len(seen))
		}
	}},
	{"an error of done ends it and comes back", func(b *bench) {
		refs, stop := b.put(mail.Inbox, plain(1), plain(2)), errors.New("enough")
		err := b.side.Do(b.ctx, []plan.Op{
			{Kind: plan.OpFlags, From: b.at(mail.Inbox, refs[0]), Add: mail.NewFlagSet(mail.Seen)},
		}, func([]plan.Outcome) error { return stop })
		if !errors.Is(err, stop) {
			b.Errorf("error %v", err)
		}
		b.holds(mail.Inbox, flagged(plain(1), mail.Seen), plain(2))
	}},
	{"no ops do nothing", func(b *bench) { b.must() }},
	{"a file that was edited meanwhile is not deleted", func(b *bench) {
		if b.h.User.Edit == nil {
			return
		}
		ref := b.put(mail.Inbox, plain(1))[0]
		seen, _ := b.everything(mail.Inbox)
		b.h.User.Edit(b.T, mail.Inbox, ref, plain(2).body)
		out := b.do(plan.Op{Kind: plan.OpDelete, From: b.at(mail.Inbox, ref), Expect: newText(plain(1).body).ident,
			Stat: seen[ref].Item.Stat})[0]
		if out.Result != plan.Missing && out.Result != plan.Failed {
			b.Errorf("the deletion is %s", out.Result)
		}
		b.reopen()
		if b.find(mail.Inbox, plain(2).body) == "" {
			b.Error("it is gone")
		}
	}},
}
