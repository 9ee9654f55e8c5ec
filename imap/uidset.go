package imap

import (
	"fmt"
	"slices"
	"strconv"

	goimap "github.com/emersion/go-imap/v2"
)

// maxSet is how long, in bytes, a set of UIDs in a command may be: commands
// stay below the 8000 bytes that servers must take (RFC 7162, section 4).
const maxSet = 7000

// uidSets makes sets, with ranges, that hold exactly uids and are each short
// enough for a command. It sorts uids.
func uidSets(uids []uint32) []goimap.UIDSet {
	slices.Sort(uids)
	uids = slices.Compact(uids)
	var sets []goimap.UIDSet
	var set goimap.UIDSet
	length := 0
	for i := 0; i < len(uids); {
		j := i
		for j+1 < len(uids) && uids[j+1] == uids[j]+1 {
			j++
		}
		r := goimap.UIDRange{Start: goimap.UID(uids[i]), Stop: goimap.UID(uids[j])}
		text := len(strconv.Itoa(int(r.Start))) + len(strconv.Itoa(int(r.Stop))) + 2
		if length+text > maxSet {
			sets, set, length = append(sets, set), nil, 0
		}
		set, length = append(set, r), length+text
		i = j + 1
	}
	if set != nil {
		sets = append(sets, set)
	}
	return sets
}

// uidRange is from:to, or from:* if to is 0.
func uidRange(from, to uint32) goimap.UIDSet {
	return goimap.UIDSet{goimap.UIDRange{Start: goimap.UID(from), Stop: goimap.UID(to)}}
}

// expand lists what a set that a server gave holds, in its order. A server
// may claim billions: more than limit is an error.
func expand(set goimap.UIDSet, limit int) ([]uint32, error) {
	var uids []uint32
	for _, r := range set {
		if r.Start == 0 || r.Stop < r.Start || uint64(r.Stop-r.Start) >= uint64(limit) || len(uids)+int(r.Stop-r.Start) >= limit {
			return nil, fmt.Errorf("the server names more messages than there are")
		}
		for uid := uint64(r.Start); uid <= uint64(r.Stop); uid++ {
			uids = append(uids, uint32(uid))
		}
	}
	return uids, nil
}
