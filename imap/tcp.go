package imap

import (
	"net"
	"time"
)

// How a connection that is idle is looked after: a probe after 30 s of
// silence, three of them 10 s apart, and it is dead. That also keeps NAT from
// forgetting it.
const (
	keepIdle     = 30 * time.Second
	keepInterval = 10 * time.Second
	keepCount    = 3
	// keepUnsent is how long what was sent may be without the other system's
	// acknowledgement: as long as an idle connection may be dead.
	keepUnsent = keepIdle + keepCount*keepInterval
)

// tcp makes connections whose death is noticed within a minute, whether
// something is under way or not. Where a host has addresses of both families,
// the second is tried soon after the first (RFC 8305), and each address gets
// its share of the time that the context leaves.
func tcp() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: keepCount},
		Control:         limitUnsent,
	}
}
