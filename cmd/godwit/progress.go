package main

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/godwit-mail/godwit/sync/engine"
)

// A progress shows on a terminal how far the copying of one account is:
// messages, bytes, rate and the time that is left.
type progress struct {
	out      *printer
	account  string
	display  *mpb.Progress
	bar      *mpb.Bar
	messages int
	copied   atomic.Int64 // read by the display's own goroutine
}

// terminal is standard output if it is a terminal.
func (a *app) terminal() *os.File {
	f, ok := a.stdout.(*os.File)
	if !ok || a.json || a.quiet || !term.IsTerminal(int(f.Fd())) || a.env("TERM") == "dumb" {
		return nil
	}
	return f
}

// newProgress gives nil where nothing is to be shown; its methods do nothing
// then.
func (a *app) newProgress(account string) *progress {
	if a.terminal() == nil {
		return nil
	}
	return &progress{out: a.out, account: account}
}

func (p *progress) event(e engine.Event) {
	if p == nil || e.Planned {
		return
	}
	switch {
	case e.Kind == engine.Totals && e.Messages > 0:
		p.end() // a backup follows a sync
		p.begin(e)
	case e.Kind == engine.Action && e.Verb == engine.VerbCopied && p.bar != nil:
		p.copied.Add(1)
		size := e.Size
		if size <= 0 {
			size = 1
		}
		p.bar.IncrInt64(size)
	}
}

func (p *progress) begin(e engine.Event) {
	p.messages = e.Messages
	p.copied.Store(0)
	what := clean(p.account) + " "
	if isBackup(e) {
		what += "backup "
	}
	total := max(e.Bytes, int64(e.Messages))
	p.display = mpb.New(mpb.WithOutput(p.out.app.stdout), mpb.WithWidth(40))
	p.bar = p.display.AddBar(total,
		mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(
			decor.Name(what),
			decor.Any(func(decor.Statistics) string {
				return fmt.Sprintf("%d of %s ", p.copied.Load(), count(p.messages, "message"))
			}),
		),
		mpb.AppendDecorators(
			decor.CountersKiloByte("% .1f of % .1f "),
			decor.AverageSpeed(decor.SizeB1000(0), "% .1f "),
			decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 6}),
		),
	)
	p.out.through(p.display)
}

// end takes the display away.
func (p *progress) end() {
	if p == nil || p.bar == nil {
		return
	}
	p.out.through(nil)
	p.bar.Abort(true)
	p.display.Wait()
	p.bar = nil
}
