package sidetest

import "bytes"

// Canonical is raw with every line end as CRLF: an LF that no CR precedes
// gets one. A CR alone stays.
func Canonical(raw []byte) []byte {
	if canonicalSize(raw) == int64(len(raw)) {
		return raw
	}
	out := make([]byte, 0, canonicalSize(raw))
	for i, c := range raw {
		if c == '\n' && (i == 0 || raw[i-1] != '\r') {
			out = append(out, '\r')
		}
		out = append(out, c)
	}
	return out
}

func canonicalSize(raw []byte) int64 {
	return int64(len(raw) + bytes.Count(raw, []byte("\n")) - bytes.Count(raw, []byte("\r\n")))
}

// toLF is raw with LF for every CRLF if that can be undone: if no LF stands
// alone, and no CR would come to stand before a line end. Otherwise it is raw.
func toLF(raw []byte) []byte {
	if canonicalSize(raw) != int64(len(raw)) || bytes.Contains(raw, []byte("\r\r\n")) {
		return raw
	}
	return bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
}
