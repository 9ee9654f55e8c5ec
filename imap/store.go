package imap

import (
	"context"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A storing is a group of flag changes on its way.
type storing struct {
	v           *view
	add, remove mail.FlagSet // as far as they can be stored
	told        table
	// stale are messages that changed after they were last seen: the server
	// left them as they are (RFC 7162, section 3.1.3).
	stale []uint32
}

// store changes flags. STORE is not silent: the answers tell which messages
// exist, and what the server took; they are looked up where they are missing
// (RFC 3501, section 6.4.6; a message that is gone is no error there). With
// CONDSTORE, what another program changed since the last look stays as it is,
// and is Missing: the next run merges it.
func (a *Account) store(ctx context.Context, wire string, g *group) error {
	var st *storing
	err := a.retry(ctx, func(s *session) error {
		at, err := a.enterKnown(s, wire, true)
		if err != nil {
			return err
		}
		if !at.writable {
			g.fail(plan.Declined, errReadOnly(wire))
			return nil
		}
		st = &storing{v: a.view(wire), add: at.perm.storable(g.add), remove: at.perm.storable(g.remove)}
		return st.run(s, g.open())
	})
	if codeOf(err) == goimap.ResponseCodeNoPerm {
		g.fail(plan.Declined, err)
		return nil
	}
	if err != nil {
		return err
	}
	for i, uid := range g.uids {
		o := &g.out[i]
		if o.Result != 0 {
			continue
		}
		r := st.told.find(uid)
		if r == nil || slices.Contains(st.stale, uid) {
			o.Result = plan.Missing
			continue
		}
		o.Result, o.At, o.Accepted = plan.Done, g.ops[i].From, st.add
		if r.have&haveFlags != 0 {
			o.Accepted = st.add.Intersect(r.flags)
		}
	}
	return nil
}

// run sends the STOREs for messages of the selected mailbox, and looks at
// what became of them.
func (st *storing) run(s *session, uids []uint32) error {
	seen, own := st.v.split(uids)
	since := st.v.seen
	if !s.has(goimap.CapCondStore) {
		since = 0
	}
	for _, set := range uidSets(seen) {
		if err := st.storeSet(s, set, since, &st.told); err != nil {
			return err
		}
	}
	for _, set := range uidSets(own) {
		if err := st.storeSet(s, set, 0, &st.told); err != nil {
			return err
		}
	}
	// What the server says of the stale ones may be of before.
	st.told.drop(func(r *row) bool { return slices.Contains(st.stale, r.uid) })
	for _, set := range uidSets(st.told.absent(uids)) {
		if err := s.fetch(set, metaItems(haveFlags), st.told.collect); err != nil {
			return err
		}
	}
	unlike := st.told.unlike(slices.Clone(uids), st.add, st.remove)
	isStale := func(uid uint32) bool { return slices.Contains(st.stale, uid) }
	// One that is as it was to be is not: our own STORE may have been the change.
	st.stale = slices.DeleteFunc(slices.Clone(unlike), func(uid uint32) bool { return !isStale(uid) })
	// OK, and yet not stored: it is refused only if that stays so.
	if err := st.storeAgain(s, minus(unlike, st.stale)); err != nil {
		return err
	}
	st.told.sort()
	return nil
}

// storeAgain stores flags a second time in messages that did not take them.
// One that no longer answers is gone.
func (st *storing) storeAgain(s *session, uids []uint32) error {
	var again table
	for _, set := range uidSets(slices.Clone(uids)) {
		add := st.add
		if err := st.storeSet(s, set, 0, &again); err != nil {
			return err
		}
		st.add = add
	}
	for _, set := range uidSets(again.absent(uids)) {
		if err := s.fetch(set, metaItems(haveFlags), again.collect); err != nil {
			return err
		}
	}
	st.told.drop(func(r *row) bool { return slices.Contains(uids, r.uid) })
	st.told.rows, st.told.sorted = append(st.told.rows, again.rows...), false
	return nil
}

// storeSet sends the STOREs for a set, if since is not 0 for what did not
// change since that modseq. If the server refuses new keywords the others are
// stored without them; st.add is what was accepted.
func (st *storing) storeSet(s *session, set goimap.UIDSet, since uint64, told *table) error {
	if !st.remove.Empty() {
		rest, err := st.send(s, set, goimap.StoreFlagsDel, st.remove, since, told)
		if err != nil || len(rest) == 0 {
			return err
		}
		set, since = rest, 0 // our own change is one, too
	}
	for !st.add.Empty() {
		_, err := st.send(s, set, goimap.StoreFlagsAdd, st.add, since, told)
		keywords := mail.NewFlagSet(st.add.Keywords()...)
		if err == nil || !refusedByServer(err) || keywords.Empty() || codeOf(err) == goimap.ResponseCodeNoPerm {
			return err
		}
		st.add = st.add.Minus(keywords)
	}
	return nil
}

// send sends one STORE, and gives those of the set that were not stale.
func (st *storing) send(s *session, set goimap.UIDSet, op goimap.StoreFlagsOp, flags mail.FlagSet, since uint64, told *table) (goimap.UIDSet, error) {
	var opt *goimap.StoreOptions
	if since > 0 {
		opt = &goimap.StoreOptions{UnchangedSince: since}
	}
	s.wire.TakeModified()
	err := s.drain(s.client.Store(set, &goimap.StoreFlags{Op: op, Flags: wireFlags(flags)}, opt), told.collect)
	var stale []uint32
	if since > 0 {
		for _, text := range s.wire.TakeModified() {
			uids, _ := parseSet(text)
			stale = append(stale, uids...)
		}
	}
	uids, tooMany := expand(set, maxCopied)
	if tooMany != nil {
		return nil, tooMany
	}
	// Also if the answer was lost: it may have been done.
	uids = minus(uids, stale)
	st.v.store(uids)
	if len(stale) == 0 {
		return set, err
	}
	st.stale = append(st.stale, stale...)
	if err != nil && !refusedByServer(err) { // a NO may come with it (RFC 7162, section 3.1.3)
		return nil, err
	}
	var rest goimap.UIDSet
	for _, uid := range uids {
		rest.AddNum(goimap.UID(uid))
	}
	return rest, nil
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

// unlike lists those of uids that lack flags of add, or have some of remove.
func (t *table) unlike(uids []uint32, add, remove mail.FlagSet) []uint32 {
	t.sort()
	return slices.DeleteFunc(uids, func(uid uint32) bool {
		r := t.find(uid)
		return r == nil || r.have&haveFlags == 0 || add.Minus(r.flags).Empty() && remove.Intersect(r.flags).Empty()
	})
}
