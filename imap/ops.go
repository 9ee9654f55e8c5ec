package imap

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A group is ops that one command can carry out.
type group struct {
	kind        plan.OpKind
	box, to     mail.BoxID
	add, remove mail.FlagSet
	ops         []plan.Op
	uids        []uint32
	out         []plan.Outcome // as ops
}

// Do implements engine.Writer: flags first, then moves, then deletions. What
// concerns single mailboxes is told by the outcomes; an error of Do concerns
// the account, or is the context's.
func (a *Account) Do(ctx context.Context, ops []plan.Op, done func([]plan.Outcome) error) error {
	a.forget()
	var faults error
	for _, together := range flights(groups(ops)) {
		if err := ctx.Err(); err != nil {
			faults = context.Cause(ctx)
			fail(together, faults)
		} else if err := a.do(ctx, together); mail.GradeOf(err, 0) == mail.GradeAccount && faults == nil {
			faults = err
		}
		var out []plan.Outcome
		for _, g := range together {
			out = append(out, g.out...)
		}
		if err := done(out); err != nil {
			return err
		}
	}
	return faults
}

// flights puts together what can be sent together: changes of flags in one
// mailbox, of which no two name one message.
func flights(groups []*group) (list [][]*group) {
	var named map[uint32]bool // by the last of list
	for _, g := range groups {
		n := len(list)
		apart := n == 0 || g.kind != plan.OpFlags || list[n-1][0].kind != plan.OpFlags || list[n-1][0].box != g.box ||
			slices.ContainsFunc(g.uids, func(uid uint32) bool { return named[uid] })
		if apart {
			list, named = append(list, []*group{g}), map[uint32]bool{}
		} else {
			list[n-1] = append(list[n-1], g)
		}
		for _, uid := range g.uids {
			named[uid] = true
		}
	}
	return list
}

// groups sorts ops into what one command can do.
func groups(ops []plan.Op) []*group {
	type key struct {
		kind        plan.OpKind
		box, to     mail.BoxID
		add, remove string
	}
	byKey := map[key]*group{}
	var list []*group
	for _, kind := range []plan.OpKind{plan.OpFlags, plan.OpMove, plan.OpDelete} {
		for _, op := range ops {
			if op.Kind != kind {
				continue
			}
			k := key{kind: kind, box: op.From.Box}
			switch kind {
			case plan.OpFlags:
				k.add, k.remove = op.Add.String(), op.Remove.String()
			case plan.OpMove:
				k.to = op.To
			}
			g := byKey[k]
			if g == nil {
				g = &group{kind: kind, box: k.box, to: k.to, add: op.Add, remove: op.Remove}
				byKey[k], list = g, append(list, g)
			}
			uid, _ := parseUID(op.From.Ref) // 0 is in no mailbox: Missing
			g.ops, g.uids = append(g.ops, op), append(g.uids, uid)
			g.out = append(g.out, plan.Outcome{Tag: op.Tag})
		}
	}
	slices.SortStableFunc(list, func(a, b *group) int {
		if a.kind != plan.OpFlags || b.kind != plan.OpFlags {
			return int(a.kind) - int(b.kind)
		}
		return cmp.Compare(a.box, b.box)
	})
	return list
}

// do carries out groups of one flight and fills in their outcomes. Its error
// concerns all whose ops it did not know the end of.
func (a *Account) do(ctx context.Context, together []*group) error {
	g := together[0]
	wire, err := a.wireName(g.box)
	if err == nil {
		switch g.kind {
		case plan.OpFlags:
			err = a.store(ctx, wire, together)
		case plan.OpMove:
			err = a.move(ctx, wire, g)
		case plan.OpDelete:
			err = a.remove(ctx, wire, g)
		}
	}
	err = refusal(mail.GradeMailbox, err)
	if err != nil {
		fail(together, err)
	}
	return err
}

// fail makes all that has no outcome one that failed.
func fail(together []*group, err error) {
	for _, g := range together {
		g.fail(plan.Failed, err)
	}
}

// fail gives an outcome to those that have none.
func (g *group) fail(r plan.Result, err error) {
	for i := range g.out {
		if g.out[i].Result == 0 {
			g.out[i].Result, g.out[i].Err = r, err
		}
	}
}

// open are the UIDs of those without an outcome.
func (g *group) open() []uint32 {
	var uids []uint32
	for i, uid := range g.uids {
		if uid != 0 && g.out[i].Result == 0 {
			uids = append(uids, uid)
		}
	}
	return uids
}

// missing notes which of the open ones are not there.
func (g *group) missing(there []uint32, result plan.Result) {
	here := map[uint32]bool{}
	for _, uid := range there {
		here[uid] = true
	}
	for i, uid := range g.uids {
		if g.out[i].Result == 0 && !here[uid] {
			g.out[i].Result = result
		}
	}
}

// errReadOnly is why a mailbox declines.
func errReadOnly(wire string) error { return fmt.Errorf("mailbox %q is read-only", wire) }

// remove deletes messages for good.
func (a *Account) remove(ctx context.Context, wire string, g *group) error {
	if trash := a.gmailTrash(wire); trash != "" {
		err := a.moveTo(ctx, wire, trash, g)
		for i := range g.out {
			o := &g.out[i]
			if o.Result == plan.Missing {
				o.Result = plan.Done
			}
			o.At, o.Epoch = plan.Place{}, ""
		}
		return err
	}
	var left []uint32
	err := a.retry(ctx, func(s *session) error {
		at, there, err := a.enterToDelete(s, wire, g)
		if err != nil {
			return err
		}
		if !at.writable || !at.perm.storable(mail.NewFlagSet(mail.Deleted)).Has(mail.Deleted) {
			g.fail(plan.Declined, errReadOnly(wire))
			return nil
		}
		if err := a.prove(s, wire, g, there); err != nil {
			return err
		}
		left, err = s.expungePresent(minus(there.uids(), minus(g.uids, g.open())))
		return err
	})
	if codeOf(err) == goimap.ResponseCodeNoPerm {
		g.fail(plan.Declined, err)
		return nil
	}
	if err != nil {
		return err
	}
	g.missing(left, plan.Done)
	if len(g.open()) > 0 {
		err = mail.NewFault(mail.GradeMailbox, mail.ClassServer,
			fmt.Errorf("the server kept %d messages of mailbox %q that were to be expunged", len(left), wire), "")
	}
	return err
}

// gmailTrash names the mailbox that a deletion is a move to on Gmail, where
// expunging only takes a label off; "" elsewhere.
func (a *Account) gmailTrash(wire string) string {
	if a.session == nil || !a.session.has("X-GM-EXT-1") {
		return ""
	}
	switch a.view(wire).role {
	case mail.RoleTrash, mail.RoleJunk:
		return ""
	}
	for name, v := range a.views {
		if v.role == mail.RoleTrash {
			return name
		}
	}
	return ""
}
