package migrate

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

func TestMigrate(t *testing.T) {
	w := filled()
	r := w.must(t)
	w.equal(t, w.origin.Snapshot())
	if n := r.Sum(func(f *Folder) int { return f.Copied }); n != 7 || r.Passes != 2 {
		t.Errorf("copied %d in %d passes:\n%s", n, r.Passes, describe(r))
	}
	if w.origin.Effects() != 0 || w.origin.Bodies() != 7 {
		t.Errorf("at the origin: %d effects, %d bodies read", w.origin.Effects(), w.origin.Bodies())
	}

	// Again: one pass that does nothing.
	w.target.ResetCounts()
	w.origin.ResetCounts()
	r = w.must(t)
	if r.Passes != 1 || w.target.Effects()+w.target.Bodies()+w.origin.Bodies() != 0 {
		t.Errorf("again: %d passes, %d effects, %d and %d bodies", r.Passes, w.target.Effects(), w.origin.Bodies(), w.target.Bodies())
	}
	if f := r.Folders[1]; f.Origin < 0 || f.Paired != f.Origin || !f.Verified {
		t.Errorf("what a quiet run tells: %s", describe(r))
	}
}

// What happens at both sides after a run: only what is new comes over.
func TestDelta(t *testing.T) {
	w := filled()
	w.must(t)
	ref := func(side *sidetest.Memory, box mail.MailboxName, n int) mail.Ref {
		for _, m := range side.Snapshot()[box] {
			if string(m.Body) == letter(n) {
				return m.Ref
			}
		}
		t.Fatalf("no letter %d in %s", n, box)
		return ""
	}
	// At the target one is read, one marked, one deleted, one moved, one comes.
	w.target.SetFlags("INBOX", ref(w.target, "INBOX", 0), mail.NewFlagSet(mail.Answered))
	w.target.Expunge("INBOX", ref(w.target, "INBOX", 1))
	w.target.Move("INBOX", ref(w.target, "INBOX", 2), "Work/Deep", false)
	w.target.Deliver("INBOX", letter(9), mail.FlagSet{}, day)
	// At the origin one is flagged, one comes, one goes, one is moved.
	w.origin.SetFlags("INBOX", ref(w.origin, "INBOX", 0), mail.NewFlagSet(mail.Seen, "$Todo", mail.Flagged))
	w.origin.Deliver("New", letter(6), mail.FlagSet{}, day)
	w.origin.Expunge("Work/Deep", ref(w.origin, "Work/Deep", 4))
	w.origin.Move("INBOX", ref(w.origin, "INBOX", 3), "Empty", false)

	r := w.must(t)
	if n := r.Sum(func(f *Folder) int { return f.Copied }); n != 1 {
		t.Errorf("copied %d:\n%s", n, describe(r))
	}
	if n := r.Sum(func(f *Folder) int { return f.Skipped[Deleted] }); n != 1 {
		t.Errorf("%d told as deleted since:\n%s", n, describe(r))
	}
	both := mail.NewFlagSet(mail.Seen, "$Todo")
	msg := func(n int, flags mail.FlagSet, after int) sidetest.Message {
		return sidetest.Message{Body: []byte(letter(n)), Flags: flags, Date: day.AddDate(0, 0, after)}
	}
	flagged := mail.NewFlagSet(mail.Flagged)
	w.equal(t, sidetest.Snapshot{
		"INBOX":     {msg(0, mail.NewFlagSet(mail.Answered, mail.Flagged), 0), msg(3, both, 3), msg(9, mail.FlagSet{}, 0)},
		"Work/Deep": {msg(4, mail.NewFlagSet(mail.Flagged, mail.Deleted), 0), msg(5, flagged, 0), msg(5, flagged, 0), msg(2, both, 2)},
		"Empty":     {}, "New": {msg(6, mail.FlagSet{}, 0)},
	})
	if w.origin.Effects() != 0 {
		t.Errorf("%d effects at the origin", w.origin.Effects())
	}
}

// Without delta flags, what changes after a message was copied stays as it is.
func TestNoDeltaFlags(t *testing.T) {
	w := filled()
	w.must(t)
	before := w.target.Snapshot()
	m := w.origin.Snapshot()["INBOX"][0]
	w.origin.SetFlags("INBOX", m.Ref, mail.NewFlagSet(mail.Flagged))
	o := w.options(&sidetest.Faults{})
	o.DeltaFlags = false
	if r, err := Run(t.Context(), o); err != nil || !r.Whole() {
		t.Fatalf("%v, %s", err, describe(r))
	}
	w.equal(t, before)
}

