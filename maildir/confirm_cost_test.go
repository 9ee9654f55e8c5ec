package maildir

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// TestConfirmCost: looking for a message that is gone costs no more than what
// came to mailboxes that take no part since it was last seen in its place:
// those that did not change are not even listed, and of the files of one that
// did, only new ones of fitting size are opened.
func TestConfirmCost(t *testing.T) {
	for _, tt := range []struct {
		name          string
		last          time.Duration // when INBOX was last seen to change, from now
		ahead         time.Duration // of our clock
		later         string        // comes to Out after the scan
		lists, opened int           // of Out; opened: files
		outside       bool
	}{
		{name: "long ago", last: 72 * time.Hour, ahead: 96 * time.Hour},
		{name: "a clock that was ahead", last: 96 * time.Hour, lists: 1, opened: 301},
		{name: "not known", ahead: 96 * time.Hour, lists: 1, opened: 301},
		{name: "it came since", last: -time.Hour, later: goneFile, lists: 1, opened: 301, outside: true},
		{name: "something else came since", last: -time.Hour, later: strings.Repeat("x", 5000), lists: 1, opened: 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := &tap{}
			fx := newFixture(t, Options{seam: x.seam})
			fx.make(mail.Inbox, "Out")
			for n := range 300 {
				fx.write(strings.Replace(goneFile, "body", fmt.Sprintf("%04d", n), 1), "Out", "cur", fmt.Sprintf("8.%d:2,", n))
			}
			for n := range 300 {
				fx.write(strings.Repeat("large", 1000), "Out", "cur", fmt.Sprintf("7.%d:2,", n))
			}
			fx.ahead = tt.ahead
			fx.reopen()
			fx.bind(mail.Inbox)
			at := time.Now().Add(tt.last).UnixNano()
			since := marks{cur: mark{ctime: at}, new: mark{ctime: at}}.cursor(1, true)
			if tt.last == 0 {
				since = ""
			}
			fx.survey(map[mail.MailboxName]plan.Since{mail.Inbox: {Cursor: since, Epoch: epoch}})
			fx.scan(mail.Inbox)
			if tt.later != "" {
				fx.write(tt.later, "Out", "new", "9.z")
			} else if tt.opened > 0 {
				fx.write(strings.Replace(goneFile, "body", "also", 1), "Out", "new", "9.z")
			}
			x.calls = nil
			sure, outside, err := fx.Confirm(t.Context(), []plan.Gone{{At: fx.at(mail.Inbox, "1.a"), Ident: bodyDigest(t, goneBody)}})
			if err != nil || len(outside) > 0 != tt.outside || len(sure) > 0 == tt.outside {
				t.Errorf("sure %v, outside %v, %v", sure, outside, err)
			}
			lists, opened := 0, 0
			for _, c := range x.calls {
				switch {
				case c.call == "list" && strings.HasSuffix(c.path, "/Out/cur"):
					lists++
				case c.call == "open" && strings.Contains(c.path, "/Out/cur/"), c.call == "open" && strings.Contains(c.path, "/Out/new/"):
					opened++
				}
			}
			if lists > 0 != (tt.lists > 0) || opened != tt.opened {
				t.Errorf("listed %d times, %d files opened of %d", lists, opened, tt.opened)
			}
		})
	}
}
