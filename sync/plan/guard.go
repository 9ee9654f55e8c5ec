package plan

import (
	"github.com/godwit-mail/godwit/mail"
)

// GuardInput is what the guard knows besides the plan.
type GuardInput struct {
	// Percent of a mailbox, and of the account, that may be deleted within the
	// rolling window; 0 lets everything pass.
	Percent int
	// Counts is the number of messages bound in each mailbox before the plan.
	Counts map[mail.BoxID]int
	// Recent is the number of messages deleted from each mailbox within the
	// window, less those that the user accepted.
	Recent map[mail.BoxID]int
	// Roles of the mailboxes: Trash, Junk and Drafts are exempt.
	Roles map[mail.BoxID]mail.Role
	// Passed are rows whose deletion the user accepted, PassedFlags those
	// whose loss of flags.
	Passed, PassedFlags map[int64]bool
	// Held are rows whose deletion is held already: it stays so until the user
	// speaks, whatever came to the mailbox since and made its share smaller.
	Held map[int64]bool
}

// The guard lets small numbers pass whatever their share: deletionsAlways of a
// mailbox, and fewer than wholeMailbox messages even if they are all there are.
// flagsAlways is the same for messages that lose \Seen or \Flagged.
const (
	deletionsAlways = 10
	wholeMailbox    = 3
	flagsAlways     = 100
)

// Guard takes out of the plan what looks like a catastrophe, a mass of
// deletions or of lost flags, and holds it for the user. Moves are not
// deletions. What a mailbox's share allows the account's share may still hold.
func Guard(p *Plan, in GuardInput) {
	if in.Percent <= 0 {
		return
	}
	held := map[mail.BoxID]bool{}
	asked, recent, peak := 0, 0, 0
	perBox := map[mail.BoxID]int{}
	for _, l := range p.Losses {
		if in.guarded(l) {
			perBox[l.At.Box]++
			asked++
		}
	}
	for box, n := range in.Counts {
		if !Exempt(in.Roles[box]) {
			recent += in.Recent[box]
			peak += n + in.Recent[box]
		}
	}
	for box, n := range perBox {
		held[box] = tooMany(in.Recent[box]+n, in.Counts[box]+in.Recent[box], in.Percent)
	}
	all := tooMany(recent+asked, peak, in.Percent)
	p.Losses = keepOf(p.Losses, func(l Loss) bool {
		if !in.guarded(l) || !all && !held[l.At.Box] && !in.Held[l.Row] {
			return true
		}
		p.holdFor(l.Settle, l.Row, ReasonGuard)
		return false
	})
	guardFlags(p, in)
}

func (in *GuardInput) guarded(l Loss) bool {
	return !Exempt(in.Roles[l.At.Box]) && !in.Passed[l.Row]
}

// Exempt tells whether a mailbox is made for deleting from.
func Exempt(r mail.Role) bool {
	return r == mail.RoleTrash || r == mail.RoleJunk || r == mail.RoleDrafts
}

func tooMany(n, peak, percent int) bool {
	return n > deletionsAlways && n*100 > peak*percent || n >= peak && peak >= wholeMailbox
}

func guardFlags(p *Plan, in GuardInput) {
	for _, flag := range []mail.Flag{mail.Seen, mail.Flagged} {
		perBox := map[mail.BoxID]int{}
		for _, op := range p.Flags {
			if op.Remove.Has(flag) && !in.PassedFlags[op.Row] {
				perBox[op.At.Box]++
			}
		}
		p.Flags = keepOf(p.Flags, func(op FlagOp) bool {
			n := perBox[op.At.Box]
			if !op.Remove.Has(flag) || in.PassedFlags[op.Row] || n <= flagsAlways || n*100 <= in.Counts[op.At.Box]*in.Percent {
				return true
			}
			p.holdFor(op.Settle, op.Row, ReasonFlagGuard)
			return false
		})
	}
}

// holdFor turns the changes of a decision into holds of one row.
func (p *Plan) holdFor(refs []Ref, row int64, why Reason) {
	for _, ref := range refs {
		p.Holds = append(p.Holds, Hold{Ref: ref, Row: row, Why: why})
	}
}

func keepOf[T any](list []T, keep func(T) bool) []T {
	var out []T
	for _, x := range list {
		if keep(x) {
			out = append(out, x)
		}
	}
	return out
}
