package archive

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// bodies are the messages of random lives: a server that has them all.
type bodies map[mail.Digest]string

func (bodies) Name() string { return "the server" }

func (b bodies) Give(_ context.Context, want []Wanted, each func(mail.Digest, io.Reader) error) error {
	for _, w := range want {
		if text, ok := b[w.Message.Digest]; ok {
			// A source may also give what it takes for the message, and is not.
			err := errors.Join(each(w.Message.Digest, strings.NewReader("From: "+text)), each(w.Message.Digest, strings.NewReader(text)))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func allBodies(t *testing.T) bodies {
	t.Helper()
	out := bodies{}
	for n := range 30 {
		id, err := mail.Identify(strings.NewReader(bodyOf(n)))
		if err != nil {
			t.Fatal(err)
		}
		out[id.Wire] = bodyOf(n)
	}
	return out
}

// A world is an archive after a random life, closed, and what it tells.
type world struct {
	*life
	says string
	last int64
}

func lived(t *testing.T, seed uint64, generations int) *world {
	t.Helper()
	l := &life{t: t, rand: rand.New(rand.NewPCG(seed, 11)), now: state{}, then: map[int64]state{}, gens: map[int64]Generation{}}
	l.opt = Options{Dir: filepath.Join(inMemoryDir(t), "archive"), NoSync: true, Clock: ticking()}
	l.reopen()
	for len(l.then) < generations {
		l.generation()
	}
	w := &world{life: l, last: int64(len(l.then))}
	w.says = w.reads()
	l.must(l.a.Close())
	return w
}

// reads is all that the archive tells, every generation and message.
func (w *world) reads() string {
	text := w.told()
	list, err := w.a.Generations(w.t.Context())
	w.must(err)
	for _, g := range list {
		n := g.Number
		if !g.Retired.IsZero() || n > 1 && !list[n-2].Retired.IsZero() {
			continue
		}
		text += fmt.Sprintf("generation %d\n%s", n, w.show(w.a.View(n)))
		w.must(w.a.Diff(w.t.Context(), n-1, n, func(d Difference) error {
			text += line(d)
			return nil
		}))
	}
	return text
}

// copied is the world with a directory of its own.
func (w *world) copied(t *testing.T) *world {
	t.Helper()
	l := *w.life
	l.t, l.opt.Dir = t, filepath.Join(inMemoryDir(t), "archive")
	if err := os.CopyFS(l.opt.Dir, os.DirFS(w.opt.Dir)); err != nil {
		t.Fatal(err)
	}
	return &world{&l, w.says, w.last}
}

func (w *world) verify(change func(*VerifyOptions)) *Verified {
	w.t.Helper()
	o := VerifyOptions{Options: w.opt, ReadData: true}
	if change != nil {
		change(&o)
	}
	out, err := Verify(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// mended repairs the archive, and sees that nothing is left to be repaired and
// that it tells what it told.
func (w *world) mended(sources ...Source) *Verified {
	w.t.Helper()
	out := w.verify(func(o *VerifyOptions) { o.Repair, o.Sources = true, sources })
	for _, f := range out.Findings {
		if !f.Repaired || f.How == "" || f.Why != nil {
			w.t.Errorf("not mended: %+v", f)
		}
	}
	w.same()
	return out
}

// same fails unless the archive is sound and tells what it told.
func (w *world) same() {
	w.t.Helper()
	if again := w.verify(nil); len(again.Findings) > 0 || len(again.Strays) > 0 || again.Unread > 0 {
		w.t.Errorf("after that: %+v", again)
	}
	w.tellsTheSame()
}

func (w *world) tellsTheSame() {
	w.t.Helper()
	w.a = open(w.t, w.opt)
	got := w.reads()
	w.must(w.a.Close())
	if got != w.says {
		w.t.Errorf("the archive tells other than before:\n%s", firstDifference(got, w.says))
	}
}

func firstDifference(got, want string) string {
	was := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(was) || line != was[i] {
			return fmt.Sprintf("line %d: %s\nwant %s", i, line, was[min(i, len(was)-1)])
		}
	}
	return "it ends too early"
}

// change runs a statement on the catalogue, past all that watches over it.
func (w *world) change(query string, args ...any) {
	w.t.Helper()
	a := open(w.t, w.opt)
	w.must(a.update(w.t.Context(), func(tx *sqlite.Tx) error {
		return errors.Join(tx.Exec("PRAGMA ignore_check_constraints = ON"), tx.Exec(query, args...))
	}))
	w.must(a.Close())
}

// write puts other bytes into a file, nil none.
func (w *world) write(file string, change func([]byte) []byte) {
	w.t.Helper()
	path := filepath.Join(w.opt.Dir, file)
	text, err := os.ReadFile(path)
	w.must(err)
	w.must(os.Remove(path))
	if text = change(text); text != nil {
		w.must(os.WriteFile(path, text, 0o600))
	}
}

// oneMessage is the file of a message that lies in some generation.
func (w *world) oneMessage() (file string) {
	w.t.Helper()
	a := open(w.t, w.opt)
	w.must(a.each(w.t.Context(), "SELECT lower(hex(digest)) FROM message ORDER BY size DESC LIMIT 1", nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		file = filepath.Join(messagesDir, name[:2], name+".zst")
		return err
	}))
	w.must(a.Close())
	return file
}

func flip(bit int) func([]byte) []byte {
	return func(text []byte) []byte {
		text[bit/8%len(text)] ^= 1 << (bit % 8)
		return text
	}
}

func gone([]byte) []byte { return nil }

func cut(text []byte) []byte { return text[:len(text)/2] }

func empty([]byte) []byte { return []byte{} }

// TestVerifyTellsNothingOfSoundArchives: lives of all kinds leave an archive in which
// nothing is wrong, and verifying it changes nothing that it tells.
func TestVerifyTellsNothingOfSoundArchives(t *testing.T) {
	for seed := range uint64(6) {
		w := lived(t, seed, 25)
		out := w.verify(nil)
		if len(out.Findings) > 0 || len(out.Strays) > 0 || out.Generations != len(w.then) || out.ReadFiles != out.Messages || out.ReadBytes != out.Stored {
			t.Errorf("seed %d: %+v", seed, out)
		}
		w.mended()
	}
}

// TestDamageIsFoundNamedAndMended is what happens to the files of an archive: each
// is found, the file is named, and with a source for messages all of it is
// mended, so that every generation reads as before.
func TestDamageIsFoundNamedAndMended(t *testing.T) {
	w := lived(t, 3, 20)
	message := w.oneMessage()
	manifest := func(n int64) string { return filepath.Join(manifestsDir, manifestName(n)) }
	inFile := func(file string, change func([]byte) []byte) func(*world) {
		return func(w *world) { w.write(file, change) }
	}
	sql := func(query string) func(*world) { return func(w *world) { w.change(query) } }
	for name, c := range map[string]struct {
		harm func(*world)
		kind Damaged
		file string
	}{
		"message missing":   {inFile(message, gone), DamagedMessage, message},
		"message empty":     {inFile(message, empty), DamagedMessage, message},
		"message truncated": {inFile(message, cut), DamagedMessage, message},
		"message longer":    {inFile(message, func(text []byte) []byte { return append(text, 0) }), DamagedMessage, message},
		"message of another": {func(w *world) {
			w.write(message, func([]byte) []byte {
				s := &spool{f: &files{}, buf: []byte("From: eve\r\n\r\n")}
				enc, err := s.f.compressor()
				w.must(err)
				return enc.EncodeAll(s.buf, nil)
			})
		}, DamagedMessage, message},
		"first manifest missing":  {inFile(manifest(1), gone), DamagedManifest, manifest(1)},
		"a manifest missing":      {inFile(manifest(9), gone), DamagedManifest, manifest(9)},
		"last manifest missing":   {inFile(manifest(w.last), gone), DamagedManifest, manifest(w.last)},
		"a manifest truncated":    {inFile(manifest(9), cut), DamagedManifest, manifest(9)},
		"a manifest empty":        {inFile(manifest(9), empty), DamagedManifest, manifest(9)},
		"last manifest truncated": {inFile(manifest(w.last), cut), DamagedManifest, manifest(w.last)},
		"manifests exchanged": {func(w *world) {
			w.write(manifest(8), func([]byte) []byte {
				text, err := os.ReadFile(filepath.Join(w.opt.Dir, manifest(9)))
				w.must(err)
				return text
			})
		}, DamagedManifest, manifest(8)},
		"all manifests missing": {func(w *world) {
			for n := int64(1); n <= w.last; n++ {
				w.write(manifest(n), gone)
			}
		}, DamagedManifest, manifest(1)},
		"catalogue missing":           {func(w *world) { w.must(removeDatabase(filepath.Join(w.opt.Dir, CatalogueFile))) }, DamagedCatalogue, CatalogueFile},
		"catalogue truncated":         {inFile(CatalogueFile, cut), DamagedCatalogue, CatalogueFile},
		"catalogue cut at a page":     {inFile(CatalogueFile, func(text []byte) []byte { return text[:len(text)-4096] }), DamagedCatalogue, CatalogueFile},
		"catalogue empty":             {inFile(CatalogueFile, empty), DamagedCatalogue, CatalogueFile},
		"no database":                 {inFile(CatalogueFile, func([]byte) []byte { return []byte("hello") }), DamagedCatalogue, CatalogueFile},
		"another database":            {sql("PRAGMA application_id = 5"), DamagedCatalogue, CatalogueFile},
		"other flags":                 {sql(`UPDATE placement SET flags = '\Answered' WHERE id = (SELECT max(id) FROM placement WHERE gen_to IS NULL)`), DamagedCatalogue, CatalogueFile},
		"other old flags":             {sql(`UPDATE past_flags SET flags = 'x' WHERE placement = (SELECT max(placement) FROM past_flags)`), DamagedCatalogue, CatalogueFile},
		"old flags lost":              {sql(`DELETE FROM past_flags WHERE placement = (SELECT max(placement) FROM past_flags)`), DamagedCatalogue, CatalogueFile},
		"another date":                {sql(`UPDATE placement SET date = date + 1 WHERE id = (SELECT max(id) FROM placement WHERE gen_to IS NULL)`), DamagedCatalogue, CatalogueFile},
		"another UID":                 {sql(`UPDATE placement SET uid = '77' WHERE id = (SELECT max(id) FROM placement WHERE gen_to IS NULL)`), DamagedCatalogue, CatalogueFile},
		"a placement lost":            {sql(`DELETE FROM placement WHERE id = (SELECT max(id) FROM placement WHERE gen_to IS NULL)`), DamagedCatalogue, CatalogueFile},
		"a placement reopened":        {sql(`UPDATE placement SET gen_to = NULL WHERE id = (SELECT max(id) FROM placement WHERE gen_to > gen_from)`), DamagedCatalogue, CatalogueFile},
		"an interval backwards":       {sql(`UPDATE mailbox_name SET gen_to = gen_from - 1 WHERE mailbox = (SELECT max(mailbox) FROM mailbox_name WHERE gen_from > 1)`), DamagedCatalogue, CatalogueFile},
		"a mailbox renamed":           {sql(`UPDATE mailbox_name SET name = 'Elsewhere' WHERE mailbox = (SELECT max(mailbox) FROM mailbox_name WHERE gen_to IS NULL) AND gen_to IS NULL`), DamagedCatalogue, CatalogueFile},
		"another digest":              {sql(`UPDATE message SET digest = randomblob(32) WHERE id = (SELECT max(id) FROM message)`), DamagedCatalogue, CatalogueFile},
		"another size":                {sql(`UPDATE message SET size = size + 1 WHERE id = (SELECT max(id) FROM message)`), DamagedCatalogue, CatalogueFile},
		"another size of file":        {sql(`UPDATE message SET stored = stored + 1 WHERE id = (SELECT max(id) FROM message)`), DamagedCatalogue, CatalogueFile},
		"another subject":             {sql(`UPDATE message SET subject = 'x' WHERE id = (SELECT max(id) FROM message)`), DamagedCatalogue, CatalogueFile},
		"another light digest":        {sql(`UPDATE message SET light = randomblob(32) WHERE id = (SELECT max(id) FROM message)`), DamagedCatalogue, CatalogueFile},
		"a generation lost":           {sql(`DELETE FROM generation WHERE n = 7`), DamagedCatalogue, CatalogueFile},
		"another complete":            {sql(`UPDATE generation SET complete = 1 - complete WHERE n = 7`), DamagedCatalogue, CatalogueFile},
		"another time":                {sql(`UPDATE generation SET ended = ended + 1000 WHERE n = 7`), DamagedCatalogue, CatalogueFile},
		"digest of a manifest":        {sql(`UPDATE generation SET manifest = randomblob(32) WHERE n = 7`), DamagedCatalogue, CatalogueFile},
		"digest of the last manifest": {sql(`UPDATE generation SET manifest = randomblob(32) WHERE n = (SELECT max(n) FROM generation)`), DamagedCatalogue, CatalogueFile},
		"a number to be given twice":  {sql(`UPDATE sequence SET next = 1 WHERE name = 'placement'`), DamagedCatalogue, CatalogueFile},
		"a wrong count":               {sql(`UPDATE mailbox SET messages = messages + 1 WHERE id = (SELECT max(id) FROM mailbox)`), DamagedCatalogue, CatalogueFile},
		"no such table":               {sql(`DROP TABLE quarantine`), DamagedCatalogue, CatalogueFile},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.copied(t)
			c.harm(w)
			out := w.verify(nil)
			if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.Kind == c.kind && f.File == c.file && f.Text != "" && !f.Repaired }) {
				t.Errorf("found: %+v", out.Findings)
			}
			for _, f := range out.Findings {
				if f.Kind == DamagedMessage && (f.Wanted == nil || f.Wanted.Message.Subject == "" || len(f.Wanted.Places) == 0) {
					t.Errorf("the message is not named: %+v", f.Wanted)
				}
			}
			again := w.verify(nil)
			if len(again.Findings) != len(out.Findings) {
				t.Errorf("verified again without repair: %+v", again.Findings)
			}
			if out := w.mended(allBodies(t)); len(out.Findings) == 0 {
				t.Error("while mending, nothing was found")
			}
		})
	}
}

