package archive

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A dying process makes that many calls, and then no more: the last one is
// done, or not.
type dying struct {
	mu   sync.Mutex
	left int
	done bool
	dead bool
}

var errDead = errors.New("the process is dead")

func (d *dying) seam(_, _ string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	if d.left--; d.left > 0 {
		return do()
	}
	d.dead = true
	if d.done {
		return errors.Join(do(), errDead)
	}
	return errDead
}

// TestRepairInterruptedAtEveryStep kills a repair before and after every call
// that changes something. Whatever it left, the next one mends all, and every
// generation reads as it did.
func TestRepairInterruptedAtEveryStep(t *testing.T) {
	w := lived(t, 3, 9)
	message := w.oneMessage()
	manifest := filepath.Join(manifestsDir, manifestName(4))
	for name, harm := range map[string]func(w *world){
		"a message and a manifest": func(w *world) {
			w.write(message, cut)
			w.write(manifest, flip(200))
		},
		"no catalogue, and no message": func(w *world) {
			w.must(removeDatabase(filepath.Join(w.opt.Dir, CatalogueFile)))
			w.write(message, gone)
		},
		"wrong flags": func(w *world) {
			w.change("UPDATE placement SET flags = 'x' WHERE id = (SELECT max(id) FROM placement WHERE gen_to IS NULL)")
		},
		"an old catalogue": func(w *world) { w.backTo(6) },
		"a subject and a digest": func(w *world) {
			w.change("UPDATE message SET subject = 'x' WHERE id = 1")
			w.change("UPDATE generation SET manifest = randomblob(32) WHERE n = 5")
		},
	} {
		t.Run(name, func(t *testing.T) {
			harmed := w.copied(t)
			harm(harmed)
			for _, done := range []bool{false, true} {
				for step := 1; ; step++ {
					d := &dying{left: step, done: done}
					if !harmed.copied(t).killed(t, d) {
						if step < 5 {
							t.Errorf("after %d calls it was mended: the test shows little", step)
						}
						break
					}
				}
			}
		})
	}
}

// killed lets a repair die, and sees that the next one mends all. It tells
// whether the first one died.
func (w *world) killed(t *testing.T, d *dying) bool {
	t.Helper()
	opt := w.opt
	opt.seam = d.seam
	_, err := Verify(t.Context(), VerifyOptions{Options: opt, ReadData: true, Repair: true, Sources: []Source{allBodies(t)}})
	if !d.dead {
		if err != nil {
			t.Error(err)
		}
		return false
	}
	if err == nil {
		t.Logf("death at call %d was not noticed", d.left)
	}
	before := t.Failed()
	out := w.verify(func(o *VerifyOptions) { o.Repair, o.Sources = true, []Source{allBodies(t)} })
	for _, f := range out.Findings {
		if !f.Repaired {
			t.Errorf("not mended: %+v", f)
		}
	}
	// A catalogue that was not yet in its place is a stray until one is made again.
	if again := w.verify(nil); len(again.Findings) > 0 {
		t.Errorf("after that: %+v", again)
	}
	w.tellsTheSame()
	if t.Failed() && !before {
		t.Logf("that was when it died at call %d", d.left)
	}
	return true
}

// TestBothDamaged: where catalogue and manifests are damaged, what proves the
// other is used, nothing is thrown away that may be right, and a rebuild that is asked
// for makes of it what is left.
func TestBothDamaged(t *testing.T) {
	sound := lived(t, 3, 12)
	manifest := filepath.Join(manifestsDir, manifestName(6))
	t.Run("proved", func(t *testing.T) {
		w := sound.copied(t)
		w.write(manifest, gone)
		w.change("UPDATE message SET subject = 'x' WHERE id = 1")
		w.change("UPDATE mailbox SET messages = messages + 1 WHERE id = 1")
		w.mended(allBodies(t))
	})
	t.Run("not proved", func(t *testing.T) {
		w := sound.copied(t)
		w.write(manifest, gone)
		w.change("UPDATE generation SET ended = ended + 5 WHERE n = 6")
		w.change("UPDATE mailbox SET messages = messages + 1 WHERE id = 1")
		out := w.verify(func(o *VerifyOptions) { o.Repair = true })
		if out.Rebuilt || out.Repaired() > 0 || len(out.Findings) < 2 {
			t.Errorf("%+v", out)
		}
		told := false
		for _, f := range out.Findings {
			told = told || f.Why != nil && strings.Contains(f.Why.Error(), "--rebuild-catalogue")
		}
		if !told {
			t.Error("what to do is not told")
		}
		if out := w.verify(func(o *VerifyOptions) { o.Rebuild = true }); !out.Rebuilt {
			t.Errorf("%+v", out)
		}
		w.a = open(t, w.opt)
		if list, err := w.a.Generations(t.Context()); err != nil || len(list) != 11 {
			t.Errorf("%d generations are left, %v", len(list), err)
		}
		w.must(w.a.Close())
	})
	t.Run("no catalogue, and no manifest", func(t *testing.T) {
		w := sound.copied(t)
		w.write(manifest, gone)
		w.must(removeDatabase(filepath.Join(w.opt.Dir, CatalogueFile)))
		out := w.verify(func(o *VerifyOptions) { o.Repair = true })
		if !out.Rebuilt {
			t.Errorf("%+v", out)
		}
	})
}
