package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
)

// logged is the durable log of what came after the first n lines.
func (w *world) logged(n int) string {
	var out []string
	for _, e := range w.index.Events()[n:] {
		out = append(out, fmt.Sprintf("%s %s %s>%s: %s", e.Verb, e.Side, e.Mailbox, e.To, e.Text))
	}
	return strings.Join(out, "\n")
}

// TestLogTellsWhy looks for the line that tells why a message came, went,
// changed or did not.
func TestLogTellsWhy(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *world)
		opts   func(*engine.Options)
		want   string
		digest bool // the line names the message
	}{
		"came":    {func(w *world) { w.remote.Deliver("INBOX", letter(50), mail.FlagSet{}, day) }, nil, "copied local INBOX>: new on the server", true},
		"changed": {func(w *world) { w.remote.SetFlags("INBOX", find(w.remote, "INBOX", 1), mail.NewFlagSet(mail.Seen)) }, nil, `flagged local INBOX>: +\Seen`, true},
		"moved":   {func(w *world) { w.remote.Move("INBOX", find(w.remote, "INBOX", 1), "Work", false) }, nil, "moved local INBOX>Work: to Work", true},
		"went":    {func(w *world) { w.remote.Expunge("INBOX", find(w.remote, "INBOX", 1)) }, nil, "deleted local INBOX>: deleted on the server", true},
		"went on both sides": {func(w *world) {
			w.remote.Expunge("INBOX", find(w.remote, "INBOX", 1))
			w.local.Expunge("INBOX", find(w.local, "INBOX", 1))
		}, nil, "gone local INBOX>: it is on neither side any more", true},
		"held": {func(w *world) {
			for i := range 12 {
				w.local.Expunge("INBOX", find(w.local, "INBOX", i))
			}
		}, nil, "held local INBOX>: deleted, or its flags lost, here: more at once than the guard lets pass", true},
		"vanished": {func(w *world) { w.local.DeleteBox("Work") }, nil, "held local Work>: the mailbox is gone here; it is left as it is on the server", false},
		"pending": {func(w *world) {
			w.remote.Break("INBOX", w.remote.Deliver("INBOX", letter(51), mail.FlagSet{}, day), errors.New("internal error"))
		}, nil, "pending remote INBOX>: error: message 21 in INBOX cannot be read on the server: it is tried again at the next run", false},
		"declined": {func(w *world) {
			w.remote.Traits.Permits = func(f mail.Flag) bool { return f[0] == '\\' }
			w.local.SetFlags("INBOX", find(w.local, "INBOX", 1), mail.NewFlagSet("$Work"))
		}, nil, "declined remote INBOX>: the server does not store flags", false},
		"another mode": {nil, func(o *engine.Options) { o.Bound = "me@elsewhere" },
			"noted local >: the account now names another server or user: nothing is deleted, both sides are joined", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			w.fill(t, "INBOX", 0, 20)
			w.fill(t, "Work", 30, 2)
			before := len(w.index.Events())
			if c.change != nil {
				c.change(w)
			}
			change := []func(*engine.Options){}
			if c.opts != nil {
				change = append(change, c.opts)
			}
			w.run(t, change...)
			need(t, strings.Contains(w.logged(before), c.want), "logged:\n%s\nwant: %s", w.logged(before), c.want)
			for _, e := range w.index.Events()[before:] {
				need(t, !c.digest || !e.Ident.IsZero(), "%s names no message", e.Verb)
				need(t, !e.At.IsZero(), "%s has no time", e.Verb)
			}
			n := len(w.index.Events())
			w.run(t, change...)
			need(t, len(w.index.Events()) == n, "a further run logged again:\n%s", w.logged(n))
		})
	}
}

// TestLogOfHeldThatIsDecided follows held deletions to their end.
func TestLogOfHeldThatIsDecided(t *testing.T) {
	for _, accept := range []bool{true, false} {
		w := newWorld()
		w.fill(t, "INBOX", 0, 20)
		for i := range 12 {
			w.local.Expunge("INBOX", find(w.local, "INBOX", i))
		}
		w.run(t)
		n := len(w.index.Events())
		w.run(t, func(o *engine.Options) { o.Accept, o.Reject = accept, !accept })
		want := "copied local INBOX>: its deletion on the local side was rejected"
		if accept {
			want = "deleted remote INBOX>: deleted here, held, and accepted"
		}
		need(t, strings.Count(w.logged(n), want) == 12, "logged:\n%s", w.logged(n))
	}
}
