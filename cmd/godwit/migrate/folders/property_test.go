package folders

import (
	"encoding/json"
	"maps"
	"math/rand"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

// pieces make names that get in each other's way.
var pieces = []string{
	"INBOX", "Inbox", "a", "A", "b", "a.b", "a∕b", "a∕\ufe00b", "∕\ufe00", " a", "a ", "a  b", "é", "e\u0301", "É", "Sent", "sent", "Sent Items", "Gesendet",
	"Trash", "[Gmail]", "[Google Mail]", "Calendar", "cur", ".", "..", "~", "~x", "%*", "x^\"\\", "\x01", "\xff", "a (2)", "A (2)", "a (3)", "日本語",
	strings.Repeat("é", 40), strings.Repeat("x", 300), strings.Repeat("x", 299) + "y", "_", "-", "＾", "calendar_", "Sent (2)",
}

var allRoles = []mail.Role{
	mail.RoleNone, mail.RoleNone, mail.RoleNone, mail.RoleAll, mail.RoleArchive, mail.RoleDrafts, mail.RoleFlagged, mail.RoleImportant,
	mail.RoleJunk, mail.RoleSent, mail.RoleSent, mail.RoleTrash,
}

var servers = []Server{Unknown, Courier, Cyrus, Dovecot, Exchange, Gmail, Zimbra}

func anyName(t *rapid.T) mail.MailboxName {
	levels := rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 4).Draw(t, "levels")
	return mail.NewMailboxName(levels...)
}

// anyBoxes is what a server may list: names are distinct.
func anyBoxes(t *rapid.T, most int) []Box {
	seen := map[mail.MailboxName]bool{}
	var out []Box
	for range rapid.IntRange(0, most).Draw(t, "boxes") {
		b := Box{Name: anyName(t), Role: rapid.SampledFrom(allRoles).Draw(t, "role"), Container: rapid.IntRange(0, 9).Draw(t, "container") == 0}
		if b.Name == mail.Inbox {
			b.Role, b.Container = mail.RoleNone, false
		}
		if !seen[b.Name] {
			seen[b.Name], out = true, append(out, b)
		}
	}
	return out
}

func anyInput(t *rapid.T) Input {
	in := Input{Origin: anyBoxes(t, 14), OriginServer: rapid.SampledFrom(servers).Draw(t, "from")}
	in.Rules = RulesOf(rapid.SampledFrom(servers).Draw(t, "to"))
	if rapid.Bool().Draw(t, "told") {
		in.Rules = in.Rules.Told(rapid.SampledFrom([]string{"", "INBOX.", "mail/", "INBOX/"}).Draw(t, "prefix"), rapid.SampledFrom([]string{"", "/", ".", "_", "\\"}).Draw(t, "separator"))
	}
	if rapid.Bool().Draw(t, "narrow") {
		in.Rules.MaxDepth, in.Rules.MaxLevel, in.Rules.MaxName = rapid.IntRange(0, 3).Draw(t, "depth"), rapid.IntRange(0, 40).Draw(t, "level"), rapid.IntRange(0, 260).Draw(t, "name")
	}
	for _, b := range anyBoxes(t, 8) {
		// What the target lists, it takes.
		if in.Rules.settled(nil).Check(b.Name) == nil || hasFold(gmailTrees, string(b.Name.Parent())) {
			in.Target = append(in.Target, b)
		}
	}
	o := &in.Options
	o.NoAutomap, o.Merge = rapid.Bool().Draw(t, "no automap"), rapid.IntRange(0, 4).Draw(t, "merge") == 0
	o.Replace = rapid.SampledFrom([]string{"", "_", "%", "/", "~", "\x01"}).Draw(t, "replace")
	for range rapid.IntRange(0, 2).Draw(t, "maps") {
		o.Maps = append(o.Maps, Rename{From: anyName(t), To: anyName(t)})
	}
	if rapid.IntRange(0, 3).Draw(t, "expr") == 0 {
		e, err := ParseExpression(rapid.SampledFrom([]string{"s/a/b/g", `s/^([^\/]*)$/$1\/$1/`, "s/.*/INBOX/", "s/.+//", `s/$/\x00/`}).Draw(t, "text"))
		if err != nil {
			t.Fatal(err)
		}
		o.Exprs = append(o.Exprs, e)
	}
	if rapid.IntRange(0, 5).Draw(t, "sub") == 0 {
		o.Subfolder = anyName(t)
	}
	for range rapid.IntRange(0, 3).Draw(t, "refused") {
		in.Refused = append(in.Refused, anyName(t))
	}
	if rapid.Bool().Draw(t, "remember") {
		in.Used = map[mail.MailboxName]Used{}
		for _, b := range append(slices.Clone(in.Origin), in.Target...) {
			if len(in.Target) > 0 && rapid.IntRange(0, 3).Draw(t, "use it") == 0 {
				in.Used[b.Name] = Used{Target: rapid.SampledFrom(in.Target).Draw(t, "used").Name}
			}
		}
	}
	return in
}

