package imap_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	goimap "github.com/emersion/go-imap/v2"

	"github.com/godwit-mail/godwit/imap"
	"github.com/godwit-mail/godwit/imap/imaptest"
	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

var ctx = context.Background()

// A bench is an account on a Dovecot, with what was sent.
type bench struct {
	*testing.T
	server *imaptest.Server
	side   *imap.Account
	ids    map[mail.MailboxName]mail.BoxID

	mu   sync.Mutex
	sent []string
}

func newBench(t *testing.T, opts ...imaptest.Option) *bench {
	t.Helper()
	b := &bench{T: t, server: imaptest.Dovecot(t, opts...)}
	b.connect(nil)
	return b
}

// connect opens the side; change, if not nil, changes its options first.
func (b *bench) connect(change func(*imap.Options)) {
	b.Helper()
	opt := optionsFor(b.server, "ann")
	opt.Trace = func(dir, line string) {
		if dir == "C" {
			b.mu.Lock()
			_, cmd, _ := strings.Cut(line, " ")
			b.sent = append(b.sent, cmd)
			b.mu.Unlock()
		}
	}
	if change != nil {
		change(&opt)
	}
	b.side, b.ids = open(b.T, opt), map[mail.MailboxName]mail.BoxID{}
	b.survey(nil)
}

func (b *bench) survey(since map[mail.MailboxName]plan.Since) map[mail.MailboxName]plan.Box {
	b.Helper()
	boxes, err := b.side.Survey(ctx, since)
	if err != nil {
		b.Fatal(err)
	}
	byName, bind := map[mail.MailboxName]plan.Box{}, map[mail.BoxID]mail.MailboxName{}
	for _, box := range boxes {
		byName[box.Name] = box
		if b.ids[box.Name] == 0 {
			b.ids[box.Name] = mail.BoxID(len(b.ids) + 1)
		}
		bind[b.ids[box.Name]] = box.Name
	}
	b.side.Bind(bind)
	return byName
}

func (b *bench) create(names ...mail.MailboxName) {
	b.Helper()
	for _, name := range names {
		if _, err := b.side.Create(ctx, name); err != nil {
			b.Fatal(err)
		}
	}
	b.survey(nil)
}

func message(n int) string {
	return fmt.Sprintf("Message-ID: <m%d@example.org>\r\nSubject: message %d\r\nFrom: a@example.org\r\n\r\nbody %d\r\n", n, n, n)
}

func incoming(tag int, body string, flags ...mail.Flag) plan.Incoming {
	return plan.Incoming{
		Tag: tag, Item: mail.Item{Flags: mail.NewFlagSet(flags...), Date: time.Unix(1_600_000_000, 0)},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil },
	}
}

func (b *bench) put(box mail.MailboxName, in ...plan.Incoming) []plan.Placed {
	b.Helper()
	batch, err := b.side.Put(ctx, b.ids[box])
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range in {
		if err := batch.Add(ctx, i); err != nil {
			b.Fatal(err)
		}
	}
	placed, err := batch.Commit(ctx)
	if err != nil {
		b.Fatal(err)
	}
	if len(placed) != len(in) {
		b.Fatalf("%d placed of %d", len(placed), len(in))
	}
	return placed
}

