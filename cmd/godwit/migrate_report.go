package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godwit-mail/godwit/cmd/godwit/migrate"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// event shows one event of a migration. What a pass tells that another told
// already is told once.
func (m *migration) event(e engine.Event) {
	a := m.app
	switch e.Kind {
	case engine.Totals:
		m.tellRoom(e.Messages, e.Bytes)
	case engine.Faulted:
		if m.told[e.Text] {
			return
		}
		m.told[e.Text] = true
	case engine.Noted:
		if !a.json { // the report has it, by mailbox
			return
		}
	case engine.Action:
		if e.Planned && !a.verbose && !a.json {
			return
		}
	}
	a.event(e)
}

// tellRoom tells, before the first message is sent, if the target has no room
// for all of them.
func (m *migration) tellRoom(messages int, bytes int64) {
	q := m.room
	switch free, left := q.Limit-q.Used, q.MessageLimit-q.Messages; {
	case q.Limit > 0 && bytes > free:
		m.app.complain(m.name(), fmt.Sprintf("the target has room for %s, and %s are to be copied: not all of it will be there until there is more",
			bytesText(max(free, 0)), bytesText(bytes)))
	case q.MessageLimit > 0 && int64(messages) > left:
		m.app.complain(m.name(), fmt.Sprintf("the target has room for %d messages, and %d are to be copied: not all of them will be there until there is more",
			max(left, 0), messages))
	}
}

// A migratedFolder is what --json tells of one mailbox.
type migratedFolder struct {
	To       string         `json:"to"` // "" if it is left out
	From     []string       `json:"from"`
	Why      string         `json:"why,omitempty"`
	Made     bool           `json:"made,omitempty"`
	Removed  bool           `json:"removed_at_target,omitempty"`
	Origin   int            `json:"origin"` // messages; -1: not known
	Target   int            `json:"target"`
	Paired   int            `json:"paired"`
	Copied   int            `json:"copied"`
	Bytes    int64          `json:"bytes"`
	Matched  int            `json:"matched"`
	Flagged  int            `json:"flagged"`
	Skipped  map[string]int `json:"skipped"` // by reason
	Failed   []failedRecord `json:"failed"`
	Declined []string       `json:"declined"`
	Verified bool           `json:"verified"`
}

// A failedRecord names a message that could not be copied.
type failedRecord struct {
	Mailbox   string `json:"mailbox"`
	UID       string `json:"uid"`
	MessageID string `json:"message_id,omitempty"`
	Digest    string `json:"digest,omitempty"`
	Size      int64  `json:"size,omitempty"`
	Why       string `json:"why"`
}

func failedRecords(list []migrate.Failed) []failedRecord {
	out := make([]failedRecord, len(list))
	for i, f := range list {
		out[i] = failedRecord{Mailbox: string(f.Mailbox), UID: string(f.UID), MessageID: f.MessageID, Digest: f.Digest.String(), Size: f.Size, Why: f.Why}
	}
	return out
}

func folderRecord(f *migrate.Folder) *migratedFolder {
	r := &migratedFolder{
		To: string(f.To), Why: f.Why, Made: f.Made, Removed: f.Removed, Origin: f.Origin, Target: f.Target, Paired: f.Paired,
		Copied: f.Copied, Bytes: f.Bytes, Matched: f.Matched, Flagged: f.Flagged, Skipped: map[string]int{},
		Failed: failedRecords(f.Failed), Declined: append([]string{}, f.Declined...), Verified: f.Verified,
	}
	for _, name := range f.From {
		r.From = append(r.From, string(name))
	}
	for why, n := range f.Skipped {
		r.Skipped[string(why)] = n
	}
	return r
}

// A migrated is what --json tells of a whole migration.
type migrated struct {
	Began     string         `json:"began"`
	Ended     string         `json:"ended"`
	Passes    int            `json:"passes"`
	Mailboxes int            `json:"mailboxes"`
	Made      int            `json:"made_mailboxes"`
	Origin    int            `json:"origin"` // messages
	Paired    int            `json:"paired"`
	Copied    int            `json:"copied"`
	Bytes     int64          `json:"bytes"`
	Matched   int            `json:"matched"`
	Flagged   int            `json:"flagged"`
	Skipped   map[string]int `json:"skipped"`
	Failed    int            `json:"failed"`
	Waiting   int            `json:"waiting"`
	Whole     bool           `json:"whole"`
	Errors    []string       `json:"errors"`
	Notes     []string       `json:"notes"`
	// Compared is there with --verify=bytes.
	Compared *comparedRecord `json:"compared,omitempty"`
}

