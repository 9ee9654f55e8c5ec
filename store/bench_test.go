package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// mailboxOf makes a mailbox pair and n paired messages in it, as a first sync
// does: 1000 a settlement.
func mailboxOf(tb testing.TB, s *Store, n int) mail.BoxID {
	tb.Helper()
	box := pair("INBOX")
	settle(tb, s, &plan.Settlement{Boxes: []*plan.BoxRecord{box}})
	for i := 0; i < n; {
		var st plan.Settlement
		for ; len(st.Put) < 1000 && i < n; i++ {
			st.Put = append(st.Put, generated(box.ID, i))
		}
		settle(tb, s, &st)
	}
	return box.ID
}

// generated is a message as it is after a first pull: LF on disk, so that
// the wire digests differ.
func generated(box mail.BoxID, i int) *plan.Row {
	digest := func(what string) mail.Digest { return sha256.Sum256(fmt.Appendf(nil, "%s %d", what, i)) }
	local := mail.Identity{Size: int64(2000 + i%5000), Light: digest("light"), Header: digest("header"), Body: digest("body"), Wire: digest("lf")}
	remote := local
	remote.Wire = digest("crlf")
	r := &plan.Row{
		At: [2]plan.Place{
			plan.Local:  {Box: box, Ref: mail.Ref(fmt.Sprintf("1763640000.M%06dP4242Q%d.host", i, i))},
			plan.Remote: {Box: box, Ref: mail.Ref(fmt.Sprint(i + 1))},
		},
		Epoch: [2]string{"1", "1763640000"},
		Ident: [2]mail.Identity{local, remote},
		Stat:  fmt.Sprintf("%d-%d-%d", 1000000+i, 2000+i%5000, 1763640000000000000+i),
		Date:  time.Unix(1700000000+int64(i), 0).In(time.FixedZone("", 3600)),
	}
	if i%3 > 0 {
		r.Flags = [2]mail.FlagSet{mail.NewFlagSet(mail.Seen), mail.NewFlagSet(mail.Seen)}
	}
	return r
}

const manyMessages = 100_000

// BenchmarkSettle tells rows a second, new and then changed.
func BenchmarkSettle(b *testing.B) {
	for b.Loop() {
		s := open(b, b.TempDir())
		began := time.Now()
		box := mailboxOf(b, s, manyMessages)
		b.ReportMetric(manyMessages/time.Since(began).Seconds(), "new/s")

		began = time.Now()
		for i := 0; i < manyMessages; i += 1000 {
			var st plan.Settlement
			for j := i; j < i+1000; j++ {
				r := generated(box, j)
				r.ID = int64(j + 1)
				r.Flags[plan.Remote] = mail.NewFlagSet(mail.Seen, mail.Flagged)
				st.Put = append(st.Put, r)
			}
			settle(b, s, &st)
		}
		b.ReportMetric(manyMessages/time.Since(began).Seconds(), "changed/s")
	}
}

// BenchmarkKnown reads a mailbox of 100,000 messages for a full comparison.
func BenchmarkKnown(b *testing.B) {
	s := open(b, b.TempDir())
	box := mailboxOf(b, s, manyMessages)
	for _, side := range plan.Sides {
		b.Run(side.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				err := s.Known(context.Background(), side, box, func(plan.Known) error { n++; return nil })
				if err != nil || n != manyMessages {
					b.Fatalf("%d messages, %v", n, err)
				}
			}
		})
	}
	b.Run("boxes", func(b *testing.B) {
		for b.Loop() {
			if _, err := s.Boxes(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("rows", func(b *testing.B) {
		for b.Loop() {
			if rows, err := s.RowsIn(context.Background(), box); err != nil || len(rows) != manyMessages {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBegin tells intents a second, 1000 a transaction, each done in the next.
func BenchmarkBegin(b *testing.B) {
	for b.Loop() {
		s := open(b, b.TempDir())
		box := mailboxOf(b, s, 0)
		began := time.Now()
		var st plan.Settlement
		for i := range manyMessages {
			r := generated(box, i)
			st.Begin = append(st.Begin, plan.Intent{Kind: plan.IntentPut, To: box, From: r.At[plan.Remote], FromEpoch: "1", At: r.Date,
				Item: mail.Item{Date: r.Date, Ident: mail.Identity{Size: r.Ident[0].Size}, Token: "0123456789abcdef0123456789abcdef"}})
			if len(st.Begin) == 1000 {
				settle(b, s, &st)
				done := make([]int64, 1000)
				for k := range done {
					done[k] = st.Begin[k].ID
				}
				st = plan.Settlement{Done: done}
			}
		}
		b.ReportMetric(manyMessages/time.Since(began).Seconds(), "intents/s")
	}
}

// BenchmarkEvents tells lines of the log a second, 1000 a transaction.
func BenchmarkEvents(b *testing.B) {
	for b.Loop() {
		s := open(b, b.TempDir())
		began := time.Now()
		var st plan.Settlement
		for i := range manyMessages {
			r := generated(1, i)
			st.Events = append(st.Events, plan.Event{At: r.Date, Verb: "copied", Mailbox: "INBOX", Row: int64(i), Ident: r.Ident[0].Body, MessageID: "<0123456789@example.org>", Text: "new on the server"})
			if len(st.Events) == 1000 {
				settle(b, s, &st)
				st = plan.Settlement{}
			}
		}
		b.ReportMetric(manyMessages/time.Since(began).Seconds(), "events/s")
	}
}

// BenchmarkPull tells what a first pull costs the index: with each chunk of
// 1000 go the rows of the one before, their intents and their events.
func BenchmarkPull(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		s := open(b, b.TempDir())
		box := mailboxOf(b, s, 0)
		chunks := make([]plan.Settlement, 20)
		for i := range chunks {
			for k := range 1000 {
				r := generated(box, 1000*i+k)
				chunks[i].Put = append(chunks[i].Put, r)
				chunks[i].Begin = append(chunks[i].Begin, plan.Intent{Kind: plan.IntentPut, To: box, From: r.At[plan.Remote], FromEpoch: "1", At: r.Date,
					Item: mail.Item{Flags: r.Flags[plan.Remote], Date: r.Date, Ident: mail.Identity{Size: r.Ident[0].Size}, Token: "0123456789abcdef0123456789abcdef"}})
				chunks[i].Events = append(chunks[i].Events, plan.Event{At: r.Date, Verb: "copied", Mailbox: "INBOX", Ident: r.Ident[0].Body,
					MessageID: fmt.Sprintf("<%d@example.org>", i), Text: "new on the server"})
			}
		}
		before := cpuTime()
		var due plan.Settlement
		for i := range chunks {
			due.Begin = chunks[i].Begin
			settle(b, s, &due)
			due = plan.Settlement{Put: chunks[i].Put, Events: chunks[i].Events}
			for _, in := range chunks[i].Begin {
				due.Done = append(due.Done, in.ID)
			}
		}
		settle(b, s, &due)
		b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/20_000, "cpu-ns/message")
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen opens, reads what every run reads, and closes.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	s := must[*Store](b)(Open(context.Background(), dir))
	mailboxOf(b, s, 20_000)
	_ = s.Close()
	b.ReportAllocs()
	for b.Loop() {
		s, err := Open(context.Background(), dir)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Boxes(context.Background()); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
