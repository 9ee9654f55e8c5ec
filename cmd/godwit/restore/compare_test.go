package restore

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// keeper keeps in memory, or refuses.
type keeper struct {
	kept []string
	err  error
}

func (k *keeper) Keep(_ context.Context, what engine.Kept, _ mail.Identity, body io.Reader) error {
	b, err := io.ReadAll(body)
	k.kept = append(k.kept, string(what.Mailbox)+": "+string(b)+" "+what.Why)
	return errors.Join(err, k.err)
}

// compared is filled with an archive's own mailboxes, and what is to be
// levelled in them.
func compared(t *testing.T, on plan.Side) (*world, Difference) {
	t.Helper()
	w := filled(on)
	w.target.Deliver("Mine", letter(7), mail.FlagSet{}, day) // not in the selection: no affair of it
	target, before := w.target.Open(), w.target.Snapshot()
	d, err := Compare(t.Context(), Select(w.all(), true), Target{Side: target, On: on, Index: sidetest.NewMemoryIndex(), Bound: "target"}, w.options())
	if err != nil || d.Missing != 5 || len(d.Delete) != 1 || len(d.Flags) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	w.want(t, before)
	if x := d.Flags[0]; x.Mailbox != "INBOX" || !x.Add.Equal(mail.NewFlagSet(mail.Seen, "$Todo")) || !x.Remove.Equal(mail.NewFlagSet(mail.Answered)) {
		t.Errorf("flags: %+v", x)
	}
	return w, d
}

func (w *world) level(t *testing.T, d Difference, k engine.Keeper) Done {
	t.Helper()
	target := w.target.Open()
	done, err := Level(t.Context(), Target{Side: target, On: w.on}, d, k, "because")
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestLevel(t *testing.T) {
	bothSides(t, func(t *testing.T, on plan.Side) {
		w, d := compared(t, on)
		target := w.target.Open()
		if _, err := Add(t.Context(), Select(w.all(), true), Target{Side: target, On: on, Index: w.index, Bound: "target"}, w.options()); err != nil {
			t.Fatal(err)
		}
		w.target.Deliver("INBOX", letter(8), mail.FlagSet{}, day) // while the user was asked
		k := &keeper{}
		done := w.level(t, d, k)
		if len(done.Faults) > 0 || done.Flagged != 1 || len(done.Deleted) != 1 {
			t.Errorf("%+v", done)
		}
		if want := []string{"INBOX: " + letter(9) + " because"}; !slices.Equal(k.kept, want) {
			t.Errorf("kept %q", k.kept)
		}
		want := w.past.Snapshot()
		want["INBOX"] = append(want["INBOX"], sidetest.Message{Body: []byte(letter(8)), Date: day})
		want["Mine"] = []sidetest.Message{{Body: []byte(letter(7)), Date: day}}
		w.want(t, want)
	})
}

func TestLevelDeletesNothingThatIsNotKept(t *testing.T) {
	w, d := compared(t, plan.Remote)
	before := w.target.Snapshot()["INBOX"]
	fault := mail.NewFault(mail.GradeMessage, mail.ClassLocal, errors.New("no space"), "")
	done := w.level(t, Difference{Delete: d.Delete}, &keeper{err: fault})
	if len(done.Deleted) != 0 || len(done.Faults) == 0 {
		t.Errorf("%+v", done)
	}
	w.want(t, sidetest.Snapshot{"INBOX": before, "Mine": {{Body: []byte(letter(7)), Date: day}}})
}

func TestLevelLeavesAnotherMailboxAlone(t *testing.T) {
	w, d := compared(t, plan.Remote)
	w.target.ResetEpoch("INBOX")
	before := w.target.Snapshot()
	k := &keeper{}
	if done := w.level(t, d, k); len(done.Faults) == 0 || done.Flagged+len(done.Deleted)+len(k.kept) != 0 {
		t.Errorf("%+v, kept %q", done, k.kept)
	}
	w.want(t, before)
}