// invariants are what the package promises of every plan.
func invariants(t interface{ Fatalf(string, ...any) }, in Input, p Plan) {
	rules := in.Rules.settled(in.Target)
	there := map[mail.MailboxName]Box{}
	for _, b := range in.Target {
		there[b.Name] = b
	}
	var got, want []Box
	sharers := map[string][]mail.MailboxName{}
	for _, f := range p.Folders {
		got = append(got, f.Origin)
		if (f.Target == "") != (f.Left != "") {
			t.Fatalf("%+v: neither a target nor a reason", f)
		}
		if f.Target == "" {
			continue
		}
		box, exists := there[f.Target]
		exists = exists && !box.Container || f.Target == mail.Inbox
		if f.Create == exists {
			t.Fatalf("%v: to be created: %v", f, f.Create)
		}
		if err := rules.Check(f.Target); err != nil && !exists {
			t.Fatalf("%v: %v", f, err)
		}
		if f.Origin.Name == mail.Inbox && f.Asked == "" && f.Target != mail.Inbox {
			t.Fatalf("INBOX goes to %q", f.Target)
		}
		if f.Use != "" && !f.Create {
			t.Fatalf("%v: a use without creation", f)
		}
		sharers[rules.key(f.Target)] = append(sharers[rules.key(f.Target)], f.Origin.Name)
	}
	want = append(want, in.Origin...)
	if got, want := sorted(got), sorted(want); !slices.Equal(got, want) {
		t.Fatalf("folders for %v, want %v", got, want)
	}
	for _, f := range p.Folders {
		if f.Target == "" {
			continue
		}
		all := append(slices.Clone(f.Merges), f.Origin.Name)
		slices.Sort(all)
		here := sharers[rules.key(f.Target)]
		slices.Sort(here)
		if !slices.Equal(all, here) {
			t.Fatalf("%v: told to share with %q, shares with %q", f, f.Merges, here)
		}
	}
}

// mergesAreMeant checks that mailboxes share a target for a reason that the
// package names.
func mergesAreMeant(t *rapid.T, in Input, p Plan) {
	if in.Options.Merge || in.Used != nil {
		return
	}
	byName := map[mail.MailboxName]Folder{}
	for _, f := range p.Folders {
		byName[f.Origin.Name] = f
	}
	for _, f := range p.Folders {
		meant := f.Why == ByMap || len(f.Merges) == 0 || f.Target == mail.Inbox && (f.Origin.Name == mail.Inbox || slices.Contains(f.Merges, mail.Inbox))
		for _, other := range f.Merges {
			o := byName[other]
			meant = meant || o.Why == ByMap || f.Origin.Role != mail.RoleNone && f.Origin.Role == o.Origin.Role
		}
		if !meant {
			t.Fatalf("%v shares with %v", f, f.Merges)
		}
	}
}

func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		before, _ := json.Marshal(in)
		p := Map(in)
		if after, _ := json.Marshal(in); string(before) != string(after) {
			t.Fatal("the input was changed")
		}
		invariants(t, in, p)
		mergesAreMeant(t, in, p)

		// The order in which the servers list their mailboxes does not matter.
		other := in
		other.Origin, other.Target = slices.Clone(in.Origin), slices.Clone(in.Target)
		r := rand.New(rand.NewSource(1))
		r.Shuffle(len(other.Origin), func(i, j int) { other.Origin[i], other.Origin[j] = other.Origin[j], other.Origin[i] })
		r.Shuffle(len(other.Target), func(i, j int) { other.Target[i], other.Target[j] = other.Target[j], other.Target[i] })
		if q := Map(other); !reflect.DeepEqual(p, q) {
			t.Fatalf("in another order:\n%v\n%v", p, q)
		}
	})
}

