package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

// The table below is written in a small language, so that a row reads as a
// sentence: what the index knew, what each side did, what is decided.
//
//	base     "A1=1 \Seen": mailbox A on the local side with Ref 1, on the
//	         remote side with Ref 1, flags on both
//	changes  "L-A1" gone from A1 on the local side; "L+B2:m" new message m at
//	         B2; "RfA1 \Seen" flags are now \Seen
//	want     one word a decision: "gain R A m", "move R A1 B", "flag L A1 +\Seen",
//	         "lose R A1", "bind …", "drop", "hold reason", "keep"
type row struct {
	name    string
	modes   string // the modes the row covers: mirror pull push
	base    string
	changes string
	want    string
}

var table = []row{
	{"nothing happened", "mirror pull push", "A1", "", ""},
	{"new on the server", "mirror pull", "", "R+A1:m", "gain L A m"},
	{"new on the server is not pulled", "push", "", "R+A1:m", "keep R"},
	{"new in the maildir", "mirror push", "", "L+A1:m", "gain R A m"},
	{"new in the maildir stays there", "pull", "", "L+A1:m", "keep L"},
	{"new on both sides, the same", "mirror pull push", "", "L+A1:m R+A7:m", "bind adopted"},
	{"new on both sides, two messages", "mirror", "", "L+A1:m R+A7:n", "gain L A n; gain R A m"},
	{"two and one of the same", "mirror", "", "L+A1:m L+A2:m R+A7:m", "bind adopted; gain R A m"},
	{"the same in two mailboxes is two messages", "mirror", "", "L+A1:m R+B7:m", "gain L B m; gain R A m"},
	{"adopted with other flags: union", "mirror", "", `L+A1:m:\Seen R+A7:m:\Flagged`, `bind adopted; flag L A1 +\Flagged; flag R A7 +\Seen`},
	{"adopted, one side has it marked deleted", "mirror", "", `L+A1:m:\Deleted R+A7:m`, "bind adopted"},
	{"adopted in pull mode", "pull", "", `L+A1:m:\Seen R+A7:m:\Flagged`, `bind adopted; flag L A1 +\Flagged`},

	{"flag set in the maildir", "mirror push", "A1", `LfA1 \Seen`, `flag R A1 +\Seen`},
	{"flag set in the maildir stays there", "pull", "A1", `LfA1 \Seen`, "bind"},
	{"flag set on the server", "mirror pull", "A1", `RfA1 \Seen`, `flag L A1 +\Seen`},
	{"the same flag on both", "mirror pull push", "A1", `LfA1 \Seen RfA1 \Seen`, "bind"},
	{"different flags on both", "mirror", `A1 \Draft`, `LfA1 \Draft,\Seen RfA1 \Flagged`, `flag L A1 +\Flagged -\Draft; flag R A1 +\Seen`},
	{"a flag taken away", "mirror", `A1 \Seen`, `RfA1`, `flag L A1 -\Seen`},

	{"gone from the maildir", "mirror push", "A1", "L-A1", "lose R A1"},
	{"gone from the maildir is kept on the server", "pull", "A1", "L-A1", "keep R"},
	{"gone from the server", "mirror pull", "A1", "R-A1", "lose L A1"},
	{"gone from both", "mirror pull push", "A1", "L-A1 R-A1", "drop"},
	{"deletion beats a flag", "mirror", "A1", `L-A1 RfA1 \Seen`, "lose R A1"},

	{"moved in the maildir", "mirror push", "A1=1", "L-A1 L+B1:A1", "move R A1 B"},
	{"moved in the maildir stays a local matter", "pull", "A1", "L-A1 L+B1:A1", "bind"},
	{"moved on the server", "mirror pull", "A1", "R-A1 R+B5:A1", "move L A1 B"},
	{"moved to one place on both", "mirror", "A1", "L-A1 L+B1:A1 R-A1 R+B5:A1", "bind moved on both sides"},
	{"moved to two places", "mirror", "A1", "L-A1 L+B1:A1 R-A1 R+C5:A1", "move L B1 C"},
	{"moved here, deleted there", "mirror", "A1", "L-A1 L+B1:A1 R-A1", "gain R B A1"},
	{"moved there, deleted here", "mirror", "A1", "R-A1 R+B5:A1 L-A1", "gain L B A1"},
	{"moved here and flagged there", "mirror", "A1", `L-A1 L+B1:A1 RfA1 \Seen`, `flag L B1 +\Seen; move R A1 B`},
	{"renamed in place by a mail program", "mirror", "A1", "L-A1 L+A2:A1", "bind"},
	{"copied: the copy is a new message", "mirror", "A1", "L+B2:A1", "gain R B A1"},
	{"moved and copied", "mirror", "A1", "L-A1 L+B2:A1 L+C3:A1", "move R A1 B; gain R C A1"},
	{"edited in place: another message", "mirror", "A1", "L-A1 L+A1:n", "bind; lose R A1; gain R A n"},
}

