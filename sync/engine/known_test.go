package engine

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// someKnown are n messages of every shape that a set has to keep apart.
func someKnown(n int) []plan.Known {
	flags := []mail.FlagSet{{}, mail.NewFlagSet(mail.Seen), mail.NewFlagSet(mail.Seen, "$Work")}
	list := make([]plan.Known, n)
	for i := range list {
		list[i] = plan.Known{Row: int64(i + 7), Ref: mail.Ref(fmt.Sprintf("1763640000.M%06dP4242Q%d.host", i, i)), Flags: flags[i%3], Stat: fmt.Sprintf("%d-%d-%d", 1000000+i, 2000+i%5000, 1763640000000000000+i)}
	}
	return list
}

func TestKnownSetGivesWhatItWasGiven(t *testing.T) {
	list := someKnown(5000)
	list[17].Stat = ""
	list[18].Ref = "\xff no text" // the name of a file need not be UTF-8
	list[19].Ref = mail.Ref(strings.Repeat("x", 2*knownBlock))
	s := newKnownSet(0)
	for _, k := range list {
		s.add(k)
	}
	if _, _, ok := s.take("none of them", ""); ok {
		t.Error("it has what it was never given")
	}
	for i := 0; i < len(list); i += 2 {
		want := list[i]
		want.Stat = ""
		if k, marked, ok := s.take(list[i].Ref, list[i].Stat); !ok || !marked || k != want {
			t.Fatalf("got %v, %v, %v, want %v", k, marked, ok, want)
		}
		if _, marked, again := s.take(list[i].Ref, list[i].Stat+"1"); again || marked {
			t.Fatalf("%q is taken twice, or with another mark", list[i].Ref)
		}
	}
	var left []plan.Known
	s.unmet(func(k plan.Known) { left = append(left, k) })
	want := slices.DeleteFunc(slices.Clone(list), func(k plan.Known) bool { return k.Row%2 == list[0].Row%2 })
	for i := range want {
		want[i].Stat = ""
	}
	if !slices.Equal(left, want) {
		t.Errorf("%d were not met, want %d, in their order", len(left), len(want))
	}
}

// TestKnownSetIsSmall holds the promise of memory that does not grow by more
// than some 100 bytes a message.
func TestKnownSetIsSmall(t *testing.T) {
	const n = 50_000
	list := someKnown(n)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	s := newKnownSet(n)
	for _, k := range list {
		s.add(k)
	}
	s.take(list[0].Ref, "")
	after := heap()
	runtime.KeepAlive(s)
	runtime.KeepAlive(list)
	if each := (after - before) / n; each > 110 {
		t.Errorf("a message takes %d bytes", each)
	}
}
