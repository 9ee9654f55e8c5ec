package mail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"
	"time"
)

// A Digest is a SHA-256. The zero Digest stands for "not known".
type Digest [sha256.Size]byte

// IsZero tells whether the digest is not known.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is the digest in lower-case hexadecimal, "" if not known.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return hex.EncodeToString(d[:])
}

// ParseDigest reads what String wrote; "" gives the zero Digest.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	if s == "" {
		return d, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("not a SHA-256 in hexadecimal: %q", s)
	}
	copy(d[:], b)
	return d, nil
}

// An Identity is what is known of the bytes of a message, from least to most
// costly to learn. Each field that is known is non-zero. Two messages are the
// same when their Body digests are equal; the other digests find candidates.
//
// The header fields that other synchronisers leave in what they copied
// (TraceFields) count for none of them but Wire: with them and without them, a
// message is the same one.
type Identity struct {
	// GlobalID is the server's own name for the message wherever it lies:
	// EMAILID (RFC 8474) or X-GM-MSGID. Equal means the same message.
	GlobalID string
	// Size is the length in bytes of the message with every line end taken
	// as CRLF. As told by a server it is a hint only.
	Size int64
	// Light is a digest over the fields that LightFields names.
	Light Digest
	// Header is a digest over the whole header with line ends as CRLF.
	Header Digest
	// Folded is a digest over the whole header with white space folded, and
	// HeaderSize the length of the header in bytes, with the empty line and
	// line ends as CRLF. Programs that parse a message and write it again
	// change white space there. Known beside Header; no index stores them.
	Folded     Digest
	HeaderSize int64
	// Body is the identity proper: a digest over the whole message, header
	// and body, with every line end taken as CRLF.
	Body Digest
	// Wire is a digest over the exact bytes as they were read.
	Wire Digest
	// MessageID is what the header says (RFC 5322, section 3.6.4), without "<"
	// and ">", for a person to ask by; it proves nothing. Known beside Body, if
	// at all; no index stores it with the message.
	MessageID string
}

// A Level says how much of an Identity is asked for. Each includes those before.
type Level uint8

// The levels, by rising cost.
const (
	LevelNone   Level = iota // what a scan gives by itself: Size, GlobalID
	LevelLight               // Light
	LevelHeader              // Header
	LevelBody                // Body and Wire: the whole message is read
)

// Level is the highest level that is known.
func (id Identity) Level() Level {
	switch {
	case !id.Body.IsZero():
		return LevelBody
	case !id.Header.IsZero():
		return LevelHeader
	case !id.Light.IsZero():
		return LevelLight
	}
	return LevelNone
}

// LightFields names the header fields that a light digest covers. A server
// can be asked for just these; TraceFields are asked for only to be left out
// of sizes.
var LightFields = []string{"Date", "From", "Message-ID", "Subject", "To", "Cc"}

// TraceFields are the header fields that other synchronisers add to a message
// to find it again: mbsync in every copy, OfflineIMAP in what it uploads to a
// server without UIDPLUS.
var TraceFields = []string{"X-TUID", "X-OfflineIMAP"}

// An Item is a message as one side shows it: its state there, and as much of
// its identity as is known.
type Item struct {
	Flags FlagSet
	// Date is the time of arrival: INTERNALDATE on a server, the time of
	// modification of a Maildir file. Zero when unknown.
	Date  time.Time
	Ident Identity
	// Stat is a mark of the stored file (inode, size, time of modification)
	// that changes when the bytes may have changed; "" on a server. Only the
	// Side that wrote it reads it.
	Stat string
	// Token is the name that godwit gives a file after the server's message
	// that it holds (see Token); "" for all others.
	Token string
	// HintUID is the UID of the server's message that another tool wrote
	// into the file name; 0 when there is none. A hint, never a proof.
	HintUID uint32
}

// Token names the message at (mailbox, UIDVALIDITY, UID) of the account pair
// that instance identifies. A file that bears it was placed for exactly that
// message, even when no index knows of it: servers share one UIDVALIDITY
// among mailboxes, so the name of the mailbox is part of it.
func Token(instance string, mailbox MailboxName, epoch string, ref Ref) string {
	var room [256]byte
	text := room[:0]
	for _, part := range [...]string{instance, string(mailbox), epoch, string(ref)} {
		text = append(strconv.AppendInt(text, int64(len(part)), 10), ':')
		text = append(text, part...)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16])
}

// maxHeader is how much of a header is looked at for light fields; the digests
// cover all of it.
const maxHeader = 1 << 20

