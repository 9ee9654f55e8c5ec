package wire_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/imap/wire"
)

// A taker is a Bodies that writes down what it is given.
type taker struct {
	told []string // as collect does
	over int
	body string
	most int64 // how much of each body is read; negative: all
	err  error
	end  error // what End returns
}

func divert(conn *wire.Conn) *taker {
	t := &taker{most: -1}
	conn.Divert(t)
	return t
}

func (t *taker) Body(_ wire.Message, size int64, r io.Reader) error {
	if t.most >= 0 {
		r = io.LimitReader(r, t.most)
	}
	raw, err := io.ReadAll(r)
	if t.err = err; err == nil && t.most < 0 && int64(len(raw)) != size {
		t.err = fmt.Errorf("a body of %d bytes ended after %d without an error", size, len(raw))
	}
	t.body = string(raw)
	return nil
}

func (t *taker) End(m wire.Message) error {
	g := got{flags: "-", date: m.Date, size: m.Size, body: t.body}
	if m.Flags != "" {
		g.flags = fmt.Sprint(strings.Fields(strings.Trim(m.Flags, "()")))
	}
	t.told = append(t.told, strings.Replace(g.String(), "0", fmt.Sprint(m.UID), 1))
	return t.end
}

func (t *taker) Over() error {
	t.over++
	return nil
}

// TestDivertedCutEverywhere cuts the connection at every byte of an answer: a
// body is whole, or there is an error, and the command fails.
func TestDivertedCutEverywhere(t *testing.T) {
	const body = "From: a\r\n\r\nhello"
	raw := fmt.Sprintf("* 1 FETCH (UID 1 FLAGS (a) BODY[] {%d}\r\n%s RFC822.SIZE 5)\r\nT1 OK done\r\n", len(body), body)
	for at := range len(raw) {
		s := &imaptest.Script{
			Greeting: "* OK [CAPABILITY IMAP4rev1] ready\r\n",
			Answers:  map[string]string{"UID FETCH": raw[:at] + imaptest.Drop},
		}
		client, conn := connect(t, s, wire.Options{})
		to := divert(conn)
		err := client.Fetch(uids(1, 1), wholeBody).Close()
		if err == nil || to.over != 0 {
			t.Errorf("cut at %d: no error", at)
		}
		if len(to.told) > 0 && (to.told[0] != fmt.Sprintf("1 [a] - 5 0 %q", body) || to.err != nil) {
			t.Errorf("cut at %d: told %q, %v", at, to.told, to.err)
		}
		if in := strings.Index(raw, body); at > in && at < in+len(body) && !errors.Is(to.err, io.ErrUnexpectedEOF) {
			t.Errorf("cut at %d: the body ends with %v", at, to.err)
		}
	}
}

// TestDivertedBodiesNeedNotBeRead: what is left of one is passed over, and an
// error of whoever takes them ends the connection.
func TestDivertedBodiesNeedNotBeRead(t *testing.T) {
	raw := "* 1 FETCH (UID 1 BODY[] {5}\r\nhello)\r\n* 2 FETCH (UID 2 BODY[] {5}\r\nworld BODY[] {3}\r\nabc)\r\n{tag} OK done\r\n"
	s := &imaptest.Script{Answers: map[string]string{"UID FETCH": raw}}
	client, conn := connect(t, s, wire.Options{})
	to := divert(conn)
	to.most = 2
	if err := client.Fetch(uids(1, 2), wholeBody).Close(); err != nil || to.over != 1 ||
		!slices.Equal(to.told, []string{`1 - - 0 0 "he"`, `2 - - 0 0 "wo"`}) {
		t.Errorf("told %q, %v", to.told, err)
	}
	survives(t, client, conn)
	to = divert(conn)
	to.end = errors.New("enough")
	if err := client.Fetch(uids(1, 2), wholeBody).Close(); err == nil || !errors.Is(conn.Err(), to.end) || len(to.told) != 1 {
		t.Errorf("told %q, %v, %v", to.told, err, conn.Err())
	}
}

