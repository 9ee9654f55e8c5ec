package wire_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// connect puts the real library over a Conn over a script.
func connect(t *testing.T, s *imaptest.Script, opt wire.Options) (*imapclient.Client, *wire.Conn) {
	t.Helper()
	conn := wire.New(s.Pipe(t), opt)
	client := imapclient.New(conn, nil)
	t.Cleanup(func() {
		conn.Kill()
		client.Close()
	})
	if err := client.WaitGreeting(); err != nil {
		t.Fatalf("greeting: %v", err)
	}
	return client, conn
}

// got is a message as the library gave it.
type got struct {
	uid   imap.UID
	flags string
	date  time.Time
	size  int64
	body  string
	mod   uint64
}

func (g got) String() string {
	date := "-"
	if !g.date.IsZero() {
		date = g.date.UTC().Format(time.DateOnly)
	}
	return fmt.Sprintf("%d %s %s %d %d %q", g.uid, g.flags, date, g.size, g.mod, g.body)
}

// collect reads a FETCH to its end.
func collect(cmd *imapclient.FetchCommand) ([]string, error) {
	var all []string
	for {
		msg := cmd.Next()
		if msg == nil {
			return all, cmd.Close()
		}
		g := got{flags: "-", body: "-"}
		for item := msg.Next(); item != nil; item = msg.Next() {
			switch item := item.(type) {
			case imapclient.FetchItemDataUID:
				g.uid = item.UID
			case imapclient.FetchItemDataFlags:
				g.flags = fmt.Sprint(item.Flags)
			case imapclient.FetchItemDataInternalDate:
				g.date = item.Time
			case imapclient.FetchItemDataRFC822Size:
				g.size = item.Size
			case imapclient.FetchItemDataModSeq:
				g.mod = item.ModSeq
			case imapclient.FetchItemDataBodySection:
				b, err := io.ReadAll(item.Literal)
				if err != nil {
					return all, err // the library's decoder reads on: see the package comment
				}
				if int64(len(b)) != item.Literal.Size() {
					cmd.Close()
					return all, fmt.Errorf("a body of %d bytes ended after %d without an error", item.Literal.Size(), len(b))
				}
				g.body = string(b)
			}
		}
		all = append(all, g.String())
	}
}

func uids(from, to imap.UID) imap.UIDSet {
	var s imap.UIDSet
	s.AddRange(from, to)
	return s
}

var (
	wholeBody = &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}}
	allFlags  = &imap.FetchOptions{UID: true, Flags: true}
	scanItems = &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, RFC822Size: true}
)

// survives checks that the connection is of use after what it went through.
func survives(t *testing.T, client *imapclient.Client, conn *wire.Conn) {
	t.Helper()
	if err := client.Noop().Wait(); err != nil {
		t.Fatalf("the connection died: %v (%v)", err, conn.Err())
	}
}

// TestOddResponses sends what the library dies of, or worse, where a response
// may come, and checks that both the command and the connection live on.
func TestOddResponses(t *testing.T) {
	for name, raw := range oddResponses() {
		t.Run(name, func(t *testing.T) { oddResponse(t, raw, strings.Contains(name, "fetch ")) })
	}
}

// oddResponse sends raw in the answers to two commands. lost says that it could
// have been a part of the answer to a FETCH.
func oddResponse(t *testing.T, raw string, lost bool) {
	s := &imaptest.Script{Answers: map[string]string{
		"NOOP":  raw + "{tag} OK done\r\n",
		"CHECK": "{tag} OK done\r\n",
		"UID FETCH": "* 1 FETCH (UID 1 FLAGS (\\Seen))\r\n" + raw +
			"* 2 FETCH (UID 2 FLAGS ())\r\n{tag} OK done\r\n",
	}}
	client, conn := connect(t, s, wire.Options{})
	if _, err := client.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	if err := client.Noop().Wait(); err != nil {
		t.Fatalf("NOOP: %v (%v)", err, conn.Err())
	}
	msgs, err := collect(client.Fetch(uids(1, 9), allFlags))
	if lost != (err != nil) {
		t.Errorf("UID FETCH: %v", err)
	}
	if len(msgs) < 2 || len(msgs) > 3 {
		t.Errorf("messages: %q", msgs)
	}
	survives(t, client, conn)
}

