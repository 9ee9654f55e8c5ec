package engine

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// surveyBoth lists the mailboxes of both sides, at once.
func (r *run) surveyBoth(ctx context.Context) error {
	var boxes [2][]plan.Box
	g, gctx := errgroup.WithContext(ctx)
	for _, s := range plan.Sides {
		g.Go(func() (err error) {
			boxes[s], err = r.side[s].Survey(gctx, r.since(s))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, s := range plan.Sides {
		r.surveyed(s, boxes[s])
	}
	return r.renames(ctx, boxes)
}

func (r *run) surveyed(s plan.Side, boxes []plan.Box) {
	r.survey[s] = make(map[mail.MailboxName]plan.Box, len(boxes))
	for _, b := range boxes {
		r.survey[s][b.Name] = b
	}
}

// since is what a side is told of the mailboxes that the index knows.
func (r *run) since(s plan.Side) map[mail.MailboxName]plan.Since {
	m := make(map[mail.MailboxName]plan.Since, len(r.records))
	for _, rec := range r.records {
		if h := rec.Side[s]; h.Name != "" {
			m[h.Name] = plan.Since{Cursor: h.Cursor, Epoch: h.Epoch, Known: h.Known}
		}
	}
	return m
}

// renames plans the folders. Before a mailbox that vanished is removed on the
// other side, its absence is seen in a second listing.
func (r *run) renames(ctx context.Context, boxes [2][]plan.Box) error {
	fp, err := r.planFolders(ctx, boxes, r.Policy)
	if err != nil {
		return err
	}
	policy, again := r.Policy, false
	for _, s := range plan.Sides {
		if !slices.ContainsFunc(fp.Ops, func(o plan.FolderOp) bool { return o.Kind == plan.FolderRemove && o.Side != s }) {
			continue
		}
		listed, err := r.side[s].Survey(ctx, r.since(s))
		if err != nil {
			return err
		}
		if !sameNames(listed, boxes[s]) {
			policy.RemoveBoxes = [2]bool{} // they wait for two listings that agree
		}
		boxes[s], again = listed, true
		r.surveyed(s, listed)
	}
	if again {
		if fp, err = r.planFolders(ctx, boxes, policy); err != nil {
			return err
		}
	}
	return r.takeFolders(ctx, fp)
}

func sameNames(a, b []plan.Box) bool {
	names := map[mail.MailboxName]bool{}
	for _, x := range a {
		names[x.Name] = !x.Container
	}
	return len(a) == len(b) && !slices.ContainsFunc(b, func(x plan.Box) bool {
		mailbox, listed := names[x.Name]
		return !listed || mailbox == x.Container
	})
}

// planFolders proves which mailboxes have another name now, and plans.
func (r *run) planFolders(ctx context.Context, boxes [2][]plan.Box, policy plan.Policy) (*plan.FolderPlan, error) {
	in := plan.FolderInput{
		Boxes: r.records, Seen: boxes, Scope: r.Scope, Policy: policy,
		Accept: r.Accept, Reject: r.Reject, Refill: r.adopt,
	}
	proved := map[plan.Rename]bool{}
	candidates := plan.RenameCandidates(r.records, boxes)
	// Parents first.
	slices.SortStableFunc(candidates, func(a, b plan.Rename) int { return strings.Count(string(a.To), "/") - strings.Count(string(b.To), "/") })
	for _, c := range candidates {
		if r.wentAlong(c, proved) {
			proved[c] = true
			continue
		}
		ok, err := r.sameMailbox(ctx, c)
		switch {
		case err != nil && (ctx.Err() != nil || mail.GradeOf(err, mail.GradeMailbox) >= mail.GradeAccount):
			return nil, err
		case err != nil:
			r.fault(c.Side, c.To, fmt.Errorf("mailbox %s: %w", c.To, err), false)
			in.Undecided = append(in.Undecided, c)
		case ok:
			proved[c] = true
		}
	}
	in.Undecided = append(in.Undecided, r.withParents(proved, in.Undecided)...)
	for _, s := range plan.Sides {
		in.Renamed[s] = oneToOne(proved, s)
	}
	fp := plan.Folders(in)
	return &fp, nil
}

// wentAlong tells whether a mailbox lies in its renamed parent as it lay before:
// then no more is to be proved, whatever it holds.
func (r *run) wentAlong(c plan.Rename, proved map[plan.Rename]bool) bool {
	name := r.record(c.Box).Side[c.Side].Name
	for p := range proved {
		from := r.record(p.Box).Side[p.Side].Name
		if p.Side == c.Side && name.Within(from) && c.To == p.To+name[len(from):] {
			return true
		}
	}
	return false
}

// withParents takes out of proved, and returns, what lies below a mailbox that
// is undecided: it is renamed with its parent, or not at all.
func (r *run) withParents(proved map[plan.Rename]bool, undecided []plan.Rename) []plan.Rename {
	var out []plan.Rename
	for p := range proved {
		for _, u := range undecided {
			if p.Side == u.Side && r.record(p.Box).Side[p.Side].Name.Within(r.record(u.Box).Side[u.Side].Name) {
				out = append(out, p)
				break
			}
		}
	}
	for _, p := range out {
		delete(proved, p)
	}
	return out
}

// oneToOne leaves out what is proved of two.
func oneToOne(proved map[plan.Rename]bool, s plan.Side) map[mail.BoxID]mail.MailboxName {
	from, to := map[mail.BoxID]int{}, map[mail.MailboxName]int{}
	for p := range proved {
		if p.Side == s {
			from[p.Box]++
			to[p.To]++
		}
	}
	out := map[mail.BoxID]mail.MailboxName{}
	for p := range proved {
		if p.Side == s && from[p.Box] == 1 && to[p.To] == 1 {
			out[p.Box] = p.To
		}
	}
	return out
}

// renameBox is a number for a mailbox that is looked at before it has one.
const renameBox mail.BoxID = -1 << 40

// sameMailbox completes the evidence for a rename: the mailbox under the new
// name holds messages that the old one held, by their Refs (and sizes, where
// both are known). A directory with the old one's inode that holds one of its
// files is it; on a server most of what is older than the last message known
// there must be known, since mailboxes may share a UIDVALIDITY. What is newer
// has come since, whatever UIDNEXT a run that died may have noted.
func (r *run) sameMailbox(ctx context.Context, c plan.Rename) (bool, error) {
	sizes, last := map[mail.Ref]int64{}, uint32(1)
	rows, err := r.Index.RowsIn(ctx, c.Box)
	if err != nil {
		return false, indexFault(err)
	}
	for _, row := range rows {
		if at := row.At[c.Side]; at.Box == c.Box && !at.IsZero() {
			sizes[at.Ref] = row.Ident[c.Side].Size
			if uid, err := strconv.ParseUint(string(at.Ref), 10, 32); err == nil {
				last = max(last, uint32(uid))
			}
		}
	}
	side := r.side[c.Side]
	side.Bind(map[mail.BoxID]mail.MailboxName{renameBox: c.To})
	seen, same, strange := 0, 0, 0
	_, err = side.Scan(ctx, renameBox, plan.Since{}, func(m plan.Seen) error {
		seen++
		size, ok := sizes[m.Ref]
		switch {
		case ok && (c.Side == plan.Local || size == 0 || m.Item.Ident.Size == 0 || size == m.Item.Ident.Size):
			same++
		case c.Side == plan.Remote && olderThan(m.Ref, last):
			strange++
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	if min(seen, len(sizes)) == 0 {
		return seen == len(sizes), nil // both empty: nothing can be lost
	}
	return same > strange, nil
}
