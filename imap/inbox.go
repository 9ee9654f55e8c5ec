package imap

import (
	"io"
	"math/bits"
	"sync"

	"github.com/godwit-mail/godwit/imap/wire"
)

// maxWaiting is how many bytes of messages a connection reads ahead of those
// who take them.
const maxWaiting = 4 << 20

// maxIdle is how many bytes of buffers without a message are kept.
const maxIdle = 2 << 20

// An arrival is one message, or the end of the answers to one FETCH.
type arrival struct {
	of   *asked
	over bool
	msg  wire.Message
	size int64
	// One of these is the body: what was read to its end, or what is still
	// coming and must be given back with gone.
	held  []byte
	sp    *spool
	live  io.Reader
	taken chan struct{} // of live: closed when it was read
	err   error         // of the disk, in place of a body
}

// An inbox is where the bodies of a session arrive: the goroutine that reads
// the connection puts them in, and waits where too much has not been taken
// out; the goroutine that asked takes them out, in the order they came.
type inbox struct {
	arrivals chan arrival
	quit     chan struct{} // closed when nobody takes anything out any more
	once     sync.Once
	room     chan struct{} // told that held has become less

	mu   sync.Mutex
	held int64 // bytes of messages read and not yet let go
	idle [maxHeldBits + 1][][]byte
	kept int64 // bytes in idle
}

// maxHeldBits is the class of buffers that hold messages of maxHeld bytes.
const maxHeldBits = 20

func newInbox() *inbox {
	return &inbox{arrivals: make(chan arrival, 256), quit: make(chan struct{}), room: make(chan struct{}, 1)}
}

// close lets go of the goroutine that reads.
func (in *inbox) close() { in.once.Do(func() { close(in.quit) }) }

// put hands over an arrival; false if nobody wants it any more.
func (in *inbox) put(a arrival) bool {
	select {
	case in.arrivals <- a:
		return true
	case <-in.quit:
		return false
	}
}

// next waits for the next arrival; false if the connection ended before.
func (in *inbox) next(ended <-chan struct{}) (arrival, bool) {
	select {
	case a := <-in.arrivals:
		return a, true
	default:
	}
	select {
	case a := <-in.arrivals:
		return a, true
	case <-ended:
	}
	// Nobody puts anything in any more.
	select {
	case a := <-in.arrivals:
		return a, true
	default:
		return arrival{}, false
	}
}

// buffer gives room for a message of size bytes once there is; nil if nobody
// wants it any more.
func (in *inbox) buffer(size int64) []byte {
	class := bits.Len64(uint64(max(size, 1<<12) - 1))
	for {
		in.mu.Lock()
		if in.held == 0 || in.held+size <= maxWaiting {
			in.held += size
			defer in.mu.Unlock()
			if n := len(in.idle[class]); n > 0 {
				b := in.idle[class][n-1]
				in.idle[class] = in.idle[class][:n-1]
				in.kept -= int64(cap(b))
				return b[:size]
			}
			return make([]byte, size, 1<<class)
		}
		in.mu.Unlock()
		select {
		case <-in.room:
		case <-in.quit:
			return nil
		}
	}
}

// free takes a buffer back.
func (in *inbox) free(b []byte) {
	in.mu.Lock()
	in.held -= int64(len(b))
	if in.kept+int64(cap(b)) <= maxIdle {
		class := bits.Len64(uint64(cap(b) - 1))
		in.idle[class] = append(in.idle[class], b)
		in.kept += int64(cap(b))
	}
	in.mu.Unlock()
	select {
	case in.room <- struct{}{}:
	default:
	}
}

// done lets go of an arrival.
func (in *inbox) done(a *arrival) {
	switch {
	case a.held != nil:
		in.free(a.held)
	case a.sp != nil:
		a.sp.close()
	case a.live != nil:
		close(a.taken)
	}
	a.held, a.sp, a.live = nil, nil, nil
}

// empty lets go of what arrived and was not taken out. Nothing is put in any more.
func (in *inbox) empty() {
	for {
		select {
		case a := <-in.arrivals:
			in.done(&a)
		default:
			return
		}
	}
}
