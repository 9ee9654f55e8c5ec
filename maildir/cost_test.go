package maildir

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// called counts the calls of each kind on paths that have a part in them.
func (x *tap) called(part string) map[string]int {
	n := map[string]int{}
	for _, c := range x.calls {
		if from, _, _ := strings.Cut(c.path, arrow); strings.Contains(from, part) {
			n[c.call]++
		}
	}
	return n
}

func wantCalls(t *testing.T, what string, got map[string]int, want string) {
	t.Helper()
	if text := fmt.Sprint(got); text != "map["+want+"]" {
		t.Errorf("%s: the calls are %s, want %s", what, text, want)
	}
}

// settledBox is a mailbox with n messages that was scanned in a run before
// and has not changed since.
func settledBox(t *testing.T, n int) (*fixture, *tap, map[mail.Ref]mail.Item) {
	t.Helper()
	x := &tap{}
	fx := newFixture(t, Options{FSync: true, seam: x.seam})
	fx.make(mail.Inbox)
	for i := range n {
		fx.write("Subject: x\n\nx\n", "INBOX", "cur", fmt.Sprintf("%d.a:2,%s", i, []string{"", "S", "FS"}[i%3]))
	}
	fx.write("Subject: x\n\nx\n", "INBOX", "new", "1.new")
	fx.ahead = time.Minute
	items, s := fx.scan(mail.Inbox)
	fx.reopen()
	box := fx.survey(map[mail.MailboxName]plan.Since{mail.Inbox: {Cursor: s.Cursor, Epoch: epoch}})
	fx.bind(mail.Inbox)
	wantEqual(t, "state", box[mail.Inbox].State, plan.Same)
	x.calls = nil
	return fx, x, items
}

// TestDeliveryCost: a message that fits in memory takes six system calls from
// its bytes to its place, and nothing is listed for those that follow.
func TestDeliveryCost(t *testing.T) { bothWays(t, testDeliveryCost) }

func testDeliveryCost(t *testing.T, by way) {
	x := &tap{}
	fx := newFixture(t, by(Options{FSync: true, seam: x.seam}))
	fx.make(mail.Inbox)
	deliver := func(from, n int) {
		in := make([]plan.Incoming, n)
		for i := range in {
			item := mail.Item{Token: mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(from+i))), Date: firstDay, Flags: mail.NewFlagSet(mail.Seen)}
			in[i] = incoming(i, letter(from+i), item)
		}
		fx.put(mail.Inbox, in...)
	}
	deliver(0, 1)
	x.calls = nil
	deliver(1, 200)
	if fx.Durability().Linked == 0 {
		wantCalls(t, "200 messages: files", x.called("/INBOX/tmp/"), "close:200 create:200 rename:200 set the time of:200 stat:200 write:200")
	} else {
		wantCalls(t, "200 messages: files", x.called("/INBOX/tmp/#"), "close:200 link:200 set the time of:200 stat:200 write:200")
		wantCalls(t, "and tmp", x.called("/INBOX/tmp"), "close:200 create unnamed:200 link:200 open:1 set the time of:200 stat:201 sync the file system of:1 write:200")
	}
	wantCalls(t, "all that is listed", x.called("/INBOX/cur"), "open:1 stat:2 sync directory:1")
	wantEqual(t, "syncs", x.called("")["sync the file system of"], 1)
	wantEqual(t, "syncs of files", x.called("")["sync"], 0)
	wantEqual(t, "listings", x.called("")["list"], 0)
}

