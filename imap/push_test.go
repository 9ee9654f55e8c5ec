package imap_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

const (
	pipeCaps = fullCaps + " LITERAL+"
	pushCaps = fullCaps + " LITERAL+ MULTIAPPEND"
)

// pushing opens a Mailstore and gives a function that puts messages in INBOX.
func pushing(t *testing.T, m *imaptest.Mailstore, change func(*imap.Options)) func(in ...plan.Incoming) []plan.Placed {
	t.Helper()
	host, port := m.Script().Listen(t)
	opt := imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann", IdleTimeout: 5 * time.Second,
		Password: func(context.Context) (string, error) { return "secret", nil },
	}
	if change != nil {
		change(&opt)
	}
	a := open(t, opt)
	if _, err := a.Survey(ctx, nil); err != nil {
		t.Fatal(err)
	}
	a.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	return func(in ...plan.Incoming) []plan.Placed {
		t.Helper()
		batch, err := a.Put(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range in {
			if err := batch.Add(ctx, i); err != nil {
				t.Fatal(err)
			}
		}
		placed, err := batch.Commit(ctx)
		if err != nil || len(placed) != len(in) {
			t.Fatalf("%d of %d, %v", len(placed), len(in), err)
		}
		return placed
	}
}

// TestAPushIsOneFlight pushes to a server that answers no APPEND before it was
// asked for the copy of a message: all that is sent leaves without waiting.
func TestAPushIsOneFlight(t *testing.T) {
	for caps, appends := range map[string]int{pipeCaps: 300, pushCaps: 3} {
		m := imaptest.NewMailstore(caps)
		late, seen := "", map[string]int{}
		m.Spoil = func(_ int, cmd imaptest.Command, answer string) string {
			if seen[cmd.Name]++; cmd.Name == "APPEND" || cmd.Name == "EXAMINE" {
				late += answer
				return ""
			}
			answer, late = late+answer, ""
			return answer
		}
		var in []plan.Incoming
		for i := range 300 {
			in = append(in, incoming(i, message(i), mail.Seen))
		}
		in[7].Echo = func() bool { return true }
		placed := pushing(t, m, nil)(in...)
		for i, p := range placed {
			if p.Err != nil || p.Ref != mail.Ref(fmt.Sprint(i+1)) || (p.Stored.Body == p.Ident.Body) != (i == 7) {
				t.Fatalf("%d: %+v", i, p)
			}
		}
		if seen["APPEND"] != appends || seen["EXAMINE"] != 1 || seen["UID FETCH"] != 1 {
			t.Errorf("%s: %v", caps, seen)
		}
		for i, l := range m.Letters()["INBOX"] {
			if l.Body != message(i) || !slices.Equal(l.Flags, []string{"\\Seen"}) || !l.Date.Equal(in[i].Item.Date) {
				t.Fatalf("%d: %+v", i, l)
			}
		}
	}
}

// TestAMessageThatChangedIsNotSent gives a message that is not the one which the
// intent tells of: no byte of it leaves.
func TestAMessageThatChangedIsNotSent(t *testing.T) {
	m := imaptest.NewMailstore(pushCaps)
	in := []plan.Incoming{incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2))}
	for i := range in {
		id, err := mail.Identify(strings.NewReader(message(max(i, 2*(i%2)))))
		if err != nil {
			t.Fatal(err)
		}
		in[i].Item.Ident = id
	}
	placed := pushing(t, m, nil)(in...)
	if placed[0].Err != nil || placed[1].Err == nil || placed[1].Unknown || placed[2].Err != nil {
		t.Fatalf("%+v", placed)
	}
	if got := m.Letters()["INBOX"]; len(got) != 2 || got[0].Body != message(0) || got[1].Body != message(2) {
		t.Fatalf("%d messages arrived", len(got))
	}
}

// TestRefusalsInAPipeline refuses one message of several, wherever it is and
// in whatever way: the others arrive, once each.
func TestRefusalsInAPipeline(t *testing.T) {
	const n = 7
	for _, caps := range []string{fullCaps, pipeCaps, pushCaps, bareCaps, "IMAP4rev1 LITERAL+ MULTIAPPEND"} {
		for _, code := range []string{"[OVERQUOTA]", "[TRYCREATE]", "[NOPERM]", "[LIMIT]", "", "[CANNOT]"} {
			for at := range n {
				for _, flags := range [][]mail.Flag{{mail.Seen}, {mail.Seen, "todo"}} {
					m := imaptest.NewMailstore(caps)
					m.Before = func(_ int, cmd imaptest.Command) string {
						for _, literal := range cmd.Literals {
							if cmd.Name == "APPEND" && string(literal) == message(at) {
								return "{tag} NO " + code + " not that one\r\n"
							}
						}
						return ""
					}
					var in []plan.Incoming
					for i := range n {
						in = append(in, incoming(i, message(i), flags...))
					}
					name := fmt.Sprintf("%s %s at %d with %v", caps, code, at, flags)
					oneRefused(t, name, m, pushing(t, m, nil)(in...), at)
				}
			}
		}
	}
}

