package engine

import (
	"errors"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func (r *run) emit(e Event) {
	if r.Observer == nil {
		return
	}
	e.Time, e.Account, e.Planned = r.Clock(), r.Account, r.DryRun
	r.Observer(e)
}

func (r *run) phase(p Phase) { r.emit(Event{Kind: PhaseBegun, Phase: p}) }

func (r *run) note(e Event) {
	e.Kind = Noted
	r.emit(e)
}

// fault records an error that the run survives, or that ends it (fatal). A
// mailbox fault is told once a mailbox and text.
func (r *run) fault(s plan.Side, box mail.MailboxName, err error, fatal bool) {
	for _, f := range r.report.Faults {
		if errors.Is(f, err) || f.Error() == err.Error() && !fatal && box == "" {
			return
		}
	}
	r.report.Faults = append(r.report.Faults, err)
	r.emit(Event{Kind: Faulted, Side: s, Mailbox: box, Err: err, Text: err.Error()})
}

// name is the name of a mailbox on a side, for people.
func (r *run) name(s plan.Side, id mail.BoxID) mail.MailboxName {
	for i := range r.records {
		if rec := &r.records[i]; rec.ID == id {
			if n := rec.Side[s].Name; n != "" {
				return n
			}
			return rec.Side[s.Other()].Name
		}
	}
	return ""
}

func (r *run) record(id mail.BoxID) *plan.BoxRecord {
	for i := range r.records {
		if r.records[i].ID == id {
			return &r.records[i]
		}
	}
	return nil
}

// did reports one effect, and puts it in the durable log.
func (r *run) did(e Event) {
	e.Kind = Action
	r.emit(e)
	if r.DryRun {
		return
	}
	r.events = append(r.events, plan.Event{
		Verb: string(e.Verb), Side: e.Side, Mailbox: e.Mailbox, Row: e.Row, Ident: e.Digest, Text: e.Text,
	})
}

// takeEvents are the log lines that go into the next settlement.
func (r *run) takeEvents() []plan.Event {
	ev := r.events
	r.events = nil
	return ev
}

// announce tells what is ahead.
func (r *run) announce(p *plan.Plan) {
	e := Event{Kind: Totals, Messages: len(p.Gains)}
	for i := range p.Gains {
		e.Bytes += p.Gains[i].Item.Ident.Size
	}
	r.emit(e)
}
