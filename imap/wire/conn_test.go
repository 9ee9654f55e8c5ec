package wire_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// TestLimits sends more than is taken: the connection ends with a clear reason.
func TestLimits(t *testing.T) {
	for name, row := range map[string]struct{ raw, says string }{
		"literal, absurd":        {"* 1 FETCH (UID 1 BODY[] {4294967295}\r\nabc", "4294967295"},
		"literal, beyond 64 bit": {"* 1 FETCH (UID 1 BODY[] {99999999999999999999999}\r\nabc", "literal"},
		"literal in a name":      {"* LIST () \"/\" {2000000000}\r\nabc", "short one belongs"},
		"line":                   {"* OK " + strings.Repeat("x", 2<<20) + "\r\n", "more than 1048576 bytes"},
		"line without end":       {"* 1 FETCH (FLAGS (" + strings.Repeat("x ", 1<<20), "more than 1048576 bytes"},
		"malformed and literal":  {"* 1 FETCH (UID 1 BODY[] x) {5}\r\nabc", "cannot be told apart"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &imaptest.Script{Answers: map[string]string{"UID FETCH": row.raw + "\r\n{tag} OK done\r\n"}}
			client, conn := connect(t, s, wire.Options{})
			if _, err := collect(client.Fetch(uids(1, 1), wholeBody)); err == nil {
				t.Error("the FETCH succeeded")
			}
			<-client.Closed()
			if err := conn.Err(); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Errorf("Err is %v, want it to say %q", err, row.says)
			}
		})
	}
}

// TestLongSearch takes an answer that is longer than other lines may be, in
// any order.
func TestLongSearch(t *testing.T) {
	var line strings.Builder
	line.WriteString("* SEARCH")
	for i := 400000; i > 0; i-- {
		fmt.Fprintf(&line, " %d", 2*i)
	}
	s := &imaptest.Script{Answers: map[string]string{"UID SEARCH": line.String() + "\r\n{tag} OK done\r\n"}}
	client, _ := connect(t, s, wire.Options{})
	data, err := client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	if err != nil {
		t.Fatal(err)
	}
	if set := data.All.(imap.UIDSet); len(set) != 400000 || set[0].Start != 2 {
		t.Errorf("%d ranges", len(set))
	}
}