func TestTable(t *testing.T) {
	policies := map[string]Policy{"mirror": Mirror(), "pull": Pull(), "push": Push()}
	for _, r := range table {
		for _, mode := range strings.Fields(r.modes) {
			t.Run(r.name+"/"+mode, func(t *testing.T) {
				in := parse(t, r)
				in.Policy = policies[mode]
				got := describePlan(Reconcile(in))
				want := splitWant(r.want)
				if !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		}
	}
}

func splitWant(s string) []string {
	var out []string
	for _, w := range strings.Split(s, ";") {
		if w = strings.TrimSpace(w); w != "" {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}

func boxOf(letter byte) mail.BoxID { return mail.BoxID(letter-'A') + 1 }

func place(s string) Place { return Place{Box: boxOf(s[0]), Ref: mail.Ref(s[1:])} }

func placeText(p Place) string { return fmt.Sprintf("%c%s", 'A'+byte(p.Box)-1, p.Ref) }

func boxText(b mail.BoxID) string { return string(rune('A' + byte(b) - 1)) }

// identity makes a whole identity of a word.
func identity(word string) mail.Identity {
	id, _ := mail.Identify(strings.NewReader("Subject: " + word + "\r\n\r\n" + word + "\r\n"))
	return id
}

func flagList(s string) mail.FlagSet { return mail.ParseFlagSet(strings.ReplaceAll(s, ",", " ")) }

func threeBoxes() []BoxPair {
	var boxes []BoxPair
	for c := byte('A'); c <= 'C'; c++ {
		name := mail.MailboxName(string(c))
		boxes = append(boxes, BoxPair{
			ID: boxOf(c), Name: [2]mail.MailboxName{name, name},
			View: [2]View{Complete, Complete}, There: [2]bool{true, true},
		})
	}
	return boxes
}

func parse(t *testing.T, r row) Input {
	t.Helper()
	in := Input{Boxes: threeBoxes()}
	ids := map[string]int64{}
	for i, b := range strings.Split(r.base, ";") {
		if b = strings.TrimSpace(b); b == "" {
			continue
		}
		at, flags, _ := strings.Cut(b, " ")
		at, _, _ = strings.Cut(at, "=")
		fs := flagList(flags)
		id := identity(at)
		ids[at] = int64(i) + 1
		in.Rows = append(in.Rows, Row{
			ID: int64(i) + 1, At: [2]Place{place(at), place(at)}, Epoch: [2]string{"1", "1"},
			Flags: [2]mail.FlagSet{fs, fs}, Ident: [2]mail.Identity{id, id}, State: Paired,
		})
	}
	words := strings.Fields(r.changes)
	for i := 0; i < len(words); i++ {
		w := words[i]
		c := Change{Side: Local, Epoch: "1"}
		if w[0] == 'R' {
			c.Side = Remote
		}
		switch w[1] {
		case '-':
			c.Kind, c.At, c.Row = KindGone, place(w[2:]), ids[w[2:]]
		case '+':
			parts := strings.SplitN(w[2:], ":", 3)
			c.Kind, c.At = KindNew, place(parts[0])
			c.Learn(identity(parts[1]))
			if len(parts) == 3 {
				c.Flags = flagList(parts[2])
			}
		case 'f':
			c.Kind, c.At, c.Row = KindFlags, place(w[2:]), ids[w[2:]]
			if i+1 < len(words) && words[i+1][0] == '\\' {
				i++
				c.Flags = flagList(words[i])
			}
		default:
			t.Fatalf("not a change: %q", w)
		}
		in.Changes = append(in.Changes, c)
	}
	return in
}

var words = func() map[mail.Digest]string {
	m := map[mail.Digest]string{}
	for _, w := range []string{"m", "n", "A1", "A2", "B1", "C1"} {
		m[identity(w).Body] = w
	}
	return m
}()

func describePlan(p Plan) []string {
	side := map[Side]string{Local: "L", Remote: "R"}
	var out []string
	for _, b := range p.Binds {
		switch {
		case b.Row.State == Kept && b.Row.At[Local].IsZero():
			out = append(out, "keep R")
		case b.Row.State == Kept:
			out = append(out, "keep L")
		default:
			out = append(out, strings.TrimSpace("bind "+b.Why))
		}
	}
	for range p.Drops {
		out = append(out, "drop")
	}
	for _, g := range p.Gains {
		out = append(out, fmt.Sprintf("gain %s %s %s", side[g.To], boxText(g.Box), words[g.Ident().Body]))
	}
	for _, f := range p.Flags {
		text := fmt.Sprintf("flag %s %s", side[f.Side], placeText(f.At))
		for _, a := range f.Add.Flags() {
			text += " +" + string(a)
		}
		for _, a := range f.Remove.Flags() {
			text += " -" + string(a)
		}
		out = append(out, text)
	}
	for _, m := range p.Moves {
		out = append(out, fmt.Sprintf("move %s %s %s", side[m.Side], placeText(m.From), boxText(m.To)))
	}
	for _, l := range p.Losses {
		out = append(out, fmt.Sprintf("lose %s %s", side[l.Side], placeText(l.At)))
	}
	for _, h := range p.Holds {
		out = append(out, "hold "+string(h.Why))
	}
	for _, a := range p.Asks {
		out = append(out, fmt.Sprintf("ask %s %s %d", side[a.Side], placeText(a.At), a.Level))
	}
	slices.Sort(out)
	return out
}

func TestAnIncompleteViewHoldsEveryLossOfThatSide(t *testing.T) {
	in := parse(t, row{base: "A1", changes: "L-A1"})
	in.Policy = Mirror()
	for _, view := range []View{Unseen, Partial} {
		for i := range in.Boxes { // also one that has nothing to do with it
			in.Boxes[i].View[Local] = view
			if got := describePlan(Reconcile(in)); !slices.Equal(got, []string{"hold incomplete"}) {
				t.Errorf("mailbox %s seen as %d: got %q", boxText(in.Boxes[i].ID), view, got)
			}
			in.Boxes[i].View[Local] = Complete
		}
	}
}

func TestAsksRiseUntilTheMessageIsKnown(t *testing.T) {
	// Two drafts with one header; only their bodies differ.
	twin := func(body string) mail.Identity {
		id, _ := mail.Identify(strings.NewReader("Subject: draft\r\n\r\n" + body))
		return id
	}
	in := parse(t, row{changes: `L+A1:m:\Draft R+A7:m:\Draft`})
	in.Policy = Mirror()
	full := [2]mail.Identity{twin("one"), twin("two")}
	for i := range in.Changes {
		in.Changes[i].Learn(mail.Identity{})
	}
	var levels []mail.Level
	for range 5 {
		p := Reconcile(in)
		if len(p.Asks) == 0 {
			break
		}
		levels = append(levels, p.Asks[0].Level)
		for _, a := range p.Asks {
			for i := range in.Changes {
				if c := &in.Changes[i]; c.Side == a.Side && c.At == a.At {
					c.Learn(upTo(full[a.Side], a.Level))
				}
			}
		}
	}
	if !slices.Equal(levels, []mail.Level{mail.LevelLight, mail.LevelBody}) {
		t.Errorf("asked for levels %v", levels)
	}
	if got := Reconcile(in); len(got.Gains) != 2 {
		t.Errorf("two drafts with different bodies are not two messages: %q", describePlan(got))
	}
}

func upTo(id mail.Identity, l mail.Level) mail.Identity {
	if l < mail.LevelBody {
		id.Body, id.Wire = mail.Digest{}, mail.Digest{}
	}
	if l < mail.LevelHeader {
		id.Header, id.Folded, id.HeaderSize = mail.Digest{}, mail.Digest{}, 0
	}
	return id
}

func TestRightsAreDeclinedNotRetried(t *testing.T) {
	for changes, want := range map[string]string{
		"L+A9:m":       "keep L",
		"L-A1":         "keep R",
		`LfA1 \Seen`:   "bind",
		"L-A1 L+B1:A1": "bind",
		"R-A1 R+B1:A1": "move L A1 B",
		"R-A1":         "lose L A1",
		`RfA1 \Seen`:   `flag L A1 +\Seen`,
	} {
		in := parse(t, row{base: "A1", changes: changes})
		in.Policy = Mirror()
		in.Boxes[0].Rights[Remote] = ReadOnly
		if got := describePlan(Reconcile(in)); !slices.Equal(got, splitWant(want)) {
			t.Errorf("%s: got %q, want %q", changes, got, want)
		}
	}
}
