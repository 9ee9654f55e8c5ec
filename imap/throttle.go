package imap

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// How long a server is left alone at least that did not say how long.
const (
	afterBusy        = time.Minute // a subsystem, or a mailbox, is busy
	afterConnections = time.Minute // others close theirs
	afterCommands    = 5 * time.Minute
	afterLogins      = 15 * time.Minute // or the server locks the account
	afterBandwidth   = time.Hour        // limits that count the bytes of a day
	// longestAsked is what is believed of a server that names a time.
	longestAsked = 24 * time.Hour
)

// A plea is what a server asks for that wants fewer of us.
type plea struct {
	after time.Duration
	// told: the server itself named the time.
	told bool
}

// suggested is how Exchange names a time.
var suggested = regexp.MustCompile(`SUGGESTED BACKOFF TIME:\s*(\d+)\s*(MILLISECOND|SECOND)`)

// pleas are the words by which servers say that the whole account is to come
// back later.
var pleas = []struct {
	words *regexp.Regexp
	after time.Duration
}{
	// Gmail: "Account exceeded command or bandwidth limits."
	{regexp.MustCompile(`EXCEED.*\bBANDWIDTH|BANDWIDTH LIMIT.*EXCEED`), afterBandwidth},
	{regexp.MustCompile(`TOO MANY (\S+ ){0,2}(LOGIN|AUTH)`), afterLogins},
	// Gmail: "Too many simultaneous connections."
	{regexp.MustCompile(`TOO MANY (\S+ ){0,3}(CONNECTION|SESSION)`), afterConnections},
	// Dovecot: "Maximum number of connections from user+IP exceeded"; Courier: "Maximum login limit reached"
	{regexp.MustCompile(`MAXIMUM (NUMBER OF (\S+ ){0,2}CONNECTIONS|LOGIN LIMIT)`), afterConnections},
	{regexp.MustCompile(`TOO MANY (\S+ ){0,2}(COMMAND|REQUEST)`), afterCommands},
	// Yahoo: "[LIMIT] UID FETCH Rate limit hit."
	{regexp.MustCompile(`RATE LIMIT (WAS |IS )?(HIT|EXCEEDED|REACHED)|EXCEEDED.*\bRATE LIMIT`), afterCommands},
	// Exchange: "Request is throttled."
	{regexp.MustCompile(`\[THROTTLED\]|(REQUEST|ACCOUNT|USER|CLIENT) (IS|WAS|HAS BEEN) (BEING )?THROTTLED`), afterCommands},
	// Exchange, where a budget is used up: "Server Unavailable. 15"
	{regexp.MustCompile(`SERVER UNAVAILABLE\. 15|AUTHENTICATED BUT NOT CONNECTED`), afterCommands},
}

// broad are words that mean as much where no mailbox and no message can be
// meant: in a greeting, in a BYE and in the answer to a login.
var broad = regexp.MustCompile(`\[LIMIT\]|TOO MANY|RATE LIMIT|BANDWIDTH|THROTTL|NUMBER OF CONNECTIONS`)

// mayPlead tells whether a refusal with a response code may be about the
// account. The others say what they are about (RFC 5530), and may name a
// mailbox that is called like anything.
func mayPlead(code string) bool {
	switch code {
	case "", "ALERT", "INUSE", "LIMIT", "OVERQUOTA", "SERVERBUG", "THROTTLED", "UNAVAILABLE":
		return true
	}
	return false
}

