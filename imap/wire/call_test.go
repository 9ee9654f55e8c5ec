package wire_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// A heard list is what calls were told, a line each.
type heard struct{ lines []string }

func (h *heard) add(m wire.Told) {
	date := "-"
	if m.Have&wire.HaveDate != 0 {
		date = m.Date.UTC().Format(time.DateOnly)
	}
	h.lines = append(h.lines, fmt.Sprintf("%d %s %s %d %s", m.UID, m.Flags, date, m.Size, m.GlobalID))
}

func (h *heard) is(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(h.lines, want) {
		t.Errorf("told %q, want %q", h.lines, want)
	}
}

// boxScript answers commands in order with texts, by name and number.
func boxScript(answers ...string) *imaptest.Script {
	n := 0
	return &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if n >= len(answers) || !strings.HasPrefix(cmd.Tag, "T0") {
			return false
		}
		n++
		return p.Send(strings.ReplaceAll(answers[n-1], "{tag}", cmd.Tag))
	}}
}

const opened = "* 3 EXISTS\r\n* OK [UIDVALIDITY 7] x\r\n* OK [UIDNEXT 4] x\r\n* OK [HIGHESTMODSEQ 9] x\r\n* OK [PERMANENTFLAGS (\\Seen \\*)] x\r\n"

// TestCallsForTwoMailboxes sends the commands for two mailboxes at once.
func TestCallsForTwoMailboxes(t *testing.T) {
	s := boxScript(
		opened+"{tag} OK [READ-ONLY] done\r\n",
		"* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 4 EXISTS\r\n* 1 FETCH (UID 2 FLAGS ())\r\n* 3 FETCH (FLAGS ($important $x) UID 3)\r\n{tag} OK done\r\n",
		"* 9 FETCH (UID 9 FLAGS (\\Flagged))\r\n* OK [CLOSED] x\r\n* 2 EXISTS\r\n* OK [UIDVALIDITY 8] x\r\n{tag} OK done\r\n",
		"* 1 FETCH (UID 1)\r\n* 1 FETCH (UID 1 RFC822.SIZE 5 INTERNALDATE \"01-Feb-2020 10:00:00 +0000\")\r\n* 1 FETCH (UID 1 FLAGS (\\Draft))\r\n* 2 FETCH (UID 2 FLAGS (\\Seen))\r\n{tag} OK done\r\n",
	)
	client, conn := connect(t, s, wire.Options{})
	var a, b heard
	first := &wire.Call{Command: "EXAMINE a"}
	flags := &wire.Call{Command: "UID FETCH 1:* (FLAGS)", In: first, Each: a.add}
	second := &wire.Call{Command: "EXAMINE b"}
	all := &wire.Call{Command: "UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE)", In: second, Each: b.add}
	if err := conn.Send(false, first, flags, second, all); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*wire.Call{first, flags, second, all} {
		if _, err := conn.Wait(c); err != nil {
			t.Errorf("%s: %v", c.Command, err)
		}
	}
	a.is(t, `1 (\Seen) - 0 `, "2 () - 0 ", "3 ($Important $x) - 0 ")
	b.is(t, `1 (\Draft) 2020-02-01 5 `, `2 (\Seen) - 0 `)
	answer, _ := conn.Wait(first)
	if o := answer.Opened; o.Validity != 7 || o.Next != 4 || o.ModSeq != 9 || !o.ReadOnly || !slices.Equal(o.Permanent, []string{`\Seen`, `\*`}) {
		t.Errorf("opened %+v", o)
	}
	for c, want := range map[*wire.Call]wire.Tally{first: {Exists: 3}, flags: {Exists: 4, Changes: 1}, second: {Exists: 2}, all: {Exists: 2}} {
		if answer, _ := conn.Wait(c); answer.Tally != want {
			t.Errorf("%s: %+v, want %+v", c.Command, answer.Tally, want)
		}
	}
	survives(t, client, conn)
}

// TestCallsBehindARefusedSelect: what the server says to a FETCH for a mailbox
// that it did not open is about another one.
func TestCallsBehindARefusedSelect(t *testing.T) {
	s := boxScript("{tag} NO [NONEXISTENT] no such mailbox\r\n", "* 1 FETCH (UID 1 FLAGS ())\r\n{tag} OK done\r\n", "* SEARCH 1 2\r\n{tag} OK done\r\n")
	client, conn := connect(t, s, wire.Options{})
	var h heard
	open := &wire.Call{Command: "EXAMINE gone"}
	fetch := &wire.Call{Command: "UID FETCH 1:* (FLAGS)", In: open, Each: h.add}
	search := &wire.Call{Command: "UID SEARCH ALL", In: open}
	if err := conn.Send(false, open, fetch, search); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*wire.Call{open, fetch, search} {
		var refused *wire.Refused
		if _, err := conn.Wait(c); !errors.As(err, &refused) || refused.Code != "NONEXISTENT" || refused.Status != "NO" {
			t.Errorf("%s: %v", c.Command, err)
		}
	}
	h.is(t)
	survives(t, client, conn)
}

