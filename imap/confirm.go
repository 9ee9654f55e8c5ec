package imap

import (
	"context"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Confirm implements engine.Side. A loss is sure when the UID is still absent
// under the same UIDVALIDITY, and when no message has come to a bound mailbox,
// or to a new one, since it was surveyed or scanned, that this run did not put
// there and that could be the same: it would be the other half of a move.
// Mailboxes that were never bound are not looked into, so outside is always
// empty.
func (a *Account) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	if len(gone) == 0 {
		return nil, nil, nil
	}
	var came strangers
	err = a.retry(ctx, func(s *session) error {
		t, err := a.strangers(s)
		if err == nil {
			came = newStrangers(t)
		}
		return err
	})
	if err != nil {
		return nil, nil, refusal(mail.GradeAccount, err)
	}
	byBox := map[mail.BoxID][]mail.Ref{}
	var order []mail.BoxID
	for _, g := range gone {
		if came.mayHold(&g.Ident) {
			continue
		}
		if byBox[g.At.Box] == nil {
			order = append(order, g.At.Box)
		}
		byBox[g.At.Box] = append(byBox[g.At.Box], g.At.Ref)
	}
	var faults error
	for _, box := range order {
		absent, err := a.absent(ctx, box, byBox[box])
		if err != nil {
			if faults == nil {
				faults = err
			}
			continue
		}
		for _, ref := range absent {
			sure = append(sure, plan.Place{Box: box, Ref: ref})
		}
	}
	return sure, nil, faults
}

// strangers gives what has come to the account since it was surveyed and
// scanned and is not of this run. A row that knows nothing stands for all that
// a mailbox might hold that cannot be looked into.
func (a *Account) strangers(s *session) (*table, error) {
	refused := a.refused
	listed, err := a.list(s, nil)
	a.refused = refused
	if err != nil {
		return nil, err
	}
	bound := map[string]bool{}
	for _, name := range a.boxes {
		if wire, err := a.names.wire(name); err == nil {
			bound[wire] = true
		}
	}
	var came table
	for i := range listed {
		l := &listed[i]
		v, known := a.views[l.wire]
		switch {
		case l.container, known && !bound[l.wire]:
			continue
		case !known:
			v = &view{validity: l.mark.validity, next: 1} // it was made, or renamed, meanwhile
		case v.container || v.validity == 0:
			v = &view{next: 1}
		}
		if l.mark.validity != 0 && l.mark.validity == v.validity && l.mark.next != 0 && l.mark.next == v.next {
			continue
		}
		if err := s.arrivals(l.wire, v, &came); err != nil {
			return nil, err
		}
	}
	return &came, nil
}

// arrivals adds the messages of a mailbox that v does not know.
func (s *session) arrivals(wire string, v *view, came *table) error {
	at, err := s.open(wire, false)
	if err != nil {
		if isLoss(err) {
			return err
		}
		came.rows = append(came.rows, row{})
		return nil
	}
	if at.exists == 0 {
		return nil
	}
	from := max(v.next, 1)
	if at.validity != v.validity {
		from = 1 // all its messages are new
	}
	var t table
	s.wire.TakeGlobalIDs()
	// The first answer names also those whose headers cannot be had.
	for _, opt := range []*goimap.FetchOptions{metaItems(haveSize), headerItems(mail.LevelLight)} {
		if err := s.fetch(uidRange(from, 0), opt, t.collect); err != nil {
			return err
		}
	}
	t.sort()
	t.global(s.wire.TakeGlobalIDs())
	t.drop(func(r *row) bool { return r.uid < from || at.validity == v.validity && v.mine[r.uid] })
	if want := s.exists(); from == 1 && uint32(len(t.rows)) < want-min(want, uint32(len(v.mine))) {
		came.rows = append(came.rows, row{}) // some were not told of
	}
	came.rows = append(came.rows, t.rows...)
	return nil
}

// absent gives those of refs that are not in the mailbox.
func (a *Account) absent(ctx context.Context, box mail.BoxID, refs []mail.Ref) ([]mail.Ref, error) {
	wire, uids, err := a.locate(box, refs)
	if err != nil {
		return nil, err
	}
	var there []uint32
	err = a.retry(ctx, func(s *session) error {
		at, err := s.open(wire, false)
		if err != nil {
			return err
		}
		if v := a.view(wire); v.validity == 0 || v.validity != at.validity {
			return epochFault(wire)
		}
		if at.exists > 0 {
			there, err = s.present(uids)
		} else {
			there, err = s.searchAll()
		}
		return err
	})
	if err != nil {
		return nil, refusal(mail.GradeMailbox, err)
	}
	slices.Sort(there)
	return slices.DeleteFunc(slices.Clone(refs), func(ref mail.Ref) bool {
		uid, err := parseUID(ref)
		_, found := slices.BinarySearch(there, uid)
		return err != nil || found
	}), nil
}
