package maildir

import (
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
)

// infoSeparator ends the key and begins the info (flags) in a file name.
const infoSeparator = ':'

// ownSuffix ends the keys that godwit makes; other tools may add ",S=…" to it.
const ownSuffix = ".godwit"

// splitName splits a file name into key and info; info begins with the
// separator, or is "".
func splitName(name string) (key, info string) {
	if i := strings.IndexByte(name, infoSeparator); i >= 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// isKey tells whether a file can have this key.
func isKey(key string) bool {
	return key != "" && key[0] != '.' && !strings.ContainsAny(key, "/:\x00")
}

// letters are the flag letters in an info, as they stand there; rest is what
// follows them after a comma. Infos of another kind than ":2," have none.
func letters(info string) (flags, rest string) {
	text, ok := strings.CutPrefix(info, ":2,")
	if !ok {
		return "", ""
	}
	if i := strings.IndexByte(text, ','); i >= 0 {
		return text[:i], text[i:]
	}
	return text, ""
}

// withLetters is info with other flag letters: sorted, each once, what
// another tool wrote after them kept.
func withLetters(info, flags string) string {
	_, rest := letters(info)
	return ":2," + sortLetters(flags) + rest
}

// sortLetters puts the ASCII letters in order, each once (the order that
// every Maildir program keeps), and leaves anything else behind them as it stood.
func sortLetters(flags string) string {
	var known, other []byte
	for i := 0; i < len(flags); i++ {
		if c := flags[i]; c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			known = append(known, c)
		} else {
			other = append(other, c)
		}
	}
	slices.Sort(known)
	return string(slices.Compact(known)) + string(other)
}

// tokenKey is the key of a file that holds the server's message that token names.
func tokenKey(date time.Time, token string) string {
	key := make([]byte, 0, 20+len(".G")+len(token)+len(ownSuffix))
	key = append(strconv.AppendInt(key, date.Unix(), 10), ".G"...)
	return string(append(append(key, token...), ownSuffix...))
}

// uniqueKey is a key that no other file has and that bears no token.
func uniqueKey(now time.Time) string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails (crypto/rand)
	return fmt.Sprintf("%d.M%dP%dR%x%s", now.Unix(), now.Nanosecond()/1000, os.Getpid(), random, ownSuffix)
}

// validToken tells whether a token has the form that mail.Token gives.
func validToken(token string) bool {
	return len(token) == 32 && strings.Trim(token, "0123456789abcdef") == ""
}

// parseToken reads the token out of a key that tokenKey made; "" if there is none.
func parseToken(key string) string {
	base, _, _ := strings.Cut(key, ",")
	base, ok := strings.CutSuffix(base, ownSuffix)
	if !ok {
		return ""
	}
	seconds, unique, ok := strings.Cut(base, ".")
	if !ok {
		return ""
	}
	if _, err := strconv.ParseInt(seconds, 10, 64); err != nil {
		return ""
	}
	token, ok := strings.CutPrefix(unique, "G")
	if !ok || !validToken(token) {
		return ""
	}
	return token
}

// parseUID reads the UID that mbsync and OfflineIMAP write into a key as
// ",U=<n>"; 0 if there is none.
func parseUID(key string) uint32 {
	_, text, ok := strings.Cut(key, ",U=")
	if !ok {
		return 0
	}
	text, _, _ = strings.Cut(text, ",")
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// systemLetters are the letters that every Maildir program knows.
var systemLetters = [...]struct {
	letter byte
	flag   mail.Flag
}{
	{'D', mail.Draft},
	{'F', mail.Flagged},
	{'P', mail.Forwarded},
	{'R', mail.Answered},
	{'S', mail.Seen},
	{'T', mail.Deleted},
}