// TestCallsAnsweredOutOfOrder: a server must not open a mailbox before it has
// answered what is about the one before it.
func TestCallsAnsweredOutOfOrder(t *testing.T) {
	s := boxScript(opened+"{tag} OK done\r\n", "", opened+"{tag} OK done\r\n",
		"* 1 FETCH (UID 1 FLAGS (\\Draft))\r\n{tag} OK done\r\nT02 OK done\r\n")
	client, conn := connect(t, s, wire.Options{})
	var a, b heard
	first, second := &wire.Call{Command: "EXAMINE a"}, &wire.Call{Command: "EXAMINE b"}
	late := &wire.Call{Command: "UID FETCH 1:* (FLAGS)", In: first, Each: a.add}
	fetch := &wire.Call{Command: "UID FETCH 1:* (FLAGS)", In: second, Each: b.add}
	if err := conn.Send(false, first, late, second, fetch); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Wait(late); err == nil || !strings.Contains(err.Error(), "out of order") {
		t.Errorf("%v", err)
	}
	if _, err := conn.Wait(fetch); err == nil { // which mailbox EXISTS was about cannot be told
		t.Error("no error")
	}
	a.is(t)
	b.is(t)
	survives(t, client, conn)
}

// TestResync reads what a SELECT with QRESYNC tells.
func TestResync(t *testing.T) {
	told := "* VANISHED (EARLIER) 41,43:116,118\r\n* 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (12))\r\n"
	for name, row := range map[string]struct {
		before, answer string
		gone           uint64
		told           int
		doubtful       bool
	}{
		"first":             {"", opened + told + "{tag} OK done\r\n", 76, 1, false},
		"with CLOSED":       {"x", "* 9 FETCH (UID 9 FLAGS ())\r\n* VANISHED 9\r\n* OK [CLOSED] x\r\n" + opened + told + "{tag} OK done\r\n", 76, 1, false},
		"without CLOSED":    {"x", opened + told + "{tag} OK done\r\n", 0, 0, true},
		"a set that is not": {"", opened + "* VANISHED (EARLIER) x\r\n{tag} OK done\r\n", 0, 0, true},
		"without UIDs":      {"", opened + "* 1 FETCH (FLAGS ())\r\n{tag} OK done\r\n", 0, 0, true},
		"broken":            {"", opened + "* 1 FETCH (UID\r\n{tag} OK done\r\n", 0, 0, true},
		"two sets":          {"", opened + "* VANISHED (EARLIER) 1:5\r\n* VANISHED (EARLIER) 5:9,20\r\n{tag} OK done\r\n", 10, 0, false},
		"all there are":     {"", opened + "* VANISHED (EARLIER) 1:4294967295\r\n{tag} OK done\r\n", 1<<32 - 1, 0, false},
		"too many ranges":   {"", opened + "* VANISHED (EARLIER) 1" + odd(300_000) + "\r\n{tag} OK done\r\n", 0, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			answers := []string{row.answer}
			if row.before != "" {
				answers = []string{opened + "{tag} OK done\r\n", row.answer}
			}
			client, conn := connect(t, boxScript(answers...), wire.Options{})
			var h heard
			if row.before != "" {
				c := &wire.Call{Command: "EXAMINE before"}
				if err := conn.Send(false, c); err != nil {
					t.Fatal(err)
				}
				if _, err := conn.Wait(c); err != nil {
					t.Fatal(err)
				}
			}
			c := &wire.Call{Command: "EXAMINE a (QRESYNC (7 5 1:200))", Each: h.add}
			if err := conn.Send(false, c); err != nil {
				t.Fatal(err)
			}
			answer, err := conn.Wait(c)
			if err != nil || answer.Vanished.Count() != row.gone || len(h.lines) != row.told || answer.Doubtful != row.doubtful {
				t.Fatalf("%d vanished, told %q, doubtful %v, %v", answer.Vanished.Count(), h.lines, answer.Doubtful, err)
			}
			if answer.Tally.Exists != 3 || answer.Tally.Changes != 0 && name != "with CLOSED" {
				t.Errorf("%+v", answer.Tally)
			}
			survives(t, client, conn)
		})
	}
}

// odd is a set of numbers that do not touch, each behind a comma.
func odd(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ",%d", 2*i+3)
	}
	return b.String()
}

