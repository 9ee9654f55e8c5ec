package wire

import (
	"time"

	"golang.org/x/time/rate"
)

// How much may pass at once after a rest: what comes in a tenth of a second,
// within these bounds.
const (
	leastBurst = 1 << 10
	mostBurst  = 64 << 10
)

// A Meter limits how many bytes a second pass over all Conns that share it, in
// both directions together, as they travel inside TLS. Waiting for it is no
// silence of the server, and ends with the Conn. A nil Meter limits nothing.
type Meter struct{ bucket *rate.Limiter }

// NewMeter makes a Meter for so many bytes a second, nil for 0 or less.
func NewMeter(bytesPerSecond int64) *Meter {
	if bytesPerSecond <= 0 {
		return nil
	}
	burst := min(max(bytesPerSecond/10, leastBurst), mostBurst)
	return &Meter{rate.NewLimiter(rate.Limit(bytesPerSecond), int(burst))}
}

// most is how many of n bytes may be asked for at once.
func (m *Meter) most(n int) int {
	if m == nil {
		return n
	}
	return min(n, m.bucket.Burst())
}

// pass waits until n bytes may pass, or gone is closed.
func (m *Meter) pass(n int, gone <-chan struct{}) {
	if m == nil || n <= 0 {
		return
	}
	turn := m.bucket.ReserveN(time.Now(), n)
	wait := turn.Delay()
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
		turn.Cancel()
	}
}
