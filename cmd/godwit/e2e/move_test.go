package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	imap "github.com/emersion/go-imap/v2"
)

// TestMovesCarryNoBody watches the commands while messages move in every way.
func TestMovesCarryNoBody(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h := newHand(a)
		first := h.write("From", 60)
		h.write("Branch/Leaf", 3)
		h.write("Twig/Leaf", 3)
		a.sync()
		w := a.tap()
		for i := range 10 {
			h.moveHere("From", first+i, target)
			h.passHere("From", first+10+i, target)
			h.moveThere("From", first+20+i, target)
			h.moveHere("From", first+30+i, target)
			h.flagThere("From", first+30+i, imap.FlagFlagged)
			h.moveThere("From", first+40+i, target)
			h.flagHere("From", first+40+i, "S")
			h.moveHere("From", first+50+i, target)
			h.moveThere("From", first+50+i, "Elsewhere")
		}
		h.rename(filepath.Join(a.root, "Branch"), filepath.Join(a.root, "Bough"))
		if err := h.c.Unselect().Wait(); err != nil {
			t.Fatal(err)
		}
		if err := h.c.Rename("Twig", "Sprig", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		a.sync()
		heard := w.take()
		a.agree()
		need(t, len(tapBodies(heard)) == 0, "bodies travelled:\n%s", strings.Join(tapBodies(heard), "\n"))
		need(t, len(named(heard, "UID MOVE", "UID COPY")) > 0, "nothing was moved:\n%s", strings.Join(heard, "\n"))
		need(t, len(named(heard, "RENAME")) > 0, "nothing was renamed:\n%s", strings.Join(heard, "\n"))
		a.quiet()
		// A message that has moved can move on, and back.
		h.moveHere(target, first, "From")
		h.moveThere(target, first+20, "From")
		w.take()
		a.sync()
		heard = w.take()
		a.agree()
		need(t, a.uid("From", mark(first)) != 0 && a.file("From", mark(first+20)) != "", "the messages did not move back")
		need(t, len(tapBodies(heard)) == 0, "bodies travelled:\n%s", strings.Join(tapBodies(heard), "\n"))
		a.quiet()
	})
}

// TestVanishedMailbox holds what looks like a mailbox deleted by mistake, and
// does with it as it is told.
func TestVanishedMailbox(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		h := newHand(a)
		for _, then := range []string{"--reject-deletes", "--accept-deletes"} {
			here, there := "Gone here"+then, "Gone there"+then
			var first []int
			for _, box := range []string{here, there} {
				first = append(first, h.write(box, 5))
				h.write(box+"/Child", 5)
			}
			h.write("News", 1)
			a.sync()
			a.agree()
			vanish(h, here, there)
			n := h.write("News", 1)
			r := a.exits(3, "sync", "-v")
			need(t, a.file("News", mark(n)) != "", "the rest was not done: %v", r)
			need(t, strings.Contains(r.out+r.errout, "--accept-deletes"), "it does not say what to do: %v", r)
			need(t, a.uid(here, mark(first[0])) != 0 && a.file(there, mark(first[1])) != "", "the other side lost it: %v", r)
			status := a.exits(0, "status")
			need(t, strings.Count(status.out, "vanished here, held") == 2 && strings.Count(status.out, "vanished on the server, held") == 2, "%v", status)
			files, server := a.fingerprint(), a.changes()
			a.exits(3, "sync", "-v")
			need(t, files == a.fingerprint() && server == a.changes(), "a held deletion was carried out, or more:\n%s\n%s", server, a.changes())
			r = a.sync(then)
			a.agree()
			for i, box := range []string{here, there} {
				there := a.uid(box, mark(first[i])) != 0
				need(t, there == (then == "--reject-deletes"), "%s: wrong after %s: %v", box, then, r)
			}
			need(t, strings.Contains(r.out, fmt.Sprintf("in %s agree", count(len(a.local()), "mailbox"))), "it miscounts the %d mailboxes: %v", len(a.local()), r)
			a.quiet()
		}
	})
}

// count is a number of mailboxes as godwit writes it.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ses", n, noun)
}

// vanish removes a mailbox, and the one below it, from each side.
func vanish(h *hand, here, there string) {
	h.t.Helper()
	if err := os.RemoveAll(filepath.Join(h.root, here)); err != nil {
		h.t.Fatal(err)
	}
	for _, name := range []string{there + "/Child", there} {
		if err := h.c.Delete(name).Wait(); err != nil {
			h.t.Fatal(err)
		}
	}
}