func (b *bench) do(ops ...plan.Op) []plan.Outcome {
	b.Helper()
	out := make([]plan.Outcome, len(ops))
	for i := range ops {
		ops[i].Tag = i
	}
	err := b.side.Do(ctx, ops, func(list []plan.Outcome) error {
		for _, o := range list {
			out[o.Tag] = o
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return out
}

func (b *bench) scan(box mail.MailboxName, since plan.Since) (map[mail.Ref]plan.Seen, plan.Scanned) {
	b.Helper()
	seen := map[mail.Ref]plan.Seen{}
	sc, err := b.side.Scan(ctx, b.ids[box], since, func(s plan.Seen) error {
		seen[s.Ref] = s
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return seen, sc
}

func (b *bench) bodies(box mail.MailboxName, refs ...mail.Ref) (map[mail.Ref]string, error) {
	got := map[mail.Ref]string{}
	err := b.side.Fetch(ctx, b.ids[box], refs, func(ref mail.Ref, item mail.Item, r io.Reader) error {
		raw, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if _, twice := got[ref]; twice {
			b.Errorf("%s was handed over twice", ref)
		}
		if int64(len(raw)) != item.Ident.Size {
			b.Errorf("%s has %d bytes and says %d", ref, len(raw), item.Ident.Size)
		}
		got[ref] = string(raw)
		return nil
	})
	return got, err
}

func (b *bench) at(box mail.MailboxName, ref mail.Ref) plan.Place {
	return plan.Place{Box: b.ids[box], Ref: ref}
}

// commands gives what was sent since the last call.
func (b *bench) commands() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	sent := b.sent
	b.sent = nil
	return sent
}

func anyContains(list []string, part string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return strings.Contains(s, part) })
}

func TestSurveyIsOneCommand(t *testing.T) {
	b := newBench(t)
	b.create("A", "B", "C/D")
	b.connect(nil)
	b.commands()
	boxes := b.survey(nil)
	if sent := b.commands(); len(sent) != 1 || !strings.HasPrefix(sent[0], "LIST") {
		t.Errorf("it took %q", sent)
	}
	if box := boxes["A"]; box.Epoch == "" || box.Next != 1 || box.Count != 0 {
		t.Errorf("A is %+v", box)
	}
}

func TestNothingNewIsSameAndADeltaCostsWhatChanged(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
	b.survey(nil)
	_, sc := b.scan("INBOX", plan.Since{})
	since := plan.Since{Cursor: sc.Cursor, Epoch: sc.Epoch, Known: 3}
	if box := b.survey(map[mail.MailboxName]plan.Since{"INBOX": since})["INBOX"]; box.State != plan.Same {
		t.Errorf("after a scan the state is %v: %q, %q", box.State, sc.Cursor, box.Cursor)
	}
	b.do(plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", placed[1].Ref), Add: mail.NewFlagSet(mail.Flagged)})
	if box := b.survey(map[mail.MailboxName]plan.Since{"INBOX": since})["INBOX"]; box.State != plan.Changed {
		t.Errorf("after a flag the state is %v", box.State)
	}
	b.commands()
	seen, sc2 := b.scan("INBOX", since)
	if sent := b.commands(); len(sent) != 2 || !anyContains(sent, "CHANGEDSINCE") {
		t.Errorf("it took %q", sent)
	}
	if len(seen) != 1 || sc2.Full || !sc2.Complete || sc2.Count != 3 {
		t.Errorf("seen %v, %+v", seen, sc2)
	}
	b.do(plan.Op{Kind: plan.OpDelete, From: b.at("INBOX", placed[0].Ref)})
	seen, sc3 := b.scan("INBOX", plan.Since{Cursor: sc2.Cursor, Epoch: sc2.Epoch, Known: 3})
	if len(seen) != 2 || !sc3.Full || !sc3.Complete || !seen[placed[2].Ref].NoFlags {
		t.Errorf("seen %v, %+v", seen, sc3)
	}
}

func TestMovesCarryNoBody(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{
		"full": nil, "bare": {imaptest.Bare()},
		"no MOVE": {imaptest.Capabilities("IMAP4rev1", "UIDPLUS")},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts...)
			b.create("Work")
			placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
			b.commands()
			out := b.do(
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[0].Ref), To: b.ids["Work"]},
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[1].Ref), To: b.ids["Work"]},
				plan.Op{Kind: plan.OpMove, From: b.at("INBOX", "4711"), To: b.ids["Work"]})
			sent := b.commands()
			for _, line := range sent {
				if strings.Contains(line, "BODY.PEEK[]") || strings.Contains(line, "APPEND") {
					t.Errorf("a move sent %q", line)
				}
			}
			if out[2].Result != plan.Missing {
				t.Errorf("a message that is not there: %+v", out[2])
			}
			got, err := b.bodies("Work", out[0].At.Ref, out[1].At.Ref)
			if err != nil || got[out[0].At.Ref] != message(0) || got[out[1].At.Ref] != message(1) {
				t.Errorf("%+v: %q, %v", out, got, err)
			}
			if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 0 {
				t.Errorf("left behind: %v", seen)
			}
		})
	}
}

