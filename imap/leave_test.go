package imap_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// pleading are ways in which servers say that they have enough.
var pleading = map[string]string{
	"NO":           "{tag} NO Request is throttled. Suggested Backoff Time: 299961 milliseconds\r\n",
	"BAD, and BYE": "{tag} BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds\r\n* BYE Connection closed. 14\r\n" + imaptest.Drop,
	"BYE":          "* BYE Suggested Backoff Time: 299961 milliseconds\r\n" + imaptest.Drop,
	"BYE, and NO":  "* BYE IMAP4rev1 Server logging out\r\n{tag} NO [LIMIT] Suggested Backoff Time: 299961 milliseconds\r\n" + imaptest.Drop,
}

// leftAlone fails unless err says that the server is to be left alone, and
// nothing was sent to it after it said so but for what was on its way.
func leftAlone(t *testing.T, err error, w *world, said int, logins int) {
	t.Helper()
	var f *mail.Fault
	if !errors.As(err, &f) || f.Grade != mail.GradeAccount || f.Class != mail.ClassThrottle || f.Wait() != 299961*time.Millisecond ||
		!strings.Contains(err.Error(), "the server asks to be left alone for 5 minutes") {
		t.Errorf("the run ended with %v", err)
	}
	if n := w.server.Count() - said; said == 0 || n > 3 || logins != 1 {
		t.Errorf("said at command %d, %d came after it, %d logins", said, n, logins)
	}
}

// TestAThrottledPullEndsAtOnce: what came before it is kept, and the next run
// fetches the rest.
func TestAThrottledPullEndsAtOnce(t *testing.T) {
	for name, text := range pleading {
		t.Run(name, func(t *testing.T) {
			w := settled(t, fullCaps)
			const n = 2500
			for i := range n {
				w.server.Deliver("Work", letter(1000+i), day)
			}
			before := len(w.local.Snapshot()["Work"])
			w.server.Reset()
			bodies, said, logins := 0, 0, 0
			w.server.Before = func(at int, cmd imaptest.Command) string {
				if cmd.Name == "LOGIN" {
					logins++
				}
				if cmd.Name == "UID FETCH" && strings.Contains(cmd.Args, "BODY.PEEK[]") {
					if bodies++; bodies == 3 {
						said = at
						return text
					}
				}
				return ""
			}
			_, err := w.run(t)
			leftAlone(t, err, w, said, logins)
			// Both ranges before were answered whole.
			if got := len(w.local.Snapshot()["Work"]) - before; got < 2000 || got == n {
				t.Errorf("%d of %d messages were kept", got, n)
			}
			w.agreed(t, 2, w.remote())
		})
	}
}

// TestAThrottledPushEndsAtOnce: no message is stored twice by the run that
// comes after it.
func TestAThrottledPushEndsAtOnce(t *testing.T) {
	for name, text := range pleading {
		for _, caps := range []string{fullCaps, pushCaps, bareCaps} {
			t.Run(fmt.Sprint(name, " ", caps), func(t *testing.T) {
				w := settled(t, caps)
				for i := range 300 {
					w.local.Deliver("Work", letter(1000+i), mail.FlagSet{}, day)
				}
				want := w.local.Snapshot()
				w.server.Reset()
				appends, said, logins := 0, 0, 0
				w.server.Before = func(at int, cmd imaptest.Command) string {
					switch {
					case cmd.Name == "LOGIN":
						logins++
					case cmd.Name == "APPEND" && cmd.Literals != nil && said == 0:
						if appends++; appends == 2 {
							said = at
						}
					}
					if said != 0 {
						return text
					}
					return ""
				}
				_, err := w.run(t)
				var f *mail.Fault
				if !errors.As(err, &f) || f.Grade != mail.GradeAccount || f.Wait() != 299961*time.Millisecond || logins != 1 || said == 0 {
					t.Errorf("the run ended with %v, %d logins", err, logins)
				}
				w.agreed(t, 3, want)
			})
		}
	}
}

// TestAThrottledSurveyEndsTheRun, though a mailbox whose STATUS is refused is
// otherwise no reason to.
func TestAThrottledSurveyEndsTheRun(t *testing.T) {
	w := settled(t, fullCaps)
	want := w.local.Snapshot()
	w.server.Reset()
	w.server.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "STATUS" && strings.Contains(cmd.Args, "Work") {
			return "{tag} NO [THROTTLED] not now\r\n"
		}
		return ""
	}
	_, err := w.run(t)
	if mail.GradeOf(err, 0) != mail.GradeAccount || mail.ClassOf(err) != mail.ClassThrottle {
		t.Errorf("the run ended with %v", err)
	}
	if d := sidetest.Compare(want, w.local.Snapshot()); d != "" {
		t.Error(d)
	}
	w.agreed(t, 2, want)
}
