package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// manifestFormat is the version of the format of manifests.
const manifestFormat = 1

// The types of records in a manifest.
const (
	recordGeneration  = "generation" // the first
	recordMailbox     = "mailbox"
	recordMessage     = "message"
	recordCame        = "came"
	recordFlags       = "flags"
	recordGone        = "gone"
	recordQuarantined = "quarantined"
	recordReleased    = "released"
	recordEnd         = "end" // the last
)

// A record is one line of a manifest. Which fields it has follows from its
// type; docs/archive.md lists them.
type record struct {
	Type string `json:"type"`

	Format   int        `json:"format,omitempty"`
	N        int64      `json:"n,omitempty"`
	Began    *time.Time `json:"began,omitempty"`
	Previous string     `json:"previous,omitempty"`
	Instance string     `json:"instance,omitempty"`

	ID      int64             `json:"id,omitempty"`
	Name    mail.MailboxName  `json:"name,omitempty"`
	Removed bool              `json:"removed,omitempty"`
	Digest  string            `json:"digest,omitempty"`
	Size    int64             `json:"size,omitempty"`
	Stored  int64             `json:"stored,omitempty"`
	In      int64             `json:"in,omitempty"`
	Origin  int64             `json:"origin,omitempty"`
	Flags   *string           `json:"flags,omitempty"`
	Date    *time.Time        `json:"date,omitempty"`
	Mailbox *mail.MailboxName `json:"mailbox,omitempty"`

	UIDValidity string `json:"uidvalidity,omitempty"`
	UID         string `json:"uid,omitempty"`
	Token       string `json:"token,omitempty"`
	Why         string `json:"why,omitempty"`

	Ended    *time.Time `json:"ended,omitempty"`
	Complete *bool      `json:"complete,omitempty"`
	Counts   *tally     `json:"counts,omitempty"`
}

// A tally is what a generation counts.
type tally struct {
	Came      int   `json:"came"`
	Went      int   `json:"went"`
	Changed   int   `json:"changed"`
	Moved     int   `json:"moved"`
	Mailboxes int   `json:"mailboxes"`
	Messages  int   `json:"messages"`
	Bytes     int64 `json:"bytes"`
	Stored    int64 `json:"stored"`
}

// manifest is where the manifest of a generation lies.
func (f *files) manifest(n int64) string {
	return filepath.Join(f.dir, manifestsDir, fmt.Sprintf("%010d.jsonl.zst", n))
}

// end ends generation n: its manifest is durable before the catalogue says so.
func (a *Archive) end(ctx context.Context, n int64, complete bool, why string) (*Generation, error) {
	ended := a.opt.Clock().UTC()
	digest, err := a.writeManifest(ctx, n, &record{Type: recordEnd, N: n, Ended: &ended, Complete: &complete, Why: why})
	if err != nil {
		return nil, fmt.Errorf("write the manifest of generation %d: %w", n, err)
	}
	if err := a.markEnded(ctx, n, digest, ended, complete, why); err != nil {
		return nil, err
	}
	g, err := a.Generation(ctx, n)
	return &g, err
}

func (a *Archive) markEnded(ctx context.Context, n int64, digest mail.Digest, ended time.Time, complete bool, why string) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.update(ctx, func(tx *sqlite.Tx) error {
		return tx.Exec("UPDATE generation SET ended = ?, complete = ?, why = ?, manifest = ? WHERE n = ?",
			moment(ended), complete, why, digest[:], n)
	})
}

// interrupted ends a generation that nobody ended. If its manifest is whole,
// the run died when all but the last step was done: what it says holds.
func (a *Archive) interrupted(ctx context.Context, n int64) error {
	var last record
	digest, err := a.files.eachRecord(a.files.manifest(n), func(r *record) error {
		last = *r
		return nil
	})
	if err == nil && last.Type == recordEnd && last.N == n && last.Ended != nil && last.Complete != nil {
		return a.markEnded(ctx, n, digest, *last.Ended, *last.Complete, last.Why)
	}
	_, err = a.end(ctx, n, false, "the run was interrupted")
	return err
}