// A target that has mail already gets no doubles, and keeps its flags.
func TestAdopts(t *testing.T) {
	w := filled()
	w.target.Deliver("INBOX", letter(0), mail.NewFlagSet(mail.Answered), day)
	w.target.Deliver("Work/Deep", letter(5), mail.FlagSet{}, day)
	w.target.Deliver("Own", letter(8), mail.FlagSet{}, day)
	r := w.must(t)
	if c, m := r.Sum(func(f *Folder) int { return f.Copied }), r.Sum(func(f *Folder) int { return f.Matched }); c != 5 || m != 2 {
		t.Errorf("copied %d, matched %d", c, m)
	}
	want := w.origin.Snapshot()
	want["Own"] = w.target.Snapshot()["Own"]
	for i, m := range want["INBOX"] {
		if string(m.Body) == letter(0) {
			want["INBOX"][i].Flags = m.Flags.With(mail.Answered)
		}
	}
	w.equal(t, want)
}

// Mailboxes get other names, and several become one.
func TestRoutes(t *testing.T) {
	w := filled()
	w.to = map[mail.MailboxName]mail.MailboxName{"INBOX": "Old/INBOX", "Work/Deep": "Old/INBOX", "Empty": ""}
	w.must(t)
	from := w.origin.Snapshot()
	want := sidetest.Snapshot{"INBOX": {}, "Old/INBOX": append(from["INBOX"], from["Work/Deep"]...)}
	w.equal(t, want)
	w.target.ResetCounts()
	r := w.must(t)
	if r.Passes != 1 || w.target.Effects() != 0 {
		t.Errorf("again: %d effects, %s", w.target.Effects(), describe(r))
	}

	// What comes and goes in each of the parts is seen.
	w.origin.Deliver("Work/Deep", letter(10), mail.FlagSet{}, day)
	w.origin.Deliver("INBOX", letter(11), mail.FlagSet{}, day)
	w.origin.SetFlags("Work/Deep", w.origin.Snapshot()["Work/Deep"][1].Ref, mail.NewFlagSet(mail.Answered))
	if r = w.must(t); r.Folders[1].Copied != 2 || r.Folders[1].Flagged != 1 {
		t.Errorf("after changes: %s", describe(r))
	}

	// Elsewhere than before: refused, and nothing is done.
	w.to["INBOX"] = "INBOX"
	before := w.target.Snapshot()
	var re *Rerouted
	if _, err := w.run(&sidetest.Faults{}); !errors.As(err, &re) || re.Routes[0].Moved != "Old/INBOX" {
		t.Errorf("another way: %v", err)
	}
	w.equal(t, before)
}

// A mailbox that was removed at the target is left alone; one that was given
// another name is followed.
func TestFoldersOfTheTarget(t *testing.T) {
	w := filled()
	w.must(t)
	w.target.DeleteBox("Empty")
	w.target.RenameBox("Work/Deep", "Work/Shallow")
	w.origin.Deliver("Work/Deep", letter(20), mail.FlagSet{}, day)
	w.origin.Deliver("Empty", letter(21), mail.FlagSet{}, day)
	r := w.must(t)
	got := w.target.Snapshot()
	if _, there := got["Empty"]; there || len(got["Work/Shallow"]) != 4 || len(got["Work/Deep"]) != 0 {
		t.Errorf("%v", got)
	}
	if !strings.Contains(describe(r), "Removed:true") {
		t.Errorf("not told: %s", describe(r))
	}
	// A mailbox that vanishes at the origin takes nothing along.
	w.origin.DeleteBox("Work/Deep")
	w.must(t)
	w.equal(t, got)
}

// A message that the target had first, and that the origin shows in a later
// run, is not doubled.
func TestTargetFirst(t *testing.T) {
	w := filled()
	w.must(t)
	w.target.Deliver("INBOX", letter(40), mail.FlagSet{}, day)
	w.target.Deliver("INBOX", letter(41), mail.FlagSet{}, day)
	w.must(t)
	w.origin.Deliver("INBOX", letter(40), mail.NewFlagSet(mail.Seen), day)
	for range 2 {
		w.must(t)
		want := w.origin.Snapshot()
		want["INBOX"] = append(want["INBOX"], sidetest.Message{Body: []byte(letter(41)), Date: day})
		w.equal(t, want)
	}
}

