package store

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/godwit-mail/godwit/mail"
	"github.com/godwit-mail/godwit/sync/plan"
)

// logged is how many pages were written to the log since the index was opened.
func logged(t *testing.T, dir string) int64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(dir, IndexFile+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Size() / (4096 + 24)
}

// scalar is the number that a query gives.
func (s *Store) scalar(t *testing.T, query string) (n int) {
	t.Helper()
	err := s.db.Each(context.Background(), query, nil, func(rows *sql.Rows) error { return rows.Scan(&n) })
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFlagsCost: flags of 200 messages that lie far apart take a few pages of the
// index together, and not some each; when there are many of them, the run that
// ends writes them where they belong, and nothing else of the messages changes.
func TestFlagsCost(t *testing.T) {
	dir := t.TempDir()
	s := must[*Store](t)(Open(t.Context(), dir))
	box := mailboxOf(t, s, 8000)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = must[*Store](t)(Open(t.Context(), dir))
	defer finish(t, s)
	want := map[int64]plan.Row{}
	var st plan.Settlement
	for i := 0; i < 8000; i += 40 {
		r := generated(box, i)
		r.ID, r.Stat = int64(i+1), "1-2-3"
		r.Flags = [2]mail.FlagSet{mail.NewFlagSet(mail.Flagged), mail.NewFlagSet(mail.Flagged, "word")}
		want[r.ID] = *r
		st.Flags = append(st.Flags, r)
	}
	settle(t, s, &st)
	if n := logged(t, dir); n > 8 {
		t.Errorf("%d pages were written", n)
	}
	check := func(what string, left int) {
		t.Helper()
		rows := must[[]plan.Row](t)(s.RowsIn(t.Context(), box))
		for _, r := range rows {
			full, changed := want[r.ID]
			if !changed {
				full = *generated(box, int(r.ID-1))
				full.ID = r.ID
			}
			if !r.Flags[0].Equal(full.Flags[0]) || !r.Flags[1].Equal(full.Flags[1]) || r.Stat != full.Stat || r.At != full.At || r.Ident != full.Ident {
				t.Fatalf("%s: %+v, want %+v", what, r, full)
			}
		}
		if n := s.scalar(t, "SELECT count(*) FROM changed"); len(rows) != 8000 || n != left {
			t.Errorf("%s: %d rows, %d changed", what, len(rows), n)
		}
		if err := s.CheckConsistency(t.Context()); err != nil {
			t.Error(err)
		}
	}
	check("changed", 200)
	end := func() { settle(t, s, &plan.Settlement{Run: &plan.RunRecord{Began: time.Now(), Ended: time.Now()}}) }
	end()
	check("after a run", 200)
	s.manyChanged = 199
	end()
	check("with one too many", 0)
	settle(t, s, &plan.Settlement{Flags: st.Flags[:3]})
	settle(t, s, &plan.Settlement{Put: st.Flags[:1], Drop: []int64{st.Flags[1].ID}})
	if n := s.scalar(t, "SELECT count(*) FROM changed"); n != 1 {
		t.Errorf("%d changed where one was written and one dropped", n)
	}
	for what, wrong := range map[string]*plan.Settlement{
		"a row that is not there": {Flags: []*plan.Row{{ID: 9999}}}, "a row without a number": {Flags: []*plan.Row{{}}},
		"a row that is dropped": {Flags: st.Flags[2:3], Drop: []int64{st.Flags[2].ID}},
	} {
		if err := s.Settle(t.Context(), wrong); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}
