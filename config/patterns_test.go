package config

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

func TestPatterns(t *testing.T) {
	tests := []struct {
		patterns []string
		in, out  []mail.MailboxName
	}{
		{[]string{"*"}, []mail.MailboxName{"INBOX", "Work/Deep", "é"}, nil},
		{[]string{"%"}, []mail.MailboxName{"INBOX", "Work"}, []mail.MailboxName{"Work/Deep"}},
		{[]string{"Work"}, []mail.MailboxName{"Work"}, []mail.MailboxName{"work", "Work/Deep", "Workx", "INBOX"}},
		{[]string{"Work/%"}, []mail.MailboxName{"Work/Deep"}, []mail.MailboxName{"Work", "Work/Deep/Er"}},
		{[]string{"Work/*"}, []mail.MailboxName{"Work/Deep", "Work/Deep/Er"}, []mail.MailboxName{"Work"}},
		{[]string{"*/Er"}, []mail.MailboxName{"Work/Er", "Work/Deep/Er"}, []mail.MailboxName{"Er"}},
		{[]string{"%/Er"}, []mail.MailboxName{"Work/Er"}, []mail.MailboxName{"Work/Deep/Er"}},
		{[]string{"inbox"}, []mail.MailboxName{"INBOX"}, []mail.MailboxName{"INBOX/Sub", "INBOXES"}},
		{[]string{"InBox/*"}, []mail.MailboxName{"INBOX/Sub"}, []mail.MailboxName{"INBOX", "INBOX/"}[:1]},
		{[]string{"inb*"}, []mail.MailboxName{"INBOX", "INBOX/Sub"}, []mail.MailboxName{"INBOXES"}},
		{[]string{"!Spam"}, []mail.MailboxName{"INBOX", "Spam/Sub"}, []mail.MailboxName{"Spam"}},
		{[]string{"*", "!Archive/*", "Archive/2026"}, []mail.MailboxName{"Archive", "Archive/2026"}, []mail.MailboxName{"Archive/2025"}},
		{[]string{"Archive/2026", "!Archive/*"}, nil, []mail.MailboxName{"Archive/2026", "INBOX"}},
		{nil, nil, []mail.MailboxName{"INBOX", ""}},
	}
	for _, tt := range tests {
		p, err := ParsePatterns(tt.patterns)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range tt.in {
			if !p.Match(n) {
				t.Errorf("%q must match %q", tt.patterns, n)
			}
		}
		for _, n := range tt.out {
			if p.Match(n) {
				t.Errorf("%q must not match %q", tt.patterns, n)
			}
		}
	}
}

func TestInScopeWantsViewsNamed(t *testing.T) {
	const allMail = mail.MailboxName("[Gmail]/All Mail")
	all, _ := ParsePatterns([]string{"*"})
	named, _ := ParsePatterns([]string{"*", string(allMail)})
	unnamed, _ := ParsePatterns([]string{string(allMail), "!*All*"})
	for _, role := range []mail.Role{mail.RoleAll, mail.RoleFlagged, mail.RoleImportant} {
		if all.InScope(allMail, role) || !named.InScope(allMail, role) || unnamed.InScope(allMail, role) {
			t.Errorf("%s must be named to be in scope", role)
		}
	}
	if !all.InScope("Sent", mail.RoleSent) {
		t.Error("other roles need no naming")
	}
}

// plainMatch is the definition, without regard to speed.
func plainMatch(pat, name string) bool {
	switch {
	case pat == "":
		return name == ""
	case pat[0] == '*' || pat[0] == '%':
		for i := 0; i <= len(name); i++ {
			if plainMatch(pat[1:], name[i:]) {
				return true
			}
			if i < len(name) && pat[0] == '%' && name[i] == '/' {
				return false
			}
		}
		return false
	}
	return name != "" && pat[0] == name[0] && plainMatch(pat[1:], name[1:])
}

func TestWildcardsMatchAsDefined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pat := rapid.StringOfN(rapid.RuneFrom([]rune("ab/*%")), 0, 9, -1).Draw(t, "pattern")
		name := rapid.StringOfN(rapid.RuneFrom([]rune("aab/")), 0, 12, -1).Draw(t, "name")
		if got, want := wildcardMatch(pat, name), plainMatch(pat, name); got != want {
			t.Fatalf("%q against %q: %v, want %v", pat, name, got, want)
		}
	})
}

// A backup takes in the mailbox that shows all messages: some are in no other.
func TestInArchive(t *testing.T) {
	p, err := ParsePatterns([]string{"*", "!Spam"})
	if err != nil {
		t.Fatal(err)
	}
	a := &Account{Folders: p}
	for name, role := range map[mail.MailboxName]mail.Role{"All Mail": mail.RoleAll, "Work": mail.RoleNone} {
		if !a.InArchive(name, role) {
			t.Errorf("%s is left out", name)
		}
	}
	for name, role := range map[mail.MailboxName]mail.Role{"Starred": mail.RoleFlagged, "Important": mail.RoleImportant, "Spam": mail.RoleAll} {
		if a.InArchive(name, role) {
			t.Errorf("%s is taken in", name)
		}
	}
}
