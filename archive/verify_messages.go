package archive

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// A candidate is a message whose file is to be looked at.
type candidate struct {
	id     int64
	digest mail.Digest
	stored int64
	at     int64 // when it was last read, 0 if never
	chance uint32
}

// book is the catalogue to go by: the one of the archive, or what the
// manifests make of it.
func (v *verifier) book() *Archive {
	if v.a != nil && v.sound && !v.stale {
		return v.a
	}
	return v.shadow
}

// messages looks at the message files, reads those whose turn it is, and mends
// what is damaged.
func (v *verifier) messages(ctx context.Context) error {
	list, err := v.candidates(ctx)
	if err != nil {
		return err
	}
	err = v.readBack(ctx, v.chosen(list))
	if err == nil {
		err = v.tellMessages(ctx)
	}
	if err != nil || v.book() != v.a {
		return err
	}
	var oldest sql.NullInt64
	err = v.a.each(ctx, "SELECT (SELECT count(*) FROM message) - (SELECT count(*) FROM read_back), (SELECT min(at) FROM read_back)", nil, func(rows *sql.Rows) error {
		return rows.Scan(&v.out.Unread, &oldest)
	})
	v.out.Oldest = fromMoment(oldest.Int64)
	return err
}

// candidates lists the messages, and finds those whose file is missing. One
// whose file has another size than was written is put first.
func (v *verifier) candidates(ctx context.Context) (out []candidate, err error) {
	sized := v.book() == v.a // the sizes of files are told by the catalogue alone
	query := `SELECT m.id, m.digest, m.stored, coalesce(r.at, 0), EXISTS (SELECT 1 FROM placement p WHERE p.message = m.id)
		FROM message m LEFT JOIN read_back r ON r.message = m.id`
	err = v.book().each(ctx, query, nil, func(rows *sql.Rows) error {
		c := candidate{chance: rand.Uint32()}
		var digest []byte
		var lies bool
		if err := rows.Scan(&c.id, &digest, &c.stored, &c.at, &lies); err != nil {
			return err
		}
		if err := setDigest(&c.digest, digest); err != nil {
			return err
		}
		st, err := os.Lstat(v.files.message(c.digest))
		if errors.Is(err, fs.ErrNotExist) && !lies {
			return nil // it was removed after this catalogue, or what it is made of, was written
		}
		v.out.Messages++
		v.out.Stored += c.stored
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.miss(c.digest, "is missing")
			return nil
		case err != nil:
			return err
		case !st.Mode().IsRegular():
			v.miss(c.digest, "is no file")
			return nil
		case sized && st.Size() != c.stored:
			c.at = -1
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// miss enters that the file of a message is damaged.
func (v *verifier) miss(d mail.Digest, text string) {
	v.bad[d] = text
}

// chosen are those to be read.
func (v *verifier) chosen(list []candidate) []candidate {
	slices.SortFunc(list, func(a, b candidate) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.chance, b.chance)) })
	want := int64(float64(v.out.Stored) * v.o.Subset)
	if v.o.Subset <= 0 || v.o.Subset >= 1 {
		want = v.out.Stored
	}
	if !v.o.ReadData {
		want = 0
	}
	n, sum := 0, int64(0)
	for n < len(list) && (list[n].at < 0 || sum < want) {
		sum += list[n].stored
		n++
	}
	return list[:n]
}

// readers is how many message files are read at once, at most.
const readers = 4

// readBack reads message files, and remembers which were right.
func (v *verifier) readBack(ctx context.Context, list []candidate) error {
	all, done := int64(0), int64(0)
	for _, c := range list {
		all += c.stored
	}
	for some := range slices.Chunk(list, atOnce) {
		kept := map[mail.Digest]Message{}
		err := v.book().eachMessage(ctx, "WHERE m.id IN (SELECT value FROM json_each(?))", []any{idsOf(some)}, func(_ int64, m Message) error {
			kept[m.Digest] = m
			return nil
		})
		if err != nil {
			return err
		}
		var right []candidate
		var mu sync.Mutex
		g, within := errgroup.WithContext(ctx)
		g.SetLimit(min(readers, runtime.GOMAXPROCS(0)))
		for _, c := range some {
			g.Go(func() error {
				is, err := v.files.whole(within, kept[c.digest])
				mu.Lock()
				defer mu.Unlock()
				if within.Err() != nil {
					return within.Err()
				}
				v.out.ReadFiles++
				v.out.ReadBytes += c.stored
				if done += c.stored; v.o.Read != nil {
					v.o.Read(done, all)
				}
				if err == nil {
					right = append(right, c)
					v.agree(kept[c.digest], is)
					return nil
				}
				v.miss(c.digest, damageText(err))
				return nil
			})
		}
		if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
			return err
		}
		if err := v.remember(ctx, right); err != nil {
			return err
		}
	}
	return nil
}

