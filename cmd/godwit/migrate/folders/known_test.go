package folders

import (
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

func TestNoNameMeansTwoThings(t *testing.T) {
	uses := map[string]mail.Role{}
	for _, use := range mappedUses {
		names := 0
		for _, line := range strings.Split(knownNames[use], "\n") {
			for _, name := range strings.Split(line, ";") {
				key := folded(name)
				if key == "" {
					continue
				}
				names++
				if other, ok := uses[key]; ok && other != use {
					t.Errorf("%q is for %s and %s", name, use, other)
				}
				uses[key] = use
			}
		}
		if languages := strings.Count(knownNames[use], "\n"); languages < 30 || names < languages {
			t.Errorf("%s: %d names in %d lines", use, names, languages)
		}
	}
	if len(knownNames) != len(mappedUses) {
		t.Errorf("names for %d uses, %d are mapped", len(knownNames), len(mappedUses))
	}
}

func TestKnownNames(t *testing.T) {
	table := words()
	for name, want := range map[mail.MailboxName]mail.Role{
		"Sent": mail.RoleSent, "SENT-ITEMS": mail.RoleSent, "sent_messages": mail.RoleSent, "INBOX/Sent": mail.RoleSent,
		"[Gmail]/Messages envoyés": mail.RoleSent, "[Google Mail]/Gesendet": mail.RoleSent, "Elements envoyes": mail.RoleSent,
		"E\u0301le\u0301ments envoye\u0301s": mail.RoleSent, "GESENDETE ELEMENTE": mail.RoleSent, "Skickat": mail.RoleSent,
		"GÖNDERİLMİŞ ÖĞELER": mail.RoleSent, "送信済みアイテム": mail.RoleSent, "ОТПРАВЛЕННЫЕ": mail.RoleSent, "ΑΠΕΣΤΑΛΜΈΝΑ": mail.RoleSent,
		"Entwurfe": mail.RoleDrafts, "Entwuerfe": mail.RoleDrafts, "Szkice": mail.RoleDrafts,
		"Junk-E-Mail": mail.RoleJunk, "Junk Email": mail.RoleJunk, "垃圾邮件": mail.RoleJunk, "Lixo Eletrônico": mail.RoleJunk,
		"Deleted Items": mail.RoleTrash, "Lixo": mail.RoleTrash, "ゴミ箱": mail.RoleTrash, "Geloeschte Elemente": mail.RoleTrash,
		"ARCHIVE": mail.RoleArchive, "Arşiv": mail.RoleArchive,
		"Work/Sent": mail.RoleNone, "Sent 2019": mail.RoleNone, "INBOX": mail.RoleNone, "Outbox": mail.RoleNone, "": mail.RoleNone, "—": mail.RoleNone,
		"垃圾箱": mail.RoleNone, "INBOX/a/Sent": mail.RoleNone,
	} {
		if got := known(table, name); got != want {
			t.Errorf("%q is for %q, want %q", name, got, want)
		}
	}
}
