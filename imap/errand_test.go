package imap_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A slow server carries a command out only when wait, which is asked anew at
// each command that comes, says that it need not wait for another one: who
// waits for an answer before it sends what it could send gets none.
type slow struct {
	*imaptest.Mailstore
	wait func(cmd imaptest.Command, behind []imaptest.Command) bool

	mu     sync.Mutex
	held   []imaptest.Command
	opened string // the arguments of the last EXAMINE that was carried out
}

// when sets wait.
func (s *slow) when(wait func(cmd imaptest.Command, behind []imaptest.Command) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wait = wait
}

func (s *slow) listen(t *testing.T) (string, int) {
	script := s.Script()
	handle := script.Handle
	script.Handle = func(p *imaptest.Peer, cmd imaptest.Command) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if cmd.Name == "AUTHENTICATE" {
			return handle(p, cmd)
		}
		s.held = append(s.held, cmd)
		for len(s.held) > 0 && !s.wait(s.held[0], s.held[1:]) {
			first := s.held[0]
			s.held = s.held[1:]
			if first.Name == "EXAMINE" {
				s.opened = first.Args
			}
			handle(p, first)
		}
		return true
	}
	return script.Listen(t)
}

// open opens an account on a server, with a record of what it sends.
func (s *slow) open(t *testing.T) *bench {
	b := &bench{T: t}
	host, port := s.listen(t)
	b.connectTo(imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann",
		Password: func(context.Context) (string, error) { return "secret", nil }, IdleTimeout: 10 * time.Second,
	})
	return b
}

func never(imaptest.Command, []imaptest.Command) bool { return false }

func named(name string) func(imaptest.Command) bool {
	return func(cmd imaptest.Command) bool { return cmd.Name == name }
}

func refsTo(n int) []mail.Ref {
	refs := make([]mail.Ref, n)
	for i := range refs {
		refs[i] = mail.Ref(fmt.Sprint(i + 1))
	}
	return refs
}

// fetches lists the commands that were sent since it was last called.
func (b *bench) fetches() (sent []string) {
	for _, cmd := range b.commands() {
		cmd = strings.TrimSuffix(cmd, " BODY.PEEK[])")
		cmd, _, _ = strings.Cut(cmd, " (")
		sent = append(sent, cmd)
	}
	return sent
}

// TestRangesFollowEachOther: the FETCH goes out with the EXAMINE, and there
// is always another range under way.
func TestRangesFollowEachOther(t *testing.T) {
	s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
	const n = 4500
	for i := range n {
		s.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
	}
	b := s.open(t)
	s.when(func(cmd imaptest.Command, behind []imaptest.Command) bool {
		switch cmd.Name {
		case "EXAMINE":
			return len(behind) == 0
		case "UID FETCH":
			return len(behind) == 0 && !strings.HasPrefix(cmd.Args, "4001:")
		}
		return false
	})
	b.commands()
	trips := b.side.Stats().RoundTrips
	got, err := b.bodies("INBOX", refsTo(n)...)
	if err != nil || len(got) != n || got["4500"] != message(n-1) {
		t.Fatalf("%d bodies, %v", len(got), err)
	}
	want := []string{"EXAMINE INBOX", "UID FETCH 1:1000", "UID FETCH 1001:2000", "UID FETCH 2001:3000", "UID FETCH 3001:4000", "UID FETCH 4001:4500"}
	if sent := b.fetches(); !slices.Equal(sent, want) {
		t.Errorf("sent %q", sent)
	}
	if trips = b.side.Stats().RoundTrips - trips; trips != 1 {
		t.Errorf("%d round trips, want 1", trips)
	}
}

