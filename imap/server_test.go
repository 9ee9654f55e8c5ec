package imap_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
)

// met gives an Account of a Mailstore that has surveyed.
func met(t *testing.T, m *imaptest.Mailstore) *imap.Account {
	t.Helper()
	host, port := m.Script().Listen(t)
	a := open(t, imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann", Password: secret,
	})
	if _, err := a.Survey(ctx, nil); err != nil {
		t.Fatal(err)
	}
	return a
}

func secret(context.Context) (string, error) { return "secret", nil }

func sortedNames(set map[mail.MailboxName]bool) []mail.MailboxName {
	return slices.Sorted(maps.Keys(set))
}

func TestSubscriptionsOnDovecot(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{
		"LIST (SUBSCRIBED)": {imaptest.Separator("."), imaptest.Prefix("INBOX.")},
		"LSUB":              {imaptest.Separator("."), imaptest.Prefix("INBOX."), imaptest.Capabilities("IMAP4rev1", "NAMESPACE")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts...)
			b.survey(nil)
			for _, box := range []mail.MailboxName{"Work/Entwürfe & mehr", "Off"} {
				if _, err := b.side.Create(ctx, box); err != nil {
					t.Fatal(err)
				}
			}
			if err := b.side.Subscribe(ctx, []mail.MailboxName{"Off"}, false); err != nil {
				t.Fatal(err)
			}
			b.commands()
			if err := b.side.Subscribe(ctx, []mail.MailboxName{"INBOX", "Work/Entwürfe & mehr"}, true); err != nil {
				t.Fatal(err)
			}
			got, err := b.side.Subscribed(ctx)
			if want := []mail.MailboxName{"INBOX", "Work/Entwürfe & mehr"}; err != nil || !slices.Equal(sortedNames(got), want) {
				t.Errorf("subscribed to %q, %v, want %q", sortedNames(got), err, want)
			}
			if sent := b.commands(); len(sent) != 3 || !strings.Contains(sent[2], strings.Fields(name)[0]) {
				t.Errorf("it took %q", sent)
			}
			if greeting, caps, sep, prefix := b.side.Server(); !strings.Contains(greeting, "Dovecot") || !slices.Contains(caps, "IMAP4rev1") || sep != "." || prefix != "INBOX." {
				t.Errorf("%q, %q, separator %q, prefix %q", greeting, caps, sep, prefix)
			}
		})
	}
}

func TestLSUBOfOddServers(t *testing.T) {
	m := imaptest.NewMailstore("IMAP4rev1 NAMESPACE")
	answer := "* LSUB (\\Noselect) \"/\" Parent\r\n* LSUB () \"/\" \"Parent/Child\"\r\n* LSUB () \"/\" inbox\r\n* LSUB NIL \"/\" {4}\r\nGone\r\n" +
		"* LSUB () \"/\" \"A&B\"\r\n* LSUB () \"/\" &AOQ-\r\n* LSUB ()\r\n{tag} OK done\r\n"
	m.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "LSUB" {
			return answer
		}
		return ""
	}
	a := met(t, m)
	got, err := a.Subscribed(ctx)
	if want := []mail.MailboxName{"Gone", "INBOX", "Parent/Child", "ä"}; err != nil || !slices.Equal(sortedNames(got), want) {
		t.Errorf("%q, %v, want %q", sortedNames(got), err, want)
	}
	answer = "{tag} NO [SERVERBUG] no such thing\r\n"
	if got, err := a.Subscribed(ctx); err == nil || !strings.Contains(err.Error(), "listing subscriptions") {
		t.Errorf("%v, %v", got, err)
	}
	answer = "* LSUB () \"/\" Later\r\n{tag} OK done\r\n"
	if got, err := a.Subscribed(ctx); err != nil || !got["Later"] || len(got) != 1 {
		t.Errorf("after a refusal: %v, %v", got, err)
	}
}

func TestSubscribeIsOneFlightAndNamesWhatIsRefused(t *testing.T) {
	m := imaptest.NewMailstore(fullCaps)
	a := met(t, m)
	var late string
	var sent int
	m.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "SUBSCRIBE" && strings.Contains(cmd.Args, "bad") {
			return "{tag} NO [NONEXISTENT] no such mailbox\r\n"
		}
		return ""
	}
	m.Spoil = func(_ int, _ imaptest.Command, answer string) string {
		if sent++; sent < 3 { // nothing is answered before the last was sent
			late += answer
			return ""
		}
		return late + answer
	}
	err := a.Subscribe(ctx, []mail.MailboxName{"a", "b", "c//d", "e"}, true)
	if err == nil || !strings.Contains(err.Error(), "c//d") || sent != 3 {
		t.Errorf("%v after %d commands", err, sent)
	}
	m.Spoil = nil
	if err := a.Subscribe(ctx, []mail.MailboxName{"a", "bad", "b"}, true); err == nil || !strings.Contains(err.Error(), `subscribing to mailbox "bad"`) || strings.Contains(err.Error(), `"b"`) {
		t.Errorf("%v", err)
	}
	m.Reset()
	if err := a.Subscribe(ctx, nil, true); err != nil || m.Count() != 0 {
		t.Errorf("nothing to do: %v, %d commands", err, m.Count())
	}
}

