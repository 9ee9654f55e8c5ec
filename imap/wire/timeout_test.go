package wire_test

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// The clock in these tests is that of a bubble: sleeping takes no time.

const idle = time.Minute

// silent is a server that does not answer one command, and takes IDLE.
func silent(name string) *imaptest.Script {
	return &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name == "IDLE" {
			p.Send("+ idling\r\n")
			p.Line()
			p.OK(cmd)
			return true
		}
		return cmd.Name == name
	}}
}

// TestNoAnswer gives up a server that does not answer, but not one that owes
// nothing.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := connect(t, silent("NOOP"), wire.Options{IdleTimeout: idle})
		time.Sleep(time.Hour) // nothing is due: no harm
		begun := time.Now()
		if err := client.Noop().Wait(); err == nil || !errors.Is(conn.Err(), wire.ErrSilent) {
			t.Errorf("%v, %v", err, conn.Err())
		}
		if d := time.Since(begun); d != idle {
			t.Errorf("given up after %v", d)
		}
	})
}

// TestIdleOwesNothing waits in IDLE for as long as it takes.
func TestIdleOwesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := connect(t, silent(""), wire.Options{IdleTimeout: idle})
		cmd, err := client.Idle()
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if err := cmd.Close(); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
		survives(t, client, conn)
	})
}

// TestSlowReader does not take a slow reader for a silent server.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &imaptest.Script{Answers: map[string]string{
			"UID FETCH": "* 1 FETCH (UID 1 BODY[] {200000}\r\n" + strings.Repeat("x", 200000) + ")\r\n{tag} OK done\r\n"}}
		client, conn := connect(t, s, wire.Options{IdleTimeout: idle})
		cmd := client.Fetch(uids(1, 1), wholeBody)
		msg := cmd.Next()
		time.Sleep(time.Hour)
		size := 0
		for item := msg.Next(); item != nil; item = msg.Next() {
			if section, ok := item.(imapclient.FetchItemDataBodySection); ok {
				b, err := io.ReadAll(section.Literal)
				if err != nil {
					t.Fatal(err)
				}
				size = len(b)
			}
		}
		if err := cmd.Close(); err != nil || size != 200000 {
			t.Errorf("%d bytes, %v", size, err)
		}
		survives(t, client, conn)
	})
}

// TestSlowSource does not take a slow source of ours for a silent server.
func TestSlowSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, conn := connect(t, &imaptest.Script{}, wire.Options{IdleTimeout: idle})
		cmd := client.Append("INBOX", 10, nil)
		io.WriteString(cmd, "01234")
		time.Sleep(time.Hour)
		io.WriteString(cmd, "56789")
		cmd.Close()
		if _, err := cmd.Wait(); err != nil {
			t.Fatalf("%v, %v", err, conn.Err())
		}
	})
}

// TestTakesNothing gives up a server that takes nothing.
func TestTakesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		conn := wire.New(ours, wire.Options{WriteTimeout: idle, IdleTimeout: time.Hour})
		if _, err := conn.Write([]byte("T1 NOOP\r\n")); !errors.Is(err, wire.ErrSilent) {
			t.Errorf("Write: %v", err)
		}
		conn.Kill()
	})
}

// TestNoGreeting gives up a server that does not greet.
func TestNoGreeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		conn := wire.New(ours, wire.Options{IdleTimeout: idle})
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, wire.ErrSilent) {
			t.Errorf("Read: %v", err)
		}
		conn.Kill()
	})
}
