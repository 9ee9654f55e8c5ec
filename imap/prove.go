package imap

import (
	"fmt"
	"slices"

	"github.com/emersion/go-imap/v2/imapclient"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// prove checks that the messages of a group are those that are meant. A server
// must give no UID twice (RFC 3501, section 2.3.1.1); one that does would have
// another message deleted. Light fields are compared first; where they differ,
// which they may if the server rewrote them, the bytes count.
func (a *Account) prove(s *session, wire string, g *group) error {
	var uids []uint32
	for i, uid := range g.uids {
		if g.out[i].Result == 0 && !g.ops[i].Expect.Light.IsZero() {
			uids = append(uids, uid)
		}
	}
	if len(uids) == 0 {
		return nil
	}
	heads, err := s.headers(uids, mail.LevelLight)
	if err != nil {
		return err
	}
	var doubtful []uint32
	for i, uid := range g.uids {
		if r := heads.find(uid); slices.Contains(uids, uid) && r != nil && r.have&haveHeader != 0 && r.ident.Light != g.ops[i].Expect.Light {
			doubtful = append(doubtful, uid)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	bodies, err := s.identities(doubtful)
	if err != nil {
		return err
	}
	for i, uid := range g.uids {
		if want := g.ops[i].Expect.Body; slices.Contains(doubtful, uid) && (want.IsZero() || bodies[uid].Body != want) {
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
