package migrate

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// Where several mailboxes of the origin go to one of the target, the messages of
// all but the first bear the number of their part before the server's Ref, and
// epoch and cursor are those of all parts together. If one of them changes its
// epoch, or a part comes or goes, the mailbox has another epoch, and is matched
// anew.

// A mark is where one part stands.
type mark struct {
	Part   int         `json:"part"`
	Epoch  string      `json:"epoch"`
	Cursor plan.Cursor `json:"cursor"`
	Count  int         `json:"count"`
}

// ref is what a message of a part is called in the mailbox of all parts.
func (p part) ref(ref mail.Ref) mail.Ref {
	if p.no == 0 {
		return ref
	}
	return mail.Ref(strconv.Itoa(p.no)) + ":" + ref
}

// partOf takes apart what ref made.
func partOf(ref mail.Ref) (no int, own mail.Ref) {
	head, tail, ok := strings.Cut(string(ref), ":")
	if no, err := strconv.Atoi(head); ok && err == nil {
		return no, mail.Ref(tail)
	}
	return 0, ref
}

// divide sorts refs by the parts that they belong to, as the server calls them.
func (o *origin) divide(box mail.BoxID, refs []mail.Ref) [][]mail.Ref {
	parts := o.parts[box]
	out := make([][]mail.Ref, len(parts))
	if whole(parts) {
		out[0] = refs
		return out
	}
	for _, ref := range refs {
		no, own := partOf(ref)
		for i, p := range parts {
			if p.no == no {
				out[i] = append(out[i], own)
			}
		}
	}
	return out
}

func epochOf(marks []mark) string {
	var words []string
	for _, m := range marks {
		if m.Epoch == "" {
			return ""
		}
		words = append(words, strconv.Itoa(m.Part)+":"+m.Epoch)
	}
	return strings.Join(words, "+")
}

func cursorOf(marks []mark) plan.Cursor {
	for _, m := range marks {
		if m.Cursor == "" {
			return ""
		}
	}
	text, err := json.Marshal(marks)
	if err != nil { // it has nothing that cannot be marshalled
		return ""
	}
	return plan.Cursor(text)
}

// split gives what each part is told of the time since.
func split(since plan.Since, parts []part) []plan.Since {
	if whole(parts) {
		return []plan.Since{since}
	}
	out := make([]plan.Since, len(parts))
	var marks []mark
	if json.Unmarshal([]byte(since.Cursor), &marks) != nil || epochOf(marks) != since.Epoch {
		return out
	}
	for i, p := range parts {
		for _, m := range marks {
			if m.Part == p.no {
				out[i] = plan.Since{Cursor: m.Cursor, Epoch: m.Epoch, Known: max(m.Count, 0), Compare: since.Compare}
			}
		}
	}
	return out
}