func TestDryRun(t *testing.T) {
	w := filled()
	o := w.options(&sidetest.Faults{})
	o.DryRun = true
	r, err := Run(t.Context(), o)
	if err != nil || r.Sum(func(f *Folder) int { return f.Copied }) != 7 {
		t.Fatalf("%v, %s", err, describe(r))
	}
	if w.target.Effects()+w.origin.Effects()+w.index.Writes() != 0 || len(w.used) != 0 {
		t.Errorf("%d effects, %d writes, %v remembered", w.target.Effects(), w.index.Writes(), w.used)
	}
}

// What the target will not have is told, and the rest is moved.
func TestRefusals(t *testing.T) {
	w := filled()
	w.target.Traits.Limit = 400
	w.target.Traits.Permits = func(f mail.Flag) bool { return f != "$Todo" }
	w.target.Traits.RefuseName = func(name mail.MailboxName) error {
		if name == "Empty" {
			return mail.NewFault(mail.GradeMailbox, mail.ClassServer, errors.New("no such name here"), "")
		}
		return nil
	}
	w.origin.Deliver("INBOX", letter(30)+strings.Repeat("x", 500), mail.FlagSet{}, day)
	for range 2 {
		r, err := w.run(&sidetest.Faults{})
		if err != nil || r.Whole() {
			t.Fatalf("%v, %s", err, describe(r))
		}
		inbox := r.Folders[1]
		if inbox.Skipped[TooLarge] != 1 || inbox.Paired != 4 || !inbox.Verified || fmt.Sprint(inbox.Declined) != "[flags $Todo messages of more than 400 bytes]" {
			t.Errorf("INBOX: %+v", inbox)
		}
		if empty := r.Folders[0]; empty.Verified || len(r.Faults) != 1 {
			t.Errorf("Empty: %+v, %v", empty, r.Faults)
		}
	}
}

// A name that the target refuses gives way to another.
func TestRefusedName(t *testing.T) {
	w := filled()
	w.plainer = true
	w.target.Traits.RefuseName = func(name mail.MailboxName) error {
		if name == "Work/Deep" {
			return mail.NewFault(mail.GradeMailbox, mail.ClassServer, errors.New("no such name here"), "")
		}
		return nil
	}
	for range 2 {
		w.must(t)
		want := w.origin.Snapshot()
		want["Work/Deep-2"] = want["Work/Deep"]
		delete(want, "Work/Deep")
		w.equal(t, want)
		w.to = map[mail.MailboxName]mail.MailboxName{"Work/Deep": "Work/Deep-2"} // as a router remembers
	}
}

// A target that is full ends the run before all mail was sent in vain.
func TestFull(t *testing.T) {
	w := newWorld()
	for n := range 3000 {
		w.origin.Deliver("INBOX", letter(n), mail.FlagSet{}, day)
	}
	room := 500
	w.target.Traits.Refuse = func(mail.Item, []byte) error {
		if room == 0 {
			return mail.NewFault(mail.GradeMessage, mail.ClassQuota, mail.ErrFull, "make room on the server")
		}
		room--
		return nil
	}
	w.origin.ResetCounts()
	_, err := w.run(&sidetest.Faults{})
	if mail.ClassOf(err) != mail.ClassQuota || !errors.Is(err, mail.ErrFull) {
		t.Fatalf("%v", err)
	}
	if n := len(w.target.Snapshot()["INBOX"]); n != 500 || w.origin.Bodies() > 2600 {
		t.Errorf("%d are there, %d were read", n, w.origin.Bodies())
	}
	room = 1 << 20
	w.must(t)
	w.equal(t, w.origin.Snapshot())
}

// Only what is wanted is moved; what was moved stays in step; a later run that
// wants more moves the rest.
func TestSelect(t *testing.T) {
	for _, together := range []bool{false, true} {
		w := filled()
		if together {
			w.to = map[mail.MailboxName]mail.MailboxName{"Work/Deep": "INBOX"}
		}
		w.selects = func(i mail.Item) bool { return i.Flags.Has(mail.Flagged) }
		r := w.must(t)
		if c, u := r.Sum(func(f *Folder) int { return f.Copied }), r.Sum(func(f *Folder) int { return f.Skipped[Unwanted] }); c != 3 || u != 4 {
			t.Errorf("copied %d, %d not wanted: %s", c, u, describe(r))
		}
		last := w.origin.Snapshot()["Work/Deep"][2]
		w.origin.SetFlags("Work/Deep", last.Ref, mail.NewFlagSet(mail.Seen))
		if r = w.must(t); r.Sum(func(f *Folder) int { return f.Copied }) != 0 || r.Sum(func(f *Folder) int { return f.Flagged }) != 1 {
			t.Errorf("after a change: %s", describe(r))
		}
		w.selects = nil
		w.must(t)
		want := w.origin.Snapshot()
		if together {
			want = sidetest.Snapshot{"INBOX": append(want["INBOX"], want["Work/Deep"]...), "Empty": {}}
		}
		w.equal(t, want)
	}
}

