package archive

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// thinned is a life of which retention gave up a part, and then some more of it.
func thinned(t *testing.T, seed uint64) *world {
	w := lived(t, seed, 25)
	w.a = open(t, w.opt)
	w.must(w.a.Hold(t.Context(), Hold{Generation: 5}))
	w.must(w.a.Hold(t.Context(), Hold{Generation: 7}))
	_, err := w.a.Retain(t.Context(), Retention{Policy: Policy{Last: 12}, Grace: 0})
	w.must(err)
	w.must(w.a.Release(t.Context(), Hold{Generation: 7}))
	for range 5 {
		w.generation()
	}
	out, err := w.a.Retain(t.Context(), Retention{Policy: Policy{Last: 10}, Grace: 24 * time.Hour})
	w.must(err)
	if out.Retired == 0 {
		t.Error("nothing was given up")
	}
	w.last, w.says = int64(len(w.then)), w.reads()
	w.must(w.a.Close())
	return w
}

// TestVerifyAfterRetention: what retention gave up is no damage, and what it
// decided is mended like all else.
func TestVerifyAfterRetention(t *testing.T) {
	for seed := range uint64(4) {
		w := thinned(t, seed)
		if out := w.verify(nil); len(out.Findings) > 0 || len(out.Strays) > 0 {
			t.Errorf("seed %d: %+v", seed, out)
		}
		for name, harm := range map[string]func(w *world){
			"nothing":      func(*world) {},
			"no catalogue": func(w *world) { w.must(removeDatabase(filepath.Join(w.opt.Dir, CatalogueFile))) },
			"retired once more": func(w *world) {
				w.change("UPDATE generation SET retired = 5 WHERE n = (SELECT max(n) FROM generation)")
			},
			"not retired":       func(w *world) { w.change("UPDATE generation SET retired = 0 WHERE n = 1") },
			"hold lost":         func(w *world) { w.change("DELETE FROM hold") },
			"a manifest":        func(w *world) { w.write(filepath.Join(manifestsDir, manifestName(3)), flip(300)) },
			"first note":        func(w *world) { w.write(filepath.Join(manifestsDir, notePrefix+manifestName(1)), flip(300)) },
			"second note":       func(w *world) { w.write(filepath.Join(manifestsDir, notePrefix+manifestName(2)), gone) },
			"third note":        func(w *world) { w.write(filepath.Join(manifestsDir, notePrefix+manifestName(3)), cut) },
			"note of a release": func(w *world) { w.write(filepath.Join(manifestsDir, notePrefix+manifestName(4)), empty) },
			"last note":         func(w *world) { w.write(filepath.Join(manifestsDir, notePrefix+manifestName(5)), flip(700)) },
		} {
			t.Run(fmt.Sprint(seed, " ", name), func(t *testing.T) {
				w := w.copied(t)
				harm(w)
				out := w.verify(nil)
				if (len(out.Findings) == 0) != (name == "nothing") {
					t.Errorf("found: %+v", out.Findings)
				}
				w.mended()
			})
		}
	}
}
