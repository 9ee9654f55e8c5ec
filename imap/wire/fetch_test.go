package wire_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

var fields = &imap.FetchOptions{UID: true, RFC822Size: true, BodySection: []*imap.FetchItemBodySection{{
	Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Date", "Message-ID"}}}}

// TestFetchAnswers gives answers to a FETCH, right, odd and wrong, and checks
// what the library makes of them, and what is said of messages without a body.
func TestFetchAnswers(t *testing.T) {
	for _, row := range []struct {
		name   string
		ask    *imap.FetchOptions
		raw    string
		want   []string
		noBody []uint32
		fails  bool
	}{
		{name: "plain", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n", want: []string{`1 - - 0 0 "abc"`}},
		{name: "empty", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] {0}\r\n)\r\n* 2 FETCH (UID 2 BODY[] \"\")\r\n",
			want: []string{`1 - - 0 0 ""`, `2 - - 0 0 ""`}},
		{name: "quoted", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] \"a\\\"b\")\r\n", want: []string{`1 - - 0 0 "a\"b"`}},
		{name: "literal8, no space, odd case", ask: wholeBody, raw: "* 1 fetch (Uid 1 Body[]~{3}\r\nabc)\r\n", want: []string{`1 - - 0 0 "abc"`}},
		{name: "nil", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] NIL)\r\n* 2 FETCH (BODY[] NIL UID 2)\r\n", noBody: []uint32{1, 2}},
		{name: "UID behind the body", ask: wholeBody, raw: "* 1 FETCH (BODY[] {3}\r\nabc UID 1)\r\n", want: []string{`1 - - 0 0 "abc"`}},
		{name: "items behind the body", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] {3}\r\nabc FLAGS (\\Seen a]) X (y) UID 1)\r\n",
			want: []string{`1 [\Seen] - 0 0 "abc"`}},
		{name: "rubbish behind the body", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] {3}\r\nabc ]\r\n", want: []string{`1 - - 0 0 "abc"`}},
		{name: "a body that holds a response", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] {15}\r\n)\r\nT2 OK done\r\n)\r\n",
			want: []string{`1 - - 0 0 ")\r\nT2 OK done\r\n"`}},
		{name: "stolen by flags", ask: wholeBody,
			raw:  "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n* 1 FETCH (FLAGS ())\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n",
			want: []string{`1 [\Seen] - 0 0 "abc"`}},
		{name: "flags and no body", ask: wholeBody, raw: "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n", noBody: []uint32{1}},
		{name: "another section", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[HEADER] {3}\r\nabc)\r\n", noBody: []uint32{1}},
		{name: "a message not asked for", ask: wholeBody, raw: "* 77 FETCH (UID 77 BODY[] {3}\r\nabc)\r\n* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n",
			want: []string{`1 - - 0 0 "a"`}},
		{name: "twice", ask: wholeBody, raw: "* 1 FETCH (UID 1 BODY[] {3}\r\nabc)\r\n* 1 FETCH (UID 1 BODY[] {3}\r\nxyz)\r\n",
			want: []string{`1 - - 0 0 "abc"`}},
		{name: "fields", ask: fields,
			raw: "* 1 FETCH (UID 1 RFC822.SIZE 7 BODY[HEADER.FIELDS (DATE \"MESSAGE-ID\")] {2}\r\n\r\n)\r\n" +
				"* 2 FETCH (BODY[HEADER.FIELDS (date message-id)] {2}\r\n\r\n RFC822.SIZE 8 UID 2)\r\n",
			want: []string{`1 - - 7 0 "\r\n"`, `2 - - 8 0 "\r\n"`}},
		{name: "fields stolen by size", ask: fields,
			raw:  "* 1 FETCH (UID 1 RFC822.SIZE 7)\r\n* 1 FETCH (UID 1 BODY[HEADER.FIELDS (x)] {2}\r\n\r\n)\r\n",
			want: []string{`1 - - 7 0 "\r\n"`}},
		{name: "scan", ask: scanItems, raw: "* 1 FETCH (UID 1 FLAGS (\\Seen $F) INTERNALDATE \" 1-Feb-2020 00:00:00 +0000\" RFC822.SIZE 5)\r\n",
			want: []string{`1 [\Seen $F] 2020-02-01 5 0 "-"`}},
		{name: "scan, in pieces", ask: scanItems,
			raw: "* 1 FETCH (UID 1 FLAGS (a))\r\n* 1 FETCH (UID 1 INTERNALDATE \"1-Feb-2020 00:00:00 +0000\")\r\n" +
				"* 1 FETCH (UID 1 RFC822.SIZE 5 FLAGS (b))\r\n",
			want: []string{`1 [b] 2020-02-01 5 0 "-"`}},
		{name: "scan, never complete", ask: scanItems, raw: "* 1 FETCH (UID 1 FLAGS (a))\r\n* 2 FETCH (UID 2 RFC822.SIZE 5)\r\n",
			want: []string{`1 [a] - 0 0 "-"`, `2 - - 5 0 "-"`}},
		{name: "scan, broken values", ask: scanItems,
			raw:  "* 1 FETCH (UID 1 FLAGS NIL INTERNALDATE NIL RFC822.SIZE -5 ENVELOPE NIL)\r\n",
			want: []string{`1 [] 1901-01-01 0 0 "-"`}},
		{name: "lost", ask: scanItems, raw: "* 1 FETCH (UID 1 FLAGS (\r\n", fails: true},
		{name: "no UID", ask: allFlags, raw: "* 1 FETCH (FLAGS (a))\r\n* 1 FETCH (UID 0 FLAGS (a)\r\n", fails: true},
	} {
		check := func(t *testing.T, fetch func(*imapclient.Client, *wire.Conn) ([]string, error)) {
			s := &imaptest.Script{Answers: map[string]string{"UID FETCH": row.raw + "{tag} OK done\r\n"}}
			client, conn := connect(t, s, wire.Options{})
			msgs, err := fetch(client, conn)
			if row.fails != (err != nil) {
				t.Fatalf("FETCH: %v (%v)", err, conn.Err())
			}
			if !slices.Equal(msgs, row.want) {
				t.Errorf("got  %q\nwant %q", msgs, row.want)
			}
			if no := slices.Sorted(maps.Keys(conn.TakeNoBody())); !slices.Equal(no, row.noBody) {
				t.Errorf("without a body: %v, want %v", no, row.noBody)
			}
			survives(t, client, conn)
		}
		t.Run(row.name, func(t *testing.T) {
			check(t, func(client *imapclient.Client, _ *wire.Conn) ([]string, error) {
				return collect(client.Fetch(uids(1, 9), row.ask))
			})
		})
		if row.ask == wholeBody {
			t.Run(row.name+", diverted", func(t *testing.T) {
				check(t, func(client *imapclient.Client, conn *wire.Conn) ([]string, error) {
					to := divert(conn)
					err := client.Fetch(uids(1, 9), row.ask).Close()
					return to.told, err
				})
			})
		}
	}
}

