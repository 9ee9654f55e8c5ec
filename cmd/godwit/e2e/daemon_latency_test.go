package e2e

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	imap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
)

var latencies = flag.Int("latency", 2, "how often each kind of change is timed on its way to the other side")

// until waits for something on the other side, and looks for it all the time.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	late := time.After(time.Minute)
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !done() {
		select {
		case <-look.C:
		case <-late:
			t.Fatalf("%s does not come about", what)
		}
	}
}

// rests reads the log until the daemon has nothing to say for a while.
func (d *daemon) rests() {
	for {
		select {
		case l, ok := <-d.lines:
			if !ok {
				d.a.t.Fatal("the daemon ended")
			}
			d.heard = append(d.heard, l)
		case <-time.After(200 * time.Millisecond):
			return
		}
	}
}

// runs counts the runs that were heard of.
func (d *daemon) runs() (n int) {
	for _, l := range d.heard {
		if l["msg"] == "ran" {
			n++
		}
	}
	return n
}

// A stopwatch times changes of each kind on their way.
type stopwatch struct {
	*hand
	d     *daemon
	other *imapclient.Client // has nothing selected
	took  map[string][]time.Duration

	mu   sync.Mutex
	told time.Time // when the server first told of the change; zero: not yet
}

// hears notes when the server tells of something.
func (w *stopwatch) hears(line string) string {
	if strings.HasPrefix(line, "* STATUS ") || strings.HasPrefix(line, "* ") && strings.HasSuffix(line, " EXISTS\r\n") {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.told.IsZero() {
			w.told = time.Now()
		}
	}
	return line
}

// times a change until it has come about on the other side.
func (w *stopwatch) times(what string, do func(), done func() bool) {
	w.t.Helper()
	w.mu.Lock()
	w.told = time.Time{}
	w.mu.Unlock()
	began := time.Now()
	do()
	until(w.t, what, done)
	w.took[what] = append(w.took[what], time.Since(began))
	if what == "append there" { // Dovecot takes half a second before it tells
		w.mu.Lock()
		w.took["append there, until told"] = append(w.took["append there, until told"], w.told.Sub(began))
		w.took["append there, since told"] = append(w.took["append there, since told"], time.Since(w.told))
		w.mu.Unlock()
	}
	w.d.rests()
}

// messages counts those of a mailbox of the server, and those not yet read.
func (w *stopwatch) messages(box string) (all, unseen uint32) {
	w.t.Helper()
	s, err := w.other.Status(box, &imap.StatusOptions{NumMessages: true, NumUnseen: true}).Wait()
	if err != nil {
		w.t.Fatal(err)
	}
	return *s.NumMessages, *s.NumUnseen
}

// more tells whether a mailbox of the server has more messages than it had.
func (w *stopwatch) more(box string) func() bool {
	w.t.Helper()
	had, _ := w.messages(box)
	return func() bool { has, _ := w.messages(box); return has > had }
}

// names lists the files of a mailbox.
func (w *stopwatch) names(box string) map[string]string {
	all := map[string]string{}
	for _, part := range []string{"new", "cur"} {
		list, err := os.ReadDir(filepath.Join(w.root, box, part))
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range list {
			all[e.Name()] = filepath.Join(w.root, box, part, e.Name())
		}
	}
	return all
}

// once times one change of each kind.
func (w *stopwatch) once(n int) {
	w.t.Helper()
	before, file := w.names("INBOX"), ""
	w.times("append there", func() { w.write("INBOX", 1) }, func() bool {
		for name, path := range w.names("INBOX") {
			if before[name] == "" {
				file = path
			}
		}
		return file != ""
	})
	key, _, _ := strings.Cut(filepath.Base(file), ":2,")
	seen := filepath.Join(w.root, "INBOX", "cur", key+":2,S")
	_, unread := w.messages("INBOX")
	w.times("flag here", func() { w.rename(file, seen) }, func() bool { _, left := w.messages("INBOX"); return left < unread })
	w.times("move here", func() { w.rename(seen, filepath.Join(w.root, "Work", "cur", filepath.Base(seen))) }, w.more("Work"))
	w.times("delivery here", func() {
		letter := filepath.Join(w.root, "INBOX", "tmp", fmt.Sprint("own", n))
		if err := os.WriteFile(letter, fmt.Appendf(nil, "Subject: own %d\n\nown %d\n", n, n), 0o600); err != nil {
			w.t.Fatal(err)
		}
		w.rename(letter, filepath.Join(w.root, "INBOX", "new", filepath.Base(letter)))
	}, w.more("INBOX"))
}

// Every change is on the other side soon, and makes a run for itself and at
// most one for what the server tells of it. What comes of that is not told
// again: there is no end of it otherwise.
func TestDaemonLatency(t *testing.T) {
	for name, opts := range watched {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, imaptest.Dovecot(t, opts...), "me")
			h := newHand(a)
			h.makeThere("Work")
			w := &stopwatch{hand: h, other: a.server.Client("me"), took: map[string][]time.Duration{}}
			a.through(newWiretap(t, a.server.Addr(), w.hears))
			d := a.daemon()
			w.d = d
			d.watches()
			a.exits(0, "sync")
			d.rests()
			d.heard = nil
			for n := range *latencies {
				w.once(n)
			}
			if runs, changes := d.runs(), 4**latencies; runs > 2*changes {
				t.Errorf("%d changes made %d runs", changes, runs)
			}
			for what, took := range w.took {
				slices.Sort(took)
				t.Logf("%s: %s: median %v, worst %v of %d", name, what, took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond), len(took))
			}
			t.Logf("%s: %d runs for %d changes", name, d.runs(), 4**latencies)
			a.exits(0, "sync")
			a.agree()
			d.stop()
		})
	}
}