// TestNothingBehindASelectIsAnsweredBeforeIt: what comes before the answer to a
// SELECT is about the mailbox before.
func TestNothingBehindASelectIsAnsweredBeforeIt(t *testing.T) {
	var sent []imaptest.Command
	s := &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
		if cmd.Name != "SELECT" && cmd.Name != "UID FETCH" {
			return false
		}
		if sent = append(sent, cmd); len(sent) < 3 {
			return true
		}
		p.Send("* 1 FETCH (UID 1 FLAGS (old) BODY[] {3}\r\nold)\r\n* 1 FETCH (UID 1 FLAGS (old) BODY[] {5}\r\nolder)\r\n" +
			"* 2 FETCH (UID 2 FLAGS (old))\r\n" + sent[0].Tag + " OK done\r\n" +
			"* 2 FETCH (UID 2 FLAGS (old))\r\n* 3 EXISTS\r\n" + sent[1].Tag + " OK done\r\n" +
			"* 1 FETCH (UID 1 BODY[] {3}\r\nnew)\r\n* 2 FETCH (UID 2 BODY[] {5}\r\nnewer)\r\n" + sent[2].Tag + " OK done\r\n")
		return true
	}}
	client, conn := connect(t, s, wire.Options{})
	before := divert(conn)
	first := client.Fetch(uids(1, 2), wholeBody)
	client.Select("b", nil)
	behind := divert(conn)
	second := client.Fetch(uids(1, 2), wholeBody)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if want := []string{`1 [old] - 0 0 "old"`}; !slices.Equal(before.told, want) {
		t.Errorf("before it: %q, want %q", before.told, want)
	}
	if want := []string{`1 - - 0 0 "new"`, `2 - - 0 0 "newer"`}; !slices.Equal(behind.told, want) {
		t.Errorf("behind it: %q, want %q", behind.told, want)
	}
}

// TestFetchThatASelectOvertakes: bodies that come once a later SELECT is
// answered are of another mailbox, and what came before may not be all.
func TestFetchThatASelectOvertakes(t *testing.T) {
	for name, byCall := range map[string]bool{"of the library": false, "of a call": true} {
		t.Run(name, func(t *testing.T) {
			var sent []imaptest.Command
			s := &imaptest.Script{Handle: func(p *imaptest.Peer, cmd imaptest.Command) bool {
				if cmd.Name != "EXAMINE" && cmd.Name != "UID FETCH" && cmd.Name != "UID STORE" {
					return false
				}
				if sent = append(sent, cmd); len(sent) == 3 {
					p.Send("* 1 FETCH (UID 1 BODY[] {5}\r\nfirst)\r\n* OK [CLOSED] x\r\n* 2 EXISTS\r\n" + sent[2].Tag + " OK done\r\n" +
						"* 2 FETCH (UID 2 BODY[] {5}\r\nother)\r\n" + sent[0].Tag + " OK done\r\n" + sent[1].Tag + " OK done\r\n")
				}
				return true
			}}
			client, conn := connect(t, s, wire.Options{})
			to := divert(conn)
			fetch := client.Fetch(uids(1, 2), wholeBody)
			store := client.Store(uids(1, 2), &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen}}, nil)
			var err error
			if open := (&wire.Call{Command: "EXAMINE b"}); byCall {
				if err = conn.Send(false, open); err == nil {
					_, err = conn.Wait(open)
				}
			} else {
				_, err = client.Select("b", &imap.SelectOptions{ReadOnly: true}).Wait()
			}
			if err == nil { // which mailbox EXISTS was about cannot be told
				t.Error("the SELECT did not fail")
			}
			for what, cmd := range map[string]*imapclient.FetchCommand{"FETCH": fetch, "STORE": store} {
				if err := cmd.Close(); err == nil || !strings.Contains(err.Error(), "out of order") {
					t.Errorf("the %s: %v", what, err)
				}
			}
			if want := []string{`1 - - 0 0 "first"`}; !slices.Equal(to.told, want) || to.over != 1 {
				t.Errorf("told %q, want %q; over %d times", to.told, want, to.over)
			}
			survives(t, client, conn)
		})
	}
}
