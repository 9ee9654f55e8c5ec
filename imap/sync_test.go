package imap_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

const (
	fullCaps = "IMAP4rev1 UIDPLUS MOVE CONDSTORE UNSELECT NAMESPACE"
	bareCaps = "IMAP4rev1"
	// quickCaps are those of a server that tells what changed and vanished.
	quickCaps = fullCaps + " ENABLE QRESYNC ESEARCH"
)

// A world is an account: a scripted server, a Maildir in memory, an index.
type world struct {
	server *imaptest.Mailstore
	local  *sidetest.Memory
	index  *sidetest.MemoryIndex
	kept   *keeper
	now    time.Time
	trace  func(dir, line string)
	// patience is how long a silent server is waited for.
	patience time.Duration
	compress bool
	pool     *imap.Pool
	// dialer makes the connections; nil is the ordinary one.
	dialer func(ctx context.Context, network, addr string) (net.Conn, error)
}

// keeper remembers how many messages were kept before they were deleted.
type keeper struct {
	mu sync.Mutex
	n  int
}

func (k *keeper) Keep(_ context.Context, _ engine.Kept, want mail.Identity, body io.Reader) error {
	id, err := mail.Identify(body)
	if err == nil && !want.Body.IsZero() && id.Body != want.Body {
		err = fmt.Errorf("not the message")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n++
	return err
}

func (w *world) clone() *world {
	c := *w
	c.server, c.local, c.index, c.kept = w.server.Clone(), w.local.Clone(), w.index.Clone(), &keeper{}
	return &c
}

// run is one run over a connection of its own.
func (w *world) run(t *testing.T) (*engine.Report, error) {
	t.Helper()
	return w.runCtx(t, ctx, nil)
}

// runCtx is a run in a context, with other options if change is not nil.
func (w *world) runCtx(t *testing.T, ctx context.Context, change func(*engine.Options)) (*engine.Report, error) {
	t.Helper()
	w.now = w.now.Add(3 * time.Hour)
	clock := func() time.Time { return w.now }
	w.local.Clock = clock
	script := w.server.Script()
	host, port := script.Listen(t)
	if w.pool == nil { // one that is kept stays open, and idle
		defer script.Wait() // else the next run may meet what this one has asked for
	}
	remote, err := imap.Open(ctx, imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone, Dialer: w.dialer}, Username: "ann", Trace: w.trace,
		Password: func(context.Context) (string, error) { return "secret", nil }, IdleTimeout: w.patience, Compress: w.compress, Pool: w.pool,
	})
	if err != nil {
		return &engine.Report{Faults: []error{err}}, err
	}
	defer remote.Close()
	local := w.local.Open()
	defer local.Close()
	o := engine.Options{
		Account: "ann", Mode: "mirror", Policy: plan.Mirror(), Bound: "ann@server", KeepsRef: [2]bool{true, false},
		Local: local, Remote: remote, Index: w.index, Keeper: w.kept, GuardPercent: 25, Clock: clock,
		Scope: func(mail.MailboxName, mail.Role) bool { return true },
	}
	if change != nil {
		change(&o)
	}
	return engine.Run(ctx, o)
}

// remote is what the server holds.
func (w *world) remote() sidetest.Snapshot {
	out := sidetest.Snapshot{}
	for wire, letters := range w.server.Letters() {
		name := mail.NewMailboxName(strings.Split(wire, "/")...)
		out[name] = []sidetest.Message{}
		for _, l := range letters {
			var flags mail.FlagSet
			for _, f := range l.Flags {
				flags = flags.With(mail.Flag(f))
			}
			out[name] = append(out[name], sidetest.Message{Ref: mail.Ref(fmt.Sprint(l.UID)), Body: []byte(l.Body), Flags: flags, Date: l.Date})
		}
	}
	return out
}

// settle runs without faults until a run ends well, at most so many times.
func (w *world) settle(t *testing.T, runs int) (rep *engine.Report, err error) {
	t.Helper()
	w.server.Reset()
	w.patience, w.dialer = 0, nil
	for range runs {
		if rep, err = w.run(t); err == nil && rep.Exit() == 0 {
			break
		}
	}
	return rep, err
}

