package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func TestFlagOps(t *testing.T) {
	fs := mail.ParseFlagSet
	for _, tt := range []struct {
		name, add, remove, want, accepted string
	}{
		{"new/1.a", `\Seen`, "", "cur/1.a:2,S", `\Seen`},
		{"new/1.a", "", `\Seen`, "new/1.a", ""},
		{"new/1.a:2,F", `\Seen`, "", "cur/1.a:2,FS", `\Seen`},
		{"cur/1.a", `\Seen`, "", "cur/1.a:2,S", `\Seen`},
		{"cur/1.a:1,x", `\Seen`, "", "cur/1.a:2,S", `\Seen`},
		{"cur/1.a:2,SXqa", `\Flagged Work`, `\Seen`, "cur/1.a:2,FXabq", `\Flagged Work`},
		{"cur/1.a:2,S,extra", "", `\Seen`, "cur/1.a:2,,extra", ""},
		{"cur/1.a:2,S", `\Seen`, `\Flagged`, "cur/1.a:2,S", `\Seen`},
		{"cur/1.a,U=3:2,S", "$Forwarded", "", "cur/1.a,U=3:2,PSc", "$Forwarded"},
		{"cur/1.a:2,PSc", "", "$Forwarded", "cur/1.a:2,S", ""},
	} {
		fx := newFixture(t, Options{FSync: true})
		fx.make(mail.Inbox)
		fx.write("0 Other\n1 Work\n2 $Forwarded\n", "INBOX", keywordsFile)
		fx.write("x", "INBOX", tt.name)
		key, _ := splitName(strings.TrimPrefix(strings.TrimPrefix(tt.name, "new/"), "cur/"))
		items, _ := fx.scan(mail.Inbox)
		out := fx.do(plan.Op{Tag: 7, Kind: plan.OpFlags, From: fx.at(mail.Inbox, mail.Ref(key)), Add: fs(tt.add), Remove: fs(tt.remove)})[0]
		if out.Tag != 7 || out.Result != plan.Done || !out.Accepted.Equal(fs(tt.accepted)) || out.Stat != items[mail.Ref(key)].Stat {
			t.Errorf("%s: %+v", tt.name, out)
		}
		if got := fx.read("INBOX", tt.want); got != "x" {
			t.Errorf("%s: %q", tt.want, got)
		}
	}
}

// TestKeywordsRunOut: the 27th keyword is declined, and no letter that files
// bear already gets a meaning.
func TestKeywordsRunOut(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.write("x", "INBOX", "cur", "1.a:2,z")
	fx.write("x", "INBOX", "cur", "2.b:2,")
	var names []string
	for i := range 27 {
		names = append(names, fmt.Sprintf("K%02d", i))
	}
	add := mail.ParseFlagSet(strings.Join(names, " ") + ` \Seen`)
	out := fx.do(plan.Op{Kind: plan.OpFlags, From: fx.at(mail.Inbox, "2.b"), Add: add})[0]
	wantEqual(t, "accepted", out.Accepted.Len(), 26) // 25 keywords, and \Seen
	items, _ := fx.scan(mail.Inbox)
	if !items["2.b"].Flags.Equal(out.Accepted) {
		t.Errorf("the file has %v, accepted were %v", items["2.b"].Flags, out.Accepted)
	}
	if !items["1.a"].Flags.Empty() {
		t.Errorf("the unknown letter became %v", items["1.a"].Flags)
	}
	only := plan.Op{Kind: plan.OpFlags, From: fx.at(mail.Inbox, "2.b"), Add: mail.ParseFlagSet("K26")}
	wantEqual(t, "nothing but a keyword without a letter", fx.do(only)[0].Result, plan.Declined)
	placed := fx.put(mail.Inbox, incoming(1, "x", mail.Item{Flags: mail.ParseFlagSet("K00 K26")}))
	wantEqual(t, "placed with", placed[0].Flags.String(), "K00")
}