// TestAnOldCatalogue is put back beside newer manifests: as it was after
// each generation, and in the middle of one.
func TestAnOldCatalogue(t *testing.T) {
	w := lived(t, 5, 12)
	for n := int64(1); n < w.last; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			w := w.copied(t)
			w.backTo(n)
			out := w.verify(nil)
			if len(out.Findings) == 0 || !strings.Contains(out.Findings[0].Text, "older than the manifests") {
				t.Errorf("found: %+v", out.Findings)
			}
			a := open(t, w.opt)
			if _, err := a.Begin(t.Context()); !errors.Is(err, ErrStale) {
				t.Errorf("a run begins: %v", err)
			}
			w.must(a.Close())
			if out := w.mended(); out.Rebuilt {
				t.Error("it was made again as a whole")
			}
		})
	}
}

// backTo makes the catalogue what it was after generation n.
func (w *world) backTo(n int64) {
	w.t.Helper()
	keep := filepath.Join(w.opt.Dir, "kept")
	w.must(os.Mkdir(keep, 0o700))
	for m := n + 1; m <= w.last; m++ {
		f := &files{dir: w.opt.Dir}
		w.must(os.Rename(f.manifest(m), filepath.Join(keep, manifestName(m))))
	}
	_, err := Rebuild(w.t.Context(), w.opt)
	w.must(err)
	for m := n + 1; m <= w.last; m++ {
		f := &files{dir: w.opt.Dir}
		w.must(os.Rename(filepath.Join(keep, manifestName(m)), f.manifest(m)))
	}
	w.must(os.Remove(keep))
	aside, err := filepath.Glob(filepath.Join(w.opt.Dir, CatalogueFile+".damaged-*"))
	w.must(err)
	for _, path := range aside {
		w.must(os.Remove(path))
	}
}

