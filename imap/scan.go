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

// maxLooks is how often a scan looks at a mailbox that changes meanwhile.
const maxLooks = 3

// A look is one attempt to see a mailbox as it is.
type look struct {
	s   *session
	f   *flight
	was mark // the cursor; zero if there is none of use

	rows     *sightings
	gone     wire.Ranges // known messages that have vanished
	listed   []uint32    // what is there, rising, whether told of or not, if that is known
	full     bool
	complete bool
}

// Scan implements engine.Side. It costs what changed: with QRESYNC (RFC 7162,
// section 3.2.5) the server tells what vanished too; with CONDSTORE (section
// 3.1.4) that is learned by comparing the number of messages, and the UIDs
// where it differs.
func (a *Account) Scan(ctx context.Context, box mail.BoxID, since plan.Since, yield func(plan.Seen) error) (plan.Scanned, error) {
	name, err := a.wireName(box)
	if err != nil {
		return plan.Scanned{}, err
	}
	a.forget()
	a.reached(box)
	if sc, ok := a.scanEmpty(name, since); ok {
		return sc, nil
	}
	var l *look
	var first *session
	err = a.again(ctx, func(s *session) error {
		if first != nil && s != first {
			a.expected = nil // who knows which mailbox it was that broke the connection
		}
		for try := 1; ; try++ {
			var err error
			l, err = a.look(s, name, since, first == nil)
			first = s
			if err != nil || l.complete || try == maxLooks {
				return err
			}
		}
	})
	if err != nil {
		return plan.Scanned{}, refusal(mail.GradeMailbox, err)
	}
	v := a.view(name)
	l.f.learnRights(v)
	if err := l.yield(yield); err != nil {
		return plan.Scanned{}, err
	}
	sc := l.scanned(v)
	l.f.rows = sightings{} // the session remembers the flight, as its last
	return sc, nil
}

// maxFlights is how often a look asks anew when an answer shows that the
// question was not the right one. Each time it asks for more.
const maxFlights = 8

// look sees a mailbox, by the flight that was sent ahead for it or a new one.
// Where its answers do not do, it asks for more.
func (a *Account) look(s *session, name string, since plan.Since, ahead bool) (*look, error) {
	w := a.wish(s, name, since)
	var f *flight
	if ahead {
		f = s.ahead(w)
	}
	for n := 1; ; n++ {
		early := f != nil
		var err error
		if f == nil {
			if err = s.awaitQueue(); err != nil {
				return nil, err
			}
			if f, err = s.fly(w, a.view(name)); err != nil {
				return nil, err
			}
		}
		if ahead && n == 1 {
			if err = a.sendAhead(s); err != nil {
				return nil, err
			}
		}
		if err = s.wire.Send(false); err != nil {
			return nil, err
		}
		err = s.land(f)
		if early && (err != nil && !isLoss(err) || err == nil && f.rows.over) {
			f = nil // perhaps for what stood before it: asked for alone it tells
			continue
		}
		if err != nil {
			return nil, err
		}
		l := &look{s: s, f: f, rows: &f.rows}
		more, err := l.judge()
		if err != nil || more == nil || n == maxFlights {
			return l, err
		}
		w, f = *more, nil
	}
}

// more is the wish of the look, changed.
func (l *look) more(change func(*wish)) *wish {
	w := l.f.wish
	w.sure = true
	change(&w)
	return &w
}

