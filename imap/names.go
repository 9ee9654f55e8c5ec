package imap

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/mail"
)

// maxName is how long, in bytes, the name of a mailbox may be.
const maxName = 1000

// names translates between the server's names of mailboxes (as the library
// gives them: Unicode) and mail.MailboxName, both ways and one to one. What
// the server listed is remembered; other names are built.
type names struct {
	prefix  string   // of the personal namespace
	sep     string   // between levels; "" if the server has no hierarchy
	foreign []string // prefixes of other users' and shared namespaces
	shared  bool     // those take part

	// untold: the server has no NAMESPACE, so that a prefix is not known.
	untold bool

	toWire map[mail.MailboxName]string
	toName map[string]mail.MailboxName
}

// Words under which the index keeps how names are built, and how many
// connections a pull is worth.
const (
	wordPrefix    = "namespace.prefix"
	wordSeparator = "namespace.separator"
	wordCrew      = "connections"
)

// Recall implements engine.Remembering: the names of mailboxes can be made up
// before the server has told how.
func (a *Account) Recall(words map[string]string) {
	a.names.prefix, a.names.sep = words[wordPrefix], words[wordSeparator]
	if a.crew != nil {
		a.crew.worth.recall(words[wordCrew], a.opt.Clock())
	}
}

// Learned implements engine.Remembering.
func (a *Account) Learned() map[string]string {
	if !a.surveyed {
		return nil
	}
	words := map[string]string{wordPrefix: a.names.prefix, wordSeparator: a.names.sep}
	if a.crew != nil {
		words[wordCrew] = a.crew.worth.word()
	}
	return words
}

func newNames(shared bool) *names {
	n := &names{shared: shared}
	n.forget()
	return n
}

// told takes over what NAMESPACE told (RFC 2342).
func (n *names) told(data *goimap.NamespaceData) {
	n.prefix, n.sep, n.foreign, n.untold = "", "", nil, false
	if len(data.Personal) > 0 {
		n.prefix, n.sep = data.Personal[0].Prefix, separator(data.Personal[0].Delim)
	}
	for _, d := range append(data.Other, data.Shared...) {
		if d.Prefix != "" {
			n.foreign = append(n.foreign, d.Prefix)
		}
	}
}

// derive takes the separator from what LIST told, where the server has no
// NAMESPACE: all mailboxes of one hierarchy have the same (RFC 3501, section
// 7.2.2). It is false if that does not tell it.
func (n *names) derive(listed []*goimap.ListData) bool {
	n.prefix, n.sep, n.foreign, n.untold = "", "", nil, true
	for _, d := range listed {
		if sep := separator(d.Delim); n.sep == "" {
			n.sep = sep
		} else if sep != "" && sep != n.sep {
			return false
		}
	}
	return n.sep != ""
}

func separator(delim rune) string {
	if delim == 0 {
		return ""
	}
	return string(delim)
}

// forget empties the table.
func (n *names) forget() {
	n.toWire, n.toName = map[mail.MailboxName]string{}, map[string]mail.MailboxName{}
}

// isForeign tells whether a name lies in a namespace that takes no part.
func (n *names) isForeign(wire string) bool {
	if n.shared || strings.EqualFold(wire, string(mail.Inbox)) {
		return false
	}
	for _, p := range n.foreign {
		if strings.HasPrefix(wire, p) || wire+n.sep == p {
			return true
		}
	}
	return false
}

// learn gives the name of a mailbox that the server listed, and remembers it.
// An error says why the mailbox cannot take part.
func (n *names) learn(wire string) (mail.MailboxName, error) {
	if name, ok := n.toName[wire]; ok {
		return name, nil
	}
	name, err := n.translate(wire)
	if err != nil {
		return "", err
	}
	if other, ok := n.toWire[name]; ok && other != wire {
		return "", fmt.Errorf("its name is the same as that of %q", other)
	}
	n.toWire[name], n.toName[wire] = wire, name
	return name, nil
}

