package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/store/sqlite"
)

// notes looks at the manifests of decisions about generations, and mends them:
// the catalogue tells which generations a decision retired, and what is held.
func (v *verifier) notes(ctx context.Context) error {
	numbers, err := v.files.notes()
	if err != nil || v.a == nil || !v.sound {
		return err
	}
	done, newest := map[int64][]byte{}, int64(0)
	err = v.a.each(ctx, "SELECT n, manifest FROM retention", nil, func(rows *sql.Rows) error {
		var n int64
		var digest []byte
		err := rows.Scan(&n, &digest)
		done[n] = bytes.Clone(digest)
		newest = max(newest, n)
		return err
	})
	for _, n := range numbers {
		newest = max(newest, n)
	}
	for n := int64(1); n <= newest && err == nil; n++ {
		err = v.note(ctx, n, done[n])
	}
	return err
}

// note looks at one, of which the catalogue has that digest, or none.
func (v *verifier) note(ctx context.Context, n int64, column []byte) error {
	path := v.files.note(n)
	ended := false
	digest, err := v.files.eachRecord(path, func(r *record) error {
		ended = r.Type == recordEnd && r.N == n
		return nil
	})
	f := Finding{Kind: DamagedManifest, File: v.within(path)}
	switch {
	case errors.Is(err, os.ErrNotExist):
		f.Text = "is missing"
	case err != nil:
		f.Text = err.Error()
	case !ended:
		f.Text = "ends too early"
	case column != nil && !bytes.Equal(column, digest[:]):
		f.Text = "is another one than was written"
	default:
		return nil
	}
	if v.o.Repair {
		if err := v.noteAgain(ctx, n, path, column); err != nil {
			return err
		}
		f.Repaired, f.How = true, "written again from the catalogue"
		if column == nil {
			f.How = "set aside: what it decided was not done yet, and is decided again"
		}
	}
	v.later = append(v.later, f)
	return nil
}

// noteAgain puts into the place of a note one that says what the catalogue
// knows of it. One that was never done is only taken away.
func (v *verifier) noteAgain(ctx context.Context, n int64, path string, column []byte) error {
	if err := v.files.setAside(path, v.stamp()); err != nil {
		return err
	}
	if column == nil {
		return v.files.remove(path)
	}
	list, err := v.a.decided(ctx, n)
	if err != nil {
		return err
	}
	if err := v.a.writeNote(n, list); err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if digest := mail.Digest(sha256.Sum256(data)); !bytes.Equal(digest[:], column) {
		freed, err := v.freed(ctx, n)
		if err != nil {
			return err
		}
		list[0].Was = fmt.Sprintf("%x", column)
		list = slices.Insert(list, len(list)-1, freed...)
		if err := v.a.writeNote(n, list); err != nil {
			return err
		}
		if data, err = os.ReadFile(path); err != nil {
			return err
		}
	}
	digest := sha256.Sum256(data)
	v.a.writing.Lock()
	defer v.a.writing.Unlock()
	return v.a.update(ctx, func(tx *sqlite.Tx) error {
		return tx.Exec("UPDATE retention SET manifest = ? WHERE n = ?", digest[:], n)
	})
}

// decided is note n as far as generations tell it.
func (a *Archive) decided(ctx context.Context, n int64) (list []record, err error) {
	head := record{Type: recordRetention, Format: manifestFormat, N: n}
	var at int64
	err = a.each(ctx, "SELECT at, (SELECT lower(hex(manifest)) FROM retention p WHERE p.n = r.n - 1) FROM retention r WHERE n = ?", []any{n}, func(rows *sql.Rows) error {
		var previous sql.NullString
		err := rows.Scan(&at, &previous)
		head.Previous = previous.String
		return err
	})
	began := fromMoment(at)
	head.Began = &began
	list = []record{head}
	if err == nil {
		err = a.each(ctx, "SELECT n FROM generation WHERE retired = ? ORDER BY n", []any{at}, func(rows *sql.Rows) error {
			r := record{Type: recordRetired}
			err := rows.Scan(&r.N)
			list = append(list, r)
			return err
		})
	}
	holds, e := a.Holds(ctx)
	for _, h := range holds {
		if h.Since.Equal(began) {
			list = append(list, h.record(recordHeld))
		}
	}
	return append(list, record{Type: recordEnd, N: n}), errors.Join(err, e)
}

// record is a hold in a note.
func (h *Hold) record(as string) record {
	r := record{Type: as, N: h.Generation}
	if name := h.Mailbox; name != "" {
		r.Mailbox = &name
	}
	return r
}

// freed are the holds of notes before n that hold no longer: n may have freed
// them.
func (v *verifier) freed(ctx context.Context, n int64) (list []record, err error) {
	holds, err := v.a.Holds(ctx)
	if err != nil {
		return nil, err
	}
	for m := int64(1); m < n; m++ {
		_, err := v.files.eachRecord(v.files.note(m), func(r *record) error {
			kind, what := r.hold()
			held := slices.ContainsFunc(holds, func(h Hold) bool {
				now := h.record(recordHeld)
				nowKind, nowWhat := now.hold()
				return nowKind == kind && nowWhat == what
			})
			if r.Type == recordHeld && !held {
				list = append(list, record{Type: recordFreed, N: r.N, Mailbox: r.Mailbox})
			}
			return nil
		})
		if err != nil && ctx.Err() != nil { // one that cannot be read is told by itself
			return nil, err
		}
	}
	return list, nil
}