// TestSpoiledAnswers checks that a command fails when part of its answer was
// lost, rather than look as if there were nothing.
func TestSpoiledAnswers(t *testing.T) {
	s := &imaptest.Script{Answers: map[string]string{
		"UID SEARCH": "* SEARCH 1 2 x 4\r\n{tag} OK done\r\n",
		"STATUS":     "* STATUS x (MESSAGES 1\r\n{tag} OK done\r\n",
		"SELECT":     "* FLAGS ()\r\n{tag} OK done\r\n",
		"NAMESPACE":  "* NAMESPACE ((\"\"\r\n{tag} OK done\r\n",
		"NOOP":       "{tag} WHAT\r\n",
	}}
	client, _ := connect(t, s, wire.Options{})
	_, search := client.UIDSearch(&imap.SearchCriteria{}, nil).Wait()
	_, status := client.Status("x", &imap.StatusOptions{NumMessages: true}).Wait()
	_, selected := client.Select("INBOX", nil).Wait()
	_, namespace := client.Namespace().Wait()
	for name, err := range map[string]error{"SEARCH": search, "STATUS": status, "SELECT": selected,
		"NAMESPACE": namespace, "NOOP": client.Noop().Wait()} {
		var answer *imap.Error
		if !errors.As(err, &answer) || answer.Type != imap.StatusResponseTypeBad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRecords checks what can be asked for that the library does not tell.
func TestRecords(t *testing.T) {
	s := &imaptest.Script{Caps: "IMAP4rev1 IMAP4rev2 MOVE", Answers: map[string]string{
		"EXAMINE": "* 1 EXISTS\r\n* OK [MAILBOXID (F1)] x\r\n* OK [NOMODSEQ] x\r\n* NO [UIDNOTSTICKY] x\r\n{tag} OK [READ-ONLY] done\r\n",
		"LIST":    "* LIST () \"/\" \"A&B\"\r\n* LIST () \"/\" \"Entw&APw-rfe\"\r\n* LIST () NIL {3}\r\nx]y\r\n* LIST () \"/\" \"a\"b\"\r\n{tag} OK done\r\n",
		"STATUS":  "* STATUS x (MESSAGES 3 MAILBOXID (F2))\r\n{tag} OK [ALERT] hear, hear\r\n",
		"UID FETCH": "* 1 FETCH (UID 1 FLAGS () INTERNALDATE \" 1-Feb-2020 00:00:00 +0000\" RFC822.SIZE 5 EMAILID (M1))\r\n" +
			"* 2 FETCH (EMAILID NIL RFC822.SIZE 5 UID 2)\r\n{tag} OK done\r\n",
		"UID STORE": "{tag} OK [MODIFIED 7,5] conflict\r\n",
		"UID MOVE":  "* OK [COPYUID 1 3,1 10,11] x\r\n{tag} OK done\r\n",
		"UID COPY":  "{tag} OK [COPYUID 1 1,3 10:11] x\r\n",
		"NOOP":      "* OK [ALERT] hear, hear\r\n* OK [alert] once more\r\n* BYE [UNAVAILABLE] closing\r\n{tag} OK x\r\n" + imaptest.Drop,
	}}
	client, conn := connect(t, s, wire.Options{})
	conn.AskGlobalID("EMAILID")
	if client.Caps().Has(imap.CapIMAP4rev2) || !client.Caps().Has(imap.CapMove) {
		t.Errorf("capabilities: %v", client.Caps())
	}
	if _, err := client.Select("x", &imap.SelectOptions{ReadOnly: true}).Wait(); err != nil {
		t.Fatal(err)
	}
	if want := (wire.Selection{ReadOnly: true, NotSticky: true, NoModSeq: true, MailboxID: "F1"}); conn.Selected() != want {
		t.Errorf("selected: %+v", conn.Selected())
	}
	boxes, err := client.List("", "*", nil).Collect()
	if err != nil || len(boxes) != 2 || boxes[0].Mailbox != "Entwürfe" || boxes[1].Mailbox != "x]y" {
		t.Errorf("LIST: %v %v", boxes, err)
	}
	if names := conn.TakeBadNames(); !slices.Equal(names, []string{"A&B", `() "/" "a"b"`}) {
		t.Errorf("bad names: %q", names)
	}
	if _, err := client.Status("x", &imap.StatusOptions{NumMessages: true}).Wait(); err != nil {
		t.Fatal(err)
	}
	if ids := conn.TakeMailboxIDs(); ids["x"] != "F2" {
		t.Errorf("mailbox identifiers: %v", ids)
	}
	if msgs, err := collect(client.Fetch(uids(1, 2), scanItems)); err != nil || len(msgs) != 2 {
		t.Fatal(msgs, err)
	}
	if ids := conn.TakeGlobalIDs(); !maps.Equal(ids, map[uint32]string{1: "M1"}) {
		t.Errorf("global identifiers: %v", ids)
	}
	if err := client.Store(uids(1, 9), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{"a"}}, nil).Close(); err != nil {
		t.Fatal(err)
	}
	if sets := conn.TakeModified(); !slices.Equal(sets, []string{"5,7"}) {
		t.Errorf("modified: %q", sets)
	}
	if data, err := client.Move(uids(1, 3), "y").Wait(); err != nil || data.DestUIDs != nil {
		t.Errorf("MOVE with sets out of order: %v %v", data, err)
	}
	if data, err := client.Copy(uids(1, 3), "y").Wait(); err != nil || data.DestUIDs.String() != "10:11" {
		t.Errorf("COPY: %v %v", data, err)
	}
	if err := client.Noop().Wait(); err != nil {
		t.Error(err)
	}
	<-client.Closed()
	if a := conn.Alerts(); !slices.Equal(a, []string{"hear, hear", "once more"}) {
		t.Errorf("alerts: %q", a)
	}
	if conn.Bye() != "[UNAVAILABLE] closing" || !errors.Is(conn.Err(), io.EOF) || !strings.Contains(conn.Err().Error(), "closing") {
		t.Errorf("bye: %q, %v", conn.Bye(), conn.Err())
	}
}

// TestAsking checks what AskGlobalID adds to commands, and that Stats counts.
func TestAsking(t *testing.T) {
	var lines []string
	opt := wire.Options{Trace: func(dir, line string) {
		if dir == "C" {
			lines = append(lines, line)
		}
	}}
	client, conn := connect(t, &imaptest.Script{Caps: "IMAP4rev1"}, opt)
	conn.AskGlobalID("EMAILID")
	collect(client.Fetch(uids(1, 2), &imap.FetchOptions{UID: true, RFC822Size: true}))
	collect(client.Fetch(uids(1, 2), allFlags))
	client.Status("a(b", &imap.StatusOptions{NumMessages: true}).Wait()
	client.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}}).Collect()
	conn.AskGlobalID("X-GM-MSGID")
	collect(client.Fetch(uids(1, 2), &imap.FetchOptions{UID: true, RFC822Size: true}))
	want := []string{
		"T1 UID FETCH 1:2 (UID RFC822.SIZE EMAILID)",
		"T2 UID FETCH 1:2 (UID FLAGS)",
		`T3 STATUS "a(b" (MAILBOXID MESSAGES)`,
		`T4 LIST "" "*" RETURN (STATUS (MAILBOXID MESSAGES))`,
		"T5 UID FETCH 1:2 (UID RFC822.SIZE X-GM-MSGID)",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("sent %q\nwant %q", lines, want)
	}
	st := conn.Stats()
	if st.Commands["UID FETCH"] != 3 || st.Commands["STATUS"] != 1 || int(st.Written) != len(strings.Join(want, "\r\n"))+2 || st.Read == 0 {
		t.Errorf("stats: %+v", st)
	}
}