// TestFlagCost: a flag of one message of a mailbox that stands still costs no
// listing, whatever the flags of the message are.
func TestFlagCost(t *testing.T) {
	fx, x, items := settledBox(t, 300)
	for ref, add := range map[mail.Ref]mail.Flag{"3.a": mail.Seen, "4.a": mail.Flagged, "5.a": mail.Answered, "1.new": mail.Seen} {
		out := fx.do(plan.Op{Kind: plan.OpFlags, From: fx.at(mail.Inbox, ref), Add: mail.NewFlagSet(add), Has: items[ref].Flags})
		wantEqual(t, string(ref), out[0].Result, plan.Done)
		wantEqual(t, "its mark", out[0].Stat, items[ref].Stat)
	}
	out := fx.do(plan.Op{Kind: plan.OpDelete, From: fx.at(mail.Inbox, "8.a"), Has: items["8.a"].Flags, Stat: items["8.a"].Stat})
	wantEqual(t, "deletion", out[0].Result, plan.Done)
	wantEqual(t, "listings", x.called("")["list"], 0)
	wantEqual(t, "syncs of directories", x.called("")["sync directory"], 6)

	// One that somebody changed meanwhile is found by a listing.
	fx.rename("INBOX/cur/6.a:2,", "INBOX/cur/6.a:2,R")
	out = fx.do(plan.Op{Kind: plan.OpFlags, From: fx.at(mail.Inbox, "6.a"), Add: mail.NewFlagSet(mail.Seen)})
	wantEqual(t, "changed meanwhile", out[0].Result, plan.Done)
	after, _ := fx.scan(mail.Inbox)
	for ref, want := range map[mail.Ref]string{"3.a": `\Seen`, "4.a": `\Seen \Flagged`, "5.a": `\Seen \Answered \Flagged`, "1.new": `\Seen`, "6.a": `\Seen \Answered`} {
		if got := after[ref].Flags; !got.Equal(mail.ParseFlagSet(want)) {
			t.Errorf("%s has %s, want %s", ref, got, want)
		}
	}
	wantEqual(t, "messages", len(after), 300)
}

// TestFlagsCost: changes of system flags cost two system calls each, and one sync
// of the directory together; the table of keywords is looked at once.
func TestFlagsCost(t *testing.T) {
	fx, x, items := settledBox(t, 300)
	var ops []plan.Op
	for i := range 90 {
		ref := mail.Ref(fmt.Sprintf("%d.a", 3*i+1)) // with \Seen
		ops = append(ops, plan.Op{Tag: i, Kind: plan.OpFlags, From: fx.at(mail.Inbox, ref), Add: mail.NewFlagSet(mail.Flagged), Has: items[ref].Flags})
	}
	for _, out := range fx.do(ops...) {
		wantEqual(t, "result", out.Result, plan.Done)
		wantEqual(t, "mark", out.Stat, items[ops[out.Tag].From.Ref].Stat)
	}
	wantCalls(t, "90 files", x.called("/INBOX/cur/"), "rename:90 stat:90")
	wantCalls(t, "keywords", x.called(keywordsFile), "open:1 stat:1")
	wantEqual(t, "listings", x.called("")["list"], 0)
	wantEqual(t, "syncs of directories", x.called("")["sync directory"], 1)
}

// TestSurveyCost: a mailbox that stands still costs six looks, none at its
// messages: it is opened and read for mailboxes below it, and itself, cur, new
// and the keywords are asked for their times.
func TestSurveyCost(t *testing.T) {
	for layout, want := range map[Layout]string{FS: "list:1 open:1 stat:4", PlusPlus: "open:1 stat:4"} {
		x := &tap{}
		fx := newFixture(t, Options{Layout: layout, seam: x.seam})
		fx.make(mail.Inbox, "Work")
		fx.put("Work", incoming(1, letter(1), mail.Item{Flags: mail.NewFlagSet("word")}))
		fx.ahead = time.Minute
		_, s := fx.scan("Work")
		fx.reopen()
		x.calls = nil
		box := fx.survey(map[mail.MailboxName]plan.Since{"Work": {Cursor: s.Cursor, Epoch: epoch}})
		wantEqual(t, "state", box["Work"].State, plan.Same)
		wantCalls(t, string(layout), x.called("Work"), want)
	}
}

