package archive

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// damagedDir is where damaged files go that others have taken the place of.
const damagedDir = "damaged"

// errManifestsToo: there is nothing to make a catalogue from that is certain.
var errManifestsToo = errors.New("a manifest is damaged, too: verify --rebuild-catalogue makes the catalogue of what is left")

// mendBooks mends the manifests and the catalogue, as far as each can be
// proved by the other, and tells of them.
func (v *verifier) mendBooks(ctx context.Context) error {
	left, err := v.mendManifests(ctx)
	if err != nil {
		return err
	}
	how, why := "", error(nil)
	switch {
	case v.o.Rebuild || v.o.Repair && v.books && (!left || v.a == nil):
		how, why = v.rebuild(ctx)
	case v.o.Repair && v.books:
		why = errManifestsToo
	}
	if why != nil && !errors.Is(why, errManifestsToo) {
		return why
	}
	for _, f := range v.later {
		if f.Kind == DamagedCatalogue && !f.Repaired {
			f.Repaired, f.How, f.Why = how != "", how, why
		}
		v.tell(f)
	}
	v.later = nil
	return v.mendColumns(ctx)
}

// mendManifests writes again what is missing or wrong. left says that some
// could not be mended.
func (v *verifier) mendManifests(ctx context.Context) (left bool, err error) {
	for _, b := range v.wrong {
		path := v.files.manifest(b.n)
		f := Finding{Kind: DamagedManifest, File: v.within(path), Text: b.text}
		switch {
		case !v.o.Repair:
		case b.anew != nil && (b.proven || v.sound && !v.books):
			if err := v.writeAgain(ctx, b, path); err != nil {
				return false, err
			}
			f.Repaired, f.How = true, "written again from the catalogue"
		default:
			f.Why = errors.New("the catalogue does not tell what it was")
		}
		left = left || !f.Repaired
		v.tell(f)
	}
	return left, nil
}

// writeAgain puts a manifest into its place.
func (v *verifier) writeAgain(ctx context.Context, b *broken, path string) error {
	if err := v.files.setAside(path, v.stamp()); err != nil {
		return err
	}
	if err := v.files.writeWhole(path, b.anew); err != nil {
		return err
	}
	if v.sound {
		return v.setManifest(ctx, b.n, sha256.Sum256(b.anew))
	}
	return nil
}

// setManifest enters the digest of a manifest.
func (v *verifier) setManifest(ctx context.Context, n int64, digest mail.Digest) error {
	v.a.writing.Lock()
	defer v.a.writing.Unlock()
	return v.a.update(ctx, func(tx *sqlite.Tx) error {
		return tx.Exec("UPDATE generation SET manifest = ? WHERE n = ?", digest[:], n)
	})
}

// mendColumns corrects digests of manifests in the catalogue.
func (v *verifier) mendColumns(ctx context.Context) error {
	for n, digest := range v.column {
		f := Finding{Kind: DamagedCatalogue, File: CatalogueFile, Text: fmt.Sprintf("it has another digest for the manifest of generation %d than that has", n)}
		switch {
		case v.out.Rebuilt:
			f.Repaired, f.How = true, "made again from the manifests"
		case v.o.Repair && v.sound:
			if err := v.setManifest(ctx, n, digest); err != nil {
				return err
			}
			f.Repaired, f.How = true, "corrected"
		}
		v.tell(f)
	}
	return nil
}

// rebuild makes the catalogue again, and goes on with that.
func (v *verifier) rebuild(ctx context.Context) (how string, err error) {
	if v.a != nil {
		err = v.a.Close()
		v.a = nil
	}
	if err != nil {
		return "", err
	}
	out, err := Rebuild(ctx, v.o.Options)
	if err != nil {
		return "", err
	}
	for _, d := range out.bad {
		v.miss(d, "is missing or damaged")
	}
	v.out.Rebuilt, v.sound, v.stale = true, true, false
	how = "made again from the manifests and the messages"
	if out.Aside != "" {
		how += "; the damaged one is kept as " + v.within(out.Aside)
	}
	v.a, err = Open(ctx, v.o.Options)
	return how, err
}

// catchUp adds to a catalogue that is older than the manifests what it lacks,
// each generation in one transaction. caught says that it can be compared with
// them now.
func (v *verifier) catchUp(ctx context.Context) (caught bool, err error) {
	text := fmt.Sprintf("it is older than the manifests: it ends with generation %d", v.last)
	if v.open || v.books || !v.o.Repair || len(v.wrong) > 0 {
		v.tellBooks(text)
		return false, nil
	}
	numbers, err := v.files.manifests()
	if err != nil {
		return false, err
	}
	b := newRebuilder(v.a)
	if err := b.from(ctx); err != nil {
		return false, err
	}
	v.a.writing.Lock()
	defer v.a.writing.Unlock()
	for _, n := range numbers {
		if n <= v.last {
			continue
		}
		err := v.a.update(ctx, func(tx *sqlite.Tx) error {
			if err := b.generation(ctx, tx, n); err != nil {
				return err
			}
			return b.count(tx, n)
		})
		if err != nil {
			return false, err
		}
	}
	for d := range b.missing {
		v.miss(d, "is missing or damaged")
	}
	v.stale = false
	if err := v.a.update(ctx, b.retention); err != nil {
		return false, err
	}
	v.later = append(v.later, Finding{Kind: DamagedCatalogue, File: CatalogueFile, Text: text, Repaired: true, How: "brought up to date from the manifests"})
	return true, nil
}