// TestUTF8Names checks that names travel as they are once UTF-8 is agreed on.
func TestUTF8Names(t *testing.T) {
	var args []string
	s := &imaptest.Script{Caps: "IMAP4rev1 ENABLE UTF8=ACCEPT", Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name == "DELETE" {
			args = append(args, cmd.Args)
		}
		return false
	}, Answers: map[string]string{
		"ENABLE": "* ENABLED UTF8=ACCEPT\r\n{tag} OK done\r\n",
		"LIST":   "* LIST () \"/\" \"Ä&B\"\r\n{tag} OK done\r\n",
	}}
	client, _ := connect(t, s, wire.Options{})
	if _, err := client.Enable(imap.CapUTF8Accept).Wait(); err != nil {
		t.Fatal(err)
	}
	boxes, err := client.List("", "*", nil).Collect()
	if err != nil || len(boxes) != 1 || boxes[0].Mailbox != "Ä&B" {
		t.Fatalf("LIST: %v %v", boxes, err)
	}
	if err := client.Delete("Ä&B").Wait(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(args, []string{`"Ä&B"`}) {
		t.Errorf("sent %q", args)
	}
}

// TestNoSecrets logs in in every way and looks for the password in the trace.
func TestNoSecrets(t *testing.T) {
	const secret = "tr\u00e4umerei-7 \" \\ {3}"
	for _, caps := range []string{"IMAP4rev1", "IMAP4rev1 LITERAL+", "IMAP4rev1 SASL-IR"} {
		var mu sync.Mutex
		var trace strings.Builder
		opt := wire.Options{Trace: func(dir, line string) {
			mu.Lock()
			defer mu.Unlock()
			fmt.Fprintln(&trace, dir, line)
		}}
		var told []string
		s := &imaptest.Script{Caps: caps, Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
			for _, l := range cmd.Literals {
				told = append(told, string(l))
			}
			if cmd.Name == "AUTHENTICATE" && !strings.Contains(cmd.Args, " ") {
				p.Send("+ please go ahead\r\n") // text that is no challenge
				p.Line()
				return p.OK(cmd)
			}
			return false
		}}
		client, _ := connect(t, s, opt)
		if err := client.Login("me", secret).Wait(); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(told, secret) {
			t.Errorf("the server was told %q", told)
		}
		client, _ = connect(t, s, opt)
		if err := client.Authenticate(plain{secret}); err != nil {
			t.Fatal(err)
		}
		survivesQuietly(t, client)
		mu.Lock()
		for _, part := range []string{"umerei", "AG1lAH"} {
			if strings.Contains(trace.String(), part) {
				t.Errorf("the trace has %q:\n%s", part, trace.String())
			}
		}
		if !strings.Contains(trace.String(), "LOGIN") || !strings.Contains(trace.String(), "AUTHENTICATE PLAIN") {
			t.Errorf("the trace lacks the commands:\n%s", trace.String())
		}
		mu.Unlock()
	}
}

func survivesQuietly(t *testing.T, client *imapclient.Client) {
	t.Helper()
	if err := client.Noop().Wait(); err != nil {
		t.Fatal(err)
	}
}

type plain struct{ secret string }

func (p plain) Start() (string, []byte, error) { return "PLAIN", []byte("\x00me\x00" + p.secret), nil }
func (p plain) Next([]byte) ([]byte, error)    { return nil, errors.New("asked for more") }

// TestGreetings checks what may come first.
func TestGreetings(t *testing.T) {
	for greeting, says := range map[string]string{
		"220 mail.example.org ESMTP\r\n":       "no IMAP server",
		"SSH-2.0-OpenSSH_9.2\r\n":              "no IMAP server",
		"* CAPABILITY IMAP4rev1\r\n":           "no IMAP server",
		"* BYE [UNAVAILABLE] come later\r\n":   "come later",
		"* OK" + imaptest.Drop:                 "inside a line",
		"" + imaptest.Drop:                     "closed the connection",
		"\x16\x03\x01\x02\x00\x01\x00\x01\r\n": "no IMAP server",
	} {
		conn := wire.New((&imaptest.Script{Greeting: greeting}).Pipe(t), wire.Options{})
		client := imapclient.New(conn, nil)
		err := client.WaitGreeting()
		if err == nil {
			t.Errorf("%q: accepted", greeting)
		}
		<-client.Closed()
		if told := fmt.Sprint(conn.Err(), " ", conn.Bye(), " ", err); !strings.Contains(told, says) {
			t.Errorf("%q: %s, want it to say %q", greeting, told, says)
		}
		conn.Kill()
	}
}
