package engine

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

// TestFailedCopiesAreComparedLikeOneByOne compares the set with a look at all.
func TestFailedCopiesAreComparedLikeOneByOne(t *testing.T) {
	draw := func(rt *rapid.T) mail.Identity {
		digest := func(what string) mail.Digest { return mail.Digest{byte(rapid.IntRange(0, 2).Draw(rt, what))} }
		return mail.Identity{Body: digest("body"), Light: digest("light"), Size: rapid.Int64Range(0, 2).Draw(rt, "size")}
	}
	rapid.Check(t, func(rt *rapid.T) {
		var all []mail.Identity
		var set failedCopies
		for range rapid.IntRange(0, 4).Draw(rt, "failures") {
			id := draw(rt)
			all = append(all, id)
			set.add(id)
		}
		id := draw(rt)
		want := slices.ContainsFunc(all, func(f mail.Identity) bool {
			switch {
			case !f.Body.IsZero() && !id.Body.IsZero():
				return f.Body == id.Body
			case !f.Light.IsZero() && !id.Light.IsZero():
				return f.Light == id.Light
			}
			return f.Size == id.Size
		})
		if got := set.couldBe(id); got != want {
			rt.Fatalf("%v among %v: %v", id, all, got)
		}
	})
}
