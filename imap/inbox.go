package imap

import (
	"io"
	"slices"
	"sync"

	"github.com/godwit-mail/godwit/imap/wire"
)

// maxWaiting is how many bytes of messages a connection reads ahead of those
// who take them: a few of the largest. More waits in the kernel, which holds
// what a link has under way.
const maxWaiting = 2 * maxHeld

// An arrival is one message, or the end of the answers to one FETCH.
type arrival struct {
	of   *asked
	over bool
	msg  wire.Message
	size int64
	// One of these is the body: what was read to its end, or what is still
	// coming and must be given back with gone.
	held  *lot
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
	room     chan struct{} // told that a lot was let go

	most int // how many bytes wait: maxWaiting, or maxHeld where others take part

	mu   sync.Mutex
	ring []byte // made for the first body
	lots []*lot // that are not free, and those behind one that is not, by age
}

// A lot is the part of the ring in which a message lies. It is whole: what
// does not fit behind the youngest lot begins at the beginning.
type lot struct {
	from, to int
	bytes    []byte
	free     bool
}

func newInbox() *inbox {
	return &inbox{most: maxWaiting, arrivals: make(chan arrival, 256), quit: make(chan struct{}), room: make(chan struct{}, 1)}
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
	if a, ok := in.take(); ok {
		return a, true
	}
	select {
	case a := <-in.arrivals:
		return a, true
	case <-ended:
	}
	return in.take() // nobody puts anything in any more
}

// take is next for what has arrived already.
func (in *inbox) take() (arrival, bool) {
	select {
	case a := <-in.arrivals:
		return a, true
	default:
		return arrival{}, false
	}
}

// buffer gives room for a message of size bytes, at most maxHeld, once there
// is; nil if nobody wants it any more.
func (in *inbox) buffer(size int64) *lot {
	for {
		if l := in.lot(int(size)); l != nil {
			return l
		}
		select {
		case <-in.room:
		case <-in.quit:
			return nil
		}
	}
}

// lot takes size bytes of the ring, if they are free.
func (in *inbox) lot(size int) *lot {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.ring == nil {
		in.ring = make([]byte, in.most)
	}
	from, end := 0, len(in.ring)
	if n := len(in.lots); n > 0 {
		oldest, youngest := in.lots[0].from, in.lots[n-1].to
		switch {
		case youngest <= oldest: // it has come round
			from, end = youngest, oldest
		case youngest+size <= len(in.ring):
			from = youngest
		default:
			end = oldest
		}
	}
	if from+size > end {
		return nil
	}
	l := &lot{from: from, to: from + size, bytes: in.ring[from : from+size : from+size]}
	in.lots = append(in.lots, l)
	return l
}

// free gives a lot back.
func (in *inbox) free(l *lot) {
	in.mu.Lock()
	l.free = true
	n := 0
	for n < len(in.lots) && in.lots[n].free {
		n++
	}
	in.lots = slices.Delete(in.lots, 0, n)
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
		a, ok := in.take()
		if !ok {
			return
		}
		in.done(&a)
	}
}
