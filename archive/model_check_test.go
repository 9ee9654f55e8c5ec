package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
)

// check holds every generation, and how they differ, against the model.
func (l *life) check() {
	list, err := l.a.Generations(l.t.Context())
	l.must(err)
	if len(list) != len(l.then) || len(list) < 10 {
		l.t.Fatalf("%d generations, the model has %d", len(list), len(l.then))
	}
	for _, g := range list {
		n := g.Number
		if want := l.gens[n]; g.Complete != want.Complete || g.Why != want.Why || g.Ended.IsZero() {
			l.t.Errorf("generation %d is %+v, want %+v", n, g, want)
		}
		if got, want := l.show(l.a.View(n)), l.then[n].show(); got != want {
			l.t.Errorf("generation %d reads\n%swant\n%s", n, got, want)
		}
		l.checkCounts(g)
		l.checkDiff(n-1, n)
		l.checkDiff(l.rand.Int64N(n), n)
	}
}

// show is the state as text.
func (s state) show() string {
	var lines []string
	for name, b := range s {
		lines = append(lines, fmt.Sprintf("%s\n", name))
		for ref, m := range b.msgs {
			lines = append(lines, fmt.Sprintf("%s %s %q %d %s\n", name, ref, mail.ParseFlagSet(m.flags), m.date, brief([]byte(m.body))))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// show is what a side holds as text.
func (l *life) show(side engine.Writer) string { return showSide(l.t, side) }

func showSide(t *testing.T, side engine.Writer) string {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	boxes, err := side.Survey(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i, box := range boxes {
		if box.Container {
			continue
		}
		id := mail.BoxID(i + 1)
		side.Bind(map[mail.BoxID]mail.MailboxName{id: box.Name})
		lines = append(lines, fmt.Sprintf("%s\n", box.Name))
		var refs []mail.Ref
		seen := map[mail.Ref]mail.Item{}
		if _, err := side.Scan(ctx, id, plan.Since{}, func(s plan.Seen) error {
			refs = append(refs, s.Ref)
			seen[s.Ref] = s.Item
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		err := side.Fetch(ctx, id, refs, func(ref mail.Ref, item mail.Item, body io.Reader) error {
			text, err := io.ReadAll(body)
			if !item.Flags.Equal(seen[ref].Flags) || !item.Date.Equal(seen[ref].Date) {
				err = errors.Join(err, fmt.Errorf("scan and fetch differ: %v, %v", seen[ref], item))
			}
			lines = append(lines, fmt.Sprintf("%s %s %q %d %s\n", box.Name, ref, item.Flags, item.Date.Unix(), brief(text)))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// brief stands for the bytes of a message.
func brief(text []byte) string {
	id, _ := mail.Identify(bytes.NewReader(text)) // reads from memory
	return fmt.Sprintf("%d %s", len(text), id.Wire)
}

// lives are the messages of a state by what they are, with where they lie.
func (s state) lives() map[int]Difference {
	out := map[int]Difference{}
	for name, b := range s {
		for _, m := range b.msgs {
			id, _ := mail.Identify(strings.NewReader(m.body)) // reads a string
			out[m.life] = Difference{Mailbox: name, Flags: mail.ParseFlagSet(m.flags), Message: Message{Digest: id.Wire}, What: Change(fmt.Sprint(b.id))}
		}
	}
	return out
}

// differences are what Diff should tell, as text.
func differences(from, to state) (lines []string) {
	was, is := map[int]mail.MailboxName{}, map[int]mail.MailboxName{}
	for name, b := range from {
		was[b.id] = name
	}
	for name, b := range to {
		is[b.id] = name
	}
	for id, name := range is {
		switch before, there := was[id]; {
		case !there:
			lines = append(lines, line(Difference{What: Made, Mailbox: name}))
		case before != name:
			lines = append(lines, line(Difference{What: Renamed, Mailbox: name, Was: before}))
		}
	}
	for id, name := range was {
		if _, there := is[id]; !there {
			lines = append(lines, line(Difference{What: Removed, Mailbox: name}))
		}
	}
	before, after := from.lives(), to.lives()
	for life, b := range before {
		a, there := after[life]
		boxBefore, boxAfter := b.What, a.What
		switch {
		case !there:
			b.What = Went
			lines = append(lines, line(b))
		case boxBefore != boxAfter:
			a.What, a.Was, a.Before = Moved, b.Mailbox, b.Flags
			lines = append(lines, line(a))
		case !a.Flags.Equal(b.Flags):
			a.What, a.Before = Flagged, b.Flags
			lines = append(lines, line(a))
		}
	}
	for life, a := range after {
		if _, there := before[life]; !there {
			a.What = Came
			lines = append(lines, line(a))
		}
	}
	slices.Sort(lines)
	return lines
}

func line(d Difference) string {
	return fmt.Sprintf("%s %s, was %s, %q, before %q, %s\n", d.What, d.Mailbox, d.Was, d.Flags, d.Before, d.Message.Digest)
}

func (l *life) checkDiff(from, to int64) {
	var got []string
	l.must(l.a.Diff(l.t.Context(), from, to, func(d Difference) error {
		got = append(got, line(d))
		return nil
	}))
	slices.Sort(got)
	if want := differences(l.then[from], l.then[to]); !slices.Equal(got, want) {
		l.t.Errorf("from %d to %d:\n%swant\n%s", from, to, strings.Join(got, ""), strings.Join(want, ""))
	}
}

func (l *life) checkCounts(g Generation) {
	want := Generation{Number: g.Number, Began: g.Began, Ended: g.Ended, Complete: g.Complete, Why: g.Why, Stored: g.Stored}
	s := l.then[g.Number]
	want.Mailboxes = len(s)
	for _, b := range s {
		for _, m := range b.msgs {
			want.Messages++
			want.Bytes += int64(len(m.body))
		}
	}
	before, after := l.then[g.Number-1].lives(), s.lives()
	for life, b := range before {
		switch a, there := after[life]; {
		case !there:
			want.Went++
		case a.What != b.What:
			want.Moved++
		case !a.Flags.Equal(b.Flags) && sameRef(l.then[g.Number-1], s, life):
			want.Changed++
		}
	}
	for life := range after {
		if _, there := before[life]; !there {
			want.Came++
		}
	}
	if g != want {
		l.t.Errorf("generation %d counts\n%+v, want\n%+v", g.Number, g, want)
	}
}

// sameRef tells whether a message has not moved at all, not even there and back.
func sameRef(a, b state, life int) bool {
	find := func(s state) (found mail.Ref) {
		for _, box := range s {
			for ref, m := range box.msgs {
				if m.life == life {
					found = ref
				}
			}
		}
		return found
	}
	return find(a) == find(b)
}
