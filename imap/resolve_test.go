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
)

// scripted opens an account on a server of its own.
func scripted(t *testing.T, store *imaptest.Mailstore) *bench {
	b := &bench{T: t}
	host, port := store.Script().Listen(t)
	b.connectTo(imap.Options{
		Endpoint: imap.Endpoint{Host: host, Port: port, TLS: imap.TLSNone}, Username: "ann",
		Password: func(context.Context) (string, error) { return "secret", nil },
	})
	b.commands()
	return b
}

// unanswered are the intents of n copies into INBOX, and the messages. Of
// every five the last two have equal headers and sizes.
func (b *bench) unanswered(n int, epoch string) (intents []plan.Intent, bodies []string) {
	for i := range n {
		head, text := i, i
		if i%5 == 4 {
			head = i - 1
		}
		body := strings.TrimSuffix(message(head), fmt.Sprintf("body %d\r\n", head)) + fmt.Sprintf("body %06d\r\n", text)
		id, err := mail.Identify(strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		bodies = append(bodies, body)
		intents = append(intents, plan.Intent{
			ID: int64(i + 1), Kind: plan.IntentPut, To: b.ids["INBOX"], Epoch: epoch, Next: 3, Item: mail.Item{Ident: id},
		})
	}
	return intents, bodies
}

// resolved asks for all intents and gives where they were found; "" if absent.
func (b *bench) resolved(intents []plan.Intent, announce bool) []mail.Ref {
	b.Helper()
	bound := map[mail.Ref]bool{}
	refs := make([]mail.Ref, len(intents))
	if announce {
		b.side.ExpectResolves(intents)
	}
	for i, in := range intents {
		found, err := b.side.Resolve(ctx, in, func(ref mail.Ref) bool { return bound[ref] })
		if err != nil || found.State == plan.FoundUnknown {
			b.Fatalf("%d: %+v, %v", i, found, err)
		}
		if found.State == plan.FoundThere {
			refs[i], bound[found.At.Ref] = found.At.Ref, true
		}
	}
	return refs
}

// TestManyAreResolvedByOneLook: what a cut left unanswered is looked for once,
// not once a message, and each body is read once at most.
func TestManyAreResolvedByOneLook(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "bare": bareCaps} {
		t.Run(name, func(t *testing.T) {
			store := imaptest.NewMailstore(caps)
			for range 2 {
				store.Deliver("INBOX", message(7), time.Unix(1_600_000_000, 0))
			}
			b := scripted(t, store)
			epoch := b.survey(nil)["INBOX"].Epoch
			intents, bodies := b.unanswered(500, epoch)
			want := make([]mail.Ref, len(intents))
			for i := 299; i >= 0; i-- {
				if i == 298 {
					continue // its like is there, and not it
				}
				want[i] = mail.Ref(fmt.Sprint(store.Deliver("INBOX", bodies[i], time.Unix(1_600_000_000, 0))))
			}
			b.commands()
			trips := b.side.Stats().RoundTrips
			if got := b.resolved(intents, true); !slices.Equal(got, want) {
				t.Errorf("found at %q, want %q", got, want)
			}
			sent := b.fetches()
			// The doubtful are the first two of every five, as they lie there.
			if len(sent) != 3 || sent[0] != "EXAMINE INBOX" || sent[1] != "UID FETCH 3:*" || !strings.HasPrefix(sent[2], "UID FETCH 3,7:8,12:13,") {
				t.Errorf("sent %q", sent)
			}
			if trips = b.side.Stats().RoundTrips - trips; trips != 3 {
				t.Errorf("%d round trips", trips)
			}
			// Whatever may change what is there makes it be looked at anew.
			for what, act := range map[string]func(){
				"a survey": func() { b.survey(nil) },
				"a scan":   func() { b.scan("INBOX", plan.Since{}) },
				"a put":    func() { b.put("INBOX", incoming(0, message(900))) },
				"an op":    func() { b.do(plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", "1"), Add: mail.NewFlagSet(mail.Seen)}) },
			} {
				at := fmt.Sprint(store.Deliver("INBOX", bodies[499], time.Unix(1_600_000_000, 0)))
				act()
				if got := b.resolved(intents[499:], true)[0]; string(got) != at {
					t.Errorf("after %s: found at %q, want %s", what, got, at)
				}
				store.Expunge("INBOX", uid(at))
				act()
			}
		})
	}
}

func uid(text string) (n uint32) {
	_, _ = fmt.Sscan(text, &n)
	return n
}

// TestResolvesThatWereNotAnnounced find the same, by one look at the newcomers.
func TestResolvesThatWereNotAnnounced(t *testing.T) {
	store := imaptest.NewMailstore(fullCaps)
	b := scripted(t, store)
	intents, bodies := b.unanswered(50, b.survey(nil)["INBOX"].Epoch)
	want := make([]mail.Ref, len(intents))
	for i := range intents {
		intents[i].Next = 1
		if i%5 > 0 {
			want[i] = mail.Ref(fmt.Sprint(store.Deliver("INBOX", bodies[i], time.Unix(1_600_000_000, 0))))
		}
	}
	b.commands()
	if got := b.resolved(intents, false); !slices.Equal(got, want) {
		t.Errorf("found at %q, want %q", got, want)
	}
	sent := b.commands()
	n := 0
	for _, cmd := range sent {
		if strings.Contains(cmd, "HEADER.FIELDS") {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d looks: %q", n, sent)
	}
}

// TestManyMovesAreResolvedByOneLook: where they lie still, and where they came.
func TestManyMovesAreResolvedByOneLook(t *testing.T) {
	for name, tc := range map[string]struct {
		caps string
		want []string
	}{
		// What lies where it was was not moved by a server that moves at once.
		"full": {fullCaps, []string{"EXAMINE INBOX", "UID FETCH 1:500", "UID SEARCH UID 1:299", `EXAMINE "Work"`, "UID FETCH 1:*"}},
		"bare": {bareCaps, []string{"EXAMINE INBOX", "UID FETCH 1:500", "UID SEARCH UID 1:299", `EXAMINE "Work"`, "UID FETCH 1:*"}},
	} {
		t.Run(name, func(t *testing.T) {
			store := imaptest.NewMailstore(tc.caps)
			store.Create("Work")
			for i := range 500 {
				store.Deliver("INBOX", message(i), time.Unix(1_600_000_000, 0))
			}
			b := scripted(t, store)
			boxes := b.survey(nil)
			intents := make([]plan.Intent, 500)
			want := make([]mail.Ref, len(intents))
			for i := range intents {
				id, err := mail.Identify(strings.NewReader(message(i)))
				if err != nil {
					t.Fatal(err)
				}
				intents[i] = plan.Intent{
					ID: int64(i + 1), Kind: plan.IntentMove, From: b.at("INBOX", mail.Ref(fmt.Sprint(i+1))), FromEpoch: boxes["INBOX"].Epoch,
					To: b.ids["Work"], Epoch: boxes["Work"].Epoch, Next: 1, Item: mail.Item{Ident: id},
				}
				if i < 299 {
					store.Move("INBOX", uint32(i+1), "Work")
					want[i] = mail.Ref(fmt.Sprint(i + 1))
				}
			}
			b.commands()
			if got := b.resolved(intents, true); !slices.Equal(got, want) {
				t.Errorf("found at %q, want %q", got, want)
			}
			if sent := b.fetches(); !slices.Equal(sent, tc.want) {
				t.Errorf("sent %q", sent)
			}
		})
	}
}
