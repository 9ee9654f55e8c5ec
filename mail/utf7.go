package mail

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// utf7Base64 is the alphabet of modified UTF-7: "," in place of "/", and no
// padding (RFC 3501, section 5.1.3). Strict: bits that stand for nothing must
// be zero.
var utf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// ErrUTF7 is wrapped by the error of a name that is not modified UTF-7.
var ErrUTF7 = errors.New("not modified UTF-7")

// EncodeUTF7 writes a mailbox name in modified UTF-7 (RFC 3501, section
// 5.1.3). Bytes that are not valid UTF-8 become U+FFFD; a caller that must be
// able to come back checks the name before.
func EncodeUTF7(name string) string {
	var out strings.Builder
	var shifted []rune
	flush := func() {
		if len(shifted) > 0 {
			out.WriteByte('&')
			out.WriteString(utf7Base64.EncodeToString(utf16Bytes(shifted)))
			out.WriteByte('-')
			shifted = shifted[:0]
		}
	}
	for _, r := range name {
		switch {
		case r == '&':
			flush()
			out.WriteString("&-")
		case utf7Direct(r):
			flush()
			out.WriteByte(byte(r))
		default:
			shifted = append(shifted, r)
		}
	}
	flush()
	return out.String()
}

// DecodeUTF7 reads a mailbox name in modified UTF-7. It is strict: what it
// takes, EncodeUTF7 gives back byte for byte. So characters that can represent
// themselves must, shifts must not be superfluous, and 8-bit bytes are
// refused (RFC 3501, section 5.1.3). The error wraps ErrUTF7.
func DecodeUTF7(name string) (string, error) {
	var out strings.Builder
	afterShift := false // a base64 run has just ended
	for i := 0; i < len(name); {
		c := name[i]
		if c != '&' {
			if !utf7Direct(rune(c)) {
				return "", fmt.Errorf("%w: byte 0x%02x in %q", ErrUTF7, c, name)
			}
			out.WriteByte(c)
			i++
			afterShift = false
			continue
		}
		end := strings.IndexByte(name[i:], '-')
		if end < 0 {
			return "", fmt.Errorf("%w: a shift does not end in %q", ErrUTF7, name)
		}
		run := name[i+1 : i+end]
		i += end + 1
		if run == "" {
			out.WriteByte('&')
			afterShift = false
			continue
		}
		if afterShift {
			return "", fmt.Errorf("%w: superfluous shift in %q", ErrUTF7, name)
		}
		if err := utf7Run(&out, run); err != nil {
			return "", fmt.Errorf("%w: %s in %q", ErrUTF7, err, name)
		}
		afterShift = true
	}
	return out.String(), nil
}

// utf7Direct tells whether r represents itself. "&" does not.
func utf7Direct(r rune) bool { return r >= 0x20 && r <= 0x7e && r != '&' }

func utf16Bytes(runes []rune) []byte {
	units := utf16.Encode(runes)
	b := make([]byte, 0, 2*len(units))
	for _, u := range units {
		b = append(b, byte(u>>8), byte(u))
	}
	return b
}

// utf7Run decodes what stands between "&" and "-".
func utf7Run(out *strings.Builder, run string) error {
	// The decoder of the standard library passes over line ends.
	if strings.ContainsAny(run, "\r\n") {
		return errors.New("line end")
	}
	b, err := utf7Base64.DecodeString(run)
	if err != nil {
		return err
	}
	if len(b)%2 != 0 {
		return errors.New("half a character")
	}
	for i := 0; i < len(b); i += 2 {
		r := rune(b[i])<<8 | rune(b[i+1])
		if utf16.IsSurrogate(r) {
			if i+3 >= len(b) {
				return errors.New("half a surrogate pair")
			}
			r = utf16.DecodeRune(r, rune(b[i+2])<<8|rune(b[i+3]))
			if r == utf8.RuneError {
				return errors.New("broken surrogate pair")
			}
			i += 2
		}
		if r == '&' || utf7Direct(r) {
			return errors.New("shifted character that represents itself")
		}
		out.WriteRune(r)
	}
	return nil
}
