package archive

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRetentionInterruptedAtEveryStep lets every call of retention that changes
// something fail, and the process die before it and after it. What is kept is
// as it was, nothing that the catalogue names is missing, and the next one
// makes up for it and leaves nothing over.
func TestRetentionInterruptedAtEveryStep(t *testing.T) {
	count := len(retainAll(t, &tap{}).calls)
	if count < 20 {
		t.Fatalf("%d calls only: the seam is not everywhere", count)
	}
	for _, mode := range tapModes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			for at := 1; at <= count; at++ {
				x := retainAll(t, &tap{at: at, mode: mode})
				if t.Failed() {
					t.Fatalf("call %d, %s, %s", at, x.calls[min(at, len(x.calls))-1], mode)
				}
			}
		})
	}
}

// retainAll plays the scenes, and retains after each with a tap, until that
// fails; then it looks, and goes on without it.
func retainAll(t *testing.T, x *tap) *tap {
	t.Helper()
	ctx := t.Context()
	armed := false
	opt := Options{Dir: filepath.Join(inMemoryDir(t), "archive"), Clock: later(), seam: func(call, path string, do func() error) error {
		if !armed {
			return do()
		}
		return x.seam(call, path, do)
	}}
	o := Retention{Policy: Policy{Last: 1}, Grace: 3 * time.Hour, Location: time.UTC}
	a := open(t, opt)
	list := smallScenes()
	shown := map[int64]string{}
	play := func(s scene) {
		g, err := (&player{a: a}).play(ctx, s)
		if err != nil {
			t.Fatal(err)
		}
		if g != nil {
			shown[g.Number] = s.show()
		}
	}
	for i, s := range list {
		play(s)
		armed = true
		var err error
		switch i {
		case 2:
			err = a.Hold(ctx, Hold{Mailbox: "More"})
		case 3:
			err = a.Release(ctx, Hold{Mailbox: "More"})
		}
		if err == nil {
			_, err = a.Retain(ctx, o)
		}
		if armed = false; err != nil {
			break
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	opt.seam = nil
	a = open(t, opt)
	keptAreAs(t, a, shown)
	play(list[0])
	for _, grace := range []time.Duration{1000 * time.Hour, 0} {
		o.Grace = grace
		if _, err := a.Retain(ctx, o); err != nil {
			t.Errorf("going on: %v", err)
			return x
		}
		keptAreAs(t, a, shown)
	}
	k := &keeper{life: &life{t: t, opt: opt, a: a}}
	k.checkFiles()
	if left, err := os.ReadDir(filepath.Join(opt.Dir, tmpDir)); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	return x
}

// smallScenes are the scenes, and two of them again, with small messages.
func smallScenes() (list []scene) {
	for _, i := range []int{0, 1, 2, 0, 1} {
		s := scene{}
		for name, messages := range scenes[i] {
			s[name] = slices.Clone(messages)
			for j := range s[name] {
				s[name][j].body = bodyOf(len(s[name][j].body) % 1000)
			}
		}
		list = append(list, s)
	}
	return list
}

// keptAreAs checks that what is kept reads as it did, and the newest is kept.
func keptAreAs(t *testing.T, a *Archive, shown map[int64]string) {
	t.Helper()
	list, err := a.Generations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range list {
		if !g.Retired.IsZero() {
			continue
		}
		if got := withoutRefs(showSide(t, a.View(g.Number))); got != shown[g.Number] {
			t.Errorf("generation %d reads\n%.500swant\n%.500s", g.Number, got, shown[g.Number])
		}
	}
	if newest := slices.Max(slices.Collect(maps.Keys(shown))); list[newest-1].Number != newest || !list[newest-1].Retired.IsZero() {
		t.Errorf("the newest is not kept: %+v", list)
	}
	sound(t, a)
}

// TestRetentionInItsOrder: what is decided is durable before it is done, and
// a message has left the catalogue before its file goes.
func TestRetentionInItsOrder(t *testing.T) {
	x := retainAll(t, &tap{})
	notes, removals := 0, 0
	decided, forgotten := false, false
	for _, c := range x.calls {
		switch {
		case strings.HasPrefix(c, "rename") && strings.Contains(c, notePrefix):
			notes++
			decided = true
		case strings.HasPrefix(c, "transact") && decided:
			decided = false
		case strings.HasPrefix(c, "transact"):
			forgotten = true
		case strings.HasPrefix(c, "remove") && strings.Contains(c, messagesDir+"/"):
			if removals++; !forgotten {
				t.Errorf("%s before the catalogue forgot it", c)
			}
		case strings.HasPrefix(c, "sync directory"):
			forgotten = false
		}
	}
	if notes < 3 || removals < 2 {
		t.Errorf("%d notes, %d removals", notes, removals)
	}
}