// TestOneTableAnAccount: a keyword gets the letter that it has in other
// mailboxes; what a mailbox has already wins there.
func TestOneTableAnAccount(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox, "A", "B", "C")
	fx.write("3 Work\n4 Home", "A", keywordsFile)
	fx.write("3 Other\n", "B", keywordsFile)
	for _, box := range []mail.MailboxName{mail.Inbox, "A", "B", "C"} {
		fx.put(box, incoming(1, "x", mail.Item{Flags: mail.ParseFlagSet("Home Work")}))
	}
	wantEqual(t, "INBOX", fx.read("INBOX", keywordsFile), "4 Home\n3 Work\n")
	wantEqual(t, "A", fx.read("A", keywordsFile), "3 Work\n4 Home")
	if got := fx.read("B", keywordsFile); got != "3 Other\n4 Home\n0 Work\n" {
		t.Errorf("B: %q", got)
	}
	wantEqual(t, "C", fx.read("C", keywordsFile), "4 Home\n3 Work\n")
}

// TestKeywordsLock: Dovecot's lock is waited for, and broken when it is stale.
func TestKeywordsLock(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.write("", "INBOX", keywordsLock)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b, err := fx.Put(t.Context(), fx.ids[mail.Inbox])
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add(t.Context(), incoming(1, "x", mail.Item{Flags: mail.ParseFlagSet("Work")})); err != nil {
		t.Fatal(err)
	}
	placed, err := b.Commit(ctx)
	if !errors.Is(err, context.DeadlineExceeded) || placed[0].Err == nil || placed[0].Ref != "" {
		t.Errorf("under a foreign lock: %+v, %v", placed, err)
	}
	if _, err := os.Stat(fx.path("INBOX", keywordsFile)); err == nil {
		t.Error("the table was written under a foreign lock")
	}
	fx.ahead = lockStale + time.Minute
	if p := fx.put(mail.Inbox, incoming(1, "x", mail.Item{Flags: mail.ParseFlagSet("Work")})); !p[0].Flags.Has("Work") {
		t.Errorf("after the lock went stale: %+v", p)
	}
	if _, err := os.Stat(fx.path("INBOX", keywordsLock)); err == nil {
		t.Error("the lock is still there")
	}
}

func TestMoves(t *testing.T) {
	fx := newFixture(t, Options{FSync: true})
	fx.make(mail.Inbox, "A")
	fx.write("0 Work\n", "INBOX", keywordsFile)
	fx.write("0 Home\n1 Work\n", "A", keywordsFile)
	fx.write("one", "INBOX", "new", "1.a")
	fx.write("two", "INBOX", "cur", "2.b,U=5:2,SaX")
	fx.write("three", "INBOX", "cur", "3.c:2,S")
	fx.write("other", "A", "new", "3.c")
	fx.write("four", "INBOX", "cur", "4.d")
	fx.scan(mail.Inbox)
	op := func(ref mail.Ref) plan.Op {
		return plan.Op{Kind: plan.OpMove, From: fx.at(mail.Inbox, ref), To: fx.ids["A"]}
	}
	out := fx.do(op("1.a"), op("2.b,U=5"), op("3.c"), op("4.d"), op("5.none"))
	for i, o := range out[:4] {
		if o.Result != plan.Done || o.At.Box != fx.ids["A"] || o.Stat == "" || o.Epoch != epoch {
			t.Errorf("%d: %+v", i, o)
		}
	}
	wantEqual(t, "new stays new", fx.read("A", "new", "1.a"), "one")
	wantEqual(t, "letters are translated", fx.read("A", "cur", "2.b,U=5:2,SXb"), "two")
	if out[2].At.Ref == "3.c" {
		t.Error("the key of another message was taken")
	}
	wantEqual(t, "another key", fx.read("A", "cur", string(out[2].At.Ref)+":2,S"), "three")
	wantEqual(t, "nothing overwritten", fx.read("A", "new", "3.c"), "other")
	wantEqual(t, "name without info", fx.read("A", "cur", "4.d"), "four")
	wantEqual(t, "not there", out[4].Result, plan.Missing)
	wantEqual(t, "left", len(fx.files("INBOX", "cur"))+len(fx.files("INBOX", "new")), 0)
	wantEqual(t, "to where it is", fx.do(plan.Op{Kind: plan.OpMove, From: fx.at("A", "1.a"), To: fx.ids["A"]})[0].Result, plan.Done)

	var full strings.Builder
	for i := range maxKeywords {
		fmt.Fprintf(&full, "%d K%d\n", i, i)
	}
	fx.write(full.String(), "A", keywordsFile)
	fx.write("five", "INBOX", "cur", "5.e:2,a")
	o := fx.do(op("5.e"))[0]
	if o.Result != plan.Declined || o.Err == nil {
		t.Errorf("a move that would lose a keyword: %+v", o)
	}
	wantEqual(t, "it stays", fx.read("INBOX", "cur", "5.e:2,a"), "five")
}

