package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// later is a clock that goes on by some hours with every look at it, from a
// time that all files of today are older than.
func later() func() time.Time {
	at := time.Date(2040, time.March, 20, 0, 0, 0, 0, time.UTC)
	return func() time.Time {
		at = at.Add(5 * time.Hour)
		return at
	}
}

// A keeper is a life with retention.
type keeper struct {
	*life
	held map[int]int64 // mailboxes of the model, and the newest generation when they were held
}

// TestRetentionLeavesTheRestAsItWas leads random lives in which generations
// are given up by random policies, mailboxes are held and released, messages
// are swept and come back. Whatever is kept reads as it did, byte for byte, and
// differs as it did; what is not kept is refused; a dry run foretells what
// happens; nothing that shows is without its file, and no file is there for
// nothing; and all of it stands in the manifests.
func TestRetentionLeavesTheRestAsItWas(t *testing.T) {
	swept := 0
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			k := &keeper{life: &life{t: t, rand: rand.New(rand.NewPCG(seed, 77)), now: state{}, bodies: 200, then: map[int64]state{}, gens: map[int64]Generation{}}, held: map[int]int64{}}
			k.opt = Options{Dir: filepath.Join(inMemoryDir(t), "archive"), NoSync: true, Clock: later()}
			k.reopen()
			for range 9 {
				for more := 2 + k.rand.IntN(5); more > 0 || len(k.then) == 0; more-- {
					k.generation()
				}
				begin(t, k.a) // ends what was interrupted
				k.holdOne()
				swept += k.retain()
				k.checkKept()
			}
			k.madeAgain()
		})
	}
	if swept < 20 {
		t.Errorf("%d messages were removed: the test shows little", swept)
	}
}

// retain gives up generations by a random policy.
func (k *keeper) retain() int {
	few := func() int { return k.rand.IntN(3) }
	o := Retention{
		Policy: Policy{Last: 1 + few(), Daily: few(), Weekly: few(), Within: time.Duration(few()) * 15 * time.Hour},
		Grace:  time.Duration(few()) * 30 * time.Hour, Location: time.UTC, DryRun: true,
	}
	ctx := k.t.Context()
	before := k.told()
	foretold, err := k.a.Retain(ctx, o)
	k.must(err)
	if k.told() != before {
		k.t.Error("a dry run changed something")
	}
	o.DryRun = false
	done, err := k.a.Retain(ctx, o)
	k.must(err)
	if fmt.Sprint(foretold.Verdicts) != fmt.Sprint(done.Verdicts) || foretold.Retired != done.Retired || foretold.Unneeded != done.Unneeded {
		k.t.Errorf("foretold\n%+v, done\n%+v", foretold, done)
	}
	if sum, was := done.Swept.Bytes+done.Waiting.Bytes, foretold.Swept.Bytes+foretold.Waiting.Bytes; sum != was {
		k.t.Errorf("%d bytes removed or waiting, foretold were %d", sum, was)
	}
	again, err := k.a.Retain(ctx, Retention{Policy: o.Policy, Grace: 1000 * time.Hour, Location: time.UTC})
	k.must(err)
	if again.Changed() {
		k.t.Errorf("again: %+v", again)
	}
	return done.Swept.Messages
}

// holdOne sets a hold on a mailbox, or ends all.
func (k *keeper) holdOne() {
	ctx := k.t.Context()
	if k.rand.IntN(4) == 0 {
		list, err := k.a.Holds(ctx)
		k.must(err)
		for _, h := range list {
			k.must(k.a.Release(ctx, h))
		}
		clear(k.held)
	}
	if name, b := k.pickBox(); b != nil && k.rand.IntN(2) == 0 && len(k.then) > 0 && k.then[int64(len(k.then))][name] != nil {
		k.must(k.a.Hold(ctx, Hold{Mailbox: name}))
		if _, known := k.held[b.id]; !known {
			k.held[b.id] = int64(len(k.then))
		}
	}
}

// box is a mailbox of the model as of a generation, as text.
func (s state) box(id int) string {
	for name, b := range s {
		if b.id == id {
			return state{name: b}.show()
		}
	}
	return ""
}

