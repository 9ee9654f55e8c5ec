package maildir

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// lossless tells, in the plainest way, whether LF line ends lose nothing.
func lossless(wire string) bool {
	lf := strings.ReplaceAll(wire, "\r\n", "\n")
	return canonical(lf) == wire
}

// canonical is what appears of a file on the wire, in the plainest way.
func canonical(file string) string {
	var out strings.Builder
	for i := range len(file) {
		if file[i] == '\n' && (i == 0 || file[i-1] != '\r') {
			out.WriteByte('\r')
		}
		out.WriteByte(file[i])
	}
	return out.String()
}

// TestStoredForm: LF where that is lossless, else verbatim; and a file gives
// back its canonical form, of exactly the size announced.
func TestStoredForm(t *testing.T) {
	d, err := seam(nil).openPath(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	how := d.linking(time.Now())
	rapid.Check(t, func(t *rapid.T) {
		wire := strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{"a", "bc", "\r\n", "\r\n", "\r\n", "\n", "\r", "Subject: x\r\n", "\x00", "\xff"})).Draw(t, "wire"), "")
		size := rapid.IntRange(1, 7).Draw(t, "buffer")
		var in io.Reader = strings.NewReader(wire)
		if rapid.Bool().Draw(t, "with EOF at the end") {
			in = iotest.DataErrReader(in)
		}
		at := berth{tmp: d}
		if how == linkNever || rapid.Bool().Draw(t, "named") {
			at.name = "x"
		}
		file, id, err := newStorer(size).store(at, in)
		if err != nil {
			t.Fatal(err)
		}
		defer d.unlink("x")
		defer file.Close()
		if at.name == "" {
			if err := file.link(how, d, "x"); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := os.ReadFile(d.path + "/x")
		if err != nil {
			t.Fatal(err)
		}
		want := wire
		if lossless(wire) {
			want = strings.ReplaceAll(wire, "\r\n", "\n")
		}
		if string(stored) != want {
			t.Fatalf("%q was stored as %q, want %q", wire, stored, want)
		}
		whole, err := mail.Identify(strings.NewReader(wire))
		if err != nil || id != whole {
			t.Fatalf("%q has the identity %+v, want %+v", wire, id, whole)
		}
		n, err := canonicalSize(bytes.NewReader(stored), make([]byte, size))
		if err != nil || n != int64(len(canonical(wire))) {
			t.Fatalf("the canonical size of %q is %d, %v", stored, n, err)
		}
		r := &exactReader{r: newCanonicalReader(iotest.OneByteReader(bytes.NewReader(stored))), left: n}
		back, err := io.ReadAll(iotest.HalfReader(r))
		if err != nil || string(back) != canonical(wire) {
			t.Fatalf("%q came back as %q, %v", wire, back, err)
		}
	})
}

func TestExactReader(t *testing.T) {
	if _, err := io.ReadAll(&exactReader{r: strings.NewReader("abc"), left: 4}); !errors.Is(err, mail.ErrShort) {
		t.Errorf("a message that is too short gave %v", err)
	}
	if _, err := io.ReadAll(&exactReader{r: strings.NewReader("abc"), left: 2}); err == nil {
		t.Error("a message that is too long gave no error")
	}
}

func TestDelivery(t *testing.T) { bothWays(t, testDelivery) }

func testDelivery(t *testing.T, by way) {
	for _, fsync := range []bool{true, false} {
		fx := newFixture(t, by(Options{FSync: fsync}))
		fx.make(mail.Inbox)
		date := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
		body := "Subject: x\r\n\r\nhello\r\n"
		placed := fx.put(mail.Inbox,
			incoming(1, body, mail.Item{Token: token, Date: date}),
			incoming(2, body, mail.Item{Flags: mail.ParseFlagSet(`\Seen \Flagged $Work`), Date: date}),
			incoming(3, "bare\nlf", mail.Item{}),
			incoming(4, "", mail.Item{}),
		)
		key := tokenKey(date, token)
		wantEqual(t, "key", placed[0].Ref, mail.Ref(key))
		wantEqual(t, "in new, with LF", fx.read("INBOX", "new", key), "Subject: x\n\nhello\n")
		wantEqual(t, "in cur", fx.read("INBOX", "cur", string(placed[1].Ref)+":2,FSa"), "Subject: x\n\nhello\n")
		wantEqual(t, "verbatim", fx.read("INBOX", "new", string(placed[2].Ref)), "bare\nlf")
		wantEqual(t, "empty", fx.read("INBOX", "new", string(placed[3].Ref)), "")
		wantEqual(t, "table", fx.read("INBOX", keywordsFile), "0 $Work\n")
		wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
		items, _ := fx.scan(mail.Inbox)
		for _, p := range placed {
			item := items[p.Ref]
			wantEqual(t, "mark", item.Stat, p.Stat)
			if !item.Flags.Equal(p.Flags) || p.Epoch != epoch {
				t.Errorf("placed %+v, found %+v", p, item)
			}
		}
		wantEqual(t, "token", items[mail.Ref(key)].Token, token)
		if !items[mail.Ref(key)].Date.Equal(date) {
			t.Errorf("the date is %v", items[mail.Ref(key)].Date)
		}
		wantEqual(t, "identity", placed[0].Ident, bodyDigest(t, body))
		got, item := fx.fetch(mail.Inbox, placed[2].Ref)
		wantEqual(t, "canonical form", got, "bare\r\nlf")
		wantEqual(t, "canonical size", item.Ident.Size, 8)
	}
}

