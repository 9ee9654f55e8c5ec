package engine

import (
	"fmt"
	"maps"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// oversizeWhat is what a side declines that has a limit for the size of
// messages: it is remembered with the limit, so that another one is noticed.
const oversizeWhat = "messages of more than %d bytes"

// oversize tells of a message that a side will not take.
func (r *run) oversize(g *plan.Gain, large *mail.TooLarge) {
	r.declined(g.To, g.Box, fmt.Sprintf(oversizeWhat, large.Limit), true)
	r.note(Event{Side: g.To, Mailbox: r.name(g.To, g.Box), Row: rowID(g), Digest: g.Ident().Body, Size: large.Size, Reason: plan.ReasonDeclined,
		Text: fmt.Sprintf("a message of %d bytes stays %s only: it is larger than %s takes (%d)", large.Size, r.where(g.To.Other()), r.who(g.To), large.Limit)})
}

// limitMoved tells whether a mailbox declined messages for a limit that is not
// its own any more, and forgets that it did.
func (r *run) limitMoved(rec *plan.BoxRecord, st *plan.Settlement) bool {
	for key := range r.decline {
		var limit int64
		_, err := fmt.Sscanf(key.what, oversizeWhat, &limit)
		if err != nil || key.box != rec.ID || !r.there[rec.ID][key.side] || r.survey[key.side][rec.Side[key.side].Name].Limit == limit {
			continue
		}
		st.ClearDeclines = append(st.ClearDeclines, plan.SideBox{Side: key.side, Box: rec.ID})
		maps.DeleteFunc(r.decline, func(k declineKey, _ bool) bool { return k.box == key.box && k.side == key.side })
		return true
	}
	return false
}
