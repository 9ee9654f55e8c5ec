package imap_test

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

var _ engine.Expecter = (*imap.Account)(nil)

// TestManyScansShareRoundTrips scans mailboxes that are announced.
func TestManyScansShareRoundTrips(t *testing.T) {
	const boxes = 30
	for name, want := range map[string]struct {
		fetches int // for each mailbox
		known   string
	}{
		"full":              {0, "(QRESYNC ("},
		"without CONDSTORE": {1, "UID FETCH 1:1 (FLAGS)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, budgets[name].options...)
			var names []mail.MailboxName
			for i := range boxes {
				names = append(names, mail.MailboxName(fmt.Sprintf("box%02d", i)))
			}
			b.create(names...)
			for i, name := range names {
				b.put(name, incoming(0, message(i), mail.Seen))
			}
			b.connect(nil)
			since := map[mail.MailboxName]plan.Since{}
			scanAll := func() {
				b.survey(since)
				var next []plan.Expected
				for _, name := range names {
					next = append(next, plan.Expected{Box: b.ids[name], Since: since[name]})
				}
				b.commands()
				before := b.side.Stats()
				b.side.ExpectScans(next)
				for _, name := range names {
					seen, sc := b.scan(name, since[name])
					if !sc.Complete || sc.Count != 1 || len(seen) > 1 {
						t.Errorf("%s: %v, %+v", name, seen, sc)
					}
					since[name] = plan.Since{Cursor: sc.Cursor, Epoch: sc.Epoch, Known: 1}
				}
				after := b.side.Stats()
				if trips := after.RoundTrips - before.RoundTrips; trips != 1 {
					t.Errorf("%d round trips for %d mailboxes", trips, boxes)
				}
			}
			scanAll()
			if sent := b.commands(); len(sent) != 2*boxes {
				t.Errorf("the first scans took %d commands: %q", len(sent), sent[:4])
			}
			scanAll()
			if sent := b.commands(); len(sent) != boxes*(1+want.fetches) || !anyContains(sent, want.known) {
				t.Errorf("the second scans took %d commands: %q", len(sent), sent[:4])
			}
		})
	}
}

// TestScansAheadAreForgotten has other commands come between what was sent
// ahead and the scans that it was sent for.
func TestScansAheadAreForgotten(t *testing.T) {
	b := newBench(t)
	b.create("a", "b", "c")
	for _, name := range []mail.MailboxName{"a", "b", "c"} {
		b.put(name, incoming(0, message(0)))
	}
	for name, between := range map[string]func(){
		"survey": func() { b.survey(nil) },
		"put":    func() { b.put("b", incoming(0, message(7))) },
		"do": func() {
			b.do(plan.Op{Kind: plan.OpFlags, From: b.at("b", "1"), Add: mail.NewFlagSet(mail.Seen)})
		},
		"fetch": func() {
			if got, err := b.bodies("a", "1"); err != nil || len(got) != 1 {
				t.Errorf("%v, %v", got, err)
			}
		},
		"another scan": func() { b.scan("c", plan.Since{}) },
	} {
		t.Run(name, func(t *testing.T) {
			b.survey(nil)
			var next []plan.Expected
			for _, name := range []mail.MailboxName{"a", "b", "c"} {
				next = append(next, plan.Expected{Box: b.ids[name]})
			}
			b.side.ExpectScans(next)
			b.scan("a", plan.Since{})
			between()
			want := 1
			if got, err := b.bodies("b", "1", "2"); err == nil {
				want = len(got)
			}
			if seen, sc := b.scan("b", plan.Since{}); len(seen) != want || !sc.Complete {
				t.Errorf("seen %v of %d, %+v", seen, want, sc)
			}
			if seen, sc := b.scan("c", plan.Since{}); len(seen) != 1 || !sc.Complete {
				t.Errorf("seen %v, %+v", seen, sc)
			}
		})
	}
}

// crowd is a settled account with many mailboxes, in each of which a message
// came to the server.
func crowd(t *testing.T, caps string) *world {
	t.Helper()
	w := settled(t, caps)
	for i := range 10 {
		for n := range 3 {
			w.server.Deliver(fmt.Sprintf("Box%d", i), letter(1000+10*i+n), day)
		}
	}
	if rep, err := w.settle(t, 2); err != nil || rep.Exit() != 0 {
		t.Fatalf("%v, %v", err, rep.Faults)
	}
	for i := range 10 {
		w.server.Deliver(fmt.Sprintf("Box%d", i), letter(2000+i), day)
		w.server.Expunge(fmt.Sprintf("Box%d", i), 2)
	}
	return w
}