// TestSameKeyTwice: no file is overwritten; the very message that is there
// already is found again.
func TestSameKeyTwice(t *testing.T) { bothWays(t, testSameKeyTwice) }

func testSameKeyTwice(t *testing.T, by way) {
	fx := newFixture(t, by(Options{}))
	fx.make(mail.Inbox)
	item := mail.Item{Token: token, Date: time.Unix(1000, 0)}
	first := fx.put(mail.Inbox, incoming(1, "one\r\n", item))[0]
	fx.rename("INBOX/new/"+string(first.Ref), "INBOX/cur/"+string(first.Ref)+":2,F")

	item.Flags = mail.NewFlagSet(mail.Seen)
	again := fx.put(mail.Inbox, incoming(1, "one\r\n", item))[0]
	wantEqual(t, "the same message", again.Ref, first.Ref)
	wantEqual(t, "its mark", again.Stat, first.Stat)
	other := fx.put(mail.Inbox, incoming(1, "other\r\n", item), incoming(2, "third\r\n", item))
	if other[0].Ref == first.Ref || other[1].Ref == first.Ref || parseToken(string(other[0].Ref)) != "" {
		t.Errorf("another message got the key of the first: %v", other)
	}
	items, _ := fx.scan(mail.Inbox)
	wantEqual(t, "messages", len(items), 3)
	wantEqual(t, "flags of the first", items[first.Ref].Flags.String(), `\Seen \Flagged`)
	if got, _ := fx.fetch(mail.Inbox, first.Ref); got != "one\r\n" {
		t.Errorf("the first message is now %q", got)
	}

	fx.reopen()
	fx.bind(mail.Inbox)
	item.Token = strings.Repeat("ab", 16)
	two := fx.put(mail.Inbox, incoming(1, "x", item), incoming(2, "y", item))
	if two[0].Ref == two[1].Ref {
		t.Errorf("two messages of one batch have the key %s", two[0].Ref)
	}
}

// TestBrokenBody: one message that fails does not stop the others, and leaves nothing.
func TestBrokenBody(t *testing.T) { bothWays(t, testBrokenBody) }

func testBrokenBody(t *testing.T, by way) {
	fx := newFixture(t, by(Options{FSync: true}))
	fx.make(mail.Inbox)
	broken := errors.New("the line broke")
	bad := func(tag int, head string) plan.Incoming {
		return plan.Incoming{Tag: tag, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader(head), iotest.ErrReader(broken))), nil
		}}
	}
	placed, err := fx.tryPut(mail.Inbox,
		incoming(1, "good\r\n", mail.Item{}),
		bad(2, "half a message\r\n"), bad(3, "half\r\n a verbatim\n one"),
		plan.Incoming{Tag: 4, Open: func() (io.ReadCloser, error) { return nil, broken }},
		incoming(5, "good too\r\n", mail.Item{}),
	)
	if err != nil || len(placed) != 5 {
		t.Fatal(placed, err)
	}
	for _, p := range placed {
		switch p.Tag {
		case 1, 5:
			if p.Err != nil || p.Ref == "" {
				t.Errorf("%+v", p)
			}
		default:
			if !errors.Is(p.Err, broken) || p.Ref != "" || mail.GradeOf(p.Err, 0) != mail.GradeMessage {
				t.Errorf("%+v", p)
			}
		}
	}
	wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
	wantEqual(t, "in new", len(fx.files("INBOX", "new")), 2)
}

