package folders

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/godwit-mail/godwit/mail"
)

// Check tells what is wrong with a name that is to be created; nil if the
// target takes it.
func (r Rules) Check(name mail.MailboxName) error {
	if name == mail.Inbox {
		return nil
	}
	levels := name.Levels()
	for i, level := range levels {
		if err := r.checkLevel(level); err != nil {
			return fmt.Errorf("%q: %w", level, err)
		}
		if i == 0 && r.reservedTop(level, len(levels)) {
			return fmt.Errorf("%q: reserved", level)
		}
		if i == 1 && r.inboxAgain(levels) {
			return errors.New("INBOX below INBOX")
		}
	}
	switch {
	case mail.NewMailboxName(levels...) != name:
		return errors.New("INBOX in another case")
	case r.MaxDepth > 0 && len(levels) > r.MaxDepth:
		return errors.New("too deep")
	case r.size(name) > r.MaxName:
		return errors.New("too long")
	}
	return nil
}

func (r Rules) checkLevel(level string) error {
	raw := mail.UnescapeLevel(level)
	switch {
	case raw == "":
		return errors.New("empty")
	case mail.EscapeLevel(raw) != level:
		return errors.New("cannot be translated there and back")
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, r.refuses):
		return errors.New("a character is refused")
	case startsWith(raw, r.RefusedFirst):
		return errors.New("its first character is refused")
	case r.Trims && strings.TrimSpace(raw) != raw, r.Squeezes && strings.Contains(raw, "  "):
		return errors.New("spaces")
	case r.reservedLevel(raw):
		return errors.New("reserved")
	case len(mail.EncodeUTF7(raw)) > r.MaxLevel:
		return errors.New("too long")
	}
	return nil
}

// refuses tells whether no level may have the character.
func (r Rules) refuses(c rune) bool {
	return unicode.IsControl(c) || c == utf8.RuneError || strings.ContainsRune(r.Refused, c) ||
		r.Separator != "" && strings.ContainsRune(r.Separator, c)
}

// reservedLevel: "." and ".." mean something else wherever levels are directories.
func (r Rules) reservedLevel(raw string) bool {
	return raw == "." || raw == ".." || hasFold(r.ReservedLevels, raw)
}

func startsWith(text, any string) bool {
	c, _ := utf8.DecodeRuneInString(text)
	return text != "" && strings.ContainsRune(any, c)
}

// safe is a character that separates nothing.
func (r Rules) safe() string {
	if r.Separator == "_" {
		return "-"
	}
	return "_"
}

// reservedTop tells whether the first of some levels is kept by the server.
func (r Rules) reservedTop(level string, levels int) bool {
	return hasFold(r.ReservedTop, level) || hasFold(r.ReservedTrees, level) ||
		strings.EqualFold(level, string(mail.Inbox)) && (levels == 1 || r.belowInbox())
}

// inboxAgain: a second INBOX right below INBOX is told from it by few servers.
func (r Rules) inboxAgain(levels []string) bool {
	return len(levels) > 1 && strings.EqualFold(levels[0], string(mail.Inbox)) && strings.EqualFold(levels[1], string(mail.Inbox))
}

func hasFold(list []string, word string) bool {
	return slices.ContainsFunc(list, func(w string) bool { return strings.EqualFold(w, word) })
}

// size is the length of a name as it is sent, or, if that is more, as godwit
// holds it.
func (r Rules) size(name mail.MailboxName) int {
	raw := 0
	for i, level := range name.Levels() {
		if i > 0 {
			raw += len(r.Separator)
		}
		plain := mail.UnescapeLevel(level)
		raw += max(len(mail.EncodeUTF7(plain)), len(plain))
	}
	return len(r.Prefix) + raw
}

// key is the same for names that the target takes for one.
func (r Rules) key(name mail.MailboxName) string {
	if !r.Folds {
		return string(name)
	}
	return strings.ToLower(strings.ToUpper(norm.NFC.String(string(name))))
}

// A fitter adapts names to the rules and notes what it did.
type fitter struct {
	rules   Rules
	replace string
	changes []Change
}

func (f *fitter) note(kind Kind, from, to string) {
	if from != to {
		f.changes = append(f.changes, Change{Kind: kind, From: from, To: to})
	}
}

// below puts a level below a parent that is fit already ("" is the top).
func (f *fitter) below(parent mail.MailboxName, level string) mail.MailboxName {
	r := &f.rules
	if parent == mail.Inbox && r.belowInbox() {
		f.note(Tree, join(parent, level), level)
		parent = ""
	}
	level = f.level(level)
	whole := join(parent, level)
	for parent != "" && f.tooFar(parent) {
		level, parent = parent.Base()+r.safe()+level, parent.Parent()
	}
	f.note(Depth, whole, join(parent, level))
	if parent == "" && r.reservedTop(level, 1) || r.reservedLevel(mail.UnescapeLevel(level)) || parent == mail.Inbox && strings.EqualFold(level, string(mail.Inbox)) {
		f.note(Reserved, level, level+r.safe())
		level += r.safe()
	}
	short := f.shorten(parent, level, "")
	f.note(Length, level, short)
	return join1(parent, short)
}

