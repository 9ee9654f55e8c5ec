package maildir

import (
	"fmt"
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
// says so, and is never taken for Same.
func (k marks) cursor(count int, quiet bool) plan.Cursor {
	trust := "fresh"
	if quiet {
		trust = "quiet"
	}
	return plan.Cursor(fmt.Sprintf("m1 %s %d %d-%d-%d %d-%d-%d %d-%d-%d", trust, count,
		k.cur.ino, k.cur.mtime, k.cur.ctime, k.new.ino, k.new.mtime, k.new.ctime,
		k.keywords.ino, k.keywords.mtime, k.keywords.ctime))
}

// lastChange is when the mailbox changed last before the listing that a cursor
// tells of: its messages were all there after that.
func lastChange(c plan.Cursor) (time.Time, bool) {
	var k marks
	var trust string
	var count int
	if _, err := fmt.Sscanf(string(c), "m1 %s %d %d-%d-%d %d-%d-%d", &trust, &count,
		&k.cur.ino, &k.cur.mtime, &k.cur.ctime, &k.new.ino, &k.new.mtime, &k.new.ctime); err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, max(k.cur.ctime, k.new.ctime)), true
}

// since compares a mailbox with a cursor. count is the number of messages, if
// the cursor still holds, else -1.
func (k marks) since(c plan.Cursor) (state plan.BoxState, count int) {
	if c == "" {
		return plan.Unknown, -1
	}
	var trust string
	if _, err := fmt.Sscanf(string(c), "m1 %s %d ", &trust, &count); err != nil {
		return plan.Unknown, -1
	}
	if trust == "quiet" && k.local && c == k.cursor(count, true) {
		return plan.Same, count
	}
	return plan.Changed, -1
}
