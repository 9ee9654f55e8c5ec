package network

import (
	"context"
	"time"
)

// One change of the network is several for the kernel: they are told as one
// when nothing came for settled, at the latest after unsettled.
const (
	settled   = 500 * time.Millisecond
	unsettled = 3 * time.Second
)

// calm calls changed for events, once for those that come together, until ctx
// ends.
func calm(ctx context.Context, events <-chan struct{}, changed func()) {
	quiet := time.NewTimer(time.Hour)
	defer quiet.Stop()
	quiet.Stop()
	var first time.Time // of those not told yet
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(max(0, min(settled, time.Until(first.Add(unsettled)))))
		case <-quiet.C:
			first = time.Time{}
			changed()
		}
	}
}
