package maildir

import (
	"context"
	"path"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A settleIndex notes in the record of calls when the index settles.
type settleIndex struct {
	engine.Index
	x *tap
}

func (i settleIndex) Settle(ctx context.Context, s *plan.Settlement) error {
	i.x.mu.Lock()
	i.x.calls = append(i.x.calls, tapped{"settle", ""})
	i.x.mu.Unlock()
	return i.Index.Settle(ctx, s)
}

// A ledger is what a power cut would take away at some point of a run.
type ledger struct {
	bytes  map[string]bool   // files with bytes that are not durable
	names  map[string]string // directories with entries that are not durable, by the last change
	checks map[string]int
	wrong  map[string]string // what is wrong, with an example
}

func newLedger(calls []tapped) *ledger {
	l := &ledger{bytes: map[string]bool{}, names: map[string]string{}, checks: map[string]int{}, wrong: map[string]string{}}
	for _, c := range calls {
		l.seen(c)
	}
	return l
}

func inTmp(p string) bool { return path.Base(path.Dir(p)) == "tmp" }

// seen accounts for one call.
func (l *ledger) seen(c tapped) {
	from, to, _ := strings.Cut(c.path, arrow)
	switch c.call {
	case "write", "truncate":
		l.bytes[c.path] = true
	case "sync":
		delete(l.bytes, c.path)
	case "sync the file system of":
		clear(l.bytes)
	case "sync directory":
		delete(l.names, c.path)
	case "create", "mkdir":
		l.changed(c, c.path)
	case "link":
		l.checks["linked"]++
		l.renamed(c, from, to)
	case "remove":
		delete(l.bytes, c.path)
		delete(l.names, c.path)
		if path.Base(c.path) != keywordsLock { // if it comes back, our sign in it tells
			l.changed(c, c.path)
		}
	case "rename":
		l.renamed(c, from, to)
	case "settle":
		l.checks["settle"]++
		for file := range l.bytes {
			if !inTmp(file) {
				l.wrong["the index settles while bytes are not durable"] = file
			}
		}
		for dir, why := range l.names {
			l.wrong["the index settles while entries are not durable"] = dir + " after " + why
		}
	}
}

func (l *ledger) changed(c tapped, p string) {
	if !inTmp(p) {
		l.names[path.Dir(p)] = c.call + " " + c.path
	}
}

func (l *ledger) renamed(c tapped, from, to string) {
	if l.bytes[from] && !inTmp(to) {
		l.wrong["a file gets its name before its bytes are durable"] = to
	}
	delete(l.bytes, from)
	if dir, name := path.Dir(to), path.Base(to); path.Base(dir) == "cur" {
		l.checks["placed"]++
		flags, _ := letters(name[len(keyOf(name)):])
		box := path.Dir(dir)
		if why, dirty := l.names[box]; dirty && strings.ContainsAny(flags, "abcdefghijklmnopqrstuvwxyz") {
			l.wrong["a file bears a letter before the table is durable"] = to + " after " + why
		} else if strings.ContainsAny(flags, "abcdefghijklmnopqrstuvwxyz") {
			l.checks["letter"]++
		}
	}
	if path.Base(to) == keywordsFile {
		l.checks["table"]++
	}
	if path.Base(to) != keywordsLock {
		l.changed(c, from)
		l.changed(c, to)
	}
}

func keyOf(name string) string {
	key, _ := splitName(name)
	return key
}

// TestOrder: whatever the index is told, the disk has it for good already:
// bytes are durable before a file is seen, its directory before the index
// settles, a keyword's letter before a file bears it, the marker before the
// index says so. Without fsync, nothing is synced at all.
func TestOrder(t *testing.T) { bothWays(t, testOrder) }

func testOrder(t *testing.T, by way) {
	for _, layout := range []Layout{FS, PlusPlus} {
		a, _ := eventful(t, by(Options{FSync: true, Layout: layout}))
		x := &tap{}
		a.change = func(o *engine.Options) { o.Index = settleIndex{o.Index, x} }
		if rep, err := a.run(x); err != nil || rep.Exit() != 0 {
			t.Fatalf("%v, %v", err, rep.Faults)
		}
		l := newLedger(x.calls)
		for what, example := range l.wrong {
			t.Errorf("%s: %s: %s", layout, what, example)
		}
		for _, what := range []string{"settle", "placed", "letter", "table"} {
			if l.checks[what] == 0 {
				t.Errorf("%s: nothing was checked: %s", layout, what)
			}
		}
	}
	a, _ := eventful(t, by(Options{}))
	x := &tap{}
	a.change = func(o *engine.Options) { o.Index = settleIndex{o.Index, x} }
	if rep, err := a.run(x); err != nil || rep.Exit() != 0 {
		t.Fatalf("%v, %v", err, rep.Faults)
	}
	if l := newLedger(x.calls); len(l.wrong) != 4 {
		t.Errorf("the ledger sees no more amiss without fsync than: %v", l.wrong)
	}
	for _, c := range x.calls {
		if strings.HasPrefix(c.call, "sync") {
			t.Errorf("without fsync: %s %s", c.call, c.path)
		}
	}
}
