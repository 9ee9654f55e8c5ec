package restore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// A Part is what goes from one mailbox to another.
type Part struct {
	// From is where the mail comes from; Label names it among others, such as
	// another generation of the same archive.
	From    engine.Side
	Label   string
	Mailbox mail.MailboxName // in From
	To      mail.MailboxName
	// Wanted tells by its identity, up to the body, whether a message is meant;
	// nil for all.
	Wanted func(mail.Identity) bool
}

// epoch is that of every mailbox of a Selection: its Refs never change their
// meaning, since they say which mailbox of which state they are from.
const epoch = "selection"

// ErrReadOnly: mail that is being restored cannot be changed where it comes from.
var ErrReadOnly = errors.New("what is restored cannot be changed where it comes from")

// A Selection is mail to be restored, as the target is to have it: an
// engine.Writer that refuses to be changed.
//
// A mailbox that more than one Part goes to has each message once, by its
// bytes. \Deleted is left out, unless Exact: nobody brings a message back to
// have it removed by the next mail program that tidies up.
type Selection struct {
	exact   bool
	sources []*source
	order   []mail.MailboxName
	boxes   map[mail.MailboxName][]*piece
	names   map[mail.BoxID]mail.MailboxName

	chosen map[mail.MailboxName]int // messages, as of the last scan
	bytes  map[mail.MailboxName]int64
}

// A source is a side that mail comes from.
type source struct {
	side  engine.Side
	names []mail.MailboxName // the number of a mailbox is its place here, from 1
}

// A piece is a Part with the numbers by which it is found.
type piece struct {
	Part
	source *source
	box    mail.BoxID
	tag    string
	role   mail.Role
	gone   bool // its mailbox is not there
}

// Select puts parts together. Exact keeps \Deleted.
func Select(parts []Part, exact bool) *Selection {
	s := &Selection{
		exact: exact, boxes: map[mail.MailboxName][]*piece{}, names: map[mail.BoxID]mail.MailboxName{},
		chosen: map[mail.MailboxName]int{}, bytes: map[mail.MailboxName]int64{},
	}
	for _, part := range parts {
		p := &piece{Part: part, source: s.source(part.From)}
		k := slices.Index(p.source.names, part.Mailbox)
		if k < 0 {
			k = len(p.source.names)
			p.source.names = append(p.source.names, part.Mailbox)
		}
		p.box = mail.BoxID(k + 1)
		sum := sha256.Sum256([]byte(part.Label + "\x00" + string(part.Mailbox)))
		p.tag = hex.EncodeToString(sum[:5])
		if s.boxes[part.To] == nil {
			s.order = append(s.order, part.To)
		}
		s.boxes[part.To] = append(s.boxes[part.To], p)
	}
	slices.Sort(s.order)
	return s
}

func (s *Selection) source(side engine.Side) *source {
	for _, src := range s.sources {
		if src.side == side {
			return src
		}
	}
	src := &source{side: side}
	s.sources = append(s.sources, src)
	return src
}

// Mailboxes are those that mail goes to, sorted.
func (s *Selection) Mailboxes() []mail.MailboxName { return slices.Clone(s.order) }

// Has tells whether mail goes to a mailbox.
func (s *Selection) Has(name mail.MailboxName) bool { return s.boxes[name] != nil }

// Chosen are the messages that go to a mailbox and their size in bytes, as the
// last scan found them.
func (s *Selection) Chosen(name mail.MailboxName) (messages int, bytes int64) {
	return s.chosen[name], s.bytes[name]
}

// Renamed is the selection with other names for the mailboxes that it goes to,
// without those that get none, and without the messages that are not wanted in
// one; where the filter is nil, all are.
func (s *Selection) Renamed(to func(mail.MailboxName) (mail.MailboxName, bool), wanted map[mail.MailboxName]func(mail.Identity) bool) *Selection {
	var parts []Part
	for _, name := range s.order {
		new, ok := to(name)
		if !ok {
			continue
		}
		for _, p := range s.boxes[name] {
			part := p.Part
			part.To = new
			if also, before := wanted[name], part.Wanted; also != nil {
				part.Wanted = func(id mail.Identity) bool { return also(id) && (before == nil || before(id)) }
			}
			parts = append(parts, part)
		}
	}
	return Select(parts, s.exact)
}

// ref is what a message of the piece is called here.
func (p *piece) ref(ref mail.Ref) mail.Ref { return ref + mail.Ref("."+p.tag) }

// split sorts refs by the pieces that they are from, in the order of these.
func (s *Selection) split(pieces []*piece, refs []mail.Ref) [][]mail.Ref {
	list := make([][]mail.Ref, len(pieces))
	for _, ref := range refs {
		for i, p := range pieces {
			if own, ok := strings.CutSuffix(string(ref), "."+p.tag); ok {
				list[i] = append(list[i], mail.Ref(own))
				break
			}
		}
	}
	return list
}
