package maildir

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A watched is a tree with a Watch on it.
type watched struct {
	*fixture
	up      chan string
	changes chan string
	ended   chan error
}

// watching makes a tree and watches it; Maildirs share its Echo.
func watching(t *testing.T, layout Layout, boxes ...mail.MailboxName) *watched {
	t.Helper()
	w := &watched{up: make(chan string, 16), changes: make(chan string, 1<<16), ended: make(chan error, 1)}
	w.fixture = newFixture(t, Options{Layout: layout, Echo: NewEcho(), pollEvery: time.Millisecond})
	w.make(boxes...)
	ctx, cancel := context.WithCancel(context.Background())
	opt := w.opt
	opt.Clock = nil
	go func() {
		w.ended <- Watch(ctx, opt, func(note string) { w.up <- note }, func(path string) { w.changes <- path })
		close(w.ended)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-w.ended; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("the watch ended: %v", err)
		}
	})
	return w
}

// tells waits for a change, and gives the path that is told with it.
func (w *watched) tells(what string) string {
	w.t.Helper()
	select {
	case path := <-w.changes:
		return path
	case err := <-w.ended:
		w.t.Fatalf("%s: the watch ended: %v", what, err)
	case <-time.After(20 * time.Second):
		w.t.Fatalf("%s was not told", what)
	}
	return ""
}

// deliver is what a mail program does with a new message.
func (w *watched) deliver(dir, name string) {
	w.t.Helper()
	w.write("Subject: x\n\nx\n", dir, "tmp", name)
	if err := os.Rename(filepath.Join(w.root, dir, "tmp", name), filepath.Join(w.root, dir, "new", name)); err != nil {
		w.t.Fatal(err)
	}
}

// settles waits until the watch has dealt with all that has happened: the
// kernel tells in order, so what appears last, in a mailbox that was watched
// before, is told last.
func (w *watched) settles(dir, marker string) {
	w.t.Helper()
	w.deliver(dir, marker)
	for filepath.Base(w.tells("the marker")) != marker {
	}
}

func TestWatchTellsOfOthers(t *testing.T) {
	for _, layout := range []Layout{FS, PlusPlus} {
		t.Run(string(layout), func(t *testing.T) {
			w := watching(t, layout, mail.Inbox, "Work/Deep")
			inbox, deep := "INBOX", "Work/Deep"
			if layout == PlusPlus {
				inbox, deep = "", ".Work.Deep"
			}
			if note := <-w.up; note != "" {
				t.Fatalf("the watch is not of the kernel: %s", note)
			}
			at := func(parts ...string) string { return filepath.Join(append([]string{w.root}, parts...)...) }
			for _, step := range []struct {
				what string
				do   func() error
			}{
				{"a delivery", func() error { w.deliver(inbox, "1"); return nil }},
				{"a flag", func() error { return os.Rename(at(inbox, "new", "1"), at(inbox, "cur", "1:2,S")) }},
				{"a move", func() error { return os.Rename(at(inbox, "cur", "1:2,S"), at(deep, "cur", "1:2,S")) }},
				{"a deletion", func() error { return os.Remove(at(deep, "cur", "1:2,S")) }},
			} {
				if err := step.do(); err != nil {
					t.Fatal(err)
				}
				w.tells(step.what)
				w.settles(deep, "marker"+step.what[2:5])
			}
		})
	}
}

// What godwit does itself is not told, whatever it is.
func TestWatchHearsNoEcho(t *testing.T) {
	w := watching(t, FS, mail.Inbox, "Work")
	<-w.up
	for round := range 20 {
		w.reopen()
		w.survey(nil)
		w.bind(mail.Inbox, "Work")
		placed := w.put(mail.Inbox,
			incoming(1, "a", mail.Item{}), incoming(2, "b", mail.Item{Flags: mail.NewFlagSet(mail.Seen)}), incoming(3, "c", mail.Item{}))
		op := func(i int, o plan.Op) plan.Op {
			o.Tag, o.From, o.Stat = i, plan.Place{Box: w.ids[mail.Inbox], Ref: placed[i].Ref}, placed[i].Stat
			o.Expect = placed[i].Ident
			return o
		}
		for _, out := range w.do(
			op(0, plan.Op{Kind: plan.OpFlags, Add: mail.NewFlagSet(mail.Flagged)}),
			op(1, plan.Op{Kind: plan.OpMove, To: w.ids["Work"]}),
			op(2, plan.Op{Kind: plan.OpDelete}),
		) {
			if out.Result != plan.Done {
				t.Fatalf("%+v", out)
			}
		}
		w.deliver("INBOX", "other"+string(rune('a'+round)))
		w.tells("a delivery beside our own changes")
		if n := len(w.changes); n > 0 {
			t.Fatalf("round %d: our own changes were told: %d", round, n)
		}
	}
}

// A change that undoes, or repeats, one of ours is somebody else's.
func TestWatchTellsOfTheSameChangeByAnother(t *testing.T) {
	w := watching(t, FS, mail.Inbox)
	<-w.up
	w.bind(mail.Inbox)
	p := w.put(mail.Inbox, incoming(1, "a", mail.Item{Flags: mail.NewFlagSet(mail.Seen)}))[0]
	seen := filepath.Join(w.root, "INBOX", "cur", string(p.Ref)+":2,S")
	unseen := strings.TrimSuffix(seen, "S")
	if err := os.Rename(seen, unseen); err != nil {
		t.Fatal(err)
	}
	w.tells("a flag taken away")
	w.tells("and its other half")
	if err := os.Rename(unseen, seen); err != nil {
		t.Fatal(err)
	}
	w.tells("the name we gave it, given by another")
}

