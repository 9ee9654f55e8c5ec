package sidetest

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Message is a message as a test compares it.
type Message struct {
	Ref   mail.Ref
	Body  []byte
	Flags mail.FlagSet
	Date  time.Time
	// Ident is the identity of Body; it is computed where it is zero.
	Ident mail.Identity
}

// A Snapshot is all mail of an account, by mailbox. Containers are left out.
type Snapshot map[mail.MailboxName][]Message

// Snapshot copies what is there now.
func (m *Memory) Snapshot() Snapshot {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := make(Snapshot, len(m.boxes))
	for _, b := range m.boxes {
		if b.container {
			continue
		}
		list := make([]Message, 0, len(b.msgs))
		for _, msg := range b.msgs {
			list = append(list, Message{msg.ref, msg.text.raw, msg.flags, msg.date, msg.text.ident})
		}
		s[b.name] = list
	}
	return s
}

// Messages counts the messages of all mailboxes.
func (s Snapshot) Messages() int {
	n := 0
	for _, list := range s {
		n += len(list)
	}
	return n
}

// Without leaves out some mailboxes.
func (s Snapshot) Without(names ...mail.MailboxName) Snapshot {
	out := make(Snapshot, len(s))
	for name, list := range s {
		if !slices.Contains(names, name) {
			out[name] = list
		}
	}
	return out
}

// Compare tells how b differs from a, as lines for a person; "" if it does
// not. Mailboxes are compared by name, messages as multisets of identity (the
// bytes with every line end as CRLF), flags, and date to the second. Refs
// are not compared.
func Compare(a, b Snapshot) string {
	var out strings.Builder
	for _, name := range boxNames(a, b) {
		la, ina := a[name]
		lb, inb := b[name]
		switch {
		case !inb:
			fmt.Fprintf(&out, "%s: missing in the second (%d messages)\n", name, len(la))
		case !ina:
			fmt.Fprintf(&out, "%s: missing in the first (%d messages)\n", name, len(lb))
		default:
			compareBox(&out, name, la, lb)
		}
	}
	return out.String()
}

func boxNames(snaps ...Snapshot) []mail.MailboxName {
	var names []mail.MailboxName
	for _, s := range snaps {
		for name := range s {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func compareBox(out *strings.Builder, name mail.MailboxName, a, b []Message) {
	la, lb := describe(a), describe(b)
	for len(la) > 0 || len(lb) > 0 {
		switch {
		case len(lb) == 0 || len(la) > 0 && la[0] < lb[0]:
			fmt.Fprintf(out, "%s: only in the first: %s\n", name, la[0])
			la = la[1:]
		case len(la) == 0 || lb[0] < la[0]:
			fmt.Fprintf(out, "%s: only in the second: %s\n", name, lb[0])
			lb = lb[1:]
		default:
			la, lb = la[1:], lb[1:]
		}
	}
}

// describe gives one line a message, equal for messages that are equal, sorted.
func describe(list []Message) []string {
	out := make([]string, 0, len(list))
	for _, msg := range list {
		if msg.Ident.Body.IsZero() {
			msg.Ident = newText(msg.Body).ident
		}
		out = append(out, fmt.Sprintf("%.16s %q [%s] %s", msg.Ident.Body, subject(msg.Body),
			strings.ToLower(msg.Flags.String()), msg.Date.UTC().Format(time.RFC3339)))
	}
	slices.Sort(out)
	return out
}

// subject is what a person knows a message by: its Subject, or its first line.
func subject(body []byte) string {
	start := string(Canonical(body[:min(len(body), 2000)]))
	first, _, _ := strings.Cut(start, "\r\n")
	for line := range strings.Lines(start) {
		if value, ok := strings.CutPrefix(line, "Subject: "); ok {
			first = strings.TrimSpace(value)
			break
		}
	}
	return first[:min(len(first), 40)]
}