// TestFullDisk: a write that fails for want of room is that message's fault.
func TestFullDisk(t *testing.T) { bothWays(t, testFullDisk) }

func testFullDisk(t *testing.T, by way) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
		t.Fatal(err)
	}
	small := limit
	small.Cur = 64 << 10 // beyond it, writes fail with EFBIG
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limit); err != nil {
			t.Error(err)
		}
	}()
	fx := newFixture(t, by(Options{FSync: true}))
	fx.make(mail.Inbox)
	placed, err := fx.tryPut(mail.Inbox,
		incoming(1, strings.Repeat("large\r\n", 100000), mail.Item{}),
		incoming(2, "small\r\n", mail.Item{}))
	if err != nil || !errors.Is(placed[0].Err, unix.EFBIG) || placed[1].Err != nil {
		t.Errorf("%+v, %v", placed, err)
	}
	wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
	items, _ := fx.scan(mail.Inbox)
	wantEqual(t, "messages", len(items), 1)
}

func TestAbort(t *testing.T) { bothWays(t, testAbort) }

func testAbort(t *testing.T, by way) {
	fx := newFixture(t, by(Options{}))
	fx.make(mail.Inbox)
	b, err := fx.Put(t.Context(), fx.ids[mail.Inbox])
	if err != nil {
		t.Fatal(err)
	}
	for range maxOpen + 3 {
		if err := b.Add(t.Context(), incoming(1, "x", mail.Item{})); err != nil {
			t.Fatal(err)
		}
	}
	if items, _ := fx.scan(mail.Inbox); len(items) != 0 {
		t.Error("messages are seen before Commit")
	}
	b.Abort()
	b.Abort()
	wantEqual(t, "left in tmp", len(fx.files("INBOX", "tmp")), 0)
	if err := b.Add(t.Context(), incoming(1, "x", mail.Item{})); err == nil {
		t.Error("a batch that was aborted took a message")
	}
}

// TestLeftovers: old files of ours in tmp go, those of others and young ones stay.
func TestLeftovers(t *testing.T) {
	fx := newFixture(t, Options{})
	fx.make(mail.Inbox)
	fx.write("x", "INBOX", "tmp", "1.left"+ownSuffix)
	fx.write("x", "INBOX", "tmp", "1.other")
	fx.put(mail.Inbox, incoming(1, "x", mail.Item{}))
	wantEqual(t, "while young", len(fx.files("INBOX", "tmp")), 2)
	fx.reopen()
	fx.bind(mail.Inbox)
	fx.ahead = staleTmp + time.Hour
	fx.put(mail.Inbox, incoming(1, "y", mail.Item{}))
	wantEqual(t, "when old", strings.Join(fx.files("INBOX", "tmp"), " "), "1.other")
}

// TestLargeMessage: memory does not grow with the message, whichever form it
// is stored in.
func TestLargeMessage(t *testing.T) { bothWays(t, testLargeMessage) }

func testLargeMessage(t *testing.T, by way) {
	const size = 100 << 20
	fx := newFixture(t, by(Options{}))
	fx.make(mail.Inbox)
	line := strings.Repeat("x", 998) + "\r\n"
	for _, last := range []string{"\r\n", "bare\n"} {
		in := plan.Incoming{Tag: 1, Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(io.LimitReader(&repeater{text: line}, size), strings.NewReader(last))), nil
		}}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		placed := fx.put(mail.Inbox, in)
		var n int64
		err := fx.Fetch(t.Context(), fx.ids[mail.Inbox], []mail.Ref{placed[0].Ref}, func(_ mail.Ref, item mail.Item, r io.Reader) (err error) {
			n, err = io.Copy(io.Discard, r)
			if n != item.Ident.Size {
				t.Errorf("%d bytes of %d", n, item.Ident.Size)
			}
			return err
		})
		runtime.ReadMemStats(&after)
		if err != nil || n < size {
			t.Fatal(n, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20 {
			t.Errorf("a message of %d bytes that ends in %q took %d bytes of memory in all", size, last, used)
		}
	}
}

// A repeater gives a text again and again.
type repeater struct {
	text string
	at   int
}

func (r *repeater) Read(p []byte) (int, error) {
	n := copy(p, r.text[r.at:])
	r.at = (r.at + n) % len(r.text)
	return n, nil
}
