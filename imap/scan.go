package imap

import (
	"context"
	"fmt"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// maxLooks is how often a scan looks at a mailbox that changes meanwhile.
const maxLooks = 3

// A look is one attempt to see a mailbox as it is.
type look struct {
	s    *session
	at   *selection
	was  mark // the cursor; zero if there is none of use
	rows table

	full     bool
	complete bool
	listed   []uint32 // full by UID SEARCH: what is there, whether told of or not
}

// Scan implements engine.Side. With CONDSTORE it costs what changed (RFC
// 7162, section 3.1.4); what vanished is learned by comparing the number of
// messages, and the UIDs where that differs.
func (a *Account) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	wire, err := a.wireName(box)
	if err != nil {
		return plan.Scanned{}, err
	}
	if sc, ok, err := a.scanEmpty(ctx, wire, since); ok || err != nil {
		return sc, err
	}
	var l *look
	err = a.retry(ctx, func(s *session) error {
		for try := 1; ; try++ {
			var err error
			if l, err = s.look(wire, since); err != nil || l.complete || try == maxLooks {
				return err
			}
		}
	})
	if err != nil {
		return plan.Scanned{}, refusal(mail.GradeMailbox, err)
	}
	v := a.view(wire)
	if err := a.rights(ctx, wire, v); err != nil {
		return plan.Scanned{}, refusal(mail.GradeMailbox, err)
	}
	if err := l.yield(yield); err != nil {
		return plan.Scanned{}, err
	}
	return l.scanned(v), nil
}

// look opens the mailbox and collects what the cursor does not know.
func (s *session) look(wire string, since plan.Since) (*look, error) {
	at, err := s.open(wire, false)
	if err != nil {
		return nil, err
	}
	l := &look{s: s, at: at}
	was, ok := parseCursor(since.Cursor)
	if ok && was.validity == at.validity && (since.Epoch == "" || since.Epoch == epochOf(at.validity)) &&
		(at.next == 0 || at.next >= was.next) && was.next > 0 {
		l.was = was
	}
	s.wire.TakeGlobalIDs()
	switch {
	case at.exists == 0:
		l.full, l.complete, err = true, s.still(), nil
		if since.Known > 0 {
			l.complete, err = s.empty()
		}
		return l, err
	case l.was.modseq > 0 && at.modseq >= l.was.modseq:
		err = l.delta()
	default:
		err = l.everything()
	}
	if err != nil {
		return nil, fmt.Errorf("scanning mailbox %q: %w", wire, err)
	}
	l.rows.global(s.wire.TakeGlobalIDs())
	return l, nil
}

// empty tells whether the selected mailbox, which has no messages by its
// EXISTS, has none by UID SEARCH either: that all are gone takes two answers.
func (s *session) empty() (bool, error) {
	uids, err := s.searchAll()
	return err == nil && len(uids) == 0 && s.still(), err
}

// everything looks at each message: all of a new one, and the flags only of
// one that the cursor knows.
func (l *look) everything() error {
	s := l.s
	if l.was.next > 1 {
		// Both at once; no message is in both sets.
		known := s.client.Fetch(uidRange(1, l.was.next-1), metaItems(haveFlags))
		fresh := s.client.Fetch(uidRange(l.was.next, 0), metaItems(haveAll))
		if err := s.drainBoth(known, fresh, &l.rows); err != nil {
			return err
		}
	} else if err := s.fetch(uidRange(1, 0), metaItems(haveAll), l.rows.collect); err != nil {
		return err
	}
	exists := s.exists()
	if err := l.mend(); err != nil {
		return err
	}
	l.full = true
	l.complete = uint32(len(l.rows.rows)) == exists && s.still()
	return nil
}

// delta looks at what changed since the cursor's HIGHESTMODSEQ, and then at
// the UIDs if the number of messages shows that some vanished.
func (l *look) delta() error {
	s := l.s
	opt := metaItems(haveAll)
	opt.ChangedSince = l.was.modseq
	if l.at.modseq > l.was.modseq {
		if err := s.fetch(uidRange(1, 0), opt, l.rows.collect); err != nil {
			return err
		}
	}
	exists := s.exists()
	if err := l.mend(); err != nil {
		return err
	}
	fresh := uint32(0)
	for i := range l.rows.rows {
		if l.rows.rows[i].uid >= l.was.next {
			fresh++
		}
	}
	if l.was.count+fresh != exists {
		return l.compare()
	}
	if len(l.rows.rows) == 0 && l.at.modseq > l.was.modseq {
		return l.everything() // something changed, and the answer does not say what
	}
	l.complete = s.still()
	return nil
}

// compare lists all UIDs, and looks at those that are new and were not told.
func (l *look) compare() error {
	s := l.s
	uids, err := s.searchAll()
	if err != nil {
		return err
	}
	exists := s.exists()
	l.rows.sort()
	var untold []uint32
	for _, uid := range uids {
		if uid >= l.was.next && l.rows.find(uid) == nil {
			untold = append(untold, uid)
		}
	}
	if len(untold) > 0 && s.still() {
		// They were there when the changes were asked for: that answer was not
		// whole, and may lack changed flags as well.
		return l.everything()
	}
	for _, set := range uidSets(untold) {
		if err := s.fetch(set, metaItems(haveAll), l.rows.collect); err != nil {
			return err
		}
	}
	if err := l.mend(); err != nil {
		return err
	}
	there := make(map[uint32]bool, len(uids))
	for _, uid := range uids {
		there[uid] = true
	}
	l.rows.drop(func(r *row) bool { return !there[r.uid] })
	told := true
	for _, uid := range untold {
		told = told && l.rows.find(uid) != nil
	}
	l.full, l.listed = true, uids
	l.complete = told && uint32(len(uids)) == exists && s.still()
	return nil
}