func TestDelete(t *testing.T) {
	fx := newFixture(t, Options{FSync: true})
	fx.make(mail.Inbox)
	for _, name := range []string{"1.a:2,S", "2.b:2,", "3.c:2,", "4.d:2,", "6.touched:2,"} {
		fx.write("x\n", "INBOX", "cur", name)
	}
	items, _ := fx.scan(mail.Inbox)
	fx.rename("INBOX/cur/1.a:2,S", "INBOX/cur/1.a:2,FS") // no other bytes
	fx.write("edited", "INBOX", "cur", "2.b:2,")
	if err := os.Chtimes(fx.path("INBOX", "cur", "6.touched:2,"), time.Time{}, time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	del := func(ref mail.Ref, stat string, body string) plan.Op {
		return plan.Op{Kind: plan.OpDelete, From: fx.at(mail.Inbox, ref), Stat: stat, Expect: bodyDigest(t, body)}
	}
	out := fx.do(
		del("1.a", items["1.a"].Stat, "x\n"),
		del("2.b", items["2.b"].Stat, "x\n"),
		del("3.c", "", "x\r\n"),
		del("4.d", "", "something else"),
		del("5.gone", "1-2-3", "x\n"),
		del("6.touched", items["6.touched"].Stat, "x\n"),
	)
	for i, want := range []plan.Result{plan.Done, plan.Missing, plan.Done, plan.Missing, plan.Done, plan.Done} {
		wantEqual(t, fmt.Sprint(i), out[i].Result, want)
	}
	wantEqual(t, "left", strings.Join(fx.files("INBOX", "cur"), " "), "2.b:2, 4.d:2,")
}

// TestOpsWhileRenamed: ops find their files though a mail program renames
// them all the time, and no flag that it sets is lost.
func TestOpsWhileRenamed(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox, "A")
	const n = 40
	for i := range n {
		fx.write("x\n", "INBOX", "new", fmt.Sprintf("%d.a", i))
	}
	fx.scan(mail.Inbox)
	// Like a mail program: lists, adds F where it is missing.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			for _, sub := range []string{"new", "cur"} {
				list, err := os.ReadDir(fx.path("INBOX", sub))
				if err != nil {
					t.Error(err)
					return
				}
				for _, e := range list {
					key, info := splitName(e.Name())
					flags, _ := letters(info)
					flip := strings.Replace(flags, "F", "", 1)
					if flip == flags {
						flip += "F"
					}
					_ = os.Rename(fx.path("INBOX", sub, e.Name()), fx.path("INBOX", "cur", key+withLetters(info, flip)))
				}
			}
		}
	})
	var flags, moves []plan.Op
	for i := range n {
		from := fx.at(mail.Inbox, mail.Ref(fmt.Sprintf("%d.a", i)))
		flags = append(flags, plan.Op{Kind: plan.OpFlags, From: from, Add: mail.NewFlagSet(mail.Seen)})
		moves = append(moves, plan.Op{Kind: plan.OpMove, From: from, To: fx.ids["A"]})
	}
	for _, o := range append(fx.do(flags...), fx.do(moves...)...) {
		if o.Result != plan.Done {
			t.Errorf("%+v", o)
		}
	}
	cancel()
	wg.Wait()
	items, _ := fx.scan("A")
	wantEqual(t, "moved", len(items), n)
	for ref, item := range items {
		if !item.Flags.Has(mail.Seen) {
			t.Errorf("%s has %v", ref, item.Flags)
		}
	}
}