type comparedRecord struct {
	Messages  int            `json:"messages"`
	Bytes     int64          `json:"bytes"`
	Rewritten int            `json:"rewritten"`
	Gone      int            `json:"gone"`
	Differ    []failedRecord `json:"differ"`
}

// tell tells what became of a migration; err is what ended it early.
func (m *migration) tell(res *migrate.Result, err error) {
	for _, f := range res.Folders {
		m.tellFolder(f)
	}
	for _, text := range res.Notes {
		m.app.complain(m.name(), text)
	}
	sum := m.sum(res)
	text := m.sumText(res, sum, err)
	if m.app.json {
		m.app.out.object(record{Type: "migration", Account: m.name(), Text: text, Planned: m.dryRun, Migrated: sum})
	}
	m.app.out.info("%s: %s", m.name(), text)
	if m.bytes != nil {
		for _, d := range m.bytes.Differ {
			m.app.complain(m.name(), fmt.Sprintf("%s: message %s: %s", d.Mailbox, d.UID, d.Why))
		}
	}
}

func (m *migration) sum(res *migrate.Result) *migrated {
	s := &migrated{
		Began: stamp(res.Began), Ended: stamp(res.Ended), Passes: res.Passes, Waiting: res.Waiting, Whole: res.Whole(),
		Skipped: map[string]int{}, Errors: []string{}, Notes: append([]string{}, res.Notes...),
	}
	for _, f := range res.Folders {
		if f.To == "" || f.Removed {
			continue
		}
		s.Mailboxes++
		if f.Made {
			s.Made++
		}
		s.Origin += max(f.Origin, 0)
		s.Paired, s.Copied, s.Bytes = s.Paired+f.Paired, s.Copied+f.Copied, s.Bytes+f.Bytes
		s.Matched, s.Flagged, s.Failed = s.Matched+f.Matched, s.Flagged+f.Flagged, s.Failed+len(f.Failed)
		for why, n := range f.Skipped {
			s.Skipped[string(why)] += n
		}
	}
	for _, f := range res.Faults {
		s.Errors = append(s.Errors, f.Error())
	}
	if c := m.bytes; c != nil {
		s.Compared = &comparedRecord{Messages: c.Messages, Bytes: c.Bytes, Rewritten: c.Rewritten, Gone: c.Gone, Differ: failedRecords(c.Differ)}
	}
	return s
}

// tellFolder tells of one mailbox: with -v of all, otherwise where something
// is not as a person would expect.
func (m *migration) tellFolder(f *migrate.Folder) {
	a := m.app
	if a.json {
		a.out.object(record{Type: "migrated", Account: m.name(), Mailbox: string(f.To), Planned: m.dryRun, Folder: folderRecord(f)})
	}
	var from []string
	for _, name := range f.From {
		from = append(from, string(name))
	}
	name := strings.Join(from, " + ")
	switch {
	case f.To == "" && f.Lost:
		a.complain(m.name(), name+": "+f.Why)
	case f.To == "":
		if a.verbose || m.dryRun {
			a.out.info("%s: %s: left out: %s", m.name(), name, f.Why)
		}
		return
	case f.Removed:
		a.out.info("%s: %s: %s was removed at the target, and is left alone", m.name(), name, f.To)
		return
	}
	if name != string(f.To) {
		name += " -> " + string(f.To)
		if f.Why != "" {
			name += " (" + f.Why + ")"
		}
	}
	if a.verbose || m.dryRun || m.sayMore(f) {
		a.out.info("%s: %s: %s", m.name(), name, m.folderText(f))
	}
	for _, x := range f.Failed {
		text := fmt.Sprintf("%s: message %s", x.Mailbox, x.UID)
		if x.MessageID != "" {
			text += " <" + x.MessageID + ">"
		}
		if !x.Digest.IsZero() {
			text += " [" + x.Digest.String()[:12] + "]"
		}
		if a.verbose {
			a.complain(m.name(), text+": "+x.Why)
		}
	}
}

// sayMore tells whether a mailbox is worth a line of its own.
func (m *migration) sayMore(f *migrate.Folder) bool {
	return len(f.Skipped)+len(f.Failed)+len(f.Declined) > 0 || !f.Verified && !m.foldersOnly && m.verify != "none"
}

