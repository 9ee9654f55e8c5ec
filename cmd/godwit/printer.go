package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// A printer writes whole lines, one at a time. While a progress display is on
// the terminal, lines pass through it.
type printer struct {
	app *app

	mu    sync.Mutex
	above io.Writer // the progress display, nil if there is none
}

// line writes a line of text to standard output; not with --json.
func (p *printer) line(format string, args ...any) {
	if !p.app.json {
		p.write(p.app.stdout, clean(fmt.Sprintf(format, args...))+"\n")
	}
}

// info is line, but not with -q.
func (p *printer) info(format string, args ...any) {
	if !p.app.quiet {
		p.line(format, args...)
	}
}

// errorLine writes a line to standard error.
func (p *printer) errorLine(text string) {
	p.write(p.app.stderr, clean(text)+"\n")
}

// object writes a JSON object, with its time filled in.
func (p *printer) object(r record) {
	if r.Time == "" {
		r.Time = p.app.now().Format(time.RFC3339)
	}
	text, err := json.Marshal(r)
	if err != nil { // a record holds nothing that cannot be marshalled
		p.errorLine(err.Error())
		return
	}
	p.write(p.app.stdout, string(text)+"\n")
}

func (p *printer) write(w io.Writer, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.above != nil {
		w = p.above
	}
	// A reader that went away is no reason to stop half-way.
	_, _ = io.WriteString(w, text)
}

// through sends all lines through w, nil for straight.
func (p *printer) through(w io.Writer) {
	p.mu.Lock()
	p.above = w
	p.mu.Unlock()
}

// clean makes text fit for a terminal: what a server or a disk says must not
// move the cursor, change its title or reverse the order of what is read.
func clean(text string) string {
	if strings.IndexFunc(text, unfit) < 0 && utf8.ValidString(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unfit(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// unfit tells whether a character does something to a terminal other than
// show itself: controls, and marks that change the direction of text.
func unfit(r rune) bool {
	return unicode.IsControl(r) || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' ||
		r == '\u200e' || r == '\u200f' || r == '\u061c' || r == '\u2028' || r == '\u2029'
}

// bytesText is a size for people.
func bytesText(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 1e3:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	}
	return fmt.Sprintf("%d B", n)
}

// count is a number with its noun: "1 message", "2 messages", "2 mailboxes".
func count(n int, noun string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case strings.HasSuffix(noun, "x"):
		return fmt.Sprintf("%d %ses", n, noun)
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// ageText is a span of time for people, in its largest unit.
func ageText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < time.Hour:
		return count(int(d/time.Minute), "minute")
	case d < 48*time.Hour:
		return count(int(d/time.Hour), "hour")
	}
	return count(int(d/(24*time.Hour)), "day")
}