// TestPlaceCostWithAnIndex: where the index knows what a mailbox that stands
// still holds, nothing of it is read to place a few messages; and as soon as
// somebody else changed it, the index is not asked.
func TestPlaceCostWithAnIndex(t *testing.T) {
	fx, x, items := settledBox(t, 300)
	bound := map[mail.Ref]bool{}
	for ref := range items {
		bound[ref] = true
	}
	token := func(i int) string { return mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(i))) }
	asked, all := 0, len(bound)
	fx.Maildir.opt.Bound = func(_ context.Context, box mail.BoxID, refs []mail.Ref) (is []mail.Ref, n int, err error) {
		asked++
		for _, ref := range refs {
			if bound[ref] {
				is = append(is, ref)
			}
		}
		return is, all, nil
	}
	put := func(i int) (ref mail.Ref, lists int) {
		x.calls = nil
		placed := fx.put(mail.Inbox, incoming(1, letter(i), mail.Item{Token: token(i), Date: firstDay}))
		return placed[0].Ref, x.called("/INBOX/cur")["list"] + x.called("/INBOX/new")["list"]
	}
	for i := range 3 {
		ref, lists := put(i)
		if lists != 0 || asked != i+1 || ref != mail.Ref(tokenKey(firstDay, token(i))) {
			t.Errorf("message %d became %s, after %d listings and %d questions", i, ref, lists, asked)
		}
	}
	// One that this run placed is there, whatever the index says.
	if ref, _ := put(2); ref != mail.Ref(tokenKey(firstDay, token(2))) {
		t.Errorf("the same message again became %s", ref)
	}
	fx.write(strings.ReplaceAll(letter(9), "\r\n", "\n"), "INBOX", "cur", tokenKey(firstDay, token(9))+":2,R")
	asked = 0
	for i := range 2 { // the second does not forget it
		ref, lists := put(9 - i)
		if asked != 0 || i == 0 && (lists == 0 || ref != mail.Ref(tokenKey(firstDay, token(9)))) {
			t.Errorf("beside another's file %d became %s, after %d listings and %d questions", 9-i, ref, lists, asked)
		}
	}
	if ref, _ := put(9); ref != mail.Ref(tokenKey(firstDay, token(9))) {
		t.Errorf("another's file is not found any more: %s", ref)
	}
}

// What the index has in another number than the mailbox held is no witness.
func TestAnIndexThatDoesNotAgreeIsNotBelieved(t *testing.T) {
	fx, x, _ := settledBox(t, 30)
	fx.Maildir.opt.Bound = func(context.Context, mail.BoxID, []mail.Ref) ([]mail.Ref, int, error) { return nil, 30, nil }
	fx.put(mail.Inbox, incoming(1, letter(1), mail.Item{Token: mail.Token("x", mail.Inbox, "1", "1"), Date: firstDay}))
	if x.called("/INBOX/cur")["list"] == 0 {
		t.Error("it was believed")
	}
}

// TestPlaceCost: to place one message in a mailbox that stands still its names
// are read once, without keeping them, and not again for the next one.
func TestPlaceCost(t *testing.T) {
	fx, x, _ := settledBox(t, 300)
	for i, lists := range []int{2, 0, 0} { // cur and new
		x.calls = nil
		item := mail.Item{Token: mail.Token("x", mail.Inbox, "1", mail.Ref(fmt.Sprint(i))), Date: firstDay}
		fx.put(mail.Inbox, incoming(1, letter(i), item))
		wantEqual(t, "listings but of tmp", x.called("/INBOX/cur")["list"]+x.called("/INBOX/new")["list"], lists)
		wantEqual(t, "looks at messages", x.called("/INBOX/cur/")["stat"]+x.called("/INBOX/new/")["stat"], 0)
	}
	// What somebody else puts there is seen, whoever changed the mailbox last.
	token := mail.Token("x", mail.Inbox, "1", "foreign")
	fx.write(strings.ReplaceAll(letter(9), "\r\n", "\n"), "INBOX", "cur", tokenKey(firstDay, token)+":2,R")
	placed := fx.put(mail.Inbox, incoming(1, letter(9), mail.Item{Token: token, Date: firstDay}))
	wantEqual(t, "found", placed[0].Ref, mail.Ref(tokenKey(firstDay, token)))
	items, _ := fx.scan(mail.Inbox)
	wantEqual(t, "messages", len(items), 305)
}
