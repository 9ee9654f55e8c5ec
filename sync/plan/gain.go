package plan

import (
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// A Gain copies a message to the side that lacks it. A first run has one for
// every message, so what is rarely known of a message is kept apart.
type Gain struct {
	To    Side
	From  Place // on the other side
	Epoch string
	Box   mail.BoxID   // on To
	Flags mail.FlagSet // to give it
	Date  time.Time    // see mail.Item
	Row   *Row         // the row to complete; nil: a new row
	Why   Reason       // "" for a new message; ReasonMoveBeats, ReasonRejected, …

	settle   []Ref // nil: that the message is new
	size     int64
	globalID string
	more     *mail.Item // if more than these is known: all but Flags and Date count
}

// of makes it the gain of a message as the other side shows it.
func (g Gain) of(item mail.Item) Gain {
	g.Flags, g.Date, g.size, g.globalID = item.Flags, item.Date, item.Ident.Size, item.Ident.GlobalID
	if item != g.Item() {
		g.more = &item
	}
	return g
}

// Settle names the changes that it settles.
func (g *Gain) Settle() []Ref {
	if g.settle == nil && g.Row == nil {
		return []Ref{{Side: g.To.Other(), Kind: KindNew, At: g.From}}
	}
	return g.settle
}

// Item is the message: flags to give it, date, what is known of its identity.
func (g *Gain) Item() mail.Item {
	item := mail.Item{Ident: mail.Identity{Size: g.size, GlobalID: g.globalID}}
	if g.more != nil {
		item = *g.more
	}
	item.Flags, item.Date = g.Flags, g.Date
	return item
}

// Ident is what is known of the message's identity.
func (g *Gain) Ident() mail.Identity {
	if g.more != nil {
		return g.more.Ident
	}
	return mail.Identity{Size: g.size, GlobalID: g.globalID}
}

// Learn takes over what more is known of the identity.
func (g *Gain) Learn(id mail.Identity) {
	item := g.Item()
	item.Ident = id
	*g = g.of(item)
}
