package plan

import "github.com/godwit-mail/godwit/mail"

// A Gain copies a message to the side that lacks it.
type Gain struct {
	To    Side
	From  Place // on the other side
	Epoch string
	Box   mail.BoxID // on To
	Row   *Row       // the row to complete; nil: a new row
	Why   Reason     // "" for a new message; ReasonMoveBeats, ReasonRejected, …

	settle []Ref // nil: that the message is new
	shown        // Flags are those to give it
}

// of makes it the gain of a message as the other side shows it.
func (g Gain) of(item mail.Item) Gain {
	g.show(item)
	return g
}

// Settle names the changes that it settles.
func (g *Gain) Settle() []Ref {
	if g.settle == nil && g.Row == nil {
		return []Ref{{Side: g.To.Other(), Kind: KindNew, At: g.From}}
	}
	return g.settle
}