func (m *migration) folderText(f *migrate.Folder) string {
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(text, n))
		}
	}
	if m.foldersOnly {
		if f.Made {
			return m.would("made", "would be made")
		}
		return "is there"
	}
	if f.Origin >= 0 {
		parts = append(parts, count(f.Origin, "message"))
	}
	add(f.Copied, m.would("%d copied", "%d would be copied"))
	add(f.Matched, m.would("%d matched", "%d are there already"))
	add(f.Flagged, m.would("%d flagged", "%d would be flagged"))
	for _, why := range slices.Sorted(maps.Keys(f.Skipped)) {
		parts = append(parts, fmt.Sprintf("%d %s", f.Skipped[why], why))
	}
	add(len(f.Failed), "%d failed")
	for _, what := range f.Declined {
		parts = append(parts, "the target does not store "+what)
	}
	switch {
	case m.dryRun:
	case f.Verified:
		parts = append(parts, "verified")
	case m.verify != "none":
		parts = append(parts, "not verified")
	}
	return strings.Join(parts, ", ")
}

func (m *migration) would(done, would string) string {
	if m.dryRun {
		return would
	}
	return done
}

// sumText is the last line.
func (m *migration) sumText(res *migrate.Result, s *migrated, err error) string {
	if m.foldersOnly {
		return fmt.Sprintf("%s %s of %d", count(s.Made, "mailbox"), m.would("made", "would be made"), s.Mailboxes)
	}
	parts := []string{fmt.Sprintf("%s in %s", count(s.Origin, "message"), count(s.Mailboxes, "mailbox"))}
	if s.Made > 0 {
		parts = append(parts, count(s.Made, "mailbox")+m.would(" made", " would be made"))
	}
	if s.Copied > 0 {
		parts = append(parts, fmt.Sprintf("%d %s (%s)", s.Copied, m.would("copied", "would be copied"), bytesText(s.Bytes)))
	}
	if s.Matched > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", s.Matched, m.would("matched", "are there already")))
	}
	if s.Flagged > 0 {
		parts = append(parts, fmt.Sprintf("%d %s", s.Flagged, m.would("flagged", "would be flagged")))
	}
	for _, why := range slices.Sorted(maps.Keys(s.Skipped)) {
		parts = append(parts, fmt.Sprintf("%d %s", s.Skipped[why], why))
	}
	if s.Failed > 0 {
		parts = append(parts, fmt.Sprintf("%d failed", s.Failed))
	}
	if m.dryRun {
		return strings.Join(parts, ", ")
	}
	if c := m.bytes; c != nil {
		parts = append(parts, fmt.Sprintf("%s compared byte for byte, %d differ, %d gone", count(c.Messages, "message"), len(c.Differ), c.Gone))
		if c.Rewritten > 0 {
			parts = append(parts, fmt.Sprintf("%d rewritten by the target", c.Rewritten))
		}
	}
	switch {
	case err != nil:
		parts = append(parts, "not finished: run it again")
	case m.verify == "none":
	case s.Whole:
		parts = append(parts, "all of it is there")
	default:
		parts = append(parts, "not all of it is there")
	}
	return strings.Join(parts, ", ")
}

// A sizeRecord is what --json tells of the size of one mailbox.
type sizeRecord struct {
	To          string   `json:"to"`
	From        []string `json:"from"`
	Origin      int      `json:"origin"` // messages
	OriginBytes int64    `json:"origin_bytes"`
	Target      int      `json:"target"`
	TargetBytes int64    `json:"target_bytes"`
}

// tellSizes tells how much mail there is on each side.
func (m *migration) tellSizes(list []migrate.Size) {
	var all migrate.Size
	for _, s := range list {
		var from []string
		for _, name := range s.From {
			from = append(from, string(name))
		}
		if m.app.json {
			m.app.out.object(record{Type: "size", Account: m.name(), Mailbox: string(s.To), Sizes: &sizeRecord{
				To: string(s.To), From: from, Origin: s.Messages[plan.Local], OriginBytes: s.Bytes[plan.Local],
				Target: s.Messages[plan.Remote], TargetBytes: s.Bytes[plan.Remote],
			}})
		}
		name := strings.Join(from, " + ")
		if name != string(s.To) {
			name += " -> " + string(s.To)
		}
		m.app.out.info("%s: %s: %s", m.name(), name, sizeText(s))
		for i := range all.Messages {
			all.Messages[i], all.Bytes[i] = all.Messages[i]+s.Messages[i], all.Bytes[i]+s.Bytes[i]
		}
	}
	m.app.out.info("%s: in all: %s", m.name(), sizeText(all))
	if m.room.Limit > 0 {
		m.app.out.info("%s: the target's quota: %s of %s are used", m.name(), bytesText(m.room.Used), bytesText(m.room.Limit))
	}
}

func sizeText(s migrate.Size) string {
	return fmt.Sprintf("%s, %s; at the target %s, %s", count(s.Messages[plan.Local], "message"), bytesText(s.Bytes[plan.Local]),
		count(s.Messages[plan.Remote], "message"), bytesText(s.Bytes[plan.Remote]))
}
