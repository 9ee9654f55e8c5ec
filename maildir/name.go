package maildir

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-mail/godwit/mail"
)

// A Layout says how the levels of a mailbox name lie on the disk.
type Layout string

// The layouts.
const (
	// FS: ROOT/INBOX, ROOT/Work/Deep.
	FS Layout = "fs"
	// PlusPlus: ROOT is the INBOX, ROOT/.Work.Deep (Maildir++).
	PlusPlus Layout = "maildir++"
)

// An Encoding says how names are written on the disk.
type Encoding string

// The encodings.
const (
	UTF8 Encoding = "utf-8"
	UTF7 Encoding = "utf-7" // modified UTF-7, RFC 3501, section 5.1.3
)

// names maps mailbox names to paths and back, one to one. A level of a name
// stands on the disk as it is, but for what a disk cannot hold or would
// confuse, which is escaped:
//
//   - %XX is one byte of UTF-8, in upper-case hexadecimal: control characters,
//     bytes that are not UTF-8, a leading dot (in Maildir++ every dot), and the
//     first letter of cur, new, tmp and of our own files' names. A "%" is
//     escaped where it would otherwise be read as an escape.
//   - "%-" is the empty level.
//   - What is then longer than a file name may be is cut, and "%~" and half a
//     digest are added; the whole stands in the file .godwit-name inside.
//
// Where a file system takes two names for one (no difference between upper and lower
// case, or between composed and decomposed characters), the second has all
// its letters escaped.
type names struct {
	layout   Layout
	encoding Encoding
}

const (
	maxComponent = 255 // bytes in a file name, on every file system in use
	maxLevels    = 256 // of a name in layout FS: the walk keeps a directory open for each
	nameFile     = ".godwit-name"
	markerFile   = ".godwit"
	shortMark    = "%~"
	shortDigest  = 32 // hexadecimal digits
	emptyLevel   = "%-"
)

// A component is one directory on the way to a mailbox.
type component struct {
	disk string
	// whole is what must stand in nameFile, "" for a name that is not cut.
	whole string
}

// components gives the path of a mailbox below the root. In Maildir++ the
// INBOX is the root itself, and has none.
func (n names) components(name mail.MailboxName) []component {
	levels := name.Levels()
	if n.layout == PlusPlus {
		if name == mail.Inbox {
			return nil
		}
		return []component{n.plusPlus(levels, false)}
	}
	out := make([]component, len(levels))
	for i, level := range levels {
		out[i] = n.level(level, false)
	}
	return out
}

// level is one level of layout fs; all asks for the form that differs from
// others by more than case and composition.
func (n names) level(raw string, all bool) component {
	return shorten(n.escape(raw, all))
}

// plusPlus is a whole name in Maildir++.
func (n names) plusPlus(levels []string, all bool) component {
	parts := make([]string, len(levels))
	for i, level := range levels {
		parts[i] = n.escape(level, all)
	}
	return shorten("." + strings.Join(parts, "."))
}

// decodeLevel reads what level wrote; ok is false for a directory that does not have
// the name of a mailbox. whole is the content of its nameFile, if it needs one.
func (n names) decodeLevel(disk, whole string) (raw string, ok bool) {
	enc, ok := lengthen(disk, whole)
	if !ok {
		return "", false
	}
	raw, ok = n.unescape(enc)
	return raw, ok
}

// decodePlusPlus reads what plusPlus wrote.
func (n names) decodePlusPlus(disk, whole string) (levels []string, ok bool) {
	enc, ok := lengthen(disk, whole)
	if !ok || !strings.HasPrefix(enc, ".") {
		return nil, false
	}
	for _, part := range strings.Split(enc[1:], ".") {
		raw, ok := n.unescape(part)
		if !ok {
			return nil, false
		}
		levels = append(levels, raw)
	}
	return levels, disk == n.plusPlus(levels, false).disk || disk == n.plusPlus(levels, true).disk
}

// shorten cuts an escaped name to what a file name can hold.
func shorten(enc string) component {
	if len(enc) <= maxComponent {
		return component{disk: enc}
	}
	cut := maxComponent - len(shortMark) - shortDigest
	for !utf8.RuneStart(enc[cut]) {
		cut--
	}
	sum := sha256.Sum256([]byte(enc))
	return component{disk: enc[:cut] + shortMark + hex.EncodeToString(sum[:])[:shortDigest], whole: enc}
}

// lengthen undoes shorten.
func lengthen(disk, whole string) (enc string, ok bool) {
	if !isShort(disk) {
		return disk, len(disk) <= maxComponent
	}
	return whole, len(whole) > maxComponent && shorten(whole).disk == disk
}

// isShort tells whether a name ends as shorten makes it.
func isShort(disk string) bool {
	i := len(disk) - shortDigest - len(shortMark)
	if i < 0 || disk[i:i+len(shortMark)] != shortMark {
		return false
	}
	for _, c := range []byte(disk[i+len(shortMark):]) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// escape writes one level.
func (n names) escape(raw string, all bool) string {
	out := n.escapeUTF8(raw, all)
	if n.encoding == UTF7 {
		return mail.EncodeUTF7(out)
	}
	return out
}

func (n names) escapeUTF8(raw string, all bool) string {
	if raw == "" {
		return emptyLevel
	}
	var out strings.Builder
	for i := 0; i < len(raw); {
		r, size := utf8.DecodeRuneInString(raw[i:])
		var esc bool
		switch {
		case r == utf8.RuneError && size == 1, r < 0x20, r == 0x7f:
			esc = true
		case r == '.':
			esc = i == 0 || n.layout == PlusPlus
		case r == '%':
			esc = looksEscaped(raw, i)
		default:
			esc = all && (unicode.IsLetter(r) || size > 1) || i == 0 && n.reserved(raw)
		}
		if esc {
			for _, b := range []byte(raw[i : i+size]) {
				fmt.Fprintf(&out, "%%%02X", b)
			}
		} else {
			out.WriteString(raw[i : i+size])
		}
		i += size
	}
	return out.String()
}

// reserved tells whether a level has the name of something else.
func (n names) reserved(raw string) bool {
	if n.layout == PlusPlus { // behind a dot
		return "."+raw == markerFile || "."+raw == nameFile
	}
	return slices.Contains([]string{"cur", "new", "tmp", keywordsFile, keywordsLock}, raw)
}

// looksEscaped tells whether the "%" at i would be read as an escape.
func looksEscaped(raw string, i int) bool {
	return raw == emptyLevel || escapeAt(raw, i) || isShort(raw[i:]) && len(raw[i:]) == len(shortMark)+shortDigest
}

func escapeAt(s string, i int) bool {
	return i+2 < len(s) && s[i] == '%' && upperHex(s[i+1]) && upperHex(s[i+2])
}

func upperHex(c byte) bool { return c >= '0' && c <= '9' || c >= 'A' && c <= 'F' }

// unescape reads one level. It takes only what escape gives.
func (n names) unescape(enc string) (raw string, ok bool) {
	text := enc
	if n.encoding == UTF7 {
		var err error
		if text, err = mail.DecodeUTF7(enc); err != nil {
			return "", false
		}
	}
	if text != emptyLevel {
		raw = unescapeUTF8(text)
	}
	if strings.Contains(raw, "/") {
		return "", false
	}
	return raw, n.escape(raw, false) == enc || n.escape(raw, true) == enc
}

func unescapeUTF8(text string) string {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if !escapeAt(text, i) {
			out.WriteByte(text[i])
			continue
		}
		b, _ := hex.DecodeString(text[i+1 : i+3])
		out.Write(b)
		i += 2
	}
	return out.String()
}
