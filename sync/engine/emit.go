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
	e.Time, e.Account, e.Job, e.Planned = r.Clock(), r.Account, r.Job, r.DryRun
	r.Observer(e)
}

func (r *run) phase(p Phase) { r.emit(Event{Kind: PhaseBegun, Phase: p}) }

// note tells of something unusual that was decided, and puts it in the durable log.
func (r *run) note(e Event) {
	e.Kind = Noted
	r.emit(e)
	verb := logNoted
	switch e.Reason {
	case plan.ReasonDeclined, plan.ReasonMode, plan.ReasonRights:
		verb = logDeclined
	}
	r.log(verb, e)
}

// fault records an error that the run survives, or that ends it (fatal). A
// mailbox fault is told once a mailbox and text.
func (r *run) fault(s plan.Side, box mail.MailboxName, err error, fatal bool) {
	// What is told twice is told at once: a thousand broken messages are not
	// each compared with all others.
	for _, f := range r.report.Faults[max(0, len(r.report.Faults)-50):] {
		if errors.Is(f, err) || !fatal && box == "" && f.Error() == err.Error() {
			return
		}
	}
	r.report.Faults = append(r.report.Faults, err)
	r.emit(Event{Kind: Faulted, Side: s, Mailbox: box, Err: err, Text: err.Error()})
}

// name is the name of a mailbox on a side, for people.
func (r *run) name(s plan.Side, id mail.BoxID) mail.MailboxName {
	rec := r.record(id)
	if rec == nil {
		return ""
	}
	if n := rec.Side[s].Name; n != "" {
		return n
	}
	return rec.Side[s.Other()].Name
}

func (r *run) record(id mail.BoxID) *plan.BoxRecord {
	if i, ok := r.at[id]; ok && i < len(r.records) && r.records[i].ID == id {
		return &r.records[i]
	}
	clear(r.at)
	for i := range r.records {
		r.at[r.records[i].ID] = i
	}
	if i, ok := r.at[id]; ok {
		return &r.records[i]
	}
	return nil
}

// did reports one effect, and puts it in the durable log.
func (r *run) did(e Event) {
	e.Kind = Action
	r.emit(e)
	if e.Text == "" {
		e.Text = whyDone(e)
	}
	r.log(string(e.Verb), e)
}

// Verbs of the durable log beside those of Action.
const (
	logNoted    = "noted"    // something unusual was decided, and is settled
	logDeclined = "declined" // one side, or the mode, will not have it
	logHeld     = "held"     // waits for the user
	logPending  = "pending"  // seen, and not carried over yet
	logGone     = "gone"     // gone from both sides, by other hands
)

// log puts a line into the durable log, with the next settlement.
func (r *run) log(verb string, e Event) {
	if r.DryRun {
		return
	}
	if row := r.rows[e.Row]; row != nil && e.Digest.IsZero() {
		e.Digest = bodyOf(row)
	}
	r.events = append(r.events, plan.Event{
		Verb: verb, Side: e.Side, Mailbox: e.Mailbox, To: e.To, Row: max(e.Row, 0), Ident: e.Digest, MessageID: e.MessageID, Text: e.Text,
	})
}

// whyDone tells a person what an effect was for, where the effect itself does not.
func whyDone(e Event) string {
	switch {
	case e.Reason == plan.ReasonMoveBeats:
		return "moved on one side, deleted on the other: the move counts"
	case e.Reason == plan.ReasonRejected:
		return "its deletion on the " + e.Side.String() + " side was rejected"
	case e.Verb == VerbCopied:
		return "new " + where(e.Side.Other())
	case e.Verb == VerbAdopted:
		return "it was on both sides already"
	}
	return string(e.Reason)
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
		e.Bytes += p.Gains[i].Ident().Size
	}
	r.emit(e)
}

// where says in words on which side something is.
func where(s plan.Side) string {
	if s == plan.Local {
		return "here"
	}
	return "on the server"
}

// where says it in the words of the run's own Places.
func (r *run) where(s plan.Side) string {
	if r.Places != [2]string{} {
		return "at " + r.Places[s]
	}
	return where(s)
}

// who says in words which side does something.
func (r *run) who(s plan.Side) string {
	if r.Places != [2]string{} {
		return r.Places[s]
	}
	if s == plan.Local {
		return "the " + r.root.Name()
	}
	return "the server"
}
