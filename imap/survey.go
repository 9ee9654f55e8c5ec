package imap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A listing is one mailbox of a LIST, with what STATUS told of it.
type listing struct {
	wire      string
	name      mail.MailboxName
	container bool
	role      mail.Role
	mark      mark // validity 0: STATUS failed or told nothing
	id        string
}

// Survey implements engine.Side. With LIST-STATUS (RFC 5819) it is one round
// trip, else LIST and a pipelined STATUS for each mailbox.
func (a *Account) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	var listed []listing
	err := a.retry(ctx, func(s *session) error {
		a.names.forget()
		a.refused = nil
		var err error
		if listed, err = a.list(s); err != nil {
			return err
		}
		listed, err = a.addKnown(s, listed, since)
		return err
	})
	if err != nil {
		return nil, refusal(mail.GradeAccount, err)
	}
	a.views = map[string]*view{}
	boxes := make([]plan.Box, 0, len(listed))
	for _, l := range listed {
		v := a.view(l.wire)
		v.validity, v.next, v.container, v.role = l.mark.validity, l.mark.next, l.container, l.role
		boxes = append(boxes, l.box(since[l.name]))
	}
	return boxes, nil
}

func (l *listing) box(since plan.Since) plan.Box {
	b := plan.Box{Name: l.name, Role: l.role, Container: l.container, ID: l.id, Count: -1}
	if l.mark.validity == 0 {
		return b
	}
	b.Epoch, b.Next, b.Count = epochOf(l.mark.validity), l.mark.next, int(l.mark.count)
	b.Cursor, b.State = l.mark.cursor(), l.mark.compare(since)
	return b
}

// list gives all mailboxes that take part, each once, sorted by name.
func (a *Account) list(s *session) ([]listing, error) {
	// STATUS of a selected mailbox may lag (RFC 3501, section 6.3.10).
	if err := s.leave(); err != nil {
		return nil, err
	}
	s.wire.TakeMailboxIDs()
	data, err := s.client.List("", "*", s.listOptions()).Collect()
	if err != nil {
		return nil, fmt.Errorf("listing mailboxes: %w", err)
	}
	if len(data) == 0 {
		// INBOX is always there (RFC 3501, section 5.1). That all mailboxes are
		// gone must not be believed.
		return nil, accountFault(mail.ClassServer, errors.New("the server lists no mailboxes"), "try again later")
	}
	a.order(data)
	var listed []listing
	var unknown []int
	seen := map[string]bool{}
	for _, d := range data {
		l, ok := a.listing(d)
		if !ok || seen[l.wire] {
			continue
		}
		seen[l.wire] = true
		if l.mark.validity == 0 && !l.container {
			unknown = append(unknown, len(listed))
		}
		listed = append(listed, l)
	}
	for _, raw := range s.wire.TakeBadNames() {
		a.refused = append(a.refused, Refused{raw, "its name is not valid modified UTF-7"})
	}
	if err := s.statusAll(listed, unknown); err != nil {
		return nil, err
	}
	if !seen[string(mail.Inbox)] {
		if listed, err = a.addInbox(s, listed); err != nil {
			return nil, err
		}
	}
	ids := s.wire.TakeMailboxIDs()
	for i := range listed {
		listed[i].id = ids[mail.EncodeUTF7(listed[i].wire)]
	}
	slices.SortFunc(listed, byName)
	return listed, nil
}

// addKnown asks for the mailboxes that were there before and are not listed:
// that one has vanished takes more than a LIST that leaves it out.
func (a *Account) addKnown(s *session, listed []listing, since map[mail.MailboxName]plan.Since) ([]listing, error) {
	here := make(map[mail.MailboxName]bool, len(listed))
	for i := range listed {
		here[listed[i].name] = true
	}
	var asked []listing
	for name := range since {
		wire, err := a.names.wire(name)
		if err == nil && !here[name] && !a.names.isForeign(wire) {
			asked = append(asked, listing{wire: wire, name: name})
		}
	}
	which := make([]int, len(asked))
	for i := range which {
		which[i] = i
	}
	if err := s.statusAll(asked, which); err != nil {
		return nil, err
	}
	for _, l := range asked {
		if l.mark.validity == 0 {
			continue
		}
		if _, err := a.names.learn(l.wire); err == nil {
			listed = append(listed, l)
		}
	}
	slices.SortFunc(listed, byName)
	return listed, nil
}

