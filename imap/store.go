package imap

import (
	"context"
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A storing is flag changes of one mailbox on their way, together. No message
// is in two of its parts: what FETCH tells of one belongs to the change that
// names it.
type storing struct {
	s     *session
	v     *view
	parts []*part
	told  sightings
	// stale are messages that changed after they were last seen: the server
	// left them as they are (RFC 7162, section 3.1.3).
	stale map[uint32]bool
}

// A part of a storing is one group.
type part struct {
	g           *group
	uids        []uint32
	add, remove mail.FlagSet // as far as they can be stored
	err         error        // the server's refusal
}

// store changes flags. STORE is not silent: the answers tell which messages
// exist, and what the server took; they are looked up where they are missing
// (RFC 3501, section 6.4.6; a message that is gone is no error there). With
// CONDSTORE, what another program changed since the last look stays as it is,
// and is Missing: the next run merges it. The error concerns the mailbox, and
// those groups whose ops have no outcome.
func (a *Account) store(ctx context.Context, name string, groups []*group) error {
	var st *storing
	err := a.retry(ctx, func(s *session) error {
		at, err := a.enterKnown(s, name, true)
		if err != nil {
			return err
		}
		if !at.writable {
			for _, g := range groups {
				g.fail(plan.Declined, errReadOnly(name))
			}
			return nil
		}
		st = &storing{s: s, v: a.view(name), stale: map[uint32]bool{}}
		for _, g := range groups {
			st.parts = append(st.parts, &part{g: g, uids: g.open(), add: at.perm.storable(g.add), remove: at.perm.storable(g.remove)})
		}
		return st.run()
	})
	if codeOf(err) == goimap.ResponseCodeNoPerm {
		for _, g := range groups {
			g.fail(plan.Declined, err)
		}
		return nil
	}
	if err != nil || st == nil {
		return err
	}
	for _, p := range st.parts {
		if e := p.settle(st); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// settle fills in the outcomes of a part; those that have none because of a
// refusal are left to the caller.
func (p *part) settle(st *storing) error {
	if codeOf(p.err) == goimap.ResponseCodeNoPerm {
		p.g.fail(plan.Declined, p.err)
		return nil
	}
	if p.err != nil {
		return p.err
	}
	for i, uid := range p.g.uids {
		o := &p.g.out[i]
		if o.Result != 0 {
			continue
		}
		r := st.told.find(uid)
		if r == nil || st.stale[uid] {
			o.Result = plan.Missing
			continue
		}
		o.Result, o.At, o.Accepted = plan.Done, p.g.ops[i].From, p.add
		if r.have&wire.HaveFlags != 0 {
			o.Accepted = p.add.Intersect(r.flags)
		}
	}
	return nil
}

// run sends the STOREs for messages of the selected mailbox, and looks at
// what became of them.
func (st *storing) run() error {
	since := st.v.seen
	if !st.s.has(goimap.CapCondStore) {
		since = 0
	}
	if err := st.store(since, func(p *part) []uint32 { return p.uids }); err != nil {
		return err
	}
	// What the server says of the stale ones may be of before.
	st.told.drop(func(uid uint32) bool { return st.stale[uid] })
	var all []uint32
	for _, p := range st.parts {
		all = append(all, p.uids...)
	}
	if err := st.lookUp(all); err != nil {
		return err
	}
	again, stale := map[*part][]uint32{}, map[uint32]bool{}
	for _, p := range st.parts {
		for _, uid := range st.unlike(p) {
			// A stale one that is as it was to be is none: our own STORE may
			// have been the change.
			if st.stale[uid] {
				stale[uid] = true
			} else {
				again[p] = append(again[p], uid)
			}
		}
	}
	st.stale = stale
	return st.storeAgain(again)
}

// storeAgain stores flags a second time in messages that did not take them
// though the server said OK: they are refused only if that stays so. One that
// no longer answers is gone.
func (st *storing) storeAgain(again map[*part][]uint32) error {
	if len(again) == 0 {
		return nil
	}
	var all []uint32
	for _, uids := range again {
		all = append(all, uids...)
	}
	st.told.drop(func(uid uint32) bool { return slices.Contains(all, uid) })
	added := make([]mail.FlagSet, len(st.parts))
	for i, p := range st.parts {
		added[i] = p.add
	}
	if err := st.store(0, func(p *part) []uint32 { return again[p] }); err != nil {
		return err
	}
	for i, p := range st.parts {
		p.add = added[i]
	}
	return st.lookUp(all)
}

// store changes flags in messages of all parts, if since is not 0 in those
// that did not change since that modseq. What several parts have in common
// goes in one flight: what is removed, and what is added where nothing is
// removed; then what is added besides; then, where the server refuses new
// keywords, the others without them, and p.add is what was accepted.
func (st *storing) store(since uint64, which func(*part) []uint32) error {
	var first, besides, bare []*sending
	for _, p := range st.parts {
		seen, own := st.v.split(which(p))
		first = append(first, &sending{p: p, uids: seen, since: since}, &sending{p: p, uids: own})
	}
	for _, s := range first {
		if s.op, s.flags = "-FLAGS", s.p.remove; s.flags.Empty() {
			s.op, s.flags = "+FLAGS", s.p.add
		}
	}
	if err := st.send(first); err != nil {
		return err
	}
	for _, s := range first {
		if s.op == "-FLAGS" && s.refused == nil {
			// Our own change is one, too: this is not conditional.
			besides = append(besides, &sending{p: s.p, uids: st.fresh(s.uids), op: "+FLAGS", flags: s.p.add})
		}
	}
	if err := st.send(besides); err != nil {
		return err
	}
	for _, s := range slices.Concat(first, besides) {
		keywords := mail.NewFlagSet(s.flags.Keywords()...)
		switch {
		case s.refused == nil:
		case s.op == "-FLAGS", keywords.Empty(), codeOf(s.refused) == goimap.ResponseCodeNoPerm:
			s.p.err = s.refused
		default:
			s.p.add = s.p.add.Minus(keywords)
			bare = append(bare, &sending{p: s.p, uids: st.fresh(s.uids), op: s.op, flags: s.p.add, since: s.since})
		}
	}
	err := st.send(bare)
	for _, s := range bare {
		if s.refused != nil {
			s.p.err = s.refused
		}
	}
	return err
}

// fresh gives those of uids that are not stale.
func (st *storing) fresh(uids []uint32) []uint32 {
	return slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool { return st.stale[uid] })
}

// A sending is one change of flags, in one STORE or several.
type sending struct {
	p       *part
	uids    []uint32
	op      string
	flags   mail.FlagSet
	since   uint64
	calls   []*wire.Call
	refused error
}

// send sends STOREs in one flight. The library's own would hold the connection
// up: it takes no more than 128 answers to a command that nobody reads. Its
// error is a loss.
func (st *storing) send(list []*sending) error {
	w := st.s.wire
	w.TakeModified()
	var calls []*wire.Call
	for _, s := range list {
		if s.flags.Empty() {
			continue
		}
		change := " " + s.op + " (" + s.flags.String() + ")"
		if s.since > 0 {
			change = fmt.Sprintf(" (UNCHANGEDSINCE %d)", s.since) + change
		}
		for _, set := range uidSets(slices.Clone(s.uids)) {
			s.calls = append(s.calls, &wire.Call{Command: "UID STORE " + set.String() + change, Each: st.told.add})
		}
		calls = append(calls, s.calls...)
	}
	if len(calls) == 0 {
		return nil
	}
	err := w.Send(false, calls...)
	for _, s := range list {
		for _, call := range s.calls {
			if err != nil {
				break
			}
			if _, e := w.Wait(call); e != nil {
				if e = answered(e); refusedByServer(e) {
					s.refused = e
				} else {
					err = e
				}
			}
		}
	}
	st.told.sort()
	modified := map[uint32]bool{}
	for _, text := range w.TakeModified() {
		uids, _ := parseSet(text)
		for _, uid := range uids {
			modified[uid] = true
		}
	}
	for _, s := range list {
		for _, uid := range s.uids {
			if s.since > 0 && modified[uid] {
				st.stale[uid] = true
				s.refused = nil // a NO may come with it (RFC 7162, section 3.1.3)
			}
		}
		if len(s.calls) > 0 {
			st.v.store(st.fresh(s.uids)) // also if the answer was lost: it may have been done
		}
	}
	return err
}

// lookUp asks for the flags of those of uids that nothing was told of.
func (st *storing) lookUp(uids []uint32) error {
	absent := slices.DeleteFunc(slices.Clone(uids), st.told.has)
	var calls []*wire.Call
	for _, set := range uidSets(absent) {
		calls = append(calls, &wire.Call{Command: "UID FETCH " + set.String() + itemsKnown, Each: st.told.add})
	}
	if len(calls) == 0 {
		return nil
	}
	if err := st.s.wire.Send(false, calls...); err != nil {
		return err
	}
	var refused error
	for _, call := range calls {
		if _, err := st.s.wire.Wait(call); err != nil {
			if refused = answered(err); !refusedByServer(refused) {
				return refused
			}
		}
	}
	st.told.sort()
	return refused
}

// unlike lists the messages of a part that lack flags that were to be added,
// or have some that were to be removed.
func (st *storing) unlike(p *part) (uids []uint32) {
	for _, uid := range p.uids {
		r := st.told.find(uid)
		if r != nil && r.have&wire.HaveFlags != 0 && (!p.add.Minus(r.flags).Empty() || !p.remove.Intersect(r.flags).Empty()) {
			uids = append(uids, uid)
		}
	}
	return uids
}

// split tells the messages that the last look saw from those that this run has
// made or changed: their modseq is our own doing.
func (v *view) split(uids []uint32) (seen, own []uint32) {
	for _, uid := range uids {
		if v.mine[uid] || v.changed[uid] {
			own = append(own, uid)
		} else {
			seen = append(seen, uid)
		}
	}
	return seen, own
}

// store remembers that this run has changed messages.
func (v *view) store(uids []uint32) {
	if v.changed == nil {
		v.changed = map[uint32]bool{}
	}
	for _, uid := range uids {
		v.changed[uid] = true
	}
}
