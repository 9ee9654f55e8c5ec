package engine

import (
	"hash/maphash"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// knownSet is what the index knows of one side's mailbox, to be compared with
// a scan. It is made for mailboxes of a hundred thousand messages: the Refs
// lie end to end in blocks, sets of flags are kept once, of marks a hash, and a
// message costs some fifty bytes beside its Ref.
type knownSet struct {
	blocks [][]byte
	rows   []knownRow
	flags  []mail.FlagSet
	number map[mail.FlagSet]uint32 // of each set in flags
	seed   maphash.Seed
	table  []uint32 // open addressing: where in rows, plus one; a power of two
}

// knownRow is a plan.Known whose Ref lies in a block.
type knownRow struct {
	id int64
	// mark is a hash of the Stat. Two marks of one file are equal here and
	// yet differ once in 2^64 times: less often than a file system gives a
	// changed file the inode, size and time of the old one.
	mark           uint64
	block, at, ref uint32 // ref is a length
	flags          uint32 // where in knownSet.flags, and met
}

// met is set of a row's flags when the scan has met it.
const met = 1 << 31

// knownBlock is the size of a block; a longer text has one of its own.
const knownBlock = 64 << 10

// newKnownSet makes a set for about n messages.
func newKnownSet(n int) *knownSet {
	return &knownSet{rows: make([]knownRow, 0, n), number: map[mail.FlagSet]uint32{}, seed: maphash.MakeSeed()}
}

// add puts a message into the set, before the first find.
func (s *knownSet) add(k plan.Known) {
	need := len(k.Ref)
	last := len(s.blocks) - 1
	if last < 0 || cap(s.blocks[last])-len(s.blocks[last]) < need {
		s.blocks = append(s.blocks, make([]byte, 0, max(need, knownBlock)))
		last++
	}
	number, ok := s.number[k.Flags]
	if !ok {
		number = uint32(len(s.flags))
		s.flags = append(s.flags, k.Flags)
		s.number[k.Flags] = number
	}
	s.rows = append(s.rows, knownRow{
		id: k.Row, mark: maphash.String(s.seed, k.Stat), block: uint32(last), at: uint32(len(s.blocks[last])),
		ref: uint32(len(k.Ref)), flags: number,
	})
	s.blocks[last] = append(s.blocks[last], k.Ref...)
}

// refBytes is the Ref of a row, not to be changed.
func (s *knownSet) refBytes(r *knownRow) []byte { return s.blocks[r.block][r.at:][:r.ref] }

// build makes the table that find goes by.
func (s *knownSet) build() {
	size := 8
	for size < 2*len(s.rows) {
		size *= 2
	}
	s.table = make([]uint32, size)
	for i := range s.rows {
		at := maphash.Bytes(s.seed, s.refBytes(&s.rows[i])) & uint64(size-1)
		for s.table[at] != 0 {
			at = (at + 1) & uint64(size-1)
		}
		s.table[at] = uint32(i + 1)
	}
}

// take gives what is known of a Ref, once: the scan has met it then. marked
// tells whether it had this mark.
func (s *knownSet) take(ref mail.Ref, mark string) (k plan.Known, marked, ok bool) {
	if len(s.rows) == 0 {
		return plan.Known{}, false, false
	}
	if s.table == nil {
		s.build()
	}
	mask := uint64(len(s.table) - 1)
	for at := maphash.String(s.seed, string(ref)) & mask; s.table[at] != 0; at = (at + 1) & mask {
		if r := &s.rows[s.table[at]-1]; string(s.refBytes(r)) == string(ref) {
			again := r.flags&met != 0
			r.flags |= met
			k = plan.Known{Row: r.id, Ref: ref, Flags: s.flags[r.flags&^met]}
			return k, r.mark == maphash.String(s.seed, mark), !again
		}
	}
	return plan.Known{}, false, false
}

// unmet calls each for what the scan has not met, without its mark.
func (s *knownSet) unmet(each func(plan.Known)) {
	for i := range s.rows {
		if r := &s.rows[i]; r.flags&met == 0 {
			each(plan.Known{Row: r.id, Ref: mail.Ref(s.refBytes(r)), Flags: s.flags[r.flags]})
		}
	}
}
