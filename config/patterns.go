package config

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// Patterns says which mailboxes an account takes in. `*` stands for any
// characters, "/" included, `%` for any but "/"; case matters except for
// INBOX; `!X` excludes what X matches; the last pattern that matches decides;
// what none matches is excluded; a list that starts with an exclusion begins
// with `*`. The zero value matches nothing.
type Patterns struct {
	list []pattern
}

type pattern struct {
	text    string // as matched, without the "!"
	exclude bool
	literal bool // no wildcard: it names one mailbox
}

// Everything matches every mailbox.
func Everything() Patterns {
	return Patterns{list: []pattern{{text: "*"}}}
}

// ParsePatterns reads a list of patterns. The error names the one that is bad.
func ParsePatterns(list []string) (Patterns, error) {
	var p Patterns
	for i, text := range list {
		one, err := parsePattern(text)
		if err != nil {
			return Patterns{}, &patternError{index: i, err: err}
		}
		if i == 0 && one.exclude {
			p.list = append(p.list, pattern{text: "*"})
		}
		p.list = append(p.list, one)
	}
	return p, nil
}

// patternError says which pattern of a list is bad.
type patternError struct {
	index int
	err   error
}

func (e *patternError) Error() string { return e.err.Error() }
func (e *patternError) Unwrap() error { return e.err }

func parsePattern(text string) (pattern, error) {
	name, exclude := strings.CutPrefix(text, "!")
	p := pattern{text: name, exclude: exclude, literal: !strings.ContainsAny(name, "*%")}
	switch {
	case name == "" && exclude:
		return p, errors.New(`"!" excludes nothing: write the mailbox after it`)
	case name == "":
		return p, errors.New("the pattern is empty: remove it, or write the mailbox that it means")
	case !utf8.ValidString(name):
		return p, errors.New("the pattern is not valid UTF-8")
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return p, fmt.Errorf("pattern %q has a control character in it", text)
	case strings.HasPrefix(name, "/") || strings.HasSuffix(name, "/") || strings.Contains(name, "//"):
		return p, fmt.Errorf("pattern %q has an empty level: write names like Work/Deep, without a slash at either end", text)
	case strings.HasPrefix(name, "!"):
		return p, fmt.Errorf("pattern %q excludes twice: one \"!\" is enough", text)
	}
	return p, nil
}

// Match tells whether the mailbox is taken in.
func (p Patterns) Match(name mail.MailboxName) bool {
	one, ok := p.decisive(name)
	return ok && !one.exclude
}

// Names tells whether the mailbox is taken in by a pattern that names it and
// no other: one without wildcards. Mailboxes that show the mail of others
// over again are taken in only so.
func (p Patterns) Names(name mail.MailboxName) bool {
	one, ok := p.decisive(name)
	return ok && !one.exclude && one.literal
}

// InScope is Match, but for the mailboxes in which a server shows what lies
// elsewhere too (\All, \Flagged and RFC 8457's \Important): these must be named.
func (p Patterns) InScope(name mail.MailboxName, role mail.Role) bool {
	switch role {
	case mail.RoleAll, mail.RoleFlagged, mail.RoleImportant:
		return p.Names(name)
	}
	return p.Match(name)
}

// String lists the patterns as they act, separated by spaces.
func (p Patterns) String() string {
	words := make([]string, len(p.list))
	for i, one := range p.list {
		words[i] = one.text
		if one.exclude {
			words[i] = "!" + one.text
		}
	}
	return strings.Join(words, " ")
}

func (p Patterns) decisive(name mail.MailboxName) (pattern, bool) {
	for i := len(p.list) - 1; i >= 0; i-- {
		if wildcardMatch(p.list[i].text, string(name)) {
			return p.list[i], true
		}
	}
	return pattern{}, false
}

// wildcardMatch matches the whole of name. It remembers the latest `*` and the
// latest `%` only: a `%` after a `*` is given up for the `*` when it meets a
// "/", so the work is at most quadratic in the name for each `%`.
func wildcardMatch(pat, name string) bool {
	fold := inboxBytes(name)
	p, n := 0, 0
	star, starAt := -1, 0
	cent, centAt := -1, 0
	for n < len(name) || p < len(pat) {
		switch {
		case p < len(pat) && pat[p] == '*':
			star, starAt, cent = p, n, -1
			p++
			continue
		case p < len(pat) && pat[p] == '%':
			cent, centAt = p, n
			p++
			continue
		case p < len(pat) && n < len(name) && sameByte(pat[p], name[n], n < fold):
			p, n = p+1, n+1
			continue
		}
		// A dead end: let the latest wildcard take one byte more.
		switch {
		case cent >= 0 && centAt < len(name) && name[centAt] != '/':
			centAt++
			p, n = cent+1, centAt
		case star >= 0 && starAt < len(name):
			starAt++
			p, n, cent = star+1, starAt, -1
		default:
			return false
		}
	}
	return true
}

// inboxBytes is how many leading bytes of name are compared without regard to
// case: those of INBOX (RFC 9051, section 5.1).
func inboxBytes(name string) int {
	n := len(mail.Inbox)
	if len(name) >= n && strings.EqualFold(name[:n], string(mail.Inbox)) && (len(name) == n || name[n] == '/') {
		return n
	}
	return 0
}

func sameByte(a, b byte, fold bool) bool {
	if fold {
		a, b = upper(a), upper(b)
	}
	return a == b
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}
