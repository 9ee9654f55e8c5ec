package imap_test

import (
	"context"
	"fmt"
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

// changes are flag changes of 200 messages in ten groups, as many as both
// says of which remove something and add something else.
func (b *bench) changes(both int) (ops []plan.Op) {
	for i := range 200 {
		op := plan.Op{Tag: i, Kind: plan.OpFlags, From: b.at("INBOX", mail.Ref(fmt.Sprint(i+1))), Add: mail.NewFlagSet(mail.Flag(fmt.Sprint("k", i%10)))}
		if i%10 < both {
			op.Remove = mail.NewFlagSet(mail.Seen)
		}
		ops = append(ops, op)
	}
	return ops
}

// TestFlagChangesShareRoundTrips: however many different changes there are,
// they cost one round trip beside the SELECT; a second one where flags are
// removed and others added.
func TestFlagChangesShareRoundTrips(t *testing.T) {
	for name, tc := range map[string]struct {
		caps                string
		both, stores, trips int
	}{
		"full":                    {caps: fullCaps, stores: 10, trips: 2},
		"full, remove and add":    {caps: fullCaps, both: 4, stores: 14, trips: 3},
		"without CONDSTORE":       {caps: bareCaps, stores: 10, trips: 2},
		"without, remove and add": {caps: bareCaps, both: 10, stores: 20, trips: 3},
	} {
		t.Run(name, func(t *testing.T) {
			store := imaptest.NewMailstore(tc.caps)
			for i := range 200 {
				store.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0), `\Seen`)
			}
			b := scripted(t, store)
			b.scan("INBOX", plan.Since{})
			b.commands()
			trips := b.side.Stats().RoundTrips
			calls := 0
			var out []plan.Outcome
			if err := b.side.Do(ctx, b.changes(tc.both), func(o []plan.Outcome) error {
				calls++
				out = append(out, o...)
				return nil
			}); err != nil || calls != 1 || len(out) != 200 {
				t.Fatalf("%d outcomes in %d calls, %v", len(out), calls, err)
			}
			for _, o := range out {
				if o.Result != plan.Done || len(o.Accepted.Flags()) != 1 {
					t.Errorf("%+v", o)
				}
			}
			sent := b.commands()
			n := 0
			for _, cmd := range sent {
				if strings.HasPrefix(cmd, "UID STORE ") {
					n++
				}
			}
			if trips = b.side.Stats().RoundTrips - trips; trips != tc.trips || n != tc.stores || len(sent) != 1+n {
				t.Errorf("%d round trips, want %d; %d STOREs, want %d: %q", trips, tc.trips, n, tc.stores, sent)
			}
			for i, l := range store.Letters()["INBOX"] {
				want := []string{`\Seen`, fmt.Sprint("k", i%10)}
				if i%10 < tc.both {
					want = want[1:]
				}
				if !slices.Equal(l.Flags, want) {
					t.Errorf("message %d has %q, want %q", i+1, l.Flags, want)
				}
			}
		})
	}
}

// TestFlagsThatChangedMeanwhileInSomeGroups: what another program changed is
// left alone in each of the groups, and told as such.
func TestFlagsThatChangedMeanwhileInSomeGroups(t *testing.T) {
	store := imaptest.NewMailstore(fullCaps)
	for i := range 200 {
		store.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0), `\Seen`)
	}
	b := scripted(t, store)
	b.scan("INBOX", plan.Since{})
	for i := 0; i < 200; i += 7 {
		store.SetFlags("INBOX", uint32(i+1), `\Answered`)
	}
	store.Expunge("INBOX", 100)
	for _, o := range b.do(b.changes(5)...) {
		want := plan.Done
		if o.Tag%7 == 0 || o.Tag == 99 {
			want = plan.Missing
		}
		if o.Result != want {
			t.Errorf("%d: %+v, want %v", o.Tag, o, want)
		}
	}
	for _, l := range store.Letters()["INBOX"] {
		i := int(l.UID) - 1
		if i%7 == 0 != slices.Equal(l.Flags, []string{`\Answered`}) {
			t.Errorf("message %d has %q", l.UID, l.Flags)
		}
	}
}

