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

func sortChanges(changes []Change) {
	slices.SortStableFunc(changes, func(a, b Change) int {
		if c := cmp.Compare(a.Side, b.Side); c != 0 {
			return c
		}
		if c := comparePlaces(a.At, b.At); c != 0 {
			return c
		}
		return cmp.Compare(b.Kind, a.Kind) // Gone before New at the same place
	})
}
