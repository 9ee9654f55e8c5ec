package maildir

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

const (
	goneBody = "Subject: gone\r\nMessage-ID: <1@x>\r\n\r\nbody\r\n"
	goneFile = "Subject: gone\nMessage-ID: <1@x>\n\nbody\n"
)

// A confirmCase does something to a tree that a message is gone from.
type confirmCase struct {
	name  string
	first func(*fixture) // before the survey
	later func(*fixture) // after the scans
	want  string         // sure, outside, or neither
	bound func(plan.Place) bool
	size  bool // no more than the size is known of the message
}

func confirmCases() []confirmCase {
	return []confirmCase{
		{name: "nothing else", want: "sure"},
		{name: "it came back", later: func(fx *fixture) { fx.write(goneFile, "INBOX", "cur", "1.a:2,S") }, want: "neither"},
		{name: "its key in another mailbox", first: func(fx *fixture) { fx.write(goneFile, "A", "cur", "1.a:2,S") }, want: "neither"},
		{
			name:  "its key in another mailbox, where another row has it",
			first: func(fx *fixture) { fx.write(goneFile, "A", "cur", "1.a:2,S") },
			bound: func(at plan.Place) bool { return at.Ref == "1.a" },
			want:  "sure",
		},
		{name: "its key came to another mailbox", later: func(fx *fixture) { fx.write(goneFile, "A", "new", "1.a") }, want: "neither"},
		{name: "its key out of scope", first: func(fx *fixture) { fx.write(goneFile, "Out", "cur", "1.a:2,S") }, want: "outside"},
		{name: "its bytes out of scope", first: func(fx *fixture) { fx.write(goneFile, "Out", "cur", "9.z:2,S") }, want: "outside"},
		{name: "its bytes out of scope, with CRLF", first: func(fx *fixture) { fx.write(goneBody, "Out", "cur", "9.z:2,S") }, want: "outside"},
		{name: "its bytes out of scope, with X-TUID", first: func(fx *fixture) { fx.write("X-TUID: abcdefghijkl\n"+goneFile, "Out", "cur", "9.z:2,S") }, want: "outside"},
		{name: "other bytes of that size out of scope", first: func(fx *fixture) { fx.write(strings.Replace(goneFile, "body", "also", 1), "Out", "cur", "9.z:2,S") }, want: "sure"},
		{name: "its bytes in a mailbox that was scanned", first: func(fx *fixture) { fx.write(goneFile, "A", "cur", "9.z:2,S") }, want: "sure"},
		{name: "its bytes came after the scan", later: func(fx *fixture) { fx.write(goneFile, "A", "new", "9.z") }, want: "neither"},
		{name: "other bytes came after the scan", later: func(fx *fixture) { fx.write("Subject: else\n\n", "A", "new", "9.z") }, want: "sure"},
		{name: "something of its size came", size: true, later: func(fx *fixture) { fx.write(strings.Replace(goneFile, "body", "also", 1), "A", "new", "9.z") }, want: "neither"},
		{name: "something much larger came", size: true, later: func(fx *fixture) { fx.write(strings.Repeat("x", 10000), "A", "new", "9.z") }, want: "sure"},
		{name: "a mailbox came with it", later: func(fx *fixture) { fx.maildirAt("New"); fx.write(goneFile, "New", "cur", "9.z:2,") }, want: "neither"},
		{name: "a mailbox was renamed", later: func(fx *fixture) { fx.rename("A", "B") }, want: "neither"},
		{name: "a mailbox was replaced", later: func(fx *fixture) { fx.rename("A", ".B"); fx.maildirAt("A") }, want: "neither"},
		{name: "we placed its bytes ourselves", later: func(fx *fixture) { fx.put("A", incoming(1, goneBody, mail.Item{})) }, want: "sure"},
		{name: "we placed mail in a mailbox that had not changed", later: func(fx *fixture) { fx.put("Still", incoming(1, goneBody, mail.Item{})) }, want: "sure"},
		{name: "it came to a mailbox that had not changed", later: func(fx *fixture) { fx.write(goneFile, "Still", "cur", "9.z:2,") }, want: "neither"},
		{name: "it came there beside ours", later: func(fx *fixture) {
			fx.put("Still", incoming(1, "x", mail.Item{}))
			fx.write(goneFile, "Still", "cur", "9.z:2,")
		}, want: "neither"},
		{name: "it lies in a mailbox that was not scanned", first: func(fx *fixture) { fx.write(goneFile, "Unscanned", "cur", "9.z:2,") }, want: "neither"},
	}
}

