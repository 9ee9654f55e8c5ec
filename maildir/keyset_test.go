package maildir

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A keySet holds exactly the keys that were put into it.
func TestKeySet(t *testing.T) {
	tokens := []string{token, "ffffffffffffffffffffffffffffffff", "00000000000000000000000000000000"}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.Custom(func(t *rapid.T) string {
			seconds := rapid.SampledFrom([]int64{0, 1, -1, 1700000000, math.MaxInt64, math.MinInt64}).Draw(t, "seconds")
			made := tokenKey(time.Unix(seconds, 0), rapid.SampledFrom(tokens).Draw(t, "token"))
			return rapid.SampledFrom([]string{made, "0" + made, "+" + made, "-" + made, made + ",S=1", made[:len(made)-1], "1.G" + ownSuffix, "1", "", "."}).Draw(t, "key")
		})
		var set keySet
		want := map[string]bool{}
		for _, k := range rapid.SliceOf(key).Draw(t, "in") {
			set.add(k)
			want[k] = true
		}
		for _, k := range append(rapid.SliceOf(key).Draw(t, "asked"), "x") {
			if set.has(k) != want[k] {
				t.Fatalf("%q: %v, want %v", k, set.has(k), want[k])
			}
		}
		if made := tokenKey(time.Unix(1, 0), token); want[made] && len(set.tokens) == 0 {
			t.Fatal("a key with a token is kept as text")
		}
	})
}
