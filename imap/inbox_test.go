package imap

import (
	"math/rand/v2"
	"testing"
)

// TestInboxHoldsWhatWaits lets a reader run ahead of one who checks that no
// message lies where another does that was not let go, up to the largest, and
// that a full ring makes the reader wait.
func TestInboxHoldsWhatWaits(t *testing.T) {
	in, rng := newInbox(), rand.New(rand.NewPCG(1, 2))
	sizes := make([]int64, 500)
	for i := range sizes {
		switch rng.IntN(20) {
		case 0:
			sizes[i] = maxHeld
		case 1:
			sizes[i] = 0
		case 2:
			sizes[i] = rng.Int64N(maxHeld)
		default:
			sizes[i] = rng.Int64N(20_000)
		}
	}
	mark := func(i int) byte { return byte(i%251 + 1) }
	read := make(chan struct{})
	go func() {
		defer close(read)
		for i, size := range sizes {
			l := in.buffer(size)
			if l == nil {
				t.Error("there was no room")
				return
			}
			for k := range l.bytes {
				l.bytes[k] = mark(i)
			}
			in.put(arrival{held: l, size: size})
		}
	}()
	for i, size := range sizes {
		a, ok := in.next(read)
		if !ok || int64(len(a.held.bytes)) != size {
			t.Fatalf("message %d is not what it was: %v", i, a)
		}
		for k, b := range a.held.bytes {
			if b != mark(i) {
				t.Fatalf("byte %d of message %d is %d, want %d", k, i, b, mark(i))
			}
		}
		in.done(&a)
	}
	<-read
	if len(in.lots) != 0 || len(in.ring) != maxWaiting {
		t.Errorf("%d lots are left in a ring of %d bytes", len(in.lots), len(in.ring))
	}
}

// TestInboxIsBounded fills an inbox: there is room again when the oldest has
// been let go, whatever was let go before, and none when nobody wants any.
func TestInboxIsBounded(t *testing.T) {
	in := newInbox()
	a, b := in.lot(maxWaiting/2), in.lot(maxWaiting/2)
	if a == nil || b == nil || in.lot(1) != nil {
		t.Fatalf("%v and %v are not all there is room for", a, b)
	}
	in.free(b)
	if in.lot(1) != nil {
		t.Error("there is room before the oldest")
	}
	in.free(a)
	if l := in.buffer(maxHeld); l == nil || l.from != 0 {
		t.Errorf("an empty inbox gives %v", l)
	}
	_ = in.lot(maxHeld)
	in.close()
	<-in.room
	if l := in.buffer(maxHeld); l != nil {
		t.Errorf("a closed inbox gives %v", l)
	}
}
