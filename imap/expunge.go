package imap

import (
	"fmt"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// expunge removes exactly these messages from the selected mailbox, and gives
// those that are still there after it.
func (s *session) expunge(uids []uint32) (left []uint32, err error) {
	there, err := s.present(uids)
	if err != nil {
		return nil, err
	}
	return s.expungePresent(there)
}

// expungePresent is expunge of messages that were seen to be there. With
// UIDPLUS they are marked and expunged in one flight.
//
// Without UIDPLUS, EXPUNGE takes all that are marked \Deleted: it is sent only
// if UID SEARCH DELETED has just returned ours and no others. What another
// program marks in the round trip between goes too. If others are marked, ours
// are not, and the error says so: of two halves that wait for each other to
// be expunged, neither would go.
func (s *session) expungePresent(there []uint32) (left []uint32, err error) {
	if len(there) == 0 {
		return nil, nil
	}
	sets := uidSets(slices.Clone(there))
	mark := calls(sets, "UID STORE %s +FLAGS.SILENT (\\Deleted)")
	if s.has(goimap.CapUIDPlus) {
		if err := s.carryOut(slices.Concat(mark, calls(sets, "UID EXPUNGE %s"))); err != nil {
			return nil, err
		}
		return s.remaining(there)
	}
	if err := s.onlyMarked(there); err != nil {
		return nil, err
	}
	if err := s.carryOut(mark); err != nil {
		return nil, err
	}
	if err := s.onlyMarked(there); err != nil {
		return nil, err
	}
	if err := s.carryOut([]*wire.Call{{Command: "EXPUNGE"}}); err != nil {
		return nil, err
	}
	return s.remaining(there)
}

// calls makes a command for each set.
func calls(sets []goimap.UIDSet, format string) []*wire.Call {
	list := make([]*wire.Call, len(sets))
	for i, set := range sets {
		list[i] = &wire.Call{Command: fmt.Sprintf(format, set.String())}
	}
	return list
}

// carryOut sends calls in one flight. Its error is the first there was.
func (s *session) carryOut(list []*wire.Call) error {
	if err := s.wire.Send(false, list...); err != nil {
		return err
	}
	var first error
	for _, c := range list {
		if _, err := s.wire.Wait(c); err != nil && first == nil {
			first = answered(err)
		}
	}
	return first
}

// remaining looks, in one flight, which of some messages are there after an
// EXPUNGE: what FETCH or SEARCH names is, for there are servers that say OK and
// have not done it. To ask in the flight of the EXPUNGE would not do: Dovecot
// goes on to show what it removed while commands are waiting.
func (s *session) remaining(uids []uint32) (left []uint32, err error) {
	sets := uidSets(slices.Clone(uids))
	find := "UID SEARCH UID %s"
	if s.has(goimap.CapESearch) {
		find = "UID SEARCH RETURN (ALL) UID %s"
	}
	var told sightings
	fetches, searches := calls(sets, "UID FETCH %s"+itemsKnown), calls(sets, find)
	for _, c := range fetches {
		c.Each = told.add
	}
	if err := s.carryOut(slices.Concat(fetches, searches)); err != nil {
		return nil, err
	}
	told.sort()
	for _, uid := range uids {
		found := told.has(uid)
		for _, c := range searches {
			if answer, err := s.wire.Wait(c); err == nil {
				found = found || answer.Found.Has(uid)
			}
		}
		if found {
			left = append(left, uid)
		}
	}
	return left, nil
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