// TestARefusedGroupOfFlagsStopsNoOther: what the server does not take of one
// group is that group's alone, and keywords that it refuses are left out.
func TestARefusedGroupOfFlagsStopsNoOther(t *testing.T) {
	for what, refusal := range map[string]string{
		"keywords": "{tag} NO [LIMIT] no more keywords\r\n", "rights": "{tag} NO [NOPERM] no\r\n", "anything": "{tag} NO [CORRUPTION] oh\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			store := imaptest.NewMailstore(fullCaps)
			for i := range 200 {
				store.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
			}
			b := scripted(t, store)
			b.scan("INBOX", plan.Since{})
			store.Before = func(_ int, cmd imaptest.Command) string {
				if cmd.Name == "UID STORE" && strings.Contains(cmd.Args, "k3") {
					return refusal
				}
				return ""
			}
			ops := b.changes(0)
			for i := range ops {
				if what != "keywords" {
					continue
				}
				ops[i].Add = ops[i].Add.With(mail.Flagged)
			}
			done := 0
			for _, o := range b.do(ops...) {
				switch {
				case o.Tag%10 != 3 && o.Result == plan.Done:
					done++
				case what == "keywords" && o.Result == plan.Done && o.Accepted.Equal(mail.NewFlagSet(mail.Flagged)),
					what == "rights" && o.Result == plan.Declined:
				case what == "anything" && o.Result == plan.Done && o.Accepted.Empty():
					// It may be that it refuses keywords: they are left out.
				default:
					t.Errorf("%+v", o)
				}
			}
			if done != 180 {
				t.Errorf("%d were done", done)
			}
		})
	}
}

// TestLocalChangesCostConstantRoundTrips carries flags of 200 messages, in ten
// groups, and deletions over to a Dovecot.
func TestLocalChangesCostConstantRoundTrips(t *testing.T) {
	p := newPurse(t)
	c := p.server.Client("ann")
	for i := range 220 {
		p.deliver(c, message(i))
	}
	p.run()
	for i, m := range p.local.Snapshot()["INBOX"][:200] {
		p.local.SetFlags("INBOX", m.Ref, mail.NewFlagSet(mail.Flagged, mail.Flag(fmt.Sprint("k", i%10))))
	}
	b := budgets["full"]
	p.costs(b, "flags carried over", p.run(), extra{"SELECT 1, UID STORE 10", 2, 24_000, 0})
	p.costs(b, "the run after it", p.run(), extra{"EXAMINE 1", 1, 24_000, 0}) // tells of our own changes
	p.costs(b, "nothing changed", p.run(), extra{})
	for _, m := range p.local.Snapshot()["INBOX"][100:150] {
		p.local.Expunge("INBOX", m.Ref)
	}
	// The bodies that are kept, the proof, and the deletion with a look at it.
	p.costs(b, "deletions carried over", p.run(), extra{"EXAMINE 1, SELECT 1, UID FETCH 3, UID STORE 1, UID EXPUNGE 1, UID SEARCH 1", 4, 40_000, 0})
	p.costs(b, "the run after it", p.run(), extra{"EXAMINE 1", 1, 1000, 0})
	p.costs(b, "nothing changed", p.run(), extra{})
}

