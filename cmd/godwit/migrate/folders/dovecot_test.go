package folders_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/migrate/folders"
	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// oddNames are those that servers differ about.
var oddNames = []mail.MailboxName{
	"INBOX", "INBOX/Sub", "INBOX/INBOX", "Work", "work", "Work/v1.0", "a∕b", "~", "~root/x", ".hidden", "..", "./x", "cur", "Work/new", "tmp/cur", "dbox-Mails/x", "mdbox", "50% *",
	" spaces ", "a  b", "x^y", "\"quoted\\\"", "tab\there", "&", "Entwürfe & mehr", "日本語/日本語", "e\u0301", "é", "[Gmail]/Sent Mail", "(1)", "#news", "{x}", "!", "-", "_",
	mail.MailboxName(strings.Repeat("x", 300)), mail.MailboxName(strings.Repeat("é", 200)), mail.MailboxName("deep" + strings.Repeat("/d", 30)),
	mail.MailboxName("long" + strings.Repeat("/"+strings.Repeat("n", 60), 12)), "Foo/INBOX", "Work/.", "a.b/c", "a/b/c",
}

// TestDovecotTakesWhatTheRulesAllow maps odd names and creates all of them. What
// the server keeps to itself, that its levels are one directory, is learned
// from what it refuses.
func TestDovecotTakesWhatTheRulesAllow(t *testing.T) {
	for name, c := range map[string]struct {
		tries int
		opts  []imaptest.Option
	}{
		"sdbox":                     {1, nil},
		"sdbox, dots, below INBOX":  {1, []imaptest.Option{imaptest.Separator("."), imaptest.Prefix("INBOX.")}},
		"Maildir, as directories":   {1, []imaptest.Option{imaptest.Maildir()}},
		"Maildir++, below INBOX":    {1, []imaptest.Option{imaptest.Location("maildir:~/Maildir"), imaptest.Separator("."), imaptest.Prefix("INBOX.")}},
		"Maildir++, slashes":        {5, []imaptest.Option{imaptest.Location("maildir:~/Maildir")}},
		"mdbox, without extensions": {1, []imaptest.Option{imaptest.Location("mdbox:~/mdbox"), imaptest.Bare()}},
	} {
		t.Run(name, func(t *testing.T) {
			s := imaptest.Dovecot(t, c.opts...)
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			a, err := imap.Open(ctx, imap.Options{
				Endpoint: imap.Endpoint{Host: s.Host, Port: s.Port, TLS: imap.TLSNone}, Username: "ann",
				Password: func(context.Context) (string, error) { return imaptest.Password, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if _, err := a.Survey(ctx, nil); err != nil {
				t.Fatal(err)
			}
			greeting, caps, separator, prefix := a.Server()
			in := folders.Input{Rules: folders.RulesOf(folders.Recognise(greeting, caps)).Told(prefix, separator)}
			if in.Rules.Server != folders.Dovecot {
				t.Fatalf("%q is taken for %q", greeting, in.Rules.Server)
			}
			for _, n := range oddNames {
				in.Origin = append(in.Origin, folders.Box{Name: n})
			}
			var p folders.Plan
			for try := 1; ; try++ {
				before := len(in.Refused)
				p = folders.Map(in)
				for _, f := range p.Folders {
					if !f.Create {
						continue
					}
					if _, err := a.Create(ctx, f.Target); err != nil {
						in.Refused = append(in.Refused, f.Target)
						if try == c.tries {
							t.Errorf("%v: %v", f, err)
						}
					}
				}
				if len(in.Refused) == before || try == c.tries {
					break
				}
			}
			boxes, err := a.Survey(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			there := map[mail.MailboxName]bool{}
			for _, b := range boxes {
				there[b.Name] = !b.Container
			}
			for _, f := range p.Folders {
				if !there[f.Target] {
					t.Errorf("%v is not listed", f)
				}
			}
		})
	}
}
