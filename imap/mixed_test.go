package imap_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestMixedAnswers has a server carry out two commands at once, as RFC 3501,
// section 5.5, allows, and mix their answers: many of the second come before
// the end of the first.
func TestMixedAnswers(t *testing.T) {
	exists, tags := 5, []string{}
	s := &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		switch cmd.Name {
		case "EXAMINE":
			return p.Send(fmt.Sprintf("* %d EXISTS\r\n* FLAGS (\\Seen)\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT %d] x\r\n%s OK [READ-ONLY] done\r\n", exists, exists+1, cmd.Tag))
		case "UID FETCH":
			if exists == 5 {
				return p.Send(answers(1, 5) + cmd.Tag + " OK done\r\n")
			}
			if tags = append(tags, cmd.Tag); len(tags) < 2 {
				return true
			}
			return p.Send(answers(1, 3) + answers(6, exists) + answers(4, 5) + tags[0] + " OK done\r\n" + tags[1] + " OK done\r\n")
		}
		return false
	}}
	a, _ := play(t, s)
	_, first, err := scanOf(a, plan.Since{})
	if err != nil {
		t.Fatal(err)
	}
	exists = 1000
	type outcome struct {
		seen int
		sc   plan.Scanned
		err  error
	}
	done := make(chan outcome, 1)
	go func() {
		seen, sc, err := scanOf(a, plan.Since{Cursor: first.Cursor, Epoch: first.Epoch, Known: 5})
		done <- outcome{len(seen), sc, err}
	}()
	select {
	case got := <-done:
		if got.err != nil || got.seen != exists || !got.sc.Complete {
			t.Fatalf("%d messages, %+v, %v", got.seen, got.sc, got.err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the answers of two commands block each other")
	}
}

// answers are the answers to a FETCH of messages first to last.
func answers(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&b, "* %d FETCH (UID %d FLAGS ()%s)\r\n", i, i, dated)
	}
	return b.String()
}
