package config

import (
	"fmt"
	"strings"
)

// An Error is one thing that is wrong with a configuration.
type Error struct {
	File string
	// Line and Column count from 1; Line is 0 if the error concerns the whole file.
	Line, Column int
	// Key is the full dotted key, "" if the error concerns no key.
	Key string
	// Text says what is wrong and what to do, in lower case.
	Text string
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// Errors is everything that is wrong with a configuration, in the order of
// the file.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the single errors to errors.As.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}
