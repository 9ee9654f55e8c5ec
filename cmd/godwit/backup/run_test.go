package backup_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/archive"
	"github.com/godwit-mail/godwit/cmd/godwit/backup"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A world is a server and what stands for an archive, with the index between.
type world struct {
	t               *testing.T
	archive, server *sidetest.Memory
	index           *sidetest.MemoryIndex
	bodies          func() *backup.Bodies
	now             time.Time
	outcome         *archive.Outcome // of the last run; nil if it was not finished
	scope           func(mail.MailboxName, mail.Role) bool
}

// A recorder gives a memory what an archive has beside a side.
type recorder struct {
	engine.Writer
	engine.Rooted
	w *world
}

func (r recorder) Counts(context.Context) (map[mail.MailboxName]int, error) {
	counts := map[mail.MailboxName]int{}
	for name, list := range r.w.archive.Snapshot() {
		counts[name] = len(list)
	}
	return counts, nil
}

// End is for mailboxes without children here.
func (r recorder) End(ctx context.Context, name mail.MailboxName) error { return r.Remove(ctx, name) }

func (r recorder) Finish(_ context.Context, o archive.Outcome) (*archive.Generation, error) {
	r.w.outcome = &o
	return nil, nil
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, archive: sidetest.NewMemory(sidetest.Maildir), server: sidetest.NewMemory(sidetest.Server),
		index: sidetest.NewMemoryIndex(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		bodies: func() *backup.Bodies { return nil },
		scope:  func(mail.MailboxName, mail.Role) bool { return true },
	}
	w.archive.Traits.LF = false // it keeps the very bytes
	w.archive.Clock = func() time.Time { return w.now }
	w.server.Clock = w.archive.Clock
	return w
}

func (w *world) run() *backup.Result {
	w.t.Helper()
	res, err := w.try(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) try(ctx context.Context) (*backup.Result, error) {
	w.t.Helper()
	side, server := w.archive.Open(), w.server.Open()
	defer side.Close()
	defer server.Close()
	w.outcome = nil
	res, err := backup.Run(ctx, backup.Options{
		Account: "me", Archive: recorder{side, side.(engine.Rooted), w}, Server: server, Index: w.index, Bodies: w.bodies(),
		Bound: "me@server", Clock: func() time.Time { return w.now }, Scope: w.scope,
		Observer: func(e engine.Event) {
			if e.Job != backup.Job || e.Reason == plan.ReasonMode {
				w.t.Errorf("told %+v", e)
			}
		},
	})
	w.now = w.now.Add(time.Minute)
	if e := w.index.CheckConsistency(); e != nil {
		w.t.Fatalf("the index is inconsistent: %v", e)
	}
	return res, err
}

// equal fails unless the archive holds what the server does, and the
// generation is complete.
func (w *world) equal(res *backup.Result) {
	w.t.Helper()
	if d := sidetest.Compare(w.archive.Snapshot(), w.server.Snapshot()); d != "" {
		w.t.Fatalf("the archive (first) and the server (second) differ:\n%s", d)
	}
	if !res.Complete || res.Why != "" || res.Exit() != 0 || w.outcome == nil || !w.outcome.Complete {
		w.t.Fatalf("exit %d, complete %v: %s; finished as %+v, %v", res.Exit(), res.Complete, res.Why, w.outcome, res.Report.Faults)
	}
}

func letter(n int) string {
	return fmt.Sprintf("From: a@example.org\r\nTo: b@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\n\r\nHello %d\r\n", n, n, n)
}

var day = time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)

func (w *world) fill(box mail.MailboxName, from, n int) (refs []mail.Ref) {
	for i := from; i < from+n; i++ {
		refs = append(refs, w.server.Deliver(box, letter(i), mail.FlagSet{}, day.Add(time.Duration(i)*time.Minute)))
	}
	return refs
}

func TestBackup(t *testing.T) {
	w := newWorld(t)
	w.server.CreateBox("Work")
	inbox := w.fill("INBOX", 0, 10)
	w.fill("Work", 10, 5)
	w.equal(w.run())

	w.server.SetFlags("INBOX", inbox[0], mail.NewFlagSet(mail.Seen, "$Todo"))
	w.server.Expunge("INBOX", inbox[1])
	w.server.Move("INBOX", inbox[2], "Work", false)
	w.server.RenameBox("Work", "Projects")
	w.server.CreateBox("New")
	w.fill("New", 20, 3)
	w.equal(w.run())

	w.server.DeleteBox("New")
	w.equal(w.run())

	// Nothing changed: nothing is read, nothing is written.
	w.run()
	w.archive.ResetCounts()
	w.server.ResetCounts()
	writes := w.index.Writes()
	w.equal(w.run())
	if n := w.archive.Effects() + w.server.Effects() + w.server.Bodies() + w.index.Writes() - writes; n > 0 {
		t.Errorf("a run that had nothing to do did %d things", n)
	}
}