func byName(x, y listing) int { return strings.Compare(string(x.name), string(y.name)) }

// addInbox adds INBOX, which was not listed, unless it does not exist. It is
// always there (RFC 3501, section 5.1), whatever LIST leaves out.
func (a *Account) addInbox(s *session, listed []listing) ([]listing, error) {
	m, err := s.status(string(mail.Inbox))
	if codeOf(err) == goimap.ResponseCodeNonExistent {
		return listed, nil
	}
	if err != nil && isLoss(err) {
		return nil, err
	}
	name, err := a.names.learn(string(mail.Inbox))
	if err != nil {
		return nil, err
	}
	return append(listed, listing{wire: string(mail.Inbox), name: name, mark: m}), nil
}

// order sorts what was listed, the personal namespace first, so that of two
// mailboxes with one name the same one takes part in every run.
func (a *Account) order(data []*goimap.ListData) {
	slices.SortStableFunc(data, func(x, y *goimap.ListData) int {
		px, py := strings.HasPrefix(x.Mailbox, a.names.prefix), strings.HasPrefix(y.Mailbox, a.names.prefix)
		if px != py {
			if px {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Mailbox, y.Mailbox)
	})
}

func (s *session) listOptions() *goimap.ListOptions {
	extended := s.has(goimap.CapListExtended)
	opt := &goimap.ListOptions{ReturnSpecialUse: extended && s.has(goimap.CapSpecialUse)}
	if s.has(goimap.CapListStatus) {
		opt.ReturnStatus = s.statusOptions()
	}
	return opt
}

func (s *session) statusOptions() *goimap.StatusOptions {
	return &goimap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: s.has(goimap.CapCondStore)}
}

// listing translates one line of LIST; ok is false for one that is left out.
func (a *Account) listing(d *goimap.ListData) (l listing, ok bool) {
	if a.names.isForeign(d.Mailbox) {
		return l, false
	}
	l.wire = d.Mailbox
	l.container = slices.Contains(d.Attrs, goimap.MailboxAttrNoSelect) || slices.Contains(d.Attrs, goimap.MailboxAttrNonExistent)
	name, err := a.names.learn(d.Mailbox)
	if err != nil {
		if !l.container {
			a.refused = append(a.refused, Refused{d.Mailbox, err.Error()})
		}
		return l, false
	}
	l.name, l.role = name, roleOf(d.Attrs)
	if d.Status != nil {
		l.mark = markOf(d.Status)
	}
	return l, true
}

// roleOf is the use that SPECIAL-USE names (RFC 6154, RFC 8457).
func roleOf(attrs []goimap.MailboxAttr) mail.Role {
	for _, attr := range attrs {
		switch r := mail.Role(attr); r {
		case mail.RoleAll, mail.RoleArchive, mail.RoleDrafts, mail.RoleFlagged,
			mail.RoleImportant, mail.RoleJunk, mail.RoleSent, mail.RoleTrash:
			return r
		}
	}
	return mail.RoleNone
}

func markOf(d *goimap.StatusData) mark {
	m := mark{validity: d.UIDValidity, next: uint32(d.UIDNext), modseq: d.HighestModSeq}
	if d.NumMessages == nil {
		return mark{}
	}
	m.count = *d.NumMessages
	return m
}

// statusAll asks for the STATUS of some of listed, pipelined. One that the
// server refuses stays unknown: a scan will tell why.
func (s *session) statusAll(listed []listing, which []int) error {
	cmds := make([]*imapclient.StatusCommand, len(which))
	for i, at := range which {
		cmds[i] = s.client.Status(listed[at].wire, s.statusOptions())
	}
	var lost error
	for i, at := range which {
		data, err := cmds[i].Wait()
		switch {
		case err == nil:
			listed[at].mark = markOf(data)
		case isLoss(err):
			lost = err
		}
	}
	return lost
}

// status asks for the STATUS of one mailbox.
func (s *session) status(wire string) (mark, error) {
	data, err := s.client.Status(wire, s.statusOptions()).Wait()
	if err != nil {
		return mark{}, err
	}
	m := markOf(data)
	if m.validity == 0 {
		return m, mail.NewFault(mail.GradeMailbox, mail.ClassServer, fmt.Errorf("the server tells no STATUS of mailbox %q", wire), "")
	}
	return m, nil
}
