package imap

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	goimap "github.com/emersion/go-imap/v2"
	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

func namesOf(prefix, sep string, foreign ...string) *names {
	n := &names{prefix: prefix, sep: sep, foreign: foreign}
	n.forget()
	return n
}

func TestNamesTranslate(t *testing.T) {
	for _, row := range []struct {
		prefix, sep, wire string
		name              mail.MailboxName // "" if it is refused
	}{
		{"", "/", "inbox", "INBOX"},
		{"", "/", "Work/Deep", "Work/Deep"},
		{"", "/", "inbox/Sub", "INBOX/Sub"},
		{"", ".", "Work.Deep", "Work/Deep"},
		{"", ".", "a/b.c", "a" + mail.SlashInLevel + "b/c"},
		{"", ".", "INBOX.Sub", "INBOX/Sub"},
		{"INBOX.", ".", "INBOX.Work.Deep", "Work/Deep"},
		{"INBOX.", ".", "INBOX", "INBOX"},
		{"INBOX.", ".", "INBOX.INBOX", ""},
		{"INBOX.", ".", "INBOX.INBOX.Sub", "INBOX/Sub"},
		{"", "", "flat/name", "flat" + mail.SlashInLevel + "name"},
		{"", "/", "a//b", ""},
		{"", "/", "/a", ""},
		{"", "/", "a/", ""},
		{"", "/", "nul\x00", ""},
		{"", "/", "line\nend", ""},
		{"", "/", "bad\xff", ""},
		{"", "/", strings.Repeat("x", maxName+1), ""},
		{"", "/", "../../etc/passwd", "../../etc/passwd"},
		{"", "\\", `a\b`, "a/b"},
	} {
		n := namesOf(row.prefix, row.sep)
		got, err := n.learn(row.wire)
		if (err != nil) != (row.name == "") || got != row.name {
			t.Errorf("%q under %q %q is %q, %v; want %q", row.wire, row.prefix, row.sep, got, err, row.name)
			continue
		}
		if err != nil {
			continue
		}
		if back, err := n.wire(got); err != nil || back != row.wire {
			t.Errorf("%q comes back as %q, %v", row.wire, back, err)
		}
		fresh := namesOf(row.prefix, row.sep)
		if back, err := fresh.wire(got); err != nil || !strings.EqualFold(back, row.wire) {
			t.Errorf("%q is built as %q, %v", row.wire, back, err)
		}
	}
}

func TestNamesAreOneToOne(t *testing.T) {
	n := namesOf("", "/")
	if _, err := n.learn("INBOX/Sub"); err != nil {
		t.Fatal(err)
	}
	if name, err := n.learn("inbox/Sub"); err == nil {
		t.Errorf("a second mailbox may be called %q", name)
	}
	for _, name := range []mail.MailboxName{"a" + mail.SlashInLevel + "b", "a//b", ""} {
		if wire, err := n.wire(name); err == nil {
			t.Errorf("%q became %q", name, wire)
		} else if mail.GradeOf(err, 0) != mail.GradeMailbox {
			t.Errorf("%q: %v has no grade", name, err)
		}
	}
	if wire, err := namesOf("", ".").wire("v1.2"); err == nil {
		t.Errorf("v1.2 became %q where . separates levels", wire)
	}
}

// Whatever a server lists comes back to the server byte for byte, and no two
// mailboxes get one name.
func TestNamesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := namesOf(rapid.SampledFrom([]string{"", "INBOX.", "INBOX/", "x"}).Draw(t, "prefix"), rapid.SampledFrom([]string{"", "/", ".", "|"}).Draw(t, "sep"))
		seen := map[mail.MailboxName]string{}
		piece := rapid.SampledFrom([]string{"a", "B", ".", "/", "INBOX", "inbox", mail.SlashInLevel, "\ufe00", "é", "|", "x", " ", "~"})
		for range 6 {
			wire := strings.Join(rapid.SliceOfN(piece, 1, 5).Draw(t, "name"), "")
			name, err := n.learn(wire)
			if err != nil {
				continue
			}
			if strings.EqualFold(wire, "INBOX") {
				wire = "INBOX"
			}
			if other, ok := seen[name]; ok && !strings.EqualFold(other, wire) {
				t.Fatalf("%q and %q are both %q", other, wire, name)
			}
			seen[name] = wire
			if back, err := n.wire(name); err != nil || !strings.EqualFold(back, wire) {
				t.Fatalf("%q is %q and comes back as %q, %v", wire, name, back, err)
			}
			if built, err := namesOf(n.prefix, n.sep).wire(name); err != nil {
				t.Fatalf("%q cannot be built from %q: %v", wire, name, err)
			} else if again, err := namesOf(n.prefix, n.sep).learn(built); err != nil || again != name {
				t.Fatalf("%q is built as %q, which is %q, %v", name, built, again, err)
			}
		}
	})
}