// judge finds out what a flight that has landed tells; nil if that is enough,
// else what to ask instead.
func (l *look) judge() (*wish, error) {
	f, at := l.f, l.f.at
	valid := f.was.next > 0 && f.was.validity == at.validity && (at.next == 0 || at.next >= f.was.next)
	if valid {
		l.was = f.was
	}
	switch {
	case at.exists == 0:
		return l.empty(), nil
	case f.was.next > 0 && !valid:
		return l.more(func(w *wish) { w.was, w.extent, w.search = mark{}, all, false }), nil
	case f.extent != all && at.modseq < l.was.modseq: // 0: it knows none any more
		return l.more(func(w *wish) { w.extent, w.search = all, false }), nil
	case f.extent == resynced && f.opened.Doubtful:
		l.s.doubtQuick = true
		return l.more(func(w *wish) { w.extent, w.search = changed, true }), nil
	case f.fresh == nil && (at.next == 0 || at.next > l.was.next):
		l.s.hidesNext = l.s.hidesNext || at.next == 0
		return l.more(func(*wish) {}), nil
	case f.fresh == nil && f.known == nil && f.extent != resynced:
		return l.more(func(*wish) {}), nil // the survey showed it empty
	}
	l.rows.sort()
	if enough, err := l.mend(); err != nil || !enough {
		return l.more(func(*wish) {}), err
	}
	switch f.extent {
	case resynced:
		return l.resynced(), nil
	case changed:
		return l.changed()
	}
	l.full = true
	l.complete = uint32(len(l.rows.list)) == l.exists() && l.still()
	return nil, nil
}

// exists is the number of messages now, as far as the look knows.
func (l *look) exists() uint32 { return l.tally().Exists }

// still tells whether no message came or went during the look.
func (l *look) still() bool { return l.tally().Changes == 0 }

func (l *look) tally() wire.Tally {
	if l.s.alone(l.f) {
		return l.s.wire.Tally()
	}
	return l.f.tally
}

// empty takes a mailbox that has no messages by its EXISTS. If it had some, it
// must have none by UID SEARCH either: that all are gone takes two answers.
func (l *look) empty() *wish {
	if l.f.indexed > 0 && l.f.search == nil {
		return l.more(func(w *wish) { w.search = true })
	}
	l.rows.list = nil
	l.full = true
	l.complete = l.still() && l.found().Count() == 0
	return nil
}

// fresh counts the messages that are new since the cursor.
func (l *look) fresh() int64 { return int64(len(l.rows.from(l.was.next))) }

// silent tells that something changed, by HIGHESTMODSEQ, and nothing that was
// told explains it. UIDs that were given meanwhile would: to messages that have
// gone again.
func (l *look) silent() bool {
	return len(l.rows.list) == 0 && l.f.at.modseq > l.was.modseq && l.f.at.next <= l.was.next
}

// resynced takes the answer to a SELECT with QRESYNC. It is whole if the
// messages that the cursor knew, without those that have vanished and with the new
// ones, are as many as there are.
func (l *look) resynced() *wish {
	gone := l.f.opened.Vanished.Below(l.was.next)
	n := gone.Count()
	contradicted := slices.ContainsFunc(l.rows.list, func(r sighting) bool { return gone.Has(r.uid) })
	switch {
	case contradicted, n > uint64(l.was.count), int64(l.was.count)-int64(n)+l.fresh() != int64(l.exists()):
		return l.more(func(w *wish) { w.extent, w.search = changed, true })
	case n == 0 && l.silent(): // ask in another way
		return l.more(func(w *wish) { w.extent = changed })
	}
	l.gone = gone
	l.complete = l.still()
	return nil
}

// changed takes what CHANGEDSINCE told, and the UIDs if the number of messages
// shows that some vanished.
func (l *look) changed() (*wish, error) {
	switch {
	case int64(l.was.count)+l.fresh() != int64(l.exists()) && l.f.search == nil:
		return l.more(func(w *wish) { w.search = true }), nil
	case int64(l.was.count)+l.fresh() != int64(l.exists()):
		return l.compare()
	case l.silent():
		return l.more(func(w *wish) { w.extent, w.search = all, false }), nil
	}
	l.complete = l.still()
	return nil, nil
}

// compare holds all UIDs against what was told.
func (l *look) compare() (*wish, error) {
	// Some may arrive while the answer travels.
	uids, ok := l.found().List(uint64(l.exists()) + 1000)
	if !ok {
		return nil, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("the server names more messages than there are"), "")
	}
	untold := slices.ContainsFunc(uids, func(uid uint32) bool { return uid >= l.was.next && !l.rows.has(uid) })
	if untold && l.still() {
		// They were there when the changes were asked for: that answer was not
		// whole, and may lack changed flags as well.
		return l.more(func(w *wish) { w.extent, w.search = all, false }), nil
	}
	l.rows.list = slices.DeleteFunc(l.rows.list, func(r sighting) bool {
		_, there := slices.BinarySearch(uids, r.uid)
		return !there
	})
	l.full, l.listed = true, uids
	l.complete = !untold && uint32(len(uids)) == l.exists() && l.still()
	return nil, nil
}

