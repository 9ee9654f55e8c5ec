package maildir

import (
	"context"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/mail"
)

// maxListings is how often a mailbox is listed before it is called restless.
const maxListings = 10

// An entry is one message file of a listing.
type entry struct {
	name  string
	inNew bool
}

func (e entry) key() string {
	key, _ := splitName(e.name)
	return key
}

func (e entry) info() string { return e.name[len(e.key()):] }

// A listing is the messages of a mailbox, sorted by key, each key once.
type listing struct {
	entries []entry
	// before and after are the marks around the reading.
	before, after marks
	// complete: no message can have been missed.
	complete bool
	quiet    bool // the marks may be remembered
}

// still tells whether nothing was seen to move during the reading.
func (l *listing) still() bool {
	return l.before.cur == l.after.cur && l.before.new == l.after.new
}

// find looks for a key.
func (l *listing) find(key string) (entry, bool) {
	i, ok := slices.BinarySearchFunc(l.entries, key, func(e entry, key string) int { return strings.Compare(e.key(), key) })
	if !ok {
		return entry{}, false
	}
	return l.entries[i], true
}

// sameKeys tells whether both listings have the same messages.
func (l *listing) sameKeys(o *listing) bool {
	return slices.EqualFunc(l.entries, o.entries, func(a, b entry) bool { return a.key() == b.key() })
}

// once reads new, then cur: a file that a mail program takes from new to cur
// meanwhile is seen at least once. If anything moved, it reads new again, for
// the rare file that is taken back (mutt does so with mail marked as new).
func (f *folder) once() (*listing, error) {
	now := f.m.opt.Clock()
	l := &listing{}
	var err error
	if l.before, err = f.m.marks(f.top); err != nil {
		return nil, err
	}
	if f.new != nil {
		if l.entries, err = f.m.messages(l.entries, f.new, true); err != nil {
			return nil, err
		}
	}
	if l.entries, err = f.m.messages(l.entries, f.cur, false); err != nil {
		return nil, err
	}
	if l.after, err = f.m.marks(f.top); err != nil {
		return nil, err
	}
	if f.new != nil && !l.still() {
		if l.entries, err = f.m.messages(l.entries, f.new, true); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(l.entries, compareEntries)
	l.entries = slices.CompactFunc(l.entries, func(a, b entry) bool { return a.key() == b.key() })
	l.quiet = l.before == l.after && l.after.quiet(now)
	return l, nil
}

// compareEntries sorts by key; of two with one key, that in cur comes first,
// and then the one with more letters: while a program renames a file by
// making a second link, the newer name is the longer one, as a rule.
func compareEntries(a, b entry) int {
	if c := strings.Compare(a.key(), b.key()); c != 0 {
		return c
	}
	if a.inNew != b.inNew {
		if a.inNew {
			return 1
		}
		return -1
	}
	if len(a.name) != len(b.name) {
		return len(b.name) - len(a.name)
	}
	return strings.Compare(a.name, b.name)
}

// messages appends the message files of one directory.
func (m *Maildir) messages(out []entry, d *dir, inNew bool) ([]entry, error) {
	list, err := d.entries(&m.scratch)
	if err != nil {
		return nil, err
	}
	out = slices.Grow(out, len(list))
	for _, e := range list {
		if strings.HasPrefix(e.name, ".") || strings.HasPrefix(e.name, string(infoSeparator)) {
			continue
		}
		if e.kind == kindUnknown {
			if st, err := d.stat(e.name); err == nil && st.regular() {
				e.kind = kindFile
			}
		}
		if e.kind == kindFile {
			out = append(out, entry{name: e.name, inNew: inNew})
		}
	}
	return out, nil
}

// relist lists the mailbox until the listing is complete: one reading during
// which nothing moved, and before which nothing had moved for a while; or two
// in a row with the same messages. A message that was seen earlier in this
// look and is in neither of the two was removed, or missed twice: it takes one
// more reading to tell. After maxListings it gives all that was seen, not
// complete.
func (f *folder) relist(ctx context.Context) (*listing, error) {
	var last *listing
	missing := map[string]entry{} // seen earlier, not in last
	for range maxListings {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := f.once()
		if err != nil {
			return nil, localFault(mail.GradeMailbox, err)
		}
		f.box.list = l
		switch {
		case last == nil:
			l.complete = l.quiet && l.still()
		case !l.sameKeys(last):
			last.miss(l, missing)
		case len(missing) == 0:
			l.complete = true
		default:
			clear(missing)
		}
		if l.complete {
			return l, nil
		}
		last = l
	}
	for _, e := range missing {
		last.entries = append(last.entries, e)
	}
	slices.SortFunc(last.entries, compareEntries)
	return last, nil
}

// miss adds to missing what l has and next has not, and takes away what next has again.
func (l *listing) miss(next *listing, missing map[string]entry) {
	for key := range missing {
		if _, ok := next.find(key); ok {
			delete(missing, key)
		}
	}
	for _, e := range l.entries {
		if _, ok := next.find(e.key()); !ok {
			missing[e.key()] = e
		}
	}
}

// listing is the last listing, or a new one.
func (f *folder) listing(ctx context.Context) (*listing, error) {
	if f.box.list != nil {
		return f.box.list, nil
	}
	return f.relist(ctx)
}

// fresh is the last listing if nothing moved since, or a new one.
func (f *folder) fresh(ctx context.Context) (*listing, error) {
	if l := f.box.list; l != nil && l.complete {
		now, err := f.m.marks(f.top)
		if err != nil {
			return nil, localFault(mail.GradeMailbox, err)
		}
		if now.cur == l.after.cur && now.new == l.after.new && l.still() {
			return l, nil
		}
	}
	return f.relist(ctx)
}