// A Hasher computes the Identity of the message that is written to it. Write
// never fails. It holds one header field at a time, so its memory does not
// grow with the message.
type Hasher struct {
	body, folded hash.Hash
	// wire digests the exact bytes while they differ from what body was given;
	// nil while body stands for both, as it does after the header of a message
	// whose every line ends in CRLF: a big body is digested once.
	wire   hash.Hash
	spare  hash.Hash // wire, while that is nil
	header Digest    // set at the end of the header: what body has digested by then
	light  lightDigest
	given  int64 // bytes written

	size     int64
	headSize int64
	lastCR   bool // the last byte written was a CR not yet passed on
	inHeader bool
	altered  bool   // a line end was made CRLF
	line     []byte // the header line being collected, canonical
	field    []byte // the header field being collected, with its continuations
	skipping bool   // a header line too long to collect is being passed through
	canon    []byte // scratch
	words    []byte // scratch
}

// NewHasher makes a Hasher.
func NewHasher() *Hasher {
	return &Hasher{wire: sha256.New(), body: sha256.New(), folded: sha256.New(), inHeader: true}
}

// Reset makes the Hasher ready for another message. It keeps its memory.
func (h *Hasher) Reset() {
	if h.wire == nil {
		h.wire = h.spare
	}
	for _, d := range []hash.Hash{h.wire, h.body, h.folded} {
		d.Reset()
	}
	*h = Hasher{
		wire: h.wire, body: h.body, folded: h.folded, inHeader: true,
		line: h.line[:0], field: h.field[:0], canon: h.canon, words: h.words, light: h.light,
	}
	h.light.reset()
}

// emptyLine ends the header, with the end of the line before it.
var emptyLine = []byte("\n\r\n")

// Write adds bytes of the message.
func (h *Hasher) Write(p []byte) (int, error) {
	h.add(p, false)
	return len(p), nil
}

// WriteCRLF is Write of bytes in which every LF is known to have a CR before it:
// they are not looked through for that.
func (h *Hasher) WriteCRLF(p []byte) { h.add(p, true) }

func (h *Hasher) add(p []byte, crlf bool) {
	n := 0
	if h.inHeader { // what follows the header may need one digest less
		if i := bytes.Index(p, emptyLine); i >= 0 {
			n = i + len(emptyLine)
			h.piece(p[:n], crlf)
		}
	}
	if n < len(p) {
		h.piece(p[n:], crlf)
	}
}

func (h *Hasher) piece(p []byte, crlf bool) {
	canon := p
	if crlf || isCanonical(p, h.lastCR) {
		h.lastCR = len(p) > 0 && p[len(p)-1] == '\r' || len(p) == 0 && h.lastCR
	} else {
		if cap(h.canon) < 2*len(p)+1 {
			h.canon = make([]byte, 0, 2*len(p)+1)
		}
		h.canon, h.lastCR = appendCanonical(h.canon[:0], p, h.lastCR)
		canon = h.canon
	}
	if h.wire == nil && len(canon) != len(p) {
		h.wire = clone(h.body) // from here on they differ
	}
	if h.wire != nil {
		h.wire.Write(p)
	}
	h.given += int64(len(p))
	inHeader := h.inHeader
	h.feed(canon)
	h.altered = h.altered || len(canon) != len(p)
	if inHeader && !h.inHeader && h.given == h.size && !h.altered {
		h.wire, h.spare = nil, h.wire // so far body has digested just these bytes
	}
}

// isCanonical tells whether every LF of p has a CR before it. lastCR says
// that one stands before p.
func isCanonical(p []byte, lastCR bool) bool {
	for at := 0; ; at++ {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			return true
		}
		at += i
		if at == 0 && !lastCR || at > 0 && p[at-1] != '\r' {
			return false
		}
	}
}

// clone copies the state of a SHA-256, which the standard library's can do.
func clone(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic("mail: a SHA-256 that cannot be copied: " + err.Error())
	}
	return c
}

// appendCanonical appends p to dst with each LF that no CR precedes made CRLF.
func appendCanonical(dst, p []byte, lastCR bool) ([]byte, bool) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			return append(dst, p...), p[len(p)-1] == '\r'
		}
		cr := lastCR
		if i > 0 {
			cr = p[i-1] == '\r'
		}
		dst = append(dst, p[:i]...)
		if !cr {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		p, lastCR = p[i+1:], false
	}
	return dst, lastCR
}

func (h *Hasher) feed(p []byte) {
	for h.inHeader && len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		part := p
		if i >= 0 {
			part = p[:i+1]
		}
		p = p[len(part):]
		h.headerBytes(part, i >= 0)
	}
	if len(p) > 0 {
		h.size += int64(len(p))
		h.body.Write(p)
	}
}

