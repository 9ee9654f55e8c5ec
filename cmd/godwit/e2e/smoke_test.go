package e2e

import (
	"os"
	"testing"

	imap "github.com/emersion/go-imap/v2"
)

func TestBothWays(t *testing.T) {
	each(t, func(t *testing.T, a *account) {
		for i := range 20 {
			a.append("INBOX", letter(i), date(i), imap.FlagSeen, "$Todo")
		}
		a.append("Work/Überblick", letter(20), date(20))
		a.sync()
		a.agree()
		a.deliver("Neu", letter(30), date(30), "FS")
		if err := os.Remove(a.file("INBOX", mark(3))); err != nil {
			t.Fatal(err)
		}
		a.sync()
		a.agree()
		need(t, a.uid("INBOX", mark(3)) == 0, "the deletion did not arrive")
		need(t, a.uid("Neu", mark(30)) != 0, "the delivery did not arrive")
		a.quiet()
	})
}
