package mail

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
)

// lightDigest collects LightFields: the first of each name, white space
// folded, so that a server that refolds a header gives the same digest.
type lightDigest struct {
	values [6][]byte
	have   [6]bool
	text   []byte // scratch
}

// reset forgets the fields. It keeps their memory, if it is not much.
func (l *lightDigest) reset() {
	l.have = [6]bool{}
	for i, v := range l.values {
		if cap(v) > 4<<10 {
			l.values[i] = nil
		}
	}
	if cap(l.text) > 16<<10 {
		l.text = nil
	}
}

// add takes the field LightFields[i].
func (l *lightDigest) add(i int, value []byte) {
	if l.have[i] {
		return
	}
	folded := l.values[i][:0]
	for word := range bytes.FieldsSeq(value) {
		if len(folded) > 0 {
			folded = append(folded, ' ')
		}
		folded = append(folded, word...)
	}
	l.have[i], l.values[i] = true, folded
}

// maxMessageID is the longest Message-ID that is told, in bytes: as long as a
// line may be (RFC 5322, section 2.1.1).
const maxMessageID = 998

func (l *lightDigest) messageID() string {
	i := slices.Index(LightFields, "Message-ID")
	if !l.have[i] {
		return ""
	}
	id := TrimMessageID(string(l.values[i]))
	if len(id) > maxMessageID {
		return ""
	}
	return id
}

// TrimMessageID takes "<" and ">" and white space off a Message-ID.
func TrimMessageID(text string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "<"), ">")
}

func (l *lightDigest) sum() Digest {
	text := l.text[:0]
	for i, f := range LightFields {
		if l.have[i] {
			text = append(append(text, f...), ':')
			text = append(strconv.AppendInt(text, int64(len(l.values[i])), 10), ':')
			text = append(append(text, l.values[i]...), '\n')
		}
	}
	l.text = text
	return sha256.Sum256(text)
}

// NoLightFields is the Light digest of a message that has none of LightFields:
// it tells nothing about which message it is.
var NoLightFields = (&lightDigest{}).sum()
