package wire

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sort"
	"strconv"
)

// span is the numbers from lo to hi, both included.
type span struct{ lo, hi uint32 }

// numbers is a set of UIDs or sequence numbers: spans in rising order that
// neither touch nor overlap. Adding rising numbers is cheap.
type numbers []span

var errNumbers = errors.New("not a set of numbers")

// parseNumbers reads a sequence-set (RFC 9051, section 9). star says whether
// "*" is allowed; it is taken for the highest number there can be.
func parseNumbers(text []byte, star bool) (numbers, error) {
	var set numbers
	for len(text) > 0 {
		part, rest, more := bytes.Cut(text, []byte{','})
		if more && len(rest) == 0 {
			return nil, errNumbers
		}
		text = rest
		from, to, isRange := bytes.Cut(part, []byte{':'})
		lo, ok := parseNumber(from, star)
		hi := lo
		if ok && isRange {
			hi, ok = parseNumber(to, star)
		}
		if !ok {
			return nil, errNumbers
		}
		set = append(set, span{min(lo, hi), max(lo, hi)})
	}
	if len(set) == 0 {
		return nil, errNumbers
	}
	return set.normal(), nil
}

func parseNumber(text []byte, star bool) (uint32, bool) {
	if star && string(text) == "*" {
		return math.MaxUint32, true
	}
	n, ok := digits(text)
	return uint32(n), ok && n > 0 && n <= math.MaxUint32
}

// digits reads a decimal number, digits only.
func digits(text []byte) (uint64, bool) {
	if len(text) == 0 || len(text) > 20 {
		return 0, false
	}
	var n uint64
	for _, b := range text {
		d := uint64(b - '0')
		if b < '0' || b > '9' || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// normal sorts and merges what was put together in any order.
func (s numbers) normal() numbers {
	if !slices.IsSortedFunc(s, func(a, b span) int { return compare(a.lo, b.lo) }) {
		slices.SortFunc(s, func(a, b span) int { return compare(a.lo, b.lo) })
	}
	out := s[:0]
	for _, sp := range s {
		if n := len(out); n > 0 && uint64(sp.lo) <= uint64(out[n-1].hi)+1 {
			out[n-1].hi = max(out[n-1].hi, sp.hi)
			continue
		}
		out = append(out, sp)
	}
	return out
}

func compare(a, b uint32) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// find is the index of the first span that ends at n or after it.
func (s numbers) find(n uint32) int {
	return sort.Search(len(s), func(i int) bool { return s[i].hi >= n })
}

func (s numbers) contains(n uint32) bool {
	i := s.find(n)
	return i < len(s) && s[i].lo <= n
}

// add puts n into the set.
func (s *numbers) add(n uint32) {
	set := *s
	if last := len(set) - 1; last >= 0 && uint64(set[last].hi)+1 == uint64(n) {
		set[last].hi = n
		return
	}
	i := set.find(n)
	if i < len(set) && set[i].lo <= n {
		return
	}
	*s = slices.Insert(set, i, span{n, n})
	// Merge with the neighbours that n touches.
	set = *s
	if i+1 < len(set) && set[i+1].lo == n+1 {
		set[i].hi = set[i+1].hi
		set = slices.Delete(set, i+1, i+2)
	}
	if i > 0 && uint64(set[i-1].hi)+1 == uint64(n) {
		set[i-1].hi = set[i].hi
		set = slices.Delete(set, i, i+1)
	}
	*s = set
}

// single is the one number of the set, or 0 if there are more or none.
func (s numbers) single() uint32 {
	if len(s) == 1 && s[0].lo == s[0].hi {
		return s[0].lo
	}
	return 0
}

// count is how many numbers the set has.
func (s numbers) count() (n uint64) {
	for _, sp := range s {
		n += uint64(sp.hi-sp.lo) + 1
	}
	return n
}

// appendTo writes the set as a sequence-set.
func (s numbers) appendTo(dst []byte) []byte {
	for i, sp := range s {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(sp.lo), 10)
		if sp.hi != sp.lo {
			dst = append(dst, ':')
			dst = strconv.AppendUint(dst, uint64(sp.hi), 10)
		}
	}
	return dst
}
