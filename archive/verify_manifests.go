package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// A broken manifest is one that is missing, damaged, or not the one that was
// written.
type broken struct {
	n    int64
	text string
	// anew is what it should be, from the catalogue; proven says that its digest
	// is the one that is written elsewhere. Nil if there is no making it.
	anew   []byte
	proven bool
}

// A manifestFile is what the file of a manifest shows of itself.
type manifestFile struct {
	data      []byte
	digest    mail.Digest
	head, end record
	err       error // it cannot be read to its end
}

// read reads the manifest of a generation as a whole.
func (f *files) read(n int64) *manifestFile {
	m := &manifestFile{}
	if m.data, m.err = f.readManifest(n); m.err != nil {
		return m
	}
	m.digest = sha256.Sum256(m.data)
	m.err = eachRecordOf(m.data, f.manifest(n), func(r *record) error {
		switch r.Type {
		case recordGeneration:
			m.head = *r
		case recordEnd:
			m.end = *r
		}
		return nil
	})
	if m.err == nil && (m.head.N != n || m.end.N != n) {
		m.err = fmt.Errorf("%w: it is not the manifest of generation %d from its beginning to its end", ErrDamaged, n)
	}
	return m
}

// A chain reads manifests in their order and finds those that are wrong.
type chain struct {
	v       *verifier
	columns map[int64][]byte // digests as the catalogue has them
	known   *manifestFile    // read ahead
	knownN  int64
}

// readManifests looks at the chain of manifests, and makes of it what the
// catalogue should be.
func (v *verifier) readManifests(ctx context.Context) error {
	c := &chain{v: v, columns: map[int64][]byte{}}
	numbers, err := v.files.manifests()
	if err != nil {
		return err
	}
	newest := int64(0)
	if len(numbers) > 0 {
		newest = numbers[len(numbers)-1]
	}
	if v.a != nil {
		err := v.a.each(ctx, "SELECT n, manifest FROM generation WHERE ended <> 0", nil, func(rows *sql.Rows) error {
			var n int64
			var digest []byte
			err := rows.Scan(&n, &digest)
			c.columns[n] = bytes.Clone(digest)
			v.last = max(v.last, n)
			return err
		})
		if err != nil && !v.hurt(ctx, err) {
			return err
		}
		for n := range c.columns {
			numbers = append(numbers, n)
		}
		slices.Sort(numbers)
	}
	numbers = withoutGaps(numbers)
	v.stale = v.a != nil && newest > v.last || v.open
	v.out.Generations = len(numbers)
	return v.makeShadow(ctx, numbers, func(n int64) ([]byte, error) { return c.next(ctx, n) })
}

// mostMissing is how many manifests may be missing for one that is there.
const mostMissing = 1000

// withoutGaps adds the generations that lack between sorted others, unless
// some of these are so far off that only damage explains it.
func withoutGaps(numbers []int64) (out []int64) {
	for i, n := range numbers {
		if i > 0 && n-numbers[i-1] < mostMissing {
			for m := numbers[i-1] + 1; m < n; m++ {
				out = append(out, m)
			}
		}
		if i == 0 || n != numbers[i-1] {
			out = append(out, n)
		}
	}
	return out
}

func (v *verifier) shadowPath() string { return filepath.Join(v.o.Dir, tmpDir, "shadow.db") }