func oneRefused(t *testing.T, name string, m *imaptest.Mailstore, placed []plan.Placed, at int) {
	t.Helper()
	there := map[string]int{}
	for _, l := range m.Letters()["INBOX"] {
		there[l.Body]++
	}
	for i, p := range placed {
		switch {
		case i == at && (p.Err == nil || p.Unknown || p.Ref != "" || there[message(i)] != 0):
			t.Errorf("%s: %+v, there %d times", name, p, there[message(i)])
		case i != at && (p.Err != nil || p.Unknown || p.Ref == "" || there[message(i)] != 1):
			t.Errorf("%s: %d: %+v, there %d times", name, i, p, there[message(i)])
		}
	}
}

// TestARefusedGroupIsSentOneByOne also where the mailbox grew meanwhile, and
// where the server kept what it refused.
func TestARefusedGroupIsSentOneByOne(t *testing.T) {
	for name, meanwhile := range map[string]func(*imaptest.Mailstore){
		"another came": func(m *imaptest.Mailstore) { m.Deliver("INBOX", letter(900), day) },
		"one was kept": func(m *imaptest.Mailstore) { m.Deliver("INBOX", message(1), day) },
	} {
		m, done := imaptest.NewMailstore(pushCaps), false
		m.Before = func(_ int, cmd imaptest.Command) string {
			if done || cmd.Name != "APPEND" {
				return ""
			}
			done = true
			meanwhile(m)
			return "{tag} NO [SERVERBUG] no\r\n"
		}
		placed := pushing(t, m, nil)(incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
		oneRefused(t, name, m, placed, -1)
	}
}

// TestAnEchoUnderAnotherUID has another message come first: the copy is asked
// for again under the UID that it got.
func TestAnEchoUnderAnotherUID(t *testing.T) {
	for _, caps := range []string{fullCaps, pipeCaps, pushCaps, bareCaps} {
		m, done := imaptest.NewMailstore(caps), false
		m.Before = func(_ int, cmd imaptest.Command) string {
			if cmd.Name == "APPEND" && !done {
				done = true
				m.Deliver("INBOX", letter(900), day)
			}
			return ""
		}
		in := []plan.Incoming{incoming(0, message(0)), incoming(1, message(1))}
		in[1].Echo = func() bool { return true }
		for i, p := range pushing(t, m, nil)(in...) {
			if p.Ref != mail.Ref(fmt.Sprint(i+2)) || (p.Stored.Body == p.Ident.Body) != (i == 1) {
				t.Errorf("%s: %d: %+v", caps, i, p)
			}
		}
	}
}

// TestAnEchoOfWhatAServerRewrites tells the identity of the copy.
func TestAnEchoOfWhatAServerRewrites(t *testing.T) {
	m := imaptest.NewMailstore(pushCaps)
	m.Spoil = instead("UID FETCH", "body 1", "BODY 1")
	in := []plan.Incoming{incoming(0, message(0)), incoming(1, message(1))}
	for i := range in {
		in[i].Echo = func() bool { return true }
	}
	want, _ := mail.Identify(strings.NewReader(strings.Replace(message(1), "body 1", "BODY 1", 1)))
	placed := pushing(t, m, nil)(in...)
	if placed[0].Stored.Body != placed[0].Ident.Body || placed[1].Stored.Body != want.Body {
		t.Errorf("%+v", placed)
	}
}

// TestAMessageLargerThanWhatIsHeld is sent alone, between others, from a file.
func TestAMessageLargerThanWhatIsHeld(t *testing.T) {
	big := message(1) + strings.Repeat("0123456789abcdef\r\n", 150_000)
	for _, caps := range []string{fullCaps, pipeCaps, pushCaps} {
		m := imaptest.NewMailstore(caps)
		in := []plan.Incoming{incoming(0, message(0)), incoming(1, big), incoming(2, message(2))}
		in[1].Echo = func() bool { return true }
		placed := pushing(t, m, nil)(in...)
		if got := m.Letters()["INBOX"]; len(got) != 3 || got[1].Body != big || placed[1].Stored.Body != placed[1].Ident.Body {
			t.Errorf("%s: %d messages, %+v", caps, len(got), placed[1])
		}
	}
}

// TestCutInAFlight cuts a push of messages at bytes of what the server says
// and of what it is told: none is lost, none is there twice.
func TestCutInAFlight(t *testing.T) {
	stride := int64(5 * *every)
	for name, caps := range map[string]string{"full": fullCaps, "LITERAL+": pipeCaps, "MULTIAPPEND": pushCaps, "bare": bareCaps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := settled(t, caps)
			for i := range 9 {
				start.local.Deliver("Work", letter(700+i), mail.NewFlagSet([]mail.Flag{mail.Seen, mail.Flagged, "todo"}[i%3]), day)
			}
			want := start.local.Snapshot()
			all := &limit{fromServer: -1, toServer: -1}
			w := start.clone()
			w.dialer = all.dial
			if rep, err := w.run(t); err != nil || rep.Exit() != 0 {
				t.Fatalf("%v, %v", err, rep.Faults)
			}
			for direction, total := range map[string]int64{"from": all.read.Load(), "to": all.written.Load()} {
				for at := total % stride; at < total; at += stride {
					l := &limit{fromServer: at, toServer: -1}
					if direction == "to" {
						l.fromServer, l.toServer = -1, at
					}
					w := start.clone()
					w.dialer = l.dial
					rep, err := w.run(t)
					if err == nil && rep.Exit() == 0 {
						w.holds(t, want)
					}
					if w.agreed(t, 1, want); t.Failed() {
						t.Fatalf("%s the server %d", direction, at)
					}
				}
			}
		})
	}
}