func TestExpungeWithoutUIDPlusSparesOthers(t *testing.T) {
	b := newBench(t, imaptest.Bare())
	b.create("Work")
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
	other := b.server.Client("ann")
	if _, err := other.Select("INBOX", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	mark := &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagDeleted}}
	if err := other.Store(goimap.SeqSetNum(1), mark, nil).Close(); err != nil {
		t.Fatal(err)
	}
	out := b.do(
		plan.Op{Kind: plan.OpDelete, From: b.at("INBOX", placed[1].Ref)},
		plan.Op{Kind: plan.OpMove, From: b.at("INBOX", placed[2].Ref), To: b.ids["Work"]})
	for _, o := range out {
		if o.Result != plan.Failed || !strings.Contains(fmt.Sprint(o.Err), "expunge pending") {
			t.Errorf("%+v", o)
		}
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 3 {
		t.Errorf("%d messages are left of 3", len(seen))
	}
	if seen, _ := b.scan("Work", plan.Since{}); len(seen) != 0 {
		t.Errorf("a move that could not be finished left a copy: %v", seen)
	}
	if anyContains(b.commands(), "CLOSE") {
		t.Error("CLOSE was sent")
	}
}

func TestReadOnlyMailboxDeclines(t *testing.T) {
	b := newBench(t, imaptest.ReadOnly("Frozen"))
	file := filepath.Join(b.server.Dir, "message")
	if err := os.WriteFile(file, []byte(message(0)), 0o644); err != nil {
		t.Fatal(err)
	}
	b.server.Doveadm("-o", "mail_plugins=", "mailbox", "create", "-u", "ann", "Frozen")
	b.server.Doveadm("-o", "mail_plugins=", "save", "-u", "ann", "-m", "Frozen", file)
	b.survey(nil)
	seen, sc := b.scan("Frozen", plan.Since{})
	if sc.Rights != plan.ReadOnly || len(seen) != 1 {
		t.Errorf("%d messages, the rights are %+v", len(seen), sc.Rights)
	}
	for _, o := range b.do(
		plan.Op{Kind: plan.OpFlags, From: b.at("Frozen", "1"), Add: mail.NewFlagSet(mail.Seen)},
		plan.Op{Kind: plan.OpMove, From: b.at("Frozen", "1"), To: b.ids["INBOX"]},
		plan.Op{Kind: plan.OpDelete, From: b.at("Frozen", "1")}) {
		if o.Result != plan.Declined {
			t.Errorf("%+v", o)
		}
	}
	if placed := b.put("Frozen", incoming(0, message(1))); placed[0].Err == nil || placed[0].Unknown {
		t.Errorf("a put: %+v", placed[0])
	}
}

// A cut ends connections at chosen points: it looks at what the server sends,
// before the client sees it, and at what the client sends.
type cut struct {
	mu     sync.Mutex
	server func(p []byte) bool // true: end the connection before this
	client func(p []byte) bool
	dials  int
}

func (c *cut) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	c.mu.Lock()
	c.dials++
	c.mu.Unlock()
	return &cutConn{Conn: conn, cut: c}, err
}

type cutConn struct {
	net.Conn
	cut *cut
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.cut.mu.Lock()
	defer c.cut.mu.Unlock()
	if n > 0 && c.cut.server != nil && c.cut.server(p[:n]) {
		c.Conn.Close()
		return 0, io.EOF
	}
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.cut.mu.Lock()
	end := c.cut.client != nil && c.cut.client(p)
	c.cut.mu.Unlock()
	if end {
		c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

// once cuts at the first piece that contains text.
func once(text string) func([]byte) bool {
	done := false
	return func(p []byte) bool {
		if done || !bytes.Contains(p, []byte(text)) {
			return false
		}
		done = true
		return true
	}
}

func TestAnAppendWhoseAnswerIsLostIsFound(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{"full": nil, "bare": {imaptest.Bare()}} {
		t.Run(name, func(t *testing.T) {
			b, c := newBench(t, opts...), &cut{}
			b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
			c.mu.Lock()
			c.server = once("Append completed")
			c.mu.Unlock()
			placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
			for i, p := range placed {
				if p.Err != nil || p.Unknown || p.Ref == "" {
					t.Errorf("%d: %+v", i, p)
				}
			}
			if c.dials != 2 {
				t.Errorf("%d connections", c.dials)
			}
			if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 2 {
				t.Errorf("%d messages, want 2", len(seen))
			}
		})
	}
}

func TestAnAppendThatWasNotSentWholeIsSentAgain(t *testing.T) {
	b, c := newBench(t), &cut{}
	b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
	big := message(0) + strings.Repeat("0123456789abcdef\r\n", 20_000) + "the very end\r\n"
	c.client = once("the very end")
	placed := b.put("INBOX", incoming(0, big))
	got, err := b.bodies("INBOX", placed[0].Ref)
	if err != nil || got[placed[0].Ref] != big {
		t.Errorf("%+v: %d bytes, %v", placed[0], len(got[placed[0].Ref]), err)
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 1 {
		t.Errorf("%d messages, want 1", len(seen))
	}
}

func TestABodyThatCannotBeReadIsAFaultOfItsOwn(t *testing.T) {
	b := newBench(t)
	broken := incoming(1, "")
	broken.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader("Subject: half"), iotest.ErrReader(mail.ErrShort))), nil
	}
	placed := b.put("INBOX", incoming(0, message(0)), broken, incoming(2, message(2)))
	if placed[0].Ref == "" || !errors.Is(placed[1].Err, mail.ErrShort) || placed[2].Ref == "" {
		t.Errorf("%+v", placed)
	}
	if seen, _ := b.scan("INBOX", plan.Since{}); len(seen) != 2 {
		t.Errorf("%d messages, want 2", len(seen))
	}
}

