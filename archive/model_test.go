package archive

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// A state is what the mailboxes hold in one generation.
type state map[mail.MailboxName]*modelBox

// A modelBox is a mailbox; what it holds is named by Ref.
type modelBox struct {
	id   int // the mailbox, whatever it is called
	msgs map[mail.Ref]modelMessage
}

type modelMessage struct {
	life  int // the message from when it came until it went, wherever it moved
	body  string
	flags string
	date  int64
}

func (s state) clone() state {
	out := state{}
	for name, b := range s {
		out[name] = &modelBox{b.id, maps.Clone(b.msgs)}
	}
	return out
}

// A life is a random life of an account, written to an archive and, by the
// side, to a model of it.
type life struct {
	t    *testing.T
	rand *rand.Rand
	opt  Options
	a    *Archive
	rec  *Recording

	now   state
	count int
	// bodies is how many different messages there are, 0 for a few.
	bodies int
	dirty  bool // this recording changed something
	// quarantine is what cannot be archived, as the last finished run told.
	quarantine []Quarantined
	then       map[int64]state
	gens       map[int64]Generation
}

// TestEveryGenerationStaysAsItWas leads random lives: creations, renames,
// removals, messages that come, go, move and change their flags, generations
// that are interrupted, and archives that are closed and opened. Every
// generation reads as the model says, ever after; it counts what it changed;
// and what Diff says of two generations is how their models differ.
func TestEveryGenerationStaysAsItWas(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := &life{t: t, rand: rand.New(rand.NewPCG(seed, 7)), now: state{}, then: map[int64]state{}, gens: map[int64]Generation{}}
			l.opt = Options{Dir: filepath.Join(inMemoryDir(t), "archive"), NoSync: true, Clock: ticking()}
			l.reopen()
			for range 40 {
				l.generation()
			}
			l.reopen()
			l.check()
			l.rebuild()
			l.check()
			l.generation() // it goes on
			l.check()
		})
	}
}

// rebuild makes the catalogue again, and sees that it says the same.
func (l *life) rebuild() {
	begin(l.t, l.a) // ends what was interrupted: that has a manifest, too
	before, all := l.told(), l.now
	l.must(l.a.Close())
	out, err := Rebuild(l.t.Context(), l.opt)
	l.must(err)
	if len(out.Problems) > 0 || out.Generations != len(l.then) || out.Aside == "" {
		l.t.Errorf("rebuilt: %+v", out)
	}
	l.a = open(l.t, l.opt)
	l.must(l.a.catalogue.Load().Integrity(l.t.Context()))
	if after := l.told(); after != before {
		was := strings.SplitAfter(before, "\n")
		for i, line := range strings.SplitAfter(after, "\n") {
			if i >= len(was) || line != was[i] {
				l.t.Fatalf("rebuilt, the archive tells\n%swant\n%s", line, was[min(i, len(was)-1)])
			}
		}
	}
	l.now = all
}

// told is what an archive tells of its generations and messages.
func (l *life) told() string {
	var lines []string
	list, err := l.a.Generations(l.t.Context())
	l.must(err)
	for _, g := range list {
		lines = append(lines, fmt.Sprintf("%+v\n", g))
	}
	l.must(l.a.Find(l.t.Context(), "example.org", func(f Found) error {
		lines = append(lines, fmt.Sprintf("%+v\n", f))
		return nil
	}))
	quarantined, err := l.a.Quarantined(l.t.Context())
	l.must(err)
	return strings.Join(append(lines, fmt.Sprintf("%+v\n", quarantined)), "")
}

func (l *life) reopen() {
	if l.a != nil {
		l.must(l.a.Close())
	}
	l.a = open(l.t, l.opt)
}