func (k *keeper) checkKept() {
	t, ctx := k.t, k.t.Context()
	list, err := k.a.Generations(ctx)
	k.must(err)
	if len(list) != len(k.then) {
		t.Fatalf("%d generations, the model has %d", len(list), len(k.then))
	}
	var kept []int64
	complete, latest := int64(0), int64(0) // the newest, and the newest that is kept
	for _, g := range list {
		n := g.Number
		if g.Complete {
			complete = n
		}
		if g.Retired.IsZero() {
			if got, want := k.show(k.a.View(n)), k.then[n].show(); got != want {
				t.Errorf("generation %d reads\n%swant\n%s", n, got, want)
			}
			kept = append(kept, n)
			if g.Complete {
				latest = n
			}
		} else if _, err := k.a.View(n).Survey(ctx, nil); !errors.Is(err, ErrRetired) {
			t.Errorf("generation %d is given up, and shown: %v", n, err)
		} else if err := k.a.Diff(ctx, n, n, nil); !errors.Is(err, ErrRetired) {
			t.Errorf("generation %d is given up, and compared: %v", n, err)
		}
		for id, since := range k.held {
			if g.Complete && n >= since && k.then[n].box(id) != k.then[latest].box(id) {
				t.Errorf("the mailbox %d, which is held since %d, was in %d as no generation shows it any more", id, since, n)
			}
		}
	}
	if latest != complete {
		t.Errorf("the newest complete generation is %d, the newest that is kept %d", complete, latest)
	}
	for range min(10, len(kept)) {
		a, b := kept[k.rand.IntN(len(kept))], kept[k.rand.IntN(len(kept))]
		k.checkDiff(min(a, b), max(a, b))
	}
	k.must(k.a.catalogue.Load().Integrity(ctx))
	k.checkFiles()
	k.must(k.a.Close())
	if out, err := Verify(ctx, VerifyOptions{Options: k.opt, ReadData: true}); err != nil || len(out.Findings) > 0 || len(out.Strays) > 0 {
		t.Errorf("verified: %+v, %v", out, err)
	}
	k.a = open(t, k.opt)
}

// checkFiles: the files of messages are those that the catalogue names.
func (k *keeper) checkFiles() {
	k.t.Helper()
	files := messageFiles(k.t, k.opt.Dir)
	var bytes int64
	k.must(k.a.Messages(k.t.Context(), "", func(m Message) error {
		if size, there := files[m.Digest.String()]; !there || size != m.Stored {
			k.t.Errorf("the file of %s: %d bytes, %v", m.Digest, size, there)
		}
		delete(files, m.Digest.String())
		bytes += m.Stored
		return nil
	}))
	if stored, err := k.a.Stored(k.t.Context()); err != nil || stored != bytes {
		k.t.Errorf("%d bytes are said to be stored, there are %d, %v", stored, bytes, err)
	}
	for name := range files {
		k.t.Errorf("%s belongs to no message", name)
	}
}

