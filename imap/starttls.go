package imap

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
)

// maxPlain caps a line, and maxPlainLines their number, of what a server may
// say before STARTTLS is done.
const (
	maxPlain      = 64 << 10
	maxPlainLines = 100
)

// Why STARTTLS failed.
var (
	errNoStartTLS = errors.New("the server does not offer STARTTLS")
	errInjected   = errors.New("the server sent data in the clear after it agreed to STARTTLS")
	errPreauth    = errors.New("the server greeted with PREAUTH, which leaves no place for STARTTLS")
)

// byeError is a server that does not want us.
type byeError struct{ text string }

func (e *byeError) Error() string { return "the server refused the connection: " + e.text }

// startTLS speaks IMAP up to the point where the TLS handshake begins.
//
// It reads nothing past the server's consent: were any byte there already, an
// attacker (or a broken server) sent it in the clear to be taken for an
// answer inside TLS, and the connection is refused (RFC 9051, section 6.2.1;
// CVE-2021-33515 and its family). Capabilities learned here are forgotten; words
// is what the greeting says, which nobody vouches for.
func startTLS(conn net.Conn) (words string, err error) {
	r := bufio.NewReaderSize(conn, maxPlain)
	greeting, err := plainLine(r)
	if err != nil {
		return "", fmt.Errorf("no greeting from the server: %w", err)
	}
	caps, err := plainGreeting(greeting)
	if err != nil {
		return "", err
	}
	if caps == "" {
		if caps, err = plainCapabilities(conn, r); err != nil {
			return "", err
		}
	}
	if !hasWord(caps, "STARTTLS") {
		return "", errNoStartTLS
	}
	status, err := plainCommand(conn, r, "S1", "STARTTLS", nil)
	if err != nil {
		return "", err
	}
	if r.Buffered() > 0 {
		return "", errInjected
	}
	if !hasPrefixFold(status, "OK") {
		return "", fmt.Errorf("the server refused STARTTLS: %s", printable(status))
	}
	// Without the code: it may hold capabilities.
	words = greeting[len("* OK"):]
	if i := strings.IndexByte(words, ']'); strings.HasPrefix(words, " [") && i >= 0 {
		words = words[i+1:]
	}
	return strings.TrimSpace(printable(words)), nil
}

// plainGreeting gives the capabilities that the greeting names, if it does.
func plainGreeting(line string) (caps string, err error) {
	rest, ok := strings.CutPrefix(line, "* ")
	switch {
	case ok && hasPrefixFold(rest, "OK"):
		return capabilityCode(rest), nil
	case ok && hasPrefixFold(rest, "PREAUTH"):
		return "", errPreauth
	case ok && hasPrefixFold(rest, "BYE"):
		return "", &byeError{printable(strings.TrimSpace(rest[len("BYE"):]))}
	}
	return "", fmt.Errorf("what answers is no IMAP server: it said %q", printable(line))
}

// plainCapabilities asks for the capabilities.
func plainCapabilities(conn net.Conn, r *bufio.Reader) (string, error) {
	var caps string
	status, err := plainCommand(conn, r, "S0", "CAPABILITY", func(line string) {
		if hasPrefixFold(line, "CAPABILITY ") {
			caps = line[len("CAPABILITY "):]
		}
	})
	if err == nil && caps == "" {
		caps = capabilityCode(status)
	}
	return caps, err
}

// plainCommand sends a command and gives the status that ends it. untagged is
// told the responses before, without the star.
func plainCommand(conn net.Conn, r *bufio.Reader, tag, command string, untagged func(string)) (string, error) {
	if _, err := conn.Write([]byte(tag + " " + command + "\r\n")); err != nil {
		return "", err
	}
	for range maxPlainLines {
		line, err := plainLine(r)
		if err != nil {
			return "", err
		}
		if status, ok := strings.CutPrefix(line, tag+" "); ok {
			return status, nil
		}
		rest, ok := strings.CutPrefix(line, "* ")
		if !ok {
			return "", fmt.Errorf("unexpected answer to %s: %q", command, printable(line))
		}
		if hasPrefixFold(rest, "BYE") {
			return "", &byeError{printable(strings.TrimSpace(rest[len("BYE"):]))}
		}
		if untagged != nil {
			untagged(rest)
		}
	}
	return "", fmt.Errorf("the server talks on and does not answer %s", command)
}

// plainLine reads a line and gives it without its end.
func plainLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			return "", fmt.Errorf("a line of over %d bytes", maxPlain)
		}
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func capabilityCode(s string) string {
	i := strings.Index(strings.ToUpper(s), "[CAPABILITY ")
	if i < 0 {
		return ""
	}
	caps, _, _ := strings.Cut(s[i+len("[CAPABILITY "):], "]")
	return caps
}

func hasWord(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if strings.EqualFold(w, word) {
			return true
		}
	}
	return false
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// printable makes what a server said fit for a terminal and a log line.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return '?'
		}
		return r
	}, s)
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