// TestBodyBeforeUID streams a body too large to hold whose UID comes after it.
func TestBodyBeforeUID(t *testing.T) {
	big := strings.Repeat("0123456789", 100)
	raw := fmt.Sprintf("* 1 FETCH (BODY[] {%d}\r\n%s UID 1)\r\n{tag} OK done\r\n", len(big), big)
	for _, row := range []struct {
		last imap.UID
		raw  string
		want int
		dead bool
	}{
		{1, raw, 1, false},
		{2, raw, 0, false}, // it cannot be told whose it is
		{1, strings.Replace(raw, "UID 1", "UID 2", 1), 1, true},
	} {
		s := &imaptest.Script{Answers: map[string]string{"UID FETCH": row.raw}}
		client, conn := connect(t, s, wire.Options{MaxHeld: 100})
		msgs, err := collect(client.Fetch(uids(1, row.last), wholeBody))
		if len(msgs) != row.want || row.dead != (err != nil) || row.dead != (conn.Err() != nil) {
			t.Errorf("1:%d: %d messages, %v, %v", row.last, len(msgs), err, conn.Err())
		}
		if no := conn.TakeNoBody(); len(no) != 1-row.want {
			t.Errorf("without a body: %v", no)
		}
	}
}

// TestPipelinedFetches checks that answers reach the command that they answer.
func TestPipelinedFetches(t *testing.T) {
	var first imaptest.Command
	s := &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		switch {
		case cmd.Name != "UID FETCH":
			return false
		case first.Tag == "":
			first = cmd
			return true // nothing yet
		}
		p.Send("* 5 FETCH (UID 5 FLAGS (x))\r\n* 1 FETCH (UID 1 BODY[] {1}\r\na)\r\n" + first.Tag + " OK done\r\n" +
			"* 5 FETCH (UID 5 BODY[] {1}\r\ne)\r\n" + cmd.Tag + " OK done\r\n")
		return true
	}}
	client, _ := connect(t, s, wire.Options{})
	a := client.Fetch(uids(1, 3), wholeBody)
	b := client.Fetch(uids(4, 6), wholeBody)
	gotA, errA := collect(a)
	gotB, errB := collect(b)
	if errA != nil || errB != nil || fmt.Sprint(gotA) != `[1 - - 0 0 "a"]` || fmt.Sprint(gotB) != `[5 [x] - 0 0 "e"]` {
		t.Errorf("%v %v, %v %v", gotA, errA, gotB, errB)
	}
}