func TestAMessageThatBreaksTheConnectionStopsNoOther(t *testing.T) {
	b, c := newBench(t), &cut{}
	b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
	var in []plan.Incoming
	for i := range 5 {
		in = append(in, incoming(i, message(i)))
	}
	placed := b.put("INBOX", in...)
	refs := make([]mail.Ref, len(placed))
	for i, p := range placed {
		refs[i] = p.Ref
	}
	c.mu.Lock()
	c.server = func(p []byte) bool { return bytes.Contains(p, []byte("\r\nbody 2\r\n")) }
	c.mu.Unlock()
	got, err := b.bodies("INBOX", append(refs, "4711")...)
	if mail.GradeOf(err, 0) != mail.GradeMessage || len(got) != 4 || got[refs[2]] != "" {
		t.Errorf("%d bodies, %v", len(got), err)
	}
	if _, _, err := b.side.Confirm(ctx, []plan.Gone{{At: b.at("INBOX", "4711")}}); err != nil {
		t.Errorf("the side is of no use after it: %v", err)
	}
}

func TestALargeMessageStreamsAndItsCutIsNamed(t *testing.T) {
	b, c := newBench(t), &cut{}
	b.connect(func(o *imap.Options) { o.Endpoint.Dialer = c.dial })
	big := message(0) + strings.Repeat("0123456789abcdef\r\n", 200_000) + "the very end\r\n"
	placed := b.put("INBOX", incoming(0, big), incoming(1, message(1)))
	refs := []mail.Ref{placed[0].Ref, placed[1].Ref}
	got, err := b.bodies("INBOX", refs...)
	if err != nil || got[refs[0]] != big {
		t.Fatalf("%d bytes of %d, %v", len(got[refs[0]]), len(big), err)
	}
	c.mu.Lock()
	c.server = once("the very end")
	c.mu.Unlock()
	var short error
	calls := 0
	err = b.side.Fetch(ctx, b.ids["INBOX"], refs, func(ref mail.Ref, _ mail.Item, r io.Reader) error {
		calls++
		_, err := io.Copy(io.Discard, r)
		if ref == refs[0] {
			short = err
		}
		return err
	})
	if !errors.Is(short, mail.ErrShort) || !errors.Is(err, mail.ErrShort) || mail.GradeOf(err, 0) != mail.GradeMessage || calls != 2 {
		t.Errorf("%d calls; the reader said %v, Fetch %v", calls, short, err)
	}
}

func TestAnErrorOfTheCallerEndsAFetch(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)))
	mine := errors.New("mine")
	calls := 0
	err := b.side.Fetch(ctx, b.ids["INBOX"], []mail.Ref{placed[0].Ref, placed[1].Ref}, func(mail.Ref, mail.Item, io.Reader) error {
		calls++
		return mine
	})
	if err != mine || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
	if got, err := b.bodies("INBOX", placed[1].Ref); err != nil || len(got) != 1 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

