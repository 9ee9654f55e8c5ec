package imap_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// spoils says what a server does to all answers of a run.
type spoils func(n int, cmd imaptest.Command, answer string) string

// inFront puts text in front of every answer.
func inFront(text string) spoils {
	return func(_ int, _ imaptest.Command, answer string) string { return text + answer }
}

// between puts text behind every line of every answer but the last, where no
// literal is being sent.
func between(text string) spoils {
	return func(_ int, _ imaptest.Command, answer string) string {
		if strings.Contains(answer, "}\r\n") {
			return answer
		}
		lines := strings.SplitAfter(answer, "\r\n")
		return strings.Join(lines[:len(lines)-2], text) + text + lines[len(lines)-2]
	}
}

// instead replaces a part of every answer to the commands of one name.
func instead(name, pattern, replacement string) spoils {
	re := regexp.MustCompile(pattern)
	return func(_ int, cmd imaptest.Command, answer string) string {
		if cmd.Name != name {
			return answer
		}
		return re.ReplaceAllString(answer, replacement)
	}
}

// unasked are responses that may come at any time, true or not.
var unasked = map[string]string{
	"flags":           "* 1 FETCH (FLAGS (\\Flagged))\r\n",
	"flags with UID":  "* 2 FETCH (UID 2 FLAGS (\\Deleted \\Seen))\r\n",
	"a strange UID":   "* 99 FETCH (UID 4000000 FLAGS (\\Seen))\r\n",
	"a strange body":  "* 99 FETCH (UID 4000000 BODY[] {5}\r\nhello)\r\n",
	"a wrong body":    "* 1 FETCH (FLAGS () BODY[] {5}\r\nhello)\r\n",
	"EXPUNGE":         "* 1 EXPUNGE\r\n",
	"EXPUNGE of none": "* 4000 EXPUNGE\r\n",
	"EXISTS less":     "* 0 EXISTS\r\n",
	"EXISTS more":     "* 4294967295 EXISTS\r\n",
	"both":            "* 1 EXPUNGE\r\n* 13 EXISTS\r\n",
	"VANISHED":        "* VANISHED 1:3\r\n",
	"VANISHED all":    "* VANISHED 1:4294967295\r\n",
	"VANISHED before": "* VANISHED (EARLIER) 1:4294967295\r\n",
	"texts":           "* OK [ALERT] beware\r\n* NO [OVERQUOTA] soon\r\n* BAD what\r\n* OK [CLOSED] x\r\n* OK [HIGHESTMODSEQ 1] x\r\n",
	"unknown":         "* XYZZY (a {3}\r\nabc b)\r\n\r\n+ go on\r\nT99 OK nobody asked\r\n* 5 RECENT\r\n",
	"LIST":            "* LIST () \"/\" INBOX\r\n",
	"SEARCH":          "* SEARCH\r\n",
	"broken":          "* 1 FETCH (UID\r\n* FLAGS (\r\n* STATUS\r\n* LIST (\r\n",
}

// TestUnaskedResponses has a server say things that nobody asked for before,
// and in the middle of, every answer of a run that has all kinds of work.
func TestUnaskedResponses(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps, "MULTIAPPEND": pushCaps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unaskedResponses(t, caps)
		})
	}
}

func unaskedResponses(t *testing.T, caps string) {
	start := eventful(t, caps)
	want, _ := finished(t, start)
	for name, text := range unasked {
		for where, spoil := range map[string]spoils{"in front": inFront(text), "between": between(text)} {
			t.Run(name+" "+where, func(t *testing.T) {
				w := start.clone()
				w.server.Spoil = spoil
				if name != "flags with UID" {
					lied(t, w, want)
					return
				}
				// Flags that are told of a message are believed, and told again
				// when everything is compared.
				_, _ = w.run(t)
				unlost(t, w, want)
				w.now = w.now.AddDate(0, 0, 8)
				w.agreed(t, 2, want)
			})
		}
	}
}

// lied runs w, whose server lies; nothing may be lost, and when it no longer
// lies both sides become what want says.
func lied(t *testing.T, w *world, want sidetest.Snapshot) *engine.Report {
	t.Helper()
	began := time.Now()
	rep, _ := w.run(t)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the run took %v", took)
	}
	unlost(t, w, want)
	w.agreed(t, 2, want)
	return rep
}

// unlost fails if a message is on neither side.
func unlost(t *testing.T, w *world, want sidetest.Snapshot) {
	t.Helper()
	there := map[string]bool{}
	for _, side := range []sidetest.Snapshot{w.local.Snapshot(), w.remote()} {
		for _, list := range side {
			for _, m := range list {
				there[string(sidetest.Canonical(m.Body))] = true
			}
		}
	}
	for box, list := range want {
		for _, m := range list {
			if !there[string(sidetest.Canonical(m.Body))] {
				t.Errorf("a message of %s is lost:\n%s", box, m.Body)
			}
		}
	}
}

// TestLies has a server give wrong answers all through a run.
func TestLies(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lies(t, caps)
		})
	}
}

