package engine

import (
	"hash/maphash"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// knownSet is what the index knows of one side's mailbox, to be compared with
// a scan. It is made for mailboxes of a hundred thousand messages: the texts
// lie end to end in blocks, sets of flags are kept once, and a message costs
// some fifty bytes beside its Ref and mark.
type knownSet struct {
	blocks [][]byte
	rows   []knownRow
	flags  []mail.FlagSet
	number map[mail.FlagSet]uint32 // of each set in flags
	seed   maphash.Seed
	table  []uint32 // open addressing: where in rows, plus one; a power of two
}

// knownRow is a plan.Known whose texts lie in a block, the mark after the Ref.
type knownRow struct {
	id        int64
	block, at uint32
	ref, mark uint32 // lengths
	flags     uint32
	met       bool // by the scan
}

// knownBlock is the size of a block; a longer text has one of its own.
const knownBlock = 64 << 10

// newKnownSet makes a set for about n messages.
func newKnownSet(n int) *knownSet {
	return &knownSet{rows: make([]knownRow, 0, n), number: map[mail.FlagSet]uint32{}, seed: maphash.MakeSeed()}
}

// add puts a message into the set, before the first find.
func (s *knownSet) add(k plan.Known) {
	need := len(k.Ref) + len(k.Stat)
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
		id: k.Row, block: uint32(last), at: uint32(len(s.blocks[last])),
		ref: uint32(len(k.Ref)), mark: uint32(len(k.Stat)), flags: number,
	})
	s.blocks[last] = append(append(s.blocks[last], k.Ref...), k.Stat...)
}

// refBytes is the Ref of a row, not to be changed.
func (s *knownSet) refBytes(r *knownRow) []byte { return s.blocks[r.block][r.at:][:r.ref] }

// known is a row as the index gave it.
func (s *knownSet) known(r *knownRow) plan.Known {
	text := s.blocks[r.block][r.at:]
	return plan.Known{Row: r.id, Ref: mail.Ref(text[:r.ref]), Flags: s.flags[r.flags], Stat: string(text[r.ref:][:r.mark])}
}

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

// take gives what is known of a Ref, once: the scan has met it then.
func (s *knownSet) take(ref mail.Ref) (plan.Known, bool) {
	if len(s.rows) == 0 {
		return plan.Known{}, false
	}
	if s.table == nil {
		s.build()
	}
	mask := uint64(len(s.table) - 1)
	for at := maphash.String(s.seed, string(ref)) & mask; s.table[at] != 0; at = (at + 1) & mask {
		if r := &s.rows[s.table[at]-1]; string(s.refBytes(r)) == string(ref) {
			met := r.met
			r.met = true
			return s.known(r), !met
		}
	}
	return plan.Known{}, false
}

// unmet calls each for what the scan has not met.
func (s *knownSet) unmet(each func(plan.Known)) {
	for i := range s.rows {
		if !s.rows[i].met {
			each(s.known(&s.rows[i]))
		}
	}
}