// TestAMailboxThatCannotBeOpened is refused while those behind it are on
// their way: the server carries out the FETCHes meant for it in the mailbox
// before it, or refuses them.
func TestAMailboxThatCannotBeOpened(t *testing.T) {
	for name, caps := range map[string]string{"bare": bareCaps, "full": fullCaps, "QRESYNC": quickCaps} {
		for what, after := range map[string]string{"the one before it": "", "none": "{tag} BAD no mailbox is selected\r\n"} {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				w := crowd(t, caps)
				want, _ := finished(t, w)
				var mu sync.Mutex
				shut := false
				w.server.Before = func(_ int, cmd imaptest.Command) string {
					mu.Lock()
					defer mu.Unlock()
					switch {
					case strings.HasSuffix(cmd.Name, "XAMINE") || cmd.Name == "SELECT":
						if shut = strings.Contains(cmd.Args, `"Box3"`); shut {
							return "{tag} NO [INUSE] not now\r\n"
						}
					case shut && strings.HasPrefix(cmd.Name, "UID "):
						return after
					}
					return ""
				}
				rep, err := w.run(t)
				if err != nil || rep.Exit() != 1 || len(rep.Faults) != 1 || !strings.Contains(rep.Faults[0].Error(), "Box3") {
					t.Errorf("%v, exit %d: %v", err, rep.Exit(), rep.Faults)
				}
				unlost(t, w, want)
				w.agreed(t, 2, want)
			})
		}
	}
}

// both lies twice.
func both(a, b spoils) spoils {
	return func(n int, cmd imaptest.Command, answer string) string { return b(n, cmd, a(n, cmd, answer)) }
}

// TestLiesWithQRESYNC has a server that tells what changed tell wrong things.
// Nothing may be lost; what was hidden is found by the comparison that follows
// in time.
func TestLiesWithQRESYNC(t *testing.T) {
	start := eventful(t, quickCaps)
	want, _ := finished(t, start)
	vanished := `\* VANISHED \(EARLIER\) [0-9,:]+\r\n`
	told := `\* \d+ FETCH \(UID \d+ FLAGS [^\r]*\r\n`
	for name, spoil := range map[string]spoils{
		"VANISHED is left out":           instead("EXAMINE", vanished, ""),
		"VANISHED names who is there":    instead("EXAMINE", vanished, "* VANISHED (EARLIER) 1:2\r\n"),
		"VANISHED names all":             instead("EXAMINE", `(T\d+ OK)`, "* VANISHED (EARLIER) 1:4294967295\r\n$1"),
		"VANISHED names one more":        instead("EXAMINE", vanished, "* VANISHED (EARLIER) 1:5\r\n"),
		"VANISHED is no set":             instead("EXAMINE", vanished, "* VANISHED (EARLIER) what\r\n"),
		"VANISHED has no end":            instead("EXAMINE", vanished, "* VANISHED (EARLIER"),
		"VANISHED is no list":            instead("EXAMINE", vanished, "* VANISHED\r\n"),
		"VANISHED is not EARLIER":        instead("EXAMINE", vanished, "* VANISHED 3,5\r\n"),
		"flags are left out":             instead("EXAMINE", told, ""),
		"QRESYNC is not honoured":        instead("EXAMINE", "(?:"+vanished+"|"+told+")", ""),
		"flags of a number":              instead("EXAMINE", `FETCH \(UID \d+ FLAGS`, "FETCH (FLAGS"),
		"flags that are none":            instead("EXAMINE", `FETCH \(UID \d+ FLAGS`, "FETCH (UID 0 FLAGS"),
		"a FETCH that is broken":         instead("EXAMINE", told, "* 1 FETCH (UID\r\n"),
		"bodies in place of flags":       instead("EXAMINE", `FLAGS \([^)]*\)`, "BODY[] {5}\r\nhello"),
		"no CLOSED":                      instead("EXAMINE", `\* OK \[CLOSED\][^\r]*\r\n`, ""),
		"HIGHESTMODSEQ goes back":        instead("EXAMINE", `HIGHESTMODSEQ \d+`, "HIGHESTMODSEQ 1"),
		"HIGHESTMODSEQ is absurd":        instead("EXAMINE", `HIGHESTMODSEQ \d+`, "HIGHESTMODSEQ 99999999999999999999"),
		"NOMODSEQ":                       instead("EXAMINE", `HIGHESTMODSEQ \d+`, "NOMODSEQ"),
		"another UIDVALIDITY":            instead("EXAMINE", `UIDVALIDITY \d+`, "UIDVALIDITY 4711"),
		"UIDNEXT goes back":              instead("EXAMINE", `UIDNEXT \d+`, "UIDNEXT 1"),
		"fewer EXISTS":                   instead("EXAMINE", `\* \d+ EXISTS`, "* 1 EXISTS"),
		"more EXISTS":                    instead("EXAMINE", `\* \d+ EXISTS`, "* 4294967295 EXISTS"),
		"none EXISTS":                    instead("EXAMINE", `\* \d+ EXISTS`, "* 0 EXISTS"),
		"QRESYNC is refused":             instead("EXAMINE", `(?s)^.*(T\d+) OK`, "$1 BAD"),
		"ENABLE is refused":              instead("ENABLE", `(?s)^.*(T\d+) OK`, "$1 NO"),
		"ENABLE enables something else":  instead("ENABLE", `ENABLED QRESYNC`, "ENABLED CONDSTORE"),
		"VANISHED where nothing enabled": instead("ENABLE", `\* ENABLED QRESYNC\r\n`, ""),
		"SEARCH finds none":              instead("UID SEARCH", ` ALL [0-9,:]+`, ""),
		"SEARCH finds all":               instead("UID SEARCH", ` ALL [0-9,:]+`, " ALL 1:4294967295"),
		"nor is CHANGEDSINCE": both(instead("EXAMINE", "(?:"+vanished+"|"+told+")", ""),
			instead("UID FETCH", `(?:\* \d+ FETCH \(UID \d+ FLAGS \([^)]*\) MODSEQ[^\r]*\r\n)`, "")),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start.clone()
			var lies atomic.Int64
			w.server.Spoil = func(n int, cmd imaptest.Command, answer string) string {
				lie := spoil(n, cmd, answer)
				if lie != answer {
					lies.Add(1)
				}
				return lie
			}
			_, _ = w.run(t)
			if lies.Load() == 0 {
				t.Error("no lie was told")
			}
			unlost(t, w, want)
			w.now = w.now.AddDate(0, 0, 8)
			w.agreed(t, 3, want)
		})
	}
}