// tooFar tells whether nothing fits below parent any more.
func (f *fitter) tooFar(parent mail.MailboxName) bool {
	r := &f.rules
	return r.MaxDepth > 0 && strings.Count(string(parent), "/")+2 > r.MaxDepth ||
		r.size(parent)+len(r.Separator)+leastLevel > r.MaxName
}

// level replaces what the target refuses in one level.
func (f *fitter) level(level string) string {
	raw := mail.UnescapeLevel(level)
	var b strings.Builder
	for i := 0; i < len(raw); {
		c, size := utf8.DecodeRuneInString(raw[i:])
		if f.rules.refuses(c) {
			b.WriteString(f.standIn(c))
		} else {
			b.WriteRune(c)
		}
		i += size
	}
	plain := b.String()
	f.note(Character, raw, plain)
	trimmed := plain
	for f.rules.Squeezes && strings.Contains(trimmed, "  ") {
		trimmed = strings.ReplaceAll(trimmed, "  ", " ")
	}
	if f.rules.Trims {
		trimmed = strings.TrimSpace(trimmed)
	}
	if trimmed == "" {
		trimmed = f.rules.safe()
	}
	f.note(Space, plain, trimmed)
	if first, size := utf8.DecodeRuneInString(trimmed); startsWith(trimmed, f.rules.RefusedFirst) {
		rest := trimmed[size:]
		stand := f.standIn(first)
		if startsWith(stand, f.rules.RefusedFirst) || strings.TrimSpace(stand) != stand {
			stand = f.rules.safe()
		}
		f.note(Character, trimmed, stand+rest)
		trimmed = stand + rest
	}
	escaped := mail.EscapeLevel(trimmed)
	if mail.UnescapeLevel(escaped) != trimmed {
		// A slash beside a mark that means a slash: either can be told, not both.
		escaped = strings.NewReplacer("/", f.rules.safe(), mail.SlashInLevel, f.rules.safe()).Replace(trimmed)
		f.note(Character, trimmed, escaped)
	}
	return escaped
}

// standIn is what stands for a character that is refused. The full-width forms
// (U+FF01 to U+FF5E) look like the characters, and tell them: nobody uses them
// in names beside the plain ones.
func (f *fitter) standIn(c rune) string {
	if f.replace != "" && !strings.ContainsFunc(f.replace, f.rules.refuses) {
		return f.replace
	}
	if wide := c + 0xFEE0; c > ' ' && c < 0x7f && !f.rules.refuses(wide) {
		return string(wide)
	}
	return f.rules.safe()
}

// shorten cuts a level so that it fits below parent with an ending. What is
// cut is told by a digest, so that two names with one beginning stay two,
// whatever else there is.
func (f *fitter) shorten(parent mail.MailboxName, level, ending string) string {
	fits := func(text string) bool {
		return len(mail.EncodeUTF7(mail.UnescapeLevel(text))) <= f.rules.MaxLevel && f.rules.size(join1(parent, text)) <= f.rules.MaxName
	}
	if fits(level + ending) {
		return level + ending
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(level)) // never fails
	mark := fmt.Sprintf("%s%08x", f.rules.safe(), h.Sum32())
	runes := []rune(mail.UnescapeLevel(level))
	for n := len(runes) - 1; n >= 0; n-- {
		if n > 0 && unicode.Is(unicode.Mn, runes[n]) {
			continue // not between a letter and its accent
		}
		text := mail.EscapeLevel(strings.TrimRight(string(runes[:n]), " ")) + mark + ending
		if fits(text) {
			return text
		}
	}
	return mark + ending
}

// join1 is join as a name.
func join1(parent mail.MailboxName, level string) mail.MailboxName {
	return mail.MailboxName(join(parent, level))
}

func join(parent mail.MailboxName, level string) string {
	if parent == "" {
		return level
	}
	return string(parent) + "/" + level
}

// wide is a level without ASCII punctuation: the full-width forms in its place.
func (r Rules) wide(level string) string {
	return strings.Map(func(c rune) rune {
		if c > ' ' && c < 0x7f && c != '-' && c != '_' && !unicode.IsLetter(c) && !unicode.IsDigit(c) && !r.refuses(c+0xFEE0) {
			return c + 0xFEE0
		}
		return c
	}, strings.TrimSpace(level))
}

// plain is a level that any server takes: ASCII letters, digits and one more.
func (r Rules) plain(level string) string {
	var b strings.Builder
	for _, c := range norm.NFKD.String(mail.UnescapeLevel(level)) {
		switch {
		case c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c)):
			b.WriteRune(c)
		case unicode.Is(unicode.Mn, c):
		default:
			b.WriteString(r.safe())
		}
	}
	if strings.Trim(b.String(), r.safe()) == "" {
		h := fnv.New32a()
		_, _ = h.Write([]byte(level)) // never fails
		return fmt.Sprintf("folder%s%08x", r.safe(), h.Sum32())
	}
	return b.String()
}
