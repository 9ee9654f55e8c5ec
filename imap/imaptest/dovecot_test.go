package imaptest_test

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

func TestDovecotServesAndRestarts(t *testing.T) {
	s := imaptest.Dovecot(t)
	c := s.Client("ann")
	if !c.Caps().Has(imap.CapCondStore) {
		t.Error("a full Dovecot offers no CONDSTORE")
	}
	if err := c.Create("Work/Deep", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	if out := s.Doveadm("mailbox", "list", "-u", "ann"); !strings.Contains(out, "Work/Deep") {
		t.Errorf("after a restart the mailboxes are\n%s", out)
	}
	s.Client("ann")
}

func TestDovecotBareWithPrefix(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Bare(), imaptest.Separator("."), imaptest.Prefix("INBOX."), imaptest.Maildir())
	c := s.Client("ann")
	caps := c.Caps()
	for _, c := range []imap.Cap{imap.CapUIDPlus, imap.CapMove, imap.CapCondStore, imap.CapListExtended, imap.CapNamespace} {
		if _, ok := caps[c]; ok {
			t.Errorf("a bare Dovecot offers %s", c)
		}
	}
	if err := c.Create("INBOX.Work.Deep", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	boxes, err := c.List("", "*", nil).Collect()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, b := range boxes {
		seen[b.Mailbox] = true
		if b.Delim != '.' {
			t.Errorf("%s has separator %q", b.Mailbox, b.Delim)
		}
	}
	if !seen["INBOX.Work.Deep"] {
		t.Errorf("listed are %v", seen)
	}
}

func TestDovecotReadOnly(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.ReadOnly("Frozen"))
	s.Doveadm("mailbox", "create", "-u", "ann", "Frozen")
	c := s.Client("ann")
	if _, err := c.Select("Frozen", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	err := c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil).Close()
	if err == nil {
		t.Error("flags could be stored in a read-only mailbox")
	}
}

func TestDovecotTLS(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.WithTLS())
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate in the CA file")
	}
	conf := &tls.Config{RootCAs: pool, ServerName: s.Host}
	c, err := imapclient.DialTLS(net.JoinHostPort(s.Host, strconv.Itoa(s.TLSPort)), &imapclient.Options{TLSConfig: conf})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Login("ann", imaptest.Password).Wait(); err != nil {
		t.Fatal(err)
	}
	c2, err := imapclient.DialStartTLS(s.Addr(), &imapclient.Options{TLSConfig: conf})
	if err != nil {
		t.Fatal(err)
	}
	c2.Close()
}