func messageFiles(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(dir, messagesDir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		st, err := e.Info()
		out[strings.TrimSuffix(filepath.Base(path), ".zst")] = st.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// madeAgain makes the catalogue again from the manifests, and sees that
// everything reads as before.
func (k *keeper) madeAgain() {
	lines := func() []string {
		list := strings.Split(k.told(), "\n")
		holds, err := k.a.Holds(k.t.Context())
		k.must(err)
		slices.Sort(list) // messages that came back stand where they were first
		return append(list, fmt.Sprint(holds))
	}
	before := lines()
	k.must(k.a.Close())
	out, err := Rebuild(k.t.Context(), k.opt)
	k.must(err)
	if len(out.Problems) > 0 {
		k.t.Errorf("made again with problems: %v", out.Problems)
	}
	k.a = open(k.t, k.opt)
	if after := lines(); !slices.Equal(after, before) {
		k.t.Errorf("made again, it tells\n%s\nwant\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	k.checkKept()
	k.generation() // it goes on
	begin(k.t, k.a)
	k.retain()
	k.checkKept()
}

// TestAMessageThatComesBackIsKept: a message that lies nowhere waits for its
// end, which does not come if a backup finds it again before; after it, it is
// stored anew.
func TestAMessageThatComesBackIsKept(t *testing.T) {
	now := time.Date(2040, time.May, 1, 0, 0, 0, 0, time.UTC)
	opt := Options{Dir: filepath.Join(inMemoryDir(t), "archive"), Clock: func() time.Time { return now }}
	a := open(t, opt)
	play := func(s scene) int64 {
		now = now.Add(time.Hour)
		g, err := (&player{a: a}).play(t.Context(), s)
		if err != nil || g == nil {
			t.Fatal(g, err)
		}
		return g.Number
	}
	retain := func() *Retained {
		out, err := a.Retain(t.Context(), Retention{Policy: Policy{Last: 1}, Grace: 14 * day, Location: time.UTC})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one := modelMessage{life: 1, body: bodyOf(1)}
	two := modelMessage{life: 2, body: bodyOf(2)}
	with, without := scene{"INBOX": {one, two}}, scene{"INBOX": {two}}
	file := a.files.message(mail.Digest(sha256.Sum256([]byte(one.body))))
	play(with)
	play(without)
	if out := retain(); out.Retired != 1 || out.Unneeded.Messages != 1 || out.Waiting != out.Unneeded || out.Swept.Messages != 0 {
		t.Errorf("marked: %+v", out)
	}
	now = now.Add(13 * day)
	retain()
	play(with) // the race: it comes back while it waits
	now = now.Add(14 * day)
	n := play(scene{"INBOX": {one}})
	if out := retain(); out.Swept.Messages != 0 || out.Unneeded.Messages != 1 {
		t.Errorf("come back: %+v", out)
	}
	if got, want := withoutRefs(showSide(t, a.View(n))), (scene{"INBOX": {one}}).show(); got != want {
		t.Errorf("it reads\n%swant\n%s", got, want)
	}
	// It goes for the second time: its grace begins anew.
	play(without)
	retain()
	now = now.Add(14*day - time.Minute)
	if out := retain(); out.Waiting.Messages != 1 {
		t.Errorf("before the grace is over: %+v", out)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}
	now = now.Add(time.Minute)
	if out := retain(); out.Swept.Messages != 1 || out.Waiting.Messages != 0 {
		t.Errorf("when the grace is over: %+v", out)
	}
	if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its file: %v", err)
	}
	n = play(with)
	if got, want := withoutRefs(showSide(t, a.View(n))), with.show(); got != want {
		t.Errorf("back again, it reads\n%swant\n%s", got, want)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := Rebuild(t.Context(), opt); err != nil || len(out.Problems) > 0 || out.Generations != 6 {
		t.Errorf("made again: %+v, %v", out, err)
	}
}

// TestWhatADeadRunLeftIsSweptLater: files that no message has go when they are
// older than the grace, and nothing else in their directories does.
func TestWhatADeadRunLeftIsSweptLater(t *testing.T) {
	now := time.Now()
	a := open(t, Options{Clock: func() time.Time { return now }})
	if _, err := (&player{a: a}).play(t.Context(), scenes[0]); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(a.Dir(), messagesDir, "ab")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(dir, "ab"+strings.Repeat("01", 31)+".zst")
	young := filepath.Join(dir, "ab"+strings.Repeat("02", 31)+".zst")
	strange := filepath.Join(dir, "notes.txt")
	for path, age := range map[string]time.Duration{old: 15 * day, young: 13 * day, strange: 1000 * day} {
		if err := errors.Join(os.WriteFile(path, []byte("12345"), 0o600), os.Chtimes(path, time.Time{}, now.Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	before := messageFiles(t, a.Dir())
	for _, dry := range []bool{true, false} {
		out, err := a.Retain(t.Context(), Retention{Grace: 14 * day, DryRun: dry})
		if err != nil || out.Leftover != (Tonnage{1, 5}) || out.Retired > 0 {
			t.Errorf("dry %v: %+v, %v", dry, out, err)
		}
		if !dry {
			delete(before, strings.TrimSuffix(filepath.Base(old), ".zst"))
		}
		if after := messageFiles(t, a.Dir()); !maps.Equal(after, before) {
			t.Errorf("dry %v: there is %v, want %v", dry, after, before)
		}
	}
}

// TestRetentionOfNothing: without an archive there is nothing to do, and
// nothing is made.
func TestRetentionOfNothing(t *testing.T) {
	a := open(t, Options{})
	if out, err := a.Retain(context.Background(), Retention{Policy: Policy{Last: 1}}); err != nil || out.Changed() {
		t.Errorf("%+v, %v", out, err)
	}
	if _, err := os.Stat(a.Dir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it made something: %v", err)
	}
}
