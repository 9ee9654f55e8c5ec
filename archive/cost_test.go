package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// snapshot gives the size and the time of change of every file below dir.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil && !strings.HasSuffix(path, "-shm") { // memory that SQLite shares, not data
			out[path] = fmt.Sprint(info.Size(), info.Mode(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// changed lists the files that differ, and the bytes that there are more.
func changed(t *testing.T, before, after map[string]string) (list []string, grown int64) {
	t.Helper()
	size := func(text string) (n int64) {
		_, _ = fmt.Sscan(text, &n) // 0 for a file that was not there
		return n
	}
	for path, is := range after {
		if before[path] != is {
			list = append(list, path)
		}
		grown += size(is) - size(before[path])
	}
	return list, grown
}

// filled is an archive with that many messages in one mailbox and a cursor
// that has seen them, and how it was closed.
func filled(t *testing.T, n int) (opt Options, since plan.Since) {
	t.Helper()
	opt = Options{Dir: filepath.Join(inMemoryDir(t), "archive"), NoSync: true, Clock: ticking()}
	a := open(t, opt)
	p := player{a: a}
	list := make([]modelMessage, n)
	for i := range list {
		list[i] = modelMessage{life: i + 1, body: distinct(i)}
	}
	if _, err := p.play(t.Context(), scene{"INBOX": list, "Empty": nil}); err != nil {
		t.Fatal(err)
	}
	r := begin(t, a)
	r.Bind(map[mail.BoxID]mail.MailboxName{1: "INBOX"})
	end, err := r.Scan(t.Context(), 1, plan.Since{}, func(plan.Seen) error { return nil })
	if err := errors.Join(err, a.Close()); err != nil {
		t.Fatal(err)
	}
	return opt, plan.Since{Cursor: end.Cursor, Epoch: end.Epoch, Known: n}
}

func distinct(n int) string {
	return fmt.Sprintf("From: Ada <ada@example.org>\r\nSubject: number %d\r\nMessage-ID: <%d@example.org>\r\n\r\nbody\r\n", n, n)
}

// statements counts what is asked of the catalogue.
func statements(a *Archive) *int {
	n := new(int)
	a.catalogue.Load().Watch = func(string) { *n++ }
	return n
}

// TestNothingChangedLeavesNothing: a run that finds nothing to do changes no
// file, and asks the catalogue as much of a large mailbox as of a small one.
func TestNothingChangedLeavesNothing(t *testing.T) {
	asked := map[int]int{}
	for _, size := range []int{10, 2000} {
		opt, since := filled(t, size)
		before := snapshot(t, opt.Dir)
		a := open(t, opt)
		n := statements(a)
		r := begin(t, a)
		boxes, err := r.Survey(t.Context(), map[mail.MailboxName]plan.Since{"INBOX": since})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range boxes {
			if b.Name == "INBOX" && (b.State != plan.Same || b.Count != size) {
				t.Errorf("INBOX is %+v", b)
			}
		}
		if _, err := r.Root(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Counts(t.Context()); err != nil {
			t.Fatal(err)
		}
		g, err := r.Finish(t.Context(), Outcome{Complete: true})
		if g != nil || err != nil {
			t.Errorf("finish gives %v, %v", g, err)
		}
		asked[size] = *n
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if list, grown := changed(t, before, snapshot(t, opt.Dir)); len(list) > 0 || grown != 0 {
			t.Errorf("%d messages: %d bytes more, changed: %v", size, grown, list)
		}
	}
	if asked[10] != asked[2000] || asked[10] > 15 {
		t.Errorf("statements, by messages in the mailbox: %v", asked)
	}
}

// TestChangesCostWhatChanged: 100 new messages cost 100 files, one manifest,
// and rows and statements by their number, whatever was there before; the next
// scan tells of these 100 alone.
func TestChangesCostWhatChanged(t *testing.T) {
	const fresh = 100
	asked, grown := map[int]int{}, map[int]int64{}
	for _, size := range []int{10, 2000} {
		opt, since := filled(t, size)
		before := snapshot(t, opt.Dir)
		a := open(t, opt)
		n := statements(a)
		r := begin(t, a)
		r.Bind(map[mail.BoxID]mail.MailboxName{1: "INBOX"})
		put(t, r, 1, 1_000_000, fresh)
		if _, err := r.Finish(t.Context(), Outcome{Complete: true}); err != nil {
			t.Fatal(err)
		}
		asked[size] = *n
		seen := 0
		if _, err := r.Scan(t.Context(), 1, since, func(plan.Seen) error { seen++; return nil }); err != nil || seen != fresh {
			t.Errorf("the next scan tells of %d messages, %v", seen, err)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		list, more := changed(t, before, snapshot(t, opt.Dir))
		if want := fresh + 3; len(list) != want { // their files, the manifest, the catalogue and its -wal
			t.Errorf("%d files changed, want %d", len(list), want)
		}
		grown[size] = more
	}
	if asked[10] != asked[2000] || asked[10] > 10*fresh {
		t.Errorf("statements, by messages in the mailbox: %v", asked)
	}
	if grown[2000] > grown[10]+100_000 || grown[2000] > fresh*2000 {
		t.Errorf("bytes for %d messages, by messages in the mailbox: %v", fresh, grown)
	}
}

// put puts distinct messages from a number on.
func put(t *testing.T, r *Recording, box mail.BoxID, from, n int) []mail.Ref {
	t.Helper()
	batch, err := r.Put(t.Context(), box)
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Abort()
	for i := range n {
		m := modelMessage{body: distinct(from + i), date: int64(from + i)}
		if err := batch.Add(t.Context(), m.incoming(i)); err != nil {
			t.Fatal(err)
		}
	}
	placed, err := batch.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	refs := make([]mail.Ref, n)
	for _, p := range placed {
		if refs[p.Tag] = p.Ref; p.Err != nil {
			t.Fatal(p.Err)
		}
	}
	return refs
}

// TestAMessageIsStoredOnce: one that is there already costs no write of its
// bytes, in whatever mailbox it comes again; one whose file was lost is
// written again.
func TestAMessageIsStoredOnce(t *testing.T) {
	x := &tap{}
	a := open(t, Options{seam: x.seam, Dir: filepath.Join(inMemoryDir(t), "archive")})
	r := begin(t, a)
	for _, name := range []mail.MailboxName{"INBOX", "Copy"} {
		if _, err := r.Create(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	r.Bind(map[mail.BoxID]mail.MailboxName{1: "INBOX", 2: "Copy"})
	put(t, r, 1, 0, 3)
	count := func(do func()) (files int) {
		x.calls = nil
		do()
		for _, c := range x.calls {
			if strings.HasPrefix(c, "create ") {
				files++
			}
		}
		return files
	}
	if n := count(func() { put(t, r, 2, 0, 3); put(t, r, 1, 1, 2) }); n != 0 {
		t.Errorf("%d files are written for messages that are there", n)
	}
	var m Message
	if err := a.Messages(t.Context(), "", func(one Message) error { m = one; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(a.files.message(m.Digest)); err != nil {
		t.Fatal(err)
	}
	if n := count(func() { put(t, r, 2, 0, 3) }); n != 1 {
		t.Errorf("%d files are written where one was lost", n)
	}
	sound(t, a)
	g, err := a.Generations(t.Context())
	if err != nil || len(g) != 1 || g[0].Came != 11 || g[0].Messages != 11 {
		t.Errorf("%+v, %v", g, err)
	}
}

// TestMemoryDoesNotGrowWithTheMessage: a message of 96 MB passes through
// buffers of a fixed size, in and out.
func TestMemoryDoesNotGrowWithTheMessage(t *testing.T) {
	const size = 96 << 20
	a := open(t, Options{NoSync: true})
	r := begin(t, a)
	if _, err := r.Create(t.Context(), "INBOX"); err != nil {
		t.Fatal(err)
	}
	r.Bind(map[mail.BoxID]mail.MailboxName{1: "INBOX"})
	var peak peak
	batch, err := r.Put(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	text := newLetters()
	in := plan.Incoming{Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.TeeReader(io.LimitReader(text, size), &peak)), nil
	}}
	if err := batch.Add(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	placed, err := batch.Commit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got := int64(0)
	err = r.Fetch(t.Context(), 1, []mail.Ref{placed[0].Ref}, func(_ mail.Ref, _ mail.Item, body io.Reader) (err error) {
		got, err = io.Copy(&peak, body)
		return err
	})
	if err != nil || got != size {
		t.Errorf("%d bytes come back, %v", got, err)
	}
	if peak.most > 32<<20 {
		t.Errorf("the heap grows to %d MB", peak.most>>20)
	}
}

// letters is an endless text that compresses as mail does, more or less: a
// block of it, over and over.
type letters []byte

func newLetters() letters {
	block := make([]byte, 32<<10)
	for i := range block {
		block[i] = "abcdefghijklmnop\r\nqrstuvwxyz"[(i*i>>3)%28]
	}
	return block
}

func (l letters) Read(p []byte) (int, error) { return copy(p, l), nil }

// TestAnUnmountedArchiveStaysEmpty: where there is no archive, looking makes
// none; the first effect does.
func TestAnUnmountedArchiveStaysEmpty(t *testing.T) {
	dir := t.TempDir()
	a := open(t, Options{Dir: dir})
	r := begin(t, a)
	ctx := context.WithoutCancel(t.Context())
	boxes, err := r.Survey(ctx, nil)
	root, err2 := r.Root(ctx)
	counts, err3 := r.Counts(ctx)
	g, err4 := r.Finish(ctx, Outcome{Complete: true})
	list, err5 := a.Generations(ctx)
	_, err6 := a.Latest(ctx)
	if err := errors.Join(err, err2, err3, err4, err5); err != nil || len(boxes)+len(counts)+len(list) > 0 || g != nil || !errors.Is(err6, ErrNoGeneration) {
		t.Errorf("%v %v %v %v %v %v", boxes, counts, g, list, err, err6)
	}
	if !root.Exists || root.Marked || root.Mail || root.What == "" || root.Refill == "" {
		t.Errorf("the root is %+v", root)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("made were %v, %v", entries, err)
	}
	if _, err := OpenReadOnly(ctx, dir); !errors.Is(err, ErrNone) {
		t.Errorf("opened for reading: %v", err)
	}
	if err := r.Stamp(ctx, "instance", 7); err != nil {
		t.Fatal(err)
	}
	if root, err := r.Root(ctx); err != nil || !root.Marked || root.Instance != "instance" || root.Runs != 7 {
		t.Errorf("the root is %+v, %v", root, err)
	}
}