// TestEveryFileFlipped flips bits at random, in every file of an archive.
// Either that is found, named and mended, or nothing that the archive tells
// has changed.
func TestEveryFileFlipped(t *testing.T) {
	w := lived(t, 8, 8)
	var all []string
	w.must(fs.WalkDir(os.DirFS(w.opt.Dir), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.HasSuffix(path, "-wal") && !strings.HasSuffix(path, "-shm") {
			all = append(all, path)
		}
		return err
	}))
	r := rand.New(rand.NewPCG(1, 2))
	for _, file := range all {
		st, err := os.Stat(filepath.Join(w.opt.Dir, file))
		w.must(err)
		tries, found := 1, 0
		switch {
		case file == CatalogueFile:
			tries = 60
		case strings.HasPrefix(file, manifestsDir):
			tries = 4
		}
		for i := range tries {
			bit := r.IntN(8 * int(st.Size()))
			if i < tries/3 && file == CatalogueFile {
				bit = r.IntN(8 * 100) // in its head
			}
			t.Run(fmt.Sprintf("%s/%d", file, bit), func(t *testing.T) {
				if w.flipped(t, file, bit) {
					found++
				}
			})
		}
		if strings.HasPrefix(file, manifestsDir) && found < tries {
			t.Errorf("%s: of %d bits %d are found", file, tries, found)
		}
	}
}

