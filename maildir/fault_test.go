package maildir

import (
	"flag"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A faultMode is one way in which a call fails, and the calls it can befall:
// a read changes nothing, so that to die or fail after it is the same as before
// it, and takes no room.
type faultMode struct {
	mode    tapMode
	errno   unix.Errno
	lasting bool
	hint    string
	calls   []string // nil for all
	stride  int      // unless all are asked for, one call in so many
}

// everyPoint asks for all points, also among the calls that only read.
var everyPoint = flag.Bool("every", false, "let every single call fail in TestEveryCallFails, also every stat")

var faultModes = []faultMode{
	{mode: failBefore, errno: unix.EIO, hint: "check the disk", calls: effects},
	{mode: failBefore, errno: unix.EIO, hint: "check the disk", stride: 7},
	{mode: failAfter, errno: unix.EIO, hint: "check the disk", calls: effects},
	{mode: failBefore, errno: unix.ENOSPC, hint: "make room", calls: effects},
	{mode: failBefore, errno: unix.ENOSPC, hint: "make room", calls: effects, lasting: true},
	{mode: dieBefore, calls: effects},
	{mode: dieAfter, calls: effects},
}

// TestEveryCallFails lets every single system call of a run fail, in every
// way. Whatever becomes of the run: nothing is lost or half written, the error
// names the file and what to do, and one clean run mends it all.
func TestEveryCallFails(t *testing.T) { bothWays(t, testEveryCallFails) }

func testEveryCallFails(t *testing.T, by way) {
	want, _ := eventful(t, by(Options{FSync: true}))
	x := &tap{}
	if rep, err := want.run(x); err != nil || rep.Exit() != 0 {
		t.Fatalf("undisturbed: %v, %v", err, rep.Faults)
	}
	want.agree("undisturbed")
	counts := map[string]int{}
	for _, c := range x.calls {
		counts[c.call]++
	}
	t.Logf("a run makes %d calls: %v", len(x.calls), counts)
	for _, m := range faultModes {
		name := string(m.mode)
		if m.errno != 0 {
			name += " with " + m.errno.Error()
		}
		if m.lasting {
			name += " for good"
		}
		if m.calls == nil {
			name += ", reads too"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			stride := max(m.stride, 1)
			if *everyPoint {
				stride = 1
			}
			points, failed := 0, 0
			for n, more := 1, true; more && failed < 5; n += stride {
				if !t.Run(strconv.Itoa(n), func(t *testing.T) { more = faultAt(t, n, m, want, by) }) {
					failed++
				}
				points++
			}
			t.Logf("%d points", points-1)
		})
	}
}

// faultAt lets call n fail, and tells whether there was such a call.
func faultAt(t *testing.T, n int, m faultMode, want *account, by way) bool {
	a, gone := eventful(t, by(Options{FSync: true}))
	x := &tap{at: n, mode: m.mode, errno: m.errno, lasting: m.lasting, only: m.calls}
	rep, _ := a.run(x)
	if x.hit == "" {
		return false
	}
	told := strings.Join(a.events, "\n")
	if m.errno != 0 {
		a.checkTold(x, m, rep)
	}
	a.checkWhole(x.hit, gone)
	rep, err := a.run(&tap{})
	if err != nil || rep.Exit() != 0 {
		t.Errorf("call %d, %s: the next run ends with %d, %v, %v\nfirst run:\n%s\nnext run:\n%s", n, x.hit, rep.Exit(), err, rep.Faults, told, strings.Join(a.events, "\n"))
	}
	if d := sidetest.Compare(want.server.Snapshot(), a.server.Snapshot()); d != "" {
		t.Errorf("call %d, %s: the server differs from the undisturbed:\n%s\nfirst run:\n%s\nnext run:\n%s", n, x.hit, d, told, strings.Join(a.events, "\n"))
	}
	a.agree(x.hit)
	return true
}

// checkTold: a run that did not end well says which file it was and what to do.
func (a *account) checkTold(x *tap, m faultMode, rep *engine.Report) {
	a.t.Helper()
	if rep.Exit() == 0 {
		return // it did not matter: the next run must find nothing amiss
	}
	told := slices.Clone(a.events)
	for _, f := range rep.Faults {
		told = append(told, f.Error())
	}
	for _, text := range told {
		if strings.Contains(text, m.errno.Error()) && strings.Contains(text, filepath.Dir(a.opt.Root)) && strings.Contains(text, m.hint) {
			return
		}
	}
	a.t.Errorf("%s: the run ends with %d, and nothing names the file and says to %s: %q", x.hit, rep.Exit(), m.hint, told)
}

// checkWhole fails if a message is half written where it can be seen, or lost.
func (a *account) checkWhole(what string, gone map[int]bool) {
	a.t.Helper()
	known := map[string]int{}
	for n := range 100 {
		known[letter(n)] = n
	}
	known[string(sidetest.Canonical([]byte(oddLetter)))] = 99
	there := map[int]bool{}
	for side, snap := range []sidetest.Snapshot{a.disk(), a.server.Snapshot()} {
		for box, list := range snap {
			refs := map[mail.Ref]bool{}
			for _, msg := range list {
				n, ok := known[string(sidetest.Canonical(msg.Body))]
				if !ok {
					a.t.Errorf("%s: %q in %s on side %d is no whole message", what, msg.Body, box, side)
				}
				if refs[msg.Ref] {
					a.t.Errorf("%s: %s is twice in %s on side %d", what, msg.Ref, box, side)
				}
				there[n], refs[msg.Ref] = true, true
			}
		}
	}
	for _, n := range []int{0, 1, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 20, 30, 31, 50, 60, 61, 62, 70, 71, 99} {
		if !there[n] && !gone[n] {
			a.t.Errorf("%s: letter %d is lost", what, n)
		}
	}
}
