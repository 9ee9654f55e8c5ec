package config

import "strings"

// nearest is the candidate with the least edit distance to word, "" if none
// is near enough to be a likely slip.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", len(word)/2+1
	if bestDistance > 4 {
		bestDistance = 4
	}
	for _, c := range candidates {
		d := editDistance(strings.ToLower(word), c)
		if d < bestDistance || d == bestDistance && best == "" {
			best, bestDistance = c, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions, substitutions and swaps of
// neighbours that turn a into b (optimal string alignment).
func editDistance(a, b string) int {
	const far = 1 << 20
	if len(a) > 256 || len(b) > 256 {
		return far
	}
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old, row = old, row, older
	}
	return old[len(b)]
}
