package engine_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

type nulls struct {
	engine.Writer
	n int
	at func(n int)
}
type nullBatch struct { w *nulls; placed []plan.Placed }
func (w *nulls) Put(ctx context.Context, box mail.BoxID) (engine.Batch, error) { return &nullBatch{w: w}, nil }
func (b *nullBatch) Add(ctx context.Context, in plan.Incoming) error {
	b.placed = append(b.placed, plan.Placed{Tag: in.Tag, Ref: mail.Ref("1700000000."+in.Item.Token+".godwit"), Epoch: "maildir", Flags: in.Item.Flags, Stat: fmt.Sprint(b.w.n, "-1234-1234"), Ident: mail.Identity{Size: 1}})
	b.placed[len(b.placed)-1].Ident.Body[0] = 1
	b.w.n++
	b.w.at(b.w.n)
	return nil
}
func (b *nullBatch) Commit(ctx context.Context) ([]plan.Placed, error) { return b.placed, nil }
func (b *nullBatch) Abort() {}

func TestHeap(t *testing.T) {
	w := newWorld()
	const N = 20000
	for i := range N {
		w.remote.Deliver("INBOX", "Subject: x\r\n\r\n", mail.NewFlagSet(mail.Seen), day)
		_ = i
	}
	var m runtime.MemStats
	heap := func(what string) {
		if os.Getenv("GP") != "" { runtime.GC() }
		runtime.ReadMemStats(&m)
		t.Logf("%s: %d KB live, total %d MB", what, m.HeapAlloc>>10, m.TotalAlloc>>20)
		f, _ := os.Create("/tmp/gp/" + what)
		pprof.Lookup("heap").WriteTo(f, 0)
		f.Close()
	}
	heap("before")
	s, err := store.Open(context.Background(), t.TempDir()+"/x.db")
	if err != nil { t.Fatal(err) }
	base := w.local.Open()
	o := w.opts
	o.Local = &nulls{Writer: base, at: func(n int) {
		if n == 10 || n == N/2 || n == N { heap(fmt.Sprint("at", n)) }
	}}
	o.Remote, o.Index = w.remote.Open(), s
	o.Scope = func(mail.MailboxName, mail.Role) bool { return true }
	o.Clock = time.Now
	o.Observer = func(e engine.Event) {
		if e.Kind == engine.PhaseBegun { heap(fmt.Sprint("phase", e.Phase)) }
	}
	_ = sidetest.Maildir
	rep, err := engine.Run(context.Background(), o)
	t.Log(rep.Copied, err)
	heap("end")
}