// Whether one look is enough depends on what the server tells.
func TestStill(t *testing.T) {
	for name, want := range map[string]bool{"full": true, "bare": false} {
		w := newWorld(t)
		if name == "bare" {
			w.server.Traits = sidetest.BareServer()
		}
		refs := w.fill("INBOX", 0, 3)
		if res := w.run(); res.Still {
			t.Errorf("%s: the first run was still", name)
		}
		if res := w.run(); res.Still != want {
			t.Errorf("%s: still %v", name, res.Still)
		}
		w.server.SetFlags("INBOX", refs[0], mail.NewFlagSet(mail.Seen))
		if res := w.run(); res.Still {
			t.Errorf("%s: a run with a change was still", name)
		}
	}
}

// However many go at once, nothing holds that back: nothing is deleted.
func TestNoGuard(t *testing.T) {
	w := newWorld(t)
	refs := w.fill("INBOX", 0, 40)
	w.equal(w.run())
	for _, ref := range refs {
		w.server.Expunge("INBOX", ref)
	}
	w.equal(w.run())
}

// The server is never changed, whatever has become of the archive.
func TestServerIsOnlyRead(t *testing.T) {
	w := newWorld(t)
	w.fill("INBOX", 0, 5)
	w.run()
	w.archive.Expunge("INBOX", w.archive.Snapshot()["INBOX"][0].Ref)
	w.archive.Deliver("INBOX", letter(90), mail.NewFlagSet(mail.Seen), day)
	w.archive.CreateBox("Mine")
	before := w.server.Snapshot()
	w.server.ResetCounts()
	w.run()
	if d := sidetest.Compare(before, w.server.Snapshot()); d != "" || w.server.Effects() > 0 {
		t.Errorf("%d effects on the server:\n%s", w.server.Effects(), d)
	}
}

// A lost index: nothing travels, and the archive is then as the server is,
// also in what has happened since.
func TestIndexLost(t *testing.T) {
	w := newWorld(t)
	w.server.CreateBox("Old")
	w.server.CreateBox("Old/Deep")
	refs := w.fill("INBOX", 0, 10)
	w.fill("Old", 20, 3)
	w.fill("Old/Deep", 30, 3)
	w.server.SetFlags("INBOX", refs[0], mail.NewFlagSet(mail.Seen, mail.Flagged))
	w.equal(w.run())
	w.index = sidetest.NewMemoryIndex()
	w.server.SetFlags("INBOX", refs[0], mail.NewFlagSet(mail.Answered))
	w.server.Expunge("INBOX", refs[1])
	w.server.Move("INBOX", refs[2], "Old", false)
	w.server.DeleteBox("Old/Deep")
	w.server.ResetCounts()
	w.equal(w.run())
	if n := w.server.Bodies(); n > 1 { // the one that was moved may be read
		t.Errorf("%d bodies were read", n)
	}
	w.equal(w.run())
	w.archive.ResetCounts()
	writes := w.index.Writes()
	w.equal(w.run())
	if n := w.archive.Effects() + w.index.Writes() - writes; n > 0 {
		t.Errorf("a third run did %d things", n)
	}
}

// Another archive in the place of the one that the index knows.
func TestArchiveReplaced(t *testing.T) {
	w := newWorld(t)
	refs := w.fill("INBOX", 0, 10)
	w.run()
	old := w.archive.Clone()
	w.fill("INBOX", 10, 5)
	w.server.Expunge("INBOX", refs[3])
	w.server.SetFlags("INBOX", refs[4], mail.NewFlagSet(mail.Seen))
	w.equal(w.run())
	w.now = w.now.Add(time.Hour)
	w.fill("INBOX", 20, 1)
	w.equal(w.run())
	w.archive = old
	w.server.SetFlags("INBOX", refs[4], mail.FlagSet{})
	w.equal(w.run())
}

func TestUIDValidityChanged(t *testing.T) {
	w := newWorld(t)
	refs := w.fill("INBOX", 0, 10)
	w.server.SetFlags("INBOX", refs[0], mail.NewFlagSet(mail.Seen))
	w.run()
	w.server.ResetEpoch("INBOX")
	list := w.server.Snapshot()["INBOX"]
	w.server.Expunge("INBOX", list[3].Ref)
	w.server.SetFlags("INBOX", list[0].Ref, mail.FlagSet{})
	w.server.ResetCounts()
	w.equal(w.run())
	if n := w.server.Bodies(); n > 0 {
		t.Errorf("%d bodies were read", n)
	}
}

