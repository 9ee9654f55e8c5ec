package plan

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
)

// slowDuplicates says in few words what pairDuplicates does for many.
func slowDuplicates(as, bs []candidate, g group, take func(i, j int)) {
	sameBox := func(x, y *candidate) bool { return x.at.Box == y.at.Box }
	sameFlags := func(x, y *candidate) bool { return x.flags.Equal(y.flags) }
	for _, fits := range []func(x, y *candidate) bool{
		func(x, y *candidate) bool { return sameBox(x, y) && sameFlags(x, y) },
		sameBox,
		sameFlags,
		func(x, y *candidate) bool { return true },
	} {
		g.a = slices.DeleteFunc(g.a, func(i int) bool {
			k := slices.IndexFunc(g.b, func(j int) bool { return fits(&as[i], &bs[j]) })
			if k >= 0 {
				take(i, g.b[k])
				g.b = slices.Delete(g.b, k, k+1)
			}
			return k >= 0
		})
	}
}

func genAlike(rt *rapid.T, what string) []candidate {
	flags := []mail.FlagSet{{}, mail.NewFlagSet(mail.Seen), mail.NewFlagSet("$Work"), mail.NewFlagSet("$work"), mail.NewFlagSet(mail.Seen, "$WORK")}
	cs := make([]candidate, rapid.IntRange(0, 7).Draw(rt, what))
	for i := range cs {
		cs[i].at.Box = mail.BoxID(rapid.IntRange(1, 3).Draw(rt, "box"))
		cs[i].flags = rapid.SampledFrom(flags).Draw(rt, "flags")
		cs[i].ident.Folded = mail.Digest{byte(rapid.IntRange(0, 3).Draw(rt, "folded"))}
		cs[i].ident.Header = mail.Digest{byte(rapid.IntRange(1, 4).Draw(rt, "header"))}
		cs[i].ident.Size = int64(rapid.IntRange(1, 2).Draw(rt, "size"))
		cs[i].draft = rapid.IntRange(0, 4).Draw(rt, "draft") == 0
	}
	return cs
}

func TestDuplicatesArePairedInTheirOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		as, bs := genAlike(rt, "a"), genAlike(rt, "b")
		pairs := func(pair func([]candidate, []candidate, group, func(int, int))) (out [][2]int) {
			pair(as, bs, group{a: pickAll(as), b: pickAll(bs)}, func(i, j int) { out = append(out, [2]int{i, j}) })
			return out
		}
		if got, want := pairs(pairDuplicates), pairs(slowDuplicates); !slices.Equal(got, want) {
			rt.Fatalf("paired %v, want %v", got, want)
		}
	})
}

func TestAlikeHeadersArePairedOnlyWhereUnique(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		as, bs := genAlike(rt, "a"), genAlike(rt, "b")
		var got, want [][2]int
		rest := takeAlike(as, bs, group{a: pickAll(as), b: pickAll(bs)}, func(i, j int) { got = append(got, [2]int{i, j}) })
		count := func(cs []candidate, d mail.Digest) (n int) {
			for i := range cs {
				if cs[i].ident.Folded == d {
					n++
				}
			}
			return n
		}
		for i := range as {
			for j := range bs {
				x, y := &as[i], &bs[j]
				if !x.draft && !y.draft && alike(x, y) && x.ident.Header != y.ident.Header && count(as, x.ident.Folded) == 1 && count(bs, x.ident.Folded) == 1 {
					want = append(want, [2]int{i, j})
				}
			}
		}
		if !slices.Equal(got, want) || len(rest.a) != len(as)-len(want) || len(rest.b) != len(bs)-len(want) {
			rt.Fatalf("paired %v, want %v; left %v and %v", got, want, rest.a, rest.b)
		}
	})
}

// TestUnsureLooksAtEveryUnreadableMessage compares the search with a look at all.
func TestUnsureLooksAtEveryUnreadableMessage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.Int64Range(0, 40_000), 0, 6).Draw(rt, "sizes")
		size := rapid.Int64Range(0, 40_000).Draw(rt, "size")
		in := Input{Boxes: []BoxPair{{ID: 1, There: [2]bool{true, true}, View: [2]View{Complete, Complete}}}}
		for i, n := range sizes {
			in.Changes = append(in.Changes, Change{Side: Local, Kind: KindNew, Unreadable: true,
				At: Place{Box: 1, Ref: mail.Ref(fmt.Sprint(i))}}.Of(mail.Item{Ident: mail.Identity{Size: n}}))
		}
		st := &state{row: Row{Ident: [2]mail.Identity{{Size: size}, {Size: size}}}}
		want := slices.ContainsFunc(sizes, func(n int64) bool { return near(n, size) })
		if got := newReconciler(in).unsure(Local, st); got != want {
			rt.Fatalf("a message of %d bytes, unreadable are %v: %v", size, sizes, got)
		}
	})
}
