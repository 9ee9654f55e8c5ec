package backup_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// Whatever is moved, renamed and numbered anew on the server while a backup
// is made of it, and at whatever moment: a message that was there all the time
// is in each generation that says it is complete.
func TestMeanwhile(t *testing.T) {
	acts := map[string]func(s *sidetest.Memory){
		"a message moves to the mailbox that is first": func(s *sidetest.Memory) { s.Move("Work", refOf(s, "Work", 12), "INBOX", false) },
		"a message moves to the mailbox that is last":  func(s *sidetest.Memory) { s.Move("INBOX", refOf(s, "INBOX", 2), "Work", false) },
		"a mailbox is renamed":                         func(s *sidetest.Memory) { s.RenameBox("Work", "Attic") },
		"a mailbox is renamed, and an empty one made in its place": func(s *sidetest.Memory) {
			s.RenameBox("Work", "Attic")
			s.CreateBox("Work")
		},
		"a mailbox is numbered anew": func(s *sidetest.Memory) { s.ResetEpoch("Work") },
		"all mail moves to a new mailbox": func(s *sidetest.Memory) {
			s.CreateBox("Attic")
			for n := 10; n < 15; n++ {
				s.Move("Work", refOf(s, "Work", n), "Attic", false)
			}
		},
	}
	before := map[string]func(w *world){
		"first":            func(w *world) { w.archive, w.index = newWorld(w.t).archive, sidetest.NewMemoryIndex() },
		"new mail":         func(w *world) { w.fill("Work", 30, 1) },
		"index lost":       func(w *world) { w.index = sidetest.NewMemoryIndex() },
		"numbered anew":    func(w *world) { w.server.ResetEpoch("Work"); w.server.ResetEpoch("INBOX") },
		"moved and marked": func(w *world) { w.server.Move("INBOX", refOf(w.server, "INBOX", 4), "Work", false) },
	}
	for what, act := range acts {
		for when, prepare := range before {
			t.Run(what+", "+when, func(t *testing.T) {
				for at, over := 1, false; !over; at++ {
					over = meanwhile(t, at, prepare, act)
				}
			})
		}
	}
}

// meanwhile does something to the server at one of its calls; it returns
// whether there were not as many.
func meanwhile(t *testing.T, at int, prepare func(*world), act func(*sidetest.Memory)) (over bool) {
	t.Helper()
	w := newWorld(t)
	for i, name := range []mail.MailboxName{"INBOX", "Lists", "Work"} {
		if i > 0 {
			w.server.CreateBox(name)
		}
		w.fill(name, []int{0, 20, 10}[i], 5)
	}
	w.equal(w.run())
	prepare(w)
	lasting := w.server.Snapshot()
	calls, where := 0, ""
	w.server.Hook = func(call string) {
		if calls++; calls == at {
			where = call
			act(w.server)
		}
	}
	res, err := w.try(t.Context())
	w.server.Hook = nil
	if err == nil && res.Complete {
		if lacks := missing(lasting, w.archive.Snapshot()); len(lacks) > 0 {
			t.Errorf("at call %d (%s): complete, and without %v", at, where, lacks)
		}
	}
	for range 3 {
		if res = w.run(); res.Complete {
			break
		}
	}
	w.equal(res)
	return where == ""
}

func refOf(s *sidetest.Memory, box mail.MailboxName, n int) mail.Ref {
	for _, m := range s.Snapshot()[box] {
		if string(m.Body) == letter(n) {
			return m.Ref
		}
	}
	panic(fmt.Sprintf("letter %d is not in %s", n, box))
}

// missing lists the messages of one snapshot that another lacks, wherever they lie.
func missing(all, have sidetest.Snapshot) (out []string) {
	count := map[string]int{}
	for _, list := range have {
		for _, m := range list {
			count[string(m.Body)]++
		}
	}
	for name, list := range all {
		for _, m := range list {
			if count[string(m.Body)]--; count[string(m.Body)] < 0 {
				out = append(out, fmt.Sprintf("%s: %q", name, m.Body[70:]))
			}
		}
	}
	slices.Sort(out)
	return out
}