// agreed fails unless runs without faults make both sides hold what want says,
// and one more changes nothing.
func (w *world) agreed(t *testing.T, runs int, want sidetest.Snapshot) {
	t.Helper()
	if rep, err := w.settle(t, runs); err != nil || rep.Exit() != 0 {
		t.Errorf("the clean run ends with %d: %v, %v %v", rep.Exit(), err, rep.Faults, rep.Hints)
	}
	if err := w.index.CheckConsistency(); err != nil {
		t.Errorf("the index: %v", err)
	}
	w.holds(t, want)
	w.local.ResetCounts()
	before := fmt.Sprint(w.server.Letters())
	if rep, err := w.run(t); err != nil || rep.Exit() != 0 {
		t.Errorf("a further run: %v, %v", err, rep.Faults)
	}
	if w.local.Effects() > 0 || fmt.Sprint(w.server.Letters()) != before {
		t.Errorf("a further run changes something")
	}
}

// holds fails unless both sides hold what want says.
func (w *world) holds(t *testing.T, want sidetest.Snapshot) {
	t.Helper()
	for side, got := range map[string]sidetest.Snapshot{"local": w.local.Snapshot(), "remote": w.remote()} {
		if d := sidetest.Compare(want, got); d != "" {
			t.Errorf("the %s side is not as it should be:\n%s", side, d)
		}
	}
}

func letter(n int) string {
	return fmt.Sprintf("From: a@example.org\r\nSubject: letter %d\r\nMessage-ID: <%d@example.org>\r\nDate: Mon, 02 Feb 2026 10:00:%02d +0000\r\n\r\nHello %d\r\n", n, n, n%60, n)
}

var day = time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC)

// settled is a world that is in step.
func settled(t *testing.T, caps string) *world {
	t.Helper()
	w := &world{
		server: imaptest.NewMailstore(caps), local: sidetest.NewMemory(sidetest.Maildir), index: sidetest.NewMemoryIndex(), kept: &keeper{},
		now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	w.server.Create("Lists")
	for i := range 12 {
		w.server.Deliver("INBOX", letter(i), day.AddDate(0, 0, i), "\\Seen")
	}
	for i := range 4 {
		w.server.Deliver("Work", letter(50+i), day)
	}
	if rep, err := w.settle(t, 3); err != nil || rep.Exit() != 0 {
		t.Fatalf("first run: %v, %v", err, rep.Faults)
	}
	return w
}

// eventful is a world in which every kind of thing happened on both sides
// since the last run.
func eventful(t *testing.T, caps string) *world {
	t.Helper()
	w := settled(t, caps)
	refs := map[string]mail.Ref{}
	for _, m := range w.local.Snapshot()["INBOX"] {
		refs[string(sidetest.Canonical(m.Body))] = m.Ref
	}
	for i := range 3 {
		w.server.Deliver("Work", letter(100+i), day, "\\Flagged")
		w.local.Deliver("Work", letter(110+i), mail.NewFlagSet(mail.Flagged, "todo"), day)
	}
	w.server.Deliver("INBOX", letter(200), day)
	w.local.Deliver("INBOX", letter(200), mail.FlagSet{}, day) // the same on both
	w.server.SetFlags("INBOX", 1, "\\Seen", "\\Answered")
	w.local.SetFlags("INBOX", refs[letter(1)], mail.NewFlagSet(mail.Flagged))
	w.server.Move("INBOX", 3, "Work")
	w.local.Move("INBOX", refs[letter(3)], "Work", true)
	w.server.Expunge("INBOX", 5)
	w.local.Expunge("INBOX", refs[letter(5)])
	w.local.Expunge("INBOX", refs[letter(6)])
	w.local.Move("INBOX", refs[letter(7)], "New local", true)
	for _, m := range w.local.Snapshot()["Work"] {
		if string(sidetest.Canonical(m.Body)) == letter(53) {
			w.local.Move("Work", m.Ref, "Lists", true)
		}
	}
	w.server.Deliver("New remote", letter(300), day)
	return w
}

// finished is what an undisturbed run from w makes of it, and how many
// commands that takes.
func finished(t *testing.T, w *world) (want sidetest.Snapshot, commands int) {
	t.Helper()
	u := w.clone()
	if rep, err := u.run(t); err != nil || rep.Exit() != 0 {
		t.Fatalf("undisturbed: %v, %v", err, rep.Faults)
	}
	commands = u.server.Count()
	want = u.local.Snapshot()
	if d := sidetest.Compare(want, u.remote()); d != "" {
		t.Fatalf("undisturbed, the sides differ:\n%s", d)
	}
	return want, commands
}