// A message that cannot be read when all are numbered anew may be any of those
// that are in the archive: none is given up.
func TestUIDValidityChangedUnreadable(t *testing.T) {
	w := newWorld(t)
	w.fill("INBOX", 0, 6)
	w.run()
	w.server.ResetEpoch("INBOX")
	list := w.server.Snapshot()["INBOX"]
	w.server.Break("INBOX", list[2].Ref, sidetest.ErrBroken)
	for range 2 {
		res := w.run()
		if n := len(w.archive.Snapshot()["INBOX"]); n != 6 || res.Exit() != 1 {
			t.Fatalf("%d messages are in the archive, exit %d, complete %v: %s", n, res.Exit(), res.Complete, res.Why)
		}
	}
	w.server.Break("INBOX", list[2].Ref, nil)
	w.equal(w.run())
}

func TestEmptyArchive(t *testing.T) {
	w := newWorld(t)
	w.fill("INBOX", 0, 3)
	w.run()
	w.archive.RemoveRoot()
	w.archive.ResetCounts()
	res := w.run()
	if !res.Report.EmptyRoot || res.Exit() != 3 || res.Complete || w.outcome != nil || w.archive.Effects() > 0 {
		t.Errorf("exit %d, complete %v, finished as %+v, %d effects", res.Exit(), res.Complete, w.outcome, w.archive.Effects())
	}
}

// What the server would not give is named, and the rest goes on.
func TestQuarantine(t *testing.T) {
	w := newWorld(t)
	w.server.CreateBox("Work")
	bad := w.fill("INBOX", 0, 5)[2]
	w.fill("Work", 10, 5)
	w.server.Break("INBOX", bad, sidetest.ErrBroken)
	for range 2 {
		res := w.run()
		if res.Exit() != 1 || !res.Complete || len(res.Quarantined) != 1 {
			t.Fatalf("exit %d, complete %v (%s), quarantine %+v", res.Exit(), res.Complete, res.Why, res.Quarantined)
		}
		q := res.Quarantined[0]
		if q.Mailbox != "INBOX" || q.UID != string(bad) || q.UIDValidity == "" || !strings.Contains(q.Why, "cannot be read") {
			t.Errorf("%+v", q)
		}
		if n := w.archive.Snapshot().Messages(); n != 9 {
			t.Errorf("%d messages are in the archive", n)
		}
		if !slices.Equal(w.outcome.Quarantined, res.Quarantined) {
			t.Errorf("the archive was told %+v", w.outcome)
		}
	}
	w.server.Break("INBOX", bad, nil)
	w.equal(w.run())
}

// A mailbox that could not be looked at: the rest is there, and the
// generation is not complete.
func TestMailboxFails(t *testing.T) {
	w := newWorld(t)
	w.server.CreateBox("Work")
	w.fill("INBOX", 0, 5)
	w.fill("Work", 10, 5)
	w.server.Restless(100)
	res := w.run()
	if res.Complete || res.Exit() != 1 || !strings.Contains(res.Why, "never stood still") || w.outcome.Complete {
		t.Errorf("exit %d, complete %v: %s", res.Exit(), res.Complete, res.Why)
	}
	w.server.Restless(0)
	w.equal(w.run())
}

// A message that goes while it is being fetched: the run looks again.
func TestGoneMeanwhile(t *testing.T) {
	w := newWorld(t)
	refs := w.fill("INBOX", 0, 5)
	once := true
	w.server.Hook = func(call string) {
		if call == "fetch" && once {
			once = false
			w.server.Expunge("INBOX", refs[1])
		}
	}
	w.equal(w.run())
}

func TestInterrupted(t *testing.T) {
	w := newWorld(t)
	w.fill("INBOX", 0, 5)
	ctx, cancel := context.WithCancel(t.Context())
	w.server.Hook = func(call string) {
		if call == "fetch" {
			cancel()
		}
	}
	res, err := w.try(ctx)
	if !errors.Is(err, context.Canceled) || res.Complete || w.outcome != nil {
		t.Errorf("%v, complete %v, finished as %+v", err, res.Complete, w.outcome)
	}
	w.server.Hook = nil
	w.equal(w.run())
}

// A mailbox that the patterns leave out keeps what it had.
func TestLeftOut(t *testing.T) {
	w := newWorld(t)
	w.server.CreateBox("Work")
	w.fill("INBOX", 0, 5)
	w.fill("Work", 10, 5)
	w.run()
	w.scope = func(name mail.MailboxName, _ mail.Role) bool { return name != "Work" }
	w.fill("Work", 20, 5)
	res := w.run()
	if !res.Complete || len(w.archive.Snapshot()["Work"]) != 5 {
		t.Errorf("complete %v (%s), %d messages", res.Complete, res.Why, len(w.archive.Snapshot()["Work"]))
	}
}