func (l *life) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// generation is one run: some changes, and an end, or none.
func (l *life) generation() {
	l.rec = begin(l.t, l.a)
	l.dirty = false
	l.look()
	for range l.rand.IntN(12) {
		l.step()
	}
	n := int64(len(l.then) + 1)
	switch l.rand.IntN(8) {
	case 0: // killed
		if l.dirty {
			l.then[n] = l.now.clone()
			l.gens[n] = Generation{Number: n, Why: "the run was interrupted"}
		}
		if l.rand.IntN(2) == 0 {
			l.reopen()
		}
		begin(l.t, l.a) // ends it
	case 1:
		l.finish(n, Outcome{Why: "INBOX could not be read"})
	default:
		l.finish(n, Outcome{Complete: true})
	}
	if l.rand.IntN(6) == 0 {
		l.reopen()
	}
}

func (l *life) finish(n int64, o Outcome) {
	last, told := l.gens[n-1]
	if l.rand.IntN(4) == 0 {
		l.quarantine = nil
		for i := range l.rand.IntN(3) {
			l.quarantine = append(l.quarantine, Quarantined{Mailbox: "INBOX", UIDValidity: "1", UID: fmt.Sprint(i + l.rand.IntN(2)*2), Why: "it cannot be read"})
		}
	}
	o.Quarantined = l.quarantine
	was, err := l.a.Quarantined(l.t.Context())
	l.must(err)
	slices.SortFunc(l.quarantine, func(a, b Quarantined) int { return strings.Compare(a.UID, b.UID) })
	l.dirty = l.dirty || !slices.Equal(was, l.quarantine)
	expected := l.dirty || o.Complete && told && !last.Complete
	g, err := l.rec.Finish(l.t.Context(), o)
	l.must(err)
	if (g != nil) != expected {
		l.t.Fatalf("generation %d: told %v, expected is %v", n, g, expected)
	}
	if g == nil {
		return
	}
	l.then[n] = l.now.clone()
	l.gens[n] = Generation{Number: n, Complete: o.Complete, Why: o.Why}
}

// look is what the engine does at the start of a run.
func (l *life) look() {
	_, err := l.rec.Survey(l.t.Context(), nil)
	l.must(err)
	l.bind()
}

func (l *life) bind() {
	bound := map[mail.BoxID]mail.MailboxName{}
	for name, b := range l.now {
		bound[mail.BoxID(b.id)] = name
	}
	l.rec.Bind(bound)
}

var modelNames = []mail.MailboxName{"INBOX", "Work", "Work/Deep", "Work/Deep/Down", "Archiv", "Archiv/2026", "Räksmörgås"}

func (l *life) step() {
	switch k := l.rand.IntN(20); {
	case k < 2:
		l.create()
	case k < 4:
		l.rename()
	case k < 5:
		l.remove()
	case k < 11:
		l.put()
	default:
		l.ops()
	}
}

func (l *life) pickName() mail.MailboxName { return modelNames[l.rand.IntN(len(modelNames))] }

func (l *life) pickBox() (mail.MailboxName, *modelBox) {
	names := slices.Sorted(maps.Keys(l.now))
	if len(names) == 0 {
		return "", nil
	}
	name := names[l.rand.IntN(len(names))]
	return name, l.now[name]
}

func (l *life) create() {
	name := l.pickName()
	_, err := l.rec.Create(l.t.Context(), name)
	l.must(err)
	if l.now[name] == nil {
		l.count++
		l.now[name] = &modelBox{l.count, map[mail.Ref]modelMessage{}}
		l.dirty = true
	}
	l.bind()
}

func (l *life) below(name mail.MailboxName) (list []mail.MailboxName) {
	for n := range l.now {
		if n == name || n.Within(name) {
			list = append(list, n)
		}
	}
	return list
}

func (l *life) rename() {
	from, to := l.pickName(), l.pickName()
	list := l.below(from)
	allowed := len(list) > 0 && len(l.below(to)) == 0 && from != to && !to.Within(from)
	if err := l.rec.Rename(l.t.Context(), from, to); (err == nil) != allowed {
		l.t.Fatalf("rename %s to %s: %v, allowed is %v", from, to, err, allowed)
	}
	if !allowed {
		return
	}
	moved := state{}
	for _, n := range list {
		moved[to+n[len(from):]] = l.now[n]
		delete(l.now, n)
	}
	maps.Copy(l.now, moved)
	l.dirty = true
	l.bind()
}