// from goes on where the catalogue ends.
func (b *rebuilder) from(ctx context.Context) error {
	b.base = b.a.opt.Clock().Unix()
	var previous []byte
	err := b.a.each(ctx, `SELECT name, next - 1, (SELECT manifest FROM generation ORDER BY n DESC LIMIT 1) FROM sequence`, nil, func(rows *sql.Rows) error {
		var name string
		var last int64
		err := rows.Scan(&name, &last, &previous)
		switch name {
		case "placement":
			b.placement = last
		case "mailbox":
			b.mailbox = last
		case "message":
			b.message = last
		case "change":
			b.base = max(b.base, last)
		}
		return err
	})
	var digest mail.Digest
	if err == nil {
		err = setDigest(&digest, previous)
	}
	if b.previous = digest.String(); digest.IsZero() {
		b.previous = ""
	}
	return err
}

// stamp is when files are set aside.
func (v *verifier) stamp() string { return v.o.Clock().UTC().Format("20060102T150405Z") }

// setAside gives a damaged file a second name, under which it stays when
// another takes its place. One that is missing has none.
func (f *files) setAside(path, stamp string) error {
	if _, err := os.Lstat(path); err != nil {
		return unlessAbsent(err)
	}
	if err := f.makeDir(filepath.Join(f.dir, damagedDir)); err != nil {
		return err
	}
	base := filepath.Join(f.dir, damagedDir, filepath.Base(path)+"."+stamp)
	to := base
	for i := 2; ; i++ {
		err := f.seam.run("link", to, func() error { return os.Link(path, to) })
		if errors.Is(err, fs.ErrExist) {
			to = fmt.Sprintf("%s-%d", base, i)
			continue
		}
		if err != nil { // no links here, or it is a directory
			err = f.rename(path, to)
		}
		return errors.Join(err, f.syncDir(filepath.Dir(to)))
	}
}

// errNoSource: nobody has the message.
var errNoSource = errors.New("neither the server nor the Maildir has it any more: if there is a copy of the archive, put its file back from there")

// fetchAgain gets messages from the sources, and tells where each came from.
func (v *verifier) fetchAgain(ctx context.Context, want []Wanted) (how map[mail.Digest]string, err error) {
	how = map[mail.Digest]string{}
	var faults []error
	for _, source := range v.o.Sources {
		rest := slices.DeleteFunc(slices.Clone(want), func(w Wanted) bool { return how[w.Message.Digest] != "" })
		if len(rest) == 0 {
			break
		}
		open := map[mail.Digest]Wanted{}
		for _, w := range rest {
			open[w.Message.Digest] = w
		}
		err := source.Give(ctx, rest, func(_ mail.Digest, r io.Reader) error {
			d, err := v.take(ctx, open, r)
			if err == nil && !d.IsZero() {
				delete(open, d)
				how[d] = "fetched again from " + source.Name()
			}
			return err
		})
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", source.Name(), err))
		}
	}
	if len(faults) == 0 {
		faults = []error{errNoSource}
	}
	return how, errors.Join(faults...)
}

// take puts a message into its place if it is one that is wanted, and gives
// its digest, else none. An error is one of the archive: a source that cannot
// be read has not got it.
func (v *verifier) take(ctx context.Context, open map[mail.Digest]Wanted, r io.Reader) (mail.Digest, error) {
	s := &spool{f: v.files}
	defer s.reset()
	hash, head := mail.NewHasher(), &headers{}
	own := &errWriter{w: s}
	if _, err := io.Copy(io.MultiWriter(hash, head, own), &cancelled{ctx, r}); err != nil {
		return mail.Digest{}, errors.Join(own.err, ctx.Err())
	}
	ident := hash.Sum()
	w, ok := open[ident.Wire]
	if !ok {
		return mail.Digest{}, nil
	}
	file, err := s.stage(ctx, ident.Wire)
	if err != nil {
		return mail.Digest{}, err
	}
	defer v.files.discard(file)
	if err := v.files.setAside(v.files.message(ident.Wire), v.stamp()); err != nil {
		return mail.Digest{}, err
	}
	if err := v.files.publish([]*staged{file}); err != nil || file.err != nil {
		return mail.Digest{}, errors.Join(err, file.err)
	}
	about := head.summary()
	m := Message{
		Digest: ident.Wire, Size: w.Message.Size, Stored: file.stored, Ident: ident,
		Subject: about.subject, Sender: about.sender, MessageID: ident.MessageID, Date: headerDate(about.date),
	}
	if v.book() == v.a {
		err = v.a.correct(ctx, m)
	}
	return ident.Wire, err
}

// An errWriter remembers the error of a writer, to tell it from one of a reader.
type errWriter struct {
	w   io.Writer
	err error
}

func (e *errWriter) Write(p []byte) (n int, err error) {
	n, err = e.w.Write(p)
	e.err = err
	return n, err
}

// correct makes the catalogue say of a message what its file says.
func (a *Archive) correct(ctx context.Context, m Message) error {
	var body []byte // NULL
	if m.Ident.Body != m.Ident.Wire {
		body = m.Ident.Body[:]
	}
	var date sql.NullInt64
	if !m.Date.IsZero() {
		date = sql.NullInt64{Int64: m.Date.Unix(), Valid: true}
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.update(ctx, func(tx *sqlite.Tx) error {
		return tx.Exec(`UPDATE message SET stored = ?, canonical = ?, light = ?, header = ?, folded = ?, header_size = ?, body = ?,
			date = ?, subject = ?, sender = ?, message_id = ? WHERE digest = ?`, m.Stored, m.Ident.Size, m.Ident.Light[:], m.Ident.Header[:],
			m.Ident.Folded[:], m.Ident.HeaderSize, body, date, m.Subject, m.Sender, m.MessageID, m.Digest[:])
	})
}