// TestUnasked checks that flags that change during a FETCH of bodies are told.
func TestUnasked(t *testing.T) {
	var told []string
	opt := wire.Options{Unasked: func(seq, uid uint32, flags []string) {
		told = append(told, fmt.Sprint(seq, uid, flags))
	}}
	s := &imaptest.Script{Answers: map[string]string{"UID FETCH": "* 7 FETCH (FLAGS (a))\r\n* 1 FETCH (UID 1 FLAGS (b))\r\n" +
		"* 1 FETCH (UID 1 BODY[] {1}\r\na FLAGS (c))\r\n* 2 FETCH (UID 2 FLAGS (d))\r\n{tag} OK done\r\n"}}
	client, _ := connect(t, s, opt)
	if _, err := collect(client.Fetch(uids(1, 9), wholeBody)); err != nil {
		t.Fatal(err)
	}
	if want := []string{"7 0 [a]", "2 2 [d]"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// TestCutEverywhere cuts the connection at every byte of an answer with a
// body: the body is whole, or there is an error; never a short one without.
func TestCutEverywhere(t *testing.T) {
	const body = "From: a\r\n\r\nhello"
	raw := fmt.Sprintf("* 1 FETCH (UID 1 FLAGS (a) BODY[] {%d}\r\n%s RFC822.SIZE 5)\r\nT1 OK done\r\n", len(body), body)
	for at := range len(raw) {
		s := &imaptest.Script{
			Greeting: "* OK [CAPABILITY IMAP4rev1] ready\r\n",
			Answers:  map[string]string{"UID FETCH": raw[:at] + imaptest.Drop},
		}
		client, conn := connect(t, s, wire.Options{})
		cmd := client.Fetch(uids(1, 1), wholeBody)
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			for item := msg.Next(); item != nil; item = msg.Next() {
				section, ok := item.(imapclient.FetchItemDataBodySection)
				if !ok {
					continue
				}
				b, err := io.ReadAll(section.Literal)
				if err == nil && string(b) != body {
					t.Fatalf("cut at %d: %q without an error", at, b)
				}
				if err != nil {
					<-client.Closed() // before the library may read again
				}
				if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatalf("cut at %d: %v", at, err)
				}
			}
		}
		if err := cmd.Close(); err == nil {
			t.Fatalf("cut at %d: the command succeeded", at)
		}
		<-client.Closed()
		inside := at > 0 && at != strings.Index(raw, "T1")
		if err := conn.Err(); err == nil || inside && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut at %d (after %q): Err is %v", at, raw[:at], err)
		}
	}
}

// TestTally counts what comes and goes.
func TestTally(t *testing.T) {
	for text, want := range map[string]wire.Tally{
		"":                               {Exists: 3},
		"* 3 EXISTS\r\n":                 {Exists: 3},
		"* 4 EXISTS\r\n":                 {Exists: 4, Changes: 1},
		"* 2 EXPUNGE\r\n":                {Exists: 2, Changes: 1},
		"* 1 EXPUNGE\r\n* 3 EXISTS\r\n":  {Exists: 3, Changes: 2},
		"* VANISHED 5,7:8\r\n":           {Exists: 0, Changes: 1},
		"* VANISHED 1:4294967295\r\n":    {Exists: 0, Changes: 1},
		"* VANISHED (EARLIER) 1:9\r\n":   {Exists: 3},
		"* VANISHED x\r\n":               {Exists: 3, Changes: 1},
		"* 0 EXPUNGE\r\n* -1 EXISTS\r\n": {Exists: 3},
	} {
		s := &imaptest.Script{Answers: map[string]string{"NOOP": text + "{tag} OK done\r\n"}}
		client, conn := connect(t, s, wire.Options{})
		if _, err := client.Select("INBOX", nil).Wait(); err != nil {
			t.Fatal(err)
		}
		if err := client.Noop().Wait(); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if got := conn.Tally(); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	twice := "* 3 EXISTS\r\n* 0 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n{tag} OK done\r\n"
	client, conn := connect(t, &imaptest.Script{Answers: map[string]string{"SELECT": twice}}, wire.Options{})
	if _, err := client.Select("INBOX", nil).Wait(); err != nil || conn.Tally().Changes == 0 {
		t.Errorf("two numbers in one SELECT: %+v, %v", conn.Tally(), err)
	}
}