// After too many errors no more is tried.
func TestMaxErrors(t *testing.T) {
	w := filled()
	w.target.Traits.Refuse = func(mail.Item, []byte) error {
		return mail.NewFault(mail.GradeMessage, mail.ClassNetwork, errors.New("no"), "")
	}
	o := w.options(&sidetest.Faults{})
	o.MaxErrors = 2
	r, err := Run(t.Context(), o)
	if !errors.Is(err, ErrTooManyErrors) || r.Passes != 1 || r.Whole() {
		t.Errorf("%v after %s", err, describe(r))
	}
}

// A large message is read once.
func TestLarge(t *testing.T) {
	w := newWorld()
	for n := range 3 {
		w.origin.Deliver("INBOX", letter(n)+strings.Repeat("0123456789abcdef\r\n", 60<<10), mail.NewFlagSet(mail.Seen), day)
	}
	w.origin.ResetCounts()
	w.must(t)
	w.equal(t, w.origin.Snapshot())
	if w.origin.Bodies() != 3 {
		t.Errorf("%d bodies were read", w.origin.Bodies())
	}
}

// A server carries out an APPEND after the line was cut, and after the message
// was sent again: one copy stays, and what the user copies there stays, too.
func TestLateCopy(t *testing.T) {
	w := filled()
	f := &sidetest.Faults{}
	f.FailNamed("target add", 2, sidetest.DieBefore)
	if _, err := w.run(f); err == nil || f.Hit() == "" {
		t.Fatal("the run did not die")
	}
	w.must(t)
	w.equal(t, w.origin.Snapshot())
	w.target.Deliver("INBOX", letter(1), mail.NewFlagSet(mail.Seen, "$Todo"), day.AddDate(0, 0, 1)) // here it is
	w.must(t)
	w.equal(t, w.origin.Snapshot())
	if w.keeps != 1 {
		t.Errorf("%d were kept", w.keeps)
	}
	w.target.Deliver("INBOX", letter(1), mail.FlagSet{}, day)
	w.must(t)
	if n := len(w.target.Snapshot()["INBOX"]); n != 5 || w.keeps != 1 {
		t.Errorf("a copy of the user's: %d messages, %d kept", n, w.keeps)
	}
}

// Every step fails, or is the last before the process dies; a later run ends
// it. Nothing is doubled, nothing is missing, the origin stays as it is.
func TestInterrupted(t *testing.T) {
	for name, traits := range map[string]func() sidetest.Traits{"full": sidetest.FullServer, "bare": sidetest.BareServer} {
		t.Run(name, func(t *testing.T) {
			start := filled()
			start.target.Traits = traits()
			start.to = map[mail.MailboxName]mail.MailboxName{"Empty": "INBOX"}
			start.target.Deliver("INBOX", letter(1), mail.NewFlagSet(mail.Seen, "$Todo"), day.AddDate(0, 0, 1))
			start.origin.Deliver("Empty", letter(12), mail.FlagSet{}, day)
			w, count := start.clone(), &sidetest.Faults{}
			if _, err := w.run(count); err != nil {
				t.Fatal(err)
			}
			want := w.target.Snapshot()
			for _, mode := range sidetest.Modes {
				for n := 1; n <= count.Steps(); n++ {
					w, f := start.clone(), &sidetest.Faults{}
					f.FailAt(n, mode)
					_, _ = w.run(f)
					what := fmt.Sprintf("%s at step %d (%s)", mode, n, f.Hit())
					var r *Result
					var err error
					for range 3 {
						if r, err = w.run(&sidetest.Faults{}); err == nil && r.Whole() {
							break
						}
					}
					if err != nil || !r.Whole() {
						t.Fatalf("%s: %v, %s", what, err, describe(r))
					}
					if d := sidetest.Compare(want, w.target.Snapshot()); d != "" {
						t.Fatalf("%s: first what is wanted, second the target:\n%s", what, d)
					}
					if w.origin.Effects() != 0 {
						t.Fatalf("%s: %d effects at the origin", what, w.origin.Effects())
					}
				}
			}
		})
	}
}
