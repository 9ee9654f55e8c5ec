package wire_test

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// TestLoginTells logs in where the capabilities come in one way or another:
// the library, which asks for itself where no code tells them, never does.
func TestLoginTells(t *testing.T) {
	for name, row := range map[string]struct {
		answer string
		told   bool
		move   bool
	}{
		"by a code":        {"{tag} OK [capability IMAP4rev1 MOVE] hello\r\n", true, true},
		"before it":        {"* CAPABILITY IMAP4rev1 MOVE\r\n{tag} OK hello\r\n", true, true},
		"not at all":       {"{tag} OK hello\r\n", false, false},
		"with an alert":    {"* CAPABILITY IMAP4rev1 MOVE\r\n{tag} OK [ALERT] the disk is full\r\n", true, true},
		"without a text":   {"{tag} OK\r\n", false, false},
		"code, and before": {"* CAPABILITY IMAP4rev1\r\n{tag} OK [CAPABILITY IMAP4rev1 MOVE] hello\r\n", true, true},
		"refused":          {"{tag} NO no\r\n", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &imaptest.Script{Answers: map[string]string{"LOGIN": row.answer}}
			client, conn := connect(t, s, wire.Options{})
			err := client.Login("ann", "password").Wait()
			if (err != nil) != (name == "refused") {
				t.Fatal(err)
			}
			survives(t, client, conn)
			if conn.LoginTold() != row.told || client.Caps().Has(imap.CapMove) != row.move {
				t.Errorf("told: %v, %v", conn.LoginTold(), client.Caps())
			}
			if n := conn.Stats().Commands["CAPABILITY"]; n > 0 {
				t.Errorf("the library asked %d times", n)
			}
			if alerts := conn.Alerts(); name == "with an alert" && (len(alerts) != 1 || alerts[0] != "the disk is full") {
				t.Errorf("alerts: %q", alerts)
			}
		})
	}
}

// counted counts writes.
type counted struct {
	net.Conn
	writes atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// TestFlights counts round trips, and packets: a command is one, and so are
// those that leave together.
func TestFlights(t *testing.T) {
	s := &imaptest.Script{Caps: "IMAP4rev1 LITERAL+"}
	raw := &counted{Conn: s.Pipe(t)}
	conn := wire.New(raw, wire.Options{})
	client := imapclient.New(conn, nil)
	t.Cleanup(func() { conn.Kill(); client.Close() })
	if err := client.WaitGreeting(); err != nil {
		t.Fatal(err)
	}
	spent := func(trips int, writes int64) {
		t.Helper()
		if got := conn.Stats().RoundTrips; got != trips || raw.writes.Load() != writes {
			t.Errorf("%d round trips, want %d; %d writes, want %d", got, trips, raw.writes.Load(), writes)
		}
	}
	spent(1, 0)
	if conn.RoundTrip() != 0 {
		t.Error("a round trip was measured before any")
	}
	for range 3 {
		survives(t, client, conn)
	}
	spent(4, 3)
	if conn.RoundTrip() <= 0 {
		t.Error("no round trip was measured")
	}
	conn.Cork()
	a, b, c := client.Noop(), client.Status("x", &imap.StatusOptions{NumMessages: true}), client.Noop()
	spent(5, 3)
	if err := conn.Uncork(); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Wait(); a.Wait() != nil || err != nil || c.Wait() != nil {
		t.Error("one of three failed")
	}
	spent(5, 4)
	// The library waits for a "+" that is ours to give.
	conn.Cork()
	cmd := client.Append("x", 5000, nil)
	if _, err := cmd.Write(make([]byte, 5000)); err != nil || cmd.Close() != nil {
		t.Fatal("an APPEND that was held back failed")
	}
	more := client.Noop()
	if err := conn.Uncork(); err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.Wait(); err != nil || more.Wait() != nil {
		t.Error(err)
	}
	if got := conn.Stats().RoundTrips; got != 6 {
		t.Errorf("%d round trips", got)
	}
	conn.Kill()
	conn.Cork()
	client.Noop()
	if conn.Uncork() == nil && client.Noop().Wait() == nil {
		t.Error("a dead connection takes commands")
	}
}
