package folders

import (
	"fmt"
	"strings"

	"github.com/godwit-mail/godwit/mail"
)

// String tells in one line where the mailbox goes, and why if its name alone
// does not say it.
func (f Folder) String() string {
	if f.Target == "" {
		return fmt.Sprintf("%q is left out: %s", f.Origin.Name, f.Left)
	}
	var why []string
	if f.Why != ByName || f.Target != f.Origin.Name {
		why = append(why, string(f.Why))
	}
	for _, c := range f.Changes {
		why = append(why, c.String())
	}
	if len(f.Merges) > 0 {
		why = append(why, "together with "+quoted(f.Merges))
	}
	text := fmt.Sprintf("%q -> %q", f.Origin.Name, f.Target)
	if len(why) > 0 {
		text += " (" + strings.Join(why, "; ") + ")"
	}
	return text
}

// String tells what was changed and why.
func (c Change) String() string {
	var why string
	switch c.Kind {
	case Character:
		why = "the target does not take such characters"
	case Space:
		why = "the target does not take spaces there"
	case Reserved:
		why = "the target keeps this name for itself"
	case Length:
		why = "too long for the target"
	case Depth:
		why = "too deep for the target"
	case Collision:
		why = "the name is taken"
	case Spelling:
		why = "the target spells it so"
	case Tree:
		why = "the target has no such tree"
	case Refusal:
		why = "the target refused the name"
	}
	return fmt.Sprintf("%q became %q: %s", c.From, c.To, why)
}

func quoted(names []mail.MailboxName) string {
	words := make([]string, len(names))
	for i, n := range names {
		words[i] = fmt.Sprintf("%q", n)
	}
	return strings.Join(words, ", ")
}
