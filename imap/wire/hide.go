package wire

import (
	"slices"
	"strings"
)

// minSecret is how long, in bytes, a secret must be to be hidden: a shorter
// one would be found everywhere.
const minSecret = 4

// Hide keeps secrets out of the server's texts from now on: out of traces,
// alerts, and what becomes an error. There are servers that repeat a command
// which they refuse.
func (c *Conn) Hide(secrets ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= minSecret && !slices.Contains(c.secrets, s) {
			c.secrets = append(c.secrets, s)
		}
	}
	// The longest first: one may be a part of another.
	slices.SortFunc(c.secrets, func(a, b string) int { return len(b) - len(a) })
}

// hide is text without secrets. The caller holds c.mu.
func (c *Conn) hide(text string) string {
	for _, s := range c.secrets {
		text = strings.ReplaceAll(text, s, "(secret)")
	}
	return text
}

// hideRest takes secrets out of what the cursor has before it.
func (c *Conn) hideRest(k *cursor) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.secrets) > 0 {
		k.line = append(k.line[:k.pos:k.pos], c.hide(string(k.rest()))...)
	}
}