func lies(t *testing.T, caps string) {
	start := eventful(t, caps)
	want, _ := finished(t, start)
	for name, tc := range map[string]struct {
		spoil spoils
		exit  int
		says  string // a part of what is told
	}{
		"wrong sizes":             {instead("UID FETCH", `RFC822.SIZE (\d+)`, "RFC822.SIZE 9$1"), 0, ""},
		"negative sizes":          {instead("UID FETCH", `RFC822.SIZE (\d+)`, "RFC822.SIZE -$1"), 0, ""},
		"no bodies":               {instead("UID FETCH", `(?s)BODY\[\] \{\d+\}\r\n.*?\r\n\)`, "BODY[] NIL)"), 1, "does not give the body"},
		"an absurd body":          {instead("UID FETCH", `BODY\[\] \{\d+\}`, "BODY[] {4294967295}"), 1, "literal"},
		"an absurd header":        {instead("UID FETCH", `BODY\[HEADER(.*?)\] \{\d+\}`, "BODY[HEADER$1] {4294967295}"), 1, "literal of 4294967295 bytes"},
		"an absurd name":          {instead("LIST", `"Work"`, "{4294967295}\r\nWork"), 1, "literal"},
		"an endless line":         {instead("UID FETCH", `FLAGS \(`, "FLAGS ("+strings.Repeat("x", 2<<20)), 1, "a line of more than"},
		"an endless list":         {instead("UID FETCH", `FLAGS \(`, "FLAGS ("+strings.Repeat("(", 1000)), 1, "could not be understood"},
		"flags that are none":     {instead("UID FETCH", `FLAGS \(`, `FLAGS (\* ]x[ "a b" \\ `), 0, ""},
		"a literal for a flag":    {instead("UID FETCH", `FLAGS \(`, "FLAGS ({3}\r\nabc "), 1, "malformed response before a literal"},
		"a FETCH refused":         {instead("UID FETCH", `(?s)^.*(T\d+) OK done`, "$1 NO [EXPUNGEISSUED] look again"), 1, "EXPUNGEISSUED"},
		"a mailbox in use":        {instead("EXAMINE", `(?s)^.*(T\d+) OK done`, "$1 NO [INUSE] locked"), 1, "INUSE"},
		"no UIDVALIDITY":          {instead("EXAMINE", `\* OK \[UIDVALIDITY \d+\] ok\r\n`, ""), 1, "no UIDVALIDITY"},
		"UIDVALIDITY 0":           {instead("EXAMINE", `UIDVALIDITY \d+`, "UIDVALIDITY 0"), 1, "no UIDVALIDITY"},
		"no EXISTS":               {instead("EXAMINE", `\* \d+ EXISTS\r\n`, ""), 1, "how many messages"},
		"an UIDNEXT out of range": {instead("EXAMINE", `UIDNEXT \d+`, "UIDNEXT 99999999999"), 0, ""},
		"full":                    {instead("APPEND", `(?s)^.*(T\d+) OK.*`, "$1 NO [OVERQUOTA] full\r\n"), 1, "make room on the server"},
	} {
		t.Run(name, func(t *testing.T) {
			w := start.clone()
			w.server.Spoil = tc.spoil
			rep := lied(t, w, want)
			var texts []string
			for _, f := range rep.Faults {
				texts = append(texts, f.Error())
			}
			if all := strings.Join(texts, "\n"); tc.exit != rep.Exit() || !strings.Contains(all, tc.says) {
				t.Errorf("exit %d, want %d and %q:\n%s", rep.Exit(), tc.exit, tc.says, all)
			}
		})
	}
}

// TestAMailboxLeftOut leaves one mailbox out of one LIST.
func TestAMailboxLeftOut(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aMailboxLeftOut(t, caps)
		})
	}
}

func aMailboxLeftOut(t *testing.T, caps string) {
	start := eventful(t, caps)
	want, _ := finished(t, start)
	for _, name := range []string{"INBOX", "Work", "New remote", "Lists"} {
		t.Run(name, func(t *testing.T) {
			w := start.clone()
			w.server.Spoil = instead("LIST", `\* LIST \(\) "/" "`+name+`"\r\n`, "")
			lied(t, w, want)
		})
	}
}

// TestUIDVALIDITYChangesAtEveryCommand numbers all mailboxes anew while a run
// is under way, once, at each command. What was to be deleted cannot be known
// to be what it was: it may come back. Nothing goes, and both sides agree.
func TestUIDVALIDITYChangesAtEveryCommand(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps, "bare": bareCaps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := eventful(t, caps)
			want, commands := finished(t, start)
			for nth := 1; nth <= commands; nth += 1 + *every/4 {
				t.Run(fmt.Sprint(nth), func(t *testing.T) {
					w := start.clone()
					w.server.Before = func(n int, _ imaptest.Command) string {
						if n == nth {
							for box := range w.server.Letters() {
								w.server.Renumber(box, 1000)
							}
						}
						return ""
					}
					_, _ = w.run(t)
					renumbered(t, w, want)
				})
			}
		})
	}
}