// TestDeletionsShareRoundTrips removes a thousand messages that are kept
// first, and proves before that they are the ones that are meant.
func TestDeletionsShareRoundTrips(t *testing.T) {
	for name, tc := range map[string]struct {
		caps  string
		want  []string
		trips int
	}{
		"full": {fullCaps, []string{"UID FETCH 1:1000", "SELECT INBOX", "UID FETCH 1:1000",
			`UID STORE 1:1000 +FLAGS.SILENT`, "UID EXPUNGE 1:1000", "UID FETCH 1:1000", "UID SEARCH UID 1:1000"}, 4},
		"bare": {bareCaps, []string{"UID FETCH 1:1000", "SELECT INBOX", "UID FETCH 1:1000",
			"UID SEARCH DELETED", `UID STORE 1:1000 +FLAGS.SILENT`, "UID SEARCH DELETED",
			"EXPUNGE", "UID FETCH 1:1000", "UID SEARCH UID 1:1000"}, 7},
	} {
		t.Run(name, func(t *testing.T) {
			store := imaptest.NewMailstore(tc.caps)
			var ops []plan.Op
			for i := range 1100 {
				store.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0), `\Seen`)
			}
			b := scripted(t, store)
			b.scan("INBOX", plan.Since{})
			for i := range 1000 {
				id, err := mail.Identify(strings.NewReader(message(i)))
				if err != nil {
					t.Fatal(err)
				}
				ops = append(ops, plan.Op{Tag: i, Kind: plan.OpDelete, From: b.at("INBOX", mail.Ref(fmt.Sprint(i+1))), Expect: id})
			}
			b.commands()
			before := b.side.Stats()
			if got, err := b.bodies("INBOX", refsTo(1000)...); err != nil || len(got) != 1000 {
				t.Fatalf("%d bodies, %v", len(got), err)
			}
			fetched := b.side.Stats()
			for _, o := range b.do(ops...) {
				if o.Result != plan.Done {
					t.Errorf("%+v", o)
				}
			}
			after := b.side.Stats()
			if sent := b.fetches(); !slices.Equal(sent, tc.want) || after.RoundTrips-before.RoundTrips != tc.trips {
				t.Errorf("%d round trips, want %d: %q", after.RoundTrips-before.RoundTrips, tc.trips, sent)
			}
			// The proof is light header fields, about 200 bytes a message.
			if n := after.Read + after.Written - fetched.Read - fetched.Written; n > 300_000 {
				t.Errorf("%d bytes beside the bodies", n)
			}
			if left := store.Letters()["INBOX"]; len(left) != 100 || left[0].UID != 1001 {
				t.Errorf("%d are left", len(left))
			}
		})
	}
}

// TestAFullComparisonCostsFlagsAlone: dates and sizes of what is known are not
// asked for again.
func TestAFullComparisonCostsFlagsAlone(t *testing.T) {
	for _, name := range []string{"full", "without CONDSTORE"} {
		t.Run(name, func(t *testing.T) {
			b := budgets[name]
			p := newPurse(t, b.options...)
			c := p.server.Client("ann")
			for i := range 220 {
				p.deliver(c, message(i))
			}
			p.run()
			p.run()
			p.now = p.now.AddDate(0, 0, 8)
			s := p.run()
			p.costs(b, "full comparison", s, extra{"EXAMINE 1, UID FETCH 2", 1, 9000, 0})
			if !slices.Contains(s.commands, "UID FETCH 1:220 (FLAGS)") {
				t.Errorf("sent %q", s.commands)
			}
			p.costs(b, "nothing changed", p.run(), b.same)
		})
	}
}

// TestFetchesThatTheLibraryReadsGoAlone: of two that are under way a server may
// mix the answers, and the library waits for ever with one that is not read.
func TestFetchesThatTheLibraryReadsGoAlone(t *testing.T) {
	store := imaptest.NewMailstore(fullCaps)
	var ops []plan.Op
	for i := range 6000 {
		store.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0), `\Seen`)
	}
	script := store.Script()
	var mu sync.Mutex
	waiting, most, asked := map[string]bool{}, 0, 0
	host, port := script.Listen(t)
	b := &bench{T: t, ids: map[mail.MailboxName]mail.BoxID{}}
	b.side = open(t, imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann",
		Password: func(context.Context) (string, error) { return "secret", nil },
		Trace: func(dir, line string) {
			mu.Lock()
			defer mu.Unlock()
			tag, rest, _ := strings.Cut(line, " ")
			switch {
			case dir == "C" && strings.HasPrefix(rest, "UID FETCH") && strings.Contains(rest, "HEADER"):
				waiting[tag] = true
				asked, most = asked+1, max(most, len(waiting))
			case dir == "S":
				delete(waiting, tag)
			}
		},
	})
	b.survey(nil)
	for i := 0; i < 6000; i += 2 {
		id, err := mail.Identify(strings.NewReader(message(i)))
		if err != nil {
			t.Fatal(err)
		}
		ops = append(ops, plan.Op{Tag: len(ops), Kind: plan.OpDelete, From: b.at("INBOX", mail.Ref(fmt.Sprint(i+1))), Expect: id})
	}
	for _, o := range b.do(ops...) {
		if o.Result != plan.Done {
			t.Fatalf("%+v", o)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if asked < 2 || most != 1 {
		t.Errorf("%d FETCHes of headers, %d of them at once", asked, most)
	}
}