func (n *names) translate(wire string) (mail.MailboxName, error) {
	if strings.EqualFold(wire, string(mail.Inbox)) {
		return mail.Inbox, nil
	}
	if err := checkName(wire); err != nil {
		return "", err
	}
	rest, stripped := strings.CutPrefix(wire, n.prefix)
	levels := []string{rest}
	if n.sep != "" {
		levels = strings.Split(rest, n.sep)
	}
	for i, raw := range levels {
		level := mail.EscapeLevel(raw)
		if level == "" || mail.UnescapeLevel(level) != raw {
			return "", errors.New("its name cannot be translated there and back")
		}
		levels[i] = level
	}
	name := mail.NewMailboxName(levels...)
	if name == mail.Inbox || !stripped && n.collides(name) {
		return "", errors.New("its name is the same as that of another mailbox")
	}
	return name, nil
}

// collides tells whether a name outside the personal namespace is the one of
// a mailbox that was listed inside it.
func (n *names) collides(name mail.MailboxName) bool {
	_, ok := n.toWire[name]
	return ok
}

// checkName refuses what no side can hold.
func checkName(wire string) error {
	switch {
	case len(wire) > maxName:
		return fmt.Errorf("its name is longer than %d bytes", maxName)
	case !utf8.ValidString(wire):
		return errors.New("its name is not valid Unicode")
	case strings.ContainsAny(wire, "\x00\r\n"):
		return errors.New("its name has a control character")
	}
	return nil
}

// wire gives the server's name of a mailbox, which need not exist yet.
func (n *names) wire(name mail.MailboxName) (string, error) {
	if wire, ok := n.toWire[name]; ok {
		return wire, nil
	}
	if name == mail.Inbox {
		return string(mail.Inbox), nil
	}
	levels := name.Levels()
	for i, level := range levels {
		raw := mail.UnescapeLevel(level)
		switch {
		case raw == "":
			return "", n.unfit(name, "has an empty level")
		case n.sep != "" && strings.Contains(raw, n.sep):
			return "", n.unfit(name, fmt.Sprintf("has a %q, which separates levels on the server", n.sep))
		case mail.EscapeLevel(raw) != level:
			return "", n.unfit(name, "cannot be translated there and back")
		}
		levels[i] = raw
	}
	if n.sep == "" && len(levels) > 1 {
		return "", n.unfit(name, "has levels, and the server has none")
	}
	wire := n.prefix + strings.Join(levels, n.sep)
	if err := checkName(wire); err != nil {
		return "", n.unfit(name, strings.TrimPrefix(err.Error(), "its name "))
	}
	return wire, nil
}

// belowInbox adds to a refusal to create a mailbox what may be the reason
// where the server tells no prefix and has mailboxes below INBOX only. The
// prefix is not guessed: were it to change with what is listed, every mailbox
// would seem to be renamed.
func (n *names) belowInbox(name mail.MailboxName, err error) error {
	if !n.untold || n.sep == "" || name.Within(mail.Inbox) || !refusedByServer(err) {
		return err
	}
	switch codeOf(err) {
	case "", goimap.ResponseCodeCannot, goimap.ResponseCodeNoPerm, goimap.ResponseCodeNonExistent, goimap.ResponseCodeTryCreate:
	default:
		return err
	}
	for other := range n.toWire {
		if other != mail.Inbox && !other.Within(mail.Inbox) {
			return err
		}
	}
	return mail.NewFault(mail.GradeMailbox, mail.ClassServer, err,
		fmt.Sprintf("the server may take mailboxes below INBOX only: rename it to %q", mail.NewMailboxName(string(mail.Inbox), string(name))))
}

func (n *names) unfit(name mail.MailboxName, why string) error {
	return mail.NewFault(mail.GradeMailbox, mail.ClassServer,
		fmt.Errorf("the name %q %s", name, why), "rename the mailbox")
}