// TestConfirm: what is looked for is gone from INBOX when it was scanned.
func TestConfirm(t *testing.T) {
	for _, tt := range confirmCases() {
		t.Run(tt.name, func(t *testing.T) {
			fx := newFixture(t, Options{})
			fx.make(mail.Inbox, "A", "Still", "Unscanned", "Out")
			fx.write("y", "Still", "cur", "8.y:2,")
			if tt.first != nil {
				tt.first(fx)
			}
			fx.ahead = time.Hour
			_, still := fx.scan("Still")
			fx.reopen()
			fx.bind(mail.Inbox, "A", "Still", "Unscanned")
			boxes := fx.survey(map[mail.MailboxName]plan.Since{"Still": {Cursor: still.Cursor, Epoch: epoch}})
			wantEqual(t, "state of Still", boxes["Still"].State, plan.Same)
			fx.scan(mail.Inbox)
			fx.scan("A")
			if tt.later != nil {
				tt.later(fx)
			}
			id := bodyDigest(t, goneBody)
			if tt.size {
				id = mail.Identity{Size: id.Size}
			}
			sure, outside, err := fx.Confirm(t.Context(), []plan.Gone{{At: fx.at(mail.Inbox, "1.a"), Ident: id, Bound: tt.bound}})
			if err != nil {
				t.Fatal(err)
			}
			got := "neither"
			if len(sure) > 0 {
				got = "sure"
			}
			if len(outside) > 0 {
				got += "outside"
			}
			wantEqual(t, "it is", strings.TrimPrefix(got, "neitherout"), strings.TrimPrefix(tt.want, "out"))
		})
	}
}

func TestResolve(t *testing.T) {
	const body = "Subject: x\r\n\r\nbody\r\n"
	item := mail.Item{Token: token, Date: time.Unix(1000, 0), Ident: bodyDigest(t, body)}
	for _, tt := range []struct {
		name  string
		kind  plan.IntentKind
		there string // the file in A, "" for none
		item  mail.Item
		known bool
		want  plan.FoundState
	}{
		{name: "absent", kind: plan.IntentPut, item: item, want: plan.FoundAbsent},
		{name: "by token", kind: plan.IntentPut, there: tokenKey(item.Date, token) + ":2,S", item: mail.Item{Token: token}, want: plan.FoundThere},
		{name: "by identity", kind: plan.IntentPut, there: "9.z:2,S", item: item, want: plan.FoundThere},
		{name: "by key", kind: plan.IntentMove, there: "1.a:2,S", item: mail.Item{}, want: plan.FoundThere},
		{name: "known to the index", kind: plan.IntentPut, there: "9.z:2,S", item: item, known: true, want: plan.FoundAbsent},
		{name: "other bytes", kind: plan.IntentPut, there: "9.z:2,S", item: mail.Item{Ident: bodyDigest(t, "Subject: y\r\n\r\nbody\r\n")}, want: plan.FoundAbsent},
		{name: "mailbox", kind: plan.IntentCreate, want: plan.FoundThere},
	} {
		fx := newFixture(t, Options{})
		fx.make(mail.Inbox, "A")
		if tt.there != "" {
			fx.write(strings.ReplaceAll(body, "\r\n", "\n"), "A", "cur", tt.there)
		}
		found, err := fx.Resolve(t.Context(), plan.Intent{Kind: tt.kind, To: fx.ids["A"], From: fx.at(mail.Inbox, "1.a"), Item: tt.item, At: time.Now().Add(-time.Second)},
			func(mail.Ref) bool { return tt.known })
		if err != nil || found.State != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, found, err)
		}
		if found.State == plan.FoundThere && tt.kind != plan.IntentCreate {
			key, _ := splitName(tt.there)
			if found.At != fx.at("A", mail.Ref(key)) || !found.Flags.Has(mail.Seen) || found.Stat == "" {
				t.Errorf("%s: %+v", tt.name, found)
			}
		}
	}
	fx := newFixture(t, Options{})
	fx.make("A")
	fx.write(strings.ReplaceAll(body, "\r\n", "\n"), "A", "cur", "9.z:2,S")
	found, err := fx.Resolve(t.Context(), plan.Intent{Kind: plan.IntentPut, To: fx.ids["A"], Item: item, At: time.Now().Add(time.Hour)},
		func(mail.Ref) bool { return false })
	if err != nil || found.State != plan.FoundAbsent {
		t.Errorf("a file older than the intent: %+v, %v", found, err)
	}
}

func TestIdentify(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.write("Subject: x\n\nbody\n", "INBOX", "cur", "1.a:2,S")
	fx.write("Subject: y\r\n\r\n", "INBOX", "new", "2.b")
	fx.write("unreadable", "INBOX", "cur", "3.c:2,")
	fx.scan(mail.Inbox)
	fx.rename("INBOX/cur/1.a:2,S", "INBOX/cur/1.a:2,FS") // since it was listed
	if err := os.Remove(fx.path("INBOX", "cur", "3.c:2,")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(fx.path("INBOX", "cur", "3.c:2,"), 0o700); err != nil {
		t.Fatal(err)
	}
	got := map[mail.Ref]mail.Identity{}
	var failed []mail.Ref
	err := fx.Identify(t.Context(), fx.ids[mail.Inbox], []mail.Ref{"3.c", "1.a", "9.none", "2.b"}, mail.LevelLight, func(r mail.Ref, id mail.Identity, err error) error {
		if err != nil {
			failed = append(failed, r)
			return nil
		}
		got[r] = id
		return nil
	})
	if err != nil || len(got) != 2 || len(failed) != 1 || failed[0] != "3.c" {
		t.Errorf("%v, failed %v, %v", got, failed, err)
	}
	wantEqual(t, "1.a", got["1.a"].Body, bodyDigest(t, "Subject: x\r\n\r\nbody\r\n").Body)
	wantEqual(t, "2.b", got["2.b"].Size, 14)
}