// carriedOut is the input of the next run, when some of what a plan asks for
// has been created and all of it is remembered.
func carriedOut(in Input, p Plan, created func(Folder) bool) Input {
	next := in
	next.Used = map[mail.MailboxName]Used{}
	maps.Copy(next.Used, in.Used)
	next.Target = slices.Clone(in.Target)
	seen := map[mail.MailboxName]bool{}
	for _, f := range p.Folders {
		if f.Target == "" {
			continue
		}
		next.Used[f.Origin.Name] = Used{Target: f.Target, Asked: f.Asked}
		if f.Create && !seen[f.Target] && created(f) {
			seen[f.Target] = true
			next.Target = append(slices.DeleteFunc(next.Target, func(b Box) bool { return b.Name == f.Target }), Box{Name: f.Target, Role: f.Use})
		}
	}
	return next
}

func targets(p Plan) map[mail.MailboxName]mail.MailboxName {
	out := map[mail.MailboxName]mail.MailboxName{}
	for _, f := range p.Folders {
		out[f.Origin.Name] = f.Target
	}
	return out
}

func TestASecondRunChoosesTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := anyInput(t)
		p := Map(in)
		next := carriedOut(in, p, func(Folder) bool { return true })
		q := Map(next)
		invariants(t, next, q)
		if !reflect.DeepEqual(targets(p), targets(q)) {
			t.Fatalf("first %v\nthen %v", p.Folders, q.Folders)
		}
		for _, f := range q.Folders {
			if f.Create || f.Was != "" {
				t.Fatalf("%v is to be created again, or was %q", f, f.Was)
			}
		}
		// A mailbox that appears later takes no name from the others.
		next = carriedOut(next, q, func(Folder) bool { return true })
		late := Box{Name: anyName(t)}
		if _, known := targets(q)[late.Name]; known {
			return
		}
		next.Origin = append(slices.Clone(next.Origin), late)
		then := targets(Map(next))
		delete(then, late.Name)
		if !reflect.DeepEqual(targets(q), then) {
			t.Fatalf("with %q: first %v\nthen %v", late.Name, targets(q), then)
		}
	})
}

func FuzzMap(f *testing.F) {
	f.Add("INBOX\nINBOX/a\na.b\n[Gmail]/x", "Inbox\nA", "a=b", "s/a/b/", "sub", byte(3))
	f.Add("x\x00\n\xff\n//\n/", "", "\\==", `s,(.),\1$1x,g`, "INBOX", byte(200))
	f.Fuzz(func(t *testing.T, origin, target, move, expr, sub string, kind byte) {
		in := Input{Rules: RulesOf(servers[int(kind)%len(servers)]), OriginServer: servers[int(kind/16)%len(servers)]}
		if kind >= 128 {
			in.Rules = in.Rules.Told("INBOX.", ".")
		}
		for i, name := range strings.Split(origin, "\n") {
			in.Origin = append(in.Origin, Box{Name: mail.MailboxName(name), Role: allRoles[(i+int(kind))%len(allRoles)]})
		}
		for i, name := range strings.Split(target, "\n") {
			if n := mail.MailboxName(name); in.Rules.settled(nil).Check(n) == nil && !slices.ContainsFunc(in.Target, func(b Box) bool { return b.Name == n }) {
				in.Target = append(in.Target, Box{Name: n, Role: allRoles[(i*3+int(kind))%len(allRoles)]})
			}
		}
		if r, err := ParseRename(move); err == nil {
			in.Options.Maps = append(in.Options.Maps, r)
		}
		if e, err := ParseExpression(expr); err == nil {
			in.Options.Exprs = append(in.Options.Exprs, e)
		}
		if wellFormed(mail.MailboxName(sub)) == nil {
			in.Options.Subfolder = mail.MailboxName(sub)
		}
		invariants(t, in, Map(in))
	})
}
