package wire_test

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// TestRefusedAppend checks that a connection outlives an APPEND that is
// refused before its literal, and that others are no reason to keep it.
func TestRefusedAppend(t *testing.T) {
	s := &imaptest.Script{Refuse: func(cmd imaptest.Command) string {
		if strings.HasPrefix(cmd.Args, `"Full"`) {
			return "{tag} NO [OVERQUOTA] full\r\n"
		}
		return ""
	}}
	client, conn := connect(t, s, wire.Options{})
	for range 2 {
		cmd := client.Append("Full", 5, nil)
		io.WriteString(cmd, "hello")
		if err := cmd.Close(); err == nil {
			t.Error("Close told of no error")
		}
		_, err := cmd.Wait()
		var answer *imap.Error
		if !errors.As(err, &answer) || answer.Code != imap.ResponseCodeOverQuota {
			t.Errorf("Wait: %v", err)
		}
		survives(t, client, conn)
	}
	cmd := client.Append("Free", 5, nil)
	io.WriteString(cmd, "hello")
	if err := cmd.Close(); err != nil {
		t.Error(err)
	}
	if _, err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	client.Close()
	if !errors.Is(conn.Err(), net.ErrClosed) {
		t.Errorf("after Close: %v", conn.Err())
	}
}

// TestUnaskedLiterals appends to a server with LITERAL+: nothing waits for a
// "+", and a refusal does no harm.
func TestUnaskedLiterals(t *testing.T) {
	var sizes []int
	s := &imaptest.Script{Caps: "IMAP4rev1 LITERAL+", Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name != "APPEND" {
			return false
		}
		sizes = append(sizes, len(cmd.Literals[0]))
		if !strings.HasSuffix(cmd.Args, "+}") {
			p.Send(cmd.Tag + " BAD the client waited\r\n")
		} else if strings.HasPrefix(cmd.Args, `"Full"`) {
			p.Send(cmd.Tag + " NO [OVERQUOTA] full\r\n")
		} else {
			p.Send("* 7 EXISTS\r\n" + cmd.Tag + " OK [APPENDUID 1 7] done\r\n")
		}
		return true
	}}
	client, conn := connect(t, s, wire.Options{})
	var cmds []*imapclient.AppendCommand
	for i, size := range []int{5, 0, 100000, 5000} {
		cmd := client.Append([]string{"Free", "Full"}[i%2], int64(size), nil)
		io.WriteString(cmd, strings.Repeat("x", size))
		if err := cmd.Close(); err != nil {
			t.Fatal(err, conn.Err())
		}
		cmds = append(cmds, cmd)
	}
	for i, cmd := range cmds {
		_, err := cmd.Wait()
		if full := i%2 == 1; full != (err != nil) || full && !strings.Contains(err.Error(), "full") {
			t.Errorf("APPEND %d: %v", i, err)
		}
	}
	survives(t, client, conn)
	if !slices.Equal(sizes, []int{5, 0, 100000, 5000}) {
		t.Errorf("the server was sent %v", sizes)
	}
}

// TestRefusedMidway refuses an APPEND after the server asked for its literal:
// the library sends the rest all the same, and it is no command.
func TestRefusedMidway(t *testing.T) {
	const text = "Z1 DELETE INBOX\r\n"
	s := &imaptest.Script{Refuse: func(cmd imaptest.Command) string {
		return "+ go on\r\n{tag} NO [OVERQUOTA] on second thoughts\r\n"
	}}
	server := s.Pipe(t)
	conn := wire.New(server, wire.Options{})
	client := imapclient.New(conn, nil)
	defer conn.Kill()
	cmd := client.Append("INBOX", int64(len(text)), nil)
	if _, err := cmd.Wait(); err == nil { // it is answered before it was sent
		t.Error("not refused")
	}
	io.WriteString(cmd, text)
	if err := cmd.Close(); err != nil {
		t.Error(err)
	}
	if n := conn.Stats().Commands; n["DELETE"] != 0 {
		t.Errorf("commands: %v", n)
	}
}

// TestIdleEnded lets the server end IDLE by itself: DONE is not sent.
func TestIdleEnded(t *testing.T) {
	s := &imaptest.Script{Answers: map[string]string{"IDLE": "+ idling\r\n* 1 EXISTS\r\n{tag} OK enough\r\n"}}
	client, conn := connect(t, s, wire.Options{})
	cmd, err := client.Idle()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	survives(t, client, conn)
	if n := conn.Stats().Commands; n["DONE"] != 0 || n["IDLE"] != 1 {
		t.Errorf("commands: %v", n)
	}
}
