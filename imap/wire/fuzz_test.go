package wire_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/wire"
)

// tape is a server that sends fixed bytes once it was sent all commands.
type tape struct {
	net.Conn // nil: only what is below is called

	greeting, rest []byte
	ready          chan struct{} // closed when all commands were sent
	closed         chan struct{}
	once           sync.Once
}

func (s *tape) Read(p []byte) (int, error) {
	if len(s.greeting) > 0 {
		n := copy(p, s.greeting)
		s.greeting = s.greeting[n:]
		return n, nil
	}
	select {
	case <-s.ready:
	case <-s.closed:
		return 0, net.ErrClosed
	}
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (s *tape) Write(p []byte) (int, error)      { return len(p), nil }
func (s *tape) SetDeadline(time.Time) error      { return nil }
func (s *tape) SetReadDeadline(time.Time) error  { return nil }
func (s *tape) SetWriteDeadline(time.Time) error { return nil }

func (s *tape) Close() error {
	s.once.Do(func() { close(s.closed) })
	return nil
}

// FuzzFilter feeds any bytes, as a server, through a Conn to the real library
// that waits for answers of every kind. Whatever comes: nothing panics, hangs
// or grows beyond the caps, no body is short without an error, and where the
// Conn saw nothing wrong the library finds every line well-formed.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"* 1 FETCH (UID 1 FLAGS (\\Seen a]b) BODY[] {5}\r\nhello RFC822.SIZE 5)\r\nT1 OK done\r\n",
		"* 1 FETCH (BODY[] ~{3}\r\nabc UID 2)\r\n* 2 FETCH (UID 3 BODY[] NIL)\r\n",
		"* 1 FETCH (UID 1 BODY[] \"\" INTERNALDATE NIL FLAGS NIL RFC822.SIZE -1 MODSEQ (1))\r\n",
		"* 9 FETCH (UID 9 INTERNALDATE \" 1-Feb-2020 00:00:00 +0000\" ENVELOPE (((\"\" {2}\r\nx)) EMAILID (M1))\r\n",
		"* SEARCH 0 3 2 (MODSEQ 7)\r\n* ESEARCH (TAG \"T3\") UID ALL 9,1:3 COUNT 4\r\nT3 OK done\r\n",
		"* LIST (\\A]) \"/\" {3}\r\na\"b\r\n* LIST () NIL &-\r\n* STATUS INBOX (MESSAGES 1 MAILBOXID (F1))\r\nT4 OK x\r\n",
		"* FLAGS (a b)\r\n* 3 EXISTS\r\n* OK [PERMANENTFLAGS (a]b \\*)] x\r\n* OK [UIDVALIDITY 1] x\r\nT6 OK [READ-WRITE] x\r\n",
		"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\nT7 OK x\r\n* 1 EXPUNGE\r\nT8 NO [COPYUID 1 1:3 4:6] x\r\n",
		"* CAPABILITY IMAP4rev1 (\r\n* ENABLED X\r\n* BYE x\r\n* VANISHED (EARLIER) 1:9\r\n+ x\r\n\r\n* ID NIL\r\nT9 BAD\r\n",
		"* QUOTA \"\" (STORAGE 1 2)\r\n* MYRIGHTS a b\r\n* QUOTAROOT a b\r\n* OK [ALERT] x {12}\r\n* XX {4}\r\nabcd\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := &tape{
			greeting: []byte("* OK [CAPABILITY IMAP4rev1 MOVE] x\r\n"), rest: input,
			ready: make(chan struct{}), closed: make(chan struct{}),
		}
		conn := wire.New(s, wire.Options{MaxLine: 4096, MaxList: 8192, MaxLiteral: 1 << 16, MaxHeld: 4096})
		conn.AskGlobalID("EMAILID")
		client := imapclient.New(conn, nil)
		if err := client.WaitGreeting(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		drain := func(cmd *imapclient.FetchCommand) {
			wg.Go(func() { drainFetch(t, client, cmd) })
		}
		drain(client.Fetch(uids(1, 5), wholeBody))
		drain(client.Fetch(uids(1, 1<<32-1), scanItems))
		search := client.UIDSearch(&imap.SearchCriteria{}, &imap.SearchOptions{ReturnAll: true})
		list := client.List("", "*", &imap.ListOptions{ReturnStatus: &imap.StatusOptions{NumMessages: true}})
		status := client.Status("INBOX", &imap.StatusOptions{NumMessages: true})
		selected := client.Select("INBOX", nil)
		namespace := client.Namespace()
		move := client.Move(uids(1, 3), "x")
		noop := client.Noop()
		expunge := client.Expunge()
		drain(client.Fetch(uids(6, 9), fields))
		wg.Go(func() { list.Collect() })
		wg.Go(func() { expunge.Collect() })
		close(s.ready)
		<-client.Closed()
		wg.Wait()
		search.Wait()
		status.Wait()
		selected.Wait()
		namespace.Wait()
		move.Wait()
		noop.Wait()
		closeErr := client.Close()
		if err := conn.Err(); err == nil || errors.Is(err, net.ErrClosed) {
			t.Fatalf("the library gave up first: %v", closeErr)
		} else if errors.Is(err, io.EOF) && closeErr != nil && !errors.Is(closeErr, net.ErrClosed) {
			t.Fatalf("the library was given what it cannot read: %v", closeErr)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20+200*uint64(len(input)) {
			t.Fatalf("%d bytes of input took %d bytes of memory", len(input), grown)
		}
	})
}

