package imap

import (
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// maxAnnounced is how many Fetches may be announced before they are called.
const maxAnnounced = 8

// ExpectFetch implements engine.Expecter: when all that the Fetch under way
// asks for was sent, the next one's EXAMINE and FETCH follow at once. It may
// be called again before the first announced Fetch came: they come in the
// order of the calls.
func (a *Account) ExpectFetch(box mail.BoxID, refs []mail.Ref) {
	wire, uids, err := a.locate(box, refs)
	if err != nil || len(uids) == 0 || len(a.announced) >= maxAnnounced {
		return
	}
	f := a.fetching(wire, uids, nil)
	f.pull = true
	a.announced = append(a.announced, f)
}

// awaited gives the Fetch that was announced with these messages, or a new
// one. What was announced before it does not come any more.
func (a *Account) awaited(wire string, uids []uint32) *fetching {
	for i, f := range a.announced {
		if f.wire == wire && slices.Equal(f.uids, uids) {
			a.announced = slices.Delete(a.announced, 0, i+1)
			return f
		}
	}
	return a.fetching(wire, uids, nil)
}

// sendAnnounced sends ahead what was announced, once all of f was asked for.
func (f *fetching) sendAnnounced(s *session) {
	last, waiting, sent := f, int64(0), 0
	for _, e := range f.a.announced {
		waiting, sent = waiting+int64(last.waiting)*last.size(), sent+last.sent
		if last.next < last.hi || waiting >= maxAsked || sent >= maxSent {
			return
		}
		if e.on != s {
			s.sendErrand(e)
			e.launch(s, 0, len(e.msgs), passes[0])
		}
		last = e
	}
}
