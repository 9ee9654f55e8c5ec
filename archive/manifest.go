package archive

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
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
	Was      string     `json:"was,omitempty"` // the digest of the manifest whose place this one took
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
	return filepath.Join(f.dir, manifestsDir, manifestName(n))
}

func manifestName(n int64) string { return fmt.Sprintf("%010d.jsonl.zst", n) }

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
	if err == nil && last.Type == recordEnd && last.N == n && last.Ended != nil && last.Complete != nil && last.Counts != nil {
		g, err := a.Generation(ctx, n)
		if err != nil {
			return err
		}
		if *last.Counts != g.tally() {
			return stale(n)
		}
		return a.markEnded(ctx, n, digest, *last.Ended, *last.Complete, last.Why)
	}
	_, err = a.end(ctx, n, false, "the run was interrupted")
	return err
}

// tally is what the generation counts, as its manifest has it.
func (g *Generation) tally() tally {
	return tally{
		Came: g.Came, Went: g.Went, Changed: g.Changed, Moved: g.Moved,
		Mailboxes: g.Mailboxes, Messages: g.Messages, Bytes: g.Bytes, Stored: g.Stored,
	}
}

// stale is the error of a catalogue that lacks what the manifest of a
// generation tells: it is a copy from before.
func stale(n int64) error {
	return mail.NewFault(mail.GradeAccount, mail.ClassLocal,
		fmt.Errorf("%w: generation %d has a manifest and is not in it", ErrStale, n), "run verify --repair, which brings it up to date")
}

// notStale refuses to write a generation that has a manifest already.
func (a *Archive) notStale(n int64) error {
	_, err := os.Lstat(a.files.manifest(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = stale(n)
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
		err = a.view(ctx, func(tx *sqlite.Tx) error {
			head := record{Type: recordGeneration, Format: manifestFormat, N: n}
			if err := marker(tx, &head); err != nil {
				return err
			}
			return m.generation(tx, &head, end)
		})
		err = errors.Join(err, m.buf.Flush(), m.enc.Close())
	}
	if err != nil {
		return digest, errors.Join(err, file.Close(), a.files.remove(tmp))
	}
	m.sum.Sum(digest[:0])
	return digest, a.files.finish(file, tmp, a.files.manifest(n))
}

// eachRecord reads a manifest, and gives the digest of its file.
func (f *files) eachRecord(path string, each func(*record) error) (digest mail.Digest, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return digest, err
	}
	return sha256.Sum256(data), eachRecordOf(data, path, each)
}

// eachRecordOf reads what the file of that name holds.
func eachRecordOf(data []byte, path string, each func(*record) error) error {
	dec, err := zstd.NewReader(bytes.NewReader(data), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer dec.Close()
	lines := json.NewDecoder(dec)
	for {
		var r record
		if err := lines.Decode(&r); err == io.EOF {
			return nil
		} else if err != nil {
			return fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
		}
		if err := each(&r); err != nil {
			return err
		}
	}
}
