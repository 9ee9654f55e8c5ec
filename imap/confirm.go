package imap

import (
	"context"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Confirm implements engine.Side. A loss is sure when the UID is still absent
// under the same UIDVALIDITY, and when since the survey no bound mailbox got a
// message that this run did not put there, and no new mailbox appeared: either
// could be the other half of a move. Mailboxes that were never bound are not
// looked into, so outside is always empty.
func (a *Account) Confirm(ctx context.Context, gone []plan.Gone) (sure, outside []plan.Place, err error) {
	if len(gone) == 0 {
		return nil, nil, nil
	}
	var still bool
	err = a.retry(ctx, func(s *session) error {
		var err error
		still, err = a.still(s)
		return err
	})
	if err != nil || !still {
		return nil, nil, refusal(mail.GradeAccount, err)
	}
	byBox := map[mail.BoxID][]mail.Ref{}
	var order []mail.BoxID
	for _, g := range gone {
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

// still tells whether nothing arrived anywhere since the survey and the scans.
func (a *Account) still(s *session) (bool, error) {
	refused := a.refused
	listed, err := a.list(s)
	a.refused = refused
	if err != nil {
		return false, err
	}
	bound := map[string]bool{}
	for _, name := range a.boxes {
		if wire, err := a.names.wire(name); err == nil {
			bound[wire] = true
		}
	}
	for i := range listed {
		l := &listed[i]
		v, known := a.views[l.wire]
		switch {
		case l.container:
		case !known && (l.mark.validity == 0 || l.mark.count > 0):
			return false, nil // it was made, or renamed, meanwhile
		case !known || !bound[l.wire]:
		case l.mark.validity == 0 || l.mark.validity != v.validity:
			return false, nil
		case l.mark.next != 0 && l.mark.next == v.next:
		default:
			ours, err := a.onlyOurs(s, l.wire, v)
			if err != nil || !ours {
				return false, err
			}
		}
	}
	return true, nil
}

// onlyOurs tells whether every message that came to a mailbox since it was
// seen was put there by this run.
func (a *Account) onlyOurs(s *session, wire string, v *view) (bool, error) {
	if v.next == 0 {
		return false, nil
	}
	at, err := s.open(wire, false)
	if err != nil {
		if isLoss(err) {
			return false, err
		}
		return false, nil
	}
	if at.validity != v.validity {
		return false, nil
	}
	if at.exists == 0 {
		return true, nil
	}
	var t table
	if err := s.fetch(uidRange(v.next, 0), metaItems(haveFlags), t.collect); err != nil {
		return false, err
	}
	for i := range t.rows {
		if uid := t.rows[i].uid; uid >= v.next && !v.mine[uid] {
			return false, nil
		}
	}
	return true, nil
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
		there = nil
		if at.exists > 0 {
			there, err = s.present(uids)
		}
		return err
	})
	if err != nil {
		return nil, refusal(mail.GradeMailbox, err)
	}
	return slices.DeleteFunc(slices.Clone(refs), func(ref mail.Ref) bool {
		uid, err := parseUID(ref)
		return err != nil || slices.Contains(there, uid)
	}), nil
}
