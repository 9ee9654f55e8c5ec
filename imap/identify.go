package imap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

// headerItems asks for what an identity of the given level is made of, short
// of the body.
func headerItems(level mail.Level) *goimap.FetchOptions {
	section := &goimap.FetchItemBodySection{Specifier: goimap.PartSpecifierHeader, Peek: true}
	if level <= mail.LevelLight {
		section.HeaderFields = slices.Concat(mail.LightFields, mail.TraceFields)
	}
	return &goimap.FetchOptions{UID: true, RFC822Size: true, BodySection: []*goimap.FetchItemBodySection{section}}
}

// Identify implements engine.Side.
func (a *Account) Identify(ctx context.Context, box mail.BoxID, refs []mail.Ref, level mail.Level, yield func(mail.Ref, mail.Identity, error) error) error {
	wire, uids, err := a.locate(box, refs)
	if err != nil || len(uids) == 0 {
		return err
	}
	if level >= mail.LevelBody {
		return a.identifyBodies(ctx, wire, uids, yield)
	}
	var found *table
	err = a.retry(ctx, func(s *session) error {
		var err error
		if _, err = a.enterKnown(s, wire, false); err != nil {
			return err
		}
		found, err = s.headers(uids, level)
		return err
	})
	if err != nil {
		return refusal(mail.GradeMailbox, err)
	}
	for i := range found.rows {
		r := &found.rows[i]
		var broken error
		if r.have&haveHeader == 0 {
			broken = messageFault(mail.ClassServer, fmt.Errorf("the server does not give the header of message %d in %q", r.uid, wire), "")
		}
		if err := yield(refOf(r.uid), r.identity(), broken); err != nil {
			return err
		}
	}
	return nil
}

// headers fetches what identities up to level need; the messages that are
// gone are missing from the answer, those without a header lack haveHeader.
func (s *session) headers(uids []uint32, level mail.Level) (*table, error) {
	var t table
	s.wire.TakeGlobalIDs()
	for _, set := range uidSets(slices.Clone(uids)) {
		if err := s.fetch(set, headerItems(level), t.collect); err != nil {
			return nil, err
		}
	}
	t.sort()
	if missing := t.absent(uids); len(missing) > 0 {
		// The wire withholds an answer without its literal; who is there?
		there, err := s.present(missing)
		if err != nil {
			return nil, err
		}
		for _, set := range uidSets(there) {
			if err := s.fetch(set, headerItems(level), t.collect); err != nil {
				return nil, err
			}
		}
		for _, uid := range there {
			t.rows, t.sorted = append(t.rows, row{uid: uid}), false
		}
		t.sort()
	}
	t.global(s.wire.TakeGlobalIDs())
	return &t, nil
}

// absent lists those of uids that have no row.
func (t *table) absent(uids []uint32) []uint32 {
	t.sort()
	var missing []uint32
	for _, uid := range uids {
		if t.find(uid) == nil {
			missing = append(missing, uid)
		}
	}
	return missing
}

// present tells which of uids are in the selected mailbox. Those that FETCH
// does not tell of are searched for too: there are servers that say OK and
// leave out what they cannot read at the moment.
func (s *session) present(uids []uint32) ([]uint32, error) {
	var t table
	for _, set := range uidSets(slices.Clone(uids)) {
		if err := s.fetch(set, metaItems(haveFlags), t.collect); err != nil {
			return nil, err
		}
	}
	there := map[uint32]bool{}
	for _, set := range uidSets(t.absent(uids)) {
		found, err := s.search(&goimap.SearchCriteria{UID: []goimap.UIDSet{set}})
		if err != nil {
			return nil, err
		}
		for _, uid := range found {
			there[uid] = true
		}
	}
	for i := range t.rows {
		there[t.rows[i].uid] = true
	}
	out := slices.DeleteFunc(slices.Clone(uids), func(uid uint32) bool { return !there[uid] })
	slices.Sort(out)
	return slices.Compact(out), nil
}

// identifyBodies reads whole messages.
func (a *Account) identifyBodies(ctx context.Context, wire string, uids []uint32, yield func(mail.Ref, mail.Identity, error) error) error {
	f := a.fetching(wire, uids, func(_ int, uid uint32, item mail.Item, body io.Reader) error {
		id, err := mail.Identify(body)
		if err != nil {
			return err
		}
		id.GlobalID = item.Ident.GlobalID
		return yield(refOf(uid), id, nil)
	})
	f.each = func(uid uint32, err error) error { return yield(refOf(uid), mail.Identity{}, err) }
	err := f.run(ctx)
	var fault *mail.Fault
	if errors.As(err, &fault) && fault.Grade == mail.GradeMessage {
		return nil // each was told through yield
	}
	return err
}

// locate gives the server's name of a mailbox, and the UIDs of refs.
func (a *Account) locate(box mail.BoxID, refs []mail.Ref) (string, []uint32, error) {
	wire, err := a.wireName(box)
	if err != nil {
		return "", nil, err
	}
	uids := make([]uint32, len(refs))
	for i, ref := range refs {
		if uids[i], err = parseUID(ref); err != nil {
			return "", nil, err
		}
	}
	return wire, uids, nil
}

// enterKnown selects a mailbox and checks that its UIDs still mean what they
// meant when it was surveyed or scanned.
func (a *Account) enterKnown(s *session, wire string, write bool) (*selection, error) {
	at, err := s.enter(wire, write)
	if err != nil {
		return nil, err
	}
	return at, a.known(at, write)
}

// known checks that the UIDs of a mailbox that was selected still mean what
// they meant.
func (a *Account) known(at *selection, write bool) error {
	v := a.view(at.name)
	if v.validity == 0 {
		v.validity = at.validity
	}
	if write {
		v.perm = at.perm
	}
	if v.validity != at.validity {
		return epochFault(at.name)
	}
	return nil
}
