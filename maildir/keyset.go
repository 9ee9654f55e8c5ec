package maildir

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// A keySet is a set of keys. Those that tokenKey made, which after a first
// pull are all of them, take a third of the room that they take as text.
type keySet struct {
	tokens map[tokenParts]struct{}
	others map[string]struct{}
}

// tokenParts are what tokenKey makes a key of.
type tokenParts struct {
	seconds int64
	token   [16]byte
}

func (s *keySet) add(key string) {
	if p, ok := partsOf(key); ok {
		if s.tokens == nil {
			s.tokens = map[tokenParts]struct{}{}
		}
		s.tokens[p] = struct{}{}
		return
	}
	if s.others == nil {
		s.others = map[string]struct{}{}
	}
	s.others[key] = struct{}{}
}

func (s *keySet) has(key string) (ok bool) {
	if p, made := partsOf(key); made {
		_, ok = s.tokens[p]
		return ok
	}
	_, ok = s.others[key]
	return ok
}

// partsOf takes apart a key that is, to the byte, as tokenKey makes it.
func partsOf(key string) (p tokenParts, ok bool) {
	seconds, rest, _ := strings.Cut(key, ".")
	token, isToken := strings.CutPrefix(rest, "G")
	token, isOurs := strings.CutSuffix(token, ownSuffix)
	if !isToken || !isOurs || !validToken(token) {
		return p, false
	}
	var err error
	if p.seconds, err = strconv.ParseInt(seconds, 10, 64); err != nil {
		return p, false
	}
	if _, err = hex.Decode(p.token[:], []byte(token)); err != nil {
		return p, false
	}
	var digits [20]byte
	return p, string(strconv.AppendInt(digits[:0], p.seconds, 10)) == seconds // "+1", "01" and "-0" are other keys
}
