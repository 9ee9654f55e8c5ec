package imap

import (
	"fmt"

	"github.com/godwit-mail/godwit/sync/plan"
)

// A mark is what a Cursor remembers of a mailbox: "validity:next:modseq:count"
// in decimal. next and modseq are 0 where the server does not tell them.
type mark struct {
	validity, next uint32
	modseq         uint64
	count          uint32
	limit          uint32 // APPENDLIMIT, 0 if not told; no cursor has it
}

func (m mark) cursor() plan.Cursor {
	return plan.Cursor(fmt.Sprintf("%d:%d:%d:%d", m.validity, m.next, m.modseq, m.count))
}

// parseCursor reads a cursor; ok is false if there is none, or none of ours.
func parseCursor(c plan.Cursor) (m mark, ok bool) {
	n, err := fmt.Sscanf(string(c), "%d:%d:%d:%d", &m.validity, &m.next, &m.modseq, &m.count)
	if err != nil || n != 4 || m.validity == 0 || m.cursor() != c {
		return mark{}, false
	}
	return m, true
}

// compare tells what a mark says of a mailbox that is now at m. Only
// HIGHESTMODSEQ proves that no flag changed (RFC 7162, section 3.1), but where
// there was no message and none has come, there is no flag.
func (m mark) compare(since plan.Since) plan.BoxState {
	was, ok := parseCursor(since.Cursor)
	switch {
	case ok && m.validity != 0 && m.next != 0 && m.count == 0 && was == m && since.Known == 0 && since.Epoch == epochOf(m.validity):
		return plan.Same
	case !ok || m.validity == 0 || m.modseq == 0 || m.next == 0:
		return plan.Unknown
	case was == m && (since.Epoch == "" || since.Epoch == epochOf(m.validity)):
		return plan.Same
	}
	return plan.Changed
}
