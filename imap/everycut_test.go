package imap_test

import (
	"flag"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// every says at which points a run is disturbed: at all (1), or at each n-th.
var every = flag.Int("every", 19, "disturb a run at each n-th of all points")

// A harm is what a server does at one command, once.
type harm struct {
	name   string
	before string                                           // sent in place of carrying the command out
	spoil  func(cmd imaptest.Command, answer string) string // what becomes of the answer
}

// harms are the ways in which a server can fail at any command.
var harms = []harm{
	{name: "cut before", before: imaptest.Drop},
	{name: "cut after it was done", spoil: func(_ imaptest.Command, _ string) string { return imaptest.Drop }},
	{name: "cut inside the answer", spoil: func(_ imaptest.Command, answer string) string { return answer[:len(answer)/2] + imaptest.Drop }},
	{name: "cut before the last line", spoil: func(_ imaptest.Command, answer string) string {
		return answer[:strings.LastIndex(answer[:len(answer)-2], "\r\n")+2] + imaptest.Drop
	}},
	{name: "cut after the answer", spoil: func(_ imaptest.Command, answer string) string { return answer + imaptest.Drop }},
	{name: "BYE before", before: "* BYE going down\r\n" + imaptest.Drop},
	{name: "BYE after it was done", spoil: func(_ imaptest.Command, _ string) string { return "* BYE [UNAVAILABLE] going down\r\n" + imaptest.Drop }},
	{name: "refused", before: "{tag} NO [UNAVAILABLE] later\r\n"},
	{name: "not understood", before: "{tag} BAD what\r\n"},
	{name: "done and refused", spoil: func(imaptest.Command, string) string { return "{tag} NO [CORRUPTION] oh no\r\n" }},
	{name: "nothing done and OK", before: "{tag} OK done\r\n"},
	{name: "OVERQUOTA", before: "{tag} NO [OVERQUOTA] full\r\n"},
	{name: "INUSE", before: "{tag} NO [INUSE] busy\r\n"},
	{name: "LIMIT", before: "{tag} NO [LIMIT] too much\r\n"},
	{name: "TRYCREATE", before: "{tag} NO [TRYCREATE] make it\r\n"},
	{name: "EXPUNGEISSUED", before: "{tag} NO [EXPUNGEISSUED] gone\r\n"},
	{name: "done and OK without data", spoil: func(imaptest.Command, string) string { return "{tag} OK done\r\n" }},
}

// at harms the nth command.
func (h *harm) at(m *imaptest.Mailstore, nth int) *atomic.Value {
	var hit atomic.Value // the command's name
	if h.before != "" {
		m.Before = func(n int, cmd imaptest.Command) string {
			if n != nth {
				return ""
			}
			hit.Store(cmd.Name)
			return h.before
		}
		return &hit
	}
	m.Spoil = func(n int, cmd imaptest.Command, answer string) string {
		if n != nth {
			return answer
		}
		hit.Store(cmd.Name)
		return h.spoil(cmd, answer)
	}
	return &hit
}

// TestHarmAtEveryCommand disturbs a run that has all kinds of work to do at
// each command (of which -every picks some), in each way. What is not said to have failed must be done; and
// a run without a fault must bring both sides to what an undisturbed run makes.
func TestHarmAtEveryCommand(t *testing.T) {
	for _, tc := range []struct {
		name, caps string
		change     func(*imaptest.Mailstore)
	}{
		{"MULTIAPPEND", pushCaps, func(*imaptest.Mailstore) {}},
		{"full", fullCaps, func(*imaptest.Mailstore) {}},
		{"QRESYNC", quickCaps, func(*imaptest.Mailstore) {}},
		{"no UIDPLUS", "IMAP4rev1 MOVE UNSELECT", func(*imaptest.Mailstore) {}},
		{"bare", bareCaps, func(*imaptest.Mailstore) {}},
		{"UIDNEXT from STATUS alone", "IMAP4rev1 UIDPLUS", func(m *imaptest.Mailstore) { m.NoSelectNext = true }},
		{"no UIDNEXT", bareCaps, func(m *imaptest.Mailstore) { m.NoNext = true }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			start := eventful(t, tc.caps)
			tc.change(start.server)
			want, commands := finished(t, start)
			points := 0
			for _, h := range harms {
				for nth := 1; nth <= commands; nth++ {
					if points++; points%*every == 0 {
						disturb(t, start, want, &h, nth)
					}
				}
			}
			t.Logf("%d commands, %d points", commands, points / *every)
		})
	}
}

func disturb(t *testing.T, start *world, want sidetest.Snapshot, h *harm, nth int) {
	w := start.clone()
	hit := h.at(w.server, nth)
	rep, err := w.run(t)
	t.Run(fmt.Sprintf("%s/%d %v", h.name, nth, hit.Load()), func(t *testing.T) {
		if err == nil && rep.Exit() == 0 {
			w.holds(t, want)
		}
		w.agreed(t, 1, want)
	})
}
