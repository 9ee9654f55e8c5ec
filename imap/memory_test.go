package imap_test

import (
	"context"
	"net"
	"testing"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"
	"github.com/emersion/go-imap/v2/imapserver/imapmemserver"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// memory serves a fresh account in memory, with INBOX, and gives its options.
func memory(t *testing.T, caps goimap.CapSet) imap.Options {
	t.Helper()
	user := imapmemserver.NewUser("ann", "secret")
	if err := user.Create("INBOX", nil); err != nil {
		t.Fatal(err)
	}
	mem := imapmemserver.New()
	mem.AddUser(user)
	server := imapserver.New(&imapserver.Options{
		NewSession: func(*imapserver.Conn) (imapserver.Session, *imapserver.GreetingData, error) {
			return mem.NewSession(), nil, nil
		},
		Caps: caps, InsecureAuth: true,
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return imap.Options{
		Endpoint: imap.Endpoint{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port, TLS: imap.TLSNone},
		Username: "ann",
		Password: func(context.Context) (string, error) { return "secret", nil },
	}
}

// The library's server in memory rewrites odd messages and does not rename
// children, so it cannot pass the suite; what other tests need of it works.
func TestTheServerInMemory(t *testing.T) {
	for name, caps := range map[string]goimap.CapSet{
		"rev1": {goimap.CapIMAP4rev1: {}},
		"more": {goimap.CapIMAP4rev1: {}, goimap.CapUIDPlus: {}, goimap.CapMove: {}, goimap.CapESearch: {}, goimap.CapUnselect: {}, goimap.CapNamespace: {}},
		"rev2": {goimap.CapIMAP4rev1: {}, goimap.CapIMAP4rev2: {}},
	} {
		t.Run(name, func(t *testing.T) {
			a := open(t, memory(t, caps))
			b := &bench{T: t, side: a, ids: map[mail.MailboxName]mail.BoxID{}}
			b.create("Work", "Zürich & Köln")
			placed := b.put("INBOX", incoming(0, message(0), mail.Seen), incoming(1, message(1)), incoming(2, message(2)))
			out := b.do(
				plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", placed[1].Ref), Add: mail.ParseFlagSet(`\Flagged $Foo`)},
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[0].Ref), To: b.ids["Zürich & Köln"]},
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", "4711"), To: b.ids["Work"]},
				plan.Op{Kind: plan.OpDelete, From: b.at("INBOX", placed[2].Ref)})
			for i, want := range []plan.Result{plan.Done, plan.Done, plan.Missing, plan.Done} {
				if out[i].Result != want {
					t.Errorf("op %d: %+v", i, out[i])
				}
			}
			seen, sc := b.scan("INBOX", plan.Since{})
			if !sc.Complete || len(seen) != 1 || !seen[placed[1].Ref].Item.Flags.Equal(mail.ParseFlagSet(`\Flagged $Foo`)) {
				t.Errorf("%v, %+v", seen, sc)
			}
			got, err := b.bodies("Zürich & Köln", out[1].At.Ref)
			if err != nil || got[out[1].At.Ref] != message(0) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}
