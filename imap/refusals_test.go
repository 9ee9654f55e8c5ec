package imap_test

import (
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// TestKeywordsThatAppendDoesNotTake has a server refuse messages with keywords:
// they arrive once, with their keywords if STORE takes those, and otherwise
// the keywords are declined, once.
func TestKeywordsThatAppendDoesNotTake(t *testing.T) {
	for name, tc := range map[string]struct {
		caps     string
		stores   bool
		declined int
	}{
		"STORE takes them":          {fullCaps, true, 0},
		"STORE takes them, many":    {pushCaps, true, 0},
		"STORE refuses them, many":  {pushCaps, false, 1},
		"STORE takes them, bare":    {bareCaps, true, 0},
		"STORE refuses them":        {fullCaps, false, 1},
		"STORE refuses them, bare":  {bareCaps, false, 1},
		"STORE refuses them, moves": {"IMAP4rev1 MOVE", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := settled(t, tc.caps)
			for i := range 3 {
				w.local.Deliver("Work", letter(700+i), mail.NewFlagSet(mail.Flagged, "todo"), day)
			}
			w.server.Before = func(_ int, cmd imaptest.Command) string {
				if strings.Contains(cmd.Args, "todo") && (cmd.Name == "APPEND" || cmd.Name == "UID STORE" && !tc.stores) {
					return "{tag} NO [CANNOT] no such keyword\r\n"
				}
				return ""
			}
			for range 2 {
				if rep, err := w.run(t); err != nil || rep.Exit() != 0 || rep.Declined != tc.declined {
					t.Fatalf("%v, exit %d, %d declined, %v", err, rep.Exit(), rep.Declined, rep.Faults)
				}
			}
			want := w.local.Snapshot()
			if !tc.stores {
				for i := range want["Work"] {
					m := &want["Work"][i]
					m.Flags = m.Flags.Minus(mail.NewFlagSet("todo"))
				}
			}
			if d := sidetest.Compare(want, w.remote()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestAServerThatTakesMailboxesBelowINBOXOnly says so where the server has no
// way to say it itself.
func TestAServerThatTakesMailboxesBelowINBOXOnly(t *testing.T) {
	w := settled(t, bareCaps)
	for _, box := range []string{"Work", "Lists"} {
		w.server.Rename(box, "INBOX/"+box)
	}
	w.index, w.local = sidetest.NewMemoryIndex(), sidetest.NewMemory(sidetest.Maildir)
	w.local.Deliver("Mine", letter(800), mail.FlagSet{}, day)
	w.server.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "CREATE" && !strings.Contains(cmd.Args, "INBOX/") {
			return "{tag} NO Invalid mailbox name\r\n"
		}
		return ""
	}
	rep, err := w.run(t)
	if err != nil || rep.Exit() != 1 || len(rep.Faults) == 0 || !strings.Contains(rep.Faults[0].Error(), `below INBOX only: rename it to "INBOX/Mine"`) {
		t.Fatalf("%v, exit %d, %v", err, rep.Exit(), rep.Faults)
	}
	w.local.RenameBox("Mine", "Other")
	for _, m := range w.local.Snapshot()["Other"] {
		w.local.Move("Other", m.Ref, "INBOX/Mine", true)
	}
	w.local.DeleteBox("Other")
	if rep, err := w.run(t); err != nil || rep.Exit() != 0 {
		t.Errorf("%v, exit %d, %v", err, rep.Exit(), rep.Faults)
	}
	if d := sidetest.Compare(w.local.Snapshot(), w.remote()); d != "" {
		t.Error(d)
	}
}

// TestAHalfMoveIsFinished cuts a server without MOVE between COPY and EXPUNGE:
// the next run removes the origin.
func TestAHalfMoveIsFinished(t *testing.T) {
	w := settled(t, "IMAP4rev1 UIDPLUS")
	for _, m := range w.local.Snapshot()["INBOX"] {
		if string(sidetest.Canonical(m.Body)) == letter(2) {
			w.local.Move("INBOX", m.Ref, "Work", true)
		}
	}
	w.server.Before = func(_ int, cmd imaptest.Command) string {
		if cmd.Name == "UID EXPUNGE" {
			return imaptest.Drop
		}
		return ""
	}
	if rep, _ := w.run(t); rep.Exit() != 1 {
		t.Errorf("exit %d", rep.Exit())
	}
	w.agreed(t, 1, w.local.Snapshot())
}