// pleaOf tells whether a refusal asks the whole account to come back later.
// One that may be about one mailbox or one message does not.
func pleaOf(code, text string) (plea, bool) {
	code, text = strings.ToUpper(code), strings.ToUpper(text)
	if code == "" {
		if inner, rest, ok := strings.Cut(text, "] "); ok && strings.HasPrefix(inner, "[") {
			code, text = inner[1:], rest
		}
	}
	if !mayPlead(code) {
		return plea{}, false
	}
	text = "[" + code + "] " + text
	if m := suggested.FindStringSubmatch(text); m != nil {
		unit := time.Millisecond
		if m[2] == "SECOND" {
			unit = time.Second
		}
		n, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil || n > int64(longestAsked/unit) {
			return plea{longestAsked, true}, true
		}
		return plea{time.Duration(n) * unit, true}, true
	}
	for _, p := range pleas {
		if p.words.MatchString(text) {
			return plea{after: p.after}, true
		}
	}
	return plea{}, false
}

// broadPlea is pleaOf for what cannot be about a mailbox or a message.
func broadPlea(code, text string) (plea, bool) {
	if p, ok := pleaOf(code, text); ok {
		return p, true
	}
	if strings.EqualFold(code, "LIMIT") || broad.MatchString(strings.ToUpper(text)) {
		return plea{after: afterCommands}, true
	}
	return plea{}, false
}

// hint says it to a person.
func (p plea) hint() string {
	if !p.told {
		return "the server wants fewer connections or commands: wait " + spell(p.after)
	}
	return "the server asks to be left alone for " + spell(p.after)
}

// spell writes a time to wait, rounded up: "5 minutes".
func spell(d time.Duration) string {
	unit, name := time.Hour, "hour"
	switch {
	case d < time.Minute:
		unit, name = time.Second, "second"
	case d <= 2*time.Hour-time.Minute && d%time.Hour != 0:
		unit, name = time.Minute, "minute"
	}
	n := max(1, (d+unit-1)/unit)
	if n != 1 {
		name += "s"
	}
	return fmt.Sprintf("%d %s", n, name)
}

// fault is err as what it means for the account.
func (p plea) fault(err error) *mail.Fault {
	f := mail.NewFault(mail.GradeAccount, mail.ClassThrottle, err, p.hint())
	f.After = p.after
	return f
}

// A hearing remembers the first plea that came over a connection, whoever
// waited for the answer that it was.
type hearing struct {
	mu   sync.Mutex
	plea plea
	said string // "" if there was none
}

// hear looks at a line from the server: at refusals and BYE. What a server
// says along with success ("OK Success [THROTTLED]", Gmail) asks for nothing.
func (h *hearing) hear(line string) {
	var p plea
	var ok bool
	tag, text, _ := strings.Cut(line, " ")
	switch {
	case tag == "+":
		return
	case tag == "*":
		if !hasPrefixFold(text, "BYE ") {
			return
		}
		text = text[len("BYE "):]
		p, ok = broadPlea("", text)
	case hasPrefixFold(text, "NO "), hasPrefixFold(text, "BAD "):
		_, text, _ = strings.Cut(text, " ")
		p, ok = pleaOf("", text)
	}
	if !ok {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said == "" || p.told && !h.plea.told {
		h.plea, h.said = p, printable(text)
	}
}

// heard gives the plea as a fault of the account, nil if there was none.
func (h *hearing) heard(host string) *mail.Fault {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.said == "" {
		return nil
	}
	return h.plea.fault(fmt.Errorf("%s says: %s", host, h.said))
}

// heed notes what the server asked for over s: from then on the account sends
// nothing more in this run, whoever asks.
func (a *Account) heed(s *session) {
	if a.unwelcome == nil && s != nil {
		if f := s.ear.pleas.heard(a.opt.Endpoint.Host); f != nil {
			a.unwelcome = f
		}
	}
}

// heeded is err, or, where that came of what the server asked for, that.
// An answer stays recognizable as one.
func (a *Account) heeded(err error) error {
	switch {
	case err == nil || a.unwelcome == nil || mail.GradeOf(err, 0) == mail.GradeAccount:
		return err
	case refusedByServer(err):
		return refusal(mail.GradeMailbox, err)
	case isLoss(err) || isLost(err):
		return a.unwelcome
	}
	return err
}
