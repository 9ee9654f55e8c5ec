package maildir

import (
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// settled is how old the times of a directory must be before they are
// trusted: a change within one tick of the file system's clock leaves them as
// they are, and the coarsest of these clocks ticks every 2 s.
const settled = 2 * time.Second

// marks are the identity and times of what a mailbox is made of. While they
// stand still, and are settled, no message came, went or changed its flags.
type marks struct {
	cur, new, keywords mark
	inode              uint64 // of the mailbox itself
	local              bool   // the times can be trusted at all
}

// A mark is the identity and times of one file or directory; zero if it is
// not there.
type mark struct {
	ino          uint64
	mtime, ctime int64 // nanoseconds
}

func newMark(st stat) mark {
	return mark{ino: st.ino, mtime: st.mtime.UnixNano(), ctime: st.ctime.UnixNano()}
}

func (k mark) before(t time.Time) bool {
	return k.mtime <= t.UnixNano() && k.ctime <= t.UnixNano()
}

// marks looks at a mailbox.
func (m *Maildir) marks(top *dir) (marks, error) {
	self, err := top.self()
	if err != nil {
		return marks{}, localFault(mail.GradeMailbox, err)
	}
	cur, err := top.stat("cur")
	if err != nil && !gone(err) {
		return marks{}, localFault(mail.GradeMailbox, err)
	}
	return m.marksBeside(top, self, cur)
}

// marksBeside looks at what else there is beside cur, which is zero if it is
// not there.
func (m *Maildir) marksBeside(top *dir, self, cur stat) (k marks, err error) {
	k.inode, k.local = self.ino, m.local(top, self.dev)
	if cur.ino != 0 {
		k.cur, k.local = newMark(cur), k.local && m.local(top, cur.dev)
	}
	for _, part := range []struct {
		name string
		into *mark
	}{{"new", &k.new}, {keywordsFile, &k.keywords}} {
		st, err := top.stat(part.name)
		if err != nil && !gone(err) {
			return k, localFault(mail.GradeMailbox, err)
		}
		if err == nil {
			*part.into = newMark(st)
			k.local = k.local && m.local(top, st.dev)
		}
	}
	return k, nil
}

// local tells whether the times on a device can be trusted. A directory on
// another device than its mailbox is not on a file system that was asked.
func (m *Maildir) local(d *dir, dev uint64) bool {
	known, ok := m.locals[dev]
	if !ok {
		known = d.local()
		m.locals[dev] = known
	}
	return known
}

// quiet tells whether the marks were settled already at the moment now, by
// the clock of this machine, which is the clock of every file system that is
// local.
func (k marks) quiet(now time.Time) bool {
	limit := now.Add(-settled)
	return k.local && k.cur.before(limit) && k.new.before(limit) && k.keywords.before(limit)
}

// cursor writes down a listing of count messages. One that was not quiet
// says so, and is never taken for Same. Every run writes and reads one for each mailbox.
func (k marks) cursor(count int, quiet bool) plan.Cursor {
	trust := fresh
	if quiet {
		trust = trusted
	}
	var text [256]byte // more than the numbers can have
	b := append(append(text[:0], cursorHead...), trust...)
	b = strconv.AppendInt(append(b, ' '), int64(count), 10)
	for _, m := range []mark{k.cur, k.new, k.keywords} {
		b = strconv.AppendUint(append(b, ' '), m.ino, 10)
		b = strconv.AppendInt(append(b, '-'), m.mtime, 10)
		b = strconv.AppendInt(append(b, '-'), m.ctime, 10)
	}
	return plan.Cursor(b)
}

// The beginnings of cursors.
const (
	cursorHead = "m1 "
	trusted    = "quiet"
	fresh      = "fresh"
)

// parseCursor reads what cursor wrote.
func parseCursor(c plan.Cursor) (k marks, count int, quiet, ok bool) {
	rest, ok := strings.CutPrefix(string(c), cursorHead)
	trust, rest, _ := strings.Cut(rest, " ")
	if !ok || trust != trusted && trust != fresh {
		return marks{}, 0, false, false
	}
	n := numbers{rest: rest}
	count = int(n.signed(""))
	for _, m := range []*mark{&k.cur, &k.new, &k.keywords} {
		m.ino, m.mtime, m.ctime = n.unsigned(" "), n.signed("-"), n.signed("-")
	}
	return k, count, trust == trusted, !n.wrong && n.rest == ""
}

// numbers are read one after the other.
type numbers struct {
	rest  string
	wrong bool // something else was there
}

// next takes the digits that come after a text, with their sign.
func (n *numbers) next(after string) (digits string) {
	rest, ok := strings.CutPrefix(n.rest, after)
	end := 0
	for end < len(rest) && (rest[end] >= '0' && rest[end] <= '9' || end == 0 && rest[end] == '-') {
		end++
	}
	n.rest, n.wrong = rest[end:], n.wrong || !ok
	return rest[:end]
}

func (n *numbers) signed(after string) int64 {
	i, err := strconv.ParseInt(n.next(after), 10, 64)
	n.wrong = n.wrong || err != nil
	return i
}

func (n *numbers) unsigned(after string) uint64 {
	i, err := strconv.ParseUint(n.next(after), 10, 64)
	n.wrong = n.wrong || err != nil
	return i
}

// lastChange is when the mailbox changed last before the listing that a cursor
// tells of: its messages were all there after that.
func lastChange(c plan.Cursor) (time.Time, bool) {
	k, _, _, ok := parseCursor(c)
	return time.Unix(0, max(k.cur.ctime, k.new.ctime)), ok
}

// since compares a mailbox with a cursor. count is the number of messages, if
// the cursor still holds, else -1.
func (k marks) since(c plan.Cursor) (state plan.BoxState, count int) {
	was, count, quiet, ok := parseCursor(c)
	switch {
	case !ok:
		return plan.Unknown, -1
	case quiet && k.local && was.cur == k.cur && was.new == k.new && was.keywords == k.keywords:
		return plan.Same, count
	}
	return plan.Changed, -1
}
