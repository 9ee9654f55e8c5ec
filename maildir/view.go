package maildir

import (
	"bytes"
	"context"
	"hash/maphash"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A view is which keys a mailbox holds: 8 bytes a message. A key that it has
// not is certainly not there; one that it has may share its hash with another.
type view struct {
	seed     maphash.Seed
	keys     []uint64 // hashes, sorted
	complete bool
}

func viewOf(l *listing) *view {
	v := &view{seed: maphash.MakeSeed(), complete: l.complete && l.still(), keys: make([]uint64, len(l.entries))}
	for i, e := range l.entries {
		v.keys[i] = maphash.String(v.seed, e.key())
	}
	slices.Sort(v.keys)
	return v
}

func (v *view) has(key string) bool {
	_, ok := slices.BinarySearch(v.keys, maphash.String(v.seed, key))
	return ok
}

// askAtMost is about how many keys the index is asked; reading the names of a
// mailbox costs about as much as a thousand questions.
const askAtMost = 256

// keys is a view of what lies in the mailbox now, but for what this run put
// there (ownChanges.came tells that). The last view serves as long as nothing
// but this run changed the directories. It need be right only about the keys
// in ask, if that is not nil.
func (f *folder) keys(ctx context.Context, box mail.BoxID, ask []mail.Ref) (*view, error) {
	before, err := f.m.marks(f.top)
	if err != nil {
		return nil, err
	}
	if v := f.box.seen; v != nil && v.complete && before.sameEntries(f.box.stands) {
		return v, nil
	}
	if v, err := f.asked(ctx, box, ask, before); v != nil || err != nil {
		return v, err
	}
	var last *view
	for range maxListings {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		now := f.m.opt.Clock()
		v, err := f.glance(last)
		if err != nil {
			return nil, localFault(mail.GradeMailbox, err)
		}
		after, err := f.m.marks(f.top)
		if err != nil {
			return nil, err
		}
		still := after.sameEntries(before)
		if still && (last != nil || after.quiet(now)) {
			v.complete = true
			f.box.seen, f.box.stands = v, after
			return v, nil
		}
		last, before = v, after
	}
	f.box.strange = true // others are at work here: what ours takes over may be theirs
	return last, nil     // everything that was seen in any of them
}

// asked is a view of some keys in a mailbox in which, but for what this run
// did, lies what the index has bound there: nil if the mailbox is not known to
// be that.
func (f *folder) asked(ctx context.Context, box mail.BoxID, ask []mail.Ref, now marks) (*view, error) {
	b := f.box
	if b.state != plan.Same || b.strange {
		return nil, nil
	}
	if !b.own.any {
		b.stands = b.marks // as of the survey
	}
	b.strange = !now.sameEntries(b.stands)
	if f.m.opt.Bound == nil || b.strange || ask == nil || len(ask) > askAtMost {
		return nil, nil
	}
	bound, all, err := f.m.opt.Bound(ctx, box, ask)
	if err != nil || !b.own.any && all != b.count {
		return nil, err
	}
	v := &view{seed: maphash.MakeSeed()}
	for _, ref := range bound {
		v.keys = append(v.keys, maphash.String(v.seed, string(ref)))
	}
	slices.Sort(v.keys)
	return v, nil
}

// ours says that the mailbox changed by our doing since keys looked. A file
// that somebody else brings there in this very moment, under a key that
// godwit gives, is the only one that a later look at the marks cannot tell.
func (f *folder) ours() {
	now, err := f.m.marks(f.top)
	if err != nil {
		f.box.seen = nil
	}
	f.box.stands = now
}

// sameEntries tells whether no entry of cur or new came, went or was renamed.
func (k marks) sameEntries(o marks) bool { return k.cur == o.cur && k.new == o.new }

// glance reads the names in new and cur, and adds them to those of last.
func (f *folder) glance(last *view) (*view, error) {
	v := &view{}
	if last != nil {
		v.seed, v.keys = last.seed, slices.Clone(last.keys)
	} else {
		v.seed = maphash.MakeSeed()
	}
	for _, d := range []*dir{f.new, f.cur} {
		if d == nil {
			continue
		}
		err := d.names(&f.m.scratch, func(name []byte, k kind) {
			if k == kindFile || k == kindUnknown {
				key, _, _ := bytes.Cut(name, []byte{infoSeparator})
				v.keys = append(v.keys, maphash.Bytes(v.seed, key))
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(v.keys)
	v.keys = slices.Compact(v.keys)
	return v, nil
}
