package imap

import (
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

// expunge removes exactly these messages from the selected mailbox, and gives
// those that are still there after it.
//
// Without UIDPLUS, EXPUNGE takes all that are marked \Deleted: it is sent only
// if UID SEARCH DELETED has just returned ours and no others. What another
// program marks in the round trip between goes too. If others are marked, ours
// are not, and the error says so: of two halves that wait for each other to
// be expunged, neither would go.
func (s *session) expunge(uids []uint32) (left []uint32, err error) {
	there, err := s.present(uids)
	if err != nil || len(there) == 0 {
		return nil, err
	}
	if !s.has(goimap.CapUIDPlus) {
		if err := s.onlyMarked(there); err != nil {
			return nil, err
		}
	}
	for _, set := range uidSets(slices.Clone(there)) {
		op := &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Silent: true, Flags: []goimap.Flag{goimap.FlagDeleted}}
		if err := s.client.Store(set, op, nil).Close(); err != nil {
			return nil, err
		}
	}
	if s.has(goimap.CapUIDPlus) {
		for _, set := range uidSets(slices.Clone(there)) {
			if err := s.client.UIDExpunge(set).Close(); err != nil {
				return nil, err
			}
		}
		return s.present(there)
	}
	if err := s.onlyMarked(there); err != nil {
		return nil, err
	}
	if err := s.client.Expunge().Close(); err != nil {
		return nil, err
	}
	return s.present(there)
}

// onlyMarked gives an error if others than these are marked as deleted in the
// selected mailbox.
func (s *session) onlyMarked(uids []uint32) error {
	marked, err := s.search(&goimap.SearchCriteria{Flag: []goimap.Flag{goimap.FlagDeleted}})
	if err != nil {
		return err
	}
	if foreign := minus(marked, uids); len(foreign) > 0 {
		return expungePending(s.at.name, len(foreign))
	}
	return nil
}

// minus gives those of a that are not in b.
func minus(a, b []uint32) []uint32 {
	in := make(map[uint32]bool, len(b))
	for _, uid := range b {
		in[uid] = true
	}
	var out []uint32
	for _, uid := range a {
		if !in[uid] {
			out = append(out, uid)
		}
	}
	return out
}

func expungePending(wire string, others int) error {
	return mail.NewFault(mail.GradeMailbox, mail.ClassServer,
		fmt.Errorf("expunge pending: mailbox %q has %d other messages marked as deleted, and the server cannot expunge single ones (it lacks UIDPLUS)", wire, others),
		"expunge the mailbox with a mail program, or take the marks off")
}