func TestForeignNamespacesTakeNoPart(t *testing.T) {
	n := namesOf("", "/", "user/", "Shared Folders/")
	for wire, foreign := range map[string]bool{"user/bob/x": true, "user": true, "users": false, "Shared Folders/a": true, "INBOX": false} {
		if n.isForeign(wire) != foreign {
			t.Errorf("%q: foreign is %v", wire, !foreign)
		}
	}
	if n.shared = true; n.isForeign("user/bob") {
		t.Error("shared mailboxes take no part though they were asked for")
	}
}

func TestCursors(t *testing.T) {
	now := mark{validity: 7, next: 10, modseq: 99, count: 3}
	for _, row := range []struct {
		cursor plan.Cursor
		now    mark
		want   plan.BoxState
	}{
		{now.cursor(), now, plan.Same},
		{"", now, plan.Unknown},
		{"7:10:99", now, plan.Unknown},
		{"7:10:99:3x", now, plan.Unknown},
		{"07:10:99:3", now, plan.Unknown},
		{"7:10:99:4", now, plan.Changed},
		{"7:10:98:3", now, plan.Changed},
		{"7:9:99:3", now, plan.Changed},
		{"8:10:99:3", now, plan.Changed},
		{"7:10:0:3", mark{validity: 7, next: 10, count: 3}, plan.Unknown},
		{now.cursor(), mark{}, plan.Unknown},
		{"7:10:0:0", mark{validity: 7, next: 10}, plan.Same},
		{"7:10:0:0", mark{validity: 7, next: 11}, plan.Unknown},
		{"7:0:0:0", mark{validity: 7}, plan.Unknown},
	} {
		if got := row.now.compare(plan.Since{Cursor: row.cursor, Epoch: "7"}); got != row.want {
			t.Errorf("%q against %+v is %v, want %v", row.cursor, row.now, got, row.want)
		}
	}
	if now.compare(plan.Since{Cursor: now.cursor(), Epoch: "6"}) == plan.Same {
		t.Error("the same in another epoch")
	}
}

func TestUIDSetsHoldExactlyWhatWasAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uids := rapid.SliceOfN(rapid.Uint32Range(1, 60_000), 0, 4000).Draw(t, "uids")
		want := slices.Clone(uids)
		slices.Sort(want)
		want = slices.Compact(want)
		var got []uint32
		for _, set := range uidSets(slices.Clone(uids)) {
			if n := len(set.String()); n > maxSet {
				t.Fatalf("a set of %d bytes", n)
			}
			part, err := expand(set, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, part...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	})
}

func TestExpandRefusesAbsurdSets(t *testing.T) {
	for _, set := range []goimap.UIDSet{
		{{Start: 1, Stop: 4294967295}}, {{Start: 0, Stop: 0}}, {{Start: 5, Stop: 0}}, {{Start: 9, Stop: 3}},
		{{Start: 1, Stop: 60}, {Start: 100, Stop: 150}},
	} {
		if uids, err := expand(set, 100); err == nil {
			t.Errorf("%v gave %d UIDs", set, len(uids))
		}
	}
	if uids, err := expand(goimap.UIDSet{{Start: 4294967294, Stop: 4294967295}}, 2); err != nil || len(uids) != 2 {
		t.Errorf("the last UIDs: %v, %v", uids, err)
	}
}

