package engine_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

func TestZScale(t *testing.T) {
	n := 20000
	fmt.Sscan(os.Getenv("N"), &n)
	step := func(name string, w *world, f ...func(*engine.Options)) {
		b := time.Now()
		rep, err := w.try(f...)
		t.Logf("%-30s %6.2fs exit %d %v copied %v deleted %v moved %v held %d adopted %d", name, time.Since(b).Seconds(), rep.Exit(), err, rep.Copied, rep.Deleted, rep.Moved, rep.Held, rep.Adopted)
	}
	boxes := 50
	fill := func(w *world) {
		for i := range n {
			w.remote.Deliver(mail.MailboxName(fmt.Sprintf("B%02d", i%boxes)), letter(i), mail.FlagSet{}, day)
		}
	}
	w := newWorld()
	fill(w)
	step("first pull", w)
	step("nothing", w)
	old := w.index.Clone()
	w.index = sidetest.NewMemoryIndex()
	step("index lost", w)
	w.index = old
	w.opts.Bound = "x"
	step("server replaced", w)
	w.opts.Bound = "y"
	snap := w.local.Snapshot()
	for b, l := range snap {
		for i, m := range l {
			if i%2 == 0 {
				w.local.Expunge(b, m.Ref)
			} else {
				w.remote.Expunge(b, w.remote.Snapshot()[b][0].Ref)
				break
			}
		}
	}
	step("adopt with half gone", w)
	for b, l := range w.local.Snapshot() {
		for _, m := range l {
			w.local.Expunge(b, m.Ref)
		}
	}
	step("all deleted, held", w)
	step("held again", w)
	step("reject", w, reject)
	for b, l := range w.local.Snapshot() {
		for _, m := range l {
			w.local.Move(b, m.Ref, "Z"+b, true)
		}
	}
	step("all moved", w)
	for b, l := range w.local.Snapshot() {
		for _, m := range l {
			w.local.SetFlags(b, m.Ref, mail.NewFlagSet(mail.Seen))
		}
	}
	step("all flagged", w)
	for b, l := range w.local.Snapshot() {
		for _, m := range l {
			w.local.Edit(b, m.Ref, string(m.Body)+"x\n")
		}
	}
	step("all edited, held", w)
	step("accept", w, accept)
	for b, l := range w.remote.Snapshot() {
		for _, m := range l {
			w.remote.Break(b, m.Ref, sidetest.ErrBroken)
		}
	}
	for b, l := range w.local.Snapshot() {
		for _, m := range l {
			w.local.Expunge(b, m.Ref)
		}
	}
	w.opts.Bound = "z"
	step("all broken", w)
}
