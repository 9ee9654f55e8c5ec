package imaptest

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// selected is the mailbox that a connection has selected, and which of its
// messages it was told of.
type selected struct {
	box  *mailbox
	told []uint32 // UIDs, by sequence number
	// quick: QRESYNC is enabled, and VANISHED is told in place of EXPUNGE.
	quick bool
}

// changes tells what came and went since it was told last.
func (at *selected) changes() string {
	if at.box == nil {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(at.told); {
		if at.box.find(at.told[i]) != nil {
			i++
			continue
		}
		if at.quick {
			fmt.Fprintf(&b, "* VANISHED %d\r\n", at.told[i])
		} else {
			fmt.Fprintf(&b, "* %d EXPUNGE\r\n", i+1)
		}
		at.told = slices.Delete(at.told, i, i+1)
	}
	if len(at.told) != len(at.box.letters) {
		at.told = at.box.uids()
		fmt.Fprintf(&b, "* %d EXISTS\r\n", len(at.told))
	}
	return b.String()
}

func (b *mailbox) uids() []uint32 {
	uids := make([]uint32, len(b.letters))
	for i, l := range b.letters {
		uids[i] = l.UID
	}
	return uids
}

func (b *mailbox) find(uid uint32) *Letter {
	for _, l := range b.letters {
		if l.UID == uid {
			return l
		}
	}
	return nil
}

func (m *Mailstore) open(at *selected, a *arguments) (string, string) {
	b := m.find(a.next())
	text := ""
	if at.quick && at.box != nil {
		text = "* OK [CLOSED] closed\r\n"
	}
	if b == nil {
		*at = selected{quick: at.quick}
		return text, "NO [NONEXISTENT] no such mailbox"
	}
	if strings.Contains(a.rest, "(QRESYNC") && !at.quick {
		return "", "BAD enable it first"
	}
	*at = selected{b, b.uids(), at.quick}
	text += fmt.Sprintf("* FLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft)\r\n* %d EXISTS\r\n* 0 RECENT\r\n"+
		"* OK [PERMANENTFLAGS (\\Seen \\Answered \\Flagged \\Deleted \\Draft \\*)] ok\r\n* OK [UIDVALIDITY %d] ok\r\n", len(b.letters), b.validity)
	if !m.NoNext && !m.NoSelectNext {
		text += fmt.Sprintf("* OK [UIDNEXT %d] ok\r\n", b.next)
	}
	if m.has("CONDSTORE") {
		text += fmt.Sprintf("* OK [HIGHESTMODSEQ %d] ok\r\n", b.mod)
	}
	return text + m.resync(at, a.rest), ""
}

// resync tells what changed, where a SELECT asks with QRESYNC.
func (m *Mailstore) resync(at *selected, args string) string {
	_, args, ok := strings.Cut(args, "(QRESYNC (")
	words := strings.Fields(strings.TrimRight(args, ")"))
	if !ok || len(words) < 3 || words[0] != fmt.Sprint(at.box.validity) {
		return ""
	}
	since, _ := strconv.ParseUint(words[1], 10, 64)
	var gone []string
	for _, v := range at.box.gone {
		if v.mod > since && setHas(words[2], v.uid, 0) {
			gone = append(gone, fmt.Sprint(v.uid))
		}
	}
	out := ""
	if len(gone) > 0 {
		out = "* VANISHED (EARLIER) " + strings.Join(gone, ",") + "\r\n"
	}
	for _, l := range at.chosen(words[2]) {
		if l.mod > since {
			out += fmt.Sprintf("* %d FETCH (UID %d FLAGS (%s) MODSEQ (%d))\r\n", at.number(l.UID), l.UID, strings.Join(l.Flags, " "), l.mod)
		}
	}
	return out
}

// chosen are the messages that a set names which the connection knows of.
func (at *selected) chosen(set string) (out []*Letter) {
	if at.box == nil {
		return nil
	}
	for _, uid := range at.told {
		if l := at.box.find(uid); l != nil && setHas(set, uid, at.told[len(at.told)-1]) {
			out = append(out, l)
		}
	}
	return out
}

func (at *selected) number(uid uint32) int { return slices.Index(at.told, uid) + 1 }

// setHas tells whether a set of UIDs names one; last stands for the star.
func setHas(set string, uid, last uint32) bool {
	number := func(s string) uint32 {
		if s == "*" {
			return last
		}
		n, _ := strconv.ParseUint(s, 10, 32)
		return uint32(n)
	}
	for part := range strings.SplitSeq(set, ",") {
		from, to, isRange := strings.Cut(part, ":")
		if !isRange {
			to = from
		}
		lo, hi := number(from), number(to)
		if min(lo, hi) <= uid && uid <= max(lo, hi) {
			return true
		}
	}
	return false
}

func (m *Mailstore) fetch(at *selected, a *arguments) (string, string) {
	set, items := a.next(), a.rest
	var since uint64
	if _, after, ok := strings.Cut(items, "CHANGEDSINCE "); ok {
		since, _ = strconv.ParseUint(strings.TrimRight(after, ")"), 10, 64)
	}
	var b strings.Builder
	for _, l := range at.chosen(set) {
		if l.mod > since {
			fmt.Fprintf(&b, "* %d FETCH (%s)\r\n", at.number(l.UID), m.items(l, items))
		}
	}
	return b.String(), ""
}

// items are what a FETCH asked for of one message.
func (m *Mailstore) items(l *Letter, asked string) string {
	out := fmt.Sprintf("UID %d", l.UID)
	if strings.Contains(asked, "FLAGS") {
		out += " FLAGS (" + strings.Join(l.Flags, " ") + ")"
	}
	if strings.Contains(asked, "INTERNALDATE") {
		out += l.Date.Format(" INTERNALDATE \"_2-Jan-2006 15:04:05 -0700\"")
	}
	if strings.Contains(asked, "RFC822.SIZE") {
		out += fmt.Sprintf(" RFC822.SIZE %d", len(l.Body))
	}
	if m.has("CONDSTORE") && strings.Contains(asked, "CHANGEDSINCE") {
		out += fmt.Sprintf(" MODSEQ (%d)", l.mod)
	}
	if _, section, ok := strings.Cut(asked, "BODY.PEEK["); ok {
		section, _, _ = strings.Cut(section, "]")
		part := l.section(section)
		out += fmt.Sprintf(" BODY[%s] {%d}\r\n%s", section, len(part), part)
	}
	return out
}

// section is a part of a message: all, HEADER, or some fields of it.
func (l *Letter) section(name string) string {
	if name == "" {
		return l.Body
	}
	header, _, ok := strings.Cut(l.Body, "\r\n\r\n")
	if ok {
		header += "\r\n\r\n"
	}
	_, fields, some := strings.Cut(name, "(")
	if !some {
		return header
	}
	wanted := strings.Fields(strings.ToUpper(strings.Trim(strings.ReplaceAll(fields, `"`, ""), ")")))
	var out strings.Builder
	keep := false
	for line := range strings.Lines(header) {
		if field, _, isField := strings.Cut(line, ":"); isField && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			keep = slices.Contains(wanted, strings.ToUpper(field))
		}
		if keep && strings.TrimSpace(line) != "" {
			out.WriteString(line)
		}
	}
	return out.String() + "\r\n"
}

