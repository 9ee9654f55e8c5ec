package imap_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

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
	if change != nil {
		change(&opt)
	}
	b.connectTo(opt)
}

// connectTo opens the side on any server, and records what is sent.
func (b *bench) connectTo(opt imap.Options) {
	b.Helper()
	opt.Trace = func(dir, line string) {
		if dir == "C" {
			b.mu.Lock()
			_, cmd, _ := strings.Cut(line, " ")
			b.sent = append(b.sent, cmd)
			b.mu.Unlock()
		}
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
