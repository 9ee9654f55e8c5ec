package imap

import (
	"context"
	"errors"
	"fmt"
	"math"
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

// Survey implements engine.Side. It is one round trip: LIST-STATUS (RFC 5819),
// else LIST together with a STATUS for each mailbox that since knows; a second
// one asks for those that are new.
func (a *Account) Survey(ctx context.Context, since map[mail.MailboxName]plan.Since) ([]plan.Box, error) {
	a.forget()
	if since == nil {
		since = map[mail.MailboxName]plan.Since{}
	}
	var listed []listing
	var limit int64
	var each bool
	err := a.first(ctx, func(s *session) error {
		var err error
		limit, each = s.appendLimit()
		a.meet(s)
		listed, err = a.list(s, since)
		return err
	})
	if err == nil {
		err = a.unwelcome // what a STATUS was refused for may be this
	}
	if err != nil {
		return nil, refusal(mail.GradeAccount, err)
	}
	a.surveyed, a.views = true, map[string]*view{}
	boxes := make([]plan.Box, 0, len(listed))
	for _, l := range listed {
		v := a.view(l.wire)
		v.validity, v.next, v.container, v.role = l.mark.validity, l.mark.next, l.container, l.role
		if l.mark.count == 0 {
			v.empty = l.mark
		}
		v.limit = l.mark.limit
		v.count, v.counted = l.mark.count, l.mark.validity != 0 && l.mark.next != 0
		b := l.box(since[l.name])
		if !each {
			b.Limit = limit
		}
		if b.State == plan.Same {
			v.seen = l.mark.modseq
		}
		boxes = append(boxes, b)
	}
	return boxes, nil
}

// scanEmpty is the scan of a mailbox that the index knows nothing of and that
// the survey saw to be empty: it has said all that there is to say. Whatever
// is known of the mailbox, by the index or by what was done since, makes it be
// opened; so does the full comparison that follows in time, should STATUS lie.
func (a *Account) scanEmpty(wire string, since plan.Since) (sc plan.Scanned, ok bool) {
	v := a.view(wire)
	m := v.empty
	if !a.surelyEmpty(v, since) {
		return sc, false
	}
	v.empty = mark{}
	if v.perm != nil {
		v.rights = v.perm.rights()
	}
	return plan.Scanned{
		Epoch: epochOf(m.validity), Cursor: m.cursor(), Full: true, Complete: true, Next: m.next, Rights: v.rights,
	}, true
}

// surelyEmpty tells whether scanEmpty answers. Where rights are to be asked for,
// the mailbox is opened in the same flight.
func (a *Account) surelyEmpty(v *view, since plan.Since) bool {
	m := v.empty
	return since == (plan.Since{}) && m.validity != 0 && m.next != 0 && m.validity == v.validity && len(v.mine) == 0 &&
		a.session != nil && !a.session.has(goimap.CapACL)
}

func (l *listing) box(since plan.Since) plan.Box {
	b := plan.Box{Name: l.name, Role: l.role, Container: l.container, ID: l.id, Count: -1}
	if l.mark.validity == 0 {
		return b
	}
	b.Epoch, b.Next, b.Count = epochOf(l.mark.validity), l.mark.next, int(l.mark.count)
	b.Cursor, b.State = l.mark.cursor(), l.mark.compare(since)
	b.Limit = int64(l.mark.limit)
	return b
}

// appendLimit is the largest message that the server takes, in bytes, 0 if it
// does not tell; each says that STATUS tells it of each mailbox (RFC 7889,
// section 2).
func (s *session) appendLimit() (limit int64, each bool) {
	switch n, told := s.caps.AppendLimit(); {
	case !told:
		return 0, false
	case n == nil:
		return 0, true
	default:
		return int64(*n), false
	}
}

// list gives all mailboxes that take part, each once, sorted by name. With
// since nil, how names are built stays as the survey learned it.
func (a *Account) list(s *session, since map[mail.MailboxName]plan.Since) ([]listing, error) {
	if since != nil {
		a.refused = nil
	}
	data, marks, err := a.askList(s, since)
	if err != nil {
		return nil, err
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
		if m, asked := marks[l.wire]; asked {
			l.mark = m
		} else if l.mark.validity == 0 && !l.container {
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
	if listed, err = a.addKnown(s, listed, since, marks); err != nil {
		return nil, err
	}
	ids := s.wire.TakeMailboxIDs()
	for i := range listed {
		listed[i].id = ids[mail.EncodeUTF7(listed[i].wire)]
	}
	slices.SortFunc(listed, byName)
	return listed, nil
}

// askList asks, in one flight, what there is and how names are built. Where
// LIST does not tell the state of the mailboxes, those that since knows are
// asked for along with it: marks has what that gave, by the server's names,
// with validity 0 where it was refused. The names are made up by what was
// learned last; a wrong guess costs no more than the question.
func (a *Account) askList(s *session, since map[mail.MailboxName]plan.Since) (data []*goimap.ListData, marks map[string]mark, err error) {
	// STATUS of a selected mailbox may lag (RFC 3501, section 6.3.10).
	if err := s.leave(); err != nil {
		return nil, nil, err
	}
	s.wire.TakeMailboxIDs()
	var known []listing
	if !s.has(goimap.CapListStatus) {
		known = a.guess(since)
	}
	s.wire.Cork()
	var spaces *imapclient.NamespaceCommand
	if since != nil && s.has(goimap.CapNamespace) && !s.named {
		spaces = s.client.Namespace()
	}
	list := s.client.List("", "*", s.listOptions())
	// A server may stop reading while nobody takes what it lists.
	collected := make(chan struct{})
	var listErr error
	go func() {
		defer close(collected)
		data, listErr = list.Collect()
	}()
	asked := s.askStatus(known, every(known))
	if err = s.wire.Uncork(); err != nil {
		s.wire.Kill()
	}
	<-collected
	switch {
	case err != nil:
		return nil, nil, err
	case listErr != nil:
		return nil, nil, fmt.Errorf("listing mailboxes: %w", listErr)
	}
	if err := takeStatus(known, every(known), asked); err != nil {
		return nil, nil, err
	}
	marks = make(map[string]mark, len(known))
	for _, l := range known {
		marks[l.wire] = l.mark
	}
	if since != nil {
		err = a.learnNames(s, spaces, data)
	}
	return data, marks, err
}

// guess gives the server's names of the mailboxes that since knows.
func (a *Account) guess(since map[mail.MailboxName]plan.Since) []listing {
	known := make([]listing, 0, len(since))
	for name := range since {
		if wire, err := a.names.wire(name); err == nil && !a.names.isForeign(wire) {
			known = append(known, listing{wire: wire, name: name})
		}
	}
	slices.SortFunc(known, byName)
	return known
}

// learnNames takes over how names are built, and forgets those that were known.
func (a *Account) learnNames(s *session, spaces *imapclient.NamespaceCommand, listed []*goimap.ListData) error {
	a.names.forget()
	if s.named {
		return nil
	}
	if spaces != nil {
		data, err := spaces.Wait()
		if err != nil {
			return err
		}
		a.names.told(data)
		s.named = true
		return nil
	}
	if len(listed) == 0 || a.names.derive(listed) {
		return nil // LIST tells it each time
	}
	// LIST "" "" gives the separator (RFC 3501, section 6.3.8).
	root, err := s.client.List("", "", nil).Collect()
	if err != nil {
		return err
	}
	a.names.sep = ""
	if len(root) > 0 {
		a.names.sep = separator(root[0].Delim)
	}
	s.named = true
	return nil
}

func every(listed []listing) []int {
	all := make([]int, len(listed))
	for i := range all {
		all[i] = i
	}
	return all
}

// addKnown asks for the mailboxes that were there before and are not listed:
// that one has vanished takes more than a LIST that leaves it out.
func (a *Account) addKnown(s *session, listed []listing, since map[mail.MailboxName]plan.Since, marks map[string]mark) ([]listing, error) {
	here := make(map[mail.MailboxName]bool, len(listed))
	for i := range listed {
		here[listed[i].name] = true
	}
	var missing []listing
	var unasked []int
	for _, l := range a.guess(since) {
		if here[l.name] {
			continue
		}
		m, asked := marks[l.wire]
		if l.mark = m; !asked {
			unasked = append(unasked, len(missing))
		}
		missing = append(missing, l)
	}
	if err := s.statusAll(missing, unasked); err != nil {
		return nil, err
	}
	for _, l := range missing {
		if l.mark.validity == 0 {
			continue
		}
		if _, err := a.names.learn(l.wire); err == nil {
			listed = append(listed, l)
		}
	}
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
	_, each := s.appendLimit()
	return &goimap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: s.has(goimap.CapCondStore), AppendLimit: each}
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
	if d.AppendLimit != nil && *d.AppendLimit != math.MaxUint32 {
		m.limit = *d.AppendLimit
	}
	return m
}

// statusAll asks for the STATUS of some of listed, in one flight. One that the
// server refuses stays unknown: a scan will tell why.
func (s *session) statusAll(listed []listing, which []int) error {
	if len(which) == 0 {
		return nil
	}
	s.wire.Cork()
	asked := s.askStatus(listed, which)
	if err := s.wire.Uncork(); err != nil {
		return err
	}
	return takeStatus(listed, which, asked)
}

func (s *session) askStatus(listed []listing, which []int) []*imapclient.StatusCommand {
	asked := make([]*imapclient.StatusCommand, len(which))
	for i, at := range which {
		asked[i] = s.client.Status(listed[at].wire, s.statusOptions())
	}
	return asked
}

// takeStatus waits for what askStatus asked.
func takeStatus(listed []listing, which []int, asked []*imapclient.StatusCommand) error {
	var lost error
	for i, at := range which {
		data, err := asked[i].Wait()
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