// headerBytes takes a piece of a header line; end says that it ends the line.
func (h *Hasher) headerBytes(part []byte, end bool) {
	if h.skipping {
		h.pass(part)
		h.folded.Write(part)
		h.skipping = !end
		return
	}
	h.line = append(h.line, part...)
	if !end {
		if len(h.line)+len(h.field) > maxHeader {
			h.endField()
			h.pass(h.line)
			h.folded.Write(h.line)
			h.line, h.skipping = h.line[:0], true
		}
		return
	}
	switch {
	case len(h.line) == 2 && h.line[0] == '\r': // the empty line
		h.endField()
		h.pass(h.line)
		h.endHeader()
	case h.line[0] == ' ' || h.line[0] == '\t':
		h.field = append(h.field, h.line...)
		if len(h.field) > maxHeader {
			h.endField()
		}
	default:
		h.endField()
		h.field = append(h.field, h.line...)
	}
	h.line = h.line[:0]
}

// endField accounts for the header field that was collected.
func (h *Hasher) endField() {
	f := h.field
	h.field = h.field[:0]
	if len(f) == 0 {
		return
	}
	if name, value, ok := splitField(f); ok {
		if fieldIndex(TraceFields, name) >= 0 {
			return
		}
		if i := fieldIndex(LightFields, name); i >= 0 {
			h.light.add(i, value)
		}
	}
	h.foldField(f)
	h.pass(f)
}

// foldField adds a field to the folded digest: its name, and its words with
// one space before each.
func (h *Hasher) foldField(f []byte) {
	out := h.words[:0]
	if i := bytes.IndexByte(f, ':'); i > 0 {
		out = append(append(out, f[:i]...), ':')
		f = f[i+1:]
	}
	for word := range bytes.FieldsSeq(f) {
		out = append(append(out, ' '), word...)
	}
	h.words = append(out, '\n')
	h.folded.Write(h.words)
}

func (h *Hasher) pass(p []byte) {
	h.size += int64(len(p))
	h.headSize += int64(len(p))
	h.body.Write(p)
}

func (h *Hasher) endHeader() {
	h.inHeader = false
	h.body.Sum(h.header[:0])
}

// Sum ends the message and gives its Identity, without a GlobalID. The Hasher
// must not be written to after.
func (h *Hasher) Sum() Identity {
	if h.inHeader {
		if len(h.line) > 0 && (h.line[0] == ' ' || h.line[0] == '\t') {
			h.field = append(h.field, h.line...)
			h.line = h.line[:0]
		}
		h.endField()
		h.field = append(h.field, h.line...)
		h.endField()
		h.endHeader()
	}
	id := Identity{Size: h.size, Light: h.light.sum(), HeaderSize: h.headSize, Header: h.header, MessageID: h.light.messageID()}
	h.folded.Sum(id.Folded[:0])
	h.body.Sum(id.Body[:0])
	id.Wire = id.Body
	if h.wire != nil {
		h.wire.Sum(id.Wire[:0])
	}
	return id
}

// Identify reads a whole message and gives its Identity, without a GlobalID.
func Identify(r io.Reader) (Identity, error) {
	h := NewHasher()
	if _, err := io.Copy(h, r); err != nil {
		return Identity{}, err
	}
	return h.Sum(), nil
}

// IdentifyHeader reads a header, or the part of one that holds LightFields
// and TraceFields (the answer to BODY.PEEK[HEADER.FIELDS (…)]), and gives its
// Light digest and the number of bytes, line ends as CRLF, that TraceFields
// take in it: subtract them from a size told by a server. Header,
// Folded and HeaderSize are true only when the header was whole.
func IdentifyHeader(r io.Reader) (id Identity, traces int64, err error) {
	var count counter
	h := NewHasher()
	if _, err := io.Copy(io.MultiWriter(h, &count), r); err != nil {
		return Identity{}, 0, err
	}
	full := h.Sum()
	return Identity{Light: full.Light, Header: full.Header, Folded: full.Folded, HeaderSize: full.HeaderSize}, count.canonical() - full.Size, nil
}

// counter counts bytes with line ends as CRLF.
type counter struct {
	n      int64
	lastCR bool
}

func (c *counter) Write(p []byte) (int, error) {
	for i, b := range p {
		if b == '\n' && !(c.lastCR && i == 0) && (i == 0 || p[i-1] != '\r') {
			c.n++
		}
		c.n++
	}
	if len(p) > 0 {
		c.lastCR = p[len(p)-1] == '\r'
	}
	return len(p), nil
}

func (c *counter) canonical() int64 { return c.n }

func splitField(f []byte) (name, value []byte, ok bool) {
	i := bytes.IndexByte(f, ':')
	if i <= 0 {
		return nil, nil, false
	}
	return bytes.TrimRight(f[:i], " \t"), f[i+1:], true
}

// fieldIndex finds a field by its name in any case, -1 if it is not there.
func fieldIndex(names []string, name []byte) int {
	for i, n := range names {
		if strings.EqualFold(n, string(name)) {
			return i
		}
	}
	return -1
}
