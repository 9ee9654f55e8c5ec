package archive

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// retention does again what retention and people decided, as far as the
// catalogue does not know of it, once all generations are there: what only
// retired ones showed goes.
func (b *rebuilder) retention(tx *sqlite.Tx) error {
	notes, err := b.a.files.notes()
	if err != nil {
		return err
	}
	known, _, err := lastNote(tx)
	if err != nil {
		return err
	}
	retired := false
	for i, n := range notes {
		if n <= known {
			continue
		}
		if n != int64(i)+1 && (i == 0 || notes[i-1] != n-1) {
			b.problem(fmt.Errorf("%w: the manifest of the decision about generations before number %d is missing", ErrDamaged, n))
		}
		done, err := b.note(tx, n)
		if err != nil {
			return err
		}
		retired = retired || done.retired
	}
	if retired {
		if err := prune(tx, b.a.opt.Clock()); err != nil {
			return err
		}
	}
	for digest, err := range b.missing {
		if err := b.lacks(tx, digest, err); err != nil {
			return err
		}
	}
	return tx.Exec(`INSERT INTO meta SELECT ?, max(0, (SELECT coalesce(sum(stored), 0) FROM generation) - (SELECT coalesce(sum(stored), 0) FROM message)) WHERE true
		ON CONFLICT DO UPDATE SET value = excluded.value`, metaSwept)
}

// note does what a note says, one that is damaged as far as it can be read:
// what the rest of it retired is offered again.
func (b *rebuilder) note(tx *sqlite.Tx, n int64) (note, error) {
	last, digest, err := lastNote(tx)
	if err != nil {
		return note{}, err
	}
	done, err := b.a.files.applyNote(tx, n)
	path := b.a.files.note(n)
	switch {
	case errors.Is(err, ErrDamaged):
		b.problem(err)
		return done, tx.Exec("INSERT INTO retention VALUES (?, 0, zeroblob(32))", n)
	case err != nil:
		return done, fmt.Errorf("%s: %w", path, err)
	case last > 0 && last == n-1 && done.previous != digest.String() && (b.noteWas == "" || done.previous != b.noteWas):
		b.problem(fmt.Errorf("%w: %s is not the one that follows the one before", ErrDamaged, path))
	}
	b.noteWas = done.was
	return done, nil
}

// lacks tells of a message whose file is missing or damaged, unless it lies
// nowhere any more.
func (b *rebuilder) lacks(tx *sqlite.Tx, digest mail.Digest, why error) error {
	lies := false
	err := tx.Each("SELECT EXISTS (SELECT 1 FROM placement p JOIN message m ON m.id = p.message WHERE m.digest = ?)", []any{digest[:]}, func(rows *sql.Rows) error {
		return rows.Scan(&lies)
	})
	switch {
	case err != nil:
		return err
	case lies:
		b.problem(why)
		b.out.bad = append(b.out.bad, digest)
		return nil
	case errors.Is(why, fs.ErrNotExist):
		return tx.Exec("DELETE FROM message WHERE digest = ?", digest[:])
	}
	return nil
}
