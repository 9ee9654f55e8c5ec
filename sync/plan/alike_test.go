package plan

import (
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

// A program that parses a message and writes it again changes white space in
// the header. Its copies are joined by their headers; a copy that lost a part
// of its body, or of its header, is another message.
func TestHeadersThatDifferInWhiteSpaceAreAlike(t *testing.T) {
	const server = "Message-ID:\r\n <1@example.org>\r\nSubject: one\r\nX-Empty:\r\n\r\nbody\r\n"
	const twin = "Message-ID:\r\n <1@example.org>\r\nSubject: one\r\nX-Empty:\r\nX-More: two\r\n\r\nbody 2\r\n"
	rewritten := func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "ID:\r\n", "ID: \r\n"), "Empty:\r\n", "Empty: \r\n")
	}
	for name, c := range map[string]struct {
		local, remote []string
		want          string
		level         mail.Level // the highest that the server is asked for
	}{
		"rewritten":             {[]string{rewritten(server)}, []string{server}, "bind adopted", mail.LevelHeader},
		"rewritten twins":       {[]string{rewritten(server), rewritten(twin)}, []string{server, twin}, "bind adopted; bind adopted", mail.LevelHeader},
		"one of two rewritten":  {[]string{rewritten(server), twin}, []string{server, twin}, "bind adopted; bind adopted", mail.LevelHeader},
		"cut short":             {[]string{strings.TrimSuffix(rewritten(server), "dy\r\n")}, []string{server}, "gain L A r0; gain R A l0", mail.LevelBody},
		"another field":         {[]string{strings.Replace(server, "X-Empty:", "X-Empty: no", 1)}, []string{server}, "gain L A r0; gain R A l0", mail.LevelBody},
		"two that are the same": {[]string{rewritten(server), rewritten(server)}, []string{server}, "gain L A r0; gain R A l0; gain R A l1", mail.LevelHeader},
	} {
		t.Run(name, func(t *testing.T) {
			got, level := reconcileTexts(t, c.local, c.remote)
			if want := splitWant(c.want); !slices.Equal(got, want) || level != c.level {
				t.Errorf("got %q, the server asked for level %d\nwant %q, level %d", got, level, want, c.level)
			}
		})
	}
}

// reconcileTexts reconciles messages that are new on each side, answering
// what is asked, and tells the highest level that the server was asked for.
func reconcileTexts(t *testing.T, local, remote []string) (got []string, level mail.Level) {
	t.Helper()
	in := parse(t, row{})
	in.Policy = Mirror()
	full := map[Place]mail.Identity{}
	for s, texts := range [2][]string{local, remote} {
		for i, text := range texts {
			at := Place{Box: in.Boxes[0].ID, Ref: mail.Ref([2]string{"l", "r"}[s] + string(rune('0'+i)))}
			full[at], _ = mail.Identify(strings.NewReader(text))
			in.Changes = append(in.Changes, Change{Side: Side(s), Kind: KindNew, At: at})
		}
	}
	for range 5 {
		p := Reconcile(in)
		if len(p.Asks) == 0 {
			for _, b := range p.Binds {
				got = append(got, "bind "+b.Why)
			}
			for _, g := range p.Gains {
				got = append(got, "gain "+strings.ToUpper(g.To.String()[:1])+" A "+string(g.From.Ref))
			}
			slices.Sort(got)
			return got, level
		}
		for _, a := range p.Asks {
			for i := range in.Changes {
				c := &in.Changes[i]
				if c.Side != a.Side || c.At != a.At {
					continue
				}
				c.Learn(full[c.At]) // a disk gives all at once
				if c.Side == Remote {
					c.Learn(upTo(full[c.At], a.Level))
					level = max(level, a.Level)
				}
			}
		}
	}
	t.Fatal("the asking does not end")
	return nil, 0
}
