package maildir

import (
	"bytes"
	"fmt"
	"io"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A pull is a first pull as a Maildir sees it: messages of 15 kB in batches.
type pull struct {
	body  []byte
	total int
	batch int
}

func newPull(total int) *pull {
	var b bytes.Buffer
	for _, name := range []string{"Received", "Received", "DKIM-Signature", "X-Spam", "From", "To", "Subject", "Message-ID", "Date", "MIME-Version", "Content-Type"} {
		fmt.Fprintf(&b, "%s: %060d\r\n %060d\r\n", name, 1, 2)
	}
	b.WriteString("\r\n")
	for b.Len() < 15000 {
		fmt.Fprintf(&b, "%074d\r\n", b.Len())
	}
	return &pull{body: b.Bytes(), total: total, batch: 1000}
}

// fill adds the messages of one batch.
func (p *pull) fill(b *testing.B, m *Maildir, from int) Batch {
	b.Helper()
	put, err := m.Put(b.Context(), 1)
	if err != nil {
		b.Fatal(err)
	}
	for i := range min(p.batch, p.total-from) {
		item := mail.Item{
			Token: mail.Token("bench", mail.Inbox, "1", mail.Ref(fmt.Sprint(from+i))), Date: firstDay.Add(time.Duration(from+i) * time.Minute),
			Flags: mail.NewFlagSet(mail.Seen), Ident: mail.Identity{Size: int64(len(p.body))},
		}
		err := put.Add(b.Context(), plan.Incoming{Tag: i, Item: item, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(p.body)), nil
		}})
		if err != nil {
			b.Fatal(err)
		}
	}
	return put
}

func commit(b *testing.B, put Batch) {
	placed, err := put.Commit(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, p := range placed {
		if p.Err != nil {
			b.Fatal(p.Err)
		}
	}
}

// BenchmarkDelivery delivers 20,000 messages of 15 kB into a fresh mailbox, in
// batches of 1,000, one after the other or each filled while the one before it
// is committed.
func BenchmarkDelivery(b *testing.B) {
	for _, fsync := range []bool{true, false} {
		for _, overlap := range []bool{false, true} {
			b.Run(fmt.Sprintf("fsync=%v/overlap=%v", fsync, overlap), func(b *testing.B) {
				p := newPull(20000)
				b.SetBytes(int64(p.total * len(p.body)))
				b.ReportAllocs()
				began, runs := spentCPU(b), 0
				for b.Loop() {
					runs++
					m, err := Open(b.Context(), Options{Root: b.TempDir() + "/mail", FSync: fsync})
					if err != nil {
						b.Fatal(err)
					}
					if _, err := m.Create(b.Context(), mail.Inbox); err != nil {
						b.Fatal(err)
					}
					m.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
					p.deliver(b, m, overlap)
				}
				b.ReportMetric(float64((spentCPU(b)-began).Microseconds())/float64(runs*p.total), "cpu-µs/message")
			})
		}
	}
}

func (p *pull) deliver(b *testing.B, m *Maildir, overlap bool) {
	done := make(chan struct{})
	close(done)
	for from := 0; from < p.total; from += p.batch {
		put := p.fill(b, m, from)
		<-done
		next := make(chan struct{})
		done = next
		finish := func() {
			defer close(next)
			commit(b, put)
		}
		if overlap {
			go finish()
		} else {
			finish()
		}
	}
	<-done
}

// spentCPU is what this process has used.
func spentCPU(b *testing.B) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkLargeMailbox looks at a mailbox of 100,000 messages: which keys it
// holds, a listing, and a scan with a look at every file.
func BenchmarkLargeMailbox(b *testing.B) {
	m, err := Open(b.Context(), Options{Root: b.TempDir() + "/mail"})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := m.Create(b.Context(), mail.Inbox); err != nil {
		b.Fatal(err)
	}
	m.Bind(map[mail.BoxID]mail.MailboxName{1: mail.Inbox})
	box, err := m.mailbox(b.Context(), mail.Inbox)
	if err != nil {
		b.Fatal(err)
	}
	f, err := m.open(box)
	if err != nil {
		b.Fatal(err)
	}
	defer f.close()
	for i := range 100000 {
		name := tokenKey(firstDay.Add(time.Duration(i)*time.Minute), mail.Token("bench", mail.Inbox, "1", mail.Ref(fmt.Sprint(i)))) + ":2,S"
		file, err := f.cur.create(name)
		if err != nil {
			b.Fatal(err)
		}
		if err := file.Close(); err != nil {
			b.Fatal(err)
		}
	}
	look := func(what string, do func() error) {
		b.Run(what, func(b *testing.B) {
			b.ReportAllocs()
			began, runs := spentCPU(b), 0
			for b.Loop() {
				runs++
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64((spentCPU(b)-began).Microseconds())/float64(runs)/1000, "cpu-ms/op")
		})
	}
	look("keys", func() error { _, err := f.glance(nil); return err })
	look("listing", func() error { _, err := f.once(); return err })
	look("scan", func() error {
		_, err := m.Scan(b.Context(), 1, plan.Since{}, func(plan.Seen) error { return nil })
		return err
	})
}