// mend asks again for what an answer left out: an unsolicited FETCH can take
// the place of a real one. What is still not told of then is not there.
func (l *look) mend() error {
	want := func() []uint32 {
		l.rows.sort()
		uids := l.rows.lacking(haveFlags, 1)
		return append(uids, l.rows.lacking(haveAll, max(1, l.was.next))...)
	}
	for range maxLooks {
		uids := want()
		if len(uids) == 0 {
			return nil
		}
		for _, set := range uidSets(uids) {
			if err := l.s.fetch(set, metaItems(haveAll), l.rows.collect); err != nil {
				return err
			}
		}
	}
	for _, uid := range want() {
		l.rows.drop(func(r *row) bool { return r.uid == uid })
	}
	return nil
}

// yield hands over what was found.
func (l *look) yield(yield func(plan.Seen) error) error {
	l.rows.sort()
	for i := range l.rows.rows {
		r := &l.rows.rows[i]
		if err := yield(plan.Seen{Ref: refOf(r.uid), Item: r.item()}); err != nil {
			return err
		}
	}
	for _, uid := range l.listed {
		if l.rows.find(uid) != nil {
			continue
		}
		if err := yield(plan.Seen{Ref: refOf(uid), NoFlags: true}); err != nil {
			return err
		}
	}
	return nil
}

// scanned sums up, and makes what was seen the view that Confirm compares with.
func (l *look) scanned(v *view) plan.Scanned {
	count := uint32(len(l.rows.rows))
	switch {
	case l.listed != nil:
		count = uint32(len(l.listed))
	case !l.full:
		for i := range l.rows.rows {
			if l.rows.rows[i].uid < l.was.next {
				count--
			}
		}
		count += l.was.count
	}
	next := max(l.at.next, l.was.next)
	if v.validity == l.at.validity {
		next = max(next, v.next)
	}
	// Of a view that is not complete something above UIDNEXT may be missing.
	if n := len(l.rows.rows); n > 0 && l.complete {
		next = max(next, l.rows.rows[n-1].uid+1)
	}
	told := next
	next = max(next, 1)
	if v.validity != l.at.validity {
		v.mine = nil
	}
	v.validity, v.next = l.at.validity, next
	out := plan.Scanned{
		Epoch: epochOf(l.at.validity), Full: l.full, Complete: l.complete,
		Next: told, Count: int(count), Rights: v.rights,
	}
	if l.complete {
		m := mark{validity: l.at.validity, next: next, modseq: l.at.modseq, count: count}
		out.Cursor = m.cursor()
	}
	return out
}

// searchAll lists the UIDs of all messages of the selected mailbox, as ranges
// where ESEARCH is offered (RFC 4731).
func (s *session) searchAll() ([]uint32, error) { return s.search(&goimap.SearchCriteria{}) }

func (s *session) search(criteria *goimap.SearchCriteria) ([]uint32, error) {
	var opt *goimap.SearchOptions
	if s.has(goimap.CapESearch) {
		opt = &goimap.SearchOptions{ReturnAll: true}
	}
	data, err := s.client.UIDSearch(criteria, opt).Wait()
	if err != nil {
		return nil, err
	}
	set, ok := data.All.(goimap.UIDSet)
	if !ok {
		if data.All == nil {
			return nil, nil // ESEARCH leaves ALL out where nothing matches
		}
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("the server answers UID SEARCH without UIDs"), "")
	}
	// Some may arrive while the answer travels.
	uids, err := expand(set, int(s.exists())+1000)
	if err != nil {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer, err, "")
	}
	return uids, nil
}

// rights learns what may be done to a mailbox: by MYRIGHTS (RFC 4314), else
// what a SELECT showed.
func (a *Account) rights(ctx context.Context, wire string, v *view) error {
	if v.perm != nil {
		v.rights = v.perm.rights()
	}
	return a.use(ctx, func(s *session) error {
		if !s.has(goimap.CapACL) {
			return nil
		}
		data, err := s.client.MyRights(wire).Wait()
		if err != nil {
			if isLoss(err) {
				return err
			}
			return nil // not to be told is no reason to stop
		}
		v.rights = rightsOf(data.Rights)
		return nil
	})
}

// rightsOf reads letters of RFC 4314, section 2.1, and the old "d".
func rightsOf(set goimap.RightSet) plan.Rights {
	has := func(letters string) bool {
		for _, r := range set {
			for _, l := range letters {
				if rune(r) == l {
					return true
				}
			}
		}
		return false
	}
	return plan.Rights{
		NoInsert: !has("i"),
		NoFlags:  !has("w") || !has("s"),
		NoDelete: !has("td") || !has("ed"),
	}
}

// rights of a mailbox that was selected: READ-ONLY denies all.
func (p *permanent) rights() plan.Rights {
	if p.none {
		return plan.ReadOnly
	}
	return plan.Rights{}
}