// found are the UIDs that the flight's SEARCH named; none if there was none.
func (l *look) found() wire.Ranges {
	if l.f.search == nil {
		return wire.Ranges{}
	}
	answer, err := l.s.wire.Wait(l.f.search)
	if err != nil {
		return wire.Ranges{}
	}
	return answer.Found
}

// mend asks again for what an answer left out. What is still not told of then
// is not there. It gives false if that is impossible because another mailbox
// is selected by now.
func (l *look) mend() (bool, error) {
	for range maxLooks {
		uids := l.rows.lacking(l.was.next)
		if len(uids) == 0 {
			return true, nil
		}
		if !l.s.alone(l.f) {
			return false, nil
		}
		for _, set := range uidSets(uids) {
			c := &wire.Call{Command: "UID FETCH " + set.String() + itemsFresh, In: l.f.open, Each: l.rows.add}
			if err := l.s.wire.Send(false, c); err != nil {
				return false, err
			}
			if _, err := l.s.wire.Wait(c); err != nil {
				return false, fmt.Errorf("scanning mailbox %q: %w", l.f.name, answered(err))
			}
		}
		l.rows.sort()
	}
	l.rows.list = slices.DeleteFunc(l.rows.list, func(r sighting) bool { return r.lacks(l.was.next) })
	return true, nil
}

// yield hands over what was found.
func (l *look) yield(yield func(plan.Seen) error) error {
	for i := range l.rows.list {
		r := &l.rows.list[i]
		bare := r.have&haveEverything != haveEverything
		if err := yield(plan.Seen{Ref: refOf(r.uid), Item: l.rows.item(r), Bare: bare}); err != nil {
			return err
		}
	}
	gone, _ := l.gone.List(uint64(l.was.count))
	for _, uid := range gone {
		if err := yield(plan.Seen{Ref: refOf(uid), Gone: true}); err != nil {
			return err
		}
	}
	for _, uid := range l.listed {
		if l.rows.has(uid) {
			continue
		}
		if err := yield(plan.Seen{Ref: refOf(uid), NoFlags: true}); err != nil {
			return err
		}
	}
	return nil
}

// count is how many messages the look found, or knows to be there.
func (l *look) count() uint32 {
	switch {
	case l.listed != nil:
		return uint32(len(l.listed))
	case l.full:
		return uint32(len(l.rows.list))
	}
	return uint32(int64(l.was.count) + l.fresh() - int64(l.gone.Count()))
}

// scanned sums up, and makes what was seen the view that Confirm compares with.
func (l *look) scanned(v *view) plan.Scanned {
	at, count := l.f.at, l.count()
	next := max(at.next, l.was.next)
	if v.validity == at.validity {
		next = max(next, v.next)
	}
	// Of a view that is not complete something above UIDNEXT may be missing.
	if n := len(l.rows.list); n > 0 && l.complete {
		next = max(next, l.rows.list[n-1].uid+1)
	}
	told := next
	next = max(next, 1)
	if v.validity != at.validity {
		v.mine, v.top = nil, 0
	}
	v.seen, v.changed = at.modseq, nil
	v.validity, v.next, v.counted, v.empty = at.validity, next, false, mark{}
	out := plan.Scanned{
		Epoch: epochOf(at.validity), Full: l.full, Complete: l.complete,
		Next: told, Count: int(count), Rights: v.rights,
	}
	if l.complete {
		m := mark{validity: at.validity, next: next, modseq: at.modseq, count: count}
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

// learnRights learns what may be done to a mailbox: by MYRIGHTS (RFC 4314),
// else what a SELECT showed.
func (f *flight) learnRights(v *view) {
	if v.perm != nil {
		v.rights = v.perm.rights()
	}
	if f.told != "" {
		v.rights = rightsOf(goimap.RightSet(f.told))
	}
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
