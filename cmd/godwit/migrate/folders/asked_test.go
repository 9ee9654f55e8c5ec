package folders

import (
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

func TestParseRename(t *testing.T) {
	for text, want := range map[string]Rename{
		"Old=New": {"Old", "New"}, "a/b=c": {"a/b", "c"}, "/a/=/b//c/": {"a", "b/c"}, "a/*=b/*": {"a", "b"}, "a/*=b": {"a", "b"},
		`x\=y=z=1`: {"x=y", "z=1"}, "inbox=Inbox/Sub": {"INBOX", "INBOX/Sub"}, "*=x": {"*", "x"},
	} {
		if got, err := ParseRename(text); err != nil || got != want {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "a", "=b", "a=", "/=b", "a=/", "a=\xff", `a\=b`} {
		if got, err := ParseRename(text); err == nil || !strings.Contains(err.Error(), "OLD=NEW") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestParseExpression(t *testing.T) {
	for _, c := range []struct {
		text, name string
		want       mail.MailboxName
	}{
		{"s/a/b/", "aa", "ba"},
		{"s/a/b/g", "aa", "bb"},
		{"s/A/b/gi", "aa", "bb"},
		{`s,^Old/(.+)$,$1_old,`, "Old/x", "x_old"},
		{`s|(.)(?P<second>.)|${second}\1|`, "ab", "ba"},
		{`s/\//\\/`, "a/b", `a\b`},
		{`s/x\.y/z/`, "xay", "xay"},
		{`s/^/INBOX\//`, "x", "INBOX/x"},
		{`s#.*#inbox#`, "x", "INBOX"},
		{`s/b/$0$$\0/`, "abc", "ab$bc"},
		{"s/x//", "x/y", "y"},
	} {
		e, err := ParseExpression(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got, _ := e.apply(mail.MailboxName(c.name)); got != c.want {
			t.Errorf("%q of %q: %q, want %q", c.text, c.name, got, c.want)
		}
	}
	for text, why := range map[string]string{
		"": "s/PATTERN/REPLACEMENT/", "s": "no substitution", "a=b": "no substitution", "s/a/b": `three '/'`, "s/a/b/c/": "three", "s/a/b/x": `'x'`,
		"s/(/b/": "missing closing", "s/a/$1/": "no group 1", `s/(a)/\2/`: "no group 2", "s/a/${no}/": "no group no", "sxaxbx": "no substitution",
		"tr,a,b,": "no substitution",
	} {
		if _, err := ParseExpression(text); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %q", text, err, why)
		}
	}
}

func TestRecognise(t *testing.T) {
	for _, c := range []struct {
		greeting string
		caps     []string
		want     Server
	}{
		{"* OK [CAPABILITY IMAP4rev1] Dovecot (Debian) ready.", nil, Dovecot},
		{"* OK host Cyrus IMAP 3.6.1 server ready", nil, Cyrus},
		{"* OK [CAPABILITY IMAP4rev1 UIDPLUS] Courier-IMAP ready. Copyright", nil, Courier},
		{"* OK The Microsoft Exchange IMAP4 service is ready. [QQ==]", nil, Exchange},
		{"* OK Gimap ready for requests", nil, Gmail},
		{"* OK ready", []string{"IMAP4rev1", "X-GM-EXT-1"}, Gmail},
		{"* OK mail.example.org Zimbra IMAP4rev1 server ready", nil, Zimbra},
		{"* OK ready", []string{"IMAP4rev1"}, Unknown},
	} {
		if got := Recognise(c.greeting, c.caps); got != c.want {
			t.Errorf("%q: %q, want %q", c.greeting, got, c.want)
		}
	}
}

func TestFolderTells(t *testing.T) {
	in := Input{Origin: boxes(`Gesendet \Sent`, "v1.0", "Off", "Same"), Target: boxes(`Sent \Sent`), Rules: RulesOf(Courier), Options: Options{Scope: some{"Gesendet", "v1.0", "Same"}}}
	p := Map(in)
	want := []string{
		`"Gesendet" -> "Sent" (special-use attribute)`, `"Off" is left out: not selected`, `"Same" -> "Same"`,
		`"v1.0" -> "v1．0" (same name; "v1.0" became "v1．0": the target does not take such characters)`,
	}
	for i, f := range p.Folders {
		if f.String() != want[i] {
			t.Errorf("got %s\nwant %s", f, want[i])
		}
	}
	if target, ok := p.Target("Gesendet"); target != "Sent" || !ok {
		t.Errorf("Gesendet has %q", target)
	}
	if target, ok := p.Target("Off"); ok {
		t.Errorf("Off has %q", target)
	}
}