func (m *Mailstore) store(at *selected, a *arguments) (string, string) {
	set, since, modified := a.next(), uint64(math.MaxUint64), ""
	if words := a.list(); len(words) == 2 && m.has("CONDSTORE") { // UNCHANGEDSINCE n
		since, _ = strconv.ParseUint(words[1], 10, 64)
	}
	how := strings.ToUpper(a.next())
	flags := a.list()
	var b strings.Builder
	for _, l := range at.chosen(set) {
		if l.mod > since {
			modified += fmt.Sprintf(",%d", l.UID)
			continue
		}
		at.box.mod++
		l.mod = at.box.mod
		for _, f := range flags {
			l.Flags = slices.DeleteFunc(l.Flags, func(g string) bool { return strings.EqualFold(f, g) })
			if how[0] == '+' {
				l.Flags = append(l.Flags, f)
			}
		}
		if !strings.HasSuffix(how, ".SILENT") {
			fmt.Fprintf(&b, "* %d FETCH (UID %d FLAGS (%s))\r\n", at.number(l.UID), l.UID, strings.Join(l.Flags, " "))
		}
	}
	if modified != "" {
		return b.String(), "[MODIFIED " + modified[1:] + "]"
	}
	return b.String(), ""
}

func (l *Letter) deleted() bool { return slices.Contains(l.Flags, "\\Deleted") }