// TestExpectedFetchesShareRoundTrips: what is announced is sent behind what
// is under way, so that the server always knows what comes next.
func TestExpectedFetchesShareRoundTrips(t *testing.T) {
	s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
	const boxes = 30
	box := func(i int) mail.MailboxName { return mail.MailboxName(fmt.Sprintf("box%02d", i)) }
	for i := range boxes {
		for j := range 3 {
			s.Deliver(string(box(i)), message(10*i+j), time.Unix(1_600_000_000, 0))
		}
	}
	b := s.open(t)
	s.when(func(cmd imaptest.Command, behind []imaptest.Command) bool {
		// The next mailbox's FETCH must have come, but for that of the last.
		return !slices.ContainsFunc(behind, named("UID FETCH")) && !(cmd.Name == "UID FETCH" && strings.HasPrefix(s.opened, fmt.Sprintf("%q", box(boxes-1))))
	})
	b.commands()
	trips := b.side.Stats().RoundTrips
	for i := range boxes {
		if i+1 < boxes {
			b.side.ExpectFetch(b.ids[box(i+1)], refsTo(3))
		}
		got, err := b.bodies(box(i), refsTo(3)...)
		if err != nil || len(got) != 3 || got["3"] != message(10*i+2) {
			t.Fatalf("box %d: %q, %v", i, got, err)
		}
	}
	var want []string
	for i := range boxes {
		want = append(want, fmt.Sprintf("EXAMINE %q", box(i)), "UID FETCH 1:3")
	}
	if sent := b.fetches(); !slices.Equal(sent, want) {
		t.Errorf("sent %q", sent)
	}
	if trips = b.side.Stats().RoundTrips - trips; trips != 1 {
		t.Errorf("%d round trips, want 1", trips)
	}
}

