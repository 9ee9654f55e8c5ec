package imap_test

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"unicode"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// Account is a Writer that sends ahead.
var (
	_ engine.Writer   = (*imap.Account)(nil)
	_ engine.Expecter = (*imap.Account)(nil)
)

// optionsFor are those of a user of a private Dovecot.
func optionsFor(s *imaptest.Server, user string) imap.Options {
	return imap.Options{
		Endpoint: imap.Endpoint{Host: s.Host, Port: s.Port, TLS: imap.TLSNone},
		Username: user,
		Password: func(context.Context) (string, error) { return imaptest.Password, nil },
	}
}

func open(t *testing.T, opt imap.Options) *imap.Account {
	t.Helper()
	a, err := imap.Open(context.Background(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

var crRun = regexp.MustCompile("\r+\n")

// dovecotStores is what Dovecot makes of a message: it refuses an empty one,
// makes NUL 0x80, and takes CRs before a line end and at the very end away.
func dovecotStores(body []byte) ([]byte, bool) {
	if len(body) == 0 {
		return nil, false
	}
	body = bytes.ReplaceAll(body, []byte{0}, []byte{0x80})
	return bytes.TrimSuffix(crRun.ReplaceAll(body, []byte("\r\n")), []byte("\r")), true
}

// dovecotNames tells what Dovecot takes: no name that begins with "~", which
// could name a home directory; no control characters; no separator in a level.
func dovecotNames(separator string) func(mail.MailboxName) bool {
	return func(name mail.MailboxName) bool {
		for _, level := range name.Levels() {
			if strings.Contains(mail.UnescapeLevel(level), separator) {
				return false
			}
		}
		return !strings.HasPrefix(string(name), "~") && !strings.ContainsFunc(string(name), unicode.IsControl)
	}
}

// conform runs the suite over a Dovecot of one shape, a user a promise.
func conform(t *testing.T, claims sidetest.Claims, opts ...imaptest.Option) {
	t.Parallel()
	server := imaptest.Dovecot(t, opts...)
	if claims.Name == nil {
		claims.Name = dovecotNames("/")
	}
	claims.HasNext, claims.ShowsAtOnce, claims.Stores = true, true, dovecotStores
	var users atomic.Int64
	sidetest.Run(t, func(t *testing.T) sidetest.Harness {
		user := fmt.Sprintf("user%d", users.Add(1))
		return sidetest.Harness{
			Open:   func(t *testing.T) engine.Writer { return open(t, optionsFor(server, user)) },
			Claims: claims,
		}
	})
}

func TestConformsOverFullDovecot(t *testing.T) {
	conform(t, sidetest.Claims{TellsSame: true})
}

func TestConformsOverBareDovecot(t *testing.T) {
	conform(t, sidetest.Claims{Forgets: true}, imaptest.Bare())
}

func TestConformsUnderAPrefix(t *testing.T) {
	plain := dovecotNames(".")
	names := func(name mail.MailboxName) bool {
		return plain(name) && !strings.Contains(string(name), mail.SlashInLevel)
	}
	conform(t, sidetest.Claims{Forgets: true, Name: names},
		imaptest.Capabilities("IMAP4rev1", "NAMESPACE"), imaptest.Separator("."), imaptest.Prefix("INBOX."))
}

func TestConformsWithoutUIDPlus(t *testing.T) {
	conform(t, sidetest.Claims{TellsSame: true, Forgets: true},
		imaptest.Capabilities("IMAP4rev1", "MOVE", "CONDSTORE", "ESEARCH", "NAMESPACE", "LIST-EXTENDED", "LIST-STATUS", "SPECIAL-USE", "UNSELECT"))
}
