package folders

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// A Rename sends a mailbox, with all below it, to another name.
type Rename struct {
	From, To mail.MailboxName
}

// ParseRename reads OLD=NEW, names as godwit writes them: "/" between levels,
// without a prefix. The first "=" separates; one that belongs to OLD is written
// `\=`. OLD/*=NEW/* means the same as OLD=NEW.
func ParseRename(text string) (Rename, error) {
	at := -1
	for i := 0; i < len(text); i++ {
		if text[i] == '=' && (i == 0 || text[i-1] != '\\') {
			at = i
			break
		}
	}
	if at < 0 {
		return Rename{}, fmt.Errorf("%q has no \"=\": write OLD=NEW", text)
	}
	from, to := strings.ReplaceAll(text[:at], `\=`, "="), text[at+1:]
	if f, tree := strings.CutSuffix(from, "/*"); tree {
		from, to = f, strings.TrimSuffix(to, "/*")
	}
	r := Rename{From: canonical(from), To: canonical(to)}
	for _, n := range []mail.MailboxName{r.From, r.To} {
		if err := wellFormed(n); err != nil {
			return Rename{}, fmt.Errorf("%q: %w: write OLD=NEW, with names like Work/Deep", text, err)
		}
	}
	return r, nil
}

// apply gives the new name; false if the mailbox is not meant.
func (r Rename) apply(name mail.MailboxName) (mail.MailboxName, bool) {
	if name == r.From {
		return r.To, true
	}
	if name.Within(r.From) {
		return r.To + name[len(r.From):], true
	}
	return "", false
}

// An Expression changes names by a regular expression.
type Expression struct {
	text    string
	pattern *regexp.Regexp
	with    string
	all     bool
}

// ParseExpression reads s/PATTERN/REPLACEMENT/ with any character as the
// delimiter, and after it the letters g (every match, not only the first) and
// i (case does not matter). The pattern is in Go's syntax; $1 or \1 stands for
// the first group, $0 or \0 for the whole match.
func ParseExpression(text string) (Expression, error) {
	fail := func(why string) (Expression, error) {
		return Expression{}, fmt.Errorf("%q %s: write s/PATTERN/REPLACEMENT/", text, why)
	}
	rest, ok := strings.CutPrefix(text, "s")
	delim, size := utf8.DecodeRuneInString(rest)
	if !ok || rest == "" || delim == utf8.RuneError || delim == '\\' || unicode.IsLetter(delim) || unicode.IsDigit(delim) || unicode.IsSpace(delim) {
		return fail("is no substitution")
	}
	parts := splitAt(rest[size:], delim)
	if len(parts) != 3 {
		return fail(fmt.Sprintf("does not have three %q", delim))
	}
	e := Expression{text: text}
	flags := ""
	for _, letter := range parts[2] {
		switch letter {
		case 'g':
			e.all = true
		case 'i':
			flags = "(?i)"
		default:
			return fail(fmt.Sprintf("has the letter %q at its end, which means nothing", letter))
		}
	}
	var err error
	if e.pattern, err = regexp.Compile(flags + parts[0]); err != nil {
		return Expression{}, fmt.Errorf("%q: %w", text, err)
	}
	if e.with, err = template(parts[1], e.pattern); err != nil {
		return Expression{}, fmt.Errorf("%q: %w", text, err)
	}
	return e, nil
}

// splitAt splits at the delimiter. One after a backslash is itself.
func splitAt(s string, delim rune) []string {
	parts, escaped := []string{""}, false
	for _, c := range s {
		last := &parts[len(parts)-1]
		switch {
		case escaped && c == delim:
			*last += string(c)
		case escaped:
			*last += `\` + string(c)
		case c == delim:
			parts = append(parts, "")
		case c != '\\':
			*last += string(c)
		}
		escaped = !escaped && c == '\\'
	}
	if escaped {
		parts[len(parts)-1] += `\`
	}
	return parts
}

// group is a reference to a group in a replacement. The digits alone make the
// number, as everywhere but in Go, where "$1st" is a group named "1st".
var group = regexp.MustCompile(`\$\$|\\\\|\$\{(\w+)\}|\$(\d+|[A-Za-z]\w*)|\\(\d)`)

// template turns a replacement into Go's syntax.
func template(text string, pattern *regexp.Regexp) (string, error) {
	var bad error
	out := group.ReplaceAllStringFunc(text, func(ref string) string {
		switch ref {
		case "$$":
			return ref
		case `\\`:
			return `\`
		}
		name := strings.Trim(ref, `${}\`)
		n, err := strconv.Atoi(name)
		if err != nil {
			n = pattern.SubexpIndex(name)
		}
		if n < 0 || n > pattern.NumSubexp() {
			bad = fmt.Errorf("the pattern has no group %s", name)
		}
		return "${" + name + "}"
	})
	return out, bad
}

// apply gives the new name; false if nothing matches.
func (e Expression) apply(name mail.MailboxName) (mail.MailboxName, bool) {
	at := e.pattern.FindAllStringSubmatchIndex(string(name), -1)
	if len(at) == 0 {
		return name, false
	}
	if !e.all {
		at = at[:1]
	}
	var out []byte
	end := 0
	for _, match := range at {
		out = append(out, name[end:match[0]]...)
		out = e.pattern.ExpandString(out, e.with, string(name), match)
		end = match[1]
	}
	return canonical(string(append(out, name[end:]...))), true
}

// canonical gives a name that a person wrote its one form: no slash at an end,
// no empty level, INBOX in capitals.
func canonical(text string) mail.MailboxName {
	levels := strings.FieldsFunc(text, func(c rune) bool { return c == '/' })
	return mail.NewMailboxName(levels...)
}

func wellFormed(name mail.MailboxName) error {
	switch {
	case name == "":
		return errors.New("a name is empty")
	case !utf8.ValidString(string(name)):
		return errors.New("a name is not valid UTF-8")
	}
	return nil
}
