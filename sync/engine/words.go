package engine

import (
	"strings"

	"github.com/godwit-mail/godwit/sync/plan"
)

// wordPrefix begins the keys, in the index's Meta, of the words of a side.
func wordPrefix(s plan.Side) string { return "side." + s.String() + "." }

// recall gives the sides that remember their words back, unless the account
// names another server or user now.
func (r *run) recall() {
	if r.meta[metaBound] != r.Bound {
		return
	}
	for _, s := range plan.Sides {
		side, is := r.side[s].(Remembering)
		if !is {
			continue
		}
		words := map[string]string{}
		for key, value := range r.meta {
			if word, of := strings.CutPrefix(key, wordPrefix(s)); of {
				words[word] = value
			}
		}
		side.Recall(words)
	}
}

// keepWords adds the words of the sides that the index does not have to what
// this run has learned.
func (r *run) keepWords() {
	for _, s := range plan.Sides {
		side, is := r.side[s].(Remembering)
		if !is {
			continue
		}
		for word, value := range side.Learned() {
			if key := wordPrefix(s) + word; r.meta[key] != value {
				r.learned[key] = value
			}
		}
	}
}
