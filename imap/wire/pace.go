package wire

import "time"

// A pace counts round trips and measures the shortest. It is guarded by
// Conn.mu.
type pace struct {
	trips int
	// fresh: a command was begun while none was unanswered, so that what is
	// read next answers it. since is when the last of it was sent, zero before.
	fresh    bool
	since    time.Time
	shortest time.Duration // 0: none was measured yet
}

// began notes that a command was begun; alone tells that no other was
// unanswered then.
func (p *pace) began(alone bool) {
	if alone {
		p.trips++
		p.fresh, p.since = true, time.Time{}
	}
}

// departs notes that something is about to be sent, the last of it or a part.
// What is sent later, before the answer, does not make the round trip shorter.
func (c *Conn) departs(last bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := &c.pace; p.fresh && last && p.since.IsZero() {
		p.since = time.Now()
	}
}

// arrived notes that bytes came from the server.
func (c *Conn) arrived() {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.pace
	if !p.fresh {
		return
	}
	if !p.since.IsZero() {
		if d := time.Since(p.since); p.shortest == 0 || d < p.shortest {
			p.shortest = max(d, 1)
		}
	}
	p.fresh = false
}

// RoundTrip is the shortest time so far from sending the last of what was sent when the
// server owed nothing to the first byte that came then: that of the link and
// of the server's cheapest answer. 0 before the first answer.
func (c *Conn) RoundTrip() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pace.shortest
}