func TestRanges(t *testing.T) {
	s := boxScript(opened + "* VANISHED (EARLIER) 2:4,7,9:4294967295\r\n{tag} OK done\r\n")
	_, conn := connect(t, s, wire.Options{})
	var h heard
	c := &wire.Call{Command: "EXAMINE a (QRESYNC (7 5 1:200))", Each: h.add}
	if err := conn.Send(false, c); err != nil {
		t.Fatal(err)
	}
	answer, err := conn.Wait(c)
	if err != nil {
		t.Fatal(err)
	}
	for below, want := range map[uint32][]uint32{1: {}, 2: {}, 3: {2}, 8: {2, 3, 4, 7}, 9: {2, 3, 4, 7}, 11: {2, 3, 4, 7, 9, 10}} {
		if got, ok := answer.Vanished.Below(below).List(6); !ok || !slices.Equal(got, want) {
			t.Errorf("below %d: %v, %v; want %v", below, got, ok, want)
		}
	}
	if got, ok := answer.Vanished.List(1 << 20); ok || len(got) > 0 {
		t.Errorf("%d UIDs were listed", len(got))
	}
	if answer.Vanished.Has(5) || !answer.Vanished.Has(7) || !answer.Vanished.Has(4294967295) {
		t.Error("a UID is not in the set that it is in")
	}
}

// TestCallsThatGoWrong: neither a cut nor a flood leaves a call waiting.
func TestCallsThatGoWrong(t *testing.T) {
	var flood strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&flood, "* 1 FETCH (UID %d FLAGS ())\r\n", i+1)
	}
	for name, row := range map[string]struct{ answer, says string }{
		"a cut":             {"* 1 FETCH (UID 1 FLAGS ())\r\n" + imaptest.Drop, "closed"},
		"a cut in a line":   {"* 1 FETCH (UID" + imaptest.Drop, "cut inside a line"},
		"a BYE":             {"* BYE enough\r\n" + imaptest.Drop, "enough"},
		"a flood":           {flood.String() + "{tag} OK done\r\n", "more messages than there are"},
		"a broken response": {"* 1 FETCH (UID\r\n{tag} OK done\r\n", "could not be understood"},
		"a refusal":         {"{tag} NO [LIMIT] not now\r\n", "NO [LIMIT] not now"},
		"nonsense":          {"{tag} MAYBE later\r\n", "BAD"},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := connect(t, boxScript(opened+"{tag} OK done\r\n", row.answer), wire.Options{})
			var h heard
			open := &wire.Call{Command: "EXAMINE a"}
			c := &wire.Call{Command: "UID FETCH 1:* (FLAGS)", In: open, Each: h.add}
			if err := conn.Send(false, open, c); err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Wait(c); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("%v, want %q", err, row.says)
			}
		})
	}
}

// TestCallsThatSearchAndAsk reads the other answers that calls have.
func TestCallsThatSearchAndAsk(t *testing.T) {
	s := boxScript("* ENABLED QRESYNC X\r\n{tag} OK done\r\n",
		opened+"{tag} OK done\r\n",
		"* ESEARCH (TAG \"{tag}\") UID ALL 2:3,9\r\n{tag} OK done\r\n",
		"* SEARCH 5 0 2\r\n{tag} OK done\r\n",
		"* ESEARCH (TAG \"{tag}\") UID\r\n{tag} OK done\r\n",
		"* MYRIGHTS a lrswi\r\n{tag} OK done\r\n")
	client, conn := connect(t, s, wire.Options{})
	enable, open := &wire.Call{Command: "ENABLE QRESYNC"}, &wire.Call{Command: "EXAMINE a"}
	calls := []*wire.Call{enable, open, {Command: "UID SEARCH RETURN (ALL) ALL", In: open}, {Command: "UID SEARCH ALL", In: open},
		{Command: "UID SEARCH RETURN (ALL) ALL", In: open}, {Command: "MYRIGHTS a"}}
	if conn.Enabled() {
		t.Error("QRESYNC is enabled before it was asked for")
	}
	if err := conn.Send(true, calls[0]); err != nil {
		t.Fatal(err)
	}
	if err := conn.Send(false, calls[1:]...); err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]uint32{2: {2, 3, 9}, 3: {2, 5}, 4: {}, 5: {}} {
		answer, err := conn.Wait(calls[i])
		if err != nil {
			t.Fatalf("%s: %v", calls[i].Command, err)
		}
		if got, _ := answer.Found.List(10); !slices.Equal(got, want) {
			t.Errorf("%s found %v, want %v", calls[i].Command, got, want)
		}
		if rights := map[bool]string{true: "lrswi"}[i == 5]; answer.Rights != rights {
			t.Errorf("%s: rights %q", calls[i].Command, answer.Rights)
		}
	}
	if !conn.Enabled() {
		t.Error("QRESYNC is not enabled")
	}
	survives(t, client, conn)
}

// TestMailboxNamesInCalls writes names as the library does.
func TestMailboxNamesInCalls(t *testing.T) {
	_, conn := connect(t, &imaptest.Script{}, wire.Options{})
	for name, want := range map[string]string{
		"INBOX": `"INBOX"`, "a b": `"a b"`, `q"uote\`: `"q\"uote\\"`, "Z\u00fcrich & K\u00f6ln": `"Z&APw-rich &- K&APY-ln"`, "line\nend": `"line&AAo-end"`,
	} {
		if got := conn.Mailbox(name); got != want {
			t.Errorf("%q is written %s, want %s", name, got, want)
		}
	}
}
