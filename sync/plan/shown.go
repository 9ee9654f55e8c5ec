package plan

import (
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// shown is what a side shows of a message. A first run has one or two for
// every message, so what is rarely known is kept apart.
type shown struct {
	Flags mail.FlagSet
	Date  time.Time // see mail.Item

	size int64
	name string     // Ident.GlobalID, which a server gives, or of a file Stat
	file bool       // name is Stat
	more *mail.Item // if more than these is known: all but Flags and Date count; never changed, for copies share it
}

func (s *shown) show(item mail.Item) {
	s.Flags, s.Date, s.size, s.name, s.file, s.more = item.Flags, item.Date, item.Ident.Size, item.Ident.GlobalID, false, nil
	if item.Stat != "" {
		s.name, s.file = item.Stat, true
	}
	if item != s.Item() {
		more := item // else each call would allocate
		s.more = &more
	}
}

// Item is all that is known of the message.
func (s *shown) Item() mail.Item {
	item := mail.Item{Ident: mail.Identity{Size: s.size}}
	switch {
	case s.more != nil:
		item = *s.more
	case s.file:
		item.Stat = s.name
	default:
		item.Ident.GlobalID = s.name
	}
	item.Flags, item.Date = s.Flags, s.Date
	return item
}

// Ident is what is known of its identity.
func (s *shown) Ident() mail.Identity {
	if s.more != nil {
		return s.more.Ident
	}
	if s.file {
		return mail.Identity{Size: s.size}
	}
	return mail.Identity{Size: s.size, GlobalID: s.name}
}

// Stat is the mark of its file, see mail.Item.
func (s *shown) Stat() string {
	switch {
	case s.more != nil:
		return s.more.Stat
	case s.file:
		return s.name
	}
	return ""
}

// Token is what its file names, see mail.Item.
func (s *shown) Token() string {
	if s.more != nil {
		return s.more.Token
	}
	return ""
}

// Learn takes over what more is known of the identity.
func (s *shown) Learn(id mail.Identity) {
	item := s.Item()
	item.Ident = id
	s.show(item)
}

// NameFor takes over the name that a file bears that was placed for it.
func (s *shown) NameFor(token string) {
	item := s.Item()
	item.Token = token
	s.show(item)
}
