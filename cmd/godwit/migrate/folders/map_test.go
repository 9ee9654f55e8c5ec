package folders

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

// boxes reads a list of mailboxes: "Name", `Name \Sent`, "Name -" for a container.
func boxes(list ...string) []Box {
	var out []Box
	for _, text := range list {
		b := Box{Name: mail.MailboxName(text)}
		if name, role, ok := strings.Cut(text, ` \`); ok {
			b.Name, b.Role = mail.MailboxName(name), mail.Role(`\`+role)
		} else if name, ok := strings.CutSuffix(text, " -"); ok {
			b.Name, b.Container = mail.MailboxName(name), true
		}
		out = append(out, b)
	}
	return out
}

// some is a Scope of names.
type some []mail.MailboxName

func (s some) Match(n mail.MailboxName) bool { return slices.Contains(s, n) }
func (s some) Names(n mail.MailboxName) bool { return slices.Contains(s, n) }

func rename(t *testing.T, text string) Rename {
	t.Helper()
	r, err := ParseRename(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func expression(t *testing.T, text string) Expression {
	t.Helper()
	e, err := ParseExpression(text)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// brief writes a folder as the tables do: "Old > New", with "+" where it is
// created, its use then, and "= why" for one left out.
func brief(f Folder) string {
	if f.Target == "" {
		return fmt.Sprintf("%s = %s", f.Origin.Name, f.Left)
	}
	text := fmt.Sprintf("%s > %s", f.Origin.Name, f.Target)
	if f.Create {
		text += " +" + string(f.Use)
	}
	return text
}

func briefly(p Plan) []string {
	var lines []string
	for _, f := range p.Folders {
		lines = append(lines, brief(f))
	}
	return lines
}

func TestMap(t *testing.T) {
	for _, c := range []struct {
		name           string
		origin, target []Box
		from, to       Server
		options        Options
		maps, exprs    []string
		used           map[mail.MailboxName]Used
		refused        []mail.MailboxName
		want           []string
		notes          []NoteKind
	}{
		{
			name:   "names stay, INBOX goes first",
			origin: boxes("A", "Work", "Work/Deep", "INBOX"), target: boxes("INBOX", "Work"), to: Dovecot,
			want: []string{"INBOX > INBOX", "A > A +", "Work > Work", "Work/Deep > Work/Deep +"},
		},
		{
			name:   "by attribute on both sides",
			origin: boxes("INBOX", `Gesendet \Sent`, `Papierkorb \Trash`, `Entwürfe \Drafts`), target: boxes("INBOX", `Sent Items \Sent`, `Deleted Items \Trash`, `Drafts \Drafts`), to: Exchange,
			want: []string{"INBOX > INBOX", "Entwürfe > Drafts", "Gesendet > Sent Items", "Papierkorb > Deleted Items"},
		},
		{
			name:   "by name on either side",
			origin: boxes("Éléments envoyés", `Corbeille \Trash`, "ENTWUERFE"), target: boxes(`Sent \Sent`, "Deleted Messages", "Brouillons"), to: Dovecot,
			want: []string{"Corbeille > Deleted Messages", "ENTWUERFE > Brouillons", "Éléments envoyés > Sent"},
		},
		{
			name:   "the parent's mailboxes follow",
			origin: boxes(`Gesendet \Sent`, "Gesendet/2019", "Gesendet/2019/Mai"), target: boxes(`Sent \Sent`), to: Dovecot,
			want: []string{"Gesendet > Sent", "Gesendet/2019 > Sent/2019 +", "Gesendet/2019/Mai > Sent/2019/Mai +"},
		},
		{
			name:   "created with its use, once",
			origin: boxes(`Gesendet \Sent`, `Sent Messages \Sent`, "Spam"), to: Dovecot,
			want: []string{`Gesendet > Gesendet +\Sent`, "Sent Messages > Sent Messages +", `Spam > Spam +\Junk`},
		},
		{
			name:   "two candidates at the origin",
			origin: boxes("Sent", "Sent Items", "Sent Messages"), target: boxes(`Gesendet \Sent`), to: Dovecot,
			want: []string{"Sent > Sent +", "Sent Items > Sent Items +", "Sent Messages > Sent Messages +"}, notes: []NoteKind{TwoAtOrigin},
		},
		{
			name:   "two candidates at the target",
			origin: boxes(`Gesendet \Sent`), target: boxes(`Sent \Sent`, `Sent Messages \Sent`), to: Dovecot,
			want: []string{"Gesendet > Gesendet +"}, notes: []NoteKind{TwoAtTarget},
		},
		{
			name:   "two for one use on both sides meet by name",
			origin: boxes(`Sent \Sent`, `Sent Messages \Sent`), target: boxes(`Sent \Sent`, `Sent Messages \Sent`), to: Dovecot,
			want: []string{"Sent > Sent", "Sent Messages > Sent Messages"},
		},
		{
			name:   "two for one use share the one target",
			origin: boxes(`Sent \Sent`, `Sent Messages \Sent`), target: boxes(`Sent Items \Sent`), to: Exchange,
			want: []string{"Sent > Sent Items", "Sent Messages > Sent Items"},
		},
		{
			name:   "the same name beats a well-known one",
			origin: boxes("Sent Items"), target: boxes(`Sent \Sent`, "Sent Items"), to: Dovecot,
			want: []string{"Sent Items > Sent Items"},
		},
		{
			name:   "an attribute on both sides beats the same name, and says so",
			origin: boxes(`Gesendet \Sent`), target: boxes(`Sent \Sent`, "Gesendet"), to: Dovecot,
			want: []string{"Gesendet > Sent"}, notes: []NoteKind{SameNameToo},
		},
		{
			name:   "a mailbox in the way of one matched by use gets a number",
			origin: boxes(`Gesendet \Sent`, "Sent"), target: boxes(`Sent \Sent`), to: Dovecot,
			want: []string{"Gesendet > Sent", "Sent > Sent (2) +"},
		},
		{
			name:   "--automap off",
			origin: boxes(`Gesendet \Sent`), target: boxes(`Sent \Sent`), to: Dovecot, options: Options{NoAutomap: true},
			want: []string{"Gesendet > Gesendet +"},
		},
		{
			name:   "--map, trees follow, the longest decides",
			origin: boxes("INBOX", "Work", "Work/A", "Work/B/C", "Workshop"), to: Dovecot, maps: []string{"Work=Job/Old", "Work/B=Else", "INBOX=Eingang"},
			want: []string{"INBOX > Eingang +", "Work > Job/Old +", "Work/A > Job/Old/A +", "Work/B/C > Else/C +", "Workshop > Workshop +"},
		},
		{
			name:   "--map merges, and what fits nothing is told",
			origin: boxes("A", "B", "C"), target: boxes("C"), to: Dovecot, maps: []string{"A=C", "B/*=C/*", "Nowhere=D"},
			want: []string{"A > C", "B > C", "C > C"}, notes: []NoteKind{UnusedMap},
		},
		{
			name:   "--map-regex changes names one by one and never merges",
			origin: boxes("Old.A", "Old.B", "X", "x/Sub"), to: Cyrus, exprs: []string{`s/^Old\.(.)/Arch\/$1/`, "s/X/arch\\/A/", "s,none,,"},
			want: []string{"Old.A > Arch/A +", "Old.B > Arch/B +", "X > arch/A +", "x/Sub > x/Sub +"}, notes: []NoteKind{UnusedExpr},
		},
		{
			name:   "--subfolder",
			origin: boxes("INBOX", "INBOX/Sub", `Sent \Sent`), target: boxes(`Gesendet \Sent`), to: Dovecot, options: Options{Subfolder: "old account/x"},
			want: []string{"INBOX > old account/x/INBOX +", "INBOX/Sub > old account/x/INBOX/Sub +", `Sent > old account/x/Sent +`},
		},
		{
			name:   "what is left out",
			origin: boxes("A -", "A/B", "No", `Stars \Flagged`, `Imp \Important`, `All \All`), to: Dovecot, options: Options{Scope: some{"A/B", `All`, "Imp"}},
			want: []string{"A = holds no mail", "A/B > A/B +", "Imp > Imp +", "No = not selected", "Stars = not selected", "All > All +"},
		},
		{
			name:   "Courier: dots, all below INBOX",
			origin: boxes("INBOX", "INBOX/Sub", "v1.0", "a∕b", "Work/v1.0"), to: Courier,
			want: []string{"INBOX > INBOX", "INBOX/Sub > Sub +", "Work/v1.0 > Work/v1．0 +", "a∕b > a／b +", "v1.0 > v1．0 +"},
		},
		{
			name:   "case and normalisation on a target that folds",
			origin: boxes("Café", "Cafe\u0301", "WORK", "Work", "Work/x", "work", "work/x", "Work (2)"), target: boxes("work"), to: Exchange,
			want: []string{
				"Cafe\u0301 > Cafe\u0301 +", "Café > Café (2) +", "WORK > work", "Work > Work (3) +", "Work (2) > Work (2) +", "Work/x > Work (3)/x +",
				"work > work (4) +", "work/x > work (4)/x +",
			},
		},
		{
			name:   "a target that tells case apart",
			origin: boxes("Work", "work"), target: boxes("A", "a"),
			want: []string{"Work > Work +", "work > work +"},
		},
		{
			name:   "from Gmail",
			origin: boxes("INBOX", "[Gmail] -", `[Gmail]/All Mail \All`, `[Gmail]/Sent Mail \Sent`, `[Gmail]/Spam \Junk`, `[Gmail]/Starred \Flagged`, "Label/x"), target: boxes("INBOX", `Sent \Sent`), from: Gmail, to: Dovecot,
			want: []string{
				"INBOX > INBOX", "Label/x > Label/x +", "[Gmail] = holds no mail", "[Gmail]/Sent Mail > Sent", `[Gmail]/Spam > Spam +\Junk`,
				"[Gmail]/Starred = shows mail of other mailboxes", "[Gmail]/All Mail > All Mail +",
			},
		},
		{
			name:   "from Gmail to Gmail, in another language",
			origin: boxes("[Gmail] -", `[Gmail]/Alle Nachrichten \All`, `[Gmail]/Gesendet \Sent`), target: boxes("[Gmail] -", `[Gmail]/All Mail \All`, `[Gmail]/Sent Mail \Sent`), from: Gmail, to: Gmail,
			want: []string{"[Gmail] = holds no mail", "[Gmail]/Gesendet > [Gmail]/Sent Mail", "[Gmail]/Alle Nachrichten > [Gmail]/All Mail"},
		},
		{
			name:   "to Gmail: its own tree and names, spaces, ^",
			origin: boxes("INBOX", `Sent \Sent`, "[Gmail]/Old", "Starred", " a  b ", "x^y", "[Google Mail]/Gesendet"), target: boxes("INBOX", "[Gmail] -", `[Gmail]/Starred \Flagged`, `[Gmail]/Sent Mail \Sent`, `[Gmail]/Bin \Trash`), to: Gmail,
			want: []string{"INBOX > INBOX", " a  b  > a b +", "Sent > [Gmail]/Sent Mail", "Starred > Starred_ +", "[Gmail]/Old > Old +", "[Google Mail]/Gesendet > Gesendet +", "x^y > x＾y +"},
		},
		{
			name:   "Exchange's own folders",
			origin: boxes("Calendar", "calendar/2019", "Work/Calendar"), to: Exchange,
			want: []string{"Calendar > Calendar_ +", "Work/Calendar > Work/Calendar +", "calendar/2019 > Calendar_/2019 +"},
		},
		{
			name:   "a view at the target is not written to",
			origin: boxes("All", "Other"), target: boxes(`All \All`), to: Dovecot,
			want: []string{"All > All (2) +", "Other > Other +"},
		},
		{
			name:   "what was used stays, unless the user asks for something else",
			origin: boxes("A", "B", "C", `D \Sent`), target: boxes("X", "Y", `Sent \Sent`), to: Dovecot, maps: []string{"B=Z"},
			used: map[mail.MailboxName]Used{"A": {Target: "X"}, "B": {Target: "Y", Asked: "Q"}, "C": {Target: "Gone"}, "D": {Target: "Y"}},
			want: []string{"A > X", "B > Z +", "C > C +", "D > Y"},
		},
		{
			name:   "names that were refused",
			origin: boxes("Été & hiver", "日本", "a/b!", "x/y"), to: Dovecot, refused: []mail.MailboxName{"Été & hiver", "Été ＆ hiver", "日本", "a/b!", "a/b_", "x/y"},
			want: []string{"a/b! > a/b！ +", "x/y > x_y +", "Été & hiver > Ete___hiver +", "日本 > folder_9f26ee51 +"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := Input{Origin: c.origin, Target: c.target, OriginServer: c.from, Rules: RulesOf(c.to), Options: c.options, Used: c.used, Refused: c.refused}
			for _, text := range c.maps {
				in.Options.Maps = append(in.Options.Maps, rename(t, text))
			}
			for _, text := range c.exprs {
				in.Options.Exprs = append(in.Options.Exprs, expression(t, text))
			}
			p := Map(in)
			if got := briefly(p); !slices.Equal(got, c.want) {
				t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			var kinds []NoteKind
			for _, n := range p.Notes {
				kinds = append(kinds, n.Kind)
			}
			if !slices.Equal(kinds, c.notes) {
				t.Errorf("notes %v, want kinds %q", p.Notes, c.notes)
			}
		})
	}
}
