package maildir

import (
	"bytes"
	"io"
)

// maxHeaderRead is how much of a header is read to tell messages apart.
const maxHeaderRead = 1 << 20

// A headerReader gives a message up to the empty line that ends its header.
type headerReader struct {
	r    io.Reader
	tail []byte // the last bytes given, up to 2
	n    int
	done bool
}

// Read gives the next part of the header.
func (h *headerReader) Read(p []byte) (int, error) {
	if h.done || h.n >= maxHeaderRead {
		return 0, io.EOF
	}
	if h.tail == nil {
		h.tail = []byte("\n") // a message can begin with the empty line
	}
	if len(p) > 4096 {
		p = p[:4096]
	}
	n, err := h.r.Read(p)
	joined := append(bytes.Clone(h.tail), p[:n]...)
	if end := headerEnd(joined); end >= 0 {
		n, h.done = end-len(h.tail), true
	}
	h.tail = joined[max(0, len(joined)-2):]
	h.n += n
	return n, err
}

// headerEnd is the offset behind the first empty line in p, -1 if there is none.
func headerEnd(p []byte) int {
	end := -1
	for _, mark := range []string{"\n\n", "\n\r\n"} {
		if i := bytes.Index(p, []byte(mark)); i >= 0 && (end < 0 || i+len(mark) < end) {
			end = i + len(mark)
		}
	}
	return end
}