// TestHiddenFlagsAreAskedForTwice has a server keep to itself what QRESYNC
// should have told: that HIGHESTMODSEQ rose must have a reason.
func TestHiddenFlagsAreAskedForTwice(t *testing.T) {
	w := settled(t, quickCaps)
	w.server.SetFlags("INBOX", 4, "\\Flagged")
	told := regexp.MustCompile(`\* \d+ FETCH \(UID \d+ FLAGS [^\r]*\r\n`)
	w.server.Spoil = func(_ int, cmd imaptest.Command, answer string) string {
		if cmd.Name == "EXAMINE" {
			return told.ReplaceAllString(answer, "")
		}
		return answer
	}
	if rep, err := w.run(t); err != nil || rep.Exit() != 0 {
		t.Fatalf("%v, %v", err, rep.Faults)
	}
	if d := sidetest.Compare(w.local.Snapshot(), w.remote()); d != "" {
		t.Error(d)
	}
}

// TestASurveyThatPromisesTooLittle: what was sent ahead tells of far more than
// STATUS did. It is asked for in its turn, and is whole.
func TestASurveyThatPromisesTooLittle(t *testing.T) {
	w := settled(t, bareCaps)
	for i := range 1500 {
		w.server.Deliver("Many", letter(3000+i), day)
	}
	w.server.Deliver("Zebra", letter(5000), day)
	w.server.Spoil = instead("STATUS", `(Many" )\(MESSAGES \d+`, "${1}(MESSAGES 3")
	examined := 0
	w.trace = func(dir, line string) {
		if dir == "C" && strings.Contains(line, `EXAMINE "Many"`) {
			examined++
		}
	}
	if rep, err := w.run(t); err != nil || rep.Exit() != 0 || examined < 2 {
		t.Fatalf("%v, %v; examined %d times", err, rep.Faults, examined)
	}
	if d := sidetest.Compare(w.local.Snapshot(), w.remote()); d != "" {
		t.Error(d)
	}
}
