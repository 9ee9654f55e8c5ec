package maildir

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// shuffler renames files without end, as a mail program does that marks mail
// as read, flags it, and takes it from new to cur.
func shuffler(ctx context.Context, root string, keys []string, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	names := map[string]string{}
	for _, k := range keys {
		names[k] = root + "/new/" + k
	}
	for ctx.Err() == nil {
		k := keys[r.IntN(len(keys))]
		next := root + "/cur/" + k + ":2," + []string{"", "F", "S", "FS", "RS", "DFRS", "P"}[r.IntN(7)]
		if r.IntN(8) == 0 {
			next = root + "/new/" + k
		}
		if os.Rename(names[k], next) == nil {
			names[k] = next
		}
	}
}

// TestRenamedWhileListed: a file that is renamed while the mailbox is listed
// is never missing from a listing that calls itself complete.
func TestRenamedWhileListed(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	var all []string
	for i := range 600 {
		key := fmt.Sprintf("%d.M%d.host", 1000+i, i*7919)
		fx.write("x", "INBOX", "new", key)
		all = append(all, key)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 2 {
		hot := all[w*20 : w*20+20]
		wg.Go(func() { shuffler(ctx, fx.path("INBOX"), hot, uint64(w)) })
	}
	complete := 0
	for round := 0; complete < 150 && round < 1500; round++ {
		items, s := fx.scan(mail.Inbox)
		if !s.Complete {
			continue
		}
		complete++
		for _, key := range all {
			if _, ok := items[mail.Ref(key)]; !ok {
				t.Errorf("round %d: %s was taken for gone", round, key)
			}
		}
		if s.Count != len(all) {
			t.Errorf("round %d: %d messages of %d", round, s.Count, len(all))
		}
	}
	cancel()
	wg.Wait()
	if complete < 150 {
		t.Errorf("only %d listings were complete", complete)
	}
}

// TestQuiet: a cursor is trusted only if nothing had moved for a while when it was made.
func TestQuiet(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.write("x", "INBOX", "cur", "1.a:2,S")
	since := func(s plan.Scanned) map[mail.MailboxName]plan.Since {
		return map[mail.MailboxName]plan.Since{mail.Inbox: {Cursor: s.Cursor, Epoch: s.Epoch, Known: s.Count}}
	}
	state := func(s plan.Scanned) plan.BoxState {
		fx.reopen()
		fx.bind(mail.Inbox)
		return fx.survey(since(s))[mail.Inbox].State
	}
	_, fresh := fx.scan(mail.Inbox)
	if !fresh.Complete || !fresh.Full {
		t.Error("two equal listings are not complete")
	}
	wantEqual(t, "after a listing that was too fresh", state(fresh), plan.Changed)
	fx.ahead = settled - 100*time.Millisecond
	_, fresh = fx.scan(mail.Inbox)
	wantEqual(t, "just before the times are settled", state(fresh), plan.Changed)
	fx.ahead = time.Minute
	_, quiet := fx.scan(mail.Inbox)
	wantEqual(t, "after a quiet listing", state(quiet), plan.Same)
	boxes := fx.survey(since(quiet))
	wantEqual(t, "count", boxes[mail.Inbox].Count, 1)
	wantEqual(t, "without a cursor", fx.survey(nil)[mail.Inbox].State, plan.Unknown)
	wantEqual(t, "with a foreign cursor", fx.survey(map[mail.MailboxName]plan.Since{mail.Inbox: {Cursor: "4711", Epoch: "1"}})[mail.Inbox].State, plan.Unknown)

	for _, change := range []func(){
		func() { fx.rename("INBOX/cur/1.a:2,S", "INBOX/cur/1.a:2,FS") },
		func() { fx.write("y", "INBOX", "new", "2.b") },
		func() { fx.write("0 Work\n", "INBOX", keywordsFile) },
		func() { fx.rename("INBOX/new/2.b", "INBOX/cur/2.b:2,") },
		func() { fx.rename("INBOX", "aside"); fx.maildirAt("INBOX") },
	} {
		_, quiet = fx.scan(mail.Inbox)
		change()
		wantEqual(t, "after a change", state(quiet), plan.Changed)
	}
}

// TestUnknownFileSystem: times of a file system that is not known are never trusted.
func TestUnknownFileSystem(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.ahead = time.Hour
	for dev := range fx.locals {
		fx.locals[dev] = false
	}
	_, s := fx.scan(mail.Inbox)
	if got := fx.survey(map[mail.MailboxName]plan.Since{mail.Inbox: {Cursor: s.Cursor, Epoch: "1"}})[mail.Inbox].State; got != plan.Changed {
		t.Errorf("the state is %v", got)
	}
	if !s.Complete {
		t.Error("two equal listings are not complete")
	}
}

// TestWhatOthersLeave: any name that a mail program leaves is a message.
func TestWhatOthersLeave(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.maildirAt("INBOX")
	for name, parts := range map[string][]string{
		"1.a":                {"cur", "1.a"},
		"2.b":                {"cur", "2.b:2,"},
		"3.c":                {"cur", "3.c:1,x"},
		"4.d,U=9":            {"cur", "4.d,U=9:2,RSx"},
		"5.e":                {"new", "5.e"},
		"6.f":                {"new", "6.f:2,S"},
		"7.g,S=1,W=2":        {"cur", "7.g,S=1,W=2:2,TF"},
		"what ever é\xff":    {"cur", "what ever é\xff:2,D"},
		"8.h (both)":         {"cur", "8.h (both):2,S"},
		"9.two infos":        {"cur", "9.two infos:2,"},
		"5.G" + token + ".x": {"cur", "5.G" + token + ".x"},
	} {
		fx.write(name, append([]string{"INBOX"}, parts...)...)
	}
	fx.write("again", "INBOX", "new", "8.h (both)")
	fx.write("again", "INBOX", "cur", "9.two infos:2,FS")
	fx.write("hidden", "INBOX", "cur", ".hidden:2,S")
	fx.write("in tmp", "INBOX", "tmp", "10.tmp")
	fx.write("nested", "INBOX", "cur", "dir", "file")
	fx.write("keyless", "INBOX", "cur", ":2,S")
	fx.write("notmuch", ".notmuch", "xapian", "cur", "1.x:2,S")
	fx.write("state", "INBOX", ".mbsyncstate")
	fx.write("state", "INBOX", ".uidvalidity")
	fx.bind(mail.Inbox)
	items, s := fx.scan(mail.Inbox)
	want := map[mail.Ref]string{
		"1.a": "", "2.b": "", "3.c": "", "4.d,U=9": `\Seen \Answered`, "5.e": "", "6.f": `\Seen`,
		"7.g,S=1,W=2": `\Flagged \Deleted`, "what ever é\xff": `\Draft`, "8.h (both)": `\Seen`,
		"9.two infos": `\Seen \Flagged`, mail.Ref("5.G" + token + ".x"): "",
	}
	if len(items) != len(want) || s.Count != len(want) || !s.Complete {
		t.Errorf("%d messages, %+v", len(items), s)
	}
	for ref, flags := range want {
		item, ok := items[ref]
		if !ok || !item.Flags.Equal(mail.ParseFlagSet(flags)) || item.Stat == "" || item.Date.IsZero() {
			t.Errorf("%q: %+v, want flags %s", ref, item, flags)
		}
	}
	wantEqual(t, "hint", items["4.d,U=9"].HintUID, 9)
	boxes := fx.survey(nil)
	if len(boxes) != 1 {
		t.Errorf("the survey gives %v", boxes)
	}
}

// TestLargeDirectory: one that is larger than the buffer is still read whole.
func TestLargeDirectory(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.maildirAt("INBOX")
	const n = 1200
	for i := range n {
		fx.write("", "INBOX", "cur", fmt.Sprintf("%d.%s:2,S", i, token+token))
	}
	d, err := seam(nil).openPath(fx.path("INBOX", "cur"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	scratch := make([]byte, 512)
	list, err := d.entries(&scratch)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, e := range list {
		names[e.name] = true
	}
	if len(names) != n || len(list) != n {
		t.Errorf("%d names, %d entries", len(names), len(list))
	}
}

// TestCursorIsReadAsItWasWritten, whatever times and inodes a file system gives.
func TestCursorIsReadAsItWasWritten(t *testing.T) {
	odd := marks{cur: mark{ino: 1<<64 - 1, mtime: -5, ctime: 1<<63 - 1}, new: mark{ino: 7, mtime: 0, ctime: -1 << 63}, local: true}
	for _, quiet := range []bool{true, false} {
		c := odd.cursor(100_000, quiet)
		got, count, trusted, ok := parseCursor(c)
		got.local = true
		if !ok || got != odd || count != 100_000 || trusted != quiet {
			t.Errorf("%s is read as %+v, %d, %t, %t", c, got, count, trusted, ok)
		}
		for i := range len(c) {
			if state, _ := odd.since(c[:i]); state == plan.Same {
				t.Errorf("%s counts as the same", c[:i])
			}
		}
		if state, _ := odd.since(c); (state == plan.Same) != quiet {
			t.Errorf("%s: %v", c, state)
		}
	}
	wantEqual(t, "the form", (marks{cur: mark{1, 2, 3}, new: mark{4, 5, 6}, keywords: mark{7, 8, 9}}).cursor(10, true), plan.Cursor("m1 quiet 10 1-2-3 4-5-6 7-8-9"))
}