// flipped tries one bit, and tells whether it was found.
func (w *world) flipped(t *testing.T, file string, bit int) bool {
	w = w.copied(t)
	w.write(file, flip(bit))
	out, err := Verify(t.Context(), VerifyOptions{Options: w.opt, ReadData: true})
	switch {
	case errors.Is(err, sqlite.ErrNewer):
		// Nobody can tell it from a catalogue of a newer godwit: that is for the user to say.
		w.verify(func(o *VerifyOptions) { o.Rebuild = true })
		w.same()
		return true
	case err != nil:
		t.Error(err)
	case len(out.Findings) == 0:
		w.tellsTheSame()
		return false
	}
	if !slices.ContainsFunc(out.Findings, func(f Finding) bool { return f.File == file }) {
		t.Errorf("%s is not named: %+v", file, out.Findings)
	}
	w.mended(allBodies(t))
	return true
}

// TestSubsetsCoverAll: reading a part at a time reads all in the end, each once.
func TestSubsetsCoverAll(t *testing.T) {
	w := lived(t, 3, 20)
	read, unread := 0, -1
	for range 5 {
		out := w.verify(func(o *VerifyOptions) { o.Subset = 0.2 })
		if out.ReadFiles == 0 || out.ReadFiles == out.Messages || unread >= 0 && out.Unread != max(0, unread-out.ReadFiles) {
			t.Errorf("%+v, %d were unread before", out, unread)
		}
		read, unread = read+out.ReadFiles, out.Unread
	}
	if unread > 0 {
		t.Errorf("%d were never read, %d were", unread, read)
	}
	none := w.verify(func(o *VerifyOptions) { o.ReadData = false })
	if none.ReadFiles > 0 || none.Oldest.IsZero() {
		t.Errorf("%+v", none)
	}
}
