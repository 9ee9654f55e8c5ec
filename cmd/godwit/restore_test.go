package main

import (
	"io"
	"strings"
	"testing"
)

// Only a clear yes counts.
func TestAsk(t *testing.T) {
	for answer, want := range map[string]bool{
		"y\n": true, "Yes\n": true, " YES \n": true, "y": true,
		"": false, "\n": false, "n\n": false, "no\n": false, "yesterday\n": false, "j\n": false,
	} {
		a := &app{stdin: strings.NewReader(answer), stderr: io.Discard}
		if got := a.ask("go on?"); got != want {
			t.Errorf("%q is taken for %v", answer, got)
		}
		if a.canAsk() {
			t.Error("who reads from a pipe can be asked")
		}
	}
}