func TestCreateAs(t *testing.T) {
	for name, c := range map[string]struct {
		caps     string
		refuse   bool
		role     mail.Role
		want     mail.Role
		commands []string
	}{
		"taken":         {fullCaps + " CREATE-SPECIAL-USE", false, mail.RoleSent, mail.RoleSent, []string{"CREATE Gesendet (USE (\\Sent))", "SUBSCRIBE Gesendet", "STATUS"}},
		"not asked for": {fullCaps + " CREATE-SPECIAL-USE", false, mail.RoleNone, mail.RoleNone, []string{"CREATE Gesendet", "SUBSCRIBE Gesendet", "STATUS"}},
		"not offered":   {fullCaps, false, mail.RoleSent, mail.RoleNone, []string{"CREATE Gesendet", "SUBSCRIBE Gesendet", "STATUS"}},
		"refused (USEATTR)": {
			fullCaps + " CREATE-SPECIAL-USE", true, mail.RoleSent, mail.RoleNone,
			[]string{"CREATE Gesendet (USE (\\Sent))", "SUBSCRIBE Gesendet", "STATUS", "CREATE Gesendet", "SUBSCRIBE Gesendet", "STATUS"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := imaptest.NewMailstore(c.caps)
			a := met(t, m)
			var sent []string
			m.Before = func(_ int, cmd imaptest.Command) string {
				text := cmd.Name
				if cmd.Name != "STATUS" {
					text = strings.TrimSpace(strings.ReplaceAll(cmd.Name+" "+cmd.Args, `"`, ""))
				}
				sent = append(sent, text)
				if c.refuse && strings.Contains(cmd.Args, "USE (") {
					return "{tag} NO [USEATTR] there is one already\r\n"
				}
				return ""
			}
			box, err := a.CreateAs(ctx, "Gesendet", c.role)
			if err != nil || box.Role != c.want || box.Epoch == "" || !slices.Equal(sent, c.commands) {
				t.Errorf("%+v, %v\ngot  %q\nwant %q", box, err, sent, c.commands)
			}
		})
	}
}

func TestCreateAsOnDovecot(t *testing.T) {
	// It understands the extension, does not offer it by itself, and lists only
	// uses that its configuration gives.
	b := newBench(t, imaptest.Capabilities("IMAP4rev1", "LIST-EXTENDED", "SPECIAL-USE", "CREATE-SPECIAL-USE"),
		imaptest.Extra("mail_attribute_dict = file:%h/attributes\nprotocol imap {\n  imap_metadata = yes\n}"))
	b.survey(nil)
	box, err := b.side.CreateAs(ctx, "Gesendet", mail.RoleSent)
	if err != nil || box.Role != mail.RoleSent {
		t.Fatalf("%+v, %v", box, err)
	}
	if box, ok := b.survey(nil)["Gesendet"]; !ok || box.Epoch == "" {
		t.Errorf("it is listed as %+v", box)
	}
}

func TestQuota(t *testing.T) {
	var answer string
	m := imaptest.NewMailstore(fullCaps + " QUOTA")
	m.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "GETQUOTAROOT" {
			return answer
		}
		return ""
	}
	a := met(t, m)
	for _, c := range []struct {
		answer string
		want   imap.Quota
		ok     bool
	}{
		{"* QUOTAROOT INBOX r\r\n* QUOTA r (STORAGE 10 512)\r\n", imap.Quota{Used: 10 << 10, Limit: 512 << 10}, true},
		{"* QUOTAROOT INBOX a b\r\n* QUOTA a (STORAGE 10 512 MESSAGE 3 7)\r\n* QUOTA b (STORAGE 400 500)\r\n", imap.Quota{Used: 400 << 10, Limit: 500 << 10, Messages: 3, MessageLimit: 7}, true},
		{"* QUOTAROOT INBOX\r\n", imap.Quota{}, false},
		{"* QUOTAROOT INBOX r\r\n* QUOTA r (MAILBOX 1 2)\r\n", imap.Quota{}, false},
		{"* QUOTAROOT INBOX r\r\n* QUOTA r (storage 1 9223372036854775807)\r\n", imap.Quota{Used: 1 << 10, Limit: 1 << 62}, true},
	} {
		answer = c.answer + "{tag} OK done\r\n"
		if q, ok, err := a.Quota(ctx); err != nil || ok != c.ok || q != c.want {
			t.Errorf("%q: %+v, %v, %v", c.answer, q, ok, err)
		}
	}
	answer = "{tag} NO [NOPERM] not yours\r\n"
	if q, ok, err := a.Quota(ctx); err != nil || ok {
		t.Errorf("refused: %+v, %v, %v", q, ok, err)
	}
	if q, ok, err := met(t, imaptest.NewMailstore(fullCaps)).Quota(ctx); err != nil || ok {
		t.Errorf("not offered: %+v, %v, %v", q, ok, err)
	}
}

func TestQuotaOnDovecot(t *testing.T) {
	b := newBench(t, imaptest.Extra("protocol imap {\n  mail_plugins = $mail_plugins quota imap_quota\n}\n"+
		"plugin {\n  quota = count:User quota\n  quota_vsizes = yes\n  quota_rule = *:storage=10M:messages=100\n}"))
	b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
	q, ok, err := b.side.Quota(ctx)
	if err != nil || !ok || q.Limit != 10<<20 || q.MessageLimit != 100 || q.Messages != 2 {
		t.Errorf("%+v, %v, %v", q, ok, err)
	}
}

func TestTheGreetingIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		greeting, want string
	}{
		"words":      {"* OK Courier-IMAP ready.\r\n", "Courier-IMAP ready."},
		"with codes": {"* OK [CAPABILITY IMAP4rev1] host Cyrus IMAP ready\r\n", "host Cyrus IMAP ready"},
		"no words":   {"* OK\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := imaptest.NewMailstore("IMAP4rev1").Script()
			s.Greeting = c.greeting
			host, port := s.Listen(t)
			a := open(t, imap.Options{
				Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann", Password: secret,
			})
			if _, err := a.Survey(ctx, nil); err != nil {
				t.Fatal(err)
			}
			if got, _, _, _ := a.Server(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
