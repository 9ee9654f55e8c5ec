package wire

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// TestNumbers compares the set with a plain one, and what it writes with what
// it reads.
func TestNumbers(t *testing.T) {
	number := rapid.OneOf(rapid.Uint32Range(1, 30), rapid.Uint32Range(math.MaxUint32-5, math.MaxUint32))
	rapid.Check(t, func(t *rapid.T) {
		var set numbers
		plain := make(map[uint32]bool)
		for _, n := range rapid.SliceOf(number).Draw(t, "numbers") {
			set.add(n)
			plain[n] = true
		}
		for i, sp := range set {
			if sp.lo > sp.hi || i > 0 && uint64(set[i-1].hi)+1 >= uint64(sp.lo) {
				t.Fatalf("not in order: %v", set)
			}
		}
		again := set
		if len(set) > 0 {
			var err error
			if again, err = parseNumbers(set.appendTo(nil), false); err != nil {
				t.Fatal(err)
			}
		}
		for n := range uint32(40) {
			for _, n := range []uint32{n, math.MaxUint32 - n} {
				if set.contains(n) != plain[n] || again.contains(n) != plain[n] {
					t.Fatalf("%d in %v, %v", n, set, again)
				}
			}
		}
	})
}

// TestParseNumbers reads sets as servers and the library write them.
func TestParseNumbers(t *testing.T) {
	for text, want := range map[string]string{
		"1": "1", "3,1,2": "1:3", "5:2,9": "2:5,9", "1:*": "1:4294967295", "*": "4294967295", "4294967295,1": "1,4294967295",
		"": "", "0": "", "1,": "", ",1": "", "1:": "", "a": "", "4294967296": "", "99999999999999999999": "", "1:2:3": "", "$": "",
	} {
		set, err := parseNumbers([]byte(text), true)
		if got := string(set.appendTo(nil)); got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q (%v), want %q", text, got, err, want)
		}
	}
	if _, err := parseNumbers([]byte("1:*"), false); err == nil {
		t.Error("a star was accepted")
	}
	for text, want := range map[string]uint64{"1:3,5": 4, "1,2,3": 3, "3,1": 0, "3:1": 0, "1,1": 0, "1:2,2": 0, "": 0, "x": 0, "*": 0} {
		if n, ok := rising([]byte(text)); n != want || ok != (want > 0) {
			t.Errorf("rising(%q) is %d, %v", text, n, ok)
		}
	}
}

// TestLiteralAt tells the announcement of a literal from what looks like it.
func TestLiteralAt(t *testing.T) {
	for line, want := range map[string]int64{
		"a {12}": 12, "{0}": 0, "a{3+}": 3, "x {1} {2}": 2, "{4294967295}": 4294967295, "{99999999999999999999}": -1,
		"a {-1}": -2, "{}": -2, "{+}": -2, "{1": -2, "1}": -2, "{1} ": -2, "{a}": -2, "": -2,
	} {
		size, _, ok := literalAt([]byte(line))
		if !ok {
			size = -2
		}
		if size != want {
			t.Errorf("literalAt(%q) is %d, want %d", line, size, want)
		}
	}
}