// FuzzCalls feeds any bytes, as a server, to calls for two mailboxes and to
// what the library asked behind them. Whatever comes: nothing panics or hangs,
// every call ends, none succeeds in a mailbox that was not opened, and memory
// stays in proportion to what came.
func FuzzCalls(f *testing.F) {
	for _, seed := range []string{
		opened + "* VANISHED (EARLIER) 1:4,9\r\n* 1 FETCH (UID 1 FLAGS ())\r\nT02 OK x\r\n* 1 FETCH (UID 1 RFC822.SIZE 1)\r\nT03 OK x\r\n* OK [CLOSED] x\r\n",
		"* ENABLED QRESYNC\r\nT01 OK x\r\nT02 NO x\r\n* 1 FETCH (UID 5 FLAGS () BODY[] {3}\r\nabc)\r\nT03 OK x\r\nT04 OK x\r\nT05 OK\r\n",
		opened + "T05 OK x\r\n* 2 FETCH (FLAGS (a) UID 4)\r\n* 2 FETCH (UID\r\n* VANISHED 4\r\nT06 OK x\r\n* SEARCH 4 2 0\r\n* ESEARCH (TAG \"T07\") UID ALL 9:1,4\r\nT07 OK x\r\n",
		"* MYRIGHTS a lr\r\nT08 BAD [X (] x\r\nT04 MAYBE\r\n* VANISHED (EARLIER\r\n* VANISHED (EARLIER) 1:4294967295\r\n* 0 EXISTS\r\nT1 OK x\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		s := &tape{
			greeting: []byte("* OK [CAPABILITY IMAP4rev1] x\r\n"), rest: input,
			ready: make(chan struct{}), closed: make(chan struct{}),
		}
		conn := wire.New(s, wire.Options{MaxLine: 4096, MaxList: 8192, MaxLiteral: 1 << 16, MaxHeld: 4096})
		client := imapclient.New(conn, nil)
		if err := client.WaitGreeting(); err != nil {
			t.Fatal(err)
		}
		told := 0
		count := func(m wire.Told) { told++ }
		a := &wire.Call{Command: "EXAMINE a (QRESYNC (7 5 1:9))", Each: count}
		b := &wire.Call{Command: "EXAMINE b"}
		calls := []*wire.Call{
			{Command: "ENABLE QRESYNC"},
			a, {Command: "UID FETCH 10:* (FLAGS INTERNALDATE RFC822.SIZE)", In: a, Each: count},
			b, {Command: "UID FETCH 1:9 (FLAGS) (CHANGEDSINCE 5 VANISHED)", In: b, Each: count},
			{Command: "UID FETCH 10:* (FLAGS)", In: b, Each: count}, {Command: "UID SEARCH ALL", In: b}, {Command: "MYRIGHTS b"},
		}
		if err := conn.Send(false, calls...); err != nil {
			t.Fatal(err)
		}
		noop := client.Noop()
		close(s.ready)
		failed := map[*wire.Call]bool{}
		for _, c := range calls {
			answer, err := conn.Wait(c)
			if failed[c] = err != nil; err == nil && c.In != nil && failed[c.In] {
				t.Errorf("%s succeeds where %s failed", c.Command, c.In.Command)
			}
			if err == nil {
				answer.Vanished.Below(100).List(1000)
				answer.Found.List(1000)
			}
		}
		noop.Wait()
		<-client.Closed()
		client.Close()
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 16<<20+200*uint64(len(input)) {
			t.Fatalf("%d bytes of input took %d bytes of memory", len(input), grown)
		}
	})
}

// drainFetch reads all that comes, and checks that bodies are whole.
func drainFetch(t *testing.T, client *imapclient.Client, cmd *imapclient.FetchCommand) {
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		for item := msg.Next(); item != nil; item = msg.Next() {
			section, ok := item.(imapclient.FetchItemDataBodySection)
			if !ok {
				continue
			}
			if section.Literal == nil {
				t.Error("a body that is NIL was handed on")
				continue
			}
			n, err := io.Copy(io.Discard, section.Literal)
			if err != nil {
				<-client.Closed()
			} else if n != section.Literal.Size() {
				t.Errorf("a body of %d bytes ended after %d without an error", section.Literal.Size(), n)
			}
		}
	}
	cmd.Close()
}
