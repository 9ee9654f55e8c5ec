package backup_test

import (
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// synced gives the world a Maildir that is kept in step with its server. The
// function runs a sync.
func (w *world) synced() (maildir *sidetest.Memory, sync func()) {
	maildir = sidetest.NewMemory(sidetest.Maildir)
	maildir.Traits.LF = false // Fetch gives what travelled, as a Maildir's does
	maildir.Clock = w.archive.Clock
	index := sidetest.NewMemoryIndex()
	w.bodies = func() *backup.Bodies {
		b, err := backup.OpenBodies(w.t.Context(), index, maildir.Open())
		if err != nil {
			w.t.Fatal(err)
		}
		return b
	}
	return maildir, func() {
		w.t.Helper()
		r, err := engine.Run(w.t.Context(), engine.Options{
			Account: "me", Mode: "mirror", Policy: plan.Mirror(), Bound: "me@server", KeepsRef: [2]bool{plan.Local: true},
			Local: maildir.Open(), Remote: w.server.Open(), Index: index, Scope: w.scope, Clock: func() time.Time { return w.now },
		})
		if err != nil || r.Exit() != 0 {
			w.t.Fatalf("sync: %v, exit %d: %v", err, r.Exit(), r.Faults)
		}
	}
}

// With a Maildir in step no body travels; flags and dates are the server's.
func TestBodiesFromMaildir(t *testing.T) {
	w := newWorld(t)
	maildir, sync := w.synced()
	w.server.CreateBox("Work")
	inbox := w.fill("INBOX", 0, 10)
	w.fill("Work", 10, 5)
	w.server.Deliver("Work", "Subject: large\r\n\r\n"+strings.Repeat("0123456789abcdef\r\n", 1<<17), mail.FlagSet{}, day)
	maildir.Deliver("INBOX", letter(50), mail.NewFlagSet(mail.Seen), day)
	sync()
	// The index of the sync does not know of this yet.
	w.server.SetFlags("INBOX", inbox[0], mail.NewFlagSet(mail.Flagged, "$New"))
	w.server.ResetCounts()
	w.equal(w.run())
	if n := w.server.Bodies(); n > 0 {
		t.Errorf("%d bodies travelled", n)
	}
	// A lost index: what the sync knows of the messages is not asked for.
	w.fill("INBOX", 1, 1) // one that is there twice, so that bodies are compared
	sync()
	w.equal(w.run())
	w.index = sidetest.NewMemoryIndex()
	w.server.ResetCounts()
	w.equal(w.run())
	if n := w.server.Bodies(); n > 0 {
		t.Errorf("%d bodies travelled when the index was lost", n)
	}
}

// What a Maildir has is believed by its bytes alone.
func TestBodiesThatAreNot(t *testing.T) {
	large := func(mark string) string {
		return "Subject: large\r\n\r\n" + strings.Repeat("0123456789abcdef\r\n", 1<<17) + mark + "\r\n"
	}
	w := newWorld(t)
	maildir, sync := w.synced()
	w.fill("INBOX", 0, 10)
	w.server.Deliver("INBOX", large("a"), mail.FlagSet{}, day.Add(time.Hour))
	sync()
	for _, m := range maildir.Snapshot()["INBOX"] {
		switch {
		case string(m.Body) == letter(0):
			maildir.Rot("INBOX", m.Ref, letter(9))
		case string(m.Body) == letter(1):
			maildir.Expunge("INBOX", m.Ref)
		case string(m.Body) == letter(2):
			maildir.Break("INBOX", m.Ref, sidetest.ErrBroken)
		case len(m.Body) > 1<<20:
			maildir.Rot("INBOX", m.Ref, large("b"))
		}
	}
	w.server.ResetCounts()
	w.equal(w.run())
	if n := w.server.Bodies(); n != 4 {
		t.Errorf("%d bodies travelled, not 4", n)
	}
	// Another UIDVALIDITY: the index of the sync speaks of other messages.
	w.fill("INBOX", 20, 3)
	sync()
	w.server.ResetEpoch("INBOX")
	w.server.ResetCounts()
	w.equal(w.run())
	if n := w.server.Bodies(); n != 3 {
		t.Errorf("%d bodies travelled, not 3", n)
	}
}
