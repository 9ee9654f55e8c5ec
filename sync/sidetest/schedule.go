package sidetest

import (
	"slices"
	"sync"
)

// A Schedule decides in which order the steps of goroutines that work at once
// happen, so that a test can go through the orders and repeat one. A step
// that begins waits in it; whenever everything waits, one step goes on.
// It needs a bubble (package synctest), which tells when everything waits.
type Schedule struct {
	// Pick chooses one of the names of the steps that wait, which are sorted.
	Pick func(waiting []string) int

	mu      sync.Mutex
	waiting []waiter
	more    chan struct{} // a step began to wait; holds one
}

type waiter struct {
	name string
	gate chan struct{}
}

// NewSchedule makes one that picks by pick.
func NewSchedule(pick func(waiting []string) int) *Schedule {
	return &Schedule{Pick: pick, more: make(chan struct{}, 1)}
}

// Begin waits until it is the turn of a step of that name. It is meant for
// Faults.Begin.
func (s *Schedule) Begin(name string) {
	w := waiter{name, make(chan struct{})}
	s.mu.Lock()
	at, _ := slices.BinarySearchFunc(s.waiting, name, func(w waiter, name string) int {
		if w.name < name {
			return -1
		}
		return 1
	})
	s.waiting = slices.Insert(s.waiting, max(at, 0), w)
	s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	<-w.gate
}

// Run lets the steps that wait go on, one by one, until over is closed. wait
// is synctest.Wait.
func (s *Schedule) Run(wait func(), over <-chan struct{}) {
	for {
		select {
		case <-over:
			return
		case <-s.more:
		}
		for wait(); s.release(); wait() {
		}
	}
}

// release lets one step go on, if any waits.
func (s *Schedule) release() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return false
	}
	names := make([]string, len(s.waiting))
	for i, w := range s.waiting {
		names[i] = w.name
	}
	i := s.Pick(names)
	close(s.waiting[i].gate)
	s.waiting = slices.Delete(s.waiting, i, i+1)
	return true
}