// TestWhatWasSentAheadIsDropped: whatever else is asked for is answered as if
// nothing had been sent ahead.
func TestWhatWasSentAheadIsDropped(t *testing.T) {
	for name, instead := range map[string]func(b *bench) error{
		"scan": func(b *bench) error {
			seen, sc := b.scan("c", plan.Since{})
			if len(seen) != 2 || !sc.Complete {
				return fmt.Errorf("%d seen, %+v", len(seen), sc)
			}
			return nil
		},
		"another fetch": func(b *bench) error {
			got, err := b.bodies("c", "1", "2")
			return wantBodies(got, err, message(30), message(31))
		},
		"other messages": func(b *bench) error {
			got, err := b.bodies("b", "2")
			return wantBodies(got, err, message(21))
		},
		"survey":        func(b *bench) error { b.survey(nil); return nil },
		"put":           func(b *bench) error { b.put("b", incoming(0, message(0))); return nil },
		"close and see": func(b *bench) error { return b.side.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
			for i, box := range []string{"a", "b", "c"} {
				for j := range 2 {
					s.Deliver(box, message(10*(i+1)+j), time.Unix(1_600_000_000, 0))
				}
			}
			b := s.open(t)
			b.commands()
			b.side.ExpectFetch(b.ids["b"], []mail.Ref{"1", "2"})
			got, err := b.bodies("a", "1", "2")
			if err := wantBodies(got, err, message(10), message(11)); err != nil {
				t.Fatal(err)
			}
			if sent := b.fetches(); !slices.Contains(sent, `EXAMINE "b"`) {
				t.Fatalf("nothing was sent ahead: %q", sent)
			}
			if err := instead(b); err != nil {
				t.Error(err)
			}
			got, err = b.bodies("b", "1", "2")
			if err := wantBodies(got, err, message(20), message(21)); err != nil {
				t.Error(err)
			}
			if n := b.side.Stats().Connections; name != "close and see" && n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

func wantBodies(got map[mail.Ref]string, err error, want ...string) error {
	if err != nil || len(got) != len(want) {
		return fmt.Errorf("%d bodies, %w", len(got), err)
	}
	for _, body := range got {
		if !slices.Contains(want, body) {
			return fmt.Errorf("got %q", body)
		}
	}
	return nil
}

// TestBodiesOfAMailboxThatWasNotOpenedAreDropped: a server that refuses
// EXAMINE, or opens a mailbox with another UIDVALIDITY, gives bodies to the
// FETCH behind it all the same.
func TestBodiesOfAMailboxThatWasNotOpenedAreDropped(t *testing.T) {
	for name, spoil := range map[string]func(s *slow){
		"refused": func(s *slow) {
			s.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == "EXAMINE" && strings.HasPrefix(cmd.Args, `"b"`) {
					return "{tag} NO not now\r\n"
				}
				return ""
			}
		},
		"another UIDVALIDITY": func(s *slow) { s.Renumber("b", 1) },
	} {
		for _, ahead := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, sent ahead %v", name, ahead), func(t *testing.T) {
				s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
				for i, box := range []string{"a", "b"} {
					for j := range 2 {
						s.Deliver(box, message(10*(i+1)+j), time.Unix(1_600_000_000, 0))
					}
				}
				b := s.open(t)
				spoil(s)
				if ahead {
					b.side.ExpectFetch(b.ids["b"], []mail.Ref{"1", "2"})
				}
				if _, err := b.bodies("a", "1", "2"); err != nil {
					t.Fatal(err)
				}
				got, err := b.bodies("b", "1", "2")
				if len(got) != 0 || err == nil {
					t.Errorf("%d bodies, %v", len(got), err)
				}
				got, err = b.bodies("a", "1")
				if err := wantBodies(got, err, message(10)); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestSetsStayShort: UIDs that do not follow each other make several commands.
func TestSetsStayShort(t *testing.T) {
	s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
	var refs []mail.Ref
	s.Reuse("INBOX", 1_000_000_000)
	for i := range 2000 {
		uid := s.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
		if i%2 == 0 {
			refs = append(refs, mail.Ref(fmt.Sprint(uid)))
		}
	}
	slices.Reverse(refs)
	b := s.open(t)
	b.commands()
	got, err := b.bodies("INBOX", refs...)
	if err != nil || len(got) != len(refs) {
		t.Fatalf("%d bodies, %v", len(got), err)
	}
	sent := b.commands()
	for _, cmd := range sent {
		if len(cmd) > 8000 {
			t.Errorf("a command of %d bytes", len(cmd))
		}
	}
	if len(sent) != 1+4 {
		t.Errorf("%d commands", len(sent))
	}
}

// TestARefusedRangeIsAskedForInPieces: one message that the server cannot
// read costs no other its place.
func TestARefusedRangeIsAskedForInPieces(t *testing.T) {
	s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
	for i := range 500 {
		s.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
	}
	b := s.open(t)
	s.Spoil = func(_ int, cmd imaptest.Command, answer string) string {
		if cmd.Name == "UID FETCH" && strings.Contains(answer, "(UID 333 ") && strings.Contains(answer, "BODY[]") {
			return cmd.Tag + " NO [SERVERBUG] cannot read 333\r\n"
		}
		return answer
	}
	b.commands()
	got, err := b.bodies("INBOX", refsTo(500)...)
	if len(got) != 499 || mail.GradeOf(err, 0) != mail.GradeMessage || !strings.Contains(err.Error(), "message 333") {
		t.Errorf("%d bodies, %v", len(got), err)
	}
	// The EXAMINE, all together, who is there, ten pieces, fifty alone.
	if sent := b.fetches(); len(sent) != 1+1+1+10+50 {
		t.Errorf("%d commands: %q", len(sent), sent)
	}
}

// TestABodyAheadOfItsFlagsIsHandedOver: items may come in any order.
func TestABodyAheadOfItsFlagsIsHandedOver(t *testing.T) {
	s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
	big := message(0) + strings.Repeat("0123456789abcdef\r\n", 100_000)
	s.Deliver("INBOX", big, time.Unix(1_600_000_000, 0), `\Seen`)
	s.Deliver("INBOX", message(1), time.Unix(1_600_000_000, 0), `\Flagged`)
	b := s.open(t)
	s.Spoil = func(_ int, cmd imaptest.Command, answer string) string {
		if cmd.Name != "UID FETCH" {
			return answer
		}
		bodies := ""
		for uid, body := range []string{"", big, message(1)} {
			if uid > 0 {
				bodies += fmt.Sprintf("* %d FETCH (UID %d BODY[] {%d}\r\n%s FLAGS (\\Seen) RFC822.SIZE %d INTERNALDATE \"13-Sep-2020 12:26:40 +0000\")\r\n",
					uid, uid, len(body), body, len(body))
			}
		}
		return bodies + cmd.Tag + " OK done\r\n"
	}
	n := 0
	err := b.side.Fetch(ctx, b.ids["INBOX"], []mail.Ref{"1", "2"}, func(ref mail.Ref, item mail.Item, r io.Reader) error {
		n++
		raw, err := io.ReadAll(r)
		if want := map[mail.Ref]string{"1": big, "2": message(1)}[ref]; string(raw) != want {
			return fmt.Errorf("%s has %d bytes, want %d", ref, len(raw), len(want))
		}
		if !item.Flags.Equal(mail.NewFlagSet(mail.Seen)) || item.Date.Unix() != 1_600_000_000 {
			return errors.New("not its flags, or not its date")
		}
		return err
	})
	if err != nil || n != 2 {
		t.Errorf("%d bodies, %v", n, err)
	}
}

// TestFetchesSurviveCuts cuts the connection at bytes of what the server
// says, and of what it is told, while ranges and the next mailboxes are under
// way: each message comes once, and whole.
func TestFetchesSurviveCuts(t *testing.T) {
	store := imaptest.NewMailstore(fullCaps)
	boxes := []struct {
		name mail.MailboxName
		n    int
	}{{"a", 1100}, {"b", 3}, {"c", 2}}
	for i, box := range boxes {
		for j := range box.n {
			store.Deliver(string(box.name), message(10_000*i+j), time.Unix(1_600_000_000, 0))
		}
	}
	host, port := store.Script().Listen(t)
	pull := func(t *testing.T, l *limit) {
		b := &bench{T: t}
		b.connectTo(imap.Options{
			Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone, Dialer: l.dial}, Username: "ann",
			Password: func(context.Context) (string, error) { return "secret", nil },
		})
		for i, box := range boxes {
			if i+1 < len(boxes) {
				b.side.ExpectFetch(b.ids[boxes[i+1].name], refsTo(boxes[i+1].n))
			}
			got, err := b.bodies(box.name, refsTo(box.n)...)
			if err != nil || len(got) != box.n {
				t.Fatalf("mailbox %s: %d bodies, %v", box.name, len(got), err)
			}
			for j := range box.n {
				if got[mail.Ref(fmt.Sprint(j+1))] != message(10_000*i+j) {
					t.Errorf("mailbox %s: message %d is another", box.name, j+1)
				}
			}
		}
	}
	all := &limit{fromServer: -1, toServer: -1}
	pull(t, all)
	for direction, total := range map[string]int64{"from": all.read.Load(), "to": all.written.Load()} {
		// What comes before the first FETCH cannot be repeated by this test.
		for at := total / 3; at < total; at += total / 37 {
			t.Run(fmt.Sprintf("%s the server %d", direction, at), func(t *testing.T) {
				l := &limit{fromServer: at, toServer: -1}
				if direction == "to" {
					l.fromServer, l.toServer = -1, at
				}
				pull(t, l)
			})
		}
	}
}

// TestABusyServerIsLeftAlone: it is not asked for each of many messages.
func TestABusyServerIsLeftAlone(t *testing.T) {
	s := &slow{Mailstore: imaptest.NewMailstore(fullCaps), wait: never}
	for i := range 500 {
		s.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
	}
	b := s.open(t)
	s.Spoil = func(_ int, cmd imaptest.Command, answer string) string {
		if cmd.Name == "UID FETCH" && strings.Contains(answer, "BODY[]") {
			return cmd.Tag + " NO [UNAVAILABLE] not now\r\n"
		}
		return answer
	}
	b.commands()
	got, err := b.bodies("INBOX", refsTo(500)...)
	if len(got) != 0 || mail.GradeOf(err, 0) != mail.GradeMailbox || mail.ClassOf(err) != mail.ClassThrottle {
		t.Errorf("%d bodies, %v", len(got), err)
	}
	if sent := b.fetches(); len(sent) != 1+1+1+10+10 {
		t.Errorf("%d commands: %q", len(sent), sent)
	}
}