// TestDoCancelled: every op has an outcome.
func TestDoCancelled(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ops := make([]plan.Op, 2*chunk+1)
	for i := range ops {
		ops[i] = plan.Op{Tag: i, Kind: plan.OpDelete, From: fx.at(mail.Inbox, "1.a")}
	}
	got := 0
	err := fx.Do(ctx, ops, func(out []plan.Outcome) error {
		for _, o := range out {
			wantEqual(t, "tag", o.Tag, got)
			wantEqual(t, "result", o.Result, plan.Failed)
			got++
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || got != len(ops) {
		t.Errorf("%d outcomes, %v", got, err)
	}
}

// TestMoveAcrossFileSystems: a rename that cannot be is a copy that lasts
// before the original goes. Where the machine has one file system only, it is
// a rename; what must come of it is the same.
func TestMoveAcrossFileSystems(t *testing.T) {
	inbox, err := os.MkdirTemp("/dev/shm", "godwit")
	if err != nil {
		inbox = t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(inbox) })
	fx := newFixture(t, Options{Inbox: inbox, FSync: true})
	fx.make(mail.Inbox, "A")
	date := time.Unix(1e9, 0)
	in := fx.put(mail.Inbox, incoming(1, "Subject: x\r\n\r\n", mail.Item{Flags: mail.ParseFlagSet(`\Seen Work`), Date: date}))[0]
	out := fx.do(plan.Op{Kind: plan.OpMove, From: fx.at(mail.Inbox, in.Ref), To: fx.ids["A"]})[0]
	if out.Result != plan.Done || out.At != fx.at("A", in.Ref) {
		t.Errorf("%+v", out)
	}
	items, _ := fx.scan("A")
	item := items[in.Ref]
	if !item.Date.Equal(date) || !item.Flags.Equal(in.Flags) || item.Stat != out.Stat {
		t.Errorf("%+v", item)
	}
	if items, _ := fx.scan(mail.Inbox); len(items) != 0 {
		t.Errorf("left behind: %v", items)
	}
	wantEqual(t, "left in tmp", len(fx.files("A", "tmp")), 0)
}

// TestDuplicateKeys: a file whose key is there twice is changed without harm to the other.
func TestDuplicateKeys(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.write("old", "INBOX", "cur", "1.a:2,S")
	fx.write("new", "INBOX", "cur", "1.a:2,FS")
	items, _ := fx.scan(mail.Inbox)
	op := plan.Op{Kind: plan.OpFlags, From: fx.at(mail.Inbox, "1.a"), Remove: mail.NewFlagSet(mail.Flagged)}
	if out := fx.do(op)[0]; out.Result != plan.Failed || out.Err == nil {
		t.Errorf("a file was renamed over another: %+v", out)
	}
	wantEqual(t, "the one", fx.read("INBOX", "cur", "1.a:2,S"), "old")
	wantEqual(t, "the other", fx.read("INBOX", "cur", "1.a:2,FS"), "new")
	if out := fx.do(plan.Op{Kind: plan.OpDelete, From: op.From, Stat: items["1.a"].Stat})[0]; out.Result != plan.Done {
		t.Errorf("%+v", out)
	}
	wantEqual(t, "left", strings.Join(fx.files("INBOX", "cur"), " "), "1.a:2,S")
}