func TestCopiedKeepsTheServersOrder(t *testing.T) {
	e := &ear{}
	e.hear("S", "T5 OK [COPYUID 38505 304,319:320 3958,3956:3957] Done")
	e.hear("S", "* OK [COPYUID 1 9 4294967295] x")
	e.hear("S", "* OK [COPYUID 1 1:4294967295 1:4294967295] absurd")
	e.hear("S", "* OK [COPYUID 1 1:2 7] unequal")
	e.hear("C", "T6 OK [COPYUID 1 2 3] not the server's")
	want := []copied{{38505, 304, 3958}, {38505, 319, 3956}, {38505, 320, 3957}, {1, 9, 4294967295}}
	if got := e.takeCopied(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := e.takeCopied(); got != nil {
		t.Errorf("told twice: %v", got)
	}
}

func TestPermanentFlags(t *testing.T) {
	all := mail.ParseFlagSet(`\Seen \Flagged $Foo Bar`)
	for _, row := range []struct{ line, want string }{
		{``, `\Seen \Flagged $Foo Bar`},
		{`* OK [PERMANENTFLAGS (\Seen \Deleted \*)] ok`, `\Seen \Flagged $Foo Bar`},
		{`* OK [PERMANENTFLAGS (\Seen $Foo)] ok`, `\Seen $Foo`},
		{`* OK [PERMANENTFLAGS ()] none`, ``},
		{`T1 OK [READ-ONLY] Select completed`, ``},
		{`T1 OK [READ-WRITE] Select completed`, `\Seen \Flagged $Foo Bar`},
	} {
		e := &ear{}
		e.hear("S", row.line)
		if got := e.permanent().storable(all); !got.Equal(mail.ParseFlagSet(row.want)) {
			t.Errorf("%q keeps %q, want %q", row.line, got, row.want)
		}
	}
}

func TestExactNeverEndsEarly(t *testing.T) {
	got, err := io.ReadAll(&exact{r: strings.NewReader("hello"), left: 5})
	if err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	for name, r := range map[string]io.Reader{
		"clean end": strings.NewReader("hell"),
		"error":     iotest.ErrReader(io.ErrUnexpectedEOF),
	} {
		if _, err := io.ReadAll(&exact{r: r, left: 5}); !errors.Is(err, mail.ErrShort) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got, err := io.ReadAll(&exact{r: strings.NewReader("hello, and more"), left: 5}); err != nil || string(got) != "hello" {
		t.Errorf("past the end: %q, %v", got, err)
	}
}

func TestCanonicalAgreesWithIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "\r", "\n", "\r\n"})).Draw(t, "raw"), ""))
		out, err := io.ReadAll(&canonical{r: iotest.OneByteReader(bytes.NewReader(raw))})
		if err != nil {
			t.Fatal(err)
		}
		before, _ := mail.Identify(bytes.NewReader(raw))
		after, _ := mail.Identify(bytes.NewReader(out))
		if after.Body != before.Body || int64(len(out)) != before.Size {
			t.Fatalf("%q became %q", raw, out)
		}
	})
}

func TestSpoolKeepsLargeMessagesOutOfMemory(t *testing.T) {
	var mem bytes.Buffer
	for _, size := range []int{0, 10, maxHeld, maxHeld + 1, 3 * maxHeld} {
		raw := bytes.Repeat([]byte("x"), size)
		sp, err := newSpool(t.TempDir(), bytes.NewReader(raw), &mem)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			r, err := sp.open()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, raw) {
				t.Errorf("%d bytes came back as %d, %v", size, len(got), err)
			}
		}
		if sp.size != int64(size) || (sp.file != nil) != (size > maxHeld) {
			t.Errorf("size %d, in a file: %v", sp.size, sp.file != nil)
		}
		sp.close()
	}
	if _, err := newSpool(t.TempDir()+"/missing", bytes.NewReader(make([]byte, maxHeld+1)), &mem); mail.ClassOf(err) != mail.ClassLocal {
		t.Errorf("no place for a temporary file: %v", err)
	}
}
