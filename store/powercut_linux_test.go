package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/godwit-mail/godwit/sync/engine"
	"github.com/godwit-mail/godwit/sync/plan"
	"github.com/godwit-mail/godwit/sync/sidetest"
)

// A watchedIndex is an index of which all is kept that a power cut could leave.
type watchedIndex struct {
	*Store
	t       *testing.T
	dir     string
	account *fullAccount
	moments []instant
	db, wal []byte // the files, at the end of the run
}

// An instant is when something was settled: what lay on the sides just before,
// and how long the -wal file was just after.
type instant struct {
	local, remote *sidetest.Memory
	wal           int64
	settled       plan.Settlement
}

func (x *watchedIndex) Begin(ctx context.Context, in []plan.Intent) error {
	return x.Settle(ctx, &plan.Settlement{Begin: in})
}

func (x *watchedIndex) Settle(ctx context.Context, st *plan.Settlement) error {
	m := instant{local: x.account.local.Clone(), remote: x.account.remote.Clone(), settled: *st}
	m.settled.Begin = slices.Clone(st.Begin) // their room is used again
	err := x.Store.Settle(ctx, st)
	m.wal = must[os.FileInfo](x.t)(os.Stat(filepath.Join(x.dir, IndexFile+"-wal"))).Size()
	x.moments = append(x.moments, m)
	return err
}

// boot is in which boot of the machine the local root is, and whether mail is
// written there without being made durable.
func (a *fullAccount) boot(t *testing.T, id string, unsynced bool) {
	t.Helper()
	s := a.local.Open()
	root := must[engine.Root](t)(s.(engine.Rooted).Root(t.Context()))
	root.Boot, root.Unsynced = id, unsynced
	a.local.SetRoot(root)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// watchedPull is a first pull in small chunks.
func watchedPull(t *testing.T, unsynced bool) *watchedIndex {
	t.Helper()
	a := newFullAccount()
	a.boot(t, "monday", unsynced)
	dir := filepath.Join(t.TempDir(), "personal")
	s := open(t, dir)
	x := &watchedIndex{Store: s, t: t, dir: dir, account: a}
	o := a.options(x)
	o.ChunkMessages = 60
	if rep, err := engine.Run(t.Context(), o); err != nil || rep.Exit() != 0 {
		t.Fatal(err, rep.Faults)
	}
	x.db = must[[]byte](t)(os.ReadFile(filepath.Join(dir, IndexFile)))
	x.wal = must[[]byte](t)(os.ReadFile(filepath.Join(dir, IndexFile+"-wal")))
	return x
}

// Only what is recorded of copies into files that a crash may take as well is
// loose, and only once the index says durably that it may.
func TestWhatIsLoose(t *testing.T) {
	said, loose := false, 0
	for i, m := range watchedPull(t, true).moments {
		st := m.settled
		if !st.Loose {
			said = said || st.Meta["unsynced"] == "monday"
			continue
		}
		loose++
		st.Begin, st.Put, st.Done, st.Events, st.Loose = nil, nil, nil, nil, false
		if !said || !st.Empty() {
			t.Errorf("settlement %d is loose: %+v", i, st)
		}
		for _, in := range m.settled.Begin {
			if in.Side != plan.Local || in.Row != 0 {
				t.Errorf("settlement %d, which is loose, begins %+v", i, in)
			}
		}
	}
	if loose < 4 {
		t.Errorf("%d settlements are loose", loose)
	}
	for i, m := range watchedPull(t, false).moments {
		if m.settled.Loose {
			t.Errorf("settlement %d is loose where all is made durable", i)
		}
	}
}

// TestPowerCut ends the machine at every moment of a pull that makes no file
// durable, with every part of the -wal file on the disk that may be, with all files
// there and with some gone: the run after that loses nothing and doubles nothing.
func TestPowerCut(t *testing.T) {
	x := watchedPull(t, true)
	cuts, firm := 0, 0
	for j := 1; j < len(x.moments); j++ {
		if !x.moments[j-1].settled.Loose {
			firm = j - 1
		}
		for k := firm; k < j; k++ {
			left, next := x.moments[k].wal, x.moments[k+1].wal
			if left >= next {
				t.Fatalf("the -wal file does not grow from %d to %d", left, next)
			}
			for _, part := range []int64{0, (next - left) / 3} {
				for _, lost := range []int{0, 3} {
					t.Run(fmt.Sprintf("before %d, %d and %d bytes left, lost %d", j, k, part, lost), func(t *testing.T) {
						x.cut(t, x.moments[j], left+part, lost)
					})
					cuts++
				}
			}
		}
	}
	if cuts < 40 {
		t.Errorf("%d cuts", cuts)
	}
}

// cut goes on after a crash at that instant that left so much of the -wal file, and
// took every lost-th file.
func (x *watchedIndex) cut(t *testing.T, at instant, wal int64, lost int) {
	dir := filepath.Join(t.TempDir(), "personal")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{IndexFile: x.db, IndexFile + "-wal": x.wal[:wal]} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := &fullAccount{at.local.Clone(), at.remote.Clone()}
	for i, msg := range a.local.Snapshot()["INBOX"] {
		if lost > 0 && i%lost == 0 {
			a.local.Expunge("INBOX", msg.Ref)
		}
	}
	a.boot(t, "tuesday", true)
	s := open(t, dir)
	if rep, err := a.run(t.Context(), s); err != nil || rep.Exit() != 0 {
		t.Fatal(err, rep.Faults)
	}
	for side, m := range map[string]*sidetest.Memory{"local": a.local, "remote": a.remote} {
		if d := sidetest.Compare(m.Snapshot(), x.account.remote.Snapshot()); d != "" {
			t.Errorf("%s is not what it was: %s", side, d)
		}
		m.ResetCounts()
	}
	if rep, err := a.run(t.Context(), s); err != nil || rep.Exit() != 0 || a.local.Effects()+a.remote.Effects() > 0 {
		t.Error("a further run had something to do:", err, rep.Faults)
	}
}
