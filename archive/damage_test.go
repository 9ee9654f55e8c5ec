package archive

import (
	"bytes"
	"database/sql"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// played is an archive of all scenes, closed, and a message in it.
func played(t *testing.T) (opt Options, one Message) {
	t.Helper()
	opt = Options{Dir: filepath.Join(inMemoryDir(t), "archive"), NoSync: true, Clock: ticking()}
	a := open(t, opt)
	for _, s := range scenes {
		p := player{a: a}
		if _, err := p.play(t.Context(), s); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Find(t.Context(), "number 5", func(f Found) error { one = f.Message; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	return opt, one
}

// fetched reads the newest INBOX: how many messages came whole, and the error.
func fetched(t *testing.T, a *Archive) (whole int, err error) {
	t.Helper()
	v := a.View(2)
	v.Bind(map[mail.BoxID]mail.MailboxName{1: "INBOX"})
	var refs []mail.Ref
	if _, err := v.Scan(t.Context(), 1, plan.Since{}, func(s plan.Seen) error { refs = append(refs, s.Ref); return nil }); err != nil {
		t.Fatal(err)
	}
	err = v.Fetch(t.Context(), 1, refs, func(_ mail.Ref, item mail.Item, r io.Reader) error {
		// As a batch does, which keeps an error of one body to itself; and no
		// more is read than there should be.
		if n, err := io.CopyN(io.Discard, r, item.Ident.Size); err == nil && n == item.Ident.Size {
			whole++
		}
		return nil
	})
	return whole, err
}

// TestDamageIsNeverGivenOut: whatever happens to a message file, its bytes
// come with an error, and the others come.
func TestDamageIsNeverGivenOut(t *testing.T) {
	for name, harm := range map[string]func(text []byte) []byte{
		"truncated":  func(text []byte) []byte { return text[:len(text)-1] },
		"empty":      func([]byte) []byte { return nil },
		"longer":     func(text []byte) []byte { return append(text, text...) },
		"other":      func([]byte) []byte { return []byte("something else") },
		"first byte": func(text []byte) []byte { text[0] ^= 1; return text },
		"last byte":  func(text []byte) []byte { text[len(text)-1] ^= 0x80; return text },
		"missing":    nil,
	} {
		t.Run(name, func(t *testing.T) {
			opt, one := played(t)
			harmFile(t, opt, one, harm)
			a := open(t, opt)
			whole, err := fetched(t, a)
			if !errors.Is(err, ErrDamaged) || mail.GradeOf(err, 0) != mail.GradeMessage || whole != 2 {
				t.Errorf("%d of 2 others came, error %v", whole, err)
			}
			r, err := a.OpenMessage(t.Context(), one.Digest)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
				_ = r.Close()
			}
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("opened: %v", err)
			}
		})
	}
}

func harmFile(t *testing.T, opt Options, m Message, harm func([]byte) []byte) {
	t.Helper()
	path := (&files{dir: opt.Dir}).message(m.Digest)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if harm == nil {
		return
	}
	if err := os.WriteFile(path, harm(text), 0o400); err != nil {
		t.Fatal(err)
	}
}

// TestEveryFlippedBitIsFound flips each bit of a message file in turn.
func TestEveryFlippedBitIsFound(t *testing.T) {
	opt, one := played(t)
	a := open(t, opt)
	path := a.files.message(one.Digest)
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	told := 0
	for bit := range 8 * len(sound) {
		text := bytes.Clone(sound)
		text[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := a.OpenMessage(t.Context(), one.Digest)
		var got []byte
		if err == nil {
			got, err = io.ReadAll(r)
			_ = r.Close()
		}
		switch {
		case err == nil && string(got) != bodyOf(5):
			t.Fatalf("bit %d: other bytes come without an error", bit)
		case err != nil && !errors.Is(err, ErrDamaged):
			t.Errorf("bit %d: %v", bit, err)
		case err != nil:
			told++
		}
	}
	if told < 7*len(sound) { // some bits of a frame's header mean nothing
		t.Errorf("of %d bits %d are found", 8*len(sound), told)
	}
}

// TestALostCatalogueIsMadeAgain: without the catalogue, or with an old one,
// nothing is written; made again it says what it said, and names a message
// whose file is damaged.
func TestALostCatalogueIsMadeAgain(t *testing.T) {
	opt, one := played(t)
	a := open(t, opt)
	before := []string{showSide(t, a.View(1)), showSide(t, a.View(2)), showSide(t, a.View(3))}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := removeDatabase(filepath.Join(opt.Dir, CatalogueFile)); err != nil {
		t.Fatal(err)
	}
	a = open(t, opt)
	if _, err := a.Begin(t.Context()); !errors.Is(err, ErrStale) {
		t.Errorf("without a catalogue: %v", err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	rebuilt(t, opt, 0)
	a = open(t, opt)
	for i, want := range before {
		if got := showSide(t, a.View(int64(i+1))); got != want {
			t.Errorf("generation %d reads\n%swant\n%s", i+1, got, want)
		}
	}
	root, err := begin(t, a).Root(t.Context())
	if err != nil || root.Marked || !root.Mail {
		t.Errorf("the root is %+v, %v: nobody's marker should be there", root, err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	harmFile(t, opt, one, nil)
	if p := rebuilt(t, opt, 1); !strings.Contains(p[0].Error(), one.Digest.String()) {
		t.Errorf("the problem is %v", p[0])
	}
	if whole, err := fetched(t, open(t, opt)); !errors.Is(err, ErrDamaged) || whole != 2 {
		t.Errorf("%d of 2 others came, error %v", whole, err)
	}
}

func rebuilt(t *testing.T, opt Options, problems int) []error {
	t.Helper()
	out, err := Rebuild(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Problems) != problems || out.Generations != 3 || out.Messages != 5 {
		t.Fatalf("rebuilt: %+v", out)
	}
	return out.Problems
}

// TestTheChainShowsAChangedManifest: a manifest that was exchanged, or is
// missing, is named.
func TestTheChainShowsAChangedManifest(t *testing.T) {
	for name, harm := range map[string]func(first, second string) error{
		"exchanged": func(first, second string) error {
			text, err := os.ReadFile(second)
			return errors.Join(err, os.Remove(first), os.WriteFile(first, text, 0o400))
		},
		"missing": func(first, _ string) error { return os.Remove(first) },
	} {
		t.Run(name, func(t *testing.T) {
			opt, _ := played(t)
			f := &files{dir: opt.Dir}
			if err := harm(f.manifest(1), f.manifest(2)); err != nil {
				t.Fatal(err)
			}
			out, err := Rebuild(t.Context(), opt)
			if err != nil || len(out.Problems) == 0 || !errors.Is(out.Problems[0], ErrDamaged) {
				t.Errorf("%+v, %v", out, err)
			}
		})
	}
}

// TestReadableWithoutGodwit reads a message file as its users would, where
// that program is there.
func TestReadableWithoutGodwit(t *testing.T) {
	opt, one := played(t)
	f := &files{dir: opt.Dir}
	zstd, err := exec.LookPath("zstd")
	if err != nil {
		t.Logf("there is no zstd here: %v", err)
		return
	}
	out, err := exec.CommandContext(t.Context(), zstd, "-dc", f.message(one.Digest)).Output()
	if err != nil || string(out) != bodyOf(5) {
		t.Errorf("%q, %v", out, err)
	}
	// The frame tells the size of its content, and has a checksum.
	list, err := exec.CommandContext(t.Context(), zstd, "-lv", f.message(one.Digest)).Output()
	if err != nil || !strings.Contains(string(list), "XXH64") || !strings.Contains(string(list), "Decompressed Size: ") {
		t.Errorf("%s, %v", list, err)
	}
	manifest, err := exec.CommandContext(t.Context(), zstd, "-dc", f.manifest(2)).Output()
	if err != nil || !strings.HasPrefix(string(manifest), `{"type":"generation","format":1,"n":2,`) {
		t.Errorf("%s, %v", manifest, err)
	}
}

// TestTheDocumentedQueriesWork runs the SQL of docs/archive.md.
func TestTheDocumentedQueriesWork(t *testing.T) {
	doc, err := os.ReadFile("../docs/archive.md")
	if err != nil {
		t.Fatal(err)
	}
	opt, _ := played(t)
	a := open(t, opt)
	want := []int{len(scenes[1]["INBOX"]), len(scenes)}
	for i, block := range strings.Split(string(doc), "```sql\n")[1:] {
		query, _, _ := strings.Cut(block, "```")
		rows := 0
		if err := a.each(t.Context(), strings.ReplaceAll(query, "42", "2"), nil, func(*sql.Rows) error { rows++; return nil }); err != nil {
			t.Errorf("%s\n%v", query, err)
		}
		if i >= len(want) || rows != want[i] {
			t.Errorf("%s\ngives %d rows", query, rows)
		}
	}
}