// damageText is what a reader found, without what is told beside it.
func damageText(err error) string {
	text := err.Error()
	if i := strings.LastIndex(text, ".zst: "); i >= 0 {
		text = text[i+len(".zst: "):]
	}
	return text
}

// whole reads a message file to its end, and gives the message as the
// catalogue should have it.
func (f *files) whole(ctx context.Context, m Message) (Message, error) {
	ident, about, err := f.identify(ctx, m.Digest, m.Size)
	if err != nil {
		return Message{}, err
	}
	st, err := os.Lstat(f.message(m.Digest))
	if err != nil {
		return Message{}, err
	}
	return Message{
		Digest: m.Digest, Size: m.Size, Stored: st.Size(), Ident: ident,
		Subject: about.subject, Sender: about.sender, MessageID: ident.MessageID, Date: headerDate(about.date),
	}, nil
}

// agree holds what the catalogue says of a message against its file.
func (v *verifier) agree(kept, is Message) {
	same := kept.Date.Equal(is.Date)
	kept.Date = is.Date
	if v.book() == v.a && !(same && kept == is) { // manifests do not tell it
		v.rows = append(v.rows, is)
	}
}

// idsOf are the numbers of messages, for json_each.
func idsOf(some []candidate) string {
	ids := make([]int64, 0, len(some))
	for _, c := range some {
		ids = append(ids, c.id)
	}
	return list(ids)
}

// remember notes when messages were read.
func (v *verifier) remember(ctx context.Context, right []candidate) error {
	if v.book() != v.a || len(right) == 0 {
		return nil
	}
	now := moment(v.o.Clock())
	v.a.writing.Lock()
	defer v.a.writing.Unlock()
	return v.a.update(ctx, func(tx *sqlite.Tx) error {
		return tx.Exec("INSERT INTO read_back SELECT value, ? FROM json_each(?) WHERE true ON CONFLICT DO UPDATE SET at = excluded.at", now, idsOf(right))
	})
}

// tellMessages mends what is damaged, and tells of it.
func (v *verifier) tellMessages(ctx context.Context) error {
	for _, is := range v.rows {
		f := Finding{Kind: DamagedCatalogue, File: CatalogueFile, Text: fmt.Sprintf("what it says of message %s is not what its file says", is.Digest)}
		if v.o.Repair {
			f.How, f.Why = "corrected from the file", v.a.correct(ctx, is)
			f.Repaired = f.Why == nil
		}
		v.tell(f)
	}
	var want []Wanted
	for d := range v.bad {
		found, err := v.book().Message(ctx, d.String())
		if err != nil {
			return err
		}
		want = append(want, Wanted(found))
	}
	slices.SortFunc(want, func(a, b Wanted) int { return strings.Compare(a.Message.Digest.String(), b.Message.Digest.String()) })
	how := map[mail.Digest]string{}
	var why error
	if v.o.Repair && len(want) > 0 {
		how, why = v.fetchAgain(ctx, want)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for i := range want {
		d := want[i].Message.Digest
		f := Finding{Kind: DamagedMessage, File: v.within(v.files.message(d)), Text: v.bad[d], Wanted: &want[i], How: how[d], Repaired: how[d] != ""}
		if v.o.Repair && !f.Repaired {
			f.Why = why
		}
		v.tell(f)
	}
	return nil
}

// strays lists files that nothing names.
func (v *verifier) strays(ctx context.Context) error {
	known := map[string]bool{}
	err := v.book().each(ctx, "SELECT lower(hex(digest)) FROM message", nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		known[name] = true
		return err
	})
	if err != nil {
		return err
	}
	expected := map[string]bool{
		".": true, CatalogueFile: true, CatalogueFile + "-wal": true, CatalogueFile + "-shm": true, readmeFile: true,
		CopyFile: true, messagesDir: true, manifestsDir: true, tmpDir: true, damagedDir: true,
	}
	return filepath.WalkDir(v.o.Dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		rel := v.within(path)
		dir, name := filepath.Split(rel)
		dir = filepath.Clean(dir)
		switch {
		case rel == tmpDir:
			return fs.SkipDir
		case dir == damagedDir || strings.HasPrefix(rel, CatalogueFile+".damaged-"):
			v.out.Aside = append(v.out.Aside, rel)
		case expected[rel]:
		case dir == manifestsDir && (manifestOf(name) > 0 || noteOf(name) > 0):
		case dir == messagesDir && e.IsDir() && len(name) == 2:
		case filepath.Dir(dir) == messagesDir && known[strings.TrimSuffix(name, ".zst")] && strings.HasPrefix(name, filepath.Base(dir)):
		default:
			v.out.Strays = append(v.out.Strays, rel)
			if e.IsDir() {
				return fs.SkipDir
			}
		}
		return nil
	})
}
