package imap

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/imap/wire"
	"github.com/godwit-mail/godwit/mail"
)

// A sighting is what FETCH told of one message.
type sighting struct {
	uid   uint32
	have  wire.Have
	zone  int16 // minutes east of UTC, of date
	date  int64 // seconds since 1970; noDate
	size  int64
	flags mail.FlagSet
	gid   string
}

const (
	noDate = math.MinInt64

	haveEverything = wire.HaveFlags | wire.HaveDate | wire.HaveSize
)

// sightings are a table by UID. A mailbox may hold many messages, but few
// different sets of flags: each is kept once.
type sightings struct {
	list  []sighting
	flags map[string]mail.FlagSet
	zones zones
	// limit, if not 0, is how many it takes; over tells that there were more.
	limit int
	over  bool
}

// maxShared caps how many sets of flags are remembered to be shared.
const maxShared = 10_000

// reserve makes room for n messages, within reason.
func (t *sightings) reserve(n int) {
	if n > 0 {
		t.list = make([]sighting, 0, min(n+16, 1<<17))
	}
}

// add is wire.Call.Each.
func (t *sightings) add(m wire.Told) {
	if t.limit > 0 && len(t.list) >= t.limit {
		t.over = true
		return
	}
	r := sighting{uid: m.UID, have: m.Have, size: m.Size, gid: m.GlobalID, date: noDate}
	if m.Have&wire.HaveFlags != 0 {
		r.flags = t.flagSet(m.Flags)
	}
	if m.Have&wire.HaveDate != 0 {
		r.date, r.zone = packDate(m.Date)
	}
	t.list = append(t.list, r)
}

func (t *sightings) flagSet(text string) mail.FlagSet {
	set, ok := t.flags[text]
	if ok {
		return set
	}
	set = mail.ParseFlagSet(strings.Trim(text, "()"))
	if t.flags == nil {
		t.flags = map[string]mail.FlagSet{}
	}
	if len(t.flags) < maxShared {
		t.flags[text] = set
	}
	return set
}

// sort orders the sightings by UID, and merges those of one message, the later
// ones over the earlier.
func (t *sightings) sort() {
	byUID := func(a, b sighting) int { return int(int64(a.uid) - int64(b.uid)) }
	if !slices.IsSortedFunc(t.list, byUID) {
		slices.SortStableFunc(t.list, byUID)
	}
	out := t.list[:0]
	for i := range t.list {
		r := &t.list[i]
		if n := len(out); n > 0 && out[n-1].uid == r.uid {
			out[n-1].merge(r)
			continue
		}
		out = append(out, *r)
	}
	t.list = out
}

func (r *sighting) merge(s *sighting) {
	if s.have&wire.HaveFlags != 0 {
		r.flags = s.flags
	}
	if s.have&wire.HaveDate != 0 {
		r.date, r.zone = s.date, s.zone
	}
	if s.have&wire.HaveSize != 0 {
		r.size = s.size
	}
	if s.gid != "" {
		r.gid = s.gid
	}
	r.have |= s.have
}

// from is the part of the sorted list from a UID on.
func (t *sightings) from(uid uint32) []sighting {
	i, _ := slices.BinarySearchFunc(t.list, uid, func(r sighting, uid uint32) int { return int(int64(r.uid) - int64(uid)) })
	return t.list[i:]
}

// has tells whether a message is in the sorted list.
func (t *sightings) has(uid uint32) bool {
	rest := t.from(uid)
	return len(rest) > 0 && rest[0].uid == uid
}

// find gives the sighting of a message in the sorted list, or nil.
func (t *sightings) find(uid uint32) *sighting {
	rest := t.from(uid)
	if len(rest) == 0 || rest[0].uid != uid {
		return nil
	}
	return &rest[0]
}

// drop forgets the messages for which f holds.
func (t *sightings) drop(f func(uid uint32) bool) {
	t.list = slices.DeleteFunc(t.list, func(r sighting) bool { return f(r.uid) })
}

// lacks tells whether a message was not told of as it should be: with its
// flags, and if it is new, from UID next on, with all else.
func (r *sighting) lacks(next uint32) bool {
	if r.uid >= next {
		return r.have&haveEverything != haveEverything
	}
	return r.have&wire.HaveFlags == 0
}

// lacking lists the messages that were not told of as they should be.
func (t *sightings) lacking(next uint32) (uids []uint32) {
	for i := range t.list {
		if t.list[i].lacks(next) {
			uids = append(uids, t.list[i].uid)
		}
	}
	return uids
}

// item is a sighting as an Item.
func (t *sightings) item(r *sighting) mail.Item {
	it := mail.Item{Flags: r.flags, Ident: mail.Identity{GlobalID: r.gid, Size: r.size}}
	if r.date != noDate {
		it.Date = time.Unix(r.date, 0).In(t.zones.at(r.zone))
	}
	return it
}

// zones are time zones by their minutes east of UTC, so that messages share them.
type zones map[int16]*time.Location

func (z *zones) at(minutes int16) *time.Location {
	if minutes == 0 {
		return time.UTC
	}
	if *z == nil {
		*z = zones{}
	}
	l := (*z)[minutes]
	if l == nil {
		l = time.FixedZone("", int(minutes)*60)
		(*z)[minutes] = l
	}
	return l
}

// packDate gives what a sighting keeps of a date.
func packDate(t time.Time) (unix int64, zone int16) {
	if wire.IsBadDate(t) {
		return noDate, 0
	}
	_, offset := t.Zone()
	return t.Unix(), int16(offset / 60)
}