// Mailboxes that come are watched, too, at any depth and by any hand.
func TestWatchFollowsMailboxes(t *testing.T) {
	w := watching(t, FS, mail.Inbox)
	<-w.up
	for _, part := range []string{"tmp", "new", "cur"} {
		if err := os.MkdirAll(filepath.Join(w.root, "Lists/go", part), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.tells("a mailbox made by another")
	w.bind("Ours")
	w.make("Ours")
	for i, dir := range []string{"Lists/go", "Ours"} {
		w.settles("INBOX", "marker"+string(rune('a'+i)))
		w.deliver(dir, "1")
		w.tells("a delivery into " + dir)
	}
	w.settles("INBOX", "last")
	if err := os.RemoveAll(filepath.Join(w.root, "Lists")); err != nil {
		t.Fatal(err)
	}
	w.tells("a mailbox that was removed")
}

// A mailbox that is renamed is watched by its new name, and one that takes its
// old name as well, over and over.
func TestWatchFollowsRenames(t *testing.T) {
	w := watching(t, FS, mail.Inbox)
	<-w.up
	at := func(name string) string { return filepath.Join(w.root, name) }
	build := func() {
		for _, part := range []string{"tmp", "new", "cur"} {
			if err := os.MkdirAll(filepath.Join(at("Lists/go"), part), 0o700); err != nil {
				t.Fatal(err)
			}
		}
	}
	build()
	w.settles("INBOX", "built")
	for round := range 10 {
		to := fmt.Sprintf("Old%d", round)
		if err := os.Rename(at("Lists"), at(to)); err != nil {
			t.Fatal(err)
		}
		build()
		if note := <-w.up; note != "" {
			t.Fatalf("after a rename: %s", note)
		}
		w.settles("INBOX", "renamed"+to)
		for _, dir := range []string{"Lists/go", to + "/go"} {
			w.deliver(dir, "m"+to)
			for w.tells("a delivery into "+dir) != filepath.Join(at(dir), "new", "m"+to) {
			}
		}
	}
}

// What a call of ours failed to do, another has done: that is told.
func TestEchoOfACallThatFails(t *testing.T) {
	var told []string
	e := NewEcho()
	e.listen(func(path string) { told = append(told, path) })
	fails := errors.New("it is gone")
	err := e.seam(nil)("remove", "/a/cur/1", func() error {
		if !e.heard(fsnotify.Event{Name: "/a/cur/1", Op: fsnotify.Remove}) {
			t.Error("told already")
		}
		return fails
	})
	if err != fails || len(told) != 1 || told[0] != "/a/cur/1" {
		t.Errorf("%v, told %q", err, told)
	}
	if err := e.seam(nil)("remove", "/a/cur/2", func() error { return fails }); err != fails || len(told) != 1 {
		t.Errorf("%v, told %q", err, told)
	}
	e.listen(nil)
	_ = e.seam(nil)("mkdir", "/a/cur", func() error { return nil })
	if len(e.due) != 0 {
		t.Errorf("nobody listens, and is waited for: %v", e.due)
	}
}

// A root that is not there is waited for, and listened to when it comes; one
// that goes is waited for again.
func TestWatchWaitsForTheRoot(t *testing.T) {
	w := watching(t, FS)
	for range 2 {
		if note := <-w.up; !strings.Contains(note, "not there") {
			t.Errorf("note %q", note)
		}
		w.make(mail.Inbox)
		w.tells("a root")
		if note := <-w.up; note != "" {
			t.Errorf("note %q", note)
		}
		// Until the mailbox is watched, what comes is told by its name.
		for i := 0; ; i++ {
			w.deliver("INBOX", fmt.Sprint("marker", i))
			if strings.HasPrefix(filepath.Base(w.tells("a delivery")), "marker") {
				break
			}
		}
		if err := os.RemoveAll(w.root); err != nil {
			t.Fatal(err)
		}
		w.tells("that the root went")
		for len(w.changes) > 0 {
			<-w.changes
		}
		w.reopen()
	}
	<-w.up
}

// What the kernel does not tell is seen by looking.
func TestWatchPolls(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	m, err := Open(t.Context(), fx.opt)
	if err != nil {
		t.Fatal(err)
	}
	changes := make(chan string, 1<<16)
	w := &watch{m: m, changed: func(path string) { changes <- path }, every: time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	up, done := make(chan string, 1), make(chan error)
	go func() { done <- w.poll(ctx, errors.New("it is far away"), func(note string) { up <- note }) }()
	if note := <-up; !strings.Contains(note, "far away") {
		t.Errorf("note %q", note)
	}
	for _, name := range []string{"1", "2"} {
		fx.write("Subject: x\n\nx\n", "INBOX", "new", name)
		<-changes
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestLimitsOfTheKernelAreExplained(t *testing.T) {
	for err, want := range map[error]string{
		unix.ENOSPC: "max_user_watches",
		unix.EMFILE: "max_user_instances",
	} {
		if got := limited(&os.SyscallError{Syscall: "inotify_add_watch", Err: err}); !strings.Contains(got.Error(), want) {
			t.Errorf("%v is explained as %v", err, got)
		}
	}
}
