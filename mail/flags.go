package mail

import (
	"slices"
	"strings"
)

// A Flag is the name of a system flag (`\Seen`) or of a keyword
// (`$Forwarded`). Flags are compared without regard to case
// (RFC 9051, section 2.3.2).
type Flag string

// The system flags that godwit carries (RFC 9051, section 2.3.2). `\Recent` is a
// property of a session, not of a message, and is never carried.
const (
	Seen     Flag = `\Seen`
	Answered Flag = `\Answered`
	Flagged  Flag = `\Flagged`
	Deleted  Flag = `\Deleted`
	Draft    Flag = `\Draft`
)

// Forwarded is the one keyword that Maildir has a letter of its own for, 'P'.
const Forwarded Flag = "$Forwarded"

var systemFlags = [...]Flag{Seen, Answered, Flagged, Deleted, Draft}

// A FlagSet is an immutable set of system flags and keywords. The zero value
// is the empty set. Compare sets with Equal: keywords keep the spelling in
// which they were first seen.
type FlagSet struct {
	sys      uint8
	keywords string // sorted without regard to case, joined by one space
}

// NewFlagSet makes a set of the given flags. `\Recent`, empty names, unknown
// system flags and names that cannot be an IMAP atom are left out: no side
// could store them.
func NewFlagSet(flags ...Flag) FlagSet {
	var s FlagSet
	var kw []string
	for _, f := range flags {
		if i := systemIndex(f); i >= 0 {
			s.sys |= 1 << i
		} else if ValidKeyword(string(f)) {
			kw = append(kw, string(f))
		}
	}
	s.keywords = joinKeywords(kw)
	return s
}

// ParseFlagSet reads what String wrote: names separated by spaces.
func ParseFlagSet(text string) FlagSet {
	if text == "" {
		return FlagSet{}
	}
	fields := strings.Fields(text)
	flags := make([]Flag, len(fields))
	for i, f := range fields {
		flags[i] = Flag(f)
	}
	return NewFlagSet(flags...)
}

// ValidKeyword tells whether name can be a keyword: an IMAP atom
// (RFC 9051, section 9, flag-keyword) of at most 255 bytes.
func ValidKeyword(name string) bool {
	if name == "" || len(name) > 255 {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`(){%*"\]`, c) >= 0 {
			return false
		}
	}
	return true
}

func systemIndex(f Flag) int {
	if len(f) == 0 || f[0] != '\\' {
		return -1
	}
	for i, s := range systemFlags {
		if strings.EqualFold(string(s), string(f)) {
			return i
		}
	}
	return -1
}

func compareFold(a, b string) int {
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}

func joinKeywords(kw []string) string {
	if len(kw) == 0 {
		return ""
	}
	slices.SortStableFunc(kw, compareFold)
	kw = slices.CompactFunc(kw, strings.EqualFold)
	return strings.Join(kw, " ")
}

// Keywords lists the keywords of the set, sorted.
func (s FlagSet) Keywords() []Flag {
	if s.keywords == "" {
		return nil
	}
	fields := strings.Fields(s.keywords)
	out := make([]Flag, len(fields))
	for i, f := range fields {
		out[i] = Flag(f)
	}
	return out
}

// Flags lists all flags of the set: system flags first, then keywords, sorted.
func (s FlagSet) Flags() []Flag {
	var out []Flag
	for i, f := range systemFlags {
		if s.sys&(1<<i) != 0 {
			out = append(out, f)
		}
	}
	return append(out, s.Keywords()...)
}

// Empty tells whether the set has no flag.
func (s FlagSet) Empty() bool { return s.sys == 0 && s.keywords == "" }

// Len is the number of flags in the set.
func (s FlagSet) Len() int { return len(s.Flags()) }

// Has tells whether f is in the set.
func (s FlagSet) Has(f Flag) bool {
	if i := systemIndex(f); i >= 0 {
		return s.sys&(1<<i) != 0
	}
	if s.keywords == "" {
		return false
	}
	for _, k := range strings.Fields(s.keywords) {
		if strings.EqualFold(k, string(f)) {
			return true
		}
	}
	return false
}

// Union holds what is in s or in t; where the spelling differs, that of s.
func (s FlagSet) Union(t FlagSet) FlagSet {
	u := FlagSet{sys: s.sys | t.sys, keywords: s.keywords}
	if t.keywords != "" && !strings.EqualFold(s.keywords, t.keywords) {
		u.keywords = joinKeywords(append(strings.Fields(s.keywords), strings.Fields(t.keywords)...))
	}
	return u
}

// Minus holds what is in s and not in t.
func (s FlagSet) Minus(t FlagSet) FlagSet {
	return s.filter(t, false)
}

// Intersect holds what is in both, spelled as in s.
func (s FlagSet) Intersect(t FlagSet) FlagSet {
	return s.filter(t, true)
}

func (s FlagSet) filter(t FlagSet, want bool) FlagSet {
	u := FlagSet{sys: s.sys &^ t.sys}
	if want {
		u.sys = s.sys & t.sys
	}
	var kw []string
	for _, k := range strings.Fields(s.keywords) {
		if t.Has(Flag(k)) == want {
			kw = append(kw, k)
		}
	}
	u.keywords = strings.Join(kw, " ")
	return u
}

// With is s and the given flags.
func (s FlagSet) With(flags ...Flag) FlagSet { return s.Union(NewFlagSet(flags...)) }

// Without is s less the given flags.
func (s FlagSet) Without(flags ...Flag) FlagSet { return s.Minus(NewFlagSet(flags...)) }

// Equal tells whether both sets hold the same flags, whatever their spelling.
func (s FlagSet) Equal(t FlagSet) bool {
	return s.sys == t.sys && strings.EqualFold(s.keywords, t.keywords)
}

// String joins the flags by one space: `\Seen $Forwarded`.
func (s FlagSet) String() string {
	flags := s.Flags()
	names := make([]string, len(flags))
	for i, f := range flags {
		names[i] = string(f)
	}
	return strings.Join(names, " ")
}
