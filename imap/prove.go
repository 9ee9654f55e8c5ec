package imap

import (
	"fmt"
	"maps"
	"slices"

	"github.com/emersion/go-imap/v2/imapclient"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// enterToDelete selects a mailbox and looks, in the same flight, which of the
// messages of a group are there, with the light fields of those for which
// they are known.
func (a *Account) enterToDelete(s *session, wire string, g *group) (at *selection, there *table, err error) {
	var known, blind []uint32
	for i, uid := range g.uids {
		switch {
		case uid == 0 || g.out[i].Result != 0:
		case g.ops[i].Expect.Light.IsZero():
			blind = append(blind, uid)
		default:
			known = append(known, uid)
		}
	}
	s.wire.Cork()
	var opening *opening
	if at = s.at; at == nil || at.name != wire || !at.writable {
		opening = s.sendOpen(wire, true)
	}
	type question struct {
		set goimap.UIDSet
		opt *goimap.FetchOptions
	}
	var questions []question
	for _, set := range uidSets(slices.Clone(known)) {
		questions = append(questions, question{set, headerItems(mail.LevelLight)})
	}
	for _, set := range uidSets(slices.Clone(blind)) {
		questions = append(questions, question{set, metaItems(haveFlags)})
	}
	// One only goes along: a server may mix the answers to two FETCHes (Dovecot
	// does when a connection is full), and the library would wait for ever
	// with an answer to the one that nobody reads yet.
	var first *imapclient.FetchCommand
	if len(questions) > 0 {
		first = s.client.Fetch(questions[0].set, questions[0].opt)
	}
	_ = s.wire.Uncork() // an error is told by the commands
	if opening != nil {
		at, err = opening.wait()
	}
	if err == nil {
		err = a.known(at, true)
	}
	there = &table{}
	switch {
	case first == nil:
	case err != nil:
		if e := first.Close(); e != nil && isLoss(e) {
			err = e
		}
	default:
		err = s.drain(first, there.collect)
	}
	for i := 1; i < len(questions) && err == nil; i++ {
		err = s.fetch(questions[i].set, questions[i].opt, there.collect)
	}
	s.wire.TakeGlobalIDs()
	if err != nil {
		return nil, nil, err
	}
	// An answer without its literal is withheld by the wire, or not given.
	if missing := there.absent(slices.Concat(known, blind)); len(missing) > 0 {
		found, err := s.headers(missing, mail.LevelLight)
		if err != nil {
			return nil, nil, err
		}
		there.rows, there.sorted = append(there.rows, found.rows...), false
	}
	there.sort()
	return at, there, nil
}

// prove checks that the messages of a group are those that are meant, by what
// was told of those that are there. A server must give no UID twice (RFC 3501,
// section 2.3.1.1); one that does would have another message deleted. Light
// fields are compared first; where they differ, which they may if the server
// rewrote them, the bytes count.
func (a *Account) prove(s *session, wire string, g *group, there *table) error {
	doubtful := map[uint32]bool{}
	for i, uid := range g.uids {
		if g.out[i].Result != 0 || g.ops[i].Expect.Light.IsZero() {
			continue
		}
		if r := there.find(uid); r != nil && r.have&haveHeader != 0 && r.ident.Light != g.ops[i].Expect.Light {
			doubtful[uid] = true
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	bodies, err := s.identities(slices.Collect(maps.Keys(doubtful)))
	if err != nil {
		return err
	}
	for i, uid := range g.uids {
		if want := g.ops[i].Expect.Body; doubtful[uid] && (want.IsZero() || bodies[uid].Body != want) {
			g.out[i].Result = plan.Failed
			g.out[i].Err = messageFault(mail.ClassServer,
				fmt.Errorf("message %d in %q is not the one that was to be deleted", uid, wire), "it is left alone")
		}
	}
	return nil
}

// identities reads whole messages of the selected mailbox.
func (s *session) identities(uids []uint32) (map[uint32]mail.Identity, error) {
	got := identified{}
	for _, set := range uidSets(slices.Clone(uids)) {
		if err := s.fetch(set, wholeItems(), got.collect); err != nil {
			return nil, err
		}
	}
	return got, nil
}

// wholeItems asks for bodies and nothing else.
func wholeItems() *goimap.FetchOptions {
	return &goimap.FetchOptions{UID: true, BodySection: []*goimap.FetchItemBodySection{{Peek: true}}}
}

// identified are the identities of messages that were read, by UID.
type identified map[uint32]mail.Identity

// collect reads one answer to a FETCH of wholeItems.
func (got identified) collect(s *session, msg *imapclient.FetchMessageData) error {
	var uid uint32
	for item := msg.Next(); item != nil; item = msg.Next() {
		switch d := item.(type) {
		case imapclient.FetchItemDataUID:
			uid = uint32(d.UID)
		case imapclient.FetchItemDataBodySection:
			if d.Literal == nil {
				continue
			}
			id, err := mail.Identify(s.literal(d.Literal))
			if err != nil {
				return err
			}
			got[uid] = id
		}
	}
	return nil
}