func TestCancellingEndsACall(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)))
	ctx, cancel := context.WithCancel(ctx)
	err := b.side.Fetch(ctx, b.ids["INBOX"], []mail.Ref{placed[0].Ref}, func(mail.Ref, mail.Item, io.Reader) error {
		cancel()
		<-ctx.Done()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if got, err := b.bodies("INBOX", placed[0].Ref); err != nil || len(got) != 1 {
		t.Errorf("afterwards: %v, %v", got, err)
	}
}

func TestAServerThatRestartsIsFoundAgain(t *testing.T) {
	b := newBench(t)
	placed := b.put("INBOX", incoming(0, message(0)))
	b.server.Restart()
	if got, err := b.bodies("INBOX", placed[0].Ref); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	b.server.Restart()
	if out := b.do(plan.Op{Kind: plan.OpFlags, From: b.at("INBOX", placed[0].Ref), Add: mail.NewFlagSet(mail.Seen)}); out[0].Result != plan.Done {
		t.Errorf("%+v", out[0])
	}
}

func TestANewUIDValidityIsNoticed(t *testing.T) {
	b := newBench(t)
	b.create("Work")
	placed := b.put("Work", incoming(0, message(0)))
	_, sc := b.scan("Work", plan.Since{})
	other := b.server.Client("ann")
	if err := other.Delete("Work").Wait(); err != nil {
		t.Fatal(err)
	}
	if err := other.Create("Work", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	b.put("INBOX", incoming(0, message(5))) // so that Work is selected anew
	out := b.do(plan.Op{Kind: plan.OpDelete, From: b.at("Work", placed[0].Ref)})
	if out[0].Result == plan.Done {
		t.Errorf("%+v", out[0])
	}
	sure, _, err := b.side.Confirm(ctx, []plan.Gone{{At: b.at("Work", placed[0].Ref)}})
	if len(sure) != 0 {
		t.Errorf("sure of %v, %v", sure, err)
	}
	_, sc2 := b.scan("Work", plan.Since{Cursor: sc.Cursor, Epoch: sc.Epoch, Known: 1})
	if sc2.Epoch == sc.Epoch || !sc2.Full {
		t.Errorf("%+v after %+v", sc2, sc)
	}
}

func TestNewMailDoesNotHoldBackLossesItCannotExplain(t *testing.T) {
	for name, opts := range map[string][]imaptest.Option{"full": nil, "bare": {imaptest.Bare()}} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, opts...)
			b.create("Work")
			placed := b.put("INBOX", incoming(0, message(0)), incoming(1, message(1)), incoming(2, message(2)))
			var gone []plan.Gone
			for i, p := range placed {
				gone = append(gone, plan.Gone{At: b.at("INBOX", p.Ref), Ident: p.Ident})
				if i < 2 {
					b.do(plan.Op{Kind: plan.OpDelete, From: gone[i].At})
				}
			}
			b.survey(nil)
			b.scan("INBOX", plan.Since{})
			other := b.server.Client("ann")
			for _, n := range []int{0, 7} { // one is equal to what is gone, one is not
				text := message(n)
				cmd := other.Append("Work", int64(len(text)), nil)
				if _, err := io.WriteString(cmd, text); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Close(); err != nil {
					t.Fatal(err)
				}
				if _, err := cmd.Wait(); err != nil {
					t.Fatal(err)
				}
			}
			sure, outside, err := b.side.Confirm(ctx, gone)
			if err != nil || len(outside) != 0 || len(sure) != 1 || sure[0] != gone[1].At {
				t.Errorf("sure of %v, outside %v, %v; want %v", sure, outside, err, gone[1].At)
			}
		})
	}
}

func TestProbe(t *testing.T) {
	s := imaptest.Dovecot(t, imaptest.Bare())
	r, err := imap.Probe(ctx, optionsFor(s, "ann"))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Mailboxes) != 1 || r.Mailboxes[0].Name != mail.Inbox || r.Separator != "/" || len(r.Lacks) == 0 {
		t.Errorf("%+v", r)
	}
	wrong := optionsFor(s, "ann")
	wrong.Password = func(context.Context) (string, error) { return "wrong", nil }
	if _, err := imap.Probe(ctx, wrong); mail.ClassOf(err) != mail.ClassAuth {
		t.Errorf("a wrong password: %v", err)
	}
}
