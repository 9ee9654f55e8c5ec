package worker

import (
	"errors"
	"net"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A pace is how long to wait after the first failure of a row, and at most.
type pace struct{ first, most time.Duration }

// paceOf says how patient each kind of trouble asks one to be. What a person
// has to mend is tried seldom; a wrong password most of all, since servers
// lock accounts.
func paceOf(c mail.Class) pace {
	switch c {
	case mail.ClassAuth:
		return pace{10 * time.Minute, 6 * time.Hour}
	case mail.ClassTLS:
		return pace{time.Minute, time.Hour}
	case mail.ClassNetwork:
		return pace{2 * time.Second, 5 * time.Minute}
	case mail.ClassThrottle:
		return pace{time.Minute, time.Hour}
	case mail.ClassQuota:
		return pace{15 * time.Minute, 6 * time.Hour}
	case mail.ClassConfig:
		return pace{time.Hour, 6 * time.Hour}
	case mail.ClassLocal:
		return pace{10 * time.Second, 15 * time.Minute}
	}
	return pace{15 * time.Second, 15 * time.Minute}
}

// unreachedMost is the longest pause where no connection came about at all: to
// try costs nobody much, and a network far away comes back without a sign here.
const unreachedMost = time.Minute

// unreached tells whether an error is that of a connection that did not come
// about.
func unreached(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &dns)
}

// A Waiter is an error that knows how long it asks to be left alone: a server
// that throttles.
type Waiter interface{ Wait() time.Duration }

// A Backoff counts failures in a row and says how long to pause after each.
type Backoff struct {
	// Jitter gives a number in [0, 1), so that many clients of one server do
	// not come back in the same second.
	Jitter func() float64

	// failures by class: that the network fails in between does not make a
	// wrong password be tried more often.
	failures map[mail.Class]int
}

// Reset forgets them.
func (b *Backoff) Reset() { b.failures = nil }

// Next counts a failure and gives the pause after it: doubled with each one of
// the same class, and a quarter more or less at random. It is never shorter
// than what the server asks for.
func (b *Backoff) Next(err error) time.Duration {
	class := mail.ClassOf(err)
	if b.failures == nil {
		b.failures = map[mail.Class]int{}
	}
	b.failures[class]++
	p := paceOf(class)
	if class == mail.ClassNetwork && unreached(err) {
		p.most = unreachedMost
	}
	wait := p.first
	for i := 1; i < b.failures[class] && wait < p.most; i++ {
		wait *= 2
	}
	wait = min(wait, p.most)
	wait += time.Duration((b.Jitter() - 0.5) / 2 * float64(wait))
	var asked Waiter
	if errors.As(err, &asked) {
		wait = max(wait, asked.Wait())
	}
	return wait
}
