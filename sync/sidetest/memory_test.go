package sidetest

import (
	"errors"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// memoryHarness runs the suite over a Memory. Its user acts on the Memory itself.
func memoryHarness(kind Kind, traits Traits, claims Claims) func(*testing.T) Harness {
	return func(*testing.T) Harness {
		m := NewMemory(kind)
		m.Traits = traits
		h := Harness{
			Open:   func(*testing.T) engine.Writer { return m.Open() },
			Claims: claims,
			User: User{
				Deliver: func(_ *testing.T, box mail.MailboxName, body []byte, flags mail.FlagSet, date time.Time) {
					m.Deliver(box, string(body), flags, date)
				},
				SetFlags: func(_ *testing.T, box mail.MailboxName, ref mail.Ref, flags mail.FlagSet) {
					m.SetFlags(box, ref, flags)
				},
				Move: func(_ *testing.T, from mail.MailboxName, ref mail.Ref, to mail.MailboxName) {
					m.Move(from, ref, to, true)
				},
				Expunge:   func(_ *testing.T, box mail.MailboxName, ref mail.Ref) { m.Expunge(box, ref) },
				DeleteBox: func(_ *testing.T, box mail.MailboxName) { m.DeleteBox(box) },
			},
		}
		if kind == Maildir {
			h.User.Edit = func(_ *testing.T, box mail.MailboxName, ref mail.Ref, body []byte) { m.Edit(box, ref, string(body)) }
		}
		return h
	}
}

// actedThroughSides is a harness whose user has no means of its own.
func actedThroughSides(fresh func(*testing.T) Harness) func(*testing.T) Harness {
	return func(t *testing.T) Harness {
		h := fresh(t)
		h.User = User{}
		return h
	}
}

func TestServer(t *testing.T) {
	full, bare := FullServer(), BareServer()
	seen := Claims{HasNext: true, TellsSame: true, ShowsAtOnce: true}
	t.Run("full", func(t *testing.T) { Run(t, memoryHarness(Server, full, seen)) })
	t.Run("full, user acts through sides", func(t *testing.T) {
		Run(t, actedThroughSides(memoryHarness(Server, full, seen)))
	})
	t.Run("bare", func(t *testing.T) {
		Run(t, memoryHarness(Server, bare, Claims{HasNext: true, ShowsAtOnce: true}))
	})
	t.Run("no UIDPLUS, does not look, no UIDNEXT", func(t *testing.T) {
		blind := bare
		blind.Looks, blind.NoNext = false, true
		Run(t, memoryHarness(Server, blind, Claims{ShowsAtOnce: true, Forgets: true}))
	})
	t.Run("CONDSTORE alone, EMAILID, one UIDVALIDITY, batches whole", func(t *testing.T) {
		cond := full
		cond.QResync, cond.GlobalIDs, cond.SharedEpoch, cond.SendsAtOnce = false, true, true, false
		Run(t, memoryHarness(Server, cond, Claims{HasNext: true, TellsSame: true}))
	})
	t.Run("stores no keywords", func(t *testing.T) {
		none := full
		none.Permits = func(f mail.Flag) bool { return f[0] == '\\' }
		limited := seen
		limited.Keywords = -1
		Run(t, memoryHarness(Server, none, limited))
	})
	t.Run("refuses and rewrites", func(t *testing.T) {
		odd, claims := full, seen
		odd.Refuse = func(_ mail.Item, body []byte) error {
			if len(body) == 0 {
				return errors.New("no empty messages")
			}
			return nil
		}
		odd.Rewrite = without0
		claims.Stores = func(body []byte) ([]byte, bool) { return without0(body), len(body) > 0 }
		Run(t, memoryHarness(Server, odd, claims))
	})
}

// without0 rewrites NUL bytes, as Dovecot does.
func without0(body []byte) []byte {
	out := make([]byte, len(body))
	for i, c := range body {
		if out[i] = c; c == 0 {
			out[i] = 0x80
		}
	}
	return out
}

func TestMaildir(t *testing.T) {
	claims := Claims{KeepsKeys: true, TellsSame: true, Tokens: true}
	t.Run("plain", func(t *testing.T) { Run(t, memoryHarness(Maildir, PlainMaildir(), claims)) })
	t.Run("plain, user acts through sides", func(t *testing.T) {
		Run(t, actedThroughSides(memoryHarness(Maildir, PlainMaildir(), claims)))
	})
	t.Run("on a network, 26 keywords, no sizes", func(t *testing.T) {
		far, claims := PlainMaildir(), claims
		far.TellsSame, far.LF, far.MaxKeywords, far.NoSizes, far.BoxIDs = false, false, 26, true, false
		claims.TellsSame, claims.Keywords = false, 26
		Run(t, memoryHarness(Maildir, far, claims))
	})
}
