package restore

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

func wireOf(t *testing.T, text string) mail.Digest {
	t.Helper()
	id, err := mail.Identify(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return id.Wire
}

// read gives what a selection holds, by mailbox.
func read(t *testing.T, s *Selection) map[mail.MailboxName][]string {
	t.Helper()
	out := map[mail.MailboxName][]string{}
	boxes, err := s.Survey(context.Background(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range boxes {
		id := mail.BoxID(i + 7)
		s.Bind(map[mail.BoxID]mail.MailboxName{id: b.Name})
		out[b.Name] = nil
		var refs []mail.Ref
		scanned, err := s.Scan(context.Background(), id, plan.Since{}, func(m plan.Seen) error {
			refs = append(refs, m.Ref)
			return nil
		})
		if err != nil || !scanned.Full || !scanned.Complete || scanned.Count != len(refs) {
			t.Fatalf("%s: %+v, %v", b.Name, scanned, err)
		}
		identified := 0
		err = s.Identify(context.Background(), id, refs, mail.LevelBody, func(ref mail.Ref, id mail.Identity, err error) error {
			if slices.Contains(refs, ref) && err == nil && id.Level() == mail.LevelBody {
				identified++
			}
			return nil
		})
		if err != nil || identified != len(refs) {
			t.Fatalf("%s: %d of %d identified, %v", b.Name, identified, len(refs), err)
		}
		err = s.Fetch(context.Background(), id, refs, func(_ mail.Ref, item mail.Item, r io.Reader) error {
			b0, err := io.ReadAll(r)
			_, subject, _ := strings.Cut(string(b0), "Subject: ")
			subject, _, _ = strings.Cut(subject, "\r\n")
			out[b.Name] = append(out[b.Name], strings.TrimSpace(subject+" "+item.Flags.String()))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(out[b.Name])
	}
	return out
}

func same(t *testing.T, got map[mail.MailboxName][]string, want map[mail.MailboxName][]string) {
	t.Helper()
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("mailboxes %v, want %v", got, want)
	}
}

func TestSelection(t *testing.T) {
	w, older := newWorld(plan.Remote), newWorld(plan.Remote)
	for n := range 3 {
		w.past.Deliver("INBOX", letter(n), mail.NewFlagSet(mail.Seen), day)
	}
	w.past.Deliver("Work", letter(1), mail.NewFlagSet(mail.Deleted, "$Todo"), day)
	w.past.Deliver("Work", letter(5), mail.FlagSet{}, day)
	older.past.Deliver("INBOX", letter(8), mail.FlagSet{}, day) // the same UID as another message has in w
	now, then := w.past.Open(), older.past.Open()

	same(t, read(t, Select([]Part{{From: now, Mailbox: "INBOX", To: "INBOX"}, {From: now, Mailbox: "Work", To: "Work"}, {From: now, Mailbox: "None", To: "None"}}, false)),
		map[mail.MailboxName][]string{"INBOX": {`letter 0 \Seen`, `letter 1 \Seen`, `letter 2 \Seen`}, "Work": {"letter 1 $Todo", "letter 5"}})
	same(t, read(t, Select([]Part{{From: now, Mailbox: "Work", To: "Back/There"}}, true)),
		map[mail.MailboxName][]string{"Back/There": {`letter 1 \Deleted $Todo`, "letter 5"}})

	// Several into one: each message once.
	merged := Select([]Part{{From: now, Mailbox: "INBOX", To: "All"}, {From: now, Mailbox: "Work", To: "All"}, {From: then, Label: "1", Mailbox: "INBOX", To: "All"}}, false)
	same(t, read(t, merged), map[mail.MailboxName][]string{"All": {`letter 0 \Seen`, `letter 1 \Seen`, `letter 2 \Seen`, "letter 5", "letter 8"}})
	if n, size := merged.Chosen("All"); n != 5 || size != int64(5*len(letter(0))) {
		t.Errorf("chosen %d messages, %d bytes", n, size)
	}

	// Some of it, from two states of one mailbox.
	some := func(numbers ...int) func(mail.Identity) bool {
		return func(id mail.Identity) bool {
			return slices.ContainsFunc(numbers, func(n int) bool { return wire(t, n) == id.Wire })
		}
	}
	picked := Select([]Part{
		{From: now, Label: "2", Mailbox: "INBOX", To: "INBOX", Wanted: some(2)},
		{From: then, Label: "1", Mailbox: "INBOX", To: "INBOX", Wanted: some(8)},
		{From: now, Label: "2", Mailbox: "Work", To: "Work", Wanted: some()},
	}, false)
	same(t, read(t, picked), map[mail.MailboxName][]string{"INBOX": {`letter 2 \Seen`, "letter 8"}, "Work": nil})

	filled, err := picked.Filled(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	same(t, read(t, filled), map[mail.MailboxName][]string{"INBOX": {`letter 2 \Seen`, "letter 8"}})

	renamed := picked.Renamed(func(name mail.MailboxName) (mail.MailboxName, bool) { return "x/" + name, name == "INBOX" }, nil)
	same(t, read(t, renamed), map[mail.MailboxName][]string{"x/INBOX": {`letter 2 \Seen`, "letter 8"}})
	fewer := picked.Renamed(func(name mail.MailboxName) (mail.MailboxName, bool) { return name, true },
		map[mail.MailboxName]func(mail.Identity) bool{"INBOX": some(8, 1)})
	same(t, read(t, fewer), map[mail.MailboxName][]string{"INBOX": {"letter 8"}, "Work": nil})
}

func TestSelectionCannotBeChanged(t *testing.T) {
	w, ctx := newWorld(plan.Remote), context.Background()
	w.past.Deliver("INBOX", letter(1), mail.FlagSet{}, day)
	s := Select(w.all(), false)
	if _, err := s.Create(ctx, "x"); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if _, err := s.Put(ctx, 1); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	if err := errors.Join(s.Rename(ctx, "INBOX", "y"), s.Remove(ctx, "INBOX")); !errors.Is(err, ErrReadOnly) {
		t.Error(err)
	}
	var out []plan.Outcome
	err := s.Do(ctx, []plan.Op{{Tag: 3, Kind: plan.OpDelete}}, func(o []plan.Outcome) error { out = o; return nil })
	if err != nil || len(out) != 1 || out[0].Tag != 3 || out[0].Result != plan.Declined {
		t.Errorf("%+v, %v", out, err)
	}
	if d := sidetest.Compare(w.past.Snapshot(), sidetest.Snapshot{"INBOX": {{Body: []byte(letter(1)), Date: day}}}); d != "" {
		t.Error(d)
	}
}
