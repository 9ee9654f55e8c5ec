package archive

import (
	"path/filepath"
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

// A parent ends while its child stays; its name is listed for that, and can be
// a mailbox again. Generations of before have it.
func TestEnd(t *testing.T) {
	ctx := t.Context()
	a, err := Open(ctx, Options{Dir: filepath.Join(t.TempDir(), "archive"), NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	generation := func(do func(*Recording)) int64 {
		t.Helper()
		rec, err := a.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		do(rec)
		g, err := rec.Finish(ctx, Outcome{Complete: true})
		if err != nil || g == nil {
			t.Fatalf("%+v, %v", g, err)
		}
		return g.Number
	}
	mailboxes := func(n int64) map[mail.MailboxName]bool {
		t.Helper()
		boxes, err := a.View(n).Survey(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		out := map[mail.MailboxName]bool{}
		for _, b := range boxes {
			out[b.Name] = !b.Container
		}
		return out
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	one := generation(func(r *Recording) {
		for _, name := range []mail.MailboxName{"Work", "Work/Deep"} {
			_, err := r.Create(ctx, name)
			must(err)
		}
	})
	two := generation(func(r *Recording) {
		if r.Remove(ctx, "Work") == nil || r.End(ctx, "Nowhere") == nil {
			t.Error("what cannot be removed was")
		}
		must(r.End(ctx, "Work"))
		if r.End(ctx, "Work") == nil {
			t.Error("it ended twice")
		}
	})
	three := generation(func(r *Recording) {
		_, err := r.Create(ctx, "Work")
		must(err)
		must(r.End(ctx, "Work/Deep"))
	})
	for n, want := range map[int64]map[mail.MailboxName]bool{
		one: {"Work": true, "Work/Deep": true}, two: {"Work": false, "Work/Deep": true}, three: {"Work": true},
	} {
		got := mailboxes(n)
		if len(got) != len(want) {
			t.Errorf("generation %d has %v, not %v", n, got, want)
		}
		for name, box := range want {
			if is, there := got[name]; !there || is != box {
				t.Errorf("generation %d has %v, not %v", n, got, want)
			}
		}
		if g, err := a.Generation(ctx, n); err != nil || g.Mailboxes != map[int64]int{one: 2, two: 1, three: 1}[n] {
			t.Errorf("generation %d counts %d mailboxes, %v", n, g.Mailboxes, err)
		}
	}
}