// renumbered checks that everything want has is where want has it, with its
// flags, on both sides, and that they agree.
func renumbered(t *testing.T, w *world, want sidetest.Snapshot) {
	t.Helper()
	rep, err := w.settle(t, 3)
	if err != nil || rep.Exit() != 0 && !strings.Contains(fmt.Sprint(rep.Faults), "expunge pending") {
		t.Errorf("the clean run ends with %d: %v, %v", rep.Exit(), err, rep.Faults)
	}
	local := w.local.Snapshot()
	if d := sidetest.Compare(local, w.remote()); d != "" && rep.Exit() == 0 {
		t.Errorf("the sides differ:\n%s", d)
	}
	for line := range strings.Lines(sidetest.Compare(want, local)) {
		if !strings.Contains(line, "only in the second") {
			t.Error(line)
		}
	}
}

// TestASilentServer stops answering at each command, once, and in the middle
// of the answer.
func TestASilentServer(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps, "MULTIAPPEND": pushCaps} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			aSilentServer(t, caps)
		})
	}
}

func aSilentServer(t *testing.T, caps string) {
	start := eventful(t, caps)
	want, commands := finished(t, start)
	start.patience = 20 * time.Millisecond // a slow machine may take longer, too
	for _, h := range []harm{
		{name: "silent", before: imaptest.Hang},
		{name: "silent in the middle", spoil: func(_ imaptest.Command, answer string) string { return answer[:len(answer)/2] + imaptest.Hang }},
	} {
		for nth := 1; nth <= commands; nth += 1 + *every/4 {
			disturb(t, start, want, &h, nth)
		}
	}
}

// TestCancelledWhileTheServerIsSilent ends a run while it waits.
func TestCancelledWhileTheServerIsSilent(t *testing.T) {
	start := eventful(t, fullCaps)
	want, commands := finished(t, start)
	for nth := 5; nth <= commands; nth += 1 + *every/4 {
		t.Run(fmt.Sprint(nth), func(t *testing.T) {
			t.Parallel()
			w := start.clone()
			ctx, cancel := context.WithCancel(ctx)
			w.server.Before = func(n int, _ imaptest.Command) string {
				if n < nth {
					return ""
				}
				cancel()
				return imaptest.Hang
			}
			began := time.Now()
			if _, err := w.runCtx(t, ctx, nil); err == nil {
				t.Error("no error")
			}
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
			w.agreed(t, 1, want)
		})
	}
}

// TestUIDsThatAreGivenTwice has a server forget which UIDs it has given.
func TestUIDsThatAreGivenTwice(t *testing.T) {
	for name, caps := range map[string]string{"full": fullCaps, "QRESYNC": quickCaps, "bare": bareCaps} {
		t.Run(name, func(t *testing.T) {
			w := settled(t, caps)
			w.server.Expunge("INBOX", 11)
			w.server.Expunge("INBOX", 12)
			w.server.Reuse("INBOX", 11)
			w.server.Deliver("INBOX", letter(500), day)
			before := w.local.Snapshot()
			if rep, err := w.settle(t, 2); err != nil || rep.Exit() != 0 {
				t.Fatalf("%v, %v", err, rep.Faults)
			}
			unlost(t, w, before)
			if d := sidetest.Compare(w.local.Snapshot(), w.remote()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestADeletionMeetsAnotherMessage has a server give the UID of a message to
// another one: what was deleted here is not deleted there in its name.
func TestADeletionMeetsAnotherMessage(t *testing.T) {
	w := settled(t, bareCaps)
	w.server.Expunge("INBOX", 12)
	w.server.Reuse("INBOX", 12)
	w.server.Deliver("INBOX", letter(500), day)
	for _, m := range w.local.Snapshot()["INBOX"] {
		if string(sidetest.Canonical(m.Body)) == letter(11) {
			w.local.Expunge("INBOX", m.Ref)
		}
	}
	rep, err := w.run(t)
	if err != nil || rep.Exit() != 1 {
		t.Errorf("%v, exit %d, %v", err, rep.Exit(), rep.Faults)
	}
	unlost(t, w, sidetest.Snapshot{mail.Inbox: {{Body: []byte(letter(500))}}})
}

// TestDatesThatAreNone copies a message whose date cannot be read.
func TestDatesThatAreNone(t *testing.T) {
	for _, date := range []string{`NIL`, `"99-Foo-2026 10:00:00 +0000"`, `"31-Dec-9999999 23:59:59 +0000"`, `""`} {
		w := settled(t, fullCaps)
		w.server.Deliver("INBOX", letter(600), day)
		w.server.Spoil = instead("UID FETCH", `INTERNALDATE "[^"]*"`, "INTERNALDATE "+date)
		if rep, err := w.run(t); err != nil || rep.Exit() != 0 || rep.Copied[0] != 1 {
			t.Errorf("%s: %v, %v", date, err, rep.Faults)
		}
		if rep, err := w.settle(t, 1); err != nil || rep.Exit() != 0 || rep.Changed() {
			t.Errorf("%s: afterwards: %v, %v", date, err, rep.Faults)
		}
	}
}