// notStale refuses to write a generation that has a manifest already.
func (a *Archive) notStale(n int64) error {
	_, err := os.Lstat(a.files.manifest(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = mail.NewFault(mail.GradeAccount, mail.ClassLocal,
			fmt.Errorf("%w: generation %d has a manifest and is not in it", ErrStale, n), "run verify --rebuild-catalogue")
	}
	return err
}

// A manifestWriter writes records and digests the file as it grows.
type manifestWriter struct {
	sum  hash.Hash
	enc  *zstd.Encoder
	buf  *bufio.Writer
	json *json.Encoder
}

func newManifestWriter(w io.Writer) (*manifestWriter, error) {
	m := &manifestWriter{sum: sha256.New()}
	var err error
	m.enc, err = zstd.NewWriter(io.MultiWriter(w, m.sum), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, err
	}
	m.buf = bufio.NewWriter(m.enc)
	m.json = json.NewEncoder(m.buf)
	m.json.SetEscapeHTML(false)
	return m, nil
}

// writeManifest writes what changed in generation n, from the catalogue, and
// gives the digest of the file.
func (a *Archive) writeManifest(ctx context.Context, n int64, end *record) (digest mail.Digest, err error) {
	tmp := a.files.tmp(".jsonl.zst")
	file, err := a.files.create(tmp)
	if err != nil {
		return digest, err
	}
	m, err := newManifestWriter(seamWriter{file, a.files.seam})
	if err == nil {
		err = a.view(ctx, func(tx *sqlite.Tx) error { return m.generation(tx, n, end) })
		err = errors.Join(err, m.buf.Flush(), m.enc.Close())
	}
	if err != nil {
		return digest, errors.Join(err, file.Close(), a.files.remove(tmp))
	}
	m.sum.Sum(digest[:0])
	return digest, a.files.finish(file, tmp, a.files.manifest(n))
}

// generation writes all records of a generation.
func (m *manifestWriter) generation(tx *sqlite.Tx, n int64, end *record) error {
	var changes, messages, began int64
	var previous []byte
	var instance sql.NullString
	end.Counts = &tally{}
	c := end.Counts
	err := tx.Each(`SELECT changes, first_message, began, came, went, changed, moved, mailboxes, messages, bytes, stored,
		(SELECT manifest FROM generation p WHERE p.n = g.n - 1), (SELECT value FROM meta WHERE key = 'instance')
		FROM generation g WHERE n = ?`, []any{n}, func(rows *sql.Rows) error {
		return rows.Scan(&changes, &messages, &began, &c.Came, &c.Went, &c.Changed, &c.Moved, &c.Mailboxes, &c.Messages, &c.Bytes, &c.Stored, &previous, &instance)
	})
	if err != nil {
		return err
	}
	head := record{Type: recordGeneration, Format: manifestFormat, N: n, Instance: instance.String}
	if len(previous) == len(mail.Digest{}) {
		head.Previous = mail.Digest(previous).String()
	}
	at := fromMoment(began)
	head.Began = &at
	for _, step := range []func() error{
		func() error { return m.json.Encode(head) },
		func() error { return m.mailboxes(tx, n) },
		func() error { return m.messages(tx, messages) },
		func() error { return m.placements(tx, n, changes) },
		func() error { return m.quarantine(tx, n) },
		func() error { return m.json.Encode(end) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// mailboxes writes the names that mailboxes have from this generation on.
func (m *manifestWriter) mailboxes(tx *sqlite.Tx, n int64) error {
	return tx.Each(`SELECT mailbox, name, gen_to IS NOT NULL FROM mailbox_name o
		WHERE gen_from <> coalesce(gen_to, 0) AND (gen_from = ?1
			OR gen_to = ?1 AND NOT EXISTS (SELECT 1 FROM mailbox_name x WHERE x.mailbox = o.mailbox AND x.gen_from = ?1 AND x.gen_to IS NULL))
		ORDER BY mailbox`, []any{n}, func(rows *sql.Rows) error {
		r := record{Type: recordMailbox}
		if err := rows.Scan(&r.ID, &r.Name, &r.Removed); err != nil {
			return err
		}
		if r.Removed {
			r.Name = ""
		}
		return m.json.Encode(r)
	})
}

// messages writes the messages that this generation added.
func (m *manifestWriter) messages(tx *sqlite.Tx, first int64) error {
	return tx.Each("SELECT digest, size, stored FROM message WHERE id >= ? ORDER BY id", []any{first}, func(rows *sql.Rows) error {
		r := record{Type: recordMessage}
		var digest []byte
		if err := rows.Scan(&digest, &r.Size, &r.Stored); err != nil {
			return err
		}
		r.Digest = fmt.Sprintf("%x", digest)
		return m.json.Encode(r)
	})
}

// placements writes where messages came, went and changed.
func (m *manifestWriter) placements(tx *sqlite.Tx, n, changes int64) error {
	return tx.Each(`SELECT p.id, p.mailbox, p.gen_from = ?1, p.gen_to IS NOT NULL, p.flags, coalesce(p.origin, 0),
			p.date, p.date_nsec, p.date_zone, p.uidvalidity, p.uid, p.token, m.digest
		FROM placement p JOIN message m ON m.id = p.message
		WHERE p.mailbox IN (SELECT id FROM mailbox WHERE change >= ?2) AND p.change >= ?2 AND (p.gen_to IS NULL OR p.gen_from < ?1)
		ORDER BY p.id`, []any{n, changes}, func(rows *sql.Rows) error {
		var r record
		var came, gone bool
		var flags string
		var date dateColumns
		var digest []byte
		if err := rows.Scan(&r.ID, &r.In, &came, &gone, &flags, &r.Origin, &date.seconds, &date.nsec, &date.zone,
			&r.UIDValidity, &r.UID, &r.Token, &digest); err != nil {
			return err
		}
		switch {
		case gone:
			return m.json.Encode(record{Type: recordGone, ID: r.ID})
		case !came:
			return m.json.Encode(record{Type: recordFlags, ID: r.ID, Flags: &flags})
		}
		var err error
		if r.Origin, err = originBefore(tx, n, r.Origin); err != nil {
			return err
		}
		r.Type, r.Flags, r.Digest = recordCame, &flags, fmt.Sprintf("%x", digest)
		if at := date.time(); !at.IsZero() {
			r.Date = &at
		}
		return m.json.Encode(r)
	})
}

// originBefore is where a message lay in the generation before n, if this
// one moved it more than once; 0 if it came in this one.
func originBefore(tx *sqlite.Tx, n, origin int64) (int64, error) {
	for origin > 0 {
		var gen, next int64
		err := tx.Each("SELECT gen_from, coalesce(origin, 0) FROM placement WHERE id = ?", []any{origin}, func(rows *sql.Rows) error {
			return rows.Scan(&gen, &next)
		})
		if err != nil || gen < n {
			return origin, err
		}
		origin = next
	}
	return 0, nil
}

// quarantine writes what was put into quarantine and let out of it.
func (m *manifestWriter) quarantine(tx *sqlite.Tx, n int64) error {
	return tx.Each(`SELECT mailbox, uidvalidity, uid, why, gen_to IS NOT NULL FROM quarantine
		WHERE (gen_from = ?1) <> (gen_to IS ?1) ORDER BY mailbox, uidvalidity, uid`, []any{n}, func(rows *sql.Rows) error {
		r := record{Type: recordQuarantined}
		var box mail.MailboxName
		var released bool
		if err := rows.Scan(&box, &r.UIDValidity, &r.UID, &r.Why, &released); err != nil {
			return err
		}
		r.Mailbox = &box
		if released {
			r.Type, r.Why = recordReleased, ""
		}
		return m.json.Encode(r)
	})
}

// eachRecord reads a manifest, and gives the digest of its file.
func (f *files) eachRecord(path string, each func(*record) error) (digest mail.Digest, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return digest, err
	}
	digest = sha256.Sum256(data)
	dec, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return digest, err
	}
	defer dec.Close()
	lines := json.NewDecoder(dec)
	for {
		var r record
		if err := lines.Decode(&r); err == io.EOF {
			return digest, nil
		} else if err != nil {
			return digest, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
		}
		if err := each(&r); err != nil {
			return digest, err
		}
	}
}