func (l *life) remove() {
	name := l.pickName()
	list := l.below(name)
	allowed := len(list) == 1 && list[0] == name && len(l.now[name].msgs) == 0
	if err := l.rec.Remove(l.t.Context(), name); (err == nil) != allowed {
		l.t.Fatalf("remove %s: %v, allowed is %v", name, err, allowed)
	}
	if allowed {
		delete(l.now, name)
		l.dirty = true
	}
}

var modelFlags = []string{"", `\Seen`, `\Answered \Seen`, `\Flagged`, `\Seen todo`}

func (l *life) put() {
	_, b := l.pickBox()
	if b == nil {
		return
	}
	batch, err := l.rec.Put(l.t.Context(), mail.BoxID(b.id))
	l.must(err)
	defer batch.Abort()
	var put []modelMessage
	for i := range 1 + l.rand.IntN(3) {
		l.count++
		m := modelMessage{life: l.count, body: bodyOf(l.rand.IntN(cmp.Or(l.bodies, 30))), flags: modelFlags[l.rand.IntN(len(modelFlags))], date: int64(1e9 + l.count)}
		put = append(put, m)
		l.must(batch.Add(l.t.Context(), m.incoming(i)))
	}
	if l.rand.IntN(10) == 0 {
		batch.Abort()
		return
	}
	placed, err := batch.Commit(l.t.Context())
	l.must(err)
	for _, p := range placed {
		l.must(p.Err)
		b.msgs[p.Ref] = put[p.Tag]
	}
	l.dirty = true
}

// bodyOf makes one of a few messages, so that many are equal.
func bodyOf(n int) string {
	return fmt.Sprintf("From: Ada <ada@example.org>\r\nSubject: number %d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s\r\n", n, n, strings.Repeat("x", n))
}

func (m modelMessage) incoming(tag int) plan.Incoming {
	return plan.Incoming{
		Tag: tag, Item: mail.Item{Flags: mail.ParseFlagSet(m.flags), Date: time.Unix(m.date, 0)},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(m.body)), nil },
	}
}

func (l *life) ops() {
	_, b := l.pickBox()
	if b == nil || len(b.msgs) == 0 {
		return
	}
	refs := slices.Sorted(maps.Keys(b.msgs))
	ref := refs[l.rand.IntN(len(refs))]
	m := b.msgs[ref]
	op := plan.Op{From: plan.Place{Box: mail.BoxID(b.id), Ref: ref}}
	switch l.rand.IntN(3) {
	case 0:
		flags := modelFlags[l.rand.IntN(len(modelFlags))]
		op.Kind, op.Remove, op.Add = plan.OpFlags, mail.ParseFlagSet(m.flags), mail.ParseFlagSet(flags)
		l.dirty = l.dirty || m.flags != flags
		l.do(op)
		if l.rand.IntN(3) == 0 { // and back again
			op.Remove, op.Add = op.Add, op.Remove
			l.do(op)
			return
		}
		m.flags = flags
		b.msgs[ref] = m
	case 1:
		_, to := l.pickBox()
		op.Kind, op.To = plan.OpMove, mail.BoxID(to.id)
		delete(b.msgs, ref)
		to.msgs[l.do(op).At.Ref] = m
		l.dirty = true
	default:
		op.Kind = plan.OpDelete
		delete(b.msgs, ref)
		l.do(op)
		l.dirty = true
	}
}

func (l *life) do(op plan.Op) (out plan.Outcome) {
	l.must(l.rec.Do(l.t.Context(), []plan.Op{op}, func(list []plan.Outcome) error {
		out = list[0]
		return nil
	}))
	if out.Result != plan.Done {
		l.t.Fatalf("%s is %s: %v", op.Kind, out.Result, out.Err)
	}
	return out
}
