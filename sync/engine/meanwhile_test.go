package engine_test

import (
	"testing"

	"github.com/godwit-mail/godwit/mail"
)

// A message that is moved on the server, and on the disk while a run is under
// way, to a mailbox that the run has not seen, is not gone there: it must not
// be copied back, or it would be there twice.
func TestMovedOnBothSidesMeanwhile(t *testing.T) {
	w := newWorld()
	w.local.Traits.TellsSame = false // every mailbox is scanned
	w.fill(t, "INBOX", 0, 3)
	w.remote.Move("INBOX", find(w.remote, "INBOX", 1), "Work", false)
	moved := false
	w.local.Hook = func(call string) {
		if call == "scan" && !moved {
			moved = true
			w.local.Move("INBOX", find(w.local, "INBOX", 1), "Aside", true)
		}
	}
	_, err := w.try()
	w.local.Hook = nil
	need(t, err == nil && moved, "%v, moved: %v", err, moved)
	w.run(t)
	w.agree(t)
	count := 0
	for _, list := range w.local.Snapshot() {
		for _, m := range list {
			if m.Ident.Body == bodyOfLetter(1) {
				count++
			}
		}
	}
	need(t, count == 1, "the letter is there %d times: %v", count, w.actions())
}

func bodyOfLetter(n int) mail.Digest {
	h := mail.NewHasher()
	_, _ = h.Write([]byte(letter(n)))
	return h.Sum().Body
}