func (m *Mailstore) search(at *selected, a *arguments) (string, string) {
	deleted := strings.Contains(a.rest, "DELETED")
	if strings.HasPrefix(a.rest, "RETURN (ALL)") {
		return m.esearch(at, deleted)
	}
	out := "* SEARCH"
	for _, l := range at.chosen("1:*") {
		if !deleted || l.deleted() {
			out += fmt.Sprintf(" %d", l.UID)
		}
	}
	return out + "\r\n", ""
}

// esearch answers the search that came last (RFC 4731).
func (m *Mailstore) esearch(at *selected, deleted bool) (string, string) {
	var uids []string
	for _, l := range at.chosen("1:*") {
		if !deleted || l.deleted() {
			uids = append(uids, fmt.Sprint(l.UID))
		}
	}
	if len(uids) == 0 {
		return "* ESEARCH UID\r\n", ""
	}
	return "* ESEARCH UID ALL " + strings.Join(uids, ",") + "\r\n", ""
}

// copyTo copies messages and gives the response code that tells of it.
func (m *Mailstore) copyTo(at *selected, set, name string) (code, refusal string) {
	to := m.find(name)
	if to == nil {
		return "", "NO [TRYCREATE] no such mailbox"
	}
	var from, uids []string
	for _, l := range at.chosen(set) {
		from = append(from, fmt.Sprint(l.UID))
		uids = append(uids, fmt.Sprint(to.add(l.Body, l.Date, l.Flags)))
	}
	if len(from) == 0 || !m.has("UIDPLUS") {
		return "", ""
	}
	return fmt.Sprintf("[COPYUID %d %s %s]", to.validity, strings.Join(from, ","), strings.Join(uids, ",")), ""
}

func (m *Mailstore) copy(at *selected, a *arguments) (string, string) {
	code, refusal := m.copyTo(at, a.next(), a.next())
	return "", code + refusal
}

func (m *Mailstore) move(at *selected, a *arguments) (string, string) {
	set := a.next()
	code, refusal := m.copyTo(at, set, a.next())
	if refusal != "" {
		return "", refusal
	}
	for _, l := range at.chosen(set) {
		at.box.remove(l.UID)
	}
	if code == "" {
		return "", ""
	}
	return "* OK " + code + " moved\r\n", ""
}

func (m *Mailstore) expunge(at *selected, a *arguments) (string, string) {
	set := a.next()
	if set == "" {
		set = "1:*"
	}
	for _, l := range at.chosen(set) {
		if l.deleted() {
			at.box.remove(l.UID)
		}
	}
	return "", ""
}

// arguments takes the arguments of a command apart.
type arguments struct {
	rest     string
	literals [][]byte
	taken    int
}

// next is the next atom, quoted string or literal.
func (a *arguments) next() string {
	a.rest = strings.TrimLeft(a.rest, " ")
	if strings.HasPrefix(a.rest, "{") && a.taken < len(a.literals) {
		_, a.rest, _ = strings.Cut(a.rest, "}")
		a.taken++
		return string(a.literals[a.taken-1])
	}
	if !strings.HasPrefix(a.rest, `"`) {
		word, rest, _ := strings.Cut(a.rest, " ")
		a.rest = rest
		return word
	}
	var b strings.Builder
	for i := 1; i < len(a.rest); i++ {
		switch a.rest[i] {
		case '"':
			a.rest = a.rest[i+1:]
			return b.String()
		case '\\':
			i++
		}
		if i < len(a.rest) {
			b.WriteByte(a.rest[i])
		}
	}
	a.rest = ""
	return b.String()
}

// list is the next list in parentheses, nil if there is none.
func (a *arguments) list() []string {
	a.rest = strings.TrimLeft(a.rest, " ")
	if !strings.HasPrefix(a.rest, "(") {
		return nil
	}
	list, rest, _ := strings.Cut(a.rest[1:], ")")
	a.rest = rest
	return strings.Fields(list)
}

func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