func oddResponses() map[string]string {
	deep := strings.Repeat("(", 5000)
	return map[string]string{
		"unknown response":            "* XFOO bar (baz \"q\" {3}\r\nabc) \r\n",
		"unknown, ends like literal":  "* OK see {12}\r\n",
		"no text":                     "* OK\r\n* OK \r\n* NO\r\n* BAD  \r\n",
		"empty code":                  "* OK [] x\r\n* OK [ALERT x\r\n* OK [ x\r\n",
		"blank line":                  "\r\n\n \r\n",
		"stray plus":                  "+ go on\r\n+\r\n",
		"star alone":                  "*\r\n* \r\n",
		"garbage":                     "what is this\r\n\x00\x01\xff\r\n",
		"unknown tag":                 "Z1 OK not yours\r\n",
		"lsub":                        "* LSUB () \"/\" x\r\n",
		"xlist with literal":          "* XLIST () \"/\" {1}\r\nx\r\n",
		"vanished":                    "* VANISHED 1:3\r\n* VANISHED (EARLIER) 7\r\n",
		"id":                          "* ID NIL\r\n* ID (\"name\" NIL)\r\n* ID (\"name\" \"x\")\r\n",
		"language":                    "* LANGUAGE (EN)\r\n",
		"metadata":                    "* METADATA \"\" (/shared/x {3}\r\nabc)\r\n",
		"recent":                      "* 3 RECENT\r\n",
		"number alone":                "* 3\r\n* 3 \r\n",
		"number and rubbish":          "* 3 XYZ\r\n",
		"huge number":                 "* 99999999999 EXISTS\r\n* 99999999999999999999999 EXPUNGE\r\n",
		"zero expunge":                "* 0 EXPUNGE\r\n",
		"double spaces":               "*  5  EXISTS\r\n* 1 FETCH  (UID  1  FLAGS  ( \\Seen  a ) )\r\n",
		"fetch of zero":               "* 0 FETCH (UID 1)\r\n",
		"fetch without list":          "* 1 FETCH\r\n* 1 FETCH UID 1\r\n",
		"fetch without end":           "* 1 FETCH (UID 1\r\n* 1 FETCH (UID 1 FLAGS (\\Seen\r\n",
		"fetch with rubbish":          "* 1 FETCH (]]] )(\r\n* 1 FETCH ()\r\n",
		"bracket in flag":             "* 1 FETCH (FLAGS (a]b \\Seen))\r\n* FLAGS (a]b \\Seen \"q\")\r\n",
		"literal8":                    "* 1 FETCH (BODY[] ~{3}\r\nabc)\r\n",
		"binary":                      "* 1 FETCH (BINARY[1] ~{3}\r\nabc BINARY.SIZE[1] 3)\r\n",
		"nil date":                    "* 1 FETCH (INTERNALDATE NIL)\r\n* 1 FETCH (INTERNALDATE \"yesterday\")\r\n",
		"nil flags":                   "* 1 FETCH (FLAGS NIL)\r\n* FLAGS NIL\r\n",
		"negative size":               "* 1 FETCH (RFC822.SIZE -1)\r\n",
		"malformed envelope":          "* 1 FETCH (ENVELOPE (NIL \"a\" ((NIL NIL) \"x\")))\r\n* 1 FETCH (ENVELOPE NIL)\r\n",
		"body structure":              "* 1 FETCH (BODYSTRUCTURE (\"text\" NIL {3}\r\nabc) BODY (\"x\"))\r\n",
		"global ids":                  "* 1 FETCH (EMAILID (M1) THREADID NIL X-GM-MSGID 1 X-GM-THRID 2 X-GM-LABELS (\"\\\\Inbox\" a))\r\n",
		"fetch and others too deep":   "* 1 FETCH (X " + deep + ")\r\n* LIST " + deep + "\r\n* XX " + deep + "\r\n",
		"search of nobody":            "* SEARCH 0\r\n* SEARCH 4294967295 (MODSEQ 1)\r\n* SEARCH x\r\n* ESEARCH (TAG \"zz\") UID ALL *\r\n* ESEARCH\r\n",
		"list: bad name":              "* LIST () \"/\" \"&bad\"\r\n* LIST () \"/\" \"\xff\"\r\n* LIST (\\A]) NIL x\r\n",
		"list: broken":                "* LIST\r\n* LIST (\r\n* LIST () \"ab\" x\r\n* LIST () x\r\n* LIST () \"/\" x (CHILDINFO (\"S\"))\r\n",
		"status: broken":              "* STATUS x (MESSAGES -1 UIDNEXT)\r\n* STATUS\r\n* STATUS x NIL\r\n* STATUS x (UIDVALIDITY 99999999999)\r\n",
		"namespace: broken":           "* NAMESPACE x\r\n* NAMESPACE ((\"\" \"/\" \"X\" (\"y\"))) NIL NIL\r\n",
		"quota":                       "* QUOTA \"\" (STORAGE 1)\r\n* QUOTA \"\" (STORAGE 1 2)\r\n* QUOTAROOT INBOX \"\"\r\n",
		"codes: broken":               "* OK [UIDNEXT x] y\r\n* OK [UIDVALIDITY] y\r\n* OK [PERMANENTFLAGS (a]b \\*)] y\r\n* OK [PERMANENTFLAGS] y\r\n* OK [HIGHESTMODSEQ -1] y\r\n* OK [COPYUID 1 *:3 x] y\r\n",
		"codes: unknown":              "* OK [XCODE (\"a]b\" {x})] y\r\n* NO [BADCHARSET (UTF-8)] y\r\n",
		"capabilities: odd":           "* CAPABILITY IMAP4rev1 (x) a]b\r\n* OK [CAPABILITY IMAP4rev1 \"x\"] y\r\n",
		"enabled":                     "* ENABLED\r\n",
		"bare CR and NUL in text":     "* OK a\rb\x00c\r\n",
		"sort, thread":                "* SORT 1 2\r\n* THREAD (1 (2)(3))\r\n",
		"lower case":                  "* ok [alert] hello\r\n* 4 exists\r\n",
		"long flag list":              "* FLAGS (" + strings.Repeat("keyword ", 10000) + ")\r\n",
		"myrights":                    "* MYRIGHTS INBOX lrs\r\n* MYRIGHTS INBOX\r\n* MYRIGHTS\r\n",
		"unasked body":                "* 1 FETCH (UID 1 BODY[] {5}\r\nabcde)\r\n",
		"unasked body with tag in it": "* 1 FETCH (UID 1 BODY[] {11}\r\nT2 OK done\n)\r\n",
	}
}
