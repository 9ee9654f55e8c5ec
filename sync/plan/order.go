package plan

import (
	"cmp"
	"slices"

	"github.com/godwit-mail/godwit/mail"
)

// compareRefs orders refs so that UIDs come in the order of their numbers.
func compareRefs(a, b mail.Ref) int {
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}

func comparePlaces(a, b Place) int {
	if c := cmp.Compare(a.Box, b.Box); c != 0 {
		return c
	}
	return compareRefs(a.Ref, b.Ref)
}

// sortedChanges is the order in which changes are looked at. They are large
// and may be many: they stay where they are.
func sortedChanges(changes []Change) []int {
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, k int) int {
		a, b := &changes[i], &changes[k]
		if c := cmp.Compare(a.Side, b.Side); c != 0 {
			return c
		}
		if c := comparePlaces(a.At, b.At); c != 0 {
			return c
		}
		if c := cmp.Compare(b.Kind, a.Kind); c != 0 { // Gone before New at the same place
			return c
		}
		return cmp.Compare(i, k)
	})
	return order
}