// TestANewerFlagIsNotOverwritten changes flags on the server after it was
// looked at: that message is left alone, the others are not, and the next run
// brings both together.
func TestANewerFlagIsNotOverwritten(t *testing.T) {
	for name, caps := range map[string]string{"CONDSTORE": fullCaps, "QRESYNC": quickCaps} {
		t.Run(name, func(t *testing.T) {
			w := settled(t, caps)
			for _, m := range w.local.Snapshot()["INBOX"] {
				for i := range 4 {
					if string(sidetest.Canonical(m.Body)) == letter(i) {
						w.local.SetFlags("INBOX", m.Ref, m.Flags.With(mail.Flagged))
					}
				}
			}
			var uid uint32
			for _, l := range w.server.Letters()["INBOX"] {
				if l.Body == letter(2) {
					uid = l.UID
				}
			}
			var stores []string
			w.server.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == "UID STORE" {
					if stores = append(stores, cmd.Args); len(stores) == 1 {
						w.server.SetFlags("INBOX", uid, "\\Seen", "\\Answered")
					}
				}
				return ""
			}
			rep, err := w.run(t)
			if err != nil || rep.Exit() != 0 || rep.Flagged[plan.Remote] != 3 || len(stores) != 1 || !strings.Contains(stores[0], "(UNCHANGEDSINCE ") {
				t.Fatalf("%v, %d flagged, %v, %q", err, rep.Flagged[plan.Remote], rep.Faults, stores)
			}
			for _, l := range w.server.Letters()["INBOX"] {
				if l.UID == uid && !slices.Equal(l.Flags, []string{"\\Seen", "\\Answered"}) {
					t.Errorf("it has %v", l.Flags)
				}
			}
			want := w.local.Snapshot()
			for i := range want["INBOX"] {
				if m := &want["INBOX"][i]; string(sidetest.Canonical(m.Body)) == letter(2) {
					m.Flags = mail.NewFlagSet(mail.Seen, mail.Flagged, mail.Answered)
				}
			}
			w.agreed(t, 1, want)
		})
	}
}

// TestAMailboxIsMadeInOneFlight makes one on a server that answers nothing
// before it was sent all.
func TestAMailboxIsMadeInOneFlight(t *testing.T) {
	m := imaptest.NewMailstore(fullCaps)
	host, port := m.Script().Listen(t)
	a := open(t, imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann", IdleTimeout: 5 * time.Second,
		Password: func(context.Context) (string, error) { return "secret", nil },
	})
	if _, err := a.Survey(ctx, nil); err != nil {
		t.Fatal(err)
	}
	var late string
	var sent []string
	m.Spoil = func(_ int, cmd imaptest.Command, answer string) string {
		if sent = append(sent, cmd.Name); len(sent) < 3 {
			late += answer
			return ""
		}
		answer, late = late+answer, ""
		return answer
	}
	for range 2 { // that it is there already is no error, and costs nothing more
		sent = nil
		box, err := a.Create(ctx, "Work/Deep")
		if err != nil || box.Epoch == "" || box.Next != 1 || !slices.Equal(sent, []string{"CREATE", "SUBSCRIBE", "STATUS"}) {
			t.Errorf("%+v, %v, %q", box, err, sent)
		}
	}
}
