package archive

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// sweepable asks for the messages whose grace was over at a moment.
func sweepable(columns string) string {
	return "SELECT " + columns + ` FROM unneeded u JOIN message m ON m.id = u.message
		WHERE u.since <= ? AND NOT EXISTS (SELECT 1 FROM placement p WHERE p.message = m.id)`
}

// sweep removes messages whose grace is over. They leave the catalogue first:
// what it names is there.
func (a *Archive) sweep(ctx context.Context, o Retention, out *Retained) error {
	until := moment(a.opt.Clock().Add(-o.Grace))
	for {
		var gone []mail.Digest
		var sizes Tonnage
		if err := a.forget(ctx, until, &gone, &sizes); err != nil {
			return err
		}
		for _, d := range gone {
			if err := a.files.remove(a.files.message(d)); err != nil {
				return err // the file is a leftover from now on
			}
		}
		out.Swept.Messages, out.Swept.Bytes = out.Swept.Messages+sizes.Messages, out.Swept.Bytes+sizes.Bytes
		if len(gone) < atOnce {
			break
		}
	}
	return a.tonnage(ctx, &out.Waiting, "SELECT count(*), coalesce(sum(m.stored), 0) FROM unneeded u JOIN message m ON m.id = u.message")
}

// forget takes some hundred messages out of the catalogue, in one transaction.
// None that lies anywhere can be among them: its place refers to it.
func (a *Archive) forget(ctx context.Context, until int64, gone *[]mail.Digest, sizes *Tonnage) error {
	var some bool
	err := a.each(ctx, "SELECT EXISTS ("+sweepable("1")+")", []any{until}, func(rows *sql.Rows) error { return rows.Scan(&some) })
	if err != nil || !some {
		return err
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.update(ctx, func(tx *sqlite.Tx) error {
		var ids []int64
		err := tx.Each(sweepable("m.id, m.digest, m.stored")+" LIMIT ?", []any{until, atOnce}, func(rows *sql.Rows) error {
			var id, size int64
			var sum []byte
			var digest mail.Digest
			err := errors.Join(rows.Scan(&id, &sum, &size), setDigest(&digest, sum))
			ids, *gone = append(ids, id), append(*gone, digest)
			sizes.add(size)
			return err
		})
		if err != nil {
			return err
		}
		if err := tx.Exec("DELETE FROM message WHERE id IN (SELECT value FROM json_each(?))", list(ids)); err != nil {
			return err
		}
		return tx.Exec("INSERT INTO meta VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = CAST(value AS INTEGER) + ?2", metaSwept, sizes.Bytes)
	})
}

// metaSwept is the key of meta under which the bytes are that sweeps removed.
const metaSwept = "swept"

// Stored is the size in bytes of the files of all messages.
func (a *Archive) Stored(ctx context.Context) (bytes int64, err error) {
	err = a.each(ctx, `SELECT (SELECT coalesce(sum(stored), 0) FROM generation)
		- coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?), 0)`, []any{metaSwept}, func(rows *sql.Rows) error {
		return rows.Scan(&bytes)
	})
	return bytes, fault(err)
}

// leftover removes files that the catalogue does not name and that were
// written before the grace: a run or a sweep died between the two.
func (a *Archive) leftover(ctx context.Context, o Retention, out *Retained) error {
	until := a.opt.Clock().Add(-o.Grace)
	dirs, err := os.ReadDir(filepath.Join(a.opt.Dir, messagesDir))
	if err != nil {
		return unlessAbsent(err)
	}
	for _, dir := range dirs {
		if !dir.IsDir() {
			continue
		}
		list, err := a.unnamed(ctx, dir.Name(), until)
		if err != nil {
			return err
		}
		for _, f := range list {
			if !o.DryRun {
				if err := a.files.remove(a.files.message(f.digest)); err != nil {
					return err
				}
			}
			out.Leftover.add(f.size)
		}
	}
	return nil
}

type unnamedFile struct {
	digest mail.Digest
	size   int64
}

// unnamed lists the message files in a directory that the catalogue does not
// name, of before a moment. What is no message file is none of them.
func (a *Archive) unnamed(ctx context.Context, dir string, until time.Time) (list []unnamedFile, err error) {
	entries, err := os.ReadDir(filepath.Join(a.opt.Dir, messagesDir, dir))
	if err != nil {
		return nil, unlessAbsent(err)
	}
	from, to, err := digestRange(dir)
	if err != nil {
		return nil, nil // not one of ours
	}
	named := map[mail.Digest]bool{}
	err = a.each(ctx, "SELECT digest FROM message WHERE digest BETWEEN ? AND ?", []any{from, to}, func(rows *sql.Rows) error {
		var sum []byte
		var d mail.Digest
		err := errors.Join(rows.Scan(&sum), setDigest(&d, sum))
		named[d] = true
		return err
	})
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".zst")
		digest, bad := mail.ParseDigest(name)
		if err != nil || !ok || bad != nil || named[digest] || !strings.HasPrefix(name, dir) {
			continue
		}
		st, gone := e.Info()
		if errors.Is(gone, fs.ErrNotExist) {
			continue
		}
		if err = gone; err == nil && st.Mode().IsRegular() && st.ModTime().Before(until) {
			list = append(list, unnamedFile{digest, st.Size()})
		}
	}
	return list, err
}