// makeShadow makes a catalogue from the manifests, beside the real one.
func (v *verifier) makeShadow(ctx context.Context, numbers []int64, manifest func(int64) ([]byte, error)) error {
	schema, err := schema()
	if err != nil {
		return err
	}
	if err := removeDatabase(v.shadowPath()); err != nil {
		return err
	}
	db, err := sqlite.Open(ctx, v.shadowPath(), schema)
	if err != nil {
		return err
	}
	v.shadow = &Archive{opt: v.o.Options, files: v.files}
	v.shadow.catalogue.Store(db)
	if len(numbers) == 0 {
		return nil
	}
	b := newRebuilder(v.shadow)
	b.shallow, b.manifest = true, manifest
	if err := v.shadow.update(ctx, func(tx *sqlite.Tx) error {
		v.before = tx
		for _, n := range numbers {
			if err := b.generation(ctx, tx, n); err != nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return b.sums(tx, numbers[len(numbers)-1])
	}); err != nil {
		return err
	}
	for _, err := range b.out.Problems {
		if len(v.wrong) == 0 { // else it may follow from what is known already
			v.later = append(v.later, Finding{Kind: DamagedManifest, File: manifestsDir, Text: err.Error()})
		}
	}
	return nil
}

// read reads a manifest, once.
func (c *chain) read(n int64) *manifestFile {
	if c.known == nil || c.knownN != n {
		c.known, c.knownN = c.v.files.read(n), n
	}
	return c.known
}

// next gives what the manifest of a generation should be: its file, or, where
// that is wrong, what the catalogue makes of it.
func (c *chain) next(ctx context.Context, n int64) ([]byte, error) {
	m := c.read(n)
	follows := "" // what the one after it says that it is
	if after := c.read(n + 1); after.err == nil {
		follows = after.head.Previous
	}
	column, known := c.columns[n], c.v.a != nil && n <= c.v.last
	text := ""
	switch {
	case errors.Is(m.err, fs.ErrNotExist):
		text = "is missing"
	case m.err != nil:
		text = m.err.Error()
	case known && bytes.Equal(column, m.digest[:]), !known && (follows == "" || follows == m.digest.String() || follows == m.head.Was):
	case known && len(column) == 0 || follows == m.digest.String():
		c.v.column[n] = m.digest // the catalogue is wrong, or its manifest was damaged when it was made
	default:
		text = "is another one than was written"
	}
	if text == "" && follows != "" && follows != m.digest.String() && follows != m.head.Was {
		text = "is not the one that the next builds on"
	}
	if text == "" {
		return m.data, nil
	}
	b := &broken{n: n, text: text}
	c.v.wrong = append(c.v.wrong, b)
	if err := c.v.anew(ctx, b, m, column, follows); err != nil {
		return nil, err
	}
	if b.anew == nil {
		return m.data, m.err
	}
	if mail.Digest(sha256.Sum256(b.anew)) == m.digest {
		// The file is what it should be.
		b.text, c.v.column[n] = "", m.digest
		c.v.wrong = c.v.wrong[:len(c.v.wrong)-1]
	}
	return b.anew, nil
}

// anew makes a manifest again from the catalogue, as it was if that can be.
func (v *verifier) anew(ctx context.Context, b *broken, m *manifestFile, column []byte, follows string) error {
	if v.a == nil || b.n > v.last {
		return nil
	}
	instances := []string{m.head.Instance}
	for _, n := range []int64{b.n - 1, b.n + 1} {
		if near := v.files.read(n); near.err == nil {
			instances = append(instances, near.head.Instance)
		}
	}
	for _, instance := range instances {
		data, err := v.a.manifestAgain(ctx, b.n, record{Instance: instance})
		if v.hurt(ctx, err) { // that is ErrNoGeneration, too
			return nil
		}
		if err != nil {
			return err
		}
		digest := mail.Digest(sha256.Sum256(data))
		if digest == m.digest {
			b.anew = data
			return nil
		}
		b.proven = bytes.Equal(digest[:], column) && (follows == "" || follows == digest.String()) || follows == digest.String()
		if b.proven {
			b.anew = data
			return nil
		}
	}
	if !v.sound {
		return nil
	}
	// Something of it was given up, or other versions wrote it: the new one says
	// whose place it takes.
	was := follows
	if was == "" && len(column) == len(mail.Digest{}) {
		was = mail.Digest(column).String()
	}
	ends, err := v.forgotten(ctx, b.n)
	if err != nil {
		return err
	}
	data, err := v.a.manifestAgain(ctx, b.n, record{Instance: instances[0], Was: was}, ends...)
	if b.anew = data; v.hurt(ctx, err) {
		return nil
	}
	return err
}

// manifestAgain gives the manifest of a generation that has ended, as the
// catalogue tells it.
func (a *Archive) manifestAgain(ctx context.Context, n int64, head record, more ...record) ([]byte, error) {
	g, err := a.Generation(ctx, n)
	if err != nil {
		return nil, err
	}
	var file bytes.Buffer
	m, err := newManifestWriter(&file)
	if err != nil {
		return nil, err
	}
	head.Type, head.Format, head.N = recordGeneration, manifestFormat, n
	end := record{Type: recordEnd, N: n, Ended: &g.Ended, Complete: &g.Complete, Why: g.Why}
	err = a.view(ctx, func(tx *sqlite.Tx) error { return m.generation(tx, &head, &end, more...) })
	if err = errors.Join(err, m.buf.Flush(), m.enc.Close()); err != nil {
		return nil, err
	}
	return file.Bytes(), nil
}

// forgotten are the ends of what began before generation n and of which the
// catalogue knows nothing any more, since only retired generations showed it,
// unless a later manifest tells of its end.
func (v *verifier) forgotten(ctx context.Context, n int64) (list []record, err error) {
	open := map[string]record{}
	for _, of := range []struct{ as, query string }{
		{recordGone, "SELECT id, '', '', '' FROM placement WHERE gen_to IS NULL"},
		{recordMailbox, "SELECT mailbox, '', '', '' FROM mailbox_name WHERE gen_to IS NULL"},
		{recordReleased, "SELECT gen_from, mailbox, uidvalidity, uid FROM quarantine WHERE gen_to IS NULL"},
	} {
		err := v.before.Each(of.query, nil, func(rows *sql.Rows) error {
			r := record{Type: of.as, Removed: of.as == recordMailbox}
			var box mail.MailboxName
			err := rows.Scan(&r.ID, &box, &r.UIDValidity, &r.UID)
			key := r.key(box)
			if of.as == recordReleased {
				r.ID, r.Mailbox = 0, &box
			}
			open[key] = r
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for _, of := range []struct{ as, query string }{
		{recordGone, "SELECT id, '', '', '' FROM placement"},
		{recordMailbox, "SELECT id, '', '', '' FROM mailbox"},
		{recordReleased, "SELECT gen_from, mailbox, uidvalidity, uid FROM quarantine"},
	} {
		err := v.a.each(ctx, of.query, nil, func(rows *sql.Rows) error {
			r := record{Type: of.as}
			var box mail.MailboxName
			err := rows.Scan(&r.ID, &box, &r.UIDValidity, &r.UID)
			delete(open, r.key(box))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	for m := n + 1; m <= v.last && len(open) > 0; m++ {
		_, err := v.files.eachRecord(v.files.manifest(m), func(r *record) error {
			delete(open, r.key(""))
			return ctx.Err()
		})
		if ctx.Err() != nil {
			return nil, err // what cannot be read is told by itself
		}
	}
	for _, key := range slices.Sorted(maps.Keys(open)) {
		list = append(list, open[key])
	}
	return list, nil
}

// key names what a record ends.
func (r *record) key(box mail.MailboxName) string {
	return fmt.Sprint(r.Type, r.ID, box, r.UIDValidity, r.UID)
}
